from copy import deepcopy

import numpy as np
import pytest
import torch
from compressai.models import (
    FactorizedPrior as CompressaiFactorized,
)
from compressai.models import (
    JointAutoregressiveHierarchicalPriors,
    MeanScaleHyperprior,
    ScaleHyperprior,
)

from sc2bench.bottlenecks.entropic import small_hyper
from sc2bench.core.errors import InputError
from sc2bench.core.registry import BOTTLENECKS, PRIORS
from sc2bench.entropy import CodingError, EntropyTablesMissing, LatentCodec
from sc2bench.entropy.hyperprior import in_double
from sc2bench.methods.neural_codecs import from_compressai

CHANNELS, SIDE_CHANNELS = 6, 3
HYPERPRIORS = ("scale_hyperprior", "mean_scale_hyperprior", "joint_autoregressive")


def make(name: str, seed: int = 0) -> LatentCodec:
    torch.manual_seed(seed)
    prior = PRIORS[name](CHANNELS, SIDE_CHANNELS, small_hyper(CHANNELS)).eval()
    # Scales around one, so that symbols vary.
    last = prior.shared.predictor[-1] if name == "joint_autoregressive" else prior.shared.hyper_decoder[-1]
    with torch.no_grad():
        last.bias[:CHANNELS] += 1
    prior.update_tables()
    return prior


def latents(samples: int = 5) -> torch.Tensor:
    return torch.randn(samples, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(1)) * 1.3


@pytest.mark.parametrize("name", HYPERPRIORS)
class TestEveryHyperprior:
    def test_server_part_alone_decodes_what_the_device_codes(self, name):
        device, server = make(name), make(name).server_part
        values = latents()
        coded = device.compress(values)
        decoded = server.decompress(coded, device.shapes((CHANNELS, 4, 4)))
        assert decoded.dtype == torch.float32
        # Rounding moves each latent by at most half, from wherever its mean lies.
        assert (decoded - values).abs().max() <= 0.5 + 1e-4
        if name != "joint_autoregressive":  # whose estimate rounds without the mean, as published
            assert torch.allclose(decoded, device(values)[0], atol=1e-5)

    def test_bytes_are_near_the_estimate_and_do_not_depend_on_the_batch(self, name):
        prior = make(name)
        values = latents()
        coded = prior.compress(values)
        assert coded == [prior.compress(sample[None])[0] for sample in values]
        for item, bits in zip(coded, prior(values)[1].tolist(), strict=True):
            assert len(item.payload) + len(item.side_info) == pytest.approx(bits / 8, rel=0.1, abs=2)

    def test_check_finds_another_arithmetic(self, name):
        device, server = make(name), make(name).server_part
        shapes = device.shapes((CHANNELS, 4, 4))
        plain = device.compress(latents())
        device.shared.checked = server.checked = True
        coded = device.compress(latents())
        assert [len(item.side_info) for item in coded] == [len(item.side_info) + 4 for item in plain]
        assert torch.equal(server.decompress(coded, shapes), device.decompress(coded, shapes))
        with torch.no_grad():
            for parameter in server.hyper_decoder.parameters():
                parameter.mul_(1.5)
        with pytest.raises(CodingError, match="computed different conditions"):
            server.decompress(coded, shapes)
        assert server.probe() != device.probe()

    def test_tables_survive_a_state_dict(self, name):
        first, second = make(name), make(name, seed=1)
        second.load_state_dict(first.state_dict())
        assert second.compress(latents()) == first.compress(latents())

    def test_tables_must_be_built(self, name):
        prior = PRIORS[name](CHANNELS, SIDE_CHANNELS, small_hyper(CHANNELS)).eval()
        with pytest.raises(EntropyTablesMissing, match="update_tables"):
            prior.compress(latents())
        with pytest.raises(EntropyTablesMissing, match="update_tables"):
            prior.require_tables()

    def test_gradients_reach_all_parts(self, name):
        prior = make(name).train()
        values = latents().requires_grad_()
        quantized, bits = prior(values)
        (quantized.square().mean() + bits.mean() + prior.auxiliary_loss()).backward()
        assert values.grad is not None
        assert {name for name, parameter in prior.named_parameters() if parameter.grad is None} == set()


@pytest.mark.parametrize(
    "architecture", [CompressaiFactorized, ScaleHyperprior, MeanScaleHyperprior, JointAutoregressiveHierarchicalPriors]
)
def test_decoded_images_and_sizes_are_those_of_compressai(architecture):
    torch.manual_seed(0)
    model = architecture(8, 12).eval()
    with torch.no_grad():
        for parameter in model.g_a.parameters():
            parameter.mul_(2)  # else all symbols of an untrained model are zero
    model.update(force=True)
    images = torch.rand(2, 3, 128, 64)
    with torch.no_grad():
        theirs = model.compress(images)
        # Their autoregressive decoder writes to the shape that it returns.
        expected = model.decompress(theirs["strings"], theirs["shape"])["x_hat"]
        codec = from_compressai(model)
        codec.prior.update_tables()
        values = codec.encoder(images)
        coded = codec.prior.compress(values)
        shapes = codec.prior.shapes(tuple(values.shape[1:]))
        decoded = codec.decoder(codec.prior.server_part.decompress(coded, shapes)).clamp(0, 1)
    assert decoded.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    for sample, item in enumerate(coded):
        assert len(item.payload) <= len(theirs["strings"][0][sample])
        if item.side_info:
            assert len(item.side_info) <= len(theirs["strings"][1][sample])


def test_indexes_are_those_of_compressai():
    prior = make("scale_hyperprior")
    scales = torch.cat((torch.logspace(-3, 3, 500), prior.shared.gaussian.scale_table))
    expected = prior.shared.gaussian.build_indexes(scales)
    assert np.array_equal(prior.shared.indexes(scales), expected.numpy())


@pytest.mark.parametrize("name", HYPERPRIORS)
@pytest.mark.parametrize("bottleneck", ["fp_small", "fp_resnet"])
def test_latents_of_every_size_are_coded(name, bottleneck):
    hyper = BOTTLENECKS[bottleneck](3, 8, CHANNELS, []).hyper
    torch.manual_seed(0)
    prior = PRIORS[name](CHANNELS, SIDE_CHANNELS, hyper).eval()
    prior.update_tables()
    server = prior.server_part
    # Position by position is slow; that one goes the same way but for a few sizes.
    sides = (1, 2, 3, 6, 9) if name == "joint_autoregressive" else range(1, 41)
    for height, width in ((side, (7 * side) % max(sides) + 1) for side in sides):
        values = torch.randn(2, CHANNELS, height, width, generator=torch.Generator().manual_seed(1)) * 3
        coded = prior.compress(values)
        decoded = server.decompress(coded, prior.shapes((CHANNELS, height, width)))
        assert decoded.shape == values.shape
        assert (decoded - values).abs().max() <= 0.5 + 1e-4
        bits = prior(values)[1].tolist()
        assert all(len(item.payload) * 8 < bound * 1.2 + 60 for item, bound in zip(coded, bits, strict=True))
    # In training, in half precision too.
    with torch.autocast("cpu", torch.bfloat16):
        quantized, bits = prior.train()(torch.randn(2, CHANNELS, 5, 9))
    assert quantized.shape == (2, CHANNELS, 5, 9)
    assert bits.isfinite().all()


def test_sizes_that_fit_are_coded_as_they_come():
    prior, values = make("mean_scale_hyperprior"), latents()
    shared = prior.shared
    side_latents = shared.side.dequantize(shared.side.quantize(prior.hyper_encoder(values)))
    scales, means = in_double(shared.hyper_decoder)(side_latents).chunk(2, dim=1)
    assert scales.shape == values.shape
    symbols = torch.round(values - means.float()).to(torch.int32).numpy()
    expected = shared.coder.encode(symbols, shared.indexes(scales))
    assert [item.payload for item in prior.compress(values)] == expected


@pytest.mark.parametrize("name", HYPERPRIORS)
def test_probe_tells_single_from_double_precision_but_not_machines_apart(name):
    prior = make(name)
    probe = prior.probe()

    def probed(relative: float, seed: int) -> bytes:
        """The probe of a decoder whose arithmetic errs by so much, which changed weights stand for."""
        generator = torch.Generator().manual_seed(seed)
        other = deepcopy(prior).double()
        with torch.no_grad():
            for key, value in other.named_parameters():
                if "hyper_decoder" in key or "predictor" in key or "context" in key:
                    value.mul_(1 + relative * torch.randn(value.shape, generator=generator, dtype=torch.float64))
        return other.probe()

    assert all(probed(1e-15, seed) == probe for seed in range(20))
    for relative in (1e-4, 1e-6, 1e-7):
        assert all(probed(relative, seed) != probe for seed in range(5))


@pytest.mark.parametrize("name", [*HYPERPRIORS, "factorized"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e20])
def test_latents_that_are_no_numbers_are_refused(name, value):
    prior = PRIORS[name](CHANNELS, SIDE_CHANNELS, small_hyper(CHANNELS)).eval()
    prior.update_tables()
    values = latents()
    values[3, 1, 2, 2] = value
    with pytest.raises(InputError, match="latents of image 3 of the batch are not finite, or beyond 2147483392"):
        prior.compress(values)
