"""Bottlenecks for mobile backbones: what they cost, which stages they give, and that they code photographs."""

from functools import cache

import pytest
import torch

from sc2bench.chain import cut
from sc2bench.config import TeacherConfig, compose
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import BOTTLENECKS
from sc2bench.evaluation.cost import count_macs, measure_cost
from sc2bench.methods import SplitModel, build_model
from sc2bench.teachers import Teacher, load_teacher
from sc2bench.wire.inputs import ImageSpec

SHAPE = (3, 224, 224)


@cache
def lite0() -> Teacher:
    return load_teacher(TeacherConfig("tf_efficientnet_lite0", "random", "timm")).eval().requires_grad_(False)


def make(bottleneck: str, after: str, *overrides: str, shape: tuple[int, int, int] = SHAPE) -> SplitModel:
    torch.manual_seed(0)
    options = (
        f"method.bottleneck={bottleneck}",
        f"method.after={after}",
        "method.latent_channels=48",
        "method.widths=[]",
    )
    model = build_model(
        compose(["method=entropic_student", *options, *overrides]), lite0(), ImageSpec(shape[0], shape[1:])
    )
    model.update_tables()
    return model.eval()


@pytest.mark.parametrize(("name", "share"), [("mobile_10", 0.10), ("mobile_25", 0.25), ("mobile_100", 1.0)])
def test_device_half_costs_at_most_its_share_of_the_teacher(name, share):
    image = torch.randint(256, (1, *SHAPE), dtype=torch.uint8)
    with torch.inference_mode():
        whole = count_macs(lambda: lite0()(image))
    # 407 million are published; PyTorch's counter leaves additions and pooling out.
    assert 380e6 < whole < 407e6
    model = make(name, "stage5", "method.prior=mean_scale_hyperprior")
    cost = measure_cost(model, image)
    assert 0.85 * share * whole < cost["device_macs"] <= share * whole
    assert model.device.encoder(torch.zeros(1, *SHAPE)).shape == (1, 48, 14, 14)
    assert model.decode(model.encode(image)).shape == (1, 1000)


@pytest.mark.parametrize("side", [64, 96])
@pytest.mark.parametrize("after", ["stage2", "stage3", "stage4", "stage5", "stage6", "conv_head"])
def test_decoder_gives_the_layer_that_it_imitates(after, side):
    # What is trained on small crops is measured on whole images.
    model = make("mobile_10", after, shape=(3, 64, 64))
    images = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    with torch.inference_mode():
        expected = cut(lite0().chain, after)[0](lite0().preprocess(images))
        given = model(images, features=[after]).features[after]
    assert given.shape == expected.shape


def test_sizes_that_are_halved_with_a_rest_fit():
    # 240 is the size of EfficientNet-Lite1: 15x15, 8x8.
    for after, side in (("stage5", 240), ("stage6", 240), ("stage5", 260)):
        make("mobile_10", after, shape=(3, side, side))


def test_depth_is_how_often_a_width_stands():
    one, two = (BOTTLENECKS["mobile_25"](3, 112, 8, widths).encoder for widths in ([16, 24, 32], [16, 24, 24, 32]))
    blocks = [module.expand.in_channels for module in two if hasattr(module, "expand")]
    assert blocks == [16, 24, 24, 32]
    assert len(two) == len(one) + 1
    for wrong in ([16, 24], [16, 24, 16, 24], [16, 24, 0]):
        with pytest.raises(ConfigError, match=r"method.widths: \[16, 24.*must name 3 widths"):
            BOTTLENECKS["mobile_25"](3, 112, 8, wrong)


def test_fresh_latents_are_wide_enough_to_be_rounded():
    torch.manual_seed(0)
    images = torch.nn.functional.interpolate(torch.randn(4, 3, 16, 16), scale_factor=14, mode="bilinear")
    for name in ("mobile_10", "mobile_25", "mobile_100"):
        latents = BOTTLENECKS[name](3, 112, 48, []).encoder(images)
        assert latents.std((0, 2, 3)).mean() > 0.5
