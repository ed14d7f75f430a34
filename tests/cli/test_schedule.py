"""``simian schedule``, as people type it: what it says, what it refuses, what it keeps."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Call, Program

CALENDAR = 'calendar: {zone: Europe/Berlin, hours: "09:00-15:00", days: mon-fri, holidays: DE-BY}\n'
PICKY = """
from simian import Kill, Radius, monkey


@monkey(radius=Radius.NODE)
def picky(topology, rng, *, grace: int = 1, name: str = ""):
    \"\"\"Kill the first.\"\"\"
    return [Kill(topology.candidates()[0])]
"""


def test_a_name_that_is_made_of_an_experiments_is_one_that_the_api_takes(call: Call) -> None:
    added = call("schedule", "add", "users survive the loss of a region", "--every", "6h", "--json")
    assert added.document["schedule"]["name"] == "users-survive-the-loss-of-a-region-1", added.err


def test_a_schedule_is_added_listed_shown_paused_and_removed(call: Call) -> None:
    added = call("schedule", "add", "chaos", "--service", "store", "--cron", "0 10 * * tue", "--seed", "7", "--json")
    row = added.document["schedule"]
    assert (row["name"], row["monkey"], row["options"]) == ("chaos-1", "chaos", {"service": "store"})
    assert (row["when"], row["seed"], row["zone"]) == ({"cron": "0 10 * * tue"}, 7, "UTC")
    assert row["next"].endswith("T10:00:00.000000Z")
    assert "chaos-2: next" in call("schedule", "add", "chaos", "--every", "6h").out
    assert [one["name"] for one in call("schedule", "list", "--json").document["schedules"]] == ["chaos-1", "chaos-2"]
    assert "cron 0 10 * * tue" in call("schedule", "list").out
    assert call("schedule", "pause", "chaos-1").out == "schedule chaos-1 is paused\n"
    shown = call("schedule", "show", "chaos-1", "--json").document
    assert (shown["schedule"]["paused"], shown["schedule"]["next"], shown["dues"]) == (True, None, [])
    assert call("schedule", "resume", "chaos-1").out == "schedule chaos-1 is on\n"
    assert call("schedule", "remove", "chaos-1").code == 0
    gone = call("schedule", "show", "chaos-1")
    assert (gone.code, gone.err) == (2, "error: no schedule is called 'chaos-1'; there are: chaos-2\n")


def test_where_a_monkey_has_an_option_of_that_name_the_schedules_own_has_another(call: Call, shop: Program) -> None:
    of_berlin = ("--schedule-zone", "Europe/Berlin", "--at", "2036-06-01T10:00")
    added = call("schedule", "add", "gorilla", "--zone", "east-a", *of_berlin, "--json").document["schedule"]
    assert (added["options"], added["zone"]) == ({"zone": "east-a"}, "Europe/Berlin")
    assert added["when"] == {"at": "2036-06-01T08:00:00.000000Z"}
    assert "--schedule-zone" in call("schedule", "add", "gorilla", "--help").out
    assert "--schedule-zone" not in call("schedule", "add", "chaos", "--help").out

    shop.file("chaos/picky.py", PICKY)
    shop.file("simian.yaml", (shop.folder / "simian.yaml").read_text() + "plugins: [./chaos]\n")
    line = ("schedule", "add", "picky", "--grace", "3", "--name", "x", "--every", "6h", "--json")
    row = call(*line).document["schedule"]
    assert (row["name"], row["options"], row["grace_s"]) == ("picky-1", {"grace": 3, "name": "x"}, 600.0)
    row = call(*line, "--schedule-grace", "1h", "--schedule-name", "evenings").document["schedule"]
    assert (row["name"], row["options"], row["grace_s"]) == ("evenings", {"grace": 3, "name": "x"}, 3600.0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["chaos"], "due by one of cron, every, chance, at, not by nothing"),
        (["chaos", "--cron", "0 10 * * *", "--every", "1h"], "not by cron and every"),
        (["chaos", "--cron", "0 10 * * 8"], "cron '0 10 * * 8': bad day-of-week; right would be"),
        (["chaos", "--every", "0s"], "every 0.0 s cannot be; right would be between 1s and a year"),
        (["chaos", "--chance", "often"], 'right would be "mean 2d" or "mean 2d, min 1d"'),
        (["chaos", "--at", "2026-03-29T02:30", "--zone", "Europe/Berlin"], "does not exist in Europe/Berlin"),
        (["chaos", "--every", "1h", "--zone", "Mars"], "zone 'Mars' is not known; right would be like Europe/Berlin"),
        (["chaos", "--every", "1h", "--holidays", "DE-XX"], "holidays of 'DE-XX' are not known; regions of DE are"),
        (["chaos", "--every", "1h", "--misfire", "never"], "misfire 'never' is not known; right would be skip or late"),
        (["chaos", "--every", "1h", "--how", "smash"], "how"),
        (["nonesuch", "--every", "1h"], "no experiment is called 'nonesuch'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_could_never_run_is_told_at_once_and_nothing_is_kept(call: Call, line: list[str], said: str) -> None:
    answer = call("schedule", "add", *line)
    assert answer.code == 2, answer.out
    assert said in answer.err
    assert call("schedule", "list", "--json").document == {"schedules": []}


def test_a_preview_shows_the_same_die_that_will_be_thrown(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", (shop.folder / "simian.yaml").read_text() + CALENDAR)
    call("schedule", "add", "chaos", "--chance", "mean 1d", "--seed", "7")
    call("schedule", "add", "chaos", "--cron", "0 3 * * *", "--seed", "8", "--name", "nights")
    told = call("schedule", "preview", "--days", "14", "--json").document
    assert told == call("schedule", "preview", "--days", "14", "--json").document
    day, night = ([one for one in told["coming"] if one["schedule"] == name] for name in ("chaos-1", "nights"))
    assert len(night) == 14
    assert all(re.match("closed: ", one["why_not"]) and one["targets"] == [] for one in night)
    assert len(day) >= 8
    assert all(one["why_not"] is None and len(one["targets"]) == 1 for one in day)
    assert told["topology_hash"] == call("topology", "--json").document["hash"]
    other = call("schedule", "preview", "chaos-1", "--days", "14", "--seed", "9", "--json").document["coming"]
    assert [one["due"] for one in other] != [one["due"] for one in day]
    one = day[0]
    plan = call("chaos", "--seed", str(one["seed"]), "--plan", "--json").document["plan"]
    assert [fault["node"] for stage in plan["stages"] for fault in stage["faults"]] == one["targets"]


def test_one_is_shown_in_words(call: Call) -> None:
    often = ("--chance", "mean 2d, min 1d", "--hours", "09:00-15:00", "--zone", "Europe/Berlin", "--grace", "90m")
    call("schedule", "add", "chaos", "--service", "store", *often, "--closed", "2027-01-01", "--closed", "2027-05-01")
    call("schedule", "add", "kong", "--at", "2036-06-01T10:00", "--for", "40s", "--jitter", "5m")
    chaos, kong = (call("schedule", "show", name).out for name in ("chaos-1", "kong-1"))
    assert re.sub(r"seed: .*|made: .*|next: .*|owner: .*", "", chaos).split("\n\n")[0].split("\n") == [
        "name: chaos-1",
        "monkey: chaos",
        "options: service store",
        "when: chance, mean 2 d, min 1 d",
        "zone: Europe/Berlin",
        "calendar: hours 09:00-15:00; closed 2027-01-01, 2027-05-01",
        "misfire: skip",
        "grace: 90m",
        "overlap: skip",
    ]
    assert "for: 40s\n" in kong
    assert "when: at 2036-06-01T10:00Z\n" in kong
    assert "jitter: 5m\n" in kong
    assert re.search(r"\nmade: 20\d\d-\d\d-\d\d \d\d:\d\d UTC\n", kong)


def test_a_preview_names_each_target_once_however_many_faults_it_gets(call: Call) -> None:
    call("schedule", "add", "latency", "--every", "12h")
    coming = call("schedule", "preview", "--days", "2", "--json").document["coming"]
    assert coming
    assert all(len(one["targets"]) == len(set(one["targets"])) > 1 for one in coming)


def test_schedules_of_the_file_are_checked_with_it(shop: Program, call: Call) -> None:
    text = (shop.folder / "simian.yaml").read_text()
    shop.file(
        "simian.yaml", text + 'schedules:\n  - {name: a, monkey: chaos, cron: "0 10 * *"}\n  - {name: a, every: 1h}\n'
    )
    answer = call("schedule", "list")
    assert answer.code == 2
    assert "simian.yaml:7: schedules.0: cron '0 10 * *' has not five fields" in answer.err
    assert "simian.yaml:8: schedules.1.name: 'a' is there twice" in answer.err
    assert "simian.yaml:8: schedules.1: a schedule is of one monkey or of one experiment" in answer.err


class Listening:
    """Stands where a daemon would: what it was told, and whether it answers."""

    def __init__(self, shop: Program) -> None:
        shop.state.mkdir(parents=True, exist_ok=True)
        self.answers, self.told, self._kept = True, list[Any](), list[socket.socket]()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(shop.state / "serve.sock"))
        self._server.listen()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._kept.append(connection)
            self.told.append(json.loads(connection.makefile("rb").readline()))
            if self.answers:
                connection.sendall(b'{"ok": {}}\n')

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for one in [self._server, *self._kept]:
            one.close()


@pytest.fixture
def daemon(shop: Program) -> Iterator[Listening]:
    listening = Listening(shop)
    yield listening
    listening.close()


def test_a_daemon_that_runs_is_told_of_each_change(call: Call, daemon: Listening) -> None:
    for line in (["add", "chaos", "--every", "6h"], ["pause", "chaos-1"], ["resume", "chaos-1"], ["remove", "chaos-1"]):
        assert call("schedule", *line).code == 0
    assert [told["do"] for told in daemon.told] == ["schedules-changed"] * 4
    assert all("by" in told for told in daemon.told)
    call("schedule", "list")
    call("schedule", "add", "chaos")  # which is refused
    assert len(daemon.told) == 4


def test_a_daemon_that_hangs_or_is_gone_keeps_nobody_from_changing_schedules(call: Call, daemon: Listening) -> None:
    daemon.answers = False
    assert call("schedule", "add", "chaos", "--every", "6h").code == 0
    assert len(daemon.told) == 1
    daemon.close()  # its socket is left behind
    gone = call("schedule", "pause", "chaos-1")
    assert (gone.code, gone.err) == (0, "")


def test_old_runs_and_due_times_are_pruned(call: Call) -> None:
    assert call("history", "prune", "--keep", "180d", "--json").document["pruned"] == {"runs": 0, "dues": 0}
    wrong = call("history", "prune", "--keep", "long")
    assert (wrong.code, "--keep: 'long' is no duration" in wrong.err) == (2, True)
    assert call("history").code == 0
