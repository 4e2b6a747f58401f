"""What every method must keep to, tested on all of them alike."""

from dataclasses import replace

import pytest
import torch

from sc2bench.config import compose
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import METHODS
from sc2bench.core.state import unique_state
from sc2bench.entropy import EntropyTablesMissing
from sc2bench.methods import SplitModel, build_model
from sc2bench.teachers import Preprocess, Teacher, fashion_resnet, small_resnet
from sc2bench.wire.inputs import ImageSpec
from sc2bench.wire.packet import Packet, SessionHeader

SPEC = ImageSpec(1, (28, 28))
VARIANTS = {
    "teacher": [],
    "input_codec": ["rate=30"],
    "entropic_student": ["rate=1", "method.latent_channels=6"],
    "end_to_end": ["rate=1", "method.latent_channels=6"],
    "channel_reduction": ["rate=3"],
    "entropy_bottleneck": ["rate=1", "method.after=layer1"],
    "feature_codec": ["rate=30", "method.after=layer2"],
    "neural_input_codec": ["rate=1", "method.channels=[4,6,2]"],
}


def make(name: str, *overrides: str) -> SplitModel:
    torch.manual_seed(0)
    model = build_model(compose([f"method={name}", *VARIANTS[name], *overrides]), fashion_resnet().eval(), SPEC)
    model.update_tables()
    return model


def test_every_method_is_tested():
    # That of several tasks at once is tested with the tasks.
    own = {name for name in METHODS.names() if METHODS[name].__module__.startswith("sc2bench.")}
    assert own - {"multi_task"} == set(VARIANTS)


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("entropic_student", "members=[[rate=1]]", "members: method 'entropic_student' joins no experiments"),
        ("input_codec", "members=[[rate=1]]", "members: method 'input_codec' joins no experiments"),
        ("input_codec", "source=[rate=1]", "source: the device half of method 'input_codec' learns nothing"),
        ("teacher", "source=[rate=1]", "source: the device half of method 'teacher' learns nothing"),
        ("multi_task", "source=[rate=1]", "source: 'multi_task' takes the device half of its members"),
    ],
)
def test_parts_that_a_method_takes_nothing_of_are_refused(name, override, message):
    config = compose([f"method={name}", *VARIANTS.get(name, ["rate=1"]), override])
    with pytest.raises(ConfigError, match=message):
        build_model(config, fashion_resnet().eval(), SPEC)


@pytest.mark.parametrize("name", VARIANTS)
class TestEveryMethod:
    def test_packets_alone_carry_the_prediction(self, name, test_images):
        images = test_images.images[:9]
        model = make(name)
        session = SessionHeader.from_bytes(model.session.to_bytes())
        sent = [packet.to_bytes(session) for packet in model.encode(images)]
        assert len(sent) == 9
        # A second model with the same weights, as on the server.
        server = make(name)
        server.session.require(session)
        predictions = server.decode([Packet.from_bytes(data, session) for data in sent])
        assert predictions.shape == (9, 10)
        assert torch.equal(predictions, model.decode(model.encode(images)))

    def test_a_sample_does_not_depend_on_its_batch(self, name, test_images):
        images = test_images.images[:6]
        model = make(name)
        together = model.encode(images)
        alone = [packet for image in images for packet in model.encode(image[None])]
        assert together == alone

    def test_training_path_agrees_with_what_is_sent(self, name, test_images):
        images = test_images.images[:8]
        model = make(name)
        with torch.no_grad():
            outputs = model(images, features=["layer1", "layer3"])
        assert set(outputs.features) == {"layer1", "layer3"}
        if name != "input_codec":  # which decodes something else than it gets
            assert torch.allclose(outputs.prediction, model.decode(model.encode(images)), atol=1e-4)

    def test_other_weights_are_another_session(self, name):
        model = make(name)
        before = model.session
        with torch.no_grad():
            next(iter(model.server.parameters())).add_(0.1)
        assert model.session.fingerprint != before.fingerprint

    def test_checksum_costs_four_bytes(self, name, test_images):
        plain, checked = make(name), make(name, "evaluation.checksum=true")
        image = test_images.images[:1]
        sizes = [model.encode(image)[0].sizes(model.session) for model in (plain, checked)]
        assert sizes[1]["framing"] == sizes[0]["framing"] + 4
        assert sizes[1]["payload"] == sizes[0]["payload"]

    def test_state_has_each_tensor_once(self, name):
        model = make(name)
        pointers = [tensor.data_ptr() for tensor in unique_state(model).values() if tensor.numel()]
        assert len(set(pointers)) == len(pointers)


def test_codec_decodes_before_the_teacher(test_images):
    images = test_images.images[:4]
    model = make("input_codec", "method.codec=jpeg")
    decoded = model.device.codec.decode(model.device.codec.encode(images.numpy()), SPEC.probe_shape)
    with torch.no_grad():
        expected = model.server.teacher(torch.from_numpy(decoded))
    assert torch.equal(model.decode(model.encode(images)), expected)


def test_student_needs_tables(test_images):
    model = build_model(compose(["method=entropic_student", "rate=1"]), fashion_resnet(), SPEC)
    with pytest.raises(EntropyTablesMissing, match="update_tables"):
        model.encode(test_images.images[:1])
    with pytest.raises(EntropyTablesMissing, match="update_tables"):
        _ = model.session


def test_student_takes_over_the_tail_and_estimates_its_bits(test_images):
    teacher = fashion_resnet().eval()
    model = build_model(compose(["method=entropic_student", "rate=1"]), teacher, SPEC)
    model.update_tables()
    assert model.server.tail.names() == ["layer2", "layer3", "avgpool", "flatten", "fc"]
    assert torch.equal(model.server.tail.fc.weight, teacher.chain.fc.weight)
    assert model.server.tail.fc.weight is not teacher.chain.fc.weight
    images = test_images.images[:20]
    analyzed = model.analyze(images)
    estimates = model.estimate_bits(analyzed)
    # The network ran once for both, and alike: the estimate is that of the latents themselves. Sums round differently.
    with torch.no_grad():
        torch.testing.assert_close(estimates, model.device.prior(model.device(images))[1], rtol=1e-6, atol=0)
    for packet, bits in zip(model.code(analyzed), estimates.tolist(), strict=True):
        assert len(packet.payload) == pytest.approx(bits / 8, rel=0.1, abs=2)


@pytest.mark.parametrize("prior", ["scale_hyperprior", "joint_autoregressive"])
def test_sessions_that_were_named_by_the_coarser_probe_are_still_read(prior):
    model = make("entropic_student", f"method.prior={prior}")
    (earlier,) = model.session.earlier
    assert earlier != model.session.fingerprint
    model.session.require(replace(model.session, fingerprint=earlier, earlier=()))
    assert not make("entropic_student").session.earlier


def test_numbers_take_a_byte_or_none(test_images):
    image = test_images.images[:1]
    sizes = {}
    for options in ([], ["numbered"], ["checksum"], ["checksum", "numbered"]):
        model = make("input_codec", *(f"evaluation.{option}=true" for option in options))
        assert model.session.numbered == ("numbered" in options)
        sizes[tuple(options)] = sum(model.encode(image)[0].sizes(model.session).values())
    plain = sizes[()]
    assert list(sizes.values()) == [plain, plain + 1, plain + 4, plain + 4]


def test_published_bottleneck_has_the_published_size():
    from sc2bench.core.registry import BOTTLENECKS

    bottleneck = BOTTLENECKS["fp_resnet"](3, 256, 24, [])
    latents = bottleneck.encoder(torch.zeros(1, 3, 224, 224))
    assert latents.shape == (1, 24, 55, 55)
    assert bottleneck.decoder(latents).shape == (1, 256, 56, 56)
    assert sum(parameter.numel() for parameter in bottleneck.encoder.parameters()) == 138_672


def test_bottleneck_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"'fp_resnet' gives \(24, 8, 8\).*'layer1' gives \(24, 16, 16\)"):
        make("entropic_student", "method.bottleneck=fp_resnet", "method.widths=[]")
    with pytest.raises(ConfigError, match=r"method.widths: \[1, 2\] has 2 entries, but this bottleneck has 3"):
        make("entropic_student", "method.widths=[1,2]")
    with pytest.raises(ConfigError, match=r"no layer 'layr1'; did you mean 'layer1'\?"):
        make("entropic_student", "method.after=layr1")


def test_image_smaller_than_the_stride_is_refused():
    teacher = Teacher(Preprocess([0.3], [0.3]), small_resnet(channels=1, classes=10)).eval()
    config = compose(["method=entropic_student", "rate=1", "method.bottleneck=fp_resnet", "method.widths=[]"])
    with pytest.raises(ConfigError, match=r"encoder of bottleneck 'fp_resnet' can't take inputs of shape \(1, 3, 3\)"):
        build_model(config, teacher, ImageSpec(1, (3, 3)))


def test_layout_without_hyper_transforms_is_refused():
    with pytest.raises(ConfigError, match=r"'cr_small' has no hyper-transforms; choose method.prior=factorized"):
        make("entropic_student", "method.bottleneck=cr_small", "method.prior=scale_hyperprior")


def test_rate_of_channel_reduction_is_a_number_of_channels():
    for rate in ("0", "1.5"):
        with pytest.raises(ConfigError, match=f"rate: {rate}.* is no number of channels"):
            make("channel_reduction", f"rate={rate}")


def test_student_with_a_hyperprior_sends_side_information(test_images):
    model = make("entropic_student", "method.prior=mean_scale_hyperprior", "method.hyper_channels=2")
    session = SessionHeader.from_bytes(model.session.to_bytes())
    assert session.has_side_info
    packets = model.encode(test_images.images[:3])
    sizes = [packet.sizes(session) for packet in packets]
    assert all(size["side_info"] > 0 for size in sizes)
    again = [Packet.from_bytes(packet.to_bytes(session), session) for packet in packets]
    assert torch.equal(model.decode(again), model.decode(packets))
    # What computes the hyper-synthesis in another way belongs to another session, even with the same weights.
    model.device.prior.shared.hyper_decoder.forward = lambda side: torch.full((len(side), 12, 4, 4), 9.0).to(side)
    assert model.session.fingerprint != session.fingerprint
