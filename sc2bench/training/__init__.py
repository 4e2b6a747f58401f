"""Training in stages: losses, the loop, and checkpoints that a killed run goes on from."""

from sc2bench.training.loop import train
from sc2bench.training.stage import epoch_work

__all__ = ["epoch_work", "train"]
