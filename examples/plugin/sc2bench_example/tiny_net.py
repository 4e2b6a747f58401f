"""A teacher: a chain of named layers, and what is done to images before it."""

from collections import OrderedDict

from torch import nn

from sc2bench import TEACHERS, Chain, Preprocess, Teacher


@TEACHERS.register("tiny_net")
def tiny_net() -> Teacher:
    """For grey images in ten classes. Weights come from a file: `teacher.weights=FILE`; `random` to train them."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU())
    layers["conv2"] = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU())
    layers["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    layers["fc"] = nn.Linear(32, 10)
    return Teacher(Preprocess(mean=[0.29], std=[0.35]), Chain(layers))
