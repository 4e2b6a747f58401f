"""HEIC files through libheif, x265 and libde265 (library pillow-heif)."""

import io
from typing import Any

import numpy as np
from PIL import Image

from sc2bench.codecs.base import ImageCodec, first_alone, import_optional
from sc2bench.codecs.pillow import wrong_size
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.inputs import check_coded_image
from sc2bench.wire.packet import PacketError


@IMAGE_CODECS.register("heic")
class Heic(ImageCodec):
    """HEIC, sizes are those of whole files: about 370 bytes of a small one are its container.

    Grey images are coded without chroma. Nothing is registered with Pillow, so what it opens stays as it was.

    Options:
        chroma: of images in colour, "420" or "444".
    """

    name = "heic"
    quality_range = (0, 100)
    whole_quality = True
    mime = "image/heic"
    option_choices = {"chroma": ("420", "444")}

    def __init__(self, quality: float | None = None, **options: str):
        super().__init__(quality, **options)
        self._library: Any = import_optional("pillow_heif", self.name)

    def encode_image(self, image: np.ndarray) -> bytes:
        """Codes uint8 (C, H, W) with 1 or 3 channels to a whole file."""
        check_coded_image(image)
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        buffer = io.BytesIO()
        coded = self._library.from_pillow(Image.fromarray(np.ascontiguousarray(pixels)))
        with first_alone("pillow_heif"):
            coded.save(buffer, quality=round(self.quality or 0), chroma=self.options["chroma"])
        return buffer.getvalue()

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        """Decodes to uint8 `shape`; an image of another size is refused before it is decoded."""
        channels, height, width = shape
        expected = (width, height)
        try:
            coded = self._library.open_heif(io.BytesIO(data))
            size = coded.size
            if size == expected:
                picture = coded.to_pillow()
                # What the container announces need not be what its stream holds.
                size = picture.size
                pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
        except Exception as error:  # the library raises errors of many unrelated classes on damaged files
            raise PacketError(f"the HEIC image can't be decoded ({error}); it is damaged or foreign") from error
        if size != expected:
            raise wrong_size("HEIC", size, expected)
        return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
