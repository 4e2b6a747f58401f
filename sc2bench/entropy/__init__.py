"""Priors of latents, their integer tables, and the coder that turns symbols into bytes."""

from sc2bench.entropy.coder import CodingError, SymbolCoder
from sc2bench.entropy.factorized import FactorizedPrior
from sc2bench.entropy.tables import EntropyTablesMissing, IntegerTables

__all__ = ["CodingError", "EntropyTablesMissing", "FactorizedPrior", "IntegerTables", "SymbolCoder"]
