"""Steering by DNS: what is written to PowerDNS and what its users are answered; ours first, then the real one."""

import socket
import threading
from collections import Counter
from typing import Any

import pytest

from simian.errors import DriverError, NoSuchTarget, TimedOut, Unreachable, Unsupported, UsageError
from simian.http_call import Service
from simian.observers.socket import SocketObserver
from simian.steering.dns import SUBNETS, DnsSteering, from_settings, spread
from simian.steering.powerdns import PowerDns, parse_text, parse_weights, write_text, write_weights
from simian.steering.provider import Switch
from simian.steering.switches import notes_of

from .small_lab import SmallLab, small_lab  # noqa: F401
from .small_servers import nobody_fixture  # noqa: F401

MARK, OTHER = "simian.k7f3.1", "simian.k7f3.2"
SWITCH, NOTES = "east.switch.lab.", "_simian.east.switch.lab."


@pytest.fixture
def steering(small_lab: SmallLab) -> DnsSteering:  # noqa: F811
    return from_settings(small_lab.settings, {})


def answered(steering: DnsSteering, home: str = "east") -> Counter[str]:
    """Regions that users of this home are sent to, by asking the server for each subnet."""
    entrance = next(each for each in steering.entrances() if each.home == home)
    observer = SocketObserver()
    answers = [observer.resolve(entrance, subnet) for subnet in entrance.subnets]
    assert all(len(answer) == 3 for answer in answers)
    return Counter(entrance.regions[answer[0]] for answer in answers)


def test_a_shift_is_one_record_and_one_note_beside_it_and_users_are_answered_so(
    small_lab: SmallLab,  # noqa: F811
    steering: DnsSteering,
) -> None:
    before = small_lab.records(SWITCH, "LUA")
    assert answered(steering) == {"east": SUBNETS}
    steering.shift("east", MARK, {"east": 0.5, "west": 0.5})
    assert small_lab.records(SWITCH, "LUA") == ["CNAME \"pickwhashed({{50,'east.gw.lab.'},{50,'west.gw.lab.'}})\""]
    note = f'"simian-shift=1 n=1 mark={MARK} to=east:50,west:50 was=east:100,west:0"'
    assert small_lab.records(NOTES, "TXT") == [note]
    halves = answered(steering)
    assert halves.keys() == {"east", "west"}
    assert 88 <= halves["west"] <= 168  # five deviations
    assert answered(steering, "west") == {"west": SUBNETS}, "only users of that home are moved"
    steering.shift("east", MARK, {"west": 1.0})
    assert answered(steering) == {"west": SUBNETS}
    steering.unshift("east", MARK)
    assert (small_lab.records(SWITCH, "LUA"), small_lab.records(NOTES, "TXT")) == (before, [])
    assert answered(steering) == {"east": SUBNETS}


def test_the_weights_that_were_there_come_back_as_they_were(
    small_lab: SmallLab,  # noqa: F811
    steering: DnsSteering,
) -> None:
    was = "CNAME \"pickwhashed({ {1, 'west.gw.lab'}, {2,'EAST.gw.lab.'}})\""
    small_lab.put_records(SWITCH, "LUA", was)
    assert steering.shares()["east"] == pytest.approx({"east": 2 / 3, "west": 1 / 3})
    steering.shift("east", MARK, {"east": 0.2, "west": 0.8})
    steering.shift("east", OTHER, {"west": 1.0})
    assert small_lab.records(SWITCH, "LUA") == ["CNAME \"pickwhashed({{100,'west.gw.lab.'},{0,'east.gw.lab.'}})\""]
    steering.unshift("east", MARK)
    steering.unshift("east", OTHER)
    assert parse_weights(small_lab.records(SWITCH, "LUA")[0]) == parse_weights(was)
    assert small_lab.records(NOTES, "TXT") == []


@pytest.mark.parametrize(
    "lua",
    [
        "CNAME \";if netmask({'198.18.0.0/16'}) then return 'east.gw.lab.' else return 'west.gw.lab.' end\"",
        "CNAME \"pickwhashed({{70,'east.gw.lab.'},{30,'moon.gw.lab.'}})\"",
        "CNAME \"pickwhashed({{0,'east.gw.lab.'},{0,'west.gw.lab.'}})\"",
    ],
)
def test_a_record_that_is_none_of_ours_to_set_stays_as_it_is(
    small_lab: SmallLab,  # noqa: F811
    steering: DnsSteering,
    lua: str,
) -> None:
    small_lab.put_records(SWITCH, "LUA", lua)
    for act in (
        lambda: steering.shift("east", MARK, {"west": 1.0}),
        lambda: steering.unshift("east", MARK),
        steering.shares,
    ):
        with pytest.raises(DriverError, match=r"east\.switch\.lab\."):
            act()
    assert small_lab.records(SWITCH, "LUA") == [lua]


def test_a_note_that_cannot_be_read_is_told_and_never_written_over(
    small_lab: SmallLab,  # noqa: F811
    steering: DnsSteering,
) -> None:
    small_lab.put_records(NOTES, "TXT", '"from the night shift: do not touch"')
    for act in (
        lambda: steering.shift("east", MARK, {"west": 1.0}),
        lambda: steering.unshift("east", MARK),
        steering.marks,
    ):
        with pytest.raises(DriverError, match=r"_simian\.east\.switch\.lab\..*night shift"):
            act()
    assert small_lab.records(NOTES, "TXT") == ['"from the night shift: do not touch"']
    assert steering.shares()["east"] == {"east": 1.0, "west": 0.0}, "what is answered can be told all the same"


NOTE = "simian-shift=1 n={} mark={} to={} was=east:100,west:0"


@pytest.mark.parametrize(
    "notes",
    [
        [NOTE.format(1, MARK, "east:half")],
        [NOTE.format(1, MARK, "east:0,west:0")],
        [NOTE.format(1, MARK, "east:50,west:50") + " and more"],
        [NOTE.format(1, MARK, "east:50,west:50"), NOTE.format(1, OTHER, "west:100")],
        [NOTE.format(1, MARK, "east:50,west:50"), NOTE.format(2, MARK, "west:100")],
        [NOTE.format(1, MARK, "east:50,west:50"), ""],
    ],
)
def test_notes_are_read_exactly_or_not_at_all(notes: list[str]) -> None:
    with pytest.raises(DriverError, match=r"TXT record _simian\.east\.switch\.lab\. cannot be read"):
        notes_of(Switch(SWITCH, {"east.gw.lab.": 1}, 1, notes))


def test_notes_are_in_the_order_in_which_shifts_were_made_and_not_in_the_servers() -> None:
    texts = [NOTE.format(n, f"simian.k7f3.{n}", "west:100") for n in (10, 9)]
    read = notes_of(Switch(SWITCH, {"east.gw.lab.": 1}, 1, texts))
    assert [note.ordinal for note in read] == [9, 10]
    assert [str(note) for note in read] == texts[::-1]


def test_another_record_beside_the_switch_is_left_alone(
    small_lab: SmallLab,  # noqa: F811
    steering: DnsSteering,
) -> None:
    small_lab.put_records(SWITCH, "TXT", '"theirs"')
    steering.shift("east", MARK, {"west": 1.0})
    steering.unshift("east", MARK)
    assert small_lab.records(SWITCH, "TXT") == ['"theirs"']


def test_shifts_of_several_threads_at_once_all_stand(
    small_lab: SmallLab,  # noqa: F811
    steering: DnsSteering,
) -> None:
    marks = [f"simian.k7f3.{number}" for number in range(8)]
    threads = [
        threading.Thread(target=steering.shift, args=("east", mark, {"east": 0.3, "west": 0.7})) for mark in marks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(steering.marks()) == [("east", mark) for mark in marks]
    assert len(small_lab.records(NOTES, "TXT")) == 8
    for mark in marks:
        steering.unshift("east", mark)
    assert steering.shares()["east"] == {"east": 1.0, "west": 0.0}


@pytest.mark.parametrize(
    ("home", "shares", "error"),
    [
        ("mars", {"east": 1.0}, NoSuchTarget),
        ("east", {"mars": 1.0}, NoSuchTarget),
        ("east", {"east": 0.125, "west": 0.875}, Unsupported),
        ("east", {"east": 0.5}, Unsupported),
        ("east", {"east": 1.5, "west": -0.5}, Unsupported),
    ],
)
def test_shares_that_cannot_be_set_are_refused_before_anything_is_touched(
    small_lab: SmallLab,  # noqa: F811
    steering: DnsSteering,
    home: str,
    shares: dict[str, float],
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        steering.shift(home, MARK, shares)
    assert steering.marks() == []


def test_what_the_name_server_refuses_is_told_with_a_remedy(small_lab: SmallLab) -> None:  # noqa: F811
    def error(**changes: Any) -> DriverError:
        with pytest.raises(DriverError) as caught:
            from_settings(small_lab.settings | changes, {}).shift("east", MARK, {"west": 1.0})
        return caught.value

    assert "key" in str(error(key="wrong"))
    assert "zone:" in str(error(zone="nowhere.lab"))
    switches = {"east": {"switch": "none.switch.lab", "subnets": ["198.18.0.0/16"]}}
    assert isinstance(error(homes=switches), NoSuchTarget)
    gateways = small_lab.settings["regions"] | {"east": {"target": "x", "addresses": ["1.2.3.4"]}}
    assert "east.gw.lab." in str(error(regions=gateways))


def test_without_an_edge_only_shifts_can_be_had(small_lab: SmallLab) -> None:  # noqa: F811
    settings = {key: value for key, value in small_lab.settings.items() if key != "edge"}
    steering = from_settings(settings, {})
    assert steering.unsupported("shift") == ""
    assert all(steering.unsupported(what) for what in ("modes", "arrivals", "load"))
    with pytest.raises(Unsupported, match="gateways"):
        steering.set_failover("west", MARK, ["east"])
    steering.unset("west", MARK, {})
    assert (steering.modes(), steering.arrivals(), steering.load(), steering.marks()) == ({}, {}, {}, [])


def test_a_name_server_that_is_down_is_unreachable(nobody: int) -> None:
    steering = from_settings(PLAIN | {"url": f"http://127.0.0.1:{nobody}"}, {})
    for act in (steering.shares, steering.entrances, steering.marks, lambda: steering.unshift("east", MARK)):
        with pytest.raises(Unreachable, match="PowerDNS"):
            act()


def test_one_that_answers_nothing_is_timed_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider = PowerDns(Service("127.0.0.1", silent.getsockname()[1]), limit_s=0.2)
        with pytest.raises(TimedOut):
            provider.change(Switch("east.lab.", {"gw.lab.": 1}, 1))


PLAIN: dict[str, Any] = {
    "driver": "dns", "provider": "powerdns", "url": "http://127.0.0.1:1", "key": "k", "ask": "127.0.0.1:53",
    "name": "api.lab", "homes": {"east": {"switch": "east.lab.", "subnets": ["198.18.0.0/16"]}},
    "regions": {"east": {"target": "gw.lab", "addresses": ["127.0.0.1"]}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://127.0.0.1:port"}, "url"),
        ({"key": ""}, "X-API-Key"),
        ({"colour": 1}, "colour is unknown"),
        ({"provider": "route66"}, "provider: is one of powerdns"),
        ({"ask": "127.0.0.1"}, "ask"),
        ({"name": 7}, "name"),
        ({"ttl_s": -1}, "ttl_s"),
        ({"homes": {}}, "homes"),
        ({"homes": {"east": {"switch": "a.", "subnets": ["198.18.0.0/99"]}}}, r"homes\.east\.subnets"),
        ({"homes": {"e st": PLAIN["homes"]["east"]}}, "homes"),
        ({"regions": {"east": {"target": "a."}}}, r"regions\.east\.addresses"),
        ({"edge": {"gateways": {"g": {"url": "x", "region": "east"}}}}, r"edge\.token"),
        ({"edge": {"colour": 1}}, r"edge\.colour"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], told: str) -> None:
    from_settings(PLAIN, {})
    with pytest.raises(UsageError, match=told):
        from_settings(PLAIN | changes, {})


def test_subnets_are_spread_over_all_networks_of_a_home() -> None:
    assert spread(["198.18.0.0/16"], 4) == ("198.18.0.0/24", "198.18.64.0/24", "198.18.128.0/24", "198.18.192.0/24")
    assert spread(["10.0.0.0/8", "192.0.2.128/25"], 4) == ("10.0.0.0/24", "10.128.0.0/24", "192.0.2.128/25")
    assert len(set(spread(["198.18.0.0/16"]))) == SUBNETS
    assert spread(["192.0.2.0/23"], 64) == ("192.0.2.0/24", "192.0.3.0/24")


@pytest.mark.parametrize("text", ["plain", 'quotes " and \\ and é', "x" * 600, "", "12\\034"])
def test_texts_come_back_as_they_were_written(text: str) -> None:
    content = write_text(text)
    assert content.isascii()
    assert parse_text(content) == text


@pytest.mark.parametrize("weights", [{"a.": 75, "b.": 25}, {"a.": 0, "b.": 1, "c.": 3}])
def test_weights_come_back_in_their_order(weights: dict[str, int]) -> None:
    assert list(parse_weights(write_weights(weights)).items()) == list(weights.items())


@pytest.mark.parametrize(
    "content",
    [
        "A \"pickwhashed({{1,'127.0.0.1'}})\"",
        "CNAME \"pickrandom({{1,'a.'}})\"",
        "CNAME \"pickwhashed({{1,'a.'}})\" x",
        "CNAME \"pickwhashed({{1,'a.'},{2,'A'}})\"",
        "CNAME \"pickwhashed({{-1,'a.'}})\"",
        'CNAME "pickwhashed({})"',
        "",
    ],
)
def test_other_lua_is_not_taken_for_weights(content: str) -> None:
    with pytest.raises(ValueError):
        parse_weights(content)
