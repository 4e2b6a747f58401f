"""Priors of latents: their integer tables are what the coder of `sc2bench.wire.coding` turns symbols into bytes with."""

from sc2bench.entropy.base import Coded, LatentCodec, LatentDecoder, Shape, require_codable
from sc2bench.entropy.factorized import FactorizedPrior
from sc2bench.entropy.hyperprior import Hyperprior, HyperpriorDecoder
from sc2bench.entropy.quantizer import AffineQuantizer
from sc2bench.wire.coding import CodingError, EntropyTablesMissing, IntegerTables, SymbolCoder

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
