"""A model as an ordered chain of named layers, which can be cut anywhere."""

from sc2bench.chain.base import Chain, Converter, as_chain, cut, named_layers, numbered, register_chain

__all__ = ["Chain", "Converter", "as_chain", "cut", "named_layers", "numbered", "register_chain"]
