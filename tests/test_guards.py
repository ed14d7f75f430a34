"""Guards: any doubt refuses a run, and ends one that goes on; they are no steady state, and hold nobody up."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest

from simian.attention import Aborted, Attention, Tools
from simian.clock import SystemClock
from simian.guards import STARTS_WITHIN_S, Guard, Guards
from simian.halt import HaltLever
from simian.hands import OneByOne
from simian.history.moment import to_us
from simian.journal import Journal
from simian.lease import NoGuardian
from simian.memory import MemoryWorld
from simian.memory.watch import Look
from simian.monkey import find_monkeys
from simian.probe import CheckReading
from simian.simulation import Simulation
from simian.steady_state import Exposure, SteadyState
from simian.watch import Watch

PATIENCE_S = 60.0
FILE = {"file": "/etc/no-chaos"}
FILE_NAME = "guard: file /etc/no-chaos"
STATUS = {"http": "https://status.example/ok", "every_s": 5.0, "deadline_s": 3.0}
STATUS_NAME = "guard: http https://status.example/ok"
ERRORS = {"prometheus": "sum(errors)", "url": "http://127.0.0.1:9090", "tolerance": "<= 0"}
ALERTS = {"alertmanager": "http://127.0.0.1:9093", "matching": {"severity": "critical"}}
COMMAND = {"command": ["may-we", "break it"]}
ROUGH = ({"name": "requests succeed", "probe": {"users": "success_share"}, "tolerance": ">= 99 %"},)


# --- one reading decides


@pytest.mark.parametrize(
    ("settings", "value", "detail", "said"),
    [
        (FILE, 1.0, "not there", ""),
        (FILE, 0.0, "", "guard: the file /etc/no-chaos is there; remove it when chaos is welcome again"),
        (STATUS, 1.0, "200", ""),
        (STATUS, 0.0, "503", "guard: https://status.example/ok did not answer 200: 503"),
        ({**STATUS, "expect": 204}, 0.0, "200", "guard: https://status.example/ok did not answer 204: 200"),
        (ERRORS, 0.0, "", ""),
        (ERRORS, 2.5, "", "guard: sum(errors) is 2.5; right would be <= 0"),
        (ERRORS, None, "the query gave nothing", "could not be asked: the query gave nothing"),
        (ALERTS, 0.0, "", ""),
        (ALERTS, 1.0, "Errors", "guard: alerts fire: Errors; wait until they are over, or silence them"),
        (COMMAND, 1.0, "exit code 0", ""),
        (COMMAND, 0.0, "exit code 3", "guard: may-we 'break it' ended with exit code 3, not 0"),
        (COMMAND, float("nan"), "", "guard: command may-we 'break it' could not be asked"),
    ],
)
def test_one_reading_decides(settings: dict[str, Any], value: float | None, detail: str, said: str) -> None:
    guard = Guard.of(settings)
    told = guard.why_not(CheckReading(guard.check.name, 1.0, value, detail=detail))
    assert said in told
    assert bool(said) == bool(told)


def test_a_no_stays_and_silence_for_too_long_is_a_no() -> None:
    guards = Guards([STATUS])
    assert guards.unheard == [STATUS_NAME]
    assert guards.take(CheckReading(STATUS_NAME, 1.0, 1.0), 100.0) is True
    assert guards.take(CheckReading("another check", 1.0, 0.0), 100.0) is False
    limit_s = 5.0 + 3.0 + STARTS_WITHIN_S
    assert guards.why_closed(100.0 + limit_s) == []
    assert "has said nothing for 29 s; that is doubt" in guards.why_closed(101.0 + limit_s)[0]
    guards.take(CheckReading(STATUS_NAME, 2.0, 0.0, detail="503"), 130.0)
    guards.take(CheckReading(STATUS_NAME, 3.0, 1.0), 131.0)
    assert guards.why_closed(131.0) == ["guard: https://status.example/ok did not answer 200: 503"]


def test_what_this_version_does_not_know_is_doubt() -> None:
    guards = Guards([{"pigeon": "grey"}, {"prometheus": "up"}])
    assert guards.checks == []
    assert ["cannot be asked by this version" in line for line in guards.why_closed(0.0)] == [True, True]


# --- whole runs in memory


def picture(memory: MemoryWorld) -> dict[str, Any]:
    state = memory.state
    nodes = {name: (one.state, one.held, state.ready(one), tuple(one.rules)) for name, one in state.nodes.items()}
    return nodes | {name: (one.enabled, tuple(one.ours), tuple(one.foreign)) for name, one in state.links.items()}


@dataclass
class Word:
    """What a guard says: ``yes`` until this moment of simulated time after it was first asked, then ``no``."""

    until_s: float = float("inf")
    no: Callable[[], float | None] = lambda: 0.0
    asked: int = 0
    clock: Any = None
    began_s: float = 0.0

    def __call__(self) -> float | None:
        self.began_s = self.began_s if self.asked else self.clock.elapsed()
        self.asked += 1
        return 1.0 if self.clock.elapsed() - self.began_s < self.until_s else self.no()


def live(words: dict[str, Word], guards: list[dict[str, Any]], **asked: Any) -> tuple[dict[str, Any], bool]:
    """The record of a run of Gorilla, and whether the world is as before."""
    looks: dict[str, Look] = dict(words)
    sim = Simulation.seeded(7, looks=looks)
    for word in words.values():
        word.clock = sim.memory.clock
    before = picture(sim.memory)
    wanted = {"checks": ROUGH, "baseline_s": 10.0, "for_s": 60.0, "guards": guards, **asked}
    record = sim.run(find_monkeys().get("gorilla"), **wanted)
    return record, picture(sim.memory) == before


def crash() -> float:
    raise OSError("no route")


def test_a_run_whose_guards_say_yes_goes_on_and_asks_them_again_and_again() -> None:
    word = Word()
    record, as_before = live({FILE_NAME: word}, [FILE])
    assert (record["outcome"], record["verdict"]) == ("completed", "held"), record["reasons"]
    assert as_before
    assert word.asked >= (10 + 60) / 5
    assert [check["check"] for check in record["steady_state"]] == ["requests succeed"], "a guard is no steady state"


@pytest.mark.parametrize(
    ("no", "said"),
    [(lambda: 0.0, "is there; remove it"), (lambda: None, "gave no answer"), (crash, "could not be asked: OSError")],
)
def test_before_a_run_a_no_and_any_doubt_refuse(no: Callable[[], float | None], said: str) -> None:
    words = {FILE_NAME: Word(until_s=0.0, no=no), STATUS_NAME: Word(until_s=0.0)}
    record, as_before = live(words, [FILE, STATUS], limits={"radius": "node"})
    assert (record["outcome"], record["faults"]) == ("refused", [])
    assert as_before
    assert [said in line for line in record["reasons"]].count(True) == 1
    told = "\n".join(record["reasons"])
    assert "limits.radius" in told, "every reason at once"
    assert "https://status.example/ok did not answer 200" in told


@pytest.mark.parametrize(
    ("no", "said"),
    [
        (lambda: 0.0, "aborted: guard: the file /etc/no-chaos is there; remove it"),
        (lambda: None, "aborted: guard: file /etc/no-chaos gave no answer: no answer within 3 s"),
        (crash, "aborted: guard: file /etc/no-chaos could not be asked: OSError: no route"),
    ],
)
def test_a_guard_that_turns_bad_amid_a_run_ends_it_and_all_is_put_back(
    no: Callable[[], float | None], said: str
) -> None:
    word = Word(until_s=40.0, no=no)
    record, as_before = live({FILE_NAME: word, STATUS_NAME: Word()}, [FILE, STATUS])
    assert (record["outcome"], record["recovery"]) == ("aborted", "clean")
    assert record["verdict"] == "unknown", "a guard is never what breaks a verdict"
    assert record["reasons"][0].startswith(said)
    assert {fault["state"] for fault in record["faults"]} == {"undone"}
    assert as_before


def test_a_guard_that_turns_bad_in_the_baseline_ends_the_run_before_anything_is_touched() -> None:
    record, as_before = live({FILE_NAME: Word(until_s=4.0)}, [FILE])
    assert (record["outcome"], record["verdict"], record["faults"]) == ("aborted", "unknown", [])
    assert as_before


def test_no_guard_stops_the_undo() -> None:
    """It turns bad while things are put back: the run has done what it was to do."""
    word, often = Word(), [{**FILE, "every_s": 0.5}]
    record, _ = live({FILE_NAME: word}, often)
    recover = next(phase for phase in record["phases"] if phase["phase"] == "recover")
    first = record["readings"][0]["at"]
    late = Word(until_s=to_us(recover["started"]) / 1e6 - first + 0.001)
    record, as_before = live({FILE_NAME: late}, often)
    assert (record["outcome"], record["verdict"]) == ("completed", "held"), record["reasons"]
    assert [one for one in record["readings"] if one["value"] == 0.0], "it did say no"
    assert as_before


def test_halted_is_refused_also_where_guards_are_asked() -> None:
    sim = Simulation.seeded(7, looks={FILE_NAME: lambda: 1.0})
    HaltLever(sim.folder / "halt").pull("incident 7")
    record = sim.run(find_monkeys().get("gorilla"), guards=[FILE], checks=ROUGH)
    assert record["outcome"] == "refused"
    assert "halted: incident 7" in record["reasons"][0]


def test_a_leashed_run_asks_them_too() -> None:
    record, _ = live({FILE_NAME: Word(until_s=0.0)}, [FILE], leashed=True)
    assert record["outcome"] == "refused"


# --- real processes, real servers, the real clock


@dataclass
class Site:
    """Answers ``status``; while ``hanging`` is set, nothing."""

    status: int = 200
    url: str = ""
    asked: int = 0

    def __post_init__(self) -> None:
        self.hanging, self.over = threading.Event(), threading.Event()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            if made.hanging.is_set():
                made.over.wait(PATIENCE_S)
            self.send_response(made.status)
            self.send_header("Location", "/elsewhere.html")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    made.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Renewed(NoGuardian):
    """Tells when the runner's thread was free to renew its lease."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def renew(self) -> None:
        self.at.append(time.monotonic())


@pytest.fixture
def attend(tmp_path: Path) -> Iterator[Callable[[list[dict[str, Any]]], Attention]]:
    """What a runner does while it waits, with real processes for these guards."""
    made: list[Attention] = []

    def make(guards: list[dict[str, Any]]) -> Attention:
        sim, clock = Simulation.seeded(1), SystemClock()
        all_of_them = Guards(guards)
        tools = Tools(
            world=replace(sim.memory.world, clock=clock),
            journal=Journal(tmp_path / "journal.db"),
            hands=OneByOne(Random(1)),
            watch=Watch(all_of_them.checks, None, [], clock),
            lease=Renewed(),
            lever=HaltLever(tmp_path / "halt"),
            emit=lambda event: None,
            why_stop=lambda: "",
        )
        tools.journal.begin("me", at=clock.now(), owner=(0, ""), request={}, world={})
        made.append(Attention("me", tools, SteadyState([]), Exposure(), guards=all_of_them))
        return made[-1]

    yield make
    for one in made:
        one.end()


PACE = {"every_s": 0.2, "deadline_s": 20.0}


def test_every_kind_is_really_asked_and_every_no_is_told(
    site: Site, attend: Callable[..., Attention], tmp_path: Path
) -> None:
    (tmp_path / "no-chaos").write_text("")
    site.status = 503
    said = attend(
        [
            {"file": str(tmp_path / "no-chaos"), **PACE},
            {"file": str(tmp_path / "not-there"), **PACE},
            {"http": site.url, "expect": 503, **PACE},
            {"http": f"{site.url}/ok", **PACE},
            {"http": "http://127.0.0.1:1/ok", **PACE},
            {"command": ["true"], **PACE},
            {"command": ["sh", "-c", 'test -z "$HOME" || exit 2; exit 3'], **PACE},
            {"command": ["no-such-program"], **PACE},
            {"prometheus": "up", "url": site.url, "tolerance": "<= 0", **PACE},
            {"alertmanager": site.url, "token": {"env": "SIMIAN_NO_SUCH_TOKEN"}, **PACE},
        ]
    ).ask_guards()
    expected = [
        "no-chaos is there; remove it when chaos is welcome again",
        "/ok did not answer 200: 503",
        "http://127.0.0.1:1/ok did not answer 200: ConnectionRefusedError",
        "exit 3' ended with exit code 3, not 0",
        "command no-such-program could not be asked: ",
        "could not be asked: probe 'prometheus': ValueError: the answer (503) is none of Prometheus",
        "SIMIAN_NO_SUCH_TOKEN is not set",
    ]
    for words in expected:
        assert [words in line for line in said].count(True) == 1, (words, said)
    assert len(said) == len(expected), said


def test_no_redirect_leads_to_a_yes_elsewhere(site: Site, attend: Callable[..., Attention]) -> None:
    site.status = 302
    assert "more than 3 redirects" in attend([{"http": site.url, **PACE}]).ask_guards()[0]


def test_a_guard_that_turns_bad_ends_the_wait_at_once(site: Site, attend: Callable[..., Attention]) -> None:
    attention = attend([{"http": site.url, **PACE}])
    assert attention.ask_guards() == []
    asked = site.asked
    while site.asked < asked + 3:
        attention.tick(0.1)
    site.status = 503
    with pytest.raises(Aborted, match=r"aborted: guard: http\S+ did not answer 200: 503"):
        attention.live(PATIENCE_S)


def test_a_guard_that_hangs_ends_the_run_and_never_the_runners_breath(
    site: Site, attend: Callable[..., Attention]
) -> None:
    attention = attend([{"http": site.url, "every_s": 0.2, "deadline_s": 3.0}])
    assert attention.ask_guards() == []
    site.hanging.set()
    lease = attention.tools.lease
    assert isinstance(lease, Renewed)
    lease.at.clear()
    with pytest.raises(Aborted, match=r"guard: http http\S+ gave no answer: no answer within 3 s"):
        attention.live(PATIENCE_S)
    gaps = [later - earlier for earlier, later in zip(lease.at, lease.at[1:], strict=False)]
    assert len(gaps) > 5, "it breathed while the guard hung"
    assert max(gaps) < 2.5
    with pytest.raises(Aborted):
        attention.tick()
    attention.shielded = True
    attention.tick()  # undo goes on


def test_a_command_that_hangs_is_ended_with_all_it_started(attend: Callable[..., Attention], tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    words = ["sh", "-c", f"sleep 600 & echo $! > {mark}; wait"]
    attention = attend([{"command": words, "every_s": 0.2, "deadline_s": 5.0}])
    assert "gave no answer: no answer within 5 s" in attention.ask_guards()[0]
    attention.end()
    pid = int(mark.read_text())
    until = time.monotonic() + PATIENCE_S
    while alive(pid):
        assert time.monotonic() < until
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
