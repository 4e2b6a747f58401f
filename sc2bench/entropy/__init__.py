"""Priors of latents, their integer tables, and the coder that turns symbols into bytes."""

from sc2bench.entropy.base import Coded, LatentCodec, LatentDecoder, Shape
from sc2bench.entropy.coder import CodingError, SymbolCoder
from sc2bench.entropy.factorized import FactorizedPrior
from sc2bench.entropy.hyperprior import Hyperprior, HyperpriorDecoder
from sc2bench.entropy.quantizer import AffineQuantizer
from sc2bench.entropy.tables import EntropyTablesMissing, IntegerTables

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
]
