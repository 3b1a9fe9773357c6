"""Check an inclusion proof of `helamem audit prove`: no helamem needed, only the `cryptography` package.

    python verify_proof.py PROOF.json PUBLIC_KEY.pem

Exit codes: 0 proven, 1 not proven, 2 it could not be checked.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key


class NotProven(Exception):  # noqa: N818 - it is a verdict
    """The proof does not hold; its text says where."""


def sized(raw: bytes) -> bytes:
    """Return bytes after their length."""
    return len(raw).to_bytes(4, "big") + raw


def encoded(record: dict) -> bytes:
    """Return a record as the bytes that are hashed: see FORMAT.txt of the archive."""
    parts = [
        b"HMR1",
        sized(record["topic"].encode()),
        record["partition"].to_bytes(4, "big"),
        record["offset"].to_bytes(8, "big"),
        record["append_time_ms"].to_bytes(8, "big"),
        sized(base64.b64decode(record["key_base64"])),
        len(record["headers"]).to_bytes(4, "big"),
    ]
    for name, value in record["headers"]:
        parts += [sized(name.encode()), sized(base64.b64decode(value))]
    parts.append(sized(base64.b64decode(record["value_base64"])))
    return b"".join(parts)


def check(proof: dict, key: Ed25519PublicKey) -> None:
    """Raise NotProven where something does not hold."""
    record, segment, checkpoint = proof["record"], proof["segment"], dict(proof["checkpoint"])
    # 1. The checkpoint is signed by this key.
    signature = bytes.fromhex(checkpoint.pop("signature"))
    message = b"helamem checkpoint 1\n" + json.dumps(checkpoint, sort_keys=True, separators=(",", ":")).encode()
    try:
        key.verify(signature, message)
    except InvalidSignature:
        raise NotProven("the checkpoint is not signed by this key, or was changed") from None
    if checkpoint["public_key"] != key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex():
        raise NotProven("the checkpoint names another key")
    # 2. The checkpoint vouches for the segment, and the record lies in it.
    if segment not in checkpoint["segments"]:
        raise NotProven("the checkpoint does not name this segment")
    if (record["topic"], record["partition"]) != (checkpoint["topic"], checkpoint["partition"]):
        raise NotProven("the checkpoint is of another partition")
    if not segment["begin"] <= record["offset"] < segment["end"]:
        raise NotProven("the record does not lie in this segment")
    # 3. From the record the path leads to the segment's root (RFC 6962).
    found = hashlib.sha256(b"\x00" + encoded(record)).digest()
    for step in proof["path"]:
        beside = bytes.fromhex(step["hash"])
        pair = beside + found if step["side"] == "left" else found + beside
        found = hashlib.sha256(b"\x01" + pair).digest()
    if found.hex() != segment["root"]:
        raise NotProven("the record is not the one that was signed")
    # 4. The record is the event that the proof is about.
    if json.loads(base64.b64decode(record["value_base64"]))["id"] != proof["event_id"]:
        raise NotProven("the record is another event")


def main() -> int:
    """Check one proof."""
    if len(sys.argv) != 3:
        print(__doc__)  # noqa: T201 - this is a script
        return 2
    try:
        proof = json.loads(Path(sys.argv[1]).read_bytes())
        key = load_pem_public_key(Path(sys.argv[2]).read_bytes())
        if proof["format"] != "helamem inclusion proof 1" or not isinstance(key, Ed25519PublicKey):
            raise ValueError("this is no proof of this kind, or no Ed25519 key")  # noqa: TRY301 - said below
        check(proof, key)
    except NotProven as reason:
        print(f"not proven: {reason}")  # noqa: T201 - likewise
        return 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        print(f"cannot be checked: {type(error).__name__}: {error}")  # noqa: T201 - likewise
        return 2
    record, checkpoint = proof["record"], proof["checkpoint"]
    print(  # noqa: T201 - likewise
        f"proven: event {proof['event_id']} is record {record['offset']} of {record['topic']}/{record['partition']},"
        f" appended at {record['append_time_ms']} ms, as checkpoint {checkpoint['number']} of archive"
        f" {checkpoint['archive_id']} signed it at {checkpoint['signed_at']} ms (milliseconds since 1970)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
