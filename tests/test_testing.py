"""What the package offers to authors of plugins: its own things pass, and broken ones do not."""

import numpy as np
import pytest
import torch

from sc2bench import (
    BOTTLENECKS,
    IMAGE_CODECS,
    LOSSES,
    METHODS,
    PRIORS,
    Bottleneck,
    ConfigError,
    ImageCodec,
    register_loss,
)
from sc2bench.codecs.raw import Raw
from sc2bench.entropy import FactorizedPrior
from sc2bench.testing import check_bottleneck, check_codec, check_dataset, check_loss, check_method, check_prior

CODECS = {"jpeg": 50, "jpeg_abbreviated": 50, "webp": 50, "avif": 50, "jpeg2000": 30, "raw": None}
METHOD_OPTIONS = {
    "teacher": [],
    "input_codec": ["rate=50"],
    "feature_codec": ["rate=50"],
    "entropic_student": ["rate=0.1"],
    "end_to_end": ["rate=0.1"],
    "channel_reduction": ["rate=4"],
    "entropy_bottleneck": ["rate=0.1"],
}


@pytest.mark.parametrize("name", CODECS)
def test_codecs(name: str):
    check_codec(name, CODECS[name])


@pytest.mark.parametrize("name", ["factorized", "scale_hyperprior", "mean_scale_hyperprior", "joint_autoregressive"])
def test_priors(name: str):
    check_prior(name)


@pytest.mark.parametrize(
    ("name", "target"), [("fp_resnet", (256, 16, 16)), ("mobile_25", (40, 8, 8)), ("fp_small", (24, 32, 32))]
)
def test_bottlenecks(name: str, target: tuple[int, int, int]):
    check_bottleneck(name, target_shape=target)


@pytest.mark.parametrize("name", ["kd", "feature_sse", "feature_relative", "rate", "distortion", "task"])
def test_losses(name: str):
    check_loss(name)


@pytest.mark.parametrize("name", METHOD_OPTIONS)
def test_methods(name: str):
    check_method(["task=fashion_mnist", f"method={name}", *METHOD_OPTIONS[name]])


@pytest.mark.slow
def test_data_sets(mini_root):
    check_dataset("fashion_mnist", f"task.root={mini_root}")


class Upside(Raw):
    """Decodes images upside down."""

    name = "upside"

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        return super().decode_image(data, shape)[:, ::-1]


class Careless(Raw):
    """Does not care what it decodes."""

    name = "careless"

    def decode_image(self, data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
        return np.frombuffer(data, np.uint8).reshape(shape)


class Forgetful(FactorizedPrior):
    """Decodes everything one too large."""

    def decompress(self, coded, shapes):
        return super().decompress(coded, shapes) + 1


@pytest.mark.parametrize(
    ("codec", "sentence"),
    [
        (Upside, "decoded images resemble another one more than their own"),
        (Careless, r"damaged bytes raise ValueError .*; turn it into PacketError"),
    ],
)
def test_broken_codecs_are_found(monkeypatch, codec: type[ImageCodec], sentence: str):
    monkeypatch.setitem(IMAGE_CODECS._entries, codec.name, codec)
    with pytest.raises(AssertionError, match=sentence):
        check_codec(codec.name)


def test_other_broken_things_are_found(monkeypatch):
    monkeypatch.setitem(PRIORS._entries, "forgetful", lambda channels, *_: Forgetful(channels))
    with pytest.raises(AssertionError, match=r"decoded latents are .* off, not rounded"):
        check_prior("forgetful")

    def still(input_channels, target_channels, latent_channels, widths):
        encoder, unused = torch.nn.Conv2d(input_channels, latent_channels, 1), torch.nn.Conv2d(3, 3, 1)
        encoder.add_module("unused", unused)
        return Bottleneck(encoder, torch.nn.Conv2d(latent_channels, target_channels, 1), latent_channels)

    monkeypatch.setitem(BOTTLENECKS._entries, "still", still)
    with pytest.raises(AssertionError, match=r"encoder parameters \['unused.weight', 'unused.bias'\] have no gradient"):
        check_bottleneck("still", target_shape=(5, 64, 64))
    try:
        register_loss("vector")(lambda step: step.outputs.prediction.sum(1))
        with pytest.raises(AssertionError, match="gives a tensor of shape"):
            check_loss("vector")
    finally:
        LOSSES._entries.pop("vector"), LOSSES._origins.pop("vector")
    with pytest.raises(ConfigError, match="unknown method"):
        check_method(["method=nothing"])
    assert "nothing" not in METHODS
