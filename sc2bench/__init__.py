"""Supervised compression for split computing: build, train, measure and compare split models."""

from importlib import import_module
from typing import Any

__version__ = "1.0.0.dev0"

# Imported when first used, so that `import sc2bench` and the command line's help don't wait for PyTorch.
_PUBLIC = {
    "build": "sc2bench.runs.api",
    "load": "sc2bench.runs.api",
    "evaluate": "sc2bench.evaluation",
    "load_records": "sc2bench.records",
}
__all__ = ["__version__", "build", "evaluate", "load", "load_records"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sc2bench' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)
