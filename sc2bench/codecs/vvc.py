"""VVC intra pictures (ITU-T H.266) as elementary streams, through VTM, the reference software, or through VVenC."""

import shutil
from abc import abstractmethod
from pathlib import Path

import numpy as np

from sc2bench.codecs.base import import_optional
from sc2bench.codecs.colour import from_planes, pad, padded_size, to_planes
from sc2bench.codecs.external import ProgramCodec
from sc2bench.codecs.programs import Program, ProgramError
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.packet import PacketError

# Coders take whole units of 8x8; two of them are the least side that all accept.
_UNIT, _LEAST_SIDE = 8, 16
_BITS = 10
_VTM_SOURCE = "https://vcgit.hhi.fraunhofer.de/jvet/VVCSoftware_VTM"
_VVENC_SOURCE = "https://github.com/fraunhoferhhi/vvenc"
_VVDEC_SOURCE = "https://github.com/fraunhoferhhi/vvdec"
_FFMPEG_SOURCE = "pip install imageio-ffmpeg, or another build with libvvenc"
_FFMPEG = Program("ffmpeg", (7, 1), ("-hide_banner", "-version"), "--enable-libvvenc", _FFMPEG_SOURCE)


class VvcCodec(ProgramCodec):
    """Base: images go in and out as planes of 10 bits, 16-bit little-endian, padded to multiples of 8, at least 16."""

    quality_range = (0, 63)

    @abstractmethod
    def chroma(self, channels: int) -> str:
        """The chroma format in which images of so many channels are coded: "400", "420" or "444"."""

    @abstractmethod
    def encode_file(self, folder: Path, size: tuple[int, int], chroma: str) -> None:
        """Runs the encoder from in.yuv, of size (height, width), to out.vvc."""

    @abstractmethod
    def decode_file(self, folder: Path, size: tuple[int, int], chroma: str) -> None:
        """Runs the decoder from in.vvc to out.yuv."""

    def encode_in(self, folder: Path, image: np.ndarray) -> bytes:
        """Codes uint8 (C, H, W) to an elementary stream."""
        chroma, padded = self.chroma(len(image)), pad(image, _UNIT, _LEAST_SIDE)
        planes = to_planes(padded, chroma, _BITS)
        height, width = padded.shape[1:]
        if len(planes) == 1 and chroma == "420":
            planes += [np.full((height // 2, width // 2), 1 << _BITS - 1, "<u2")] * 2
        (folder / "in.yuv").write_bytes(b"".join(plane.tobytes() for plane in planes))
        self.encode_file(folder, (height, width), chroma)
        return (folder / "out.vvc").read_bytes()

    def decode_in(self, folder: Path, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes to uint8 `shape`."""
        size, chroma = padded_size(shape[1:], _UNIT, _LEAST_SIDE), self.chroma(shape[0])
        (folder / "in.vvc").write_bytes(data)
        self.decode_file(folder, size, chroma)
        sizes = [size]
        if chroma != "400":
            sizes += [size if chroma == "444" else (size[0] // 2, size[1] // 2)] * 2
        expected = sum(height * width for height, width in sizes)
        decoded = folder / "out.yuv"
        found = decoded.stat().st_size
        if found != 2 * expected:
            raise PacketError(f"the VVC picture has {found} bytes instead of {2 * expected}; it is damaged or foreign")
        values = np.fromfile(decoded, "<u2")
        ends = np.cumsum([height * width for height, width in sizes])[:-1]
        planes = [part.reshape(place) for part, place in zip(np.split(values, ends), sizes, strict=True)]
        return from_planes(planes[: shape[0]], _BITS)[:, : shape[1], : shape[2]]


@IMAGE_CODECS.register("vtm")
class Vtm(VvcCodec):
    """VVC through VTM; quality is the quantization parameter 0..63, LOWER is better. Grey images are coded as 4:0:0.

    The arguments follow VTM's manual. They were not run against the real programs, which are in no package index; the
    handling of files and processes was run with programs that stand in for them.

    Options:
        chroma: of images in colour, "444" or "420".
        program, decoder: paths of EncoderApp and DecoderApp (builds call them EncoderAppStatic and so on, too).
        config: path of VTM's encoder_intra_vtm.cfg; looked for in cfg/ beside the program's folder without it.
    """

    name = "vtm"
    option_choices = {**ProgramCodec.option_choices, "config": (), "chroma": ("444", "420")}
    local_options = (*ProgramCodec.local_options, "config")
    encoder_program = Program("EncoderApp", (10, 0), ("--help",), "VTM Encoder", _VTM_SOURCE)
    decoder_program = Program("DecoderApp", (10, 0), ("--help",), "VTM Decoder", _VTM_SOURCE)

    def __init__(self, quality: float | None = None, **options: str):
        super().__init__(quality, **options)
        beside = Path(self.encoder).parent.parent / "cfg" / "encoder_intra_vtm.cfg"
        # It is read from another folder. Where it can't be looked for, VTM could not read it either.
        self.config = Path(self.options["config"] or beside).absolute()
        try:
            found = self.config.is_file()
        except OSError:
            found = False
        if not found:
            raise ConfigError(
                f"codec 'vtm' needs VTM's encoder_intra_vtm.cfg, but {self.config} is no file; it is part of "
                f"{_VTM_SOURCE}, give its path with method.options.config=PATH"
            )

    def chroma(self, channels: int) -> str:
        """4:0:0 for grey images."""
        return "400" if channels == 1 else self.options["chroma"]

    def encode_file(self, folder: Path, size: tuple[int, int], chroma: str) -> None:
        """Runs EncoderApp for one picture."""
        values = {"InputBitDepth": _BITS, "InternalBitDepth": _BITS, "InputChromaFormat": chroma}
        words = [f"--{key}={value}" for key, value in {**values, "SEIDecodedPictureHash": 0}.items()]
        place = ["-wdt", size[1], "-hgt", size[0], "-fr", 1, "-f", 1, "-q", round(self.quality or 0)]
        self.run(
            folder, self.encoder, "-c", self.config, "-i", "in.yuv", "-b", "out.vvc", "-o", "/dev/null", *place, *words
        )

    def decode_file(self, folder: Path, size: tuple[int, int], chroma: str) -> None:
        """Runs DecoderApp."""
        self.run(folder, self.decoder, "-b", "in.vvc", "-o", "out.yuv", "-d", _BITS)


@IMAGE_CODECS.register("vvenc")
class Vvenc(VvcCodec):
    """VVC through VVenC; quality is the quantization parameter 0..63, LOWER is better.

    VVenC knows 4:2:0 alone, so grey images get constant chroma. Its perceptual quantization is off, for it serves eyes.
    `through="ffmpeg"` was run against the real program (FFmpeg 9.0 with libvvenc); vvencapp and vvdecapp were not, for
    no package index has them: their arguments follow their documentation, and the handling of files and processes was
    run with programs that stand in for them.

    Options:
        through: the programs "vvencapp" and "vvdecapp", or "ffmpeg" with libvvenc for both, found in the package
            imageio-ffmpeg, if that is installed, before PATH. "installed": the programs if vvencapp is on PATH or a
            program is named, else ffmpeg. A record says `through` where that is ffmpeg.
        preset: the encoder's effort.
        program, decoder: their paths.
    """

    name = "vvenc"
    option_choices = {
        **ProgramCodec.option_choices,
        "through": ("installed", "vvencapp", "ffmpeg"),
        "preset": ("medium", "faster", "fast", "slow", "slower"),
    }
    encoder_program = Program("vvencapp", (1, 0), ("--version",), "vvenc", _VVENC_SOURCE)
    decoder_program = Program("vvdecapp", (1, 0), ("--version",), "vvdec", _VVDEC_SOURCE)

    def find_programs(self) -> tuple[str, str]:
        """The paths of encoder and decoder, which are one for ffmpeg; raises `ConfigError`."""
        if self.options["through"] == "installed":
            self.options["through"] = self._installed()
        if self.options["through"] == "vvencapp":
            return super().find_programs()
        path = self.options["program"] or _packaged_ffmpeg()
        return _FFMPEG.find(self.name, "program", path), _FFMPEG.find(
            self.name, "decoder", self.options["decoder"] or path
        )

    @property
    def variant(self) -> dict[str, str]:
        """The options that change the coded bytes; not `through`, where that is the programs."""
        return {name: value for name, value in super().variant.items() if (name, value) != ("through", "vvencapp")}

    def _installed(self) -> str:
        """What there is to code with; raises `ConfigError` if nothing is."""
        named = self.options["program"] or self.options["decoder"]
        if named or shutil.which(self.encoder_program.name):
            return "vvencapp"
        try:
            _FFMPEG.find(self.name, "program", _packaged_ffmpeg())
        except ConfigError as error:
            raise ConfigError(
                f"codec '{self.name}' needs the program 'vvencapp', but none is on PATH; get it from {_VVENC_SOURCE}, "
                f"give its path with method.options.program=PATH, or take FFmpeg: {_FFMPEG_SOURCE}"
            ) from error
        return "ffmpeg"

    def chroma(self, channels: int) -> str:
        """4:2:0 always."""
        return "420"

    def encode_file(self, folder: Path, size: tuple[int, int], chroma: str) -> None:
        """Runs vvencapp or ffmpeg for one picture."""
        place, qp = f"{size[1]}x{size[0]}", round(self.quality or 0)
        effort = ["--preset", self.options["preset"], "--qpa", 0]
        if self.options["through"] == "vvencapp":
            words = ["-i", "in.yuv", "-s", place, "-c", "yuv420_10", "-r", 1, "-f", 1, "-t", 1, "-q", qp]
            self.run(folder, self.encoder, *words, *effort, "-o", "out.vvc")
            return
        words = ["-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", place, "-r", 1, "-i", "in.yuv", "-frames:v", 1]
        coder = ["-c:v", "libvvenc", "-qp", qp, "-preset", self.options["preset"], "-qpa", 0, "-threads", 1]
        try:
            self.run(folder, self.encoder, *_QUIET, *words, *coder, "-f", "vvc", "out.vvc")
        except ProgramError as error:
            raise ProgramError(
                f"{error}; FFmpeg takes no more than a byte a pixel from VVenC, which noise exceeds at "
                "a low quantization parameter: raise the rate, or use method.options.through=vvencapp"
            ) from error

    def decode_file(self, folder: Path, size: tuple[int, int], chroma: str) -> None:
        """Runs vvdecapp or ffmpeg."""
        if self.options["through"] == "vvencapp":
            self.run(folder, self.decoder, "-b", "in.vvc", "-o", "out.yuv", "-t", 1)
            return
        # The decoder aligns its buffers, and counts what that adds to a row.
        bound = (size[0] + 128) * (size[1] + 128)
        words = ["-threads", 1, "-max_pixels", bound, "-f", "vvc", "-i", "in.vvc", "-fps_mode", "passthrough"]
        self.run(folder, self.decoder, *_QUIET, *words, "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "out.yuv")


_QUIET = ("-hide_banner", "-nostdin", "-v", "error")


def _packaged_ffmpeg() -> str:
    """The program in the package imageio-ffmpeg, or "" without it."""
    try:
        return str(import_optional("imageio_ffmpeg", "vvenc").get_ffmpeg_exe())
    except (ConfigError, RuntimeError):
        return ""
