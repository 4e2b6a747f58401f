"""What enters a model or a codec is checked before anything is computed."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from sc2bench.core.errors import InputError, Sc2benchError
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.teachers import fashion_resnet
from sc2bench.wire.inputs import ImageSpec, check_coded_image
from sc2bench.wire.packet import PacketError
from tests.methods.test_methods import make
from tests.methods.test_tasks import make as make_varied

GREY = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
WRONG: dict[str, tuple[Any, str]] = {
    "floats": (GREY / 255, "images are of type float32; give uint8, 0 to 255"),
    "wide integers": (GREY.long(), "images are of type int64; give uint8"),
    "one image": (GREY[0], r"images of shape \(1, 28, 28\) are no batch; .* one image as images\[None\]"),
    "no image": (GREY[:0], "there is no image in the batch"),
    "an empty list": ([], "there is no image in the batch"),
    "colour": (GREY.expand(-1, 3, -1, -1), r"an image of shape \(3, 28, 28\) does not fit; give uint8 \(1, 28, 28\)"),
    "another size": (GREY[..., :27], r"an image of shape \(1, 28, 27\) does not fit; .* scaled to that size"),
    "no pixel": (GREY[..., :0], "does not fit"),
    "an array": (GREY.numpy(), "images are no tensors; give uint8 tensors"),
    "arrays": (list(GREY.numpy()), "images are no tensors; give uint8 tensors"),
    "a path": ("image.png", "images are of type str"),
    "a number": (3, "a int is no batch of images"),
}


@pytest.mark.parametrize("name", WRONG)
def test_models_refuse_other_images(name):
    images, sentence = WRONG[name]
    for method in ("entropic_student", "input_codec", "channel_reduction"):
        with pytest.raises(InputError, match=sentence):
            make(method).encode(images)
    if name == "floats":
        with pytest.raises(InputError, match=sentence):
            make("entropic_student").train()(images)


def test_teachers_refuse_floats():
    teacher = fashion_resnet().eval()
    with pytest.raises(InputError, match="images are of type float32; give uint8"):
        teacher(GREY / 255)
    with pytest.raises(InputError, match="there is no image"):
        teacher(GREY[:0])


def test_models_of_images_of_any_size_refuse_what_no_receiver_takes():
    model = make_varied("input_codec", "detection")
    long = torch.zeros(1, dtype=torch.uint8).expand(3, 1, 8193)
    large = torch.zeros(1, dtype=torch.uint8).expand(3, 8192, 8192)
    for images, sentence in (
        ([long], "an image of 1x8193 pixels can't be sent; a side has at most 8192"),
        (
            [large],
            "8192x8192 pixels is work of 67108864 pixels for this model, but at most 4194304 are taken; scale it,",
        ),
        ([large[:1, :9, :9]], r"shape \(1, 9, 9\) does not fit; give uint8 \(3, H, W\), channels first, of any size"),
        ([], "there is no image in the batch"),
        ([large[:, :9, :9].float()], "images are of type float32"),
    ):
        with pytest.raises(InputError, match=sentence):
            model.encode(images)
    assert len(model.encode([large[:, :9, :9], large[:, :1, :30]])) == 2


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("method", ["entropic_student", "channel_reduction", "entropy_bottleneck", "feature_codec"])
def test_latents_that_are_not_finite_are_named(method, value):
    model: Any = make(method)
    with torch.inference_mode():
        values = model.device.analyze(GREY)
        values[1, ..., -1] = value
    with pytest.raises(InputError, match="latents of image 1 of the batch are not finite"):
        model.device.code(values)


# Of the others there are no programs here; they share their check with all of their kind.
CODECS = sorted(set(IMAGE_CODECS.names()) - {"bpg", "vtm", "vvenc"})


@pytest.mark.parametrize("name", CODECS)
def test_codecs_refuse_other_images(name):
    low = (IMAGE_CODECS[name].quality_range or (None,))[0]
    codec = IMAGE_CODECS[name](low)
    good = np.zeros((1, 9, 8), np.uint8)
    wrong = (
        good / 255,
        good.astype(np.int64),
        good[0],
        np.zeros((2, 9, 8), np.uint8),
        good[:, :0],
        good.transpose(1, 2, 0),
    )
    for image in wrong:
        with pytest.raises(InputError, match="give uint8"):
            codec.encode_image(image)
        with pytest.raises(InputError, match="give uint8"):
            codec.encode(image[None])


def test_images_that_a_format_can_not_hold_are_named():
    with pytest.raises(InputError, match=r"codec 'webp' can't code an image of shape \(1, 1, 20000\) \(.*16383"):
        IMAGE_CODECS["webp"](50).encode(np.zeros((1, 1, 1, 20000), np.uint8))
    with pytest.raises(InputError, match=r"codec 'jpeg' can't code an image of shape \(1, 70000, 1\)"):
        IMAGE_CODECS["jpeg"](50).encode(np.zeros((1, 1, 70000, 1), np.uint8))


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("name", CODECS)
def test_codecs_at_the_ends_of_their_ranges_code_images_of_any_shape(name, end):
    bounds = IMAGE_CODECS[name].quality_range
    codec = IMAGE_CODECS[name](None if bounds is None else bounds[end])
    generator = np.random.default_rng(0)
    for channels in (1, 3):
        for size in ((1, 1), (1, 40), (40, 1), (9, 31), (1, 2000)):
            image = generator.integers(0, 256, (channels, *size), dtype=np.uint8)
            decoded = codec.decode_image(codec.encode_image(image), image.shape)
            assert (decoded.shape, decoded.dtype) == (image.shape, np.uint8)


def test_the_highest_quality_of_jpeg_xl_is_its_best():
    image = np.random.default_rng(0).integers(0, 256, (3, 40, 48), dtype=np.uint8)
    error = {}
    for quality in (90, 99, 100):
        codec = IMAGE_CODECS["jpeg_xl"](quality)
        error[quality] = np.abs(codec.decode_image(codec.encode_image(image), image.shape).astype(int) - image).mean()
    assert error[90] > error[99] >= error[100] > 0


def test_any_object_is_refused_in_one_sentence():
    for image in (None, 3, "text", [1, 2], np.zeros(()), np.zeros((3, 4, 5, 6), np.uint8)):
        with pytest.raises(Sc2benchError, match=re.compile("give uint8")):
            check_coded_image(image)


def test_a_spec_says_what_packets_carry_and_which_inputs_go_together():
    one, varied = ImageSpec(1, (28, 20)), ImageSpec(3)
    batch = np.zeros((3, 1, 28, 20), np.uint8)
    assert (one.varies, one.probe_shape, one.groups(batch)) == (False, (1, 28, 20), [([0, 1, 2], None)])
    assert one.collate(batch, [0, 1, 2], np.stack) is batch
    assert one.shape(None) == (1, 28, 20)
    images = [np.full((3, *size), value, np.uint8) for value, size in enumerate([(4, 5), (6, 7), (4, 5)])]
    assert (varied.varies, varied.groups(images)) == (True, [([0, 2], (4, 5)), ([1], (6, 7))])
    assert varied.collate(images, [0, 2], np.stack)[:, 0, 0, 0].tolist() == [0, 2]
    assert varied.shape((4, 5)) == (3, 4, 5)
    assert (varied.probe().shape, varied.probe().dtype) == ((1, 3, 128, 128), np.uint8)
    for spec, size, sentence in (
        (one, (28, 20), "though images don't vary; it is foreign"),
        (varied, None, "though images vary; it is foreign"),
        (varied, (0, 9), r"has 0x9 pixels; a side has 1 ... 8192"),
    ):
        with pytest.raises(PacketError, match=sentence):
            spec.shape(size)


def test_a_spec_stands_in_files_as_it_always_did():
    assert (ImageSpec(1, (28, 20)).to_list(), ImageSpec(3).to_list()) == ([1, 28, 20], [3, 0, 0])
    assert [ImageSpec.from_list(sides) for sides in ([1, 28, 20], [3, 0, 0])] == [ImageSpec(1, (28, 20)), ImageSpec(3)]
