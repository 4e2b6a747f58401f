"""A model as an ordered chain of named layers, which can be cut anywhere."""

from sc2bench.chain.base import Chain, Converter, as_chain, chain_modules, cut, named_layers, numbered, register_chain
from sc2bench.chain.lean import lean

__all__ = [
    "Chain",
    "Converter",
    "as_chain",
    "chain_modules",
    "cut",
    "lean",
    "named_layers",
    "numbered",
    "register_chain",
]
