"""Integer tables and the coder of symbols: what a device needs beside its network, without PyTorch."""

from sc2bench.wire.coding.coder import CodingError, SymbolCoder, SymbolDecoder, SymbolEncoder
from sc2bench.wire.coding.integers import IntegerCoder
from sc2bench.wire.coding.tables import EntropyTablesDamaged, EntropyTablesMissing, IntegerTables

__all__ = [
    "CodingError",
    "EntropyTablesDamaged",
    "EntropyTablesMissing",
    "IntegerCoder",
    "IntegerTables",
    "SymbolCoder",
    "SymbolDecoder",
    "SymbolEncoder",
]
