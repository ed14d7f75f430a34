"""Channels, each against what really receives: a server on loopback, a program, a service that apprise knows."""

import hashlib
import hmac
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from simian.errors import UsageError
from simian.notify import channels_of
from simian.notify.channels import seconds_after
from simian.notify.parcel import NotSent, Parcel

from .conftest import Receiver

MESSAGE = {"sentence": "HELD: gorilla on lab. Users did not notice.", "run": "r1", "monkey": "gorilla", "reasons": []}
PARCEL = Parcel("0123456789abcdef", "verdict", MESSAGE, 1_800_000_000.25)
SECRET = {"HOOK_SECRET": "hunter2", "HOOK_URL": "", "APPRISE_URL": ""}


def send(settings: dict[str, Any], environment: dict[str, str] | None = None, limit_s: float = 20.0) -> None:
    [channel] = channels_of([settings])
    channel.way.send(PARCEL, SECRET if environment is None else environment, limit_s)


def test_a_receiver_can_check_the_signature_with_what_the_docs_say(receiver: Receiver) -> None:
    send({"webhook": f"{receiver.url}/hooks/1?team=a", "secret": {"env": "HOOK_SECRET"}})
    [(path, headers, body)] = receiver.got
    assert path == "/hooks/1?team=a"
    assert json.loads(body) == {"event": "verdict", "key": PARCEL.key, **MESSAGE}
    assert headers["idempotency-key"] == PARCEL.key
    page = (Path(__file__).parent.parent.parent / "docs" / "notifications.md").read_text()
    named: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], named)
    genuine, now = named["genuine"], 1_800_000_100.0
    assert genuine(headers, body, b"hunter2", now) is True
    assert genuine(headers, body + b" ", b"hunter2", now) is False
    assert genuine(headers, body, b"hunter3", now) is False
    assert genuine(headers, body, b"hunter2", now + 3600) is False, "an old one that is sent again by a stranger"
    assert genuine({**headers, "x-simian-timestamp": "1800000099"}, body, b"hunter2", now) is False
    made = hmac.new(b"hunter2", b"1800000000." + body, hashlib.sha256).hexdigest()
    assert headers["x-simian-signature"] == f"sha256={made}"


def test_without_a_secret_nothing_is_signed_and_the_address_may_be_one(receiver: Receiver) -> None:
    send({"webhook": {"env": "HOOK_URL"}}, {"HOOK_URL": f"{receiver.url}/T0/B0/xyz"})
    [(path, headers, _)] = receiver.got
    assert path == "/T0/B0/xyz"
    assert "x-simian-signature" not in headers


@pytest.mark.parametrize(
    ("status", "for_good"), [(500, False), (503, False), (429, False), (400, True), (404, True), (302, True)]
)
def test_an_answer_that_is_no_yes_is_told_and_a_redirect_is_not_followed(
    receiver: Receiver, status: int, for_good: bool
) -> None:
    receiver.statuses = [status]
    with pytest.raises(NotSent, match=f"answered {status}") as raised:
        send({"webhook": f"{receiver.url}/secret-path"})
    assert raised.value.for_good is for_good
    assert len(receiver.got) == 1
    assert "secret-path" not in str(raised.value)


@pytest.mark.parametrize(
    ("asked", "after_s"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Fri, 15 Jan 2027 08:01:40 GMT", 99.75),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("", 0.0),
    ],
)
def test_a_receiver_says_when_to_come_again(receiver: Receiver, asked: str, after_s: float) -> None:
    assert seconds_after(asked, PARCEL.at_s) == after_s
    receiver.statuses, receiver.retry_after = [503], asked.strip()
    with pytest.raises(NotSent) as raised:
        send({"webhook": receiver.url})
    assert (raised.value.after_s, raised.value.for_good) == (after_s, False)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_webhook_where_clouds_keep_credentials_is_not_asked_and_never_will_be(scheme: str, host: str) -> None:
    url = f"{scheme}://{host}/latest/hunter2"
    with pytest.raises(NotSent, match="an address that webhooks do not ask") as raised:
        send({"webhook": {"env": "HOOK_URL"}}, {"HOOK_URL": url})
    assert raised.value.for_good
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("how", ["hanging", "dripping"])
def test_a_receiver_that_never_ends_its_answer_is_left_at_the_deadline(receiver: Receiver, how: str) -> None:
    setattr(receiver, how, True)
    began = time.monotonic()
    with pytest.raises(NotSent, match=r"gave no answer to POST in 1 s|does not answer"):
        send({"webhook": receiver.url}, limit_s=1.0)
    assert time.monotonic() - began < 20


def test_nobody_listens(receiver: Receiver) -> None:
    with pytest.raises(NotSent, match="nobody listens there") as raised:
        send({"webhook": "http://127.0.0.1:1/x"})
    assert not raised.value.for_good


def test_a_secret_that_is_missing_is_told_by_its_name() -> None:
    with pytest.raises(UsageError, match="HOOK_SECRET is not set"):
        send({"webhook": "http://127.0.0.1:1/x", "secret": {"env": "HOOK_SECRET"}}, {})
    with pytest.raises(NotSent, match=r"address is none") as raised:
        send({"webhook": {"env": "HOOK_URL"}}, {"HOOK_URL": "hunter2"})
    assert raised.value.for_good
    assert "hunter2" not in str(raised.value)


def test_a_command_gets_the_message_and_no_environment(tmp_path: Path) -> None:
    said = tmp_path / "said"
    program = f"import os, sys; open({str(said)!r}, 'w').write(sys.stdin.read() + '|' + ','.join(sorted(os.environ)))"
    send({"command": [sys.executable, "-c", program]})
    body, _, names = said.read_text().partition("|")
    assert json.loads(body)["sentence"] == MESSAGE["sentence"]
    assert set(names.split(",")) <= {"PATH", "LANG", "LC_CTYPE"}
    with pytest.raises(NotSent, match="exit code 3, not 0"):
        send({"command": ["sh", "-c", "exit 3"]})
    with pytest.raises(NotSent, match="no-such-program could not be started"):
        send({"command": ["no-such-program"]})
    send({"command": ["true"]})  # that does not read what it is given


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with pytest.raises(NotSent, match="had not ended after 3 s"):
        send({"command": ["sh", "-c", f"sleep 600 & echo $! > {mark}; wait"]}, limit_s=3.0)
    stat, until = Path(f"/proc/{mark.read_text().strip()}/stat"), time.monotonic() + 60
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_service_that_apprise_knows_is_told(receiver: Receiver) -> None:
    address = receiver.url.replace("http://", "json://") + "/hooks"
    receiver.statuses = [200]
    send({"apprise": {"env": "APPRISE_URL"}}, {"APPRISE_URL": address})
    [(path, _, body)] = receiver.got
    assert path.startswith("/hooks")
    assert json.loads(body)["title"] == "simian: verdict: gorilla"
    assert MESSAGE["sentence"] in json.loads(body)["message"]
    receiver.statuses = [500]
    with pytest.raises(NotSent, match="did not take it") as raised:
        send({"apprise": address})
    assert not raised.value.for_good
    with pytest.raises(NotSent, match="none that apprise knows") as raised:
        send({"apprise": "hunter2://x"})
    assert raised.value.for_good
    assert "hunter2" not in str(raised.value)


def test_names_make_no_links_and_mentions_in_a_chat(receiver: Receiver) -> None:
    nasty = "HELD: <!channel> @here [mend](http://bad) `x`"
    [channel] = channels_of([{"apprise": receiver.url.replace("http://", "json://")}])
    receiver.statuses = [200]
    channel.way.send(Parcel("k", "verdict", {"sentence": nasty}, 1.0), {}, 20.0)
    told = json.loads(receiver.got[0][2])["message"]
    assert told == "HELD: ‹!channel› ＠here [mend] (http://bad) 'x'"


def test_without_apprise_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotSent, match=r"install it: pip install simian-army\[notify\]"):
        send({"apprise": "json://127.0.0.1:1"})


def test_no_name_of_a_channel_has_a_secret_in_it() -> None:
    made = channels_of(
        [
            {"webhook": "https://hooks.example/T0/hunter2?a=hunter2"},
            {"webhook": {"env": "HOOK_URL"}},
            {"command": ["/usr/bin/tell", "--token", "hunter2"]},
            {"apprise": "slack://hunter2/hunter2"},
            {"apprise": {"file": "/run/apprise"}},
        ]
    )
    names = [channel.name for channel in made]
    assert "hunter2" not in str(names)
    assert names[0].startswith("webhook https://hooks.example (")
    assert names[1] == "webhook {env: HOOK_URL}"
    assert names[2].startswith("command /usr/bin/tell (")
    assert names[3].startswith("apprise slack (")
    assert names[4] == "apprise {file: /run/apprise}"
