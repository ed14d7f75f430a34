"""The contract of SQS, in the forms that the lab uses: our stand-in, and ElasticMQ."""

import asyncio
import http.client
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from simian_filters.rules import Rule, Rules
from simian_lab.calls import Callee, Caller
from simian_lab.http import Closed, ConnectRefused, HttpError, Pool, TimedOut
from simian_lab.members_invalidation import Queue as QueueClient
from simian_lab.sqs import NoSuchQueue, Sqs, md5_of, md5_of_attributes

from .one_node import PATIENCE_S, STAND_IN, OneNode, one_node, wait_for

NAMES = (f"q{number}" for number in itertools.count())
ALL = {"AttributeNames": ["All"]}
MANY = {"MaxNumberOfMessages": 10}
TYPE = "com.amazonaws.sqs#"


class Queue:
    """A new queue of the server, asked by hand."""

    def __init__(self, node: OneNode, **attributes: str) -> None:
        self.node, self.name = node, next(NAMES)
        self.url = f"http://{node.spec.address}/000000000000/{self.name}"
        made = self.ask("CreateQueue", QueueName=self.name, Attributes=attributes)
        assert made == (200, {"QueueUrl": self.url})

    def ask(self, action: str, /, **fields: Any) -> tuple[int, dict[str, Any]]:
        """Status, and the JSON of the answer (nothing where it is empty)."""
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"AmazonSQS.{action}"}
        host, port = self.node.spec.host, self.node.spec.port
        with closing(http.client.HTTPConnection(host, port, timeout=PATIENCE_S)) as connection:
            connection.request("POST", "/", json.dumps({"QueueUrl": self.url} | fields), headers)
            response = connection.getresponse()
            told = response.read()
        return response.status, json.loads(told) if told else {}

    def good(self, action: str, /, **fields: Any) -> dict[str, Any]:
        """The answer, which must be a success."""
        status, told = self.ask(action, **fields)
        assert status == 200, told
        return told

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.good("SendMessage", MessageBody=body)

    def receive(self, **fields: Any) -> list[dict[str, Any]]:
        return list(self.good("ReceiveMessage", **fields)["Messages"])

    def bodies(self, **fields: Any) -> list[str]:
        return [message["Body"] for message in self.receive(**fields)]

    def counts(self) -> tuple[int, ...]:
        """How many are visible, hidden, delayed."""
        told = self.good("GetQueueAttributes", **ALL)["Attributes"]
        return tuple(int(told[f"ApproximateNumberOfMessages{which}"]) for which in ("", "NotVisible", "Delayed"))


@pytest.fixture(scope="module", params=[STAND_IN, "sqs"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneNode]:
    with one_node(tmp_path_factory.mktemp("sqs"), "queue-east", request.param) as node:
        yield node


@pytest.fixture
def queue(server: OneNode) -> Queue:
    return Queue(server)


def test_a_queue_that_is_there_is_made_again_without_harm_and_found_by_its_name(queue: Queue) -> None:
    queue.send("x")
    assert queue.good("CreateQueue", QueueName=queue.name) == {"QueueUrl": queue.url}
    assert queue.good("GetQueueUrl", QueueName=queue.name) == {"QueueUrl": queue.url}
    assert queue.counts() == (1, 0, 0)


def test_a_message_is_sent_received_once_and_deleted(queue: Queue) -> None:
    sent = queue.good("SendMessage", MessageBody="hello")
    assert sent["MD5OfMessageBody"] == "5d41402abc4b2a76b9719d911017c592"
    (message,) = queue.receive()
    assert (message["Body"], message["MD5OfBody"], message["MessageId"]) == (
        "hello",
        md5_of("hello"),
        sent["MessageId"],
    )
    assert queue.receive() == []
    assert queue.counts() == (0, 1, 0)
    assert queue.ask("DeleteMessage", ReceiptHandle=message["ReceiptHandle"]) == (200, {})
    assert queue.counts() == (0, 0, 0)


def test_of_its_attributes_a_message_shows_what_is_asked_for(queue: Queue) -> None:
    own = {"kind": {"DataType": "String", "StringValue": "b"}}
    sent = queue.good("SendMessage", MessageBody="x", MessageAttributes=own)
    assert sent["MD5OfMessageAttributes"] == md5_of_attributes(own)
    (plain,) = queue.receive(VisibilityTimeout=0)
    assert "Attributes" not in plain
    assert "MessageAttributes" not in plain
    (message,) = queue.receive(VisibilityTimeout=0, AttributeNames=["ApproximateReceiveCount"])
    assert message["Attributes"] == {"ApproximateReceiveCount": "2"}
    (message,) = queue.receive(MessageAttributeNames=["All"], **ALL)
    assert abs(int(message["Attributes"]["SentTimestamp"]) / 1000 - time.time()) < PATIENCE_S
    assert message["MessageAttributes"]["kind"]["StringValue"] == "b"
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]


def test_a_long_poll_wakes_when_a_message_is_sent(queue: Queue) -> None:
    got: list[list[str]] = []
    waiting = threading.Thread(target=lambda: got.append(queue.bodies(WaitTimeSeconds=20)))
    began = time.monotonic()
    waiting.start()
    queue.send("x")
    waiting.join()
    assert got == [["x"]]
    assert time.monotonic() - began < 20


def test_a_long_poll_with_nothing_to_tell_ends_when_its_time_is_over(queue: Queue) -> None:
    began = time.monotonic()
    assert queue.receive(WaitTimeSeconds=1) == []
    assert time.monotonic() - began >= 1


def test_a_message_that_is_not_deleted_comes_again(queue: Queue) -> None:
    queue.send("x")
    assert queue.bodies(VisibilityTimeout=1) == ["x"]
    (again,) = queue.receive(WaitTimeSeconds=20, **ALL)
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_queue_may_say_how_long_messages_stay_hidden(server: OneNode) -> None:
    queue = Queue(server, VisibilityTimeout="1")
    assert queue.good("GetQueueAttributes", **ALL)["Attributes"]["VisibilityTimeout"] == "1"
    queue.send("x")
    assert queue.bodies() == queue.bodies(WaitTimeSeconds=20) == ["x"]


def test_a_message_may_be_delayed(queue: Queue) -> None:
    queue.good("SendMessage", MessageBody="later", DelaySeconds=1)
    queue.good("SendMessage", MessageBody="much later", DelaySeconds=900)
    assert queue.counts() == (0, 0, 2)
    assert queue.bodies(WaitTimeSeconds=20, **MANY) == ["later"]


def test_only_the_last_receipt_deletes_and_only_once(queue: Queue) -> None:
    queue.send("x")
    (first,) = queue.receive(VisibilityTimeout=0)
    (second,) = queue.receive(VisibilityTimeout=60)
    for receipt in (first["ReceiptHandle"], "bad", "1.2"):
        status, told = queue.ask("DeleteMessage", ReceiptHandle=receipt)
        assert (status, told["__type"]) == (400, TYPE + "ReceiptHandleIsInvalid")
    assert queue.ask("DeleteMessage", ReceiptHandle=second["ReceiptHandle"])[0] == 200
    assert queue.ask("DeleteMessage", ReceiptHandle=second["ReceiptHandle"])[0] == 400
    assert queue.counts() == (0, 0, 0)


def test_batches_tell_which_entries_failed(queue: Queue) -> None:
    entries = [{"Id": "1", "MessageBody": "a"}, {"Id": "2", "MessageBody": ""}, {"Id": "3", "MessageBody": "b"}]
    answer = queue.good("SendMessageBatch", Entries=entries)
    assert [(entry["Id"], entry["MD5OfMessageBody"]) for entry in answer["Successful"]] == [
        ("1", md5_of("a")), ("3", md5_of("b")),
    ]  # fmt: skip
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("2", "InvalidAttributeValue", True)
    first, second = queue.receive(**MANY)
    entries = [
        {"Id": "1", "ReceiptHandle": first["ReceiptHandle"]},
        {"Id": "2", "ReceiptHandle": "bad"},
        {"Id": "3", "ReceiptHandle": second["ReceiptHandle"]},
    ]
    answer = queue.good("DeleteMessageBatch", Entries=entries)
    assert answer["Successful"] == [{"Id": "1"}, {"Id": "3"}]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("2", "ReceiptHandleIsInvalid")]
    assert queue.counts() == (0, 0, 0)


@pytest.mark.parametrize(
    ("action", "fields", "kind"),
    [
        ("SendMessage", {"QueueUrl": "http://x/0/none", "MessageBody": "x"}, "QueueDoesNotExist"),
        ("ReceiveMessage", {"QueueUrl": "http://x/0/none"}, "QueueDoesNotExist"),
        ("GetQueueUrl", {"QueueName": "none"}, "QueueDoesNotExist"),
        ("CreateQueue", {"QueueName": "a/b"}, "InvalidAttributeName"),
        ("CreateQueue", {"QueueName": "never", "Attributes": {"VisibilityTimeout": "x"}}, "InvalidParameterValue"),
        ("ReceiveMessage", {"MaxNumberOfMessages": 11}, "InvalidAttributeValue"),
        ("ReceiveMessage", {"MaxNumberOfMessages": 0}, "InvalidAttributeValue"),
        ("ReceiveMessage", {"WaitTimeSeconds": 21}, "InvalidAttributeValue"),
        ("SendMessage", {"MessageBody": ""}, "InvalidAttributeValue"),
        ("SendMessage", {"MessageBody": "x" * (1 << 20) + "x"}, "InvalidAttributeValue"),
        ("SendMessage", {"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValue"),
        ("SendMessageBatch", {"Entries": [{"Id": str(at), "MessageBody": "x"} for at in range(11)]},
         "TooManyEntriesInBatchRequest"),
        ("SendMessageBatch", {"Entries": [{"Id": "1", "MessageBody": "x"}] * 2}, "BatchEntryIdsNotDistinct"),
        ("Vanish", {}, "InvalidAction"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_is_wrong_is_named(queue: Queue, action: str, fields: dict[str, Any], kind: str) -> None:
    status, told = queue.ask(action, **fields)
    assert (status, told["__type"]) == (400, TYPE + kind)
    assert told["Message"]
    assert queue.counts() == (0, 0, 0)


def test_a_message_of_a_mebibyte_is_kept(queue: Queue) -> None:
    body = "x" * (1 << 20)
    queue.send(body)
    assert queue.bodies() == [body]


def test_figures_that_nobody_knows_are_left_out(queue: Queue) -> None:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfNothing"]
    told = queue.good("GetQueueAttributes", AttributeNames=names)
    assert told == {"Attributes": {"ApproximateNumberOfMessages": "0"}}


def test_purge_leaves_nothing(queue: Queue) -> None:
    queue.send("x", "y")
    assert queue.good("PurgeQueue") == {}
    wait_for(lambda: queue.counts() == (0, 0, 0), "empty")
    assert queue.receive() == []


def test_what_was_sent_outlives_a_kill(queue: Queue) -> None:
    sent = [str(number) for number in range(15)]
    queue.send("hidden")
    assert queue.bodies(VisibilityTimeout=600) == ["hidden"]
    queue.send(*sent)
    queue.node.kill()
    queue.node.start()
    wait_for(lambda: queue.counts() == (15, 1, 0), "as it was")
    assert sorted(queue.bodies(**MANY) + queue.bodies(**MANY), key=int) == sent


@asynccontextmanager
async def our_own(caller: Caller, callee: Callee, name: str) -> AsyncIterator[QueueClient]:
    yield Sqs(caller, "members-east-a", callee, name)


def amazons(caller: Caller, callee: Callee, name: str) -> AbstractAsyncContextManager[QueueClient]:
    sqs_amazon = pytest.importorskip("simian_lab.sqs_amazon")
    made: AbstractAsyncContextManager[QueueClient] = sqs_amazon.queue_of(caller, "members-east-a", callee, name)
    return made


Made = Callable[[Caller, Callee, str], AbstractAsyncContextManager[QueueClient]]
CLIENTS = pytest.mark.parametrize("client_of", [our_own, amazons])


def used(client_of: Made, server: OneNode, use: Callable[[QueueClient, Rules], Awaitable[None]]) -> None:
    """A client of a new queue, used."""

    async def main() -> None:
        pool, rules = Pool(), Rules()
        callee = Callee("queue-east", "queue", server.spec.host, server.spec.port)
        async with client_of(Caller(pool, rules), callee, next(NAMES)) as client:
            await use(client, rules)
        await pool.aclose()
        await asyncio.sleep(0.01)

    asyncio.run(main())


@CLIENTS
def test_the_labs_client_makes_the_queue_that_is_missing_and_uses_it(client_of: Made, server: OneNode) -> None:
    async def use(client: QueueClient, rules: Rules) -> None:
        with pytest.raises(NoSuchQueue):
            await client.send(["x"])
        await client.create()
        await client.create()
        await client.send(["x", "y"])
        received = await client.receive(wait_s=1, hidden_s=30)
        assert [(each.body, each.receives) for each in received] == [("x", 1), ("y", 1)]
        await client.delete([each.receipt for each in received])
        assert await client.receive(wait_s=0, hidden_s=0) == []

    used(client_of, server, use)


@CLIENTS
def test_the_labs_client_does_as_the_rules_of_its_node_say(client_of: Made, server: OneNode) -> None:
    async def use(client: QueueClient, rules: Rules) -> None:
        await client.create()
        rules.put(Rule("mark", "client", 1.0, 1, status=503, callee="queue", expires_in_s=60.0))
        with pytest.raises(HttpError):
            await client.send(["x"])
        rules.remove("mark")
        await client.send(["y"])
        assert [each.body for each in await client.receive(wait_s=1, hidden_s=30)] == ["y"]

    used(client_of, server, use)


@CLIENTS
def test_the_labs_client_tells_a_queue_that_is_paused_or_gone(
    client_of: Made, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async def use(client: QueueClient, rules: Rules) -> None:
        await client.create()
        node.pause()
        with pytest.raises(TimedOut):
            await client.send(["x"])
        node.kill()
        with pytest.raises((Closed, ConnectRefused)):
            await client.send(["x"])

    with one_node(tmp_path, "queue-east", STAND_IN) as node:
        used(client_of, node, use)
