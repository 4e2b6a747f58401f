"""Integer probability tables: what device and server must agree on to the last bit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sc2bench.core.errors import CheckpointError, Sc2benchError

if TYPE_CHECKING:
    from compressai.entropy_models import EntropyModel

# The compiled coder has frequencies of 24 bits; tables of more could not be refined to them.
MAX_PRECISION = 24
# Symbols are rounded float32 numbers, which count no further. Their distances from a table stay far inside int64.
_FARTHEST = 1 << 24


class EntropyTablesMissing(Sc2benchError):
    """Symbols can't be coded before the prior's tables are built."""


class EntropyTablesDamaged(CheckpointError):
    """Numbers that are no tables: compiled code would read or write beside its arrays, or never end."""


@dataclass(frozen=True)
class IntegerTables:
    """Cumulative frequencies of symbols, one table a row.

    Row `t` covers the symbols `offsets[t] ... offsets[t] + lengths[t] - 1`; the entry behind them is the escape,
    which stands for every other symbol. All of this is checked here, for what codes under the tables is compiled and
    checks nothing. Integers of any type are taken, and kept as int32.

    Attributes:
        cumulative: int32, (T, L); row `t` rises from 0 to `2 ** precision` over its first `lengths[t] + 2` entries.
        lengths: int32, (T,), number of symbols without the escape, at least 1.
        offsets: int32, (T,), smallest symbol; no symbol of a table is farther than 2**24 from 0.
        precision: bits of a frequency, 1 ... 24.

    Raises:
        EntropyTablesDamaged: the numbers are no such tables; the sentence names the first that is wrong.
    """

    cumulative: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray
    precision: int = 16

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_rows(self)
        for name in ("cumulative", "lengths", "offsets"):
            # Copies: what is checked must not change with the array that it came in.
            object.__setattr__(self, name, np.array(getattr(self, name), np.int32))

    @classmethod
    def of(cls, model: "EntropyModel") -> "IntegerTables":
        """Takes over the tables of an entropy model of CompressAI.

        Raises:
            EntropyTablesMissing: the model's `update()` was not called yet.
            EntropyTablesDamaged: they are none.
        """
        return cls.of_compressai(
            model.quantized_cdf.cpu().numpy(),
            model.cdf_length.cpu().numpy(),
            model.offset.cpu().numpy(),
            model.entropy_coder_precision,
        )

    @classmethod
    def of_compressai(
        cls, cumulative: np.ndarray, cdf_lengths: np.ndarray, offsets: np.ndarray, precision: int = 16
    ) -> "IntegerTables":
        """Takes over what CompressAI's entropy models have in their buffers; raises as `of` does.

        Args:
            cumulative: integers, (T, L).
            cdf_lengths: integers, (T,): entries of the cumulative rows, that is symbols, escape and the leading zero.
            offsets: integers, (T,). The tables are those of distances from a median, so each has the symbol 0.
            precision: bits of a frequency.
        """
        if cumulative.size == 0:
            raise EntropyTablesMissing("the prior has no entropy tables yet; call update_tables() after training")
        _require(cdf_lengths.dtype.kind in "iu", f"lengths of type {cdf_lengths.dtype} instead of integers")
        tables = cls(cumulative, cdf_lengths.astype(np.int64) - 2, offsets, precision)
        aside = (tables.offsets > 0) | (tables.offsets <= -tables.lengths)
        table = int(aside.argmax())
        _require(
            not aside.any(),
            f"table {table} starts at {tables.offsets[table]} and has {tables.lengths[table]} symbols, without 0",
        )
        return tables

    def __len__(self) -> int:
        return len(self.lengths)

    def probabilities(self, table: int) -> np.ndarray:
        """Float64, (lengths[table] + 1,): the symbols' probabilities in order, the escape's last. Exact."""
        row = self.cumulative[table, : self.lengths[table] + 2]
        return np.diff(row) / float(1 << self.precision)

    def bounds(self, precision: int) -> np.ndarray:
        """The cumulative frequencies at a higher precision, uint32 (T, L); every symbol keeps a frequency above 0.

        They are those that constriction's fast categorical models have, symbol by symbol.
        """
        entries = np.arange(self.cumulative.shape[1])
        spread = (1 << precision) - (self.lengths[:, None].astype(np.int64) + 1)
        return ((self.cumulative.astype(np.int64) * spread >> self.precision) + entries).astype(np.uint32)

    def information_bits(self, symbols: np.ndarray) -> np.ndarray:
        """The information content of symbols under the tables, in bits; an escape counts without what follows it.

        Args:
            symbols: int32, (N, T, ...): axis 1 chooses the table.

        Returns:
            Float64, (N,).
        """
        total = np.zeros(len(symbols))
        for table, values in enumerate(np.moveaxis(symbols, 1, 0)):
            places = values.reshape(len(symbols), -1).astype(np.int64) - self.offsets[table]
            escape = self.lengths[table]
            places = np.where((places < 0) | (places >= escape), escape, places)
            total -= np.log2(self.probabilities(table))[places].sum(axis=1)
        return total

    def to_bytes(self) -> bytes:
        """Everything that decoding depends on, in one byte order; for fingerprints."""
        parts = (self.cumulative, self.lengths, self.offsets, np.array([self.precision]))
        return b"".join(np.ascontiguousarray(part, dtype="<i4").tobytes() for part in parts)


def _check_shapes(tables: IntegerTables) -> None:
    """Raises `EntropyTablesDamaged` unless these are arrays of integers, of shapes that fit each other."""
    parts = {name: getattr(tables, name) for name in ("cumulative", "lengths", "offsets")}
    for name, array in parts.items():
        _require(isinstance(array, np.ndarray), f"{name} are no array")
        _require(array.dtype.kind in "iu", f"{name} of type {array.dtype} instead of integers")
    shapes = ", ".join(f"{name} of shape {array.shape}" for name, array in parts.items())
    fits = tables.cumulative.ndim == 2 and tables.lengths.ndim == tables.offsets.ndim == 1
    _require(fits and len(tables.cumulative) == len(tables.lengths) == len(tables.offsets) > 0, shapes)
    precision = tables.precision
    _require(isinstance(precision, int) and 1 <= precision <= MAX_PRECISION, f"frequencies of {precision} bits")


def _check_rows(tables: IntegerTables) -> None:
    """Raises `EntropyTablesDamaged` unless each row's length, range of symbols and frequencies are possible."""
    entries = tables.cumulative.shape[1]
    whole = 1 << tables.precision
    # Before any arithmetic: unsigned and large numbers would wrap.
    short = (tables.lengths < 1) | (tables.lengths > entries - 2)
    table = int(short.argmax())
    _require(not short.any(), f"table {table} has {tables.lengths[table]} symbols in a row of {entries} entries")
    far = (tables.offsets < -_FARTHEST) | (tables.offsets > _FARTHEST - tables.lengths.astype(np.int64))
    table = int(far.argmax())
    _require(not far.any(), f"table {table} starts at the symbol {tables.offsets[table]}, too far from 0")
    lengths = tables.lengths.astype(np.int64)
    used = np.arange(entries) < lengths[:, None] + 2
    beyond = used & ((tables.cumulative < 0) | (tables.cumulative > whole))
    bad = beyond.any(axis=1)
    rows = np.where(used & ~beyond, tables.cumulative, 0).astype(np.int64)
    bad |= (rows[:, 0] != 0) | (rows[np.arange(len(rows)), lengths + 1] != whole)
    bad |= ((np.diff(rows, axis=1) <= 0) & used[:, 1:]).any(axis=1)
    _require(not bad.any(), f"table {int(bad.argmax())} does not rise from 0 to {whole}")
    # What lies behind the rows' ends is never looked at, but must be int32 to be kept and fingerprinted.
    limits = np.iinfo(np.int32)
    _require(
        limits.min <= tables.cumulative.min() and tables.cumulative.max() <= limits.max, "a number that is no int32"
    )


def _require(condition: object, wrong: str) -> None:
    if not condition:
        raise EntropyTablesDamaged(f"damaged entropy tables: {wrong}; fetch or train the weights again")
