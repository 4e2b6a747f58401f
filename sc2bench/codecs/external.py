"""Base of the codecs whose encoder and decoder are programs of their own."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from sc2bench.codecs.base import ImageCodec
from sc2bench.codecs.programs import Program, ProgramError, kill_running, run, workspace
from sc2bench.core.errors import ConfigError
from sc2bench.wire.inputs import check_coded_image
from sc2bench.wire.packet import PacketError

_DEFAULT_SECONDS = 600.0


class ProgramCodec(ImageCodec):
    """Runs one program an image; subclasses give the programs and their arguments.

    Options:
        program: path of the encoder; found on PATH without it.
        decoder: path of the decoder, likewise.
        timeout: seconds after which a run is killed, 600 without it.
    """

    encoder_program: ClassVar[Program]
    decoder_program: ClassVar[Program]
    whole_quality = True
    option_choices = {"program": (), "decoder": (), "timeout": ()}
    local_options: ClassVar[tuple[str, ...]] = ("program", "decoder", "timeout")

    def __init__(self, quality: float | None = None, **options: str):
        super().__init__(quality, **options)
        self.seconds = self._seconds()
        self.encoder, self.decoder = self.find_programs()

    def find_programs(self) -> tuple[str, str]:
        """The paths of encoder and decoder; raises `ConfigError`."""
        return (
            self.encoder_program.find(self.name, "program", self.options["program"]),
            self.decoder_program.find(self.name, "decoder", self.options["decoder"]),
        )

    @abstractmethod
    def encode_in(self, folder: Path, image: np.ndarray) -> bytes:
        """Codes one image, uint8 (C, H, W), in a folder that is removed afterwards."""

    @abstractmethod
    def decode_in(self, folder: Path, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes one image to uint8 `shape` in a folder that is removed afterwards; raises `PacketError`."""

    def encode_image(self, image: np.ndarray) -> bytes:
        """Codes uint8 (C, H, W) with 1 or 3 channels; raises `ProgramError`."""
        check_coded_image(image)
        with workspace() as folder:
            return self.encode_in(folder, image)

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes to uint8 `shape`; raises `PacketError`, too, if the decoder fails or takes too long."""
        try:
            with workspace() as folder:
                return self.decode_in(folder, data, shape)
        except (ProgramError, FileNotFoundError) as error:
            raise PacketError(f"the image can't be decoded ({error}); it is damaged or foreign") from error

    def encode(self, images: np.ndarray) -> list[bytes]:
        """Codes a batch, uint8 (N, C, H, W); an interruption kills all programs."""
        try:
            return super().encode(images)
        except BaseException:
            kill_running()
            raise

    def decode(self, packed: Sequence[bytes], shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes a batch to uint8 (N, *shape); an interruption kills all programs."""
        try:
            return super().decode(packed, shape)
        except BaseException:
            kill_running()
            raise

    def run(self, folder: Path, *command: object) -> bytes:
        """Runs a command in a folder; raises `ProgramError`."""
        return run([str(word) for word in command], folder, seconds=self.seconds)

    def _seconds(self) -> float:
        text = self.options["timeout"]
        try:
            seconds = float(text or _DEFAULT_SECONDS)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < math.inf:
            raise ConfigError(f"method.options.timeout: '{text}' is no number of seconds; give one above 0")
        return seconds
