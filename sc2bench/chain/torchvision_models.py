"""The stages of torchvision's families of classifiers.

| family | stages |
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

from sc2bench.chain.base import named_stages, numbered, register_chain
from sc2bench.chain.parts import FirstToken, FlattenPatches, ImageNetToHalves, Tokens

Stages = OrderedDict[str, nn.Module]


@register_chain(ResNet)
def resnet(model: Any) -> Stages:
    """He et al. 2016; also ResNeXt (Xie et al. 2017) and Wide ResNet (Zagoruyko and Komodakis 2016)."""
    return _flatten_before_last(model.named_children())


@register_chain(IntermediateLayerGetter)
def backbone(model: Any) -> Stages:
    """The stages of a classifier without what makes its prediction."""
    return named_stages(*model.named_children())


@register_chain(DenseNet)
def densenet(model: Any) -> Stages:
    """Huang et al. 2017."""
    return named_stages(
        *model.features.named_children(),
        ("relu5", nn.ReLU(inplace=True)),
        ("avgpool", nn.AdaptiveAvgPool2d((1, 1))),
        ("flatten", nn.Flatten(1)),
        ("classifier", model.classifier),
    )


@register_chain(Inception3)
def inception(model: Any) -> Stages:
    """Szegedy et al. 2016, without the auxiliary head, which works in training only."""
    stages = _flatten_before_last((name, stage) for name, stage in model.named_children() if name != "AuxLogits")
    if model.transform_input:
        stages["transform_input"] = ImageNetToHalves()
        stages.move_to_end("transform_input", last=False)
    return stages


@register_chain(RegNet)
def regnet(model: Any) -> Stages:
    """Radosavovic et al. 2020."""
    return named_stages(
        ("stem", model.stem),
        *model.trunk_output.named_children(),
        ("avgpool", model.avgpool),
        ("flatten", nn.Flatten(1)),
        ("fc", model.fc),
    )


@register_chain(ConvNeXt)
def convnext(model: Any) -> Stages:
    """Liu et al. 2022."""
    norm, flatten, classifier = model.classifier
    return named_stages(
        ("stem", model.features[0]),
        *_stages_and_downsamplings(model.features[1:]),
        ("avgpool", model.avgpool),
        ("norm", norm),
        ("flatten", flatten),
        ("fc", classifier),
    )


@register_chain(EfficientNet)
@register_chain(MobileNetV3)
def efficientnet(model: Any) -> Stages:
    """Tan and Le 2019 and 2021: a stage has all blocks of one width; Howard et al. 2019: each block is a stage."""
    return named_stages(
        ("stem", model.features[0]),
        *numbered("stage", model.features[1:-1]),
        ("conv_last", model.features[-1]),
        ("avgpool", model.avgpool),
        ("flatten", nn.Flatten(1)),
        ("classifier", model.classifier),
    )


@register_chain(SwinTransformer)
def swin(model: Any) -> Stages:
    """Liu et al. 2021 and 2022; the stages' outputs are channels last, (N, h, w, C)."""
    return named_stages(
        ("patch_embed", model.features[0]),
        *_stages_and_downsamplings(model.features[1:]),
        ("norm", model.norm),
        ("permute", model.permute),
        ("avgpool", model.avgpool),
        ("flatten", model.flatten),
        ("head", model.head),
    )


@register_chain(VisionTransformer)
def vision_transformer(model: Any) -> Stages:
    """Dosovitskiy et al. 2021; the blocks' outputs are tokens, (N, 1 + patches, D)."""
    encoder = model.encoder
    patches = nn.Sequential(OrderedDict(proj=model.conv_proj, flatten=FlattenPatches()))
    tokens = Tokens({"class_token": model.class_token}, encoder.pos_embedding, encoder.dropout, embed_prefix=True)
    return named_stages(
        ("patch_embed", patches),
        ("tokens", tokens),
        *numbered("blocks", encoder.layers, start=0),
        ("norm", encoder.ln),
        ("pool", FirstToken()),
        ("head", model.heads),
    )


def _flatten_before_last(children: Any) -> Stages:
    """The children with what torchvision does between the last two in forward(), without a module of its own."""
    *stages, last = children
    return named_stages(*stages, ("flatten", nn.Flatten(1)), last)


def _stages_and_downsamplings(features: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """Stages of blocks, with one downsampling between each two of them."""
    kinds = ("stage", "downsample")
    return [(f"{kinds[place % 2]}{place // 2 + 1}", stage) for place, stage in enumerate(features)]
