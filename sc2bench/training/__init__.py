"""Training in stages: losses, the loop, and checkpoints that a killed run goes on from."""

from sc2bench.training.loop import train
from sc2bench.training.loss import Loss, LossContext, Need, Step, register_loss
from sc2bench.training.optimizers import register_optimizer
from sc2bench.training.schedules import register_schedule
from sc2bench.training.stage import epoch_work

__all__ = [
    "Loss",
    "LossContext",
    "Need",
    "Step",
    "epoch_work",
    "register_loss",
    "register_optimizer",
    "register_schedule",
    "train",
]
