"""Digests of what is written, so that one changed bit shows when it is read again."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIGEST = "digest"
_BYTES = 32
_CHUNK = 1 << 20


def new() -> "hashlib.blake2b":
    """The hash that all digests here are of; as fast as SHA-256 in hardware, and faster elsewhere."""
    return hashlib.blake2b(digest_size=_BYTES)


def of_file(path: Path) -> str:
    """The digest of a file's bytes, in hexadecimal; raises `OSError`."""
    hashed = new()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a JSON object, and under "digest" that of all others.

    >>> sealed({"epoch": 3})["digest"][:8]
    '9f7a59ca'
    """
    others = {key: value for key, value in values.items() if key != DIGEST}
    text = json.dumps(others, sort_keys=True, allow_nan=False)
    return others | {DIGEST: hashlib.blake2b(text.encode(), digest_size=_BYTES).hexdigest()}


def unsealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `sealed` was given; objects without a digest, as older versions wrote them, are taken as they are.

    Raises:
        ValueError: they are not as they were written.
    """
    others = {key: value for key, value in values.items() if key != DIGEST}
    if DIGEST in values and sealed(others)[DIGEST] != values[DIGEST]:
        raise ValueError("its content has another digest than it was written with; it is damaged")
    return others


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object; raises `OSError` if it can't be opened, `ValueError` for all else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("it holds no JSON object")
    return values
