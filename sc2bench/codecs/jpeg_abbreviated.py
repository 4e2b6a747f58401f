"""JPEG whose tables are sent once a session, so that a packet holds nothing but an image's own entropy-coded data."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image

from sc2bench.codecs.base import REMEMBERED_SHAPES, ImageCodec
from sc2bench.codecs.pillow import read_image
from sc2bench.core.errors import InputError
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.inputs import check_coded_image
from sc2bench.wire.packet import PacketError

# Values of Pillow's option `streamtype`.
_WHOLE, _IMAGE_ONLY = 0, 2
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DHT, _SOS, _DQT = 0xC4, 0xDA, 0xDB


@IMAGE_CODECS.register("jpeg_abbreviated")
class JpegAbbreviated(ImageCodec):
    """Baseline JPEG in the abbreviated formats of ITU-T T.81, B.4 and B.5, with the standard Huffman tables (Annex K).

    The session gets the abbreviated stream of the tables, which depend on nothing but the quality and on whether
    images have colour. Of the abbreviated stream of an image, a packet keeps the scan's data alone: its headers follow
    from the session's shape, and the decoder writes them again before it hands a whole JPEG file to libjpeg.
    """

    name = "jpeg_abbreviated"
    quality_range = (0, 100)
    whole_quality = True

    def __init__(self, quality: float | None = None, **options: str):
        super().__init__(quality, **options)
        self._shared = lru_cache(REMEMBERED_SHAPES)(self._tables_and_headers)

    def encode_image(self, image: np.ndarray) -> bytes:
        """Codes uint8 (C, H, W) with 1 or 3 channels to the data of its scan."""
        check_coded_image(image)
        headers = self._shared(_shape(image))[1]
        stream = self._save(image, _IMAGE_ONLY)
        if not stream.startswith(headers) or not stream.endswith(_EOI):
            raise InputError("libjpeg wrote headers that depend on the image; use codec 'jpeg' for it")
        return stream[len(headers) : -len(_EOI)]

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes to uint8 `shape`; raises `PacketError`.

        Huffman codes have next to no redundancy: many damaged scans decode to some image, as in every JPEG file.
        """
        # In a scan 0xFF is followed by a stuffed zero. Anything else would begin another segment.
        if not data or data.count(b"\xff") != data.count(b"\xff\x00"):
            raise PacketError("the bytes are no data of a JPEG scan; they are damaged or foreign")
        tables, headers = self._shared(shape)
        whole = tables[: -len(_EOI)] + headers[len(_SOI) :] + data + _EOI
        return read_image(whole, "JPEG", shape)

    def session_bytes(self, shape: tuple[int, int, int]) -> bytes:
        """The tables, as an abbreviated stream of their own."""
        return self._shared(shape)[0]

    def _tables_and_headers(self, shape: tuple[int, int, int]) -> tuple[bytes, bytes]:
        """The abbreviated stream of the tables that images use, and what stands before the scan's data of each."""
        blank = np.zeros(shape, np.uint8)
        tables = [segment for marker, segment in _segments(self._save(blank, _WHOLE)) if marker in (_DQT, _DHT)]
        stream = self._save(blank, _IMAGE_ONLY)
        headers = b"".join(segment for _, segment in _segments(stream))
        return _SOI + b"".join(tables) + _EOI, _SOI + headers

    def _save(self, image: np.ndarray, stream_type: int) -> bytes:
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        buffer = io.BytesIO()
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        picture.save(buffer, "JPEG", quality=round(self.quality or 0), streamtype=stream_type)
        return buffer.getvalue()


def _shape(image: np.ndarray) -> tuple[int, int, int]:
    channels, height, width = image.shape
    return channels, height, width


def _segments(stream: bytes) -> list[tuple[int, bytes]]:
    """The marker segments of a JPEG stream up to the scan's header: (marker, whole segment)."""
    found: list[tuple[int, bytes]] = []
    at = len(_SOI)
    while not found or found[-1][0] != _SOS:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        found.append((stream[at + 1], stream[at:end]))
        at = end
    return found
