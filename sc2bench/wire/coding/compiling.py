"""Compiling with Numba, with a cache on disk that can only help: a full, damaged or locked one is done without."""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

_DIGEST_BYTES = 32
_warned = False


class CacheWarning(RuntimeWarning):
    """Compiled code can't be kept for later processes."""


class _SealedFiles(IndexDataCacheFile):
    """Numba's files of one function, each with a digest behind it, for they hold machine code.

    Numba's own readers stop where their content ends, so they don't see the digest.
    """

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
        content = io.BytesIO()
        with super()._open_for_write(filepath) as file:
            yield content
            file.write(content.getvalue() + _digest(content.getvalue()))

    def _load_index(self) -> Any:
        with suppress(FileNotFoundError):
            _check(self._index_path)
        return super()._load_index()

    def _load_data(self, name: str) -> Any:
        _check(self._data_path(name))
        return super()._load_data(name)


class _ForgivingCache(FunctionCache):
    """Numba's cache of one function; whatever goes wrong with it, the function is compiled."""

    def __init__(self, function: Callable):
        super().__init__(function)
        self._cache_file = _SealedFiles(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling damaged files raises errors of any class
            with suppress(Exception):
                # An empty index, so that what is compiled now takes the place of what is damaged.
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _warn(error)


def compiled(function: Callable) -> Any:
    """Compiles at the first call, and keeps the result for later processes where a folder for it can be written."""
    made: Any = njit(nogil=True)(function)
    try:
        made._cache = _ForgivingCache(function)
    except (RuntimeError, OSError) as error:
        _warn(error)
    return made


def _check(path: str) -> None:
    content = Path(path).read_bytes()
    if _digest(content[:-_DIGEST_BYTES]) != content[-_DIGEST_BYTES:]:
        raise ValueError(f"{path} is damaged")


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _warn(error: Exception) -> None:
    """Says once in a process that others will compile again."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"the compiled coder can't be kept ({error}); each process compiles it again, which takes seconds; free "
            "space, or let NUMBA_CACHE_DIR name a folder that can be written",
            CacheWarning,
            stacklevel=2,
        )
