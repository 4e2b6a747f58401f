"""Training in stages: losses, the loop, and checkpoints that a killed run goes on from."""

from sc2bench.training.loop import train

__all__ = ["train"]
