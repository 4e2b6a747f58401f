"""Fingerprints: what data sets really hold, so that two folders read by one reader are never taken for each other."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# The size of every file is looked at up to this number, and beyond it that of so many, spread over all.
MOST_SIZES = 20_000
# Files whose contents are looked at, too, and bytes of each.
MOST_CONTENTS = 64
_MOST_BYTES = 1 << 20
_BYTES = 8


@dataclass(frozen=True)
class Place:
    """Where a data set lies, and what it is known to hold where no folder is named.

    Attributes:
        variable: the environment variable that names its folder.
        published: fingerprints by split of what its own place holds; empty if it has none.
    """

    variable: str
    published: Mapping[str, str]

    def named(self, root: str | None) -> str | None:
        """The folder that a configuration or the environment variable names, as it stands there."""
        return root or os.environ.get(self.variable) or None


def located(variable: str, **published: str) -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator that tells of the opener of a data set where it lies; see `Place`."""

    def decorate(opener: Callable[..., Any]) -> Any:
        opener.place = Place(variable, published)  # type: ignore[attr-defined]
        return opener

    return decorate


def place_of(opener: Any) -> Place:
    """Where the data set of an opener lies; of one that does not tell, all is in its configuration."""
    return getattr(opener, "place", Place("", {}))


def digest(*parts: bytes | str | np.ndarray) -> str:
    """Names content by 16 hexadecimal digits; arrays count with their dtype and shape."""
    found = hashlib.blake2b(digest_size=_BYTES)
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            # An empty array has no bytes to be seen.
            data: Any = np.ascontiguousarray(part).reshape(-1).view(np.uint8) if part.size else b""
        else:
            data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big"))
        found.update(data)
    return found.hexdigest()


def digest_files(count: int, path: Callable[[int], Path]) -> tuple[np.ndarray, str]:
    """What tells files of images from others: sizes, and contents of a few, for raw pixels have a size of their own.

    Args:
        count: of the files.
        path: gives that of each.

    Returns:
        The sizes (see `file_sizes`), and a digest of the contents of `MOST_CONTENTS` spread over all.
    """
    places = np.unique(np.linspace(0, count - 1, min(count, MOST_CONTENTS)).astype(int)).tolist()
    return file_sizes(count, path), digest(*(_content(path(place)) for place in places))


def file_sizes(count: int, path: Callable[[int], Path]) -> np.ndarray:
    """Sizes of files in bytes, of all or of `MOST_SIZES` spread over them; -1 for one that is not there.

    Args:
        count: of the files.
        path: gives that of each.

    Returns:
        int64, (min(count, MOST_SIZES),).
    """
    places = range(count) if count <= MOST_SIZES else np.linspace(0, count - 1, MOST_SIZES).astype(int).tolist()
    return np.array([_size(path(place)) for place in places], np.int64)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (Path.stat takes twice as long)
    except OSError:
        return -1


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        # Whoever reads the image says so.
        return b""
