"""What a server makes of packets that nobody sound sent: `PacketError`, and no work before it."""

import struct
import tracemalloc
from typing import Any

import pytest
import torch

from sc2bench.config import compose
from sc2bench.core.errors import ConfigError, InputError
from sc2bench.methods import SplitModel, build_model
from sc2bench.teachers import load_teacher
from sc2bench.wire.inputs import ImageSpec
from sc2bench.wire.packet import Limits, Packet, PacketError
from sc2bench.wire.sizing import Sizing
from tests.methods.test_methods import make
from tests.methods.test_tasks import VARIANTS
from tests.methods.test_tasks import make as make_varied

# The ways in which methods treat sizes.
METHODS = ("input_codec", "end_to_end", "channel_reduction", "feature_codec", "neural_input_codec")
VARIED = [(method, task) for method in METHODS for task in ("detection", "segmentation")]


def sized(sizing: Sizing | None, method: str, task: str) -> SplitModel:
    """A model of scenes, whose teacher scales images so."""
    config = compose([f"task=scenes_{task}", f"method={method}", *VARIANTS[method], "teacher.weights=random"])
    torch.manual_seed(0)
    teacher = load_teacher(config.teacher).eval()
    teacher.preprocess.sizing = sizing or teacher.preprocess.sizing
    model = build_model(config, teacher, ImageSpec(3))
    model.update_tables()
    return model


def count_batches(module: torch.nn.Module) -> list[int]:
    """A list that gets the number of samples of each of the module's calls."""
    sizes: list[int] = []
    module.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    return sizes


@pytest.mark.slow
def test_a_small_packet_costs_little():
    model: Any = make_varied("entropic_student", "segmentation")
    calls = count_batches(model.server.decoder)
    tracemalloc.start()
    for size in ((8192, 8192), (8192, 513), (4096, 4096)):
        with pytest.raises(PacketError, match=r"at most 4194304 are taken; scale it, or raise the limit with eval"):
            model.decode([model.encode([torch.zeros(3, 9, 9, dtype=torch.uint8)])[0], Packet(b"", b"", size)])
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()
    assert not calls


def test_small_images_that_a_network_scales_up_count_as_it_sees_them():
    model: Any = make_varied("entropic_student", "segmentation")
    model.server.sizing = model.device.preprocess.sizing = Sizing(shorter=800)
    with pytest.raises(PacketError, match="1x8000 pixels is work of 5120000000 pixels"):
        model.decode([Packet(b"", b"", (1, 8000))])
    with pytest.raises(InputError, match="1x8000 pixels is work of 5120000000 pixels"):
        model.encode([torch.zeros(3, 1, 8000, dtype=torch.uint8)])


def test_many_packets_are_decoded_in_parts():
    model: Any = make_varied("entropic_student", "segmentation")
    generator = torch.Generator().manual_seed(0)
    sizes = ((64, 96),) * 7 + ((16, 48),) * 2
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
    packets = model.encode(images)
    together = model.decode(packets)
    calls = count_batches(model.server.decoder)
    model.limits = Limits(batch_pixels=3 * 64 * 96 + 5)
    in_parts = model.decode(packets)
    assert calls == [3, 3, 1, 2]
    assert all((one == other).float().mean() > 0.99 for one, other in zip(together, in_parts, strict=True))
    model.limits = Limits(batch_pixels=1)
    assert len(model.decode(packets)) == 9
    assert calls[4:] == [1] * 9


def test_batches_of_one_size_are_decoded_in_parts_too(test_images):
    model: Any = make("entropic_student")
    packets = model.encode(test_images.images[:10])
    together = model.decode(packets)
    calls = count_batches(model.server.decoder)
    # Small images count as 64x64.
    model.limits = Limits(batch_pixels=4 * 64 * 64)
    assert torch.allclose(model.decode(packets), together, atol=1e-5)
    assert calls == [4, 4, 2]


def test_limits_are_numbers_of_pixels():
    assert make("input_codec", "evaluation.packet_pixels=100").limits == Limits(100)
    with pytest.raises(ConfigError, match=r"evaluation.batch_pixels: 0 is below the least value, 1"):
        make("input_codec", "evaluation.batch_pixels=0")


def test_no_packet_and_foreign_sizes_are_refused(test_images):
    fixed, varied = make("entropic_student"), make_varied("entropic_student", "detection")
    (packet,) = fixed.encode(test_images.images[:1])
    for model in (fixed, varied):
        with pytest.raises(PacketError, match="there is no packet to decode"):
            model.decode([])
    with pytest.raises(PacketError, match="says how large its image is, though images don't vary"):
        fixed.decode([Packet(packet.payload, size=(28, 28))])
    for size in ((0, 5), (5, 0), (-1, 3), (8193, 1)):
        with pytest.raises(PacketError, match=r"a side has 1 ... 8192"):
            varied.decode([Packet(b"", b"", size)])


@pytest.mark.parametrize(("method", "task"), VARIED)
def test_images_of_one_pixel_are_coded_or_refused(method, task):
    for sizing in (None, Sizing(shorter=40, longer=60, multiple=32)):
        model: Any = sized(sizing, method, task)
        for size in ((1, 1), (1, 300), (300, 1), (1, 8192)):
            image = torch.full((3, *size), 77, dtype=torch.uint8)
            try:
                packets = model.encode([image])
            except InputError:
                continue
            (prediction,) = model.decode(packets)
            if task == "segmentation":
                assert prediction.shape == size
            else:
                assert prediction["boxes"].isfinite().all()


@pytest.mark.parametrize("bits", [8, 16])
def test_quantized_latents_are_finite_or_refused(bits, test_images):
    model = make("channel_reduction", f"method.bits={bits}")
    (packet,) = model.encode(test_images.images[:1])
    code = ">fB" if bits == 8 else ">fH"
    for scale in (3e38, float("inf"), float("nan"), 0.0, -1.0, 1e37):
        with pytest.raises(PacketError, match="no scale of quantized latents"):
            model.decode([Packet(packet.payload, struct.pack(code, scale, 0))])
    # A scale that a float can hold, but not what the network makes of it.
    with pytest.raises(PacketError, match="values that are not finite"):
        model.decode([Packet(packet.payload, struct.pack(code, 3e38 / (2**bits - 1), 0))])


@pytest.mark.parametrize("prior", ["scale_hyperprior", "mean_scale_hyperprior"])
def test_hyperpriors_code_images_of_every_height(prior):
    model: Any = make_varied("end_to_end", "segmentation", f"method.prior={prior}")
    generator = torch.Generator().manual_seed(0)
    sizes = [(height, 40 + height % 7) for height in range(1, 36)]
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
    predictions = model.decode(model.encode(images))
    assert [prediction.shape for prediction in predictions] == sizes
    # What is sent is what training sees.
    for size, image in zip(sizes[::7], images[::7], strict=True):
        (packet,) = model.encode([image])
        with torch.no_grad():
            quantized, bits = model.device.prior(model.device(image[None]))
        assert torch.allclose(model.server.read([packet], (3, *size)), quantized, atol=1e-4)
        assert len(packet.payload) + len(packet.side_info) == pytest.approx(float(bits) / 8, rel=0.15, abs=4)


@pytest.mark.slow
def test_faults_of_the_model_are_not_blamed_on_packets(test_images):
    model: Any = make("entropic_student")
    packets = model.encode(test_images.images[:2])
    model.server.tail.fc = torch.nn.Linear(3, 10)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model.decode(packets)


def test_a_stranger_size_that_no_check_foresaw_is_a_packet_error():
    model: Any = make_varied("entropic_student", "segmentation", "method.prior=scale_hyperprior")

    def refuse(module, inputs):
        if inputs[0].shape[-1] > 30:
            raise ZeroDivisionError("division by zero")

    (packet,) = model.encode([torch.zeros(3, 9, 300, dtype=torch.uint8)])
    model.server.decoder.register_forward_pre_hook(refuse)
    with pytest.raises(PacketError, match="an image of 9x300 pixels can't be decoded \\(division by zero\\)"):
        model.decode([packet])
