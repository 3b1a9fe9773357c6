"""Everything that somebody could do to a log, an archive or checkpoints, one thing at a time."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

import msgspec

from helamem.schemas.events import CheckpointSigned
from helamem.schemas.records import Record, TopicPartition
from helamem.streams.archive.files import LocalFiles
from helamem.streams.archive.layout import Span, folder_of, manifest_name, records_name
from helamem.streams.archive.segment import Chain, content_of, gaps, seal
from helamem.streams.audit.checkpoints import checkpoint_from, line_of, sign
from helamem.streams.audit.hashes import genesis
from helamem.streams.log.sqlite_schema import OFFSET_BITS
from streams.audit.world import OTHER_KEY, PARTITIONS, SEGMENT, World


class Done(NamedTuple):
    """What was done, and what an audit has to say of it."""

    what: str
    where: str
    at: TopicPartition | None = None
    offset: int | None = None
    kinds: Sequence[str] = ()
    last: int | None = None
    """Where one byte of a compressed block was hit: the last offset that may be named."""


Records = list[Record]
Change = Callable[[Records, Records, random.Random], tuple[Records, int, Sequence[str]]]
"""Takes a partition's records and another's; returns them tampered with, the first offset at fault, and its kinds."""


def numbered(records: Sequence[Record], begin: int) -> Records:
    """Return records with offsets in a row."""
    return [msgspec.structs.replace(record, offset=begin + n) for n, record in enumerate(records)]


def flip(records: Records, other: Records, rng: random.Random) -> tuple[Records, int, Sequence[str]]:
    """Change one bit of one record."""
    place = rng.randrange(len(records))
    record = records[place]
    field = rng.choice(("value", "key", "append_time_ms"))
    if field == "append_time_ms":
        changed = msgspec.structs.replace(record, append_time_ms=record.append_time_ms ^ 1)
    else:
        raw = bytearray(getattr(record, field))
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        changed = msgspec.structs.replace(record, **{field: bytes(raw)})
    return [*records[:place], changed, *records[place + 1 :]], record.offset, ["changed"]


def drop(records: Records, other: Records, rng: random.Random) -> tuple[Records, int, Sequence[str]]:
    """Take one record out; those after it keep their offsets or move up."""
    place = rng.randrange(len(records))
    rest = records[:place] + records[place + 1 :]
    if rng.random() < 0.5:
        rest = numbered(rest, records[0].offset)
    return rest, records[place].offset, ["removed", "truncated"]


def insert(records: Records, other: Records, rng: random.Random) -> tuple[Records, int, Sequence[str]]:
    """Put in a record of nobody, or one of this partition a second time."""
    place = rng.randrange(len(records))
    own = rng.choice(records)
    new = own if rng.random() < 0.5 else msgspec.structs.replace(own, value=b'{"text":"never said"}')
    if new == records[-1] == records[place]:  # the last one once more is what a producer may append
        place = 0
    together = numbered([*records[:place], new, *records[place:]], records[0].offset)
    if together[place] == records[place]:  # the same beside itself: the one after it is the one too many
        return together, records[0].offset + place + 1, ["inserted"]
    return together, records[0].offset + place, ["inserted"]


def swap(records: Records, other: Records, rng: random.Random) -> tuple[Records, int, Sequence[str]]:
    """Let two records change places."""
    one, two = sorted(rng.sample(range(len(records)), 2))
    swapped = list(records)
    swapped[one], swapped[two] = swapped[two], swapped[one]
    return numbered(swapped, records[0].offset), records[one].offset, ["reordered", "changed"]


def truncate(records: Records, other: Records, rng: random.Random) -> tuple[Records, int, Sequence[str]]:
    """Cut off the end."""
    place = rng.randrange(len(records))
    return records[:place], records[place].offset, ["truncated"]


def splice(records: Records, other: Records, rng: random.Random) -> tuple[Records, int, Sequence[str]]:
    """Put a record of another partition in the place of one, or between two."""
    place = rng.randrange(len(records))
    theirs = msgspec.structs.replace(rng.choice(other), topic=records[0].topic, partition=records[0].partition)
    if rng.random() < 0.5:
        theirs = msgspec.structs.replace(theirs, offset=records[place].offset)
        return [*records[:place], theirs, *records[place + 1 :]], records[place].offset, ["changed"]
    together = [*records[:place], theirs, *records[place:]]
    return numbered(together, records[0].offset), records[0].offset + place, ["inserted"]


CHANGES: Sequence[Change] = (flip, drop, insert, swap, truncate, splice)


def _changed(read: Callable[[TopicPartition], Records], rng: random.Random, change: Change) -> tuple[Done, Records]:
    at, beside = rng.sample(PARTITIONS, 2)
    records, offset, kinds = change(read(at), read(beside), rng)
    return Done(change.__name__, "", at, offset, kinds), records


def tamper_with_log(world: World, rng: random.Random, change: Change) -> Done:
    """Change the log's file by hand, past all its rules."""
    done, records = _changed(world.log_records, rng, change)
    assert done.at is not None
    with closing(sqlite3.connect(world.log_path)) as file, file:
        file.execute("PRAGMA synchronous = OFF")
        (number,) = file.execute(
            "SELECT partition_id FROM partitions WHERE topic = ? AND partition = ?", done.at
        ).fetchone()
        first = number << OFFSET_BITS
        file.execute("DELETE FROM records WHERE id BETWEEN ? AND ?", (first, first + (1 << OFFSET_BITS) - 1))
        rows = [(first + one.offset, one.append_time_ms, one.key, one.value) for one in records]
        file.executemany("INSERT INTO records VALUES (?, ?, ?, ?, NULL)", rows)
    return done._replace(where="log")


def tamper_with_archive(world: World, rng: random.Random, change: Change) -> Done:
    """Change records and make everything in the archive fit again: what a careful forger without the key would do."""
    done, records = _changed(world.archived_records, rng, change)
    assert done.at is not None
    at = done.at
    files = LocalFiles(world.archive_path)
    archive_id = msgspec.json.decode(files.read("archive.json"))["archive_id"]
    shutil.rmtree(world.archive_path / folder_of(at))
    begin = records[0].offset if records else 0
    chain = Chain(begin=begin, head=genesis(archive_id, at, begin), end=0)
    for first in range(0, len(records), SEGMENT):
        some = records[first : first + SEGMENT]
        missing = gaps(chain.end, [record.offset for record in some], 0)
        content = content_of(at, some, chain, missing)
        manifest, data = seal(content, some)
        span = Span(content.begin, content.end)
        (world.archive_path / folder_of(at)).mkdir(exist_ok=True)
        (world.archive_path / records_name(at, span.begin)).write_bytes(data)
        (world.archive_path / manifest_name(at, span)).write_bytes(manifest.to_bytes())
        chain = Chain(begin=begin, head=bytes.fromhex(content.chain_head), end=content.end)
    if rng.random() < 0.2:
        resign(world, rng)
    return done._replace(where="archive")


def tamper_with_file(world: World, rng: random.Random, what: str) -> Done:
    """Flip a bit of a file in the archive, cut it, take it away, or put another one in its place."""
    path = rng.choice(world.archive_files())
    names = [one.name for one in path.parent.iterdir()]
    raw = path.read_bytes()
    if what == "flip a bit":
        changed = bytearray(raw)
        changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
    elif what == "cut":
        path.write_bytes(raw[: rng.randrange(len(raw))])
    elif what == "take away":
        path.unlink()
    else:
        alike = [one for one in world.archive_files() if one.suffixes == path.suffixes and one.read_bytes() != raw]
        path.write_bytes(rng.choice(alike).read_bytes())
    if path.parent.name == "checkpoints":
        return Done(what, "checkpoints")
    at = TopicPartition(path.parent.parent.name, int(path.parent.name))
    begin = path.name[:20]
    (manifest,) = (one for one in names if one.startswith(f"{begin}-"))
    return Done(f"{what} of {path.name}", "archive", at, int(begin), (), int(manifest[21:41]))


def resign(world: World, rng: random.Random) -> Done:
    """Sign the archive's checkpoints with a key of one's own."""
    for path in sorted((world.archive_path / "checkpoints").iterdir()):
        path.write_bytes(line_of(signed_by_other(checkpoint_from(path.read_bytes()))))
    return Done("sign anew", "checkpoints")


def signed_by_other(checkpoint: CheckpointSigned) -> CheckpointSigned:
    """Return the same checkpoint under another key."""
    fields = {name: getattr(checkpoint, name) for name in checkpoint.__struct_fields__}
    del fields["public_key"], fields["signature"]
    return sign(OTHER_KEY, **fields)


def tamper_with_kept(world: World, rng: random.Random, what: str) -> Done:
    """Change the checkpoints that were kept elsewhere."""
    lines = world.kept_path.read_bytes().splitlines(keepends=True)
    place = rng.randrange(len(lines) - 1)
    if what == "flip a bit":
        raw = bytearray(lines[place])
        raw[rng.randrange(len(raw) - 1)] ^= 1 << rng.randrange(7)
        lines[place] = bytes(raw)
    elif what == "take away":
        del lines[place]
    else:
        lines[place] = line_of(signed_by_other(checkpoint_from(lines[place])))
    world.kept_path.write_bytes(b"".join(lines))
    return Done(what, "checkpoints")


Tampering = Callable[[World, random.Random], Done]
_IN_FILES = ("flip a bit", "cut", "take away", "replace")
_IN_KEPT = ("flip a bit", "take away", "sign anew")

TAMPERINGS: Mapping[str, Tampering] = {
    **{f"{change.__name__} in the log": partial(tamper_with_log, change=change) for change in CHANGES},
    **{f"{change.__name__} in the archive": partial(tamper_with_archive, change=change) for change in CHANGES},
    **{f"{what} of the archive's files": partial(tamper_with_file, what=what) for what in _IN_FILES},
    **{f"{what} of checkpoints kept elsewhere": partial(tamper_with_kept, what=what) for what in _IN_KEPT},
    "sign the archive anew": resign,
}
