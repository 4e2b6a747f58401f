"""Lossless coding of integer symbols under integer tables, by the compiled range coder."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from sc2bench.core.errors import Sc2benchError
from sc2bench.wire.coding.tables import IntegerTables


class CodingError(Sc2benchError):
    """Bytes that no symbols were coded to under these tables."""


class SymbolCoder:
    """Codes int32 symbols under tables that their indexes choose. Any int32 round-trips.

    A symbol outside its table is coded as the table's escape; the escaped values of a step follow behind its last
    symbol, each as the bit length of its distance from the table and then the bits themselves.

    Args:
        tables: what the indexes refer to.
    """

    def __init__(self, tables: IntegerTables):
        self.tables = tables
        compiled = _range_coder()
        self._bounds = tables.bounds(compiled.PRECISION)
        self._hints = compiled.hints(self._bounds, tables.lengths)
        self._lengths = tables.lengths.astype(np.int64)
        self._offsets = tables.offsets.astype(np.int64)
        # The first call compiles, or loads what is compiled already. It is made here, so that nobody measures it.
        shape = (len(tables),)
        self.decode(self.encode(np.zeros((1, *shape), np.int32)), shape)

    def encode(self, symbols: np.ndarray, indexes: np.ndarray | None = None) -> list[bytes]:
        """Codes a batch, each sample on its own.

        Args:
            symbols: int32, (N, ...).
            indexes: which table each symbol is coded under, integers in the same shape; `None`: its place on axis 1.

        Returns:
            N byte strings, each the shortest that decodes to its sample.
        """
        encoder = SymbolEncoder(self, len(symbols))
        encoder.put(_flat(symbols), self._channel_indexes(symbols.shape[1:]) if indexes is None else _flat(indexes))
        return encoder.finish()

    def decode(
        self, packed: Sequence[bytes], shape: Sequence[int] = (), indexes: np.ndarray | None = None
    ) -> np.ndarray:
        """Decodes a batch.

        Args:
            packed: N byte strings.
            shape: of one sample; not needed with indexes.
            indexes: as for `encode`, (N, ...).

        Returns:
            int32, (N, *shape).

        Raises:
            CodingError: a string is not a code under these tables. Most damaged strings decode to other symbols
                instead; a checksum is what finds them.
        """
        decoder = SymbolDecoder(self, packed)
        if indexes is None:
            return decoder.take(self._channel_indexes(shape)).reshape(len(packed), *shape)
        return decoder.take(_flat(indexes)).reshape(indexes.shape)

    def _channel_indexes(self, shape: Sequence[int]) -> np.ndarray:
        """For a sample of this shape the places on its first axis, one row for all samples, (1, S)."""
        if not shape or shape[0] != len(self.tables):
            raise ValueError(f"symbols of shape {tuple(shape)} don't fit {len(self.tables)} tables on axis 1")
        return np.arange(len(self.tables)).repeat(int(np.prod(shape[1:], dtype=np.int64)))[None]


class SymbolEncoder:
    """A batch's symbols on their way to bytes, step by step.

    Args:
        coder: brings the tables.
        samples: N, how many are coded side by side.
    """

    def __init__(self, coder: SymbolCoder, samples: int):
        self._coder = coder
        self._words = np.empty((samples, 0), np.uint32)
        self._counts = np.zeros(samples, np.int64)
        self._intervals = np.tile(np.array([0, _range_coder().FULL_WIDTH], np.uint64), (samples, 1))

    def put(self, symbols: np.ndarray, indexes: np.ndarray) -> None:
        """Codes one step.

        Args:
            symbols: int32, (N, S).
            indexes: of their tables, integers (N, S), or (1, S) for all samples alike.

        Raises:
            IndexError: an index names no table.
        """
        self._make_room(symbols.shape[1])
        coder = self._coder
        if not _range_coder().encode(
            coder._bounds, coder._lengths, coder._offsets, np.ascontiguousarray(symbols, np.int32),
            _checked(indexes, symbols.shape), self._words, self._counts, self._intervals,
        ):  # fmt: skip
            raise _no_table(coder)

    def finish(self) -> list[bytes]:
        """For each sample the shortest byte string that decodes to all steps."""
        compiled = _range_coder()
        packed = np.empty(compiled.WORD_BYTES * int((self._counts + 2).sum()), np.uint8)
        starts = compiled.finish(self._words, self._counts, self._intervals, packed).tolist()
        data = packed[: starts[-1]].tobytes()
        return [data[start:end] for start, end in pairwise(starts)]

    def _make_room(self, symbols: int) -> None:
        """Enlarges the words' array if it might be too small for one more step of so many symbols."""
        samples, room = self._words.shape
        needed = int(self._counts.max(initial=0)) + symbols * _range_coder().MAX_SYMBOL_BITS // 32 + 1
        if needed > room:
            words = np.empty((samples, max(needed, 2 * room)), np.uint32)
            words[:, :room] = self._words
            self._words = words


class SymbolDecoder:
    """The inverse of `SymbolEncoder`: the same steps, with the same indexes, give the symbols.

    Args:
        coder: brings the tables.
        packed: the samples' bytes.
    """

    def __init__(self, coder: SymbolCoder, packed: Sequence[bytes]):
        self._coder = coder
        self._data = np.frombuffer(b"".join(packed), np.uint8)
        lengths = np.array([len(data) for data in packed], np.int64)
        self._ends = np.cumsum(lengths)
        self._places = self._ends - lengths
        self._points = np.empty((len(packed), 2), np.uint64)
        _range_coder().start(self._data, self._places, self._ends, self._points)

    def take(self, indexes: np.ndarray) -> np.ndarray:
        """Decodes one step.

        Args:
            indexes: as for `SymbolEncoder.put`.

        Returns:
            int32, (N, S).

        Raises:
            CodingError: the bytes are no code under the tables.
            IndexError: an index names no table.
        """
        coder, compiled = self._coder, _range_coder()
        symbols = np.empty((len(self._ends), indexes.shape[1]), np.int32)
        outcome = compiled.decode(
            coder._bounds, coder._hints, coder._lengths, coder._offsets,
            self._data, self._places, self._ends, self._points,
            _checked(indexes, symbols.shape), symbols,
        )  # fmt: skip
        if outcome == compiled.NO_TABLE:
            raise _no_table(coder)
        if outcome == compiled.NO_CODE:
            raise CodingError("the payload is not a code under these entropy tables; it is damaged or foreign")
        if outcome == compiled.NO_INT32:
            raise CodingError("the payload decodes to a symbol that is no int32; it is damaged or foreign")
        return symbols


def _flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), int(np.prod(values.shape[1:], dtype=np.int64)))


def _checked(indexes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Indexes as the compiled coder reads them; it checks no bounds of arrays."""
    if indexes.shape not in (shape, (1, *shape[1:])):
        raise ValueError(f"indexes of shape {indexes.shape} don't fit symbols of shape {shape}")
    return np.ascontiguousarray(indexes, np.int64)


def _no_table(coder: SymbolCoder) -> IndexError:
    return IndexError(f"an index names none of the {len(coder.tables)} tables")


def _range_coder() -> Any:
    """The compiled coder; it is imported when symbols are coded, for importing Numba takes its time."""
    from sc2bench.wire.coding import range_coder

    return range_coder
