"""End-to-end training: the split model of Entropic Student, trained from the task's loss and the rate alone.

Singh, Abu-El-Haija, Johnston, Ballé, Shrivastava and Toderici, "End-to-end learning of compressible features", ICIP
2020. Nothing is distilled and nothing is frozen; the teacher only gives the tail's first weights.
"""

from dataclasses import dataclass

from sc2bench.core.registry import METHODS
from sc2bench.methods.entropic_student import EntropicStudent, EntropicStudentConfig


@dataclass
class EndToEndConfig(EntropicStudentConfig):
    """As that of Entropic Student."""


@METHODS.register("end_to_end")
class EndToEnd(EntropicStudent):
    """A student that learns all its parts at once."""

    config_class = EndToEndConfig
