"""Looking back over 1,000,000 runs with 100,000,000 readings, beside raw sqlite3 in the same file.

    python benchmarks/history.py [--rounds 5] [--json FILE] [--quick]

A page is 50 runs, as the dashboard asks for them; the peer is asked the same SQL, and makes nothing of the rows. Deep
pages begin anywhere in the list; there the peer is also asked as most programs ask, by OFFSET. Pass rates and what got
worse have sums and an index of their own; the peer counts the runs. A run is asked for whole, with its 100 readings.
Home is the dashboard's page of runs from the request to the last byte of its HTML: a page, pass rates, and what got
worse. The database (7 GB, some minutes) stays in build/benchmarks for the next time. Migrated are fewer runs, to the
schema that has the sums; the peer copies the same rows into the same tables and indexes. All is measured with caches
that are warm, and as p50 and p95 of a round.
"""

import asyncio
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import httpx
from million import BEFORE, END_US, KINDS, MONKEYS, RARE, REGIONS, SPAN_US, before_sums, built, started_us
from peers import BUILD, Goal, Report, Row, compared, interleaved, run

from simian.history import History, open_history, read_page
from simian.history.cursor import read_cursor, write_cursor
from simian.history.moment import from_us, to_us
from simian.history.page import query
from simian.history.rollups import DAY_US
from simian.history.tables import PARTS
from simian.web.app import build
from simian.web.limits import Buckets
from simian.web.pages.rated import RATED_DAYS
from simian.web.settings import Settings
from simian.web.tools import Tools

RUNS, QUICK_RUNS = 1_000_000, 1_000
READINGS, QUICK_READINGS = 100, 10
MIGRATED, QUICK_MIGRATED = 100_000, 1_000
ASKED, QUICK_ASKED = 200, 5
HOMES_ASKED, QUICK_HOMES_ASKED = 20, 2
ROWS = 50
PAGE, RATES, HOME = (Goal(number, of="ours") for number in (5.0, 5.0, 100.0))
LATELY = from_us(END_US - RATED_DAYS * DAY_US)
OUTCOMES = sorted({outcome for outcome, _ in (*KINDS, RARE)})
Wanted = dict[str, Any]
Way = Callable[[Any], object]  # of asking; what is asked for is its argument


# --- what is asked


def one_filter(die: Random) -> Wanted:
    """Any of them alone."""
    wanted = filters(die)
    name = die.choice(("monkey", "outcome", "verdict", "region", "time"))
    return {key: wanted[key] for key in (("since", "until") if name == "time" else (name,))}


def several_filters(die: Random) -> Wanted:
    """Two of them, or more."""
    wanted = filters(die)
    chosen = die.sample(sorted(wanted), die.randint(2, len(wanted)))
    return {key: wanted[key] for key in chosen}


def filters(die: Random) -> Wanted:
    """All that a page can be asked by."""
    since, until = sorted(END_US - die.randrange(SPAN_US) for _ in range(2))
    return {
        "monkey": die.choice(MONKEYS), "outcome": die.choice(OUTCOMES), "region": die.choice(REGIONS),
        "verdict": die.choice(("held", "broken", "unknown")), "since": from_us(since), "until": from_us(until),
    }  # fmt: skip


def cursor(number: int, count: int) -> str:
    """The page after the run of this number."""
    return write_cursor(from_us(started_us(number, count)), f"many-{number:09}")


# --- asking


def taken_ms(asked: Sequence[Any], *ways: Way) -> list[list[float]]:
    """How long each way took for each question; the ways take turns."""
    taken: list[list[float]] = [[] for _ in ways]
    for number, question in enumerate(asked):
        for index in range(len(ways)) if number % 2 else reversed(range(len(ways))):
            begin = time.perf_counter()
            ways[index](question)
            taken[index].append(1000 * (time.perf_counter() - begin))
    return taken


def share_of(values: Sequence[float], share: float) -> float:
    """That quantile."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def rows_of(
    what: str, rounds: Sequence[Sequence[Sequence[float]]], peers: Sequence[str], goal: Goal | None
) -> list[Row]:
    """p50 and p95 of ours, the latter with the goal, beside each peer. ``rounds``: what ``taken_ms`` gave in each."""

    def row(word: str, share: float, way: int, name: str) -> Row:
        ours = [share_of(taken[0], share) for taken in rounds]
        peer = [share_of(taken[way], share) for taken in rounds] if name else None
        told = f"{what}, {word}" if way == 1 else f"the same, {word}"
        return compared(told, "ms", ours, peer, name, goal if word == "p95" and way == 1 else None)

    names = enumerate(peers or [""], 1)
    return [row(word, share, way, name) for way, name in names for word, share in (("p50", 0.5), ("p95", 0.95))]


class Looks:
    """Everybody who looks at the database."""

    def __init__(self, file: Path, count: int, history: History, raw: sqlite3.Connection) -> None:
        self.file, self.count, self.history, self.raw = file, count, history, raw

    def page(self, wanted: Wanted) -> object:
        """As the dashboard asks."""
        return self.history.page(**wanted, limit=ROWS)

    def raw_page(self, wanted: Wanted) -> object:
        """The same SQL."""
        asked = query(**wanted, limit=ROWS)
        return self.raw.execute(asked.sql, asked.values).fetchall()

    def offset(self, wanted: Wanted) -> object:
        """As most programs ask for a deep page. The page after a run begins as many rows on as are newer, and it."""
        _, after = read_cursor(wanted["after"])
        skipped = self.count - int(after.removeprefix("many-"))
        sql = f"SELECT * FROM runs ORDER BY started DESC, run DESC LIMIT {ROWS + 1} OFFSET {skipped}"
        return self.raw.execute(sql).fetchall()

    def command(self, wanted: Wanted) -> object:
        """As `simian history` asks: a file is opened, and closed."""
        return read_page(self.file, **wanted, limit=ROWS)

    def raw_command(self, wanted: Wanted) -> object:
        """The same."""
        asked = query(**wanted, limit=ROWS)
        with closing(sqlite3.connect(self.file)) as connection:
            return connection.execute(asked.sql, asked.values).fetchall()

    def rates(self, since: str) -> object:
        """From that day on."""
        return self.history.rates(since)

    def raw_rates(self, since: str) -> object:
        """Counted."""
        counted = f"SELECT started / {DAY_US} AS day, monkey, verdict, count(*) FROM runs WHERE started >= ?"
        return self.raw.execute(f"{counted} GROUP BY day, monkey, verdict", (to_us(since),)).fetchall()

    def worse(self, _: object) -> object:
        """As the dashboard asks."""
        return self.history.worse()

    def raw_worse(self, _: object) -> object:
        """By when each experiment last held and broke."""
        last = "max(CASE verdict WHEN '{}' THEN started END) AS {}"
        ends = f"{last.format('held', 'held')}, {last.format('broken', 'broke')}"
        each = f"SELECT experiment, {ends} FROM runs WHERE experiment IS NOT NULL GROUP BY experiment"
        return self.raw.execute(f"SELECT * FROM ({each}) WHERE broke > held").fetchall()

    def run(self, name: str) -> object:
        """Whole."""
        return self.history.get(name)

    def raw_run(self, name: str) -> object:
        """Its rows in all tables."""
        row = self.raw.execute("SELECT * FROM runs WHERE run = ?", (name,)).fetchone()
        parts = (f"SELECT * FROM {table.name} WHERE number = ? ORDER BY position" for table in PARTS.values())
        return [row, *(self.raw.execute(sql, row[:1]).fetchall() for sql in parts)]


def looked_back(looks: Looks, rounds: int, many: int) -> Iterator[Row]:
    """All rows but those of the dashboard's page."""

    def deep(die: Random) -> Wanted:
        return {"after": cursor(die.randrange(looks.count), looks.count)}

    def run_of(die: Random) -> str:
        return f"many-{die.randrange(looks.count):09}"

    kinds: list[tuple[str, Callable[[Random], Any], tuple[Way, ...], tuple[str, ...], Goal | None]] = [
        ("first page", lambda die: {}, (looks.page, looks.raw_page), ("sqlite3",), PAGE),
        ("deep page", deep, (looks.page, looks.raw_page, looks.offset), ("sqlite3", "OFFSET"), PAGE),
        ("page by one filter", one_filter, (looks.page, looks.raw_page), ("sqlite3",), PAGE),
        ("page by several filters", several_filters, (looks.page, looks.raw_page), ("sqlite3",), PAGE),
        ("page of simian history", one_filter, (looks.command, looks.raw_command), ("sqlite3",), PAGE),
        ("one run", run_of, (looks.run, looks.raw_run), ("sqlite3",), PAGE),
        ("pass rates of 12 weeks", lambda die: LATELY, (looks.rates, looks.raw_rates), ("counted",), RATES),
        ("what got worse", lambda die: None, (looks.worse, looks.raw_worse), ("counted",), PAGE),
    ]
    for what, asks, ways, peers, goal in kinds:
        number = many if "counted" not in peers else max(3, many // 20)
        taken_ms([asks(Random(0)) for _ in range(3)], *ways)  # statements are compiled once
        found = [taken_ms([asks(die) for _ in range(number)], *ways) for die in map(Random, range(rounds))]
        yield from rows_of(what, found, peers, goal)
    since = from_us(END_US - SPAN_US)
    always = [taken_ms([since], looks.rates, looks.raw_rates) for _ in range(rounds)]
    yield from rows_of("pass rates of three years", always, ("counted",), None)[:1]


# --- the dashboard


async def homes_ms(file: Path, many: int) -> list[float]:
    """How long the page of runs takes, in this process."""
    tools = Tools(Settings(socket=str(file.with_name("none.sock")), history=str(file), system="many runs"))
    free = Buckets(1e6, 1_000_000)
    transport = httpx.ASGITransport(build(tools, asked=free))
    taken = []
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8480") as client:
            for _ in range(many + 1):
                begin = time.perf_counter()
                answer = await client.get("/runs")
                taken.append(1000 * (time.perf_counter() - begin))
                assert answer.status_code == 200, answer.text[:400]
                assert "many-" in answer.text
        return taken[1:]  # templates are compiled once
    finally:
        tools.books.close()


# --- the migration


def migrated_s(before: Path, work: Path) -> float:
    """Seconds to bring that database to the newest schema."""
    shutil.copy(before, work)
    begin = time.perf_counter()
    open_history(work).close()
    return time.perf_counter() - begin


def copied_s(before: Path, done: Path, work: Path) -> float:
    """Seconds in which SQLite alone writes what the migration adds, from rows that are ready."""
    shutil.copy(before, work)
    with closing(sqlite3.connect(work, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("ATTACH ? AS done", (str(done),))
        there = "SELECT name FROM main.sqlite_master"
        added = f"SELECT type, name, sql FROM done.sqlite_master WHERE sql IS NOT NULL AND name NOT IN ({there})"
        made = connection.execute(f"{added} ORDER BY type DESC").fetchall()  # tables, then indexes
        begin = time.perf_counter()
        connection.execute("BEGIN")
        for kind, name, sql in made:
            connection.execute(sql)
            if kind == "table":
                connection.execute(f"INSERT INTO main.{name} SELECT * FROM done.{name}")
        connection.execute("COMMIT")
    return time.perf_counter() - begin


def migration(rounds: int, count: int) -> Row:
    """The row of it."""
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        before, done, work = (Path(name) / f"{each}.db" for each in ("before", "done", "work"))
        before_sums(before, count, 1)
        migrated_s(before, done)
        ours, peer = interleaved(rounds, lambda: migrated_s(before, work), lambda: copied_s(before, done, work))
        what = f"migration of {count:,} runs from schema {BEFORE}"
        return compared(what, "s", ours, peer, "rows alone", None)


def measure(report: Report) -> None:
    """Pages, the dashboard, the migration."""
    count, readings = (QUICK_RUNS, QUICK_READINGS) if report.quick else (RUNS, READINGS)
    many, homes = (QUICK_ASKED, QUICK_HOMES_ASKED) if report.quick else (ASKED, HOMES_ASKED)
    report.peers["sqlite3"] = sqlite3.sqlite_version
    file = built(BUILD, count, readings)
    with open_history(file) as history, closing(sqlite3.connect(file)) as raw:
        report.rows += looked_back(Looks(file, count, history, raw), report.rounds, many)
    found = [[asyncio.run(homes_ms(file, homes))] for _ in range(report.rounds)]
    report.rows += rows_of("home", found, (), HOME)
    report.rows.append(migration(report.rounds, QUICK_MIGRATED if report.quick else MIGRATED))


if __name__ == "__main__":
    run("history", __doc__, measure)
