"""An image codec as what turns features into bytes: 8 bits a number, channels side by side in one grey image."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sc2bench.codecs.base import ImageCodec
from sc2bench.entropy import Coded, LatentCodec, Shape, require_codable
from sc2bench.wire.packet import PacketError

_TOP = 255
_RANGE_TYPE = np.dtype(">f2")
# What lies beyond would be cut off, and arrive as another number.
LARGEST = float(np.finfo(_RANGE_TYPE).max)


class Tiling:
    """Features as one grey image and back.

    Args:
        shape: of one sample's features, (C, H, W) or (C,).
        per_channel: whether each channel has a range of its own.
    """

    def __init__(self, shape: Sequence[int], per_channel: bool):
        self.shape = (*shape, 1, 1)[:3]
        self.per_channel = per_channel
        channels, height, width = self.shape
        # As near to a square as the channels' shape allows; places that stay free are black.
        self.columns = math.ceil(math.sqrt(channels * height / width))
        self.rows = math.ceil(channels / self.columns)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(1, H, W) of the image."""
        return 1, self.rows * self.shape[1], self.columns * self.shape[2]

    def to_image(self, features: np.ndarray) -> tuple[np.ndarray, bytes]:
        """Turns float32 `shape`, up to `LARGEST`, into uint8 `image_shape` and the ranges, two float16 each."""
        features = features.reshape(self.shape)
        axes = (1, 2) if self.per_channel else (0, 1, 2)
        ranges = np.stack([features.min(axes), features.max(axes)], -1)
        sent = ranges.astype(_RANGE_TYPE)
        low, span = self._low_and_span(sent)
        levels = np.rint((features - low) / np.where(span > 0, span, 1) * _TOP).clip(0, _TOP).astype(np.uint8)
        tiles = np.zeros((self.rows * self.columns, *self.shape[1:]), np.uint8)
        tiles[: len(levels)] = levels
        image = tiles.reshape(self.rows, self.columns, *self.shape[1:]).transpose(0, 2, 1, 3)
        return image.reshape(self.image_shape), sent.tobytes()

    def to_features(self, image: np.ndarray, ranges: bytes) -> np.ndarray:
        """Inverts `to_image` up to quantization; raises `PacketError` for ranges that don't fit."""
        expected = 2 * (self.shape[0] if self.per_channel else 1) * _RANGE_TYPE.itemsize
        if len(ranges) != expected:
            raise PacketError(
                f"{len(ranges)} bytes of ranges where {expected} belong; the packet is damaged or foreign"
            )
        sent = np.frombuffer(ranges, _RANGE_TYPE).reshape(-1, 2)
        if not np.isfinite(sent).all():
            raise PacketError("the ranges of the features are not finite; the packet is damaged or foreign")
        low, span = self._low_and_span(sent if self.per_channel else sent[0])
        tiles = image.reshape(self.rows, self.shape[1], self.columns, self.shape[2]).transpose(0, 2, 1, 3)
        levels = tiles.reshape(-1, *self.shape[1:])[: self.shape[0]]
        return levels.astype(np.float32) * (span / _TOP) + low

    def _low_and_span(self, sent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = (sent[..., i].astype(np.float32).reshape(-1, 1, 1) for i in (0, 1))
        return low, high - low


class TiledCodec(LatentCodec):
    """Normalizes features by their range to 8 bits, tiles them, and leaves the rest to an image codec.

    The ranges are the side information, the coded image is the payload.

    Args:
        codec: of images.
        per_channel: whether each channel has a range of its own.
    """

    has_side_info = True
    _place: Tensor

    def __init__(self, codec: ImageCodec, per_channel: bool):
        super().__init__()
        self.codec = codec
        self.per_channel = per_channel
        # Not a weight: it tells where features belong.
        self.register_buffer("_place", torch.empty(0), persistent=False)

    def forward(self, latents: Tensor) -> tuple[Tensor, None]:
        """The features as they are in training mode, for codecs have no gradient; decoded ones in evaluation mode."""
        if self.training:
            return latents, None
        return self.decompress(self.compress(latents), self.shapes(tuple(latents.shape[1:]))), None

    def compress(self, latents: Tensor) -> list[Coded]:
        """Tiles each sample and codes it as an image; raises `InputError` for features that ranges can't hold."""
        require_codable(latents, LARGEST)
        tiling = self._tiling(tuple(latents.shape[1:]))
        tiled = [tiling.to_image(sample) for sample in latents.detach().float().cpu().numpy()]
        coded = self.codec.encode(np.stack([image for image, _ in tiled]))
        return [Coded(data, ranges) for data, (_, ranges) in zip(coded, tiled, strict=True)]

    def decompress(self, coded: Sequence[Coded], shapes: tuple[Shape, ...]) -> Tensor:
        """Gives the features back, float32; raises `PacketError` for what is no such image or no such ranges."""
        tiling = self._tiling(shapes[0])
        images = self.codec.decode([item.payload for item in coded], tiling.image_shape)
        features = [tiling.to_features(image, item.side_info) for image, item in zip(images, coded, strict=True)]
        return torch.from_numpy(np.stack(features)).reshape(len(coded), *shapes[0]).to(self._place.device)

    def session_bytes(self, shapes: tuple[Shape, ...]) -> bytes:
        """What the image codec sends once."""
        return self.codec.session_bytes(self._tiling(shapes[0]).image_shape)

    def _tiling(self, shape: Shape) -> Tiling:
        return Tiling(shape, self.per_channel)
