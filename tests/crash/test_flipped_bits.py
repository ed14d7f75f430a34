"""A journal with flipped bits: an error that names the file, or nothing worse than what is written there."""

import os
from pathlib import Path
from random import Random

from simian.errors import JournalError
from simian.journal import Journal

from .lives import WORDS, Lives

SEEDS = int(os.environ.get("SIMIAN_SEEDS", "1")) * 20


def test_flipped_bits_are_an_error_that_names_the_file_or_harmless(quick: Path) -> None:
    whole = quick / "whole.db"
    lives = Lives(journal=Journal(whole))
    for words in WORDS[::3]:
        lives.inject([words])
    lives.journal.close()
    text, named = whole.read_bytes(), dict[int, bool]()
    for seed in range(SEEDS):
        rng, hurt, damaged = Random(seed), quick / f"{seed}.db", bytearray(text)
        for _ in range(rng.choice((1, 8, 200))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        hurt.write_bytes(damaged)
        try:
            journal = Journal(hurt)
            for row in journal.with_open_faults():
                journal.still_open(row["run"])
            journal.close()
        except JournalError as error:
            named[seed] = str(hurt) in str(error)
    assert named, f"none of {SEEDS} damaged files was noticed"
    assert all(named.values()), named
