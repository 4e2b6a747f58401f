"""Feature compression: an image codec on the output of one of the teacher's stages.

Nothing learns. The channels are normalized by their range to 8 bits and tiled to one grey image; the ranges are sent
with it (the baseline "codec-based feature compression" of Matsubara et al., TMLR 2023).
"""

import math
from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sc2bench.chain import Chain, cut
from sc2bench.codecs.base import ImageCodec
from sc2bench.config import MethodConfig, RunConfig
from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.registry import IMAGE_CODECS, METHODS
from sc2bench.entropy import Shape, require_codable
from sc2bench.methods.base import Outputs, SplitModel
from sc2bench.methods.finite import finished
from sc2bench.methods.halves import DeviceHalf, ServerHalf
from sc2bench.methods.latent import only, tail_and_head
from sc2bench.methods.shapes import ShapeOf, output_shape, probe_of
from sc2bench.teachers import Frame, Head, Images, Preprocess, Sizing, Teacher
from sc2bench.wire.inputs import InputShape, InputSpec
from sc2bench.wire.packet import Packet, PacketError, SessionHeader

_RANGES = ("channel", "sample")
_TOP = 255
_RANGE_TYPE = np.dtype(">f2")


@dataclass
class FeatureCodecConfig(MethodConfig):
    """The codec works on the output of the teacher's stage `after`.

    `ranges`: "sample", a minimum and a maximum for all channels together, or "channel", one pair for each of them.
    `options` are the codec's own.
    """

    codec: str = "jpeg"
    after: str = "layer1"
    ranges: str = "sample"
    options: dict[str, str] = field(default_factory=dict)


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
        """Turns float32 `shape` into uint8 `image_shape` and the ranges, two float16 each."""
        features = features.reshape(self.shape)
        axes = (1, 2) if self.per_channel else (0, 1, 2)
        finite = np.finfo(np.float16)
        ranges = np.stack([features.min(axes), features.max(axes)], -1).clip(finite.min, finite.max)
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


class Tilings:
    """The tiling for each size of images.

    Args:
        shape: gives the shape of one sample's features.
        per_channel: whether each channel has a range of its own.
    """

    def __init__(self, shape: ShapeOf, per_channel: bool):
        self.shape = shape
        self.per_channel = per_channel

    def __call__(self, shape: InputShape) -> Tiling:
        """The tiling of the features of an image of (C, H, W)."""
        return self.of(self.shape(shape))

    def of(self, shape: Shape) -> Tiling:
        """The tiling of one sample's features in `shape`."""
        return Tiling(shape, self.per_channel)


class FeatureCodecDevice(DeviceHalf):
    """The teacher's first stages and the codec.

    Args:
        preprocess: the teacher's.
        head: its stages up to the cut.
        codec: of images.
        tilings: of the features.
    """

    def __init__(self, preprocess: Preprocess, head: Chain, codec: ImageCodec, tilings: Tilings):
        super().__init__()
        self.preprocess = preprocess
        self.head = head
        self.codec = codec
        self.tilings = tilings

    def analyze(self, images: Tensor) -> Tensor:
        """The features of uint8 images (N, C, H, W)."""
        return self.head(self.preprocess(images)).float()

    def code(self, values: Tensor) -> list[Packet]:
        """Tiles features and codes them as images; raises `InputError` for some that are not finite."""
        require_codable(values)
        tiling = self.tilings.of(tuple(values.shape[1:]))
        tiled = [tiling.to_image(sample) for sample in values.cpu().numpy()]
        coded = self.codec.encode(np.stack([image for image, _ in tiled]))
        return [Packet(data, ranges) for data, (_, ranges) in zip(coded, tiled, strict=True)]


class FeatureCodecServer(ServerHalf):
    """The codec and the teacher's remaining stages.

    Args:
        codec: of images.
        tilings: of the features.
        tail: the teacher's stages behind the cut.
        head: the teacher's.
        after: name of the stage before the cut.
        sizing: how the device scales and pads images.
    """

    def __init__(self, codec: ImageCodec, tilings: Tilings, tail: Chain, head: Head, after: str, sizing: Sizing):
        super().__init__()
        self.codec = codec
        self.tilings = tilings
        self.tail = tail
        self.head = head
        self.after = after
        self.sizing = sizing
        # Not a weight: it tells where features belong.
        self.register_buffer("_place", torch.empty(0), persistent=False)

    _place: Tensor

    def forward(self, features: Tensor, frame: Frame, wanted: Collection[str] = ()) -> tuple[Any, dict[str, Tensor]]:
        """Takes the features at the cut; returns the head's prediction and the wanted features behind it."""
        last, outputs = self.tail.outputs(features, {*wanted, *self.head.needs})
        return self.head(last, {**outputs, self.after: features}, frame), only(outputs, wanted)

    def read(self, packets: Sequence[Packet], shape: InputShape) -> Tensor:
        """Decodes the features."""
        tiling = self.tilings(shape)
        images = self.codec.decode([packet.payload for packet in packets], tiling.image_shape)
        features = [tiling.to_features(image, p.side_info) for image, p in zip(images, packets, strict=True)]
        stacked = torch.from_numpy(np.stack(features))
        return stacked.reshape(len(packets), *self.tilings.shape(shape)).to(self._place.device)

    def predict(self, values: Tensor, shape: InputShape) -> Any:
        """Turns features into predictions."""
        frame = self.sizing.frame_of(shape, len(values))
        return finished(self(values, frame)[0])


@METHODS.register("feature_codec")
class FeatureCodec(SplitModel):
    """The teacher, cut in two, with an image codec between the parts; nothing learns."""

    config_class = FeatureCodecConfig
    rate_knob = "quality"

    device: FeatureCodecDevice
    server: FeatureCodecServer

    @classmethod
    def from_config(cls, config: RunConfig, teacher: Teacher, spec: InputSpec) -> "FeatureCodec":
        """Cuts a copy of the teacher; raises `ConfigError` for an unknown stage, codec or kind of range."""
        options: FeatureCodecConfig = config.method
        if options.ranges not in _RANGES:
            raise ConfigError(f"method.ranges: unknown value '{options.ranges}'; {nearest(options.ranges, _RANGES)}")
        codec = IMAGE_CODECS[options.codec](config.rate, **options.options)
        stages = deepcopy(cut(teacher.chain, options.after)[0])
        tail, head = tail_and_head(teacher, options.after)
        inputs = teacher.preprocess(probe_of(spec, teacher))
        shape = output_shape(stages, inputs, f"the teacher's stages up to '{options.after}'")
        tilings = Tilings(ShapeOf(teacher.preprocess, stages), options.ranges == "channel")
        device = FeatureCodecDevice(teacher.preprocess, stages, codec, tilings)
        server = FeatureCodecServer(codec, tilings, tail, head, options.after, teacher.preprocess.sizing)
        return cls(device, server, spec, shape)

    def forward(self, images: Images, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """The teacher's prediction from features as they are: codecs have no gradient."""
        cut_off, early = self.device.head.outputs(self.device.preprocess(images), features)
        prediction, late = self.server(cut_off, self.device.preprocess.frame(images), features)
        return {"prediction": prediction, "features": early | late}

    @property
    def session(self) -> SessionHeader:
        """The header of a session, with what the codec sends once."""
        tiling = self.device.tilings(self.spec.probe_shape)
        return replace(super().session, shared=self.device.codec.session_bytes(tiling.image_shape))

    @property
    def has_side_info(self) -> bool:
        """The ranges."""
        return True

    @property
    def variant(self) -> dict[str, str]:
        """The codec's name, and what it was told to do differently from its defaults."""
        return {**self.device.codec.variant, "codec": self.device.codec.name}
