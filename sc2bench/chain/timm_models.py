"""The layers of timm's families of classifiers.

| family | layers |
|---|---|
| ResNet, also ResNeSt | conv1, bn1, act1, maxpool, layer1 ... layer4, avgpool, flatten, fc |
| ResNetV2 | stem, stage1 ... stage4, norm, head |
| RegNet | stem, s1 ... s4, final_conv, head |
| ByobNet | stem, stage1 ... stageN, final_conv, head |
| EfficientNet | conv_stem, bn1, stage1 ... stageN, conv_head, bn2, avgpool, flatten, classifier |
| MobileNetV3 | conv_stem, bn1, stage1 ... stageN, avgpool, conv_head, norm_head, act2, flatten, classifier |
| ConvNeXt | stem, stage1 ... stage4, norm_pre, head |
| Swin v1 and v2 | patch_embed, stage1 ... stage4, norm, head |
| VisionTransformer | patch_embed, tokens, norm_pre, blocks0 ... blocksN, norm, pool, fc_norm, head |
| ... on a ResNetV2 | stem, stage1 ... stageN, patch_embed, then as above |

Layers that a model of the family does not have are left out.
"""

from collections import OrderedDict
from typing import Any

from timm.layers import HybridEmbed, global_pool_nlc
from timm.models.byobnet import ByobNet
from timm.models.convnext import ConvNeXt
from timm.models.efficientnet import EfficientNet
from timm.models.mobilenetv3 import MobileNetV3
from timm.models.regnet import RegNet
from timm.models.resnet import ResNet
from timm.models.resnetv2 import ResNetV2
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from sc2bench.chain.base import named_layers, numbered, register_chain
from sc2bench.chain.parts import FlattenPatches, Tokens
from sc2bench.core.errors import ConfigError

Layers = OrderedDict[str, nn.Module]


@register_chain(ResNet)
def resnet(model: Any) -> Layers:
    """He et al. 2016 with its descendants, among them ResNeSt (Zhang et al. 2022)."""
    return named_layers(
        *((name, layer) for name, layer in model.named_children() if name not in ("global_pool", "fc")),
        *_pool(model.global_pool),
        ("dropout", _dropout(model.drop_rate)),
        ("fc", model.fc),
    )


@register_chain(ResNetV2)
def resnetv2(model: Any) -> Layers:
    """He et al. 2016 (identity mappings), Kolesnikov et al. 2020."""
    return named_layers(*_resnetv2_features(model), ("norm", model.norm), ("head", model.head))


@register_chain(RegNet)
def regnet(model: Any) -> Layers:
    """Radosavovic et al. 2020; the model's children are its layers."""
    return named_layers(*model.named_children())


@register_chain(ByobNet)
def byobnet(model: Any) -> Layers:
    """Networks of configured blocks: RegNetZ, RepVGG, GENet and others."""
    return named_layers(
        ("stem", model.stem),
        *numbered("stage", model.stages),
        ("final_conv", model.final_conv),
        ("head", model.head),
    )


@register_chain(EfficientNet)
def efficientnet(model: Any) -> Layers:
    """Tan and Le 2019 and 2021, and other networks of the same builder."""
    return named_layers(
        ("conv_stem", model.conv_stem),
        ("bn1", model.bn1),
        *numbered("stage", model.blocks),
        ("conv_head", model.conv_head),
        ("bn2", model.bn2),
        *_pool(model.global_pool),
        ("dropout", _dropout(model.drop_rate)),
        ("classifier", model.classifier),
    )


@register_chain(MobileNetV3)
def mobilenetv3(model: Any) -> Layers:
    """Howard et al. 2019, and other networks that pool before their last convolution."""
    return named_layers(
        ("conv_stem", model.conv_stem),
        ("bn1", model.bn1),
        *numbered("stage", model.blocks),
        ("avgpool", model.global_pool),
        ("conv_head", model.conv_head),
        ("norm_head", model.norm_head),
        ("act2", model.act2),
        ("flatten", model.flatten),
        ("dropout", _dropout(model.drop_rate)),
        ("classifier", model.classifier),
    )


@register_chain(ConvNeXt)
def convnext(model: Any) -> Layers:
    """Liu et al. 2022; a layer begins with its downsampling."""
    return named_layers(
        ("stem", model.stem),
        *numbered("stage", model.stages),
        ("norm_pre", model.norm_pre),
        ("head", model.head),
    )


@register_chain(SwinTransformer)
@register_chain(SwinTransformerV2)
def swin(model: Any) -> Layers:
    """Liu et al. 2021 and 2022; a layer begins with its downsampling, its output is channels last, (N, h, w, C)."""
    return named_layers(
        ("patch_embed", model.patch_embed),
        *numbered("stage", model.layers),
        ("norm", model.norm),
        ("head", model.head),
    )


@register_chain(VisionTransformer)
def vision_transformer(model: Any) -> Layers:
    """Dosovitskiy et al. 2021, Steiner et al. 2022; the blocks' outputs are tokens, (N, prefix + patches, D)."""
    if model.dynamic_img_size:
        raise ConfigError(
            "no chain is known for a VisionTransformer with dynamic_img_size: its position embeddings follow the "
            "image; build it without"
        )
    prefix = {"cls_token": model.cls_token, "reg_token": model.reg_token}
    tokens = Tokens(
        {name: token for name, token in prefix.items() if token is not None},
        model.pos_embed,
        model.pos_drop,
        embed_prefix=not model.no_embed_class,
    )
    return named_layers(
        *_patch_embedding(model.patch_embed),
        ("tokens", tokens),
        ("patch_drop", model.patch_drop),
        ("norm_pre", model.norm_pre),
        *numbered("blocks", model.blocks, start=0),
        ("norm", model.norm),
        ("pool", TokenPool(model)),
        ("fc_norm", model.fc_norm),
        ("dropout", _dropout(model.head_drop.p)),
        ("head", model.head),
    )


class TokenPool(nn.Module):
    """What a VisionTransformer makes of its tokens before it classifies.

    Args:
        model: the VisionTransformer.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.attn_pool = model.attn_pool
        self.pool_type = model.global_pool
        self.prefix_tokens = model.num_prefix_tokens
        self.include_prefix = model.pool_include_prefix

    def forward(self, tokens: Tensor) -> Tensor:
        """Takes (N, prefix + patches, D); returns (N, D)."""
        if self.attn_pool is not None:
            return self.attn_pool(tokens if self.include_prefix else tokens[:, self.prefix_tokens :])
        return global_pool_nlc(
            tokens,
            pool_type=self.pool_type,
            num_prefix_tokens=self.prefix_tokens,
            reduce_include_prefix=self.include_prefix,
        )


def _patch_embedding(embed: Any) -> list[tuple[str, nn.Module]]:
    """The patch embedding; on a convolutional backbone, the backbone's own layers and the projection behind them."""
    if type(embed) is not HybridEmbed or not embed.flatten or embed.dynamic_img_pad:
        return [("patch_embed", embed)]
    projection = nn.Sequential(OrderedDict(proj=embed.proj, flatten=FlattenPatches()))
    if isinstance(embed.backbone, nn.Sequential):
        return [("stem", embed.backbone), ("patch_embed", projection)]
    if isinstance(embed.backbone, ResNetV2):
        # The backbone's head has neither pooling nor classifier here, and passes its input through.
        norm = ("backbone_norm", embed.backbone.norm)
        return [*_resnetv2_features(embed.backbone), norm, ("patch_embed", projection)]
    return [("patch_embed", embed)]


def _resnetv2_features(model: Any) -> list[tuple[str, nn.Module]]:
    return [("stem", model.stem), *numbered("stage", model.stages)]


def _pool(pool: Any) -> list[tuple[str, nn.Module]]:
    """The two steps of global pooling."""
    return [("avgpool", pool.pool), ("flatten", pool.flatten)]


def _dropout(rate: float) -> nn.Module:
    return nn.Dropout(rate) if rate else nn.Identity()
