"""What those who watch the daemon are told: that it lives, that it is ready, its numbers."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from simian.errors import Unreachable
from simian.web import app
from simian.web.failures import told
from simian.web.shapes import NoQuery

from .conftest import OPERATOR, READER, Web


def test_it_lives_is_ready_and_tells_its_numbers(web: Web) -> None:
    with web.client() as client:
        assert client.get("/livez").json() == {"live": True}
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"daemon": "ready", "database": "ready"})
        numbers = client.get("/metrics")
    assert numbers.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "simian_halted 0.0" in numbers.text


def test_without_a_daemon_or_a_database_it_lives_and_is_not_ready(another_web: Callable[..., Web]) -> None:
    web = another_web(socket="/not/there.sock", history="/proc/no/history.db")
    with web.client() as client:
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
    assert ready.status_code == 503
    assert all(why not in ("", "ready") for why in ready.json().values())


def test_numbers_need_a_token_where_reading_does(another_web: Callable[..., Web]) -> None:
    web = another_web(read_needs_token=True)
    with web.client() as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/livez").status_code == 200
    for token in (READER, OPERATOR):
        with web.client(token) as client:
            assert client.get("/metrics").status_code == 200


def test_an_answer_that_does_not_come_is_no_defect_but_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(call: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(app, "ANSWER_LIMIT_S", 0.01)
    monkeypatch.setattr(app, "recognised", lambda *_: None)
    monkeypatch.setattr(app, "require", lambda *_: None)
    route = SimpleNamespace(role="reader", changes=False, query=NoQuery, body=None, handler=never)
    request = SimpleNamespace(path_params={}, query_params={})
    with pytest.raises(Unreachable) as raised:
        asyncio.run(app._answered(cast(Any, None), cast(Any, route), cast(Any, request)))
    assert told(raised.value)[0] == 503
