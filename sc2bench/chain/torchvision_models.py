"""The layers of torchvision's families of classifiers.

| family | layers |
|---|---|
| ResNet, ResNeXt, Wide ResNet | conv1, bn1, relu, maxpool, layer1 ... layer4, avgpool, flatten, fc |
| DenseNet | conv0, norm0, relu0, pool0, denseblock1, transition1, ... norm5, relu5, avgpool, flatten, classifier |
| Inception v3 | transform_input (if it has one), Conv2d_1a_3x3, ... Mixed_7c, avgpool, dropout, flatten, fc |
| RegNet | stem, block1 ... block4, avgpool, flatten, fc |
| ConvNeXt | stem, stage1, downsample1, ... stage4, avgpool, norm, flatten, fc |
| EfficientNet, MobileNetV3 | stem, stage1 ... stageN, conv_last, avgpool, flatten, classifier |
| Swin v1 and v2 | patch_embed, stage1, downsample1, ... stage4, norm, permute, avgpool, flatten, head |
| VisionTransformer | patch_embed, tokens, blocks0 ... blocksN, norm, pool, head |
| backbones of detectors and of segmentation | conv1, bn1, relu, maxpool, layer1 ... layer4 |
"""

from collections import OrderedDict
from typing import Any

from torch import nn
from torchvision.models import (
    ConvNeXt,
    DenseNet,
    EfficientNet,
    Inception3,
    MobileNetV3,
    RegNet,
    ResNet,
    SwinTransformer,
    VisionTransformer,
)
from torchvision.models._utils import IntermediateLayerGetter

from sc2bench.chain.base import named_layers, numbered, register_chain
from sc2bench.chain.parts import FirstToken, FlattenPatches, ImageNetToHalves, Tokens

Layers = OrderedDict[str, nn.Module]


@register_chain(ResNet)
def resnet(model: Any) -> Layers:
    """He et al. 2016; also ResNeXt (Xie et al. 2017) and Wide ResNet (Zagoruyko and Komodakis 2016)."""
    return _flatten_before_last(model.named_children())


@register_chain(IntermediateLayerGetter)
def backbone(model: Any) -> Layers:
    """The layers of a classifier without what makes its prediction."""
    return named_layers(*model.named_children())


@register_chain(DenseNet)
def densenet(model: Any) -> Layers:
    """Huang et al. 2017."""
    return named_layers(
        *model.features.named_children(),
        ("relu5", nn.ReLU(inplace=True)),
        ("avgpool", nn.AdaptiveAvgPool2d((1, 1))),
        ("flatten", nn.Flatten(1)),
        ("classifier", model.classifier),
    )


@register_chain(Inception3)
def inception(model: Any) -> Layers:
    """Szegedy et al. 2016, without the auxiliary head, which works in training only."""
    layers = _flatten_before_last((name, layer) for name, layer in model.named_children() if name != "AuxLogits")
    if model.transform_input:
        layers["transform_input"] = ImageNetToHalves()
        layers.move_to_end("transform_input", last=False)
    return layers


@register_chain(RegNet)
def regnet(model: Any) -> Layers:
    """Radosavovic et al. 2020."""
    return named_layers(
        ("stem", model.stem),
        *model.trunk_output.named_children(),
        ("avgpool", model.avgpool),
        ("flatten", nn.Flatten(1)),
        ("fc", model.fc),
    )


@register_chain(ConvNeXt)
def convnext(model: Any) -> Layers:
    """Liu et al. 2022."""
    norm, flatten, classifier = model.classifier
    return named_layers(
        ("stem", model.features[0]),
        *_layers_and_downsamplings(model.features[1:]),
        ("avgpool", model.avgpool),
        ("norm", norm),
        ("flatten", flatten),
        ("fc", classifier),
    )


@register_chain(EfficientNet)
@register_chain(MobileNetV3)
def efficientnet(model: Any) -> Layers:
    """Tan and Le 2019 and 2021: a layer has all blocks of one width; Howard et al. 2019: each block is a layer."""
    return named_layers(
        ("stem", model.features[0]),
        *numbered("stage", model.features[1:-1]),
        ("conv_last", model.features[-1]),
        ("avgpool", model.avgpool),
        ("flatten", nn.Flatten(1)),
        ("classifier", model.classifier),
    )


@register_chain(SwinTransformer)
def swin(model: Any) -> Layers:
    """Liu et al. 2021 and 2022; the layers' outputs are channels last, (N, h, w, C)."""
    return named_layers(
        ("patch_embed", model.features[0]),
        *_layers_and_downsamplings(model.features[1:]),
        ("norm", model.norm),
        ("permute", model.permute),
        ("avgpool", model.avgpool),
        ("flatten", model.flatten),
        ("head", model.head),
    )


@register_chain(VisionTransformer)
def vision_transformer(model: Any) -> Layers:
    """Dosovitskiy et al. 2021; the blocks' outputs are tokens, (N, 1 + patches, D)."""
    encoder = model.encoder
    patches = nn.Sequential(OrderedDict(proj=model.conv_proj, flatten=FlattenPatches()))
    tokens = Tokens({"class_token": model.class_token}, encoder.pos_embedding, encoder.dropout, embed_prefix=True)
    return named_layers(
        ("patch_embed", patches),
        ("tokens", tokens),
        *numbered("blocks", encoder.layers, start=0),
        ("norm", encoder.ln),
        ("pool", FirstToken()),
        ("head", model.heads),
    )


def _flatten_before_last(children: Any) -> Layers:
    """The children with what torchvision does between the last two in forward(), without a module of its own."""
    *layers, last = children
    return named_layers(*layers, ("flatten", nn.Flatten(1)), last)


def _layers_and_downsamplings(features: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """Layers of blocks, with one downsampling between each two of them."""
    kinds = ("stage", "downsample")
    return [(f"{kinds[place % 2]}{place // 2 + 1}", layer) for place, layer in enumerate(features)]
