"""Addresses that were written by hand: what their names resolve to is looked at, and that very address is used."""

import socket
from typing import Any

import pytest

from simian.dial import connect, why_not


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("169.254.169.254", "link-local"),
        ("169.254.0.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("febf:ffff::1", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("fd00:ec2::254", "a cloud's own"),
        ("100.100.100.200", "a cloud's own"),
        ("168.63.129.16", "a cloud's own"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "nobody's"),
        ("::", "nobody's"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("10.0.0.1", ""),
        ("fd00::1", ""),
        ("192.0.2.7", ""),
    ],
)
def test_where_clouds_keep_credentials_nobody_is_asked(address: str, why: str) -> None:
    assert why_not(address) == why


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_name_that_leads_to_such_an_address_is_not_asked_either(
    monkeypatch: pytest.MonkeyPatch, family: socket.AddressFamily
) -> None:
    address: Any = ("169.254.169.254", 80) if family == socket.AF_INET else ("fe80::1", 80, 0, 2)
    found = [(family, socket.SOCK_STREAM, 6, "", address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ValueError, match=r"hooks\.example is .* \(link-local\), an address that webhooks do not ask"):
        connect("hooks.example", 80, 1.0, "webhooks")


def test_the_address_that_was_looked_at_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves to something else the second time must not be asked a second time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked: list[str] = []

        def resolves(host: str, port: int, **_: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname())]

        monkeypatch.setattr(socket, "getaddrinfo", resolves)
        with connect("hooks.example", 80, 10.0, "webhooks") as connection:
            assert connection.getpeername() == server.getsockname()
    assert asked == ["hooks.example"]
