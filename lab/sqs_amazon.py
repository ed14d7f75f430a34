"""Amazon's own client (``aiobotocore``) in the place of ours, with the same calls: for queues that are real ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from .calls import Callee, Caller
from .http import Closed, ConnectRefused, HttpError, Malformed, TimedOut
from .sqs import ATTEMPT_S, NoSuchQueue, Received, SqsFailed
from .trace import Trace

try:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import AioSession
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectTimeoutError,
        EndpointConnectionError,
        ReadTimeoutError,
    )
except ImportError as missing:
    raise ImportError("Amazon's client of SQS is not installed; install simian-army[sqs]") from missing

REGION = "elasticmq"  # it has one, and asks for no credentials; the client wants both
LONGEST_S = 60.0  # every call has a time limit of its own, which is shorter
# Who gives up on a slow server's answer sends again what it has taken already, and makes it slower still.
TAKEN_WITHIN_S = 10.0
_NO_SUCH_QUEUE = ("QueueDoesNotExist", "NonExistentQueue")
Act = Callable[..., Awaitable[dict[str, Any]]]


@asynccontextmanager
async def queue_of(caller: Caller, node: str, callee: Callee, queue: str) -> AsyncIterator["AmazonSqs"]:
    """A client of one queue, as ``node`` calls it, for as long as the block lasts."""
    # Whoever calls tries again by himself, so that what became of a call is told as it is.
    config = AioConfig(
        connect_timeout=ATTEMPT_S, read_timeout=LONGEST_S, retries={"total_max_attempts": 1}, parameter_validation=False
    )
    made = AioSession().create_client(
        "sqs",
        region_name=REGION,
        endpoint_url=f"http://{callee.host}:{callee.port}",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",  # nosec B106  # the stand-in asks for some words, and takes any
        config=config,
    )
    async with made as client:
        yield AmazonSqs(caller, node, callee, queue, client)


class AmazonSqs:
    """One queue, as ``simian_lab.sqs.Sqs``. Every call raises an HttpError when it did not work."""

    def __init__(self, caller: Caller, node: str, callee: Callee, queue: str, client: Any) -> None:
        self._caller, self._node, self._callee, self._client = caller, node, callee, client
        self.queue = queue
        self._url = f"http://{callee.host}:{callee.port}/000000000000/{queue}"

    async def create(self) -> None:
        """Make the queue; content when it is there."""
        await self._call(partial(self._client.create_queue, QueueName=self.queue))

    async def send(self, bodies: list[str]) -> None:
        """Send up to 10 messages; all or an error (some may have been taken)."""
        entries = [{"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies)]
        answer = await self._call(
            partial(self._client.send_message_batch, QueueUrl=self._url, Entries=entries), TAKEN_WITHIN_S
        )
        if failed := answer.get("Failed"):
            raise SqsFailed(f"{len(failed)} of {len(bodies)} messages were not taken: {failed[0]}")

    async def receive(self, *, wait_s: int, hidden_s: int) -> list[Received]:
        """Up to 10 messages; waits up to ``wait_s`` for the first."""
        asked = partial(
            self._client.receive_message,
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=hidden_s,
            AttributeNames=["ApproximateReceiveCount"],
        )
        return [
            Received(found["Body"], found["ReceiptHandle"], int(found["Attributes"]["ApproximateReceiveCount"]))
            for found in (await self._call(asked, wait_s + ATTEMPT_S)).get("Messages", [])
        ]

    async def delete(self, receipts: list[str]) -> None:
        """Remove received messages, up to 10."""
        entries = [{"Id": str(at), "ReceiptHandle": receipt} for at, receipt in enumerate(receipts)]
        await self._call(
            partial(self._client.delete_message_batch, QueueUrl=self._url, Entries=entries), TAKEN_WITHIN_S
        )

    async def _call(self, act: Act, timeout_s: float = ATTEMPT_S) -> dict[str, Any]:
        """One call, held back as client-side rules say."""
        try:
            async with asyncio.timeout(timeout_s):
                status = await self._caller.hold_back(Trace(self._node), self._callee, timeout_s)
                if status is not None:
                    raise SqsFailed(f"answered {status}")
                return await act()
        except TimeoutError:
            raise TimedOut(f"no answer in {timeout_s:g} s") from None
        except (ClientError, BotoCoreError) as error:
            raise _meaning(error) from error


def _meaning(error: Exception) -> HttpError:
    """What the client tells, in the words of other calls."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        return NoSuchQueue(str(error)) if code.endswith(_NO_SUCH_QUEUE) else SqsFailed(str(error)[:200])
    if isinstance(error, EndpointConnectionError):
        return ConnectRefused(str(error))
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        return TimedOut(str(error))
    return Malformed(str(error)) if "parse" in str(error) else Closed(str(error))
