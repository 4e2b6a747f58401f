"""BPG through the programs of libbpg: an HEVC intra picture with a header of few bytes (https://bellard.org/bpg/)."""

from pathlib import Path

import numpy as np
from PIL import Image

from sc2bench.codecs.external import ProgramCodec
from sc2bench.codecs.pillow import read_image, wrong_size
from sc2bench.codecs.programs import Program
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.packet import PacketError

_MAGIC = b"BPG\xfb"
# Two bytes about the pixels' format stand between the magic and the size.
_SIZE_AT = 6
_SOURCE = "https://bellard.org/bpg/"


@IMAGE_CODECS.register("bpg")
class Bpg(ProgramCodec):
    """BPG; quality is the quantizer 0..51, LOWER is better. The encoder gets PNG files, grey ones for grey images.

    The arguments are those of libbpg 0.9.8, which is in no package index.

    Options:
        chroma: of images in colour, "420" or "444".
        effort: 1 to 9; 8 is the encoder's own default.
        program, decoder: paths of bpgenc and bpgdec.
    """

    name = "bpg"
    quality_range = (0, 51)
    mime = "image/bpg"
    option_choices = {
        **ProgramCodec.option_choices,
        "chroma": ("420", "444"),
        "effort": ("8", "1", "2", "3", "4", "5", "6", "7", "9"),
    }
    encoder_program = Program("bpgenc", (0, 9, 5), ("-h",), "BPG Image Encoder", _SOURCE)
    decoder_program = Program("bpgdec", (0, 9, 5), ("-h",), "BPG Image Decoder", _SOURCE)

    def encode_in(self, folder: Path, image: np.ndarray) -> bytes:
        """Codes uint8 (C, H, W) to a whole file."""
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / "in.png")
        words = ["-q", round(self.quality or 0), "-f", self.options["chroma"], "-m", self.options["effort"]]
        self.run(folder, self.encoder, *words, "-o", "out.bpg", "in.png")
        return (folder / "out.bpg").read_bytes()

    def decode_in(self, folder: Path, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes to uint8 `shape`; a file of another size is refused before it is decoded."""
        size = file_size(data)
        if size != (shape[2], shape[1]):
            raise wrong_size("BPG", size, (shape[2], shape[1]))
        (folder / "in.bpg").write_bytes(data)
        self.run(folder, self.decoder, "-o", "out.png", "in.bpg")
        return read_image((folder / "out.png").read_bytes(), "PNG", shape)


def file_size(data: bytes) -> tuple[int, int]:
    """Reads (width, height) from the header of a BPG file; raises `PacketError`."""
    if data[: len(_MAGIC)] != _MAGIC:
        raise PacketError("the bytes are no BPG file; they are damaged or foreign")
    numbers, value = [], 0
    # Numbers are written 7 bits a byte, the most significant first; those of 32 bits take 5 bytes.
    for byte in data[_SIZE_AT : _SIZE_AT + 10]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if len(numbers) < 2:
        raise PacketError("the BPG file ends within its header; it is damaged")
    return numbers[0], numbers[1]
