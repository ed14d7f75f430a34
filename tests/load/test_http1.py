"""The reader of answers, fed in pieces of any size."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simian.load.http1 import BUFFER_B, Malformed, Reader, Response

HEAD = b"HTTP/1.1 200 OK\r\nX-Lab-Way:  direct \r\n"
ANSWERS = [
    HEAD + b"content-length: 5\r\n\r\nhello",
    HEAD + b"content-length: 0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\n3;note=x\r\nabc\r\nA\r\n0123456789\r\n0\r\nafter: all\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\ncontent-length: 99\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 204 Gone\r\nX-Lab-Way: direct\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"content-length: 1\r\n\r\nx",
    HEAD + b"content-length: 20000\r\n\r\n" + b"y" * 20_000,
]


def feed(reader: Reader, data: bytes, sizes: list[int]) -> list[Response]:
    """What the reader made of these bytes, put into it in pieces of these sizes by turns."""
    found, at, turn = [], 0, 0
    while at < len(data):
        room = reader.room()
        size = min(sizes[turn % len(sizes)], len(room), len(data) - at)
        room[:size] = data[at : at + size]
        at, turn = at + size, turn + 1
        if (response := reader.took(size)) is not None:
            found.append(response)
    return found


@settings(deadline=None)
@given(st.integers(0, len(ANSWERS) - 1), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_an_answer_ends_where_it_ends_however_it_is_cut(which: int, sizes: list[int]) -> None:
    reader = Reader()
    for _ in range(2):  # the second one finds a reader that is as good as new
        found = feed(reader, ANSWERS[which], sizes)
        assert [response.headers["x-lab-way"] for response in found] == ["direct"]
        assert not found[0].last


def test_an_answer_without_a_length_ends_when_the_connection_does() -> None:
    reader = Reader()
    assert feed(reader, HEAD + b"\r\n" + b"z" * 50_000, [4096]) == []
    response = reader.closed()
    assert response is not None
    assert response.status == 200
    assert response.last


def test_a_connection_that_closes_early_has_no_answer() -> None:
    reader = Reader()
    assert feed(reader, ANSWERS[0][:-1], [4096]) == []
    assert reader.closed() is None


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 0", b"HTTP/1.0 204 Fine"])
def test_the_last_answer_of_a_connection_says_so(head: bytes) -> None:
    (response,) = feed(Reader(), head + b"\r\n\r\n", [4096])
    assert response.last


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc Eh\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * BUFFER_B,
    ],
)
def test_garbage_is_malformed(garbage: bytes) -> None:
    with pytest.raises(Malformed):
        feed(Reader(), garbage, [4096])


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_malformed_and_nothing_worse(noise: bytes) -> None:
    for data in (noise, HEAD + noise, HEAD + b"transfer-encoding: chunked\r\n\r\n" + noise):
        try:
            feed(Reader(), data, [7])
        except Malformed:
            continue


def test_the_same_head_is_read_once_and_nobody_can_change_what_it_says() -> None:
    reader = Reader()
    first, second, other = feed(reader, ANSWERS[0] * 2 + ANSWERS[1], [len(ANSWERS[0])])
    assert first is second
    assert first is not other
    with pytest.raises(TypeError):
        first.headers["x-lab-way"] = "isthmus"  # type: ignore[index]
