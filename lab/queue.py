"""A stand-in for SQS: its JSON protocol, long polls and visibility time-outs; messages survive a kill.

It answers as ElasticMQ does, and refuses what only the real service refuses (batches of nothing, odd visibilities).
No signatures are checked, there are no FIFO queues, and there is one account.
"""

import asyncio
import json
from collections.abc import Callable
from time import time
from typing import Any

from .http import Request, Response, json_response, start_server
from .node import NodeContext
from .queue_log import Message, MessageLog, NewMessage
from .service import health
from .sqs import md5_of, md5_of_attributes

ACCOUNT = "000000000000"
MAX_BODY_B = 1 << 20
MAX_BATCH = 10
MAX_WAIT_S = 20
MAX_VISIBILITY_S = 12 * 3600
DEFAULT_VISIBILITY_S = 30
_TARGET = "AmazonSQS."
Fields = dict[str, Any]


class SqsError(Exception):
    """An error as ElasticMQ words it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def response(self) -> Response:
        """As the answer to a whole request."""
        kind = f"com.amazonaws.sqs#{self.kind}"
        return json_response({"__type": kind, "Message": str(self)}, 400, {"x-amzn-query-error": kind})

    def entry(self, name: object) -> "Fields":
        """As the answer to one entry of a batch."""
        return {"Id": name, "SenderFault": True, "Code": self.kind, "Message": str(self)}


def _number(
    fields: Fields, name: str, default: int, lowest: int, highest: int, kind: str = "InvalidAttributeValue"
) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or not lowest <= value <= highest:
        raise SqsError(kind, f"The attribute value for {name} is invalid: it is {lowest} to {highest}.")
    return value


class Queues:
    """The requests of the protocol, over a log of messages."""

    def __init__(self, log: MessageLog, address: str) -> None:
        self._log = log
        self._address = address
        self._arrived: dict[str, asyncio.Event] = {}
        self._actions: dict[str, Callable[[Fields], Fields]] = {
            "CreateQueue": self._create,
            "GetQueueUrl": self._get_url,
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "GetQueueAttributes": self._attributes,
            "PurgeQueue": self._purge,
        }

    async def handle(self, request: Request) -> Response:
        """One request to the endpoint."""
        try:
            action = request.headers.get("x-amz-target", "")
            if request.method != "POST" or not action.startswith(_TARGET):
                raise SqsError("InvalidAction", f"Unknown action: {action!r}")
            fields = self._fields(request)
            return self._answer(await self._act(action.removeprefix(_TARGET), fields))
        except SqsError as error:
            return error.response()

    async def _act(self, action: str, fields: Fields) -> Fields:
        if action == "ReceiveMessage":
            return await self._receive(fields)
        if action not in self._actions:
            raise SqsError("InvalidAction", f"Unknown action: {action!r} in this stand-in")
        return self._actions[action](fields)

    @staticmethod
    def _answer(fields: Fields) -> Response:
        body = json.dumps(fields).encode() if fields else b""
        return Response(200, body, {"content-type": "application/x-amz-json-1.0"})

    @staticmethod
    def _fields(request: Request) -> Fields:
        try:
            fields = request.json()
        except ValueError:
            raise SqsError("InvalidAction", "Invalid request: the body is not JSON") from None
        if not isinstance(fields, dict):
            raise SqsError("InvalidAction", "Invalid request: JSON object expected")
        return fields

    def _url(self, name: str) -> Fields:
        return {"QueueUrl": f"http://{self._address}/{ACCOUNT}/{name}"}

    def _create(self, fields: Fields) -> Fields:
        name = fields.get("QueueName")
        if not isinstance(name, str) or not 0 < len(name) <= 80 or not name.replace("-", "").replace("_", "").isalnum():
            told = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length."
            raise SqsError("InvalidAttributeName", told)
        try:
            visibility_s = int((fields.get("Attributes") or {}).get("VisibilityTimeout", DEFAULT_VISIBILITY_S))
        except (TypeError, ValueError, AttributeError):
            raise SqsError("InvalidParameterValue", "The specified parameter value is invalid.") from None
        self._log.create(name, min(max(visibility_s, 0), MAX_VISIBILITY_S))
        return self._url(name)

    def _get_url(self, fields: Fields) -> Fields:
        return self._url(self._queue_named(str(fields.get("QueueName"))))

    def _queue(self, fields: Fields) -> str:
        url = fields.get("QueueUrl")
        if not isinstance(url, str):
            raise SqsError("MissingParameter", "The request must contain the parameter QueueUrl.")
        return self._queue_named(url.rstrip("/").rpartition("/")[2])

    def _queue_named(self, name: str) -> str:
        if self._log.visibility_s(name) is None:
            raise SqsError("QueueDoesNotExist", "The specified queue does not exist.")
        return name

    @staticmethod
    def _new_message(fields: Fields) -> NewMessage:
        body = fields.get("MessageBody")
        if not isinstance(body, str) or not body:
            raise SqsError("InvalidAttributeValue", "The request must contain the parameter MessageBody.")
        if len(body.encode()) > MAX_BODY_B:
            raise SqsError("InvalidAttributeValue", "MessageTooLong")
        delay_s = _number(fields, "DelaySeconds", 0, 0, 900, "InvalidParameterValue")
        return NewMessage(body, fields.get("MessageAttributes") or {}, delay_s)

    def _sent(self, message: NewMessage, message_id: str) -> Fields:
        sent = {"MessageId": message_id, "MD5OfMessageBody": md5_of(message.body)}
        if message.attributes:
            sent["MD5OfMessageAttributes"] = md5_of_attributes(message.attributes)
        return sent

    def _send(self, fields: Fields) -> Fields:
        queue, message = self._queue(fields), self._new_message(fields)
        (message_id,) = self._log.add(queue, [message])
        self._wake(queue)
        return self._sent(message, message_id)

    @staticmethod
    def _entries(fields: Fields) -> list[Fields]:
        entries = fields.get("Entries") or []
        if not entries:
            raise SqsError("EmptyBatchRequest", "The batch request doesn't contain any entries.")
        if len(entries) > MAX_BATCH:
            raise SqsError("TooManyEntriesInBatchRequest", f"Maximum number of entries per request are {MAX_BATCH}.")
        if len({entry.get("Id") for entry in entries}) < len(entries):
            raise SqsError("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
        return list(entries)

    def _send_batch(self, fields: Fields) -> Fields:
        queue, failed = self._queue(fields), []
        good: list[tuple[str, NewMessage]] = []
        for entry in self._entries(fields):
            try:
                good.append((str(entry.get("Id")), self._new_message(entry)))
            except SqsError as error:
                failed.append(error.entry(entry.get("Id")))
        ids = self._log.add(queue, [message for _, message in good])
        self._wake(queue)
        sent = [{"Id": name, **self._sent(message, at)} for (name, message), at in zip(good, ids, strict=True)]
        return {"Successful": sent, "Failed": failed}

    def _wake(self, queue: str) -> None:
        self._arrived.pop(queue, asyncio.Event()).set()

    async def _receive(self, fields: Fields) -> Fields:
        queue = self._queue(fields)
        count = _number(fields, "MaxNumberOfMessages", 1, 1, 10)
        hidden_s = _number(fields, "VisibilityTimeout", self._log.visibility_s(queue) or 0, 0, MAX_VISIBILITY_S)
        until = time() + _number(fields, "WaitTimeSeconds", 0, 0, MAX_WAIT_S)
        while not (found := self._log.receive(queue, count, hidden_s)) and (left_s := until - time()) > 0:
            await self._wait(queue, left_s)
        return {"Messages": [self._shown(message, fields) for message in found]}

    async def _wait(self, queue: str, left_s: float) -> None:
        """Until a message is sent, or one becomes visible again, or the time is over."""
        arrived = self._arrived.setdefault(queue, asyncio.Event())
        again_s = self._log.next_visible_s(queue)
        try:
            async with asyncio.timeout(min(left_s, max(again_s, 0.005))):
                await arrived.wait()
        except TimeoutError:
            return

    @staticmethod
    def _shown(message: Message, fields: Fields) -> Fields:
        """The message with what was asked for of its attributes."""
        about = {
            "SentTimestamp": str(int(message.sent * 1000)),
            "ApproximateReceiveCount": str(message.receives),
            "SenderId": ACCOUNT,
        }
        shown: Fields = {
            "MessageId": message.message_id,
            "ReceiptHandle": message.receipt,
            "MD5OfBody": md5_of(message.body),
            "Body": message.body,
        }
        if told := _wanted(about, fields.get("AttributeNames")):
            shown["Attributes"] = told
        if own := _wanted(message.attributes, fields.get("MessageAttributeNames")):
            shown |= {"MessageAttributes": own, "MD5OfMessageAttributes": md5_of_attributes(own)}
        return shown

    def _delete(self, fields: Fields) -> Fields:
        self._delete_one(self._queue(fields), fields.get("ReceiptHandle"))
        return {}

    def _delete_one(self, queue: str, receipt: object) -> None:
        if not isinstance(receipt, str) or not self._log.delete(queue, receipt):
            raise SqsError("ReceiptHandleIsInvalid", f"The input receipt handle {receipt!r} is not a valid one.")

    def _delete_batch(self, fields: Fields) -> Fields:
        queue, done, failed = self._queue(fields), [], []
        for entry in self._entries(fields):
            try:
                self._delete_one(queue, entry.get("ReceiptHandle"))
                done.append({"Id": entry.get("Id")})
            except SqsError as error:
                failed.append(error.entry(entry.get("Id")))
        return {"Successful": done, "Failed": failed}

    def _attributes(self, fields: Fields) -> Fields:
        queue = self._queue(fields)
        visible, hidden, delayed = self._log.counts(queue)
        known = {
            "ApproximateNumberOfMessages": visible,
            "ApproximateNumberOfMessagesNotVisible": hidden,
            "ApproximateNumberOfMessagesDelayed": delayed,
            "VisibilityTimeout": self._log.visibility_s(queue),
            "QueueArn": f"arn:aws:sqs:lab:{ACCOUNT}:{queue}",
        }
        return {
            "Attributes": {name: str(value) for name, value in _wanted(known, fields.get("AttributeNames")).items()}
        }

    def _purge(self, fields: Fields) -> Fields:
        self._log.purge(self._queue(fields))
        return {}


def _wanted(known: Fields, names: list[str] | None) -> Fields:
    wanted = names or []
    return {name: value for name, value in known.items() if name in wanted or "All" in wanted}


async def serve(context: NodeContext) -> None:
    """The queue of one region, until cancelled."""
    log = MessageLog(context.folder / "queue.db", context.options.retention_s)
    queues = Queues(log, context.spec.address)

    async def handle(request: Request) -> Response:
        if request.path == "/health":
            return health(request, context.incarnation, ready=True)
        return await queues.handle(request)

    try:
        server = await start_server(context.spec.host, context.spec.port, handle)
        await server.serve_forever()
    finally:
        log.close()
