"""The methods whose bytes are those of image codecs: on features, and neural ones before the model."""

import hashlib

import numpy as np
import pytest
import torch
from compressai.models import ScaleHyperprior
from compressai.zoo.image import cfgs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sc2bench.config import compose
from sc2bench.core.errors import CheckpointError, ConfigError, InputError
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.methods import build_model, downloads
from sc2bench.methods.tiled_codec import LARGEST, TiledCodec, Tiling
from sc2bench.teachers import fashion_resnet
from sc2bench.wire.inputs import ImageSpec
from sc2bench.wire.packet import PacketError

GREY, COLOUR = ImageSpec(1, (28, 28)), ImageSpec(3, (30, 50))
PRETRAINED = ["method=neural_input_codec", "method.layout=compressai"]


@pytest.mark.parametrize("per_channel", [True, False])
@given(
    features=hnp.arrays(np.float32, (5, 3, 2), elements=st.floats(-100, 100, width=16) | st.sampled_from([0.0, -3.0]))
)
def test_tiled_features_come_back_within_half_a_level(per_channel, features):
    tiling = Tiling(features.shape, per_channel)
    image, ranges = tiling.to_image(features)
    assert image.shape == tiling.image_shape
    assert len(ranges) == (20 if per_channel else 4)
    span = np.ptp(features, axis=(1, 2), keepdims=True) if per_channel else np.ptp(features)
    error = np.abs(tiling.to_features(image, ranges) - features)
    assert (error <= span / 255 * 0.51 + 1e-4).all()


@pytest.mark.parametrize("shape", [(64, 56, 56), (2048,), (3, 4, 8), (1, 9, 9)])
def test_tiles_are_laid_out_nearly_square_and_none_is_lost(shape):
    tiling = Tiling(shape, per_channel=False)
    channels, rows, columns = tiling.image_shape
    assert channels == 1
    assert np.prod(shape) <= rows * columns <= 1.5 * np.prod(shape)
    assert 0.5 <= rows / columns <= 2


def test_damaged_ranges_are_refused():
    tiling = Tiling((4, 2, 2), per_channel=True)
    image, ranges = tiling.to_image(np.random.default_rng(0).normal(size=(4, 2, 2)).astype(np.float32))
    with pytest.raises(PacketError, match="15 bytes of ranges where 16 belong"):
        tiling.to_features(image, ranges[:-1])
    with pytest.raises(PacketError, match="not finite"):
        tiling.to_features(image, b"\x7c\x00" + ranges[2:])


def test_features_beyond_the_ranges_type_are_refused_and_not_cut_off():
    model = build_model(compose(["method=feature_codec", "method.codec=raw"]), fashion_resnet(), GREY)
    features = torch.linspace(0, LARGEST, 2 * 4 * 4).reshape(1, 2, 4, 4)
    (packet,) = model.device.code(features)
    tiling = Tiling((2, 4, 4), per_channel=False)
    image = np.frombuffer(packet.payload, np.uint8).reshape(tiling.image_shape)
    assert tiling.to_features(image, packet.side_info).max() == pytest.approx(65504)
    features[0, 1, 3, 3] = 70_000
    with pytest.raises(InputError, match="latents of image 0 of the batch are not finite, or beyond 65504"):
        model.device.code(features)


@pytest.mark.parametrize(
    ("shape", "per_channel", "digests"),
    [
        ((5, 6, 7), False, ["00e272f6560b0dff", "f31529e71e268a50"]),
        ((5, 6, 7), True, ["98600b7e14defd74", "ac6bfdccc8724202"]),
        ((210,), False, ["f7ea5943fa5235c5", "afe0fc8e1d06e67c"]),
    ],
)
def test_bytes_of_features_are_those_of_earlier_versions(shape, per_channel, digests):
    drawn = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    codec = TiledCodec(IMAGE_CODECS["raw"](), per_channel).eval()
    coded = codec.compress(torch.from_numpy(drawn))
    assert [hashlib.sha256(item.payload + b"|" + item.side_info).hexdigest()[:16] for item in coded] == digests
    decoded = codec.decompress(coded, codec.shapes(shape))
    assert decoded.shape == (2, *shape)
    assert torch.equal(codec(torch.from_numpy(drawn))[0], decoded)


def test_sessions_of_features_are_named_as_ever_and_carry_the_codecs_tables():
    model = build_model(compose(["method=feature_codec", "rate=30", "method.after=layer2"]), fashion_resnet(), GREY)
    for tensor in model.state_dict().values():
        tensor.zero_()
    assert model.session.fingerprint.hex() == "8e8ae342a26c66e5"
    assert model.session.shape == (48, 8, 8)
    assert model.session.has_side_info
    assert (model.session.earlier, model.session.shared) == ((), b"")
    config = compose(["method=feature_codec", "rate=30", "method.codec=jpeg_abbreviated"])
    model = build_model(config, fashion_resnet(), GREY)
    # 24 channels of 16x16 in five columns and rows.
    assert model.session.shared == IMAGE_CODECS["jpeg_abbreviated"](30).session_bytes((1, 80, 80)) != b""


def test_unknown_kind_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"method.ranges: unknown value 'chanel'; did you mean 'channel'\?"):
        build_model(compose(["method=feature_codec", "rate=5", "method.ranges=chanel"]), fashion_resnet(), GREY)


@pytest.fixture(scope="module")
def state_file(tmp_path_factory):
    """Weights as CompressAI saves them, of the size of its first quality but narrow."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("zoo") / "bmshj2018.pth.tar"
    torch.save(ScaleHyperprior(8, 12).state_dict(), path)
    return path


def test_local_weights_choose_the_sizes(state_file):
    overrides = [*PRETRAINED, "method.prior=scale_hyperprior", "rate=1", "stage1=null"]
    model = build_model(compose([*overrides, f"method.weights={state_file}"]), fashion_resnet().eval(), GREY)
    assert model.rate_knob == "quality"
    assert model.device.encoder[0].out_channels == 8 != cfgs["bmshj2018-hyperprior"][1][0]
    packets = model.encode(torch.zeros(2, *GREY.probe_shape, dtype=torch.uint8))
    # 28x28 is padded to 64x64 for this codec; side information and payload both are there.
    assert model.server.shapes(GREY.probe_shape) == ((12, 4, 4), (8, 1, 1))
    assert all(packet.side_info for packet in packets)
    assert model.decode(packets).shape == (2, 10)


def test_padding_is_cropped_and_colour_kept(state_file):
    overrides = [*PRETRAINED, "method.prior=scale_hyperprior", "rate=1", "stage1=null"]
    config = compose([*overrides, f"method.weights={state_file}"])
    teacher = fashion_resnet().eval()
    teacher.preprocess.mean, teacher.preprocess.std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    teacher.chain.conv1 = torch.nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False)
    model = build_model(config, teacher, COLOUR)
    images = torch.randint(0, 256, (2, *COLOUR.probe_shape), dtype=torch.uint8)
    with torch.no_grad():
        latents = model.device.prior(model.device(images))[0]
        decoded = model.server.images(latents, model.server.sizing.frame([COLOUR.size] * 2))
    assert decoded.shape == (2, *COLOUR.probe_shape)
    assert torch.equal(decoded, decoded.round())
    assert (decoded.min(), decoded.max()) >= (0, 0)
    assert decoded.max() <= 255


def test_weights_that_can_not_be_had_are_one_sentence(state_file, tmp_path, monkeypatch):
    overrides = [*PRETRAINED, "method.prior=mean_scale_hyperprior", "rate=3", "stage1=null"]
    with pytest.raises(CheckpointError, match=r"don't fit CompressAI's mbt2018-mean"):
        build_model(compose([*overrides, f"method.weights={state_file}"]), fashion_resnet(), GREY)
    state = torch.load(state_file)
    tables = {name: torch.ones(8, 9, dtype=torch.int32) for name in ("_quantized_cdf", "_cdf_length", "_offset")}
    for change, sentence in (
        ({"g_a.0.bias": torch.full((8,), torch.nan)}, "g_a.0.bias is not finite"),
        ({f"entropy_bottleneck.{name}": table for name, table in tables.items()}, "damaged entropy tables"),
        ({"g_a.0.weight": torch.tensor(1.0)}, "don't fit CompressAI's bmshj2018-hyperprior"),
        ({"g_a.0.weight": torch.zeros(1).expand(10**7, 3, 5, 5)}, "not stored value by value"),
    ):
        torch.save(state | change, tmp_path / "bad.pth.tar")
        other = [*PRETRAINED, "method.prior=scale_hyperprior", "rate=1", "stage1=null"]
        with pytest.raises(CheckpointError, match=rf"bad.pth.tar.* {sentence}"):
            build_model(compose([*other, f"method.weights={tmp_path}/bad.pth.tar"]), fashion_resnet(), GREY)
    with pytest.raises(CheckpointError, match=r"weights /nowhere.pth are missing"):
        build_model(compose([*overrides, "method.weights=/nowhere.pth"]), fashion_resnet(), GREY)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = compose([*overrides, "method.weights=pretrained"])
    (address,) = downloads(config)
    assert address.startswith("https://compressai.s3.amazonaws.com/models/v1/mbt2018-mean-3-")
    # An address that nobody answers: this machine's own port 9.
    monkeypatch.setattr("sc2bench.methods.neural_codecs.zoo_url", lambda prior, quality: "http://127.0.0.1:9/x.pth.tar")
    with pytest.raises(
        CheckpointError, match=r"http://127.0.0.1:9/x.pth.tar can't be downloaded .*method.weights=FILE"
    ):
        build_model(config, fashion_resnet(), GREY)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rate=9", "rate: 9 is no quality of a pretrained codec; give a whole number from 1 to 8"),
        ("rate=1.5", "rate: 1.5 is no quality"),
        ("method.prior=fatorized", r"method.prior: unknown prior 'fatorized'; did you mean 'factorized'\?"),
        ("method.layout=smal", r"method.layout: unknown value 'smal'; did you mean 'small'\?"),
    ],
)
def test_wrong_choices_are_refused(override, message):
    overrides = [*PRETRAINED, "rate=1", "stage1=null", "method.weights=random", override]
    with pytest.raises(ConfigError, match=message):
        build_model(compose(overrides), fashion_resnet(), GREY)


def test_pretrained_layout_is_not_trained():
    with pytest.raises(ConfigError, match=r"train with method\.layout=small"):
        build_model(compose([*PRETRAINED, "rate=1"]), fashion_resnet(), GREY)
