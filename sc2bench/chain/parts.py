"""Steps that libraries write inside forward(), as modules of their own."""

import torch
from torch import Tensor, nn


class FlattenPatches(nn.Module):
    """A map of patches as a sequence of tokens."""

    def forward(self, patches: Tensor) -> Tensor:
        """Takes (N, D, h, w); returns (N, h * w, D)."""
        return patches.flatten(2).transpose(1, 2)


class Tokens(nn.Module):
    """Class tokens in front of the patches, and the embeddings of all positions (Dosovitskiy et al. 2021).

    Args:
        prefix: parameters (1, T, D) by their names, put before the patches in this order.
        pos_embed: (1, L, D), added to the tokens; `None`: nothing is added.
        dropout: comes last.
        embed_prefix: whether `pos_embed` covers the prefix, too.
    """

    pos_embed: nn.Parameter | None

    def __init__(
        self, prefix: dict[str, nn.Parameter], pos_embed: nn.Parameter | None, dropout: nn.Module, embed_prefix: bool
    ):
        super().__init__()
        self.prefix = nn.ParameterDict(prefix)
        self.register_parameter("pos_embed", pos_embed)
        self.dropout = dropout
        self.embed_prefix = embed_prefix

    def forward(self, patches: Tensor) -> Tensor:
        """Takes patches (N, P, D); returns tokens (N, T + P, D)."""
        prefix = [token.expand(len(patches), -1, -1) for token in self.prefix.values()]
        if self.pos_embed is None:
            return torch.cat([*prefix, patches], dim=1)
        if self.embed_prefix:
            return self.dropout(torch.cat([*prefix, patches], dim=1) + self.pos_embed)
        patches = patches + self.pos_embed
        return self.dropout(torch.cat([*prefix, patches], dim=1))


class FirstToken(nn.Module):
    """The class token of a sequence."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Takes (N, L, D); returns (N, D)."""
        return tokens[:, 0]


class ImageNetToHalves(nn.Module):
    """From images normalized by ImageNet's mean and deviation to those normalized by one half and one half.

    The published Inception networks expect the latter.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Takes and returns (N, 3, H, W)."""
        scales = (0.229 / 0.5, 0.224 / 0.5, 0.225 / 0.5)
        shifts = ((0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5)
        channels = zip(images.split(1, dim=1), scales, shifts, strict=True)
        return torch.cat([channel * scale + shift for channel, scale, shift in channels], dim=1)
