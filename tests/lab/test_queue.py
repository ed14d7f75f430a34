"""The SQS stand-in: its words, long polls, visibility, and what survives the end of its process."""

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from simian_filters.rules import Rules
from simian_lab.calls import Callee, Caller
from simian_lab.http import Pool, start_server
from simian_lab.queue import Queues
from simian_lab.queue_log import MessageLog
from simian_lab.sqs import NoSuchQueue, Sqs, md5_of_attributes

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


def test_a_message_is_sent_received_once_and_deleted(tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        _, sent = await ask("SendMessage", **URL, MessageBody="hello")
        assert sent["MD5OfMessageBody"] == "5d41402abc4b2a76b9719d911017c592"
        _, received = await ask("ReceiveMessage", **URL, VisibilityTimeout=30)
        (message,) = received["Messages"]
        assert (message["Body"], message["MessageId"]) == ("hello", sent["MessageId"])
        assert (await ask("ReceiveMessage", **URL))[1] == {}
        assert await ask("DeleteMessage", **URL, ReceiptHandle=message["ReceiptHandle"]) == (200, {})
        _, counts = await ask("GetQueueAttributes", **URL, AttributeNames=["All"])
        assert counts["Attributes"]["ApproximateNumberOfMessages"] == "0"
        assert counts["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"

    _run(tmp_path, test)


def test_a_long_poll_wakes_when_a_message_is_sent(tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        waiting = asyncio.ensure_future(ask("ReceiveMessage", **URL, WaitTimeSeconds=10))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        started = time.monotonic()
        await ask("SendMessage", **URL, MessageBody="x")
        assert (await waiting)[1]["Messages"][0]["Body"] == "x"
        assert time.monotonic() - started < 5

    _run(tmp_path, test)


def test_a_message_that_is_not_deleted_comes_again(tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        await ask("SendMessage", **URL, MessageBody="x")
        await ask("ReceiveMessage", **URL, VisibilityTimeout=1)
        _, again = await ask("ReceiveMessage", **URL, WaitTimeSeconds=10, AttributeNames=["All"])
        assert again["Messages"][0]["Attributes"]["ApproximateReceiveCount"] == "2"

    _run(tmp_path, test)


def test_batches_tell_which_entries_failed(tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        entries = [{"Id": "1", "MessageBody": "a"}, {"Id": "2", "MessageBody": ""}]
        _, answer = await ask("SendMessageBatch", **URL, Entries=entries)
        assert [entry["Id"] for entry in answer["Successful"]] == ["1"]
        assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("2", "MissingParameter")]
        _, received = await ask("ReceiveMessage", **URL, MaxNumberOfMessages=10)
        (message,) = received["Messages"]
        entries = [{"Id": "1", "ReceiptHandle": message["ReceiptHandle"]}, {"Id": "2", "ReceiptHandle": "bad"}]
        _, answer = await ask("DeleteMessageBatch", **URL, Entries=entries)
        assert answer["Successful"] == [{"Id": "1"}]
        assert answer["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"

    _run(tmp_path, test)


def test_errors_are_those_of_the_real_service(tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        status, error = await ask("SendMessage", QueueUrl="http://x/0/none", MessageBody="x")
        assert (status, error["__type"]) == (400, "com.amazonaws.sqs#QueueDoesNotExist")
        for fields in ({"MaxNumberOfMessages": 11}, {"WaitTimeSeconds": 21}, {"VisibilityTimeout": -1}):
            status, error = await ask("ReceiveMessage", **URL, **fields)
            assert (status, error["__type"]) == (400, "com.amazonaws.sqs#InvalidParameterValue")
        assert (await ask("SendMessage", **URL, MessageBody="x" * 300_000))[0] == 400
        assert (await ask("SendMessageBatch", **URL, Entries=[]))[1]["__type"].endswith("EmptyBatchRequest")

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
        while received := (await ask("ReceiveMessage", **URL, MaxNumberOfMessages=10))[1]:
            bodies |= {message["Body"] for message in received["Messages"]}
        assert bodies == {str(number) for number in range(20)}

    _run(tmp_path, send)
    _run(left, receive)


def test_purge_leaves_nothing(tmp_path: Path) -> None:
    async def test(ask: Ask) -> None:
        await ask("SendMessage", **URL, MessageBody="x")
        await ask("PurgeQueue", **URL)
        assert (await ask("ReceiveMessage", **URL))[1] == {}

    _run(tmp_path, test)


def test_the_digest_of_attributes_is_that_of_the_real_service() -> None:
    # Worked out by hand: length, name, length, type, transport 1, length, value.
    attributes = {"a": {"DataType": "String", "StringValue": "b"}}
    raw = b"\0\0\0\x01a\0\0\0\x06String\x01\0\0\0\x01b"
    assert md5_of_attributes(attributes) == hashlib.md5(raw, usedforsecurity=False).hexdigest()


def test_the_client_says_when_the_queue_must_be_made_first(tmp_path: Path) -> None:
    async def main() -> None:
        log, pool = MessageLog(tmp_path / "queue.db"), Pool()
        async with await start_server("127.0.0.1", 0, Queues(log, "here:1").handle) as server:
            callee = Callee("queue-east", "queue", *server.address)
            client = Sqs(Caller(pool, Rules()), "members-east-a", callee, "invalidations")
            try:
                await client.send(["x"])
                raise AssertionError("there was no queue")
            except NoSuchQueue:
                await client.create()
            await client.send(["x", "y"])
            received = await client.receive(wait_s=1, hidden_s=30)
            assert [each.body for each in received] == ["x", "y"]
            await client.delete([each.receipt for each in received])
            assert await client.receive(wait_s=0, hidden_s=0) == []
            await pool.aclose()
        log.close()
        await asyncio.sleep(0.01)

    asyncio.run(main())
