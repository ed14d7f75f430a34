"""The contract of memcached's text protocol, in the forms that the lab uses: our stand-in, and the real one."""

import re
import threading
from collections.abc import Iterator

import pytest

from .one_node import STAND_IN, OneNode, one_node, wait_for

TOO_LARGE = b"x" * 2_000_000


@pytest.fixture(scope="module", params=[STAND_IN, "memcached"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneNode]:
    with one_node(tmp_path_factory.mktemp("memcached"), "cache-east-a", request.param) as node:
        yield node


@pytest.fixture
def cache(server: OneNode) -> OneNode:
    """With nothing in it."""
    assert talk(server, b"flush_all\r\n") == b"OK\r\n"
    return server


def talk(cache: OneNode, said: bytes) -> bytes:
    """What it answers to these bytes, up to its end after ``quit``."""
    with cache.connect() as sock:
        # It may stop reading until its answers are read.
        talker = threading.Thread(target=sock.sendall, args=(said + b"quit\r\n",))
        talker.start()
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
        talker.join()
    return answer


def stats(cache: OneNode) -> dict[str, int]:
    """The figures that it tells of itself."""
    return {name: int(value) for name, value in re.findall(r"STAT (\w+) (\d+)\r", talk(cache, b"stats\r\n").decode())}


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"set k 5 0 3\r\nabc\r\nget k\r\n", b"STORED\r\nVALUE k 5 3\r\nabc\r\nEND\r\n"),
        (b"set k 0 0 3 noreply\r\nabc\r\nget k none\r\n", b"VALUE k 0 3\r\nabc\r\nEND\r\n"),
        (b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\nget b a\r\n",
         b"STORED\r\nSTORED\r\nVALUE b 0 1\r\n2\r\nVALUE a 0 1\r\n1\r\nEND\r\n"),
        (b"add k 0 0 1\r\n1\r\nadd k 0 0 1\r\n2\r\nget k\r\n",
         b"STORED\r\nNOT_STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n"),
        (b"replace k 0 0 1\r\n1\r\n", b"NOT_STORED\r\n"),
        (b"cas k 0 0 1 7\r\n1\r\n", b"NOT_FOUND\r\n"),
        (b"cas k 0 0 1 7 noreply\r\n1\r\ncas k 0 0 1\r\n", b"ERROR\r\n"),
        (b"set k 0 0 1\r\n1\r\ndelete k\r\ndelete k\r\n", b"STORED\r\nDELETED\r\nNOT_FOUND\r\n"),
        (b"delete k noreply\r\ndelete k 0\r\n", b"NOT_FOUND\r\n"),
        (b"delete k 5\r\n", b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"),
        (b"touch k 5\r\n", b"NOT_FOUND\r\n"),
        (b"set k 0 0 1\r\n1\r\ntouch k 5\r\ntouch k 5 noreply\r\n", b"STORED\r\nTOUCHED\r\n"),
        (b"touch k x\r\n", b"CLIENT_ERROR invalid exptime argument\r\n"),
        (b"set k 0 -1 1\r\n1\r\nget k\r\n", b"STORED\r\nEND\r\n"),
        (b"set k 0 1000000000 1\r\n1\r\nget k\r\n", b"STORED\r\nEND\r\n"),
        (b"set k 0 0 1\r\n1\r\nflush_all\r\nget k\r\n", b"STORED\r\nOK\r\nEND\r\n"),
        (b"nonsense\r\n", b"ERROR\r\n"),
        (b"GET k\r\n", b"ERROR\r\n"),
        (b"\r\n", b"ERROR\r\n"),
        (b"get\r\n", b"ERROR\r\n"),
        (b"delete\r\n", b"ERROR\r\n"),
        (b"touch k\r\n", b"ERROR\r\n"),
        (b"stats nonsense\r\n", b"ERROR\r\n"),
        (b"set k 0 0\r\n", b"ERROR\r\n"),
        (b"set k x 0 1\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (b"set k 0 0 -1\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (b"set " + b"k" * 251 + b" 0 0 1\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (b"get " + b"k" * 251 + b"\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (b"touch " + b"k" * 251 + b" 5\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (b"delete " + b"k" * 251 + b"\r\n", b"CLIENT_ERROR bad command line format\r\n"),
        (b"get" + b" k" * 3000 + b"\r\n", b"END\r\n"),
        (b"set k 0 0 11\r\nget x\r\nend\r\r\nget k\r\n", b"STORED\r\nVALUE k 0 11\r\nget x\r\nend\r\r\nEND\r\n"),
        (b"set k 0 0 1\n1\r\nget k\n", b"STORED\r\nVALUE k 0 1\r\n1\r\nEND\r\n"),
        (b"set k 0 0 1\r\ntoo long\r\nget k\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n"),
        (b"set k 0 0 5\r\nab\r\nget k\r\nget k\r\n", b"CLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n"),
        (b"set k 0 0 1 noreply\r\nxyz\r\nget k\r\n", b"ERROR\r\nEND\r\n"),
        (b"set k 0 0 2000000\r\n" + TOO_LARGE + b"\r\nget k\r\n",
         b"SERVER_ERROR object too large for cache\r\nEND\r\n"),
        (b"set k 0 0 2000000 noreply\r\n" + TOO_LARGE + b"\r\nget k\r\n", b"END\r\n"),
        (b"set k 0 0 1\r\n1\r\nset k 0 0 2000000\r\n" + TOO_LARGE + b"\r\nget k\r\n",
         b"STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n"),
    ],
    ids=lambda bytes_: repr(bytes_[:40]),
)  # fmt: skip
def test_what_is_said_is_answered_so(cache: OneNode, said: bytes, answer: bytes) -> None:
    assert talk(cache, said) == answer


def test_it_tells_its_version(cache: OneNode) -> None:
    assert re.fullmatch(rb"VERSION 1\.6\.\d+\r\n", talk(cache, b"version\r\n"))


def test_each_storing_has_a_mark_by_which_the_next_one_compares(cache: OneNode) -> None:
    told = talk(cache, b"set k 0 0 1\r\n1\r\ngets k\r\n")
    found = re.fullmatch(rb"STORED\r\nVALUE k 0 1 (\d+)\r\n1\r\nEND\r\n", told)
    assert found, told
    mark = int(found[1])
    said = b"cas k 0 0 1 %d\r\n2\r\n"
    assert talk(cache, said % (mark + 1)) == b"EXISTS\r\n"
    assert talk(cache, said % mark) == b"STORED\r\n"
    assert talk(cache, said % mark) == b"EXISTS\r\n"
    assert talk(cache, b"get k\r\n") == b"VALUE k 0 1\r\n2\r\nEND\r\n"


def test_an_item_goes_when_its_time_is_over(cache: OneNode) -> None:
    assert talk(cache, b"set k 0 1 1\r\n1\r\nset l 0 100 1\r\n1\r\n") == b"STORED\r\nSTORED\r\n"
    wait_for(lambda: talk(cache, b"get k\r\n") == b"END\r\n", "expired")
    assert talk(cache, b"get l\r\n").startswith(b"VALUE l")


def test_it_counts_hits_and_misses_and_tells_who_it_is(cache: OneNode) -> None:
    before = stats(cache)
    talk(cache, b"set k 0 0 1\r\n1\r\nget k\r\nget none\r\nget none\r\n")
    after = stats(cache)
    assert {name: after[name] - before[name] for name in ("cmd_set", "get_hits", "get_misses")} == {
        "cmd_set": 1, "get_hits": 1, "get_misses": 2,
    }  # fmt: skip
    assert after["curr_items"] >= 1  # those that were flushed lie about until their room is wanted
    assert after["curr_connections"] >= 1
    assert after["limit_maxbytes"] == 32 << 20
    assert after["pid"] == before["pid"] > 1


def test_the_oldest_make_room_for_new_ones(cache: OneNode) -> None:
    value = b"x" * 400_000
    for number in range(120):
        assert talk(cache, b"set k%d 0 0 %d\r\n%b\r\n" % (number, len(value), value)) == b"STORED\r\n"
    told = stats(cache)
    assert told["evictions"] > 0
    assert told["bytes"] <= told["limit_maxbytes"]
    assert talk(cache, b"get k0\r\n") == b"END\r\n"
    assert len(talk(cache, b"get k119\r\n")) > len(value)


def test_a_restart_loses_everything(cache: OneNode) -> None:
    assert talk(cache, b"set k 0 0 1\r\n1\r\n") == b"STORED\r\n"
    pid = stats(cache)["pid"]
    cache.kill()
    cache.start()
    assert talk(cache, b"get k\r\n") == b"END\r\n"
    assert stats(cache)["pid"] != pid
