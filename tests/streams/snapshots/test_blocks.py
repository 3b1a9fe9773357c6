"""The blocks of files, and which snapshots stay."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest

from helamem.streams.snapshots.blocks import BLOCK_BYTES, AlteredBlockError, Blocks, are_sound, named, names_below
from helamem.streams.snapshots.shelf import staying_of

CONTENTS = {
    "store/empty": b"",
    "store/small": b"abc",
    "store/deep/odd": bytes(range(1, 256)) * 9000 + b"x",
    "store/deep/er/begin": b"begin" + bytes(12 * BLOCK_BYTES),
    "store/deep/er/end": bytes(8 * BLOCK_BYTES + 17) + b"end",
    "store/deep/er/mid": bytes(3 * BLOCK_BYTES - 9) + b"across the border" + bytes(2 * BLOCK_BYTES),
    "store/hole": bytes(5 * BLOCK_BYTES),
}


def written(root: Path) -> list[str]:
    """Write the files with their holes, and return their names."""
    for name, content in CONTENTS.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as out:
            for start in range(0, len(content), BLOCK_BYTES):
                piece = content[start : start + BLOCK_BYTES]
                if piece.strip(b"\0"):
                    out.seek(start)
                    out.write(piece)
            out.truncate(len(content))
    return names_below(root, "store")


def kept(blocks: Blocks) -> dict[str, int]:
    """Return what there is of blocks, with what identifies the file."""
    return {path.name: path.stat().st_ino for path in blocks.root.rglob("*") if path.is_file()}


def test_files_are_what_they_were_with_their_holes(tmp_path: Path) -> None:
    """Blocks are named by what they hold, as everybody computes it."""
    names = written(tmp_path / "from")
    assert names == sorted(CONTENTS)
    blocks = Blocks(tmp_path / "blocks")
    files = blocks.keep(tmp_path / "from", names)
    assert are_sound(files)
    assert named(files) == {*kept(blocks)}
    for name in kept(blocks):
        content = (blocks.root / name[:2] / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == name
        assert content.rstrip(b"\0") == content
    assert [bool(one) for one in files["store/deep/er/end"].blocks] == [False] * 8 + [True]
    assert [files[name].blocks for name in ("store/empty", "store/hole")] == [[], []]
    blocks.restore(files, tmp_path / "into")
    for name, content in CONTENTS.items():
        copy = tmp_path / "into" / name
        assert copy.read_bytes() == content
        assert copy.stat().st_blocks <= (tmp_path / "from" / name).stat().st_blocks
    with pytest.raises(FileNotFoundError):
        blocks.keep(tmp_path / "from", ["store/none"])


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    """Unless it was altered; of a file that has grown, its end alone is new; what nobody names any more goes."""
    names = written(tmp_path / "from")
    blocks = Blocks(tmp_path / "blocks")
    before = blocks.keep(tmp_path / "from", names)
    first = kept(blocks)
    with (tmp_path / "from" / "store/deep/odd").open("ab") as file:
        file.write(b"more")
    after = blocks.keep(tmp_path / "from", names)
    assert len(named(after) - named(before)) == 1
    assert first.items() <= kept(blocks).items()
    (altered,) = named({"begin": after["store/deep/er/begin"]})
    (blocks.root / altered[:2] / altered).write_bytes(b"altered")
    with pytest.raises(AlteredBlockError, match=rf"{altered}, a part of store/deep/er/begin, is not what"):
        blocks.restore(after, tmp_path / "altered")
    assert blocks.keep(tmp_path / "from", names) == after
    blocks.restore(after, tmp_path / "mended")
    (blocks.root / altered[:2] / f"{altered}.1.new").write_bytes(b"half")
    blocks.sweep(named(after))
    assert {*kept(blocks)} == named(after)
    blocks.sweep(())
    assert list(blocks.root.iterdir()) == []
    with pytest.raises(FileNotFoundError) as missing:
        blocks.restore(after, tmp_path / "missing")
    assert Path(str(missing.value.filename)).parent.parent == blocks.root


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
    assert staying_of(range(1, 300), None) == set(range(1, 300))
