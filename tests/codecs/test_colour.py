import numpy as np
import pytest

from sc2bench.codecs.colour import from_planes, pad, to_planes

# All corners of the cube, and every combination of some levels between.
LEVELS = np.array([0, 1, 2, 31, 64, 100, 127, 128, 129, 150, 200, 222, 253, 254, 255], np.uint8)
CUBE = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS)).reshape(3, len(LEVELS), -1)


def test_round_trip_keeps_each_level_within_one():
    assert np.abs(from_planes(to_planes(CUBE, "444")).astype(int) - CUBE).max() == 1
    noise = np.random.default_rng(0).integers(0, 256, (3, 500, 500), dtype=np.uint8)
    assert np.abs(from_planes(to_planes(noise, "444")).astype(int) - noise).max() == 1


def test_ten_bits_lose_nothing():
    planes = to_planes(CUBE, "444", bits=10)
    assert planes[0].dtype == np.dtype("<u2")
    assert np.array_equal(from_planes(planes, bits=10), CUBE)


def test_known_colours_have_the_values_of_jfif():
    colours = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    planes = np.stack(to_planes(colours.T[:, None], "444"))[:, 0].T
    expected = [[255, 128, 128], [0, 128, 128], [76, 85, 255], [150, 44, 21], [29, 255, 107]]
    assert planes.tolist() == expected


def test_values_are_rounded_not_cut_off():
    # Cutting off would lower the mean by half a level.
    noise = np.random.default_rng(0).integers(0, 256, (3, 200, 200), dtype=np.uint8)
    luma = to_planes(noise, "444")[0]
    exact = np.tensordot([0.299, 0.587, 0.114], noise.astype(float), 1)
    assert abs((luma - exact).mean()) < 0.01
    assert np.abs(luma - exact).max() <= 0.5 + 1e-4


def test_grey_is_its_own_plane():
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    for bits in (8, 10):
        (plane,) = to_planes(image, "420", bits)
        assert plane.max() == 255 << bits - 8
        assert np.array_equal(from_planes([plane], bits), image)


def test_subsampled_chroma_keeps_ramps():
    y, x = np.mgrid[0:32, 0:48]
    ramps = np.stack([4 * x, 255 - 6 * y, 3 * x + 2 * y]).astype(np.uint8)
    planes = to_planes(ramps, "420")
    assert [plane.shape for plane in planes] == [(32, 48), (16, 24), (16, 24)]
    error = from_planes(planes).astype(int) - ramps
    assert np.abs(error[:, 2:-2, 2:-2]).max() <= 2


@pytest.mark.parametrize(("size", "padded"), [((28, 28), (32, 32)), ((1, 1), (16, 16)), ((16, 17), (16, 24))])
def test_padding_repeats_the_border(size, padded):
    image = np.random.default_rng(0).integers(0, 256, (3, *size), dtype=np.uint8)
    result = pad(image, 8, 16)
    assert result.shape == (3, *padded)
    assert np.array_equal(result[:, : size[0], : size[1]], image)
    assert np.array_equal(result[:, -1, -1], image[:, -1, -1])
