"""Entropic Student: a bottleneck with a learned prior in place of the teacher's first stages.

Matsubara, Yang, Levorato and Mandt, "Supervised Compression for Resource-Constrained Edge Computing Systems", WACV
2022. The device runs the encoder and codes its rounded latents; the server decodes them to an imitation of the
teacher's stage and runs the teacher's remaining stages.
"""

from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sc2bench.bottlenecks import Bottleneck
from sc2bench.chain import Chain, cut
from sc2bench.config import MethodConfig, RunConfig
from sc2bench.entropy import CodingError, FactorizedPrior
from sc2bench.errors import ConfigError
from sc2bench.methods.base import DeviceHalf, Outputs, ServerHalf, SplitModel
from sc2bench.packet import Packet, PacketError, SessionHeader
from sc2bench.registry import BOTTLENECKS, METHODS, PRIORS
from sc2bench.teachers import Preprocess, Teacher


@dataclass
class EntropicStudentConfig(MethodConfig):
    """The bottleneck ends behind the teacher's stage `after`; `widths` are its hidden layers, [] for its default."""

    prior: str = "factorized"
    bottleneck: str = "fp_resnet"
    after: str = "layer1"
    latent_channels: int = 24
    widths: list[int] = field(default_factory=list)


class EntropicStudentDevice(DeviceHalf):
    """Encoder and prior.

    Args:
        preprocess: the teacher's.
        encoder: image tensor to latents.
        prior: of the latents; shared with the server.
    """

    def __init__(self, preprocess: Preprocess, encoder: nn.Module, prior: FactorizedPrior):
        super().__init__()
        self.preprocess = preprocess
        self.encoder = encoder
        self.prior = prior

    def forward(self, images: Tensor) -> Tensor:
        """Takes uint8 images (N, C, H, W); returns latents, float (N, B, h, w)."""
        return self.encoder(self.preprocess(images))

    def encode(self, images: Tensor) -> list[Packet]:
        """Codes the rounded latents of uint8 images (N, C, H, W)."""
        return [Packet(payload) for payload in self.prior.coder.encode(self.prior.quantize(self(images)))]


class EntropicStudentServer(ServerHalf):
    """Prior, decoder and the teacher's tail.

    Args:
        prior: of the latents; shared with the device.
        decoder: latents to an imitation of the teacher's stage.
        tail: the teacher's stages behind it.
        latent_shape: (B, h, w).
    """

    def __init__(self, prior: FactorizedPrior, decoder: nn.Module, tail: Chain, latent_shape: Sequence[int]):
        super().__init__()
        self.prior = prior
        self.decoder = decoder
        self.tail = tail
        self.latent_shape = tuple(latent_shape)

    def forward(self, latents: Tensor, features: Collection[str] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Takes quantized latents (N, B, h, w); returns the prediction and the tail's wanted features."""
        decoded = self.decoder(latents)
        prediction, outputs = self.tail.outputs(decoded, features)
        return prediction, {"decoded": decoded, **outputs}

    def decode(self, packets: Sequence[Packet]) -> Tensor:
        """Turns packets into logits (N, classes)."""
        try:
            symbols = self.prior.coder.decode([packet.payload for packet in packets], self.latent_shape)
        except CodingError as error:
            raise PacketError(str(error)) from error
        latents = self.prior.dequantize(symbols).contiguous(memory_format=torch.channels_last)
        return self(latents)[0]


@METHODS.register("entropic_student")
class EntropicStudent(SplitModel):
    """A student whose encoder and prior are distilled first, its decoder and tail fine-tuned after."""

    config_class = EntropicStudentConfig
    rate_knob = "beta"

    device: EntropicStudentDevice
    server: EntropicStudentServer

    def __init__(self, device: EntropicStudentDevice, server: EntropicStudentServer, after: str, prior_name: str):
        super().__init__(device, server, server.latent_shape)
        self.after = after
        self.prior_name = prior_name

    @classmethod
    def from_config(cls, config: RunConfig, teacher: Teacher, image_shape: tuple[int, int, int]) -> "EntropicStudent":
        """Builds the student around a copy of the teacher's tail.

        Raises:
            ConfigError: no such stage, or a bottleneck whose output does not have the shape of the stage's.
        """
        options: EntropicStudentConfig = config.method
        head, tail = cut(teacher.chain, options.after)
        images = torch.zeros(1, *image_shape, dtype=torch.uint8)
        with torch.no_grad():
            target = head.eval()(teacher.preprocess(images)).shape[1:]
        make = BOTTLENECKS[options.bottleneck]
        bottleneck: Bottleneck = make(image_shape[0], target[0], options.latent_channels, options.widths)
        prior = PRIORS[options.prior](bottleneck.latent_channels)
        device = EntropicStudentDevice(teacher.preprocess, bottleneck.encoder, prior)
        with torch.no_grad():
            latents = device(images)
            decoded = bottleneck.decoder(latents).shape[1:]
        if decoded != target:
            raise ConfigError(
                f"method.bottleneck: '{options.bottleneck}' gives {tuple(decoded)} for images of shape {image_shape}, "
                f"but '{options.after}' of teacher '{config.teacher.name}' gives {tuple(target)}; choose another one"
            )
        server = EntropicStudentServer(prior, bottleneck.decoder, deepcopy(tail), latents.shape[1:])
        return cls(device, server, options.after, options.prior)

    def forward(self, images: Tensor, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """Latents pass the prior's noise (while it trains) or rounding instead of the coder."""
        latents, bits = self.device.prior(self.device(images))
        prediction, outputs = self.server(latents, features)
        outputs[self.after] = outputs.pop("decoded")
        return {
            "prediction": prediction,
            "features": outputs,
            "bits": bits,
            "auxiliary_loss": self.device.prior.auxiliary_loss(),
        }

    @torch.inference_mode()
    def estimate_bits(self, images: Tensor) -> Tensor:
        """The prior's estimate for uint8 images (N, C, H, W), before tables and coding: float, (N,)."""
        return self.device.prior(self.device(images))[1]

    def update_tables(self) -> None:
        """Builds the prior's integer tables."""
        self.device.prior.update_tables()

    @property
    def session(self) -> SessionHeader:
        """The header of a session; raises `EntropyTablesMissing` before `update_tables()`."""
        self.device.prior.tables  # noqa: B018 - asked for its error
        return super().session

    @property
    def variant(self) -> dict[str, str]:
        """The prior's name."""
        return {"prior": self.prior_name}
