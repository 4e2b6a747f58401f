"""Checkpoints of the published sc2bench package (versions 0.0.3 and 0.1.1), taken over as trained models of ours."""

from sc2bench.importing.checkpoint import import_checkpoint, load_published

__all__ = ["import_checkpoint", "load_published"]
