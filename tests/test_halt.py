"""The halt lever: a lever that cannot be read counts as pulled."""

from pathlib import Path

import pytest

from simian.halt import HaltLever


def test_pulled_until_released(tmp_path: Path) -> None:
    lever = HaltLever(tmp_path / "halt")
    assert lever.why_pulled() == ""
    lever.pull("  incident 7\n")
    assert lever.why_pulled() == "incident 7"
    assert HaltLever(tmp_path / "halt").why_pulled() == "incident 7"
    lever.pull("worse")
    assert lever.why_pulled() == "worse"
    assert lever.release() is True
    assert lever.why_pulled() == ""
    assert lever.release() is False
    assert list(tmp_path.iterdir()) == [], "nothing else is left lying about"


@pytest.mark.parametrize("text", [b"", b"  \n", b"\xff\xfe\x00 not text"])
def test_whatever_the_file_says_it_is_pulled(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "halt").write_bytes(text)
    assert HaltLever(tmp_path / "halt").why_pulled()


def test_a_lever_that_cannot_be_read_counts_as_pulled(tmp_path: Path) -> None:
    (tmp_path / "halt").mkdir()
    assert "counts as pulled" in HaltLever(tmp_path / "halt").why_pulled()
    (tmp_path / "file").write_text("")
    assert "counts as pulled" in HaltLever(tmp_path / "file" / "halt").why_pulled()
    assert "is gone" in HaltLever(tmp_path / "nowhere" / "halt").why_pulled()


def test_pulling_makes_the_folder(tmp_path: Path) -> None:
    lever = HaltLever(tmp_path / "new" / "halt")
    lever.pull("now")
    assert lever.why_pulled() == "now"
