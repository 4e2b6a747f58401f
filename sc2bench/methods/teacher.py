"""The reference: the device sends raw pixels, the server runs the teacher. Its training is that of the teacher."""

from dataclasses import dataclass
from typing import Annotated

from annotated_doc import Doc

from sc2bench.core.registry import IMAGE_CODECS, METHODS
from sc2bench.methods.input_codec import InputCodec, InputCodecConfig


@dataclass
class TeacherMethodConfig(InputCodecConfig):
    """Raw pixels are sent."""

    codec: Annotated[str, Doc("Images are sent as raw pixels."), IMAGE_CODECS] = "raw"


@METHODS.register("teacher")
class TeacherMethod(InputCodec):
    """The teacher's own quality, which split models approach from below."""

    config_class = TeacherMethodConfig
    rate_knob = None
