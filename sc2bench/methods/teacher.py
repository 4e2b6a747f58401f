"""The reference: the device sends raw pixels, the server runs the teacher. Its training is that of the teacher."""

from dataclasses import dataclass

from sc2bench.core.registry import METHODS
from sc2bench.methods.input_codec import InputCodec, InputCodecConfig


@dataclass
class TeacherMethodConfig(InputCodecConfig):
    """Raw pixels are sent."""

    codec: str = "raw"


@METHODS.register("teacher")
class TeacherMethod(InputCodec):
    """The teacher's own quality, which split models approach from below."""

    config_class = TeacherMethodConfig
    rate_knob = None
