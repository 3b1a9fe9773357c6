"""Sums and copies of files, and which snapshots stay."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest

from helamem.streams.snapshots.files import copy_files, names_below, sum_files
from helamem.streams.snapshots.shelf import staying_of

MIB = 1024**2


def test_a_copy_has_the_bytes_and_the_holes(tmp_path: Path) -> None:
    """The sum is the one that everybody computes, whatever a file is made of."""
    contents = {
        "store/empty": b"",
        "store/small": b"abc",
        "store/deep/odd": bytes(range(256)) * 9000 + b"x",
        "store/deep/er/begin": b"begin" + bytes(3 * MIB),
        "store/deep/er/end": bytes(2 * MIB + 17) + b"end",
        "store/hole": bytes(5 * MIB),
    }
    for name, content in contents.items():
        file = tmp_path / "from" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as out:
            for start in range(0, len(content), MIB):
                piece = content[start : start + MIB]
                if piece.strip(b"\0"):
                    out.seek(start)
                    out.write(piece)
            out.truncate(len(content))
    names = names_below(tmp_path / "from", "store")
    assert names == sorted(contents)
    sums = copy_files(tmp_path / "from", names, tmp_path / "into")
    assert sums == sum_files(tmp_path / "from", names)
    for name, content in contents.items():
        copy = tmp_path / "into" / name
        assert copy.read_bytes() == content
        assert (sums[name].size_bytes, sums[name].sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert copy.stat().st_blocks <= (tmp_path / "from" / name).stat().st_blocks
    with pytest.raises(FileNotFoundError):
        copy_files(tmp_path / "from", ["store/none"], tmp_path / "other")


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_few_snapshots_stay_and_none_that_went_is_wanted_again(keep: int) -> None:
    """The newest ones all; further back they lie further apart, but never further than they lie back."""
    kept: set[int] = set()
    for newest in range(1, 300):
        kept = staying_of({*kept, newest}, keep)
        assert kept == staying_of(range(1, newest + 1), keep)
        assert {*range(newest, max(0, newest - keep), -1)} <= kept
        assert len(kept) <= keep * newest.bit_length()
        for older, newer in pairwise([0, *sorted(kept)]):
            assert newer - older <= max(1, 2 * (newest - older) // keep), (newest, older, newer)
