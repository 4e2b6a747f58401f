"""VVenC as it is, inside of FFmpeg from the package imageio-ffmpeg."""

import subprocess

import numpy as np
import pytest

from sc2bench.codecs.vvc import _packaged_ffmpeg
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.wire.packet import PacketError
from tests.codecs.test_programs import colourful


@pytest.fixture
def options() -> dict[str, str]:
    path = _packaged_ffmpeg()
    if not path or "libvvenc" not in subprocess.run([path, "-version"], capture_output=True, text=True).stdout:
        pytest.skip("the installed imageio-ffmpeg has no FFmpeg with libvvenc")
    return {"through": "ffmpeg"}


def test_quality_buys_fidelity_with_bytes(options, test_images):
    images = test_images.images[:3].numpy()
    found = []
    for quality in (48, 16):
        codec = IMAGE_CODECS["vvenc"](quality, **options)
        packed = codec.encode(images)
        assert codec.encode(images[:1]) == packed[:1]
        error = np.square(codec.decode(packed, (1, 28, 28)).astype(float) - images).mean()
        found.append((sum(map(len, packed)), error))
    assert found[0][0] < found[1][0]
    assert found[0][1] > 20
    assert found[1][1] < 1


def test_colours_of_odd_sizes_come_back(options):
    image = colourful()
    codec = IMAGE_CODECS["vvenc"](4, **options)
    decoded = codec.decode_image(codec.encode_image(image), image.shape)
    assert 10 * np.log10(255**2 / np.square(decoded.astype(float) - image).mean()) > 40


def test_damaged_streams_raise(options, test_images):
    codec = IMAGE_CODECS["vvenc"](30, **options)
    good = codec.encode_image(test_images.images[0].numpy())
    for damaged in (b"", b"abc", good[:40], good[60:]):
        with pytest.raises(PacketError, match="can't be decoded"):
            codec.decode_image(damaged, (1, 28, 28))
    with pytest.raises(PacketError):
        codec.decode_image(good, (1, 64, 64))


def test_ffmpeg_is_taken_where_vvencapp_is_not_on_path(options, test_images, monkeypatch, tmp_path):
    image = test_images.images[0].numpy()
    monkeypatch.setenv("PATH", str(tmp_path))
    codec, named = IMAGE_CODECS["vvenc"](30), IMAGE_CODECS["vvenc"](30, **options)
    assert codec.variant == named.variant == {"through": "ffmpeg"}
    assert codec.encode_image(image) == named.encode_image(image)
