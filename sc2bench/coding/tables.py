"""Integer probability tables: what device and server must agree on to the last bit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sc2bench.errors import Sc2benchError

if TYPE_CHECKING:
    from compressai.entropy_models import EntropyModel


class EntropyTablesMissing(Sc2benchError):
    """Symbols can't be coded before the prior's tables are built."""


@dataclass(frozen=True)
class IntegerTables:
    """Cumulative frequencies of symbols, one table a row.

    Row `t` covers the symbols `offsets[t] ... offsets[t] + lengths[t] - 1`; the entry behind them is the escape,
    which stands for every other symbol.

    Attributes:
        cumulative: int32, (T, L); row `t` rises from 0 to `2 ** precision` over its first `lengths[t] + 2` entries.
        lengths: int32, (T,), number of symbols without the escape.
        offsets: int32, (T,), smallest symbol.
        precision: bits of a frequency.
    """

    cumulative: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray
    precision: int = 16

    @classmethod
    def of(cls, model: "EntropyModel") -> "IntegerTables":
        """Takes over the tables of an entropy model of CompressAI.

        Raises:
            EntropyTablesMissing: the model's `update()` was not called yet.
        """
        if model.quantized_cdf.numel() == 0:
            raise EntropyTablesMissing("the prior has no entropy tables yet; call update_tables() after training")
        return cls(
            model.quantized_cdf.cpu().numpy().astype(np.int32),
            # CompressAI's length counts the entries of the cumulative row: symbols, escape and the leading zero.
            model.cdf_length.cpu().numpy().astype(np.int32) - 2,
            model.offset.cpu().numpy().astype(np.int32),
            model.entropy_coder_precision,
        )

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
