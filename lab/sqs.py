"""A small SQS client (JSON protocol) for the lab of local processes, and the digests of the protocol.

Amazon's own, which the lab of containers has (``sqs_amazon``), would cost each of six members nodes 30 MB.
"""

import hashlib
import json
import struct
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from .calls import Callee, Caller
from .http import HttpError, Malformed
from .trace import Trace

ATTEMPT_S = 1.0


def md5_of(text: str) -> str:
    """The digest SQS gives back for a body."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def md5_of_attributes(attributes: dict[str, Any]) -> str:
    """The digest SQS gives back for message attributes: names in order, each part with its length before it."""
    parts = []
    for name in sorted(attributes):
        value = attributes[name]
        kind = str(value.get("DataType", "String"))
        binary = kind.startswith("Binary")
        data = b64decode(value.get("BinaryValue", "")) if binary else str(value.get("StringValue", "")).encode()
        parts.append(_framed(name.encode()) + _framed(kind.encode()) + (b"\x02" if binary else b"\x01") + _framed(data))
    return hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()


class SqsFailed(HttpError):
    """The queue answered with an error; the text is its own."""

    kind = "error"


class NoSuchQueue(SqsFailed):
    """It has not been made yet."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message received; ``receipt`` deletes it."""

    body: str
    receipt: str
    receives: int


class Sqs:
    """One queue, as ``node`` calls it. Every call raises an HttpError when it did not work."""

    def __init__(self, caller: Caller, node: str, callee: Callee, queue: str) -> None:
        self._caller, self._node, self._callee = caller, node, callee
        self.queue = queue
        self._url = f"http://{callee.host}:{callee.port}/000000000000/{queue}"

    async def _call(self, action: str, fields: dict[str, Any], timeout_s: float = ATTEMPT_S) -> dict[str, Any]:
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{action}"}
        body = json.dumps(fields).encode()
        answer = await self._caller.call(
            Trace(self._node), self._callee, "POST", "/", headers=headers, body=body, timeout_s=timeout_s
        )
        if answer.status != 200:
            if b"QueueDoesNotExist" in answer.body:
                raise NoSuchQueue(f"there is no queue {self.queue}")
            raise SqsFailed(answer.body.decode("utf-8", "replace")[:200])
        try:
            result: dict[str, Any] = answer.json()
        except ValueError as error:
            raise Malformed(f"{action} was answered with no JSON: {error}") from None
        return result

    async def create(self) -> None:
        """Make the queue; content when it is there."""
        await self._call("CreateQueue", {"QueueName": self.queue})

    async def send(self, bodies: list[str]) -> None:
        """Send up to 10 messages; all or an error (some may have been taken)."""
        entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies)]
        answer = await self._call("SendMessageBatch", {"QueueUrl": self._url, "Entries": entries})
        if failed := answer.get("Failed"):
            raise SqsFailed(f"{len(failed)} of {len(bodies)} messages were not taken: {failed[0]}")

    async def receive(self, *, wait_s: int, hidden_s: int) -> list[Received]:
        """Up to 10 messages; waits up to ``wait_s`` for the first."""
        answer = await self._call(
            "ReceiveMessage",
            {
                "QueueUrl": self._url,
                "MaxNumberOfMessages": 10,
                "WaitTimeSeconds": wait_s,
                "VisibilityTimeout": hidden_s,
                "AttributeNames": ["ApproximateReceiveCount"],
            },
            wait_s + ATTEMPT_S,
        )
        return [
            Received(found["Body"], found["ReceiptHandle"], int(found["Attributes"]["ApproximateReceiveCount"]))
            for found in answer.get("Messages", [])
        ]

    async def delete(self, receipts: list[str]) -> None:
        """Remove received messages, up to 10."""
        entries = [{"Id": str(at), "ReceiptHandle": receipt} for at, receipt in enumerate(receipts)]
        await self._call("DeleteMessageBatch", {"QueueUrl": self._url, "Entries": entries})
