import io
import re
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from sc2bench.codecs.av1 import picture_sizes
from sc2bench.codecs.base import first_alone
from sc2bench.codecs.jpeg_xl import codestream_size
from sc2bench.config import compose
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.methods import build_model
from sc2bench.teachers import fashion_resnet
from sc2bench.wire.inputs import ImageSpec
from sc2bench.wire.packet import PacketError

# A poor and a good quality of each.
LOSSY = {
    "jpeg": (5, 90),
    "jpeg_abbreviated": (5, 90),
    "webp": (5, 90),
    "avif": (20, 90),
    "jpeg2000": (18, 40),
    "heic": (20, 90),
    "jpeg_xl": (20, 90),
    "hevc": (40, 14),
}

AVIF = IMAGE_CODECS["avif"](20).encode_image(np.eye(28, dtype=np.uint8)[None] * 255)


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


def psnr(decoded: np.ndarray, images: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(decoded.astype(float) - images).mean()))


@pytest.mark.parametrize("name", LOSSY)
def test_coding_is_repeatable_on_odd_sizes(name):
    image = colourful()[0, :, :17, :33]
    codec = IMAGE_CODECS[name](LOSSY[name][1])
    data = codec.encode_image(image)
    assert codec.encode_image(image) == data
    assert psnr(codec.decode_image(data, image.shape), image) > 25


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


@pytest.mark.parametrize("name", LOSSY)
def test_a_quality_is_honoured_or_refused(name):
    if name not in ("jpeg2000", "jpeg_xl"):
        with pytest.raises(ConfigError, match=f"'{name}' takes whole numbers, not quality 30.5; round the rate"):
            IMAGE_CODECS[name](30.5)
        return
    whole, between = (IMAGE_CODECS[name](quality).encode_image(colourful()[0]) for quality in (30, 30.5))
    assert between != whole


def test_a_codec_without_quality_takes_none():
    with pytest.raises(ConfigError, match="'raw' has no quality, so 7 would change nothing; leave rate out"):
        IMAGE_CODECS["raw"](7)
    config = compose(["method=feature_codec", "method.codec=raw", "teacher.weights=random"])
    assert config.rate is None
    assert build_model(config, fashion_resnet(), ImageSpec(1, (28, 28))).rate_knob is None


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


@pytest.mark.parametrize(
    ("name", "quality"), [("jpeg", 101), ("webp", -1), ("jpeg2000", 5), ("avif", None), ("hevc", 52)]
)
def test_impossible_quality_names_the_range(name, quality):
    with pytest.raises(ConfigError, match=f"codec '{name}' can't code at quality {quality}; give rate="):
        IMAGE_CODECS[name](quality)


# Bare scans have nothing that would tell them from others; theirs are tested below.
@pytest.mark.parametrize("name", sorted(LOSSY.keys() - {"jpeg_abbreviated"}))
def test_foreign_bytes_raise(name, test_images):
    codec = IMAGE_CODECS[name](LOSSY[name][0])
    other = IMAGE_CODECS["webp" if name == "jpeg" else "jpeg"](50).encode_image(test_images.images[0].numpy())
    for data in (b"", b"abc", other, codec.encode_image(colourful()[0])):
        with pytest.raises(PacketError, match="damaged or foreign"):
            codec.decode_image(data, (1, 28, 28))


@pytest.mark.parametrize("name", ["avif", "heic"])
def test_pictures_larger_than_their_container_says_are_refused_before_decoding(name):
    codec, large = IMAGE_CODECS[name](20), np.zeros((1, 1024, 1024), np.uint8)
    data = codec.encode_image(large)
    said = data.replace(struct.pack(">II", 1024, 1024), struct.pack(">II", 28, 28))
    assert said != data
    with pytest.raises(
        PacketError, match=r"size \(1024, 1024\) instead of \(28, 28\)|size 1024x1024 exceeds the maximum"
    ):
        codec.decode_image(said, (1, 28, 28))
    assert codec.decode_image(data, large.shape).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 255, 256), (1, 256, 257), (3, 1, 300)])
def test_av1_says_how_large_its_picture_is(shape):
    data = IMAGE_CODECS["avif"](60).encode_image(np.zeros(shape, np.uint8))
    assert picture_sizes(data) == [(shape[2], shape[1])]


@given(st.binary(max_size=60), st.integers(0, 400))
def test_damaged_avif_files_are_packet_errors_or_have_sizes(inserted, place):
    data = AVIF[: place % len(AVIF)] + inserted + AVIF[place % len(AVIF) + len(inserted) :]
    try:
        sizes = picture_sizes(data)
    except PacketError:
        return
    assert all(0 < side <= 1 << 16 for size in sizes for side in size)


def test_first_use_of_a_library_is_alone():
    together, most, lock = 0, [], threading.Lock()
    first_ended = threading.Event()

    def use(place: int) -> bool:
        nonlocal together
        with first_alone("a library"):
            with lock:
                together += 1
                most.append(together)
            # Later uses meet each other only if they may.
            met = not first_ended.is_set() or barrier.wait(10) >= 0
            with lock:
                together -= 1
        return met

    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(use, range(2))) == [True, True]
        assert most == [1, 1]
        first_ended.set()
        assert list(pool.map(use, range(2))) == [True, True]
        assert max(most) == 2


LIBRARIES = {"heic": "pillow_heif", "jpeg_xl": "pillow_jxl", "hevc": "av"}


@pytest.mark.parametrize("name", LIBRARIES)
def test_missing_library_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    with pytest.raises(ConfigError, match=rf"codec '{name}' needs the library .* pip install 'sc2bench\[codecs\]'"):
        IMAGE_CODECS[name](LOSSY[name][0])


def test_options_are_checked():
    with pytest.raises(
        ConfigError, match=r"method.options.croma: codec 'hevc' has no such option; did you mean 'chroma'"
    ):
        IMAGE_CODECS["hevc"](30, croma="420")
    with pytest.raises(ConfigError, match=r"method.options.chroma: codec 'hevc' does not know '440'; did you mean"):
        IMAGE_CODECS["hevc"](30, chroma="440")
    with pytest.raises(ConfigError, match="codec 'jpeg' has no such option; known: none"):
        IMAGE_CODECS["jpeg"](30, chroma="444")
    assert IMAGE_CODECS["hevc"](30, chroma="444").variant == {"chroma": "444"}
    assert IMAGE_CODECS["hevc"](30, chroma="420").variant == {}


def test_other_libraries_leave_pillow_as_it_is(test_images):
    data = IMAGE_CODECS["jpeg"](50).encode_image(test_images.images[0].numpy())
    IMAGE_CODECS["heic"](50)
    IMAGE_CODECS["jpeg_xl"](50)
    assert "HEIF" not in Image.ID
    assert Image.ID.index("JXL") == len(Image.ID) - 1
    with Image.open(io.BytesIO(data)) as opened:
        assert type(opened) is JpegImageFile


class TestJpegAbbreviated:
    def test_packet_is_the_scan_of_a_standard_jpeg(self, test_images):
        image = test_images.images[3].numpy()
        buffer = io.BytesIO()
        Image.fromarray(image[0]).save(buffer, "JPEG", quality=35)
        codec = IMAGE_CODECS["jpeg_abbreviated"](35)
        scan = codec.encode_image(image)
        assert buffer.getvalue().endswith(scan + b"\xff\xd9")
        with Image.open(buffer) as opened:
            assert np.array_equal(codec.decode_image(scan, (1, 28, 28))[0], np.asarray(opened))

    @pytest.mark.parametrize("channels", [1, 3])
    def test_tables_stand_in_the_session_header(self, channels):
        config = compose(["method=input_codec", "method.codec=jpeg_abbreviated", "rate=35"])
        codec = IMAGE_CODECS["jpeg_abbreviated"](35)
        tables = codec.session_bytes((channels, 40, 48))
        assert tables[:2] + tables[-2:] == b"\xff\xd8\xff\xd9"
        # One quantization table of 64 values and two of Huffman codes for luma, as many again for chroma.
        assert (tables.count(b"\xff\xdb\x00\x43"), tables.count(b"\xff\xc4")) == ((1, 2) if channels == 1 else (2, 4))
        session = build_model(config, fashion_resnet(), ImageSpec(channels, (40, 48))).session
        assert session.shared == tables
        assert len(session.to_bytes()) > len(tables)

    def test_markers_in_a_scan_are_refused(self, test_images):
        codec = IMAGE_CODECS["jpeg_abbreviated"](35)
        scan = codec.encode_image(test_images.images[3].numpy())
        for damaged in (b"", scan + b"\xff", b"\xff\xc0" + scan, scan + b"\xff\xd8"):
            with pytest.raises(PacketError, match="no data of a JPEG scan"):
                codec.decode_image(damaged, (1, 28, 28))


class TestHevc:
    @pytest.mark.parametrize(("chroma", "least"), [("444", 42), ("420", 40)])
    def test_colours_come_back(self, chroma, least):
        y, x = np.mgrid[0:45, 0:51]
        smooth = np.stack([5 * x, 255 - 5 * y, 128 + 100 * np.sin(x / 9)]).astype(np.uint8)
        codec = IMAGE_CODECS["hevc"](1, chroma=chroma)
        assert psnr(codec.decode_image(codec.encode_image(smooth), smooth.shape), smooth) > least

    @pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 16), (28, 28), (31, 100)])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_every_size_works(self, size, channels):
        image = np.full((channels, *size), 90, np.uint8)
        codec = IMAGE_CODECS["hevc"](10)
        assert np.abs(codec.decode_image(codec.encode_image(image), image.shape) - 90.0).max() <= 2

    def test_stream_is_bare(self, test_images):
        stream = IMAGE_CODECS["hevc"](30).encode_image(test_images.images[0].numpy())
        kinds = [stream[at.end()] >> 1 for at in re.finditer(b"\x00\x00\x01", stream)]
        # Video, sequence and picture parameter sets, and one slice of an instantaneous refresh: no other information.
        assert kinds[:3] == [32, 33, 34]
        assert len(kinds) == 4
        assert kinds[3] in (19, 20)

    def test_parameter_sets_can_stand_in_the_session(self, test_images):
        images = test_images.images[:20].numpy()
        whole, bare = IMAGE_CODECS["hevc"](30), IMAGE_CODECS["hevc"](30, parameter_sets="session")
        shared = bare.session_bytes((1, 28, 28))
        assert whole.session_bytes((1, 28, 28)) == b""
        assert [shared + data for data in bare.encode(images)] == whole.encode(images)
        assert np.array_equal(
            bare.decode(bare.encode(images), (1, 28, 28)), whole.decode(whole.encode(images), (1, 28, 28))
        )
        assert 50 < len(shared) < 80


def test_jpeg_xl_size_is_read_before_decoding():
    codec = IMAGE_CODECS["jpeg_xl"](50)
    for width, height in ((28, 28), (48, 40), (64, 48), (33, 17), (600, 40), (9000, 2)):
        data = codec.encode_image(np.zeros((1, height, width), np.uint8))
        assert codestream_size(data) == (width, height)
