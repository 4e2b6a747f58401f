"""Input compression: the device sends a coded image, the server decodes it and runs the whole teacher."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import torch
from annotated_doc import Doc
from torch import Tensor

from sc2bench.codecs.base import ImageCodec, has_quality
from sc2bench.config import ExperimentConfig, MethodConfig
from sc2bench.config.meanings import OptionsOf
from sc2bench.core.registry import IMAGE_CODECS, METHODS
from sc2bench.methods.base import Outputs, SplitModel
from sc2bench.methods.finite import finished
from sc2bench.methods.halves import DeviceHalf, ServerHalf
from sc2bench.teachers import Images, Sizing, Teacher
from sc2bench.wire.inputs import InputShape, InputSpec
from sc2bench.wire.packet import Packet, SessionHeader


@dataclass
class InputCodecConfig(MethodConfig):
    """The image codec; the rate is its quality."""

    codec: Annotated[str, Doc("What images are coded by; the rate is its quality."), IMAGE_CODECS] = "jpeg"
    options: Annotated[dict[str, str], Doc("The codec's own options, such as chroma."), OptionsOf(IMAGE_CODECS)] = (
        field(default_factory=dict)
    )

    def has_rate(self) -> bool:
        """Whether the codec has a quality."""
        return has_quality(self.codec)


class InputCodecDevice(DeviceHalf):
    """Codes images.

    Args:
        codec: the image codec.
    """

    def __init__(self, codec: ImageCodec):
        super().__init__()
        self.codec = codec

    def analyze(self, images: Tensor) -> Tensor:
        """The images themselves: there is no network."""
        return images

    def code(self, values: Tensor) -> list[Packet]:
        """Turns uint8 images (N, C, H, W) into coded images."""
        return [Packet(data) for data in self.codec.encode(values.cpu().numpy())]


class InputCodecServer(ServerHalf):
    """Decodes images and runs the teacher.

    Args:
        codec: the image codec.
        teacher: the whole reference model.
    """

    def __init__(self, codec: ImageCodec, teacher: Teacher):
        super().__init__()
        self.codec = codec
        self.teacher = teacher

    def read(self, packets: Sequence[Packet], shape: InputShape) -> Tensor:
        """Decodes the images, uint8 (N, C, H, W)."""
        images = torch.from_numpy(self.codec.decode([packet.payload for packet in packets], _sides(shape)))
        return images.to(self.teacher.preprocess.mean.device)

    def predict(self, values: Tensor, shape: InputShape) -> Any:
        """The teacher's predictions."""
        return finished(self.teacher.outputs(values)[0])

    @property
    def sizing(self) -> Sizing:  # type: ignore[override]
        """How the teacher scales and pads images."""
        return self.teacher.preprocess.sizing


@METHODS.register("input_codec")
class InputCodec(SplitModel):
    """An image codec before the model; nothing learns."""

    config_class = InputCodecConfig
    rate_knob: str | None = "quality"

    device: InputCodecDevice
    server: InputCodecServer

    @classmethod
    def from_config(cls, config: ExperimentConfig, teacher: Teacher, spec: InputSpec) -> "InputCodec":
        """Builds the codec at the configured quality before the teacher."""
        codec = IMAGE_CODECS[config.method.codec](config.rate, **config.method.options)
        model = cls(InputCodecDevice(codec), InputCodecServer(codec, teacher), spec, spec.probe_shape)
        if codec.quality_range is None:
            model.rate_knob = None
        return model

    def forward(self, images: Images, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """The teacher's prediction for images as they are: codecs have no gradient."""
        prediction, outputs = self.server.teacher.outputs(images, features)
        return Outputs(prediction, outputs)

    def decode_images(self, packets: Sequence[Packet]) -> list[Tensor] | None:
        """The decoded images, uint8 (C, H, W) each."""
        return list(self._on_server(self.server.read, packets))

    @property
    def session(self) -> SessionHeader:
        """The header of a session, with what the codec sends once."""
        return replace(super().session, shared=self.device.codec.session_bytes(_sides(self.spec.probe_shape)))

    @property
    def variant(self) -> dict[str, str]:
        """The codec's name, and what it was told to do differently from its defaults."""
        return {**self.device.codec.variant, "codec": self.device.codec.name}


def _sides(shape: InputShape) -> tuple[int, int, int]:
    channels, height, width = shape
    return channels, height, width
