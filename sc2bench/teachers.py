"""Reference models, whose knowledge split models take over."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from sc2bench.chain import Chain
from sc2bench.config import TeacherConfig
from sc2bench.registry import TEACHERS
from sc2bench.state import load_state, load_tensors

WEIGHTS = Path(__file__).parent / "weights"
# Where a teacher stands in the split model that trains it.
TRAINED_PREFIX = "server.teacher."


class Preprocess(nn.Module):
    """What every model does to an image first: pad with black, scale to 0..1, normalize.

    Args:
        mean: of each channel, for images in 0..1.
        std: of each channel.
        pad: pixels added at each side.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], pad: int = 0):
        super().__init__()
        # Not persistent: they are no weights, and come with the teacher's name.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1) * 255, persistent=False)
        self.pad = pad

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 (N, C, H, W); returns float32 (N, C, H + 2 pad, W + 2 pad), channels last in memory."""
        padded = nn.functional.pad(images, (self.pad,) * 4)
        return ((padded - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


class Teacher(nn.Module):
    """A reference model with the preprocessing that it was trained with.

    Args:
        preprocess: uint8 images to the chain's input.
        chain: the model.
    """

    def __init__(self, preprocess: Preprocess, chain: Chain):
        super().__init__()
        self.preprocess = preprocess
        self.chain = chain

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 (N, C, H, W); returns logits (N, classes)."""
        return self.chain(self.preprocess(images))


def load_teacher(config: TeacherConfig) -> Teacher:
    """Builds a teacher and loads its weights.

    Args:
        config: `weights` may also be the final weights of a run that trained the teacher.

    Raises:
        CheckpointError: the file of weights is missing, unreadable or doesn't fit.
    """
    teacher: Teacher = TEACHERS[config.name]()
    if config.weights != "random":
        packaged = config.weights == "packaged"
        path = WEIGHTS / f"{config.name}.safetensors" if packaged else Path(config.weights)
        state = {key.removeprefix(TRAINED_PREFIX): value for key, value in load_tensors(path).items()}
        load_state(teacher, state, path)
    return teacher.to(memory_format=torch.channels_last)


@TEACHERS.register("fashion_resnet")
def fashion_resnet() -> Teacher:
    """A small ResNet (He et al. 2016) for 28x28 grey images, padded to 32x32, in ten classes."""
    return Teacher(Preprocess(mean=[0.2860], std=[0.3530], pad=2), small_resnet(channels=1, classes=10))


def small_resnet(channels: int, classes: int, widths: Sequence[int] = (24, 48, 96), blocks: int = 2) -> Chain:
    """A ResNet with a stride-2 stem and basic blocks, as a chain.

    Args:
        channels: of the input.
        classes: number of logits.
        widths: channels of `layer1`, `layer2`, ...; each layer but the first halves height and width.
        blocks: basic blocks in each layer.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    stages["conv1"] = nn.Conv2d(channels, widths[0], 3, stride=2, padding=1, bias=False)
    stages["bn1"] = nn.BatchNorm2d(widths[0])
    stages["relu"] = nn.ReLU(inplace=True)
    before = widths[0]
    for index, width in enumerate(widths, start=1):
        stages[f"layer{index}"] = _layer(before, width, blocks, stride=1 if index == 1 else 2)
        before = width
    stages["avgpool"] = nn.AdaptiveAvgPool2d(1)
    stages["flatten"] = nn.Flatten(1)
    stages["fc"] = nn.Linear(before, classes)
    return Chain(stages)


def _layer(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or before != width:
        shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    first = BasicBlock(before, width, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))
