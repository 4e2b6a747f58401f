import io

import numpy as np
import pytest
from PIL import Image

from sc2bench.errors import ConfigError
from sc2bench.packet import PacketError
from sc2bench.registry import IMAGE_CODECS

LOSSY = {"jpeg": (5, 90), "webp": (5, 90), "avif": (20, 90), "jpeg2000": (18, 40)}


def colourful() -> np.ndarray:
    """Smooth colour images with a little noise, uint8 (3, 3, 40, 48)."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[0:40, 0:48]
    base = np.stack([4 * x + y, 255 - 5 * y, 128 + 60 * np.sin(x / 6)])
    return np.clip(base + generator.normal(0, 4, (3, 3, 40, 48)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("grey", [True, False])
def test_quality_buys_fidelity_with_bytes(name, grey, test_images):
    images = test_images.images[:20].numpy() if grey else colourful()
    sizes, errors = [], []
    for quality in LOSSY[name]:
        codec = IMAGE_CODECS[name](quality)
        packed = codec.encode(images)
        decoded = codec.decode(packed, images.shape[1:])
        assert decoded.shape == images.shape
        assert decoded.dtype == np.uint8
        sizes.append(sum(map(len, packed)))
        errors.append(np.square(decoded.astype(float) - images).mean())
    assert sizes[0] < sizes[1]
    assert errors[0] > errors[1]
    assert errors[1] < 40


@pytest.mark.parametrize("name", ["jpeg", "avif", "jpeg2000"])
def test_grey_is_coded_as_grey(name, test_images):
    image = test_images.images[0].numpy()
    codec = IMAGE_CODECS[name](LOSSY[name][1])
    in_colour = len(codec.encode_image(np.repeat(image, 3, axis=0)))
    data = codec.encode_image(image)
    assert len(data) < in_colour
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "L"


def test_jpeg_is_what_pillow_writes(test_images):
    image = test_images.images[3].numpy()
    buffer = io.BytesIO()
    Image.fromarray(image[0]).save(buffer, "JPEG", quality=35, optimize=True)
    assert IMAGE_CODECS["jpeg"](35).encode_image(image) == buffer.getvalue()


def test_raw_is_lossless_and_as_long_as_the_image(test_images):
    images = test_images.images[:5].numpy()
    packed = IMAGE_CODECS["raw"](None).encode(images)
    assert [len(data) for data in packed] == [784] * 5
    assert np.array_equal(IMAGE_CODECS["raw"](None).decode(packed, (1, 28, 28)), images)


def test_batches_keep_their_order(test_images):
    images = test_images.images[:101].numpy()
    codec = IMAGE_CODECS["jpeg"](50)
    assert codec.encode(images) == [codec.encode_image(image) for image in images]
    assert codec.encode(images[:0]) == []
    assert codec.decode([], (1, 28, 28)).shape == (0, 1, 28, 28)


@pytest.mark.parametrize(("name", "quality"), [("jpeg", 101), ("webp", -1), ("jpeg2000", 5), ("avif", None)])
def test_impossible_quality_names_the_range(name, quality):
    with pytest.raises(ConfigError, match=f"codec '{name}' can't code at quality {quality}; give rate="):
        IMAGE_CODECS[name](quality)


@pytest.mark.parametrize("name", LOSSY)
def test_foreign_bytes_raise(name, test_images):
    codec = IMAGE_CODECS[name](LOSSY[name][0])
    other = IMAGE_CODECS["webp" if name == "jpeg" else "jpeg"](50).encode_image(test_images.images[0].numpy())
    for data in (b"", b"abc", other, codec.encode_image(colourful()[0])):
        with pytest.raises(PacketError, match="damaged or foreign"):
            codec.decode_image(data, (1, 28, 28))
