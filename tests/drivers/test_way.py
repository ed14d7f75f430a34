"""Which way a caller's connections go, from its own tables: pure."""

import pytest

from simian.observers.way import way_of

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   {n}: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"
NAMES = """
Server:\t\t127.0.0.11
Address:\t127.0.0.11:53

Non-authoritative answer:

Non-authoritative answer:
Name:\tredis
Address: 198.19.240.3

"""
LISTENS, OPEN, WAITS = "0A", "01", "06"
PROXY, TARGET = "03F013C6", "02F013C6"  # 198.19.240.3 and .2
MAPPED = "0000000000000000FFFF0000"


def look(*rows: tuple[str, str, str], names: str = NAMES) -> str:
    lines = [ROW.format(n=n, local=local, remote=far, state=state) for n, (local, far, state) in enumerate(rows)]
    return HEAD + "".join(lines) + HEAD + names


@pytest.mark.parametrize(
    ("rows", "through", "past"),
    [
        ([], 0, 0),
        ([("05F013C6:A000", f"{PROXY}:18EB", OPEN)], 1, 0),
        ([("05F013C6:A000", f"{PROXY}:18EB", WAITS)], 1, 0),
        ([("05F013C6:A000", f"{TARGET}:18EB", OPEN)], 0, 1),
        ([(f"{MAPPED}05F013C6:A000", f"{MAPPED}{PROXY}:18EB", OPEN)], 1, 0),
        ([("05F013C6:A000", f"{PROXY}:1538", OPEN)], 0, 0),  # another link of the same proxy
        ([("00000000:1F40", "00000000:0000", LISTENS), ("05F013C6:1F40", f"{TARGET}:A001", OPEN)], 0, 0),  # it came in
        ([("05F013C6:A000", f"{PROXY}:18EB", OPEN), ("05F013C6:A002", f"{TARGET}:18EB", OPEN)], 1, 1),
    ],
)
def test_connections_are_counted_by_where_they_lead(rows: list[tuple[str, str, str]], through: int, past: int) -> None:
    way = way_of(look(*rows), ["198.19.240.3"], 6379, ["198.19.240.2"])
    assert (way.through, way.past) == (through, past)


@pytest.mark.parametrize(
    ("names", "leads", "led_past"),
    [
        (NAMES, ("198.19.240.3",), False),
        (NAMES.replace("240.3", "240.2"), ("198.19.240.2",), True),
        ("\nServer:    127.0.0.11\nAddress 1: 127.0.0.11\n\nName:      redis\nAddress 1: 198.19.240.3 p.n\n",
         ("198.19.240.3",), False),
        ("\n** server can't find redis: NXDOMAIN\n", (), False),
    ],
)  # fmt: skip
def test_a_name_is_followed_past_the_servers_own_address(names: str, leads: tuple[str, ...], led_past: bool) -> None:
    way = way_of(look(names=names), ["198.19.240.3"], 6379, ["198.19.240.2"])
    assert (way.leads, way.led_past) == (leads, led_past)
