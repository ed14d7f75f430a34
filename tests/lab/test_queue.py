"""The SQS stand-in where it is stricter than ElasticMQ, its digests, and what survives the end of its process."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from simian_lab.http import Pool, start_server
from simian_lab.queue import Queues
from simian_lab.queue_log import MessageLog
from simian_lab.sqs import md5_of_attributes

Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]
URL = {"QueueUrl": "http://anywhere/000000000000/q"}


def _run(folder: Path, test: Callable[[Ask], Awaitable[None]]) -> None:
    async def main() -> None:
        log, pool = MessageLog(folder / "queue.db"), Pool()
        async with await start_server("127.0.0.1", 0, Queues(log, "here:1").handle) as server:

            async def ask(action: str, **fields: Any) -> tuple[int, dict[str, Any]]:
                headers = {"x-amz-target": f"AmazonSQS.{action}"}
                body = json.dumps(fields).encode()
                answer = await pool.request(*server.address, "POST", "/", headers, body, 10.0)
                return answer.status, answer.json()

            await ask("CreateQueue", QueueName="q")
            await test(ask)
            await pool.aclose()
        log.close()
        await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_what_only_the_real_service_refuses_is_refused(tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        for visibility_s in (-1, 43_201):
            status, error = await ask("ReceiveMessage", **URL, VisibilityTimeout=visibility_s)
            assert (status, error["__type"]) == (400, "com.amazonaws.sqs#InvalidAttributeValue")
        for action in ("SendMessageBatch", "DeleteMessageBatch"):
            assert (await ask(action, **URL, Entries=[]))[1]["__type"].endswith("EmptyBatchRequest")

    _run(tmp_path, test)


def test_messages_are_on_disk_before_they_are_acknowledged(tmp_path: Path) -> None:
    """What the files hold while the queue runs is what a killed process leaves."""
    left = tmp_path / "left"

    async def send(ask: Ask) -> None:
        for number in range(20):
            await ask("SendMessage", **URL, MessageBody=str(number))
        left.mkdir()
        for path in tmp_path.glob("queue.db*"):
            shutil.copy(path, left)

    async def receive(ask: Ask) -> None:
        bodies = set()
        while received := (await ask("ReceiveMessage", **URL, MaxNumberOfMessages=10))[1]["Messages"]:
            bodies |= {message["Body"] for message in received}
        assert bodies == {str(number) for number in range(20)}

    _run(tmp_path, send)
    _run(left, receive)


def test_the_digest_of_attributes_is_that_of_the_real_service() -> None:
    # Worked out by hand: length, name, length, type, transport 1, length, value.
    attributes = {"a": {"DataType": "String", "StringValue": "b"}}
    raw = b"\0\0\0\x01a\0\0\0\x06String\x01\0\0\0\x01b"
    assert md5_of_attributes(attributes) == hashlib.md5(raw, usedforsecurity=False).hexdigest()
