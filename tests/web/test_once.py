"""A key that comes again starts nothing, whichever web process hears it; one that nothing came of may come again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from simian.errors import HistoryError, Refused, SimianError, Unreachable
from simian.web.books import Books
from simian.web.daemon import Daemon, NoAnswer
from simian.web.failures import NotUnderstood
from simian.web.once import Once

Do = Callable[[], Awaitable[Any]]


class Starts:
    """What is to be done once: counts how often it was."""

    def __init__(self, *errors: SimianError) -> None:
        self.errors, self.times = list(errors), 0

    async def __call__(self) -> Any:
        self.times += 1
        await asyncio.sleep(0.01)
        if self.errors:
            raise self.errors.pop(0)
        return {"run": f"run{self.times}"}


def asked(place: Path | str, starts: Do, *, key: str = "k", who: str = "api:anna", body: Any = None) -> Any:
    """By a web process that knows nothing of those before it."""

    async def ask() -> Any:
        books = Books(str(place))
        try:
            return await Once(books)(who, key, body or {"monkey": "chaos"}, starts)
        finally:
            books.close()

    return asyncio.run(ask())


def test_the_next_web_process_answers_as_the_one_before_and_starts_nothing(tmp_path: Path) -> None:
    starts = Starts()
    assert asked(tmp_path / "h.db", starts) == {"run": "run1"}
    assert asked(tmp_path / "h.db", starts) == {"run": "run1"}
    assert starts.times == 1
    with pytest.raises(NotUnderstood, match="another body"):
        asked(tmp_path / "h.db", starts, body={"monkey": "kong"})
    assert starts.times == 1
    assert asked(tmp_path / "h.db", starts, who="api:rob") == {"run": "run2"}, "another one's key is another key"
    assert asked(tmp_path / "h.db", starts, key="k2") == {"run": "run3"}


def test_what_was_refused_may_be_tried_again(tmp_path: Path) -> None:
    starts = Starts(Refused("halted"), Unreachable("nobody listens"))
    for kind in (Refused, Unreachable):
        with pytest.raises(kind):
            asked(tmp_path / "h.db", starts)
    assert asked(tmp_path / "h.db", starts) == {"run": "run3"}


def test_where_nobody_knows_whether_it_was_done_it_is_not_done_again(tmp_path: Path) -> None:
    starts = Starts(NoAnswer("the daemon gave no answer"))
    with pytest.raises(NoAnswer):
        asked(tmp_path / "h.db", starts)
    for _ in range(2):
        with pytest.raises(Refused, match="what came of it is not known"):
            asked(tmp_path / "h.db", starts)
    assert starts.times == 1


def test_one_that_dies_over_it_leaves_its_key_claimed(tmp_path: Path) -> None:
    class Died(BaseException):
        """As a SIGKILL does: no code of ours runs after it."""

    async def dies() -> Any:
        raise Died

    with pytest.raises(Died):
        asked(tmp_path / "h.db", dies)
    starts = Starts()
    with pytest.raises(Refused, match="not known"):
        asked(tmp_path / "h.db", starts)
    assert starts.times == 0


def test_without_a_database_a_key_starts_nothing_and_no_key_does(tmp_path: Path) -> None:
    (tmp_path / "h.db").mkdir()
    starts = Starts()
    with pytest.raises(HistoryError):
        asked(tmp_path / "h.db", starts)
    assert starts.times == 0
    assert asyncio.run(Once(Books(str(tmp_path / "h.db")))("api:anna", None, {}, starts)) == {"run": "run1"}


def test_those_who_ask_meanwhile_get_the_same_answer(tmp_path: Path) -> None:
    starts = Starts()

    async def many() -> list[Any]:
        books = Books(str(tmp_path / "h.db"))
        once = Once(books)
        try:
            return await asyncio.gather(*(once("api:anna", "k", {"seed": 7}, starts) for _ in range(8)))
        finally:
            books.close()

    assert asyncio.run(many()) == [{"run": "run1"}] * 8


@pytest.mark.parametrize(("says", "kind"), [(b"", NoAnswer), (b"nonsense\n", NoAnswer), (None, Unreachable)])
def test_a_daemon_that_was_asked_and_says_nothing_may_have_done_it(
    tmp_path: Path, says: bytes | None, kind: type[Unreachable]
) -> None:
    async def ask() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(says or b"")
            writer.close()

        if says is not None:
            server = await asyncio.start_unix_server(answer, str(tmp_path / "s"))
        try:
            await Daemon(str(tmp_path / "s")).ask("start")
        finally:
            if says is not None:
                server.close()

    with pytest.raises(Unreachable) as raised:
        asyncio.run(ask())
    assert type(raised.value) is kind
