"""A method: the device scales images down before an image codec, the server scales them up before the teacher."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_doc import Doc
from torch import Tensor
from torch.nn.functional import interpolate

from sc2bench import (
    IMAGE_CODECS,
    METHODS,
    ConfigError,
    DeviceHalf,
    MethodConfig,
    Outputs,
    Packet,
    ServerHalf,
    SplitModel,
)


@dataclass
class HalfSizeConfig(MethodConfig):
    """The codec, and how small images are when it sees them."""

    codec: Annotated[str, Doc("What small images are coded by; the rate is its quality."), IMAGE_CODECS] = "webp"
    factor: Annotated[int, Doc("Height and width are divided by it.")] = 2


class HalfSizeDevice(DeviceHalf):
    """Scales images down and codes them."""

    def __init__(self, codec: Any, factor: int):
        super().__init__()
        self.codec, self.factor = codec, factor

    def analyze(self, images: Tensor) -> Tensor:
        """Uint8 (N, C, H, W) to uint8 (N, C, h, w)."""
        return interpolate(images.float(), size=small_size(images.shape, self.factor), mode="area").round().byte()

    def code(self, values: Tensor) -> list[Packet]:
        """One packet an image."""
        return [Packet(data) for data in self.codec.encode(values.cpu().numpy())]


class HalfSizeServer(ServerHalf):
    """Decodes images, scales them up and runs the teacher."""

    def __init__(self, codec: Any, factor: int, teacher: Any):
        super().__init__()
        self.codec, self.factor, self.teacher = codec, factor, teacher
        self.sizing = teacher.preprocess.sizing

    def read(self, packets: Sequence[Packet], shape: Sequence[int]) -> Tensor:
        """Packets of images of `shape`, (C, H, W), to uint8 (N, C, h, w); raises `PacketError` for damaged ones."""
        small = (shape[0], *small_size(shape, self.factor))
        decoded = self.codec.decode([packet.payload for packet in packets], small)
        return torch.from_numpy(decoded).to(self.teacher.preprocess.mean.device)

    def predict(self, values: Tensor, shape: Sequence[int]) -> Any:
        """The teacher's predictions of the images in their own size again."""
        scaled = interpolate(values.float(), size=tuple(shape[1:]), mode="bilinear").round().clamp(0, 255).byte()
        return self.teacher(scaled)


@METHODS.register("half_size")
class HalfSize(SplitModel):
    """Nothing learns; `rate` is the codec's quality."""

    config_class = HalfSizeConfig
    rate_knob = "quality"

    @classmethod
    def from_config(cls, config: Any, teacher: Any, spec: Any) -> "HalfSize":
        """Builds both halves; raises `ConfigError` for a factor below 1."""
        options: HalfSizeConfig = config.method
        if options.factor < 1:
            raise ConfigError(f"method.factor: {options.factor} is below 1; take 2, or another whole number")
        codec = IMAGE_CODECS[options.codec](config.rate)
        device, server = HalfSizeDevice(codec, options.factor), HalfSizeServer(codec, options.factor, teacher)
        return cls(device, server, spec, spec.probe_shape)

    def forward(self, images: Any, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """What training would see: the teacher's prediction of the images as they are."""
        prediction, outputs = self.server.teacher.outputs(images, features)
        return Outputs(prediction, outputs)

    @property
    def variant(self) -> dict[str, str]:
        """What tells it from others of its method in records and sessions."""
        device: Any = self.device
        return {"codec": device.codec.name, "factor": str(device.factor)}


def small_size(shape: Sequence[int], factor: int) -> tuple[int, int]:
    """(h, w) of what an image of (..., H, W) is scaled to."""
    return -(-shape[-2] // factor), -(-shape[-1] // factor)
