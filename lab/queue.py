"""A stand-in for SQS: its JSON protocol, long polls and visibility time-outs; messages survive a kill.

Differences from the real one: no signatures are checked, no FIFO queues, one account.
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
MAX_BODY_B = 256 << 10
MAX_BATCH = 10
MAX_WAIT_S = 20
MAX_VISIBILITY_S = 12 * 3600
DEFAULT_VISIBILITY_S = 30
_TARGET = "AmazonSQS."
Fields = dict[str, Any]


class SqsError(Exception):
    """An error as the real service words it."""

    def __init__(self, kind: str, message: str, query_code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.kind, self.status, self.query_code = kind, status, query_code or kind

    def response(self) -> Response:
        shape = {"__type": f"com.amazonaws.sqs#{self.kind}", "message": str(self)}
        return json_response(shape, self.status, {"x-amzn-query-error": f"{self.query_code};Sender"})


def _invalid(message: str) -> SqsError:
    return SqsError("InvalidParameterValue", message)


def _number(fields: Fields, name: str, default: int, lowest: int, highest: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or not lowest <= value <= highest:
        raise _invalid(f"Value {value} for parameter {name} is invalid. Reason: must be {lowest} to {highest}.")
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
                raise SqsError("UnknownOperationException", f"no operation {action!r}", status=404)
            fields = self._fields(request)
            return self._answer(await self._act(action.removeprefix(_TARGET), fields))
        except SqsError as error:
            return error.response()

    async def _act(self, action: str, fields: Fields) -> Fields:
        if action == "ReceiveMessage":
            return await self._receive(fields)
        if action not in self._actions:
            raise SqsError("UnknownOperationException", f"no operation {action!r} in this stand-in", status=404)
        return self._actions[action](fields)

    @staticmethod
    def _answer(fields: Fields) -> Response:
        return Response(200, json.dumps(fields).encode(), {"content-type": "application/x-amz-json-1.0"})

    @staticmethod
    def _fields(request: Request) -> Fields:
        try:
            fields = request.json()
        except ValueError:
            raise SqsError("SerializationException", "the body is not JSON") from None
        if not isinstance(fields, dict):
            raise SqsError("SerializationException", "the body is no JSON object")
        return fields

    def _url(self, name: str) -> Fields:
        return {"QueueUrl": f"http://{self._address}/{ACCOUNT}/{name}"}

    def _create(self, fields: Fields) -> Fields:
        name = fields.get("QueueName")
        if not isinstance(name, str) or not 0 < len(name) <= 80 or not name.replace("-", "").replace("_", "").isalnum():
            raise _invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
        try:
            visibility_s = int((fields.get("Attributes") or {}).get("VisibilityTimeout", DEFAULT_VISIBILITY_S))
        except (TypeError, ValueError, AttributeError):
            raise SqsError("InvalidAttributeValue", "Invalid value for the parameter VisibilityTimeout.") from None
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
            code = "AWS.SimpleQueueService.NonExistentQueue"
            raise SqsError("QueueDoesNotExist", "The specified queue does not exist.", code)
        return name

    @staticmethod
    def _new_message(fields: Fields) -> NewMessage:
        body = fields.get("MessageBody")
        if not isinstance(body, str) or not body:
            raise SqsError("MissingParameter", "The request must contain the parameter MessageBody.")
        if len(body.encode()) > MAX_BODY_B:
            raise _invalid(
                f"One or more parameters are invalid. Reason: Message must be shorter than {MAX_BODY_B} bytes."
            )
        delay_s = _number(fields, "DelaySeconds", 0, 0, 900)
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
                problem = {"Id": entry.get("Id"), "SenderFault": True, "Code": error.kind, "Message": str(error)}
                failed.append(problem)
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
        return {"Messages": [self._shown(message) for message in found]} if found else {}

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
    def _shown(message: Message) -> Fields:
        shown: Fields = {
            "MessageId": message.message_id,
            "ReceiptHandle": message.receipt,
            "MD5OfBody": md5_of(message.body),
            "Body": message.body,
            "Attributes": {
                "SentTimestamp": str(int(message.sent * 1000)),
                "ApproximateReceiveCount": str(message.receives),
                "SenderId": ACCOUNT,
            },
        }
        if message.attributes:
            shown["MessageAttributes"] = message.attributes
            shown["MD5OfMessageAttributes"] = md5_of_attributes(message.attributes)
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
                done.append({"Id": entry["Id"]})
            except SqsError as error:
                failed.append({"Id": entry["Id"], "SenderFault": True, "Code": error.kind, "Message": str(error)})
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
        wanted = fields.get("AttributeNames") or []
        if unknown := sorted(set(wanted) - set(known) - {"All"}):
            raise SqsError("InvalidAttributeName", f"Unknown Attribute {unknown[0]}.")
        return {"Attributes": {name: str(value) for name, value in known.items() if "All" in wanted or name in wanted}}

    def _purge(self, fields: Fields) -> Fields:
        self._log.purge(self._queue(fields))
        return {}


async def serve(context: NodeContext) -> None:
    """The queue of one region, until cancelled."""
    log = MessageLog(context.folder / "queue.db")
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
