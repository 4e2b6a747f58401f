"""Feature compression: an image codec on the output of one of the teacher's layers.

Nothing learns. The channels are normalized by their range to 8 bits and tiled to one grey image; the ranges are sent
with it (the baseline "codec-based feature compression" of Matsubara et al., TMLR 2023).
"""

from collections.abc import Collection
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_doc import Doc
from torch import nn

from sc2bench.chain import cut
from sc2bench.codecs.base import has_quality
from sc2bench.config import ExperimentConfig, MethodConfig
from sc2bench.config.meanings import OptionsOf
from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.registry import IMAGE_CODECS, METHODS
from sc2bench.methods.base import Outputs
from sc2bench.methods.latent import LatentDevice, LatentModel, make_server, tail_and_head
from sc2bench.methods.shapes import output_shape, probe_of
from sc2bench.methods.tiled_codec import TiledCodec
from sc2bench.teachers import Images, Teacher
from sc2bench.wire.inputs import InputSpec

_RANGES = ("channel", "sample")


@dataclass
class FeatureCodecConfig(MethodConfig):
    """The image codec, and the features that it codes as a grey image."""

    codec: Annotated[str, Doc("What the image of features is coded by; the rate is its quality."), IMAGE_CODECS] = (
        "jpeg"
    )
    after: Annotated[str, Doc("Layer of the teacher whose output is coded.")] = "layer1"
    ranges: Annotated[
        str,
        Doc(
            "What has a minimum and a maximum of its own: all channels together, or each channel, which is the first "
            "axis of a sample's features; of transformers' layers these are tokens, or rows."
        ),
        _RANGES,
    ] = "sample"
    options: Annotated[dict[str, str], Doc("The codec's own options, such as chroma."), OptionsOf(IMAGE_CODECS)] = (
        field(default_factory=dict)
    )

    def has_rate(self) -> bool:
        """Whether the codec has a quality."""
        return has_quality(self.codec)


@METHODS.register("feature_codec")
class FeatureCodec(LatentModel):
    """The teacher, cut in two, with an image codec between the parts; nothing learns."""

    config_class = FeatureCodecConfig
    rate_knob: str | None = "quality"

    @classmethod
    def from_config(cls, config: ExperimentConfig, teacher: Teacher, spec: InputSpec) -> "FeatureCodec":
        """Cuts a copy of the teacher; raises `ConfigError` for an unknown layer, codec or kind of range."""
        options: FeatureCodecConfig = config.method
        if options.ranges not in _RANGES:
            raise ConfigError(f"method.ranges: unknown value '{options.ranges}'; {nearest(options.ranges, _RANGES)}")
        codec = TiledCodec(IMAGE_CODECS[options.codec](config.rate, **options.options), options.ranges == "channel")
        front = deepcopy(cut(teacher.chain, options.after)[0])
        inputs = teacher.preprocess(probe_of(spec, teacher))
        output_shape(front, inputs, f"the teacher's layers up to '{options.after}'")
        device = LatentDevice(teacher.preprocess, front, codec)
        server = make_server(device, nn.Identity(), *tail_and_head(teacher, options.after), options.after)
        model = cls(device, server, spec, None)
        if codec.codec.quality_range is None:
            model.rate_knob = None
        return model

    def forward(self, images: Images, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """The teacher's prediction, and features of both halves: the device runs the teacher's own layers."""
        device: Any = self.device
        cut_off, early = device.encoder.outputs(device.preprocess(images), features)
        received, _ = device.prior(cut_off)
        prediction, late = self.server(received, device.preprocess.frame(images), features)
        return Outputs(prediction, early | late)

    @property
    def variant(self) -> dict[str, str]:
        """The codec's name, and what it was told to do differently from its defaults."""
        prior: Any = self.device.prior
        return {**prior.codec.variant, "codec": prior.codec.name}

    def _agreements(self) -> tuple[bytes, ...]:
        # Sessions have always been named by variant and weights alone.
        return ()

    def _earlier_agreements(self) -> tuple[bytes, ...]:
        return self._agreements()
