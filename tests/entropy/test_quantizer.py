import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sc2bench.core.errors import ConfigError
from sc2bench.entropy import AffineQuantizer, Coded, CodingError

SHAPE = (3, 2, 4)


@pytest.mark.parametrize("bits", [8, 16])
@given(
    values=hnp.arrays(
        np.float32, (2, *SHAPE), elements=st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, 1.5, -2.0])
    )
)
def test_error_is_at_most_a_step_of_the_own_range(bits, values):
    quantizer = AffineQuantizer(bits).eval()
    latents = torch.from_numpy(values)
    decoded = quantizer.decompress(quantizer.compress(latents), (SHAPE,))
    for sample, result in zip(values, decoded.numpy(), strict=True):
        step = (max(sample.max(), 0) - min(sample.min(), 0)) / (2**bits - 1)
        assert np.abs(sample - result).max() <= step * 1.01 + 1e-30
    assert torch.allclose(quantizer(latents)[0], decoded, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [0.0, 3.25, -7.5])
def test_constant_maps_come_back(value):
    quantizer = AffineQuantizer().eval()
    latents = torch.full((1, *SHAPE), value)
    assert torch.allclose(quantizer.decompress(quantizer.compress(latents), (SHAPE,)), latents, rtol=1e-6)


def test_samples_have_ranges_of_their_own_and_sizes_are_fixed():
    small, large = torch.rand(1, *SHAPE), 1000 * torch.rand(1, *SHAPE)
    quantizer = AffineQuantizer().eval()
    together = quantizer.compress(torch.cat((small, large)))
    assert together == quantizer.compress(small) + quantizer.compress(large)
    assert [(len(item.payload), len(item.side_info)) for item in together] == [(24, 5)] * 2
    wide = AffineQuantizer(16).eval().compress(small)
    assert (len(wide[0].payload), len(wide[0].side_info)) == (48, 6)


def test_latents_pass_in_training():
    latents = torch.rand(1, *SHAPE)
    assert AffineQuantizer().train()(latents)[0] is latents


def test_damage_is_refused():
    quantizer = AffineQuantizer()
    good = quantizer.compress(torch.rand(1, *SHAPE))[0]
    for damaged in (
        Coded(good.payload[:-1], good.side_info),
        Coded(good.payload, good.side_info[:-1]),
        Coded(good.payload, b"\x7f\x80\0\0\0"),
    ):
        with pytest.raises(CodingError):
            quantizer.decompress([damaged], (SHAPE,))
    with pytest.raises(ConfigError, match=r"method.bits: 4 is not known; choose 8 or 16"):
        AffineQuantizer(4)
