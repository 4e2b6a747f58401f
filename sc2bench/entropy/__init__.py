"""Priors of latents: their integer tables are what the coder of `sc2bench.coding` turns symbols into bytes with."""

from sc2bench.coding import CodingError, EntropyTablesMissing, IntegerTables, SymbolCoder
from sc2bench.entropy.base import Coded, LatentCodec, LatentDecoder, Shape, require_codable
from sc2bench.entropy.factorized import FactorizedPrior
from sc2bench.entropy.hyperprior import Hyperprior, HyperpriorDecoder
from sc2bench.entropy.quantizer import AffineQuantizer

__all__ = [
    "AffineQuantizer",
    "Coded",
    "CodingError",
    "EntropyTablesMissing",
    "FactorizedPrior",
    "Hyperprior",
    "HyperpriorDecoder",
    "IntegerTables",
    "LatentCodec",
    "LatentDecoder",
    "Shape",
    "SymbolCoder",
    "require_codable",
]
