"""The packaged teacher of Fashion-MNIST."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn
from torchvision.models.resnet import BasicBlock

from sc2bench.chain import Chain
from sc2bench.core.registry import TEACHERS
from sc2bench.teachers.base import Preprocess, Teacher


@TEACHERS.register("fashion_resnet")
def fashion_resnet() -> Teacher:
    """A small ResNet (He et al. 2016) for 28x28 grey images, padded to 32x32, in ten classes."""
    return Teacher(Preprocess(mean=[0.2860], std=[0.3530], pad=2), small_resnet(channels=1, classes=10))


def small_resnet(
    channels: int, classes: int, widths: Sequence[int] = (24, 48, 96), blocks: int = 2, *, pooled: bool = False
) -> Chain:
    """A ResNet with a stride-2 stem and basic blocks, as a chain.

    Args:
        channels: of the input.
        classes: number of logits.
        widths: channels of `layer1`, `layer2`, ...; each layer but the first halves height and width.
        blocks: basic blocks in each layer.
        pooled: whether the stem halves height and width once more, by pooling.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(channels, widths[0], 3, stride=2, padding=1, bias=False)
    layers["bn1"] = nn.BatchNorm2d(widths[0])
    layers["relu"] = nn.ReLU(inplace=True)
    if pooled:
        layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    before = widths[0]
    for index, width in enumerate(widths, start=1):
        layers[f"layer{index}"] = residual_layer(before, width, blocks, stride=1 if index == 1 else 2)
        before = width
    layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten(1)
    layers["fc"] = nn.Linear(before, classes)
    return Chain(layers)


def residual_layer(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """Basic blocks, (N, before, H, W) to (N, width, H / stride, W / stride)."""
    shortcut = None
    if stride != 1 or before != width:
        shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    first = BasicBlock(before, width, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))
