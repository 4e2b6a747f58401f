"""What the author of a plugin runs: one check for each kind of thing that can be added.

Each check uses the thing as the package does, on inputs of its own, and compares what comes out with what the interface
promises. It raises `AssertionError` with a sentence, or what the thing itself raised. In a test file of your own:

    from sc2bench.testing import check_codec

    def test_codec():
        check_codec("my_codec", 50)

The package's own methods, codecs, data sets, losses, bottlenecks and priors pass the same checks.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sc2bench.bottlenecks.entropic import small_hyper
from sc2bench.codecs.base import ImageCodec
from sc2bench.config import TaskConfig, completed, compose
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import BOTTLENECKS, DATASETS, IMAGE_CODECS, LOSSES, PRIORS
from sc2bench.data import ImageSet, MemoryImages, load_dataset
from sc2bench.entropy import Coded, LatentCodec
from sc2bench.methods import Outputs, SplitModel
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.trained import build_untrained
from sc2bench.tasks.image_classification import ImageClassification
from sc2bench.training.loss import LossContext, Need, Step
from sc2bench.wire.coding import CodingError
from sc2bench.wire.packet import Packet, PacketError, SessionHeader

_SEED = 0
# Damaged copies that are tried of each packet.
_DAMAGES = 40
# How far results of a batch may be from those of single samples: sums are made in another order.
_TOLERANCE = 1e-3
_SPLITS = ("train", "validation", "test")


def check_codec(name: str, quality: float | None = None, **options: str) -> None:
    """Checks an image codec: `IMAGE_CODECS[name](quality, **options)`.

    It must code grey and colour images of even, odd and tiny sizes to equal bytes each time, decode them to images of
    the same shape that resemble them, answer damaged bytes with `PacketError` or an image of that shape, and refuse
    qualities outside its range.
    """
    codec: ImageCodec = IMAGE_CODECS[name](quality, **options)
    assert codec.name == name, f"codec '{name}' calls itself '{codec.name}'"
    if codec.quality_range is None:
        _raises(ConfigError, lambda: IMAGE_CODECS[name](1.0, **options), f"codec '{name}' takes a quality it has not")
    else:
        beyond = codec.quality_range[1] + 1
        _raises(ConfigError, lambda: IMAGE_CODECS[name](beyond, **options), f"codec '{name}' takes quality {beyond:g}")
    for channels in (1, 3):
        for height, width in ((64, 48), (37, 53), (9, 8)):
            _check_coded(codec, _picture(channels, height, width))


def _check_coded(codec: ImageCodec, image: np.ndarray) -> None:
    images = np.stack([image, image[:, ::-1].copy()])
    channels, height, width = image.shape
    coded = codec.encode(images)
    what = f"codec '{codec.name}', images of shape {image.shape}"
    assert len(coded) == 2, f"{what}: {len(coded)} results for two images"
    assert all(isinstance(data, bytes) for data in coded), f"{what}: coded images are no bytes"
    assert codec.encode(images) == coded, f"{what}: the same images give other bytes the second time"
    decoded = codec.decode(coded, (channels, height, width))
    assert decoded.dtype == np.uint8, f"{what}: decoded to {decoded.dtype} instead of uint8"
    assert decoded.shape == images.shape, f"{what}: decoded to shape {decoded.shape} instead of {images.shape}"
    own, other = (np.abs(decoded.astype(int) - wanted).mean() for wanted in (images, images[::-1]))
    assert own <= other, f"{what}: decoded images resemble another one more than their own"
    for damaged in _damaged(coded[0]):
        result = _result_or(PacketError, partial(codec.decode, [damaged], (channels, height, width)), what)
        assert result is None or result.shape == (1, *image.shape), f"{what}: damaged bytes give another shape"


def check_prior(name: str, channels: int = 6, hyper_channels: int = 4) -> LatentCodec:
    """Checks a prior: `PRIORS[name](channels, hyper_channels, transforms)`.

    Its differentiable path must give latents of their own shape, estimated bits, and gradients; its coder must give
    bytes that decode to what the evaluation path gives, alike for one sample and for many, and near the estimate;
    damaged bytes must raise `CodingError` or `PacketError`, or give latents of the right shape.

    Returns:
        The prior, with tables.
    """
    torch.manual_seed(_SEED)
    prior: LatentCodec = PRIORS[name](channels, hyper_channels, small_hyper(channels))
    latents = (4 * torch.randn(5, channels, 8, 8)).requires_grad_()
    seen, bits = prior.train()(latents)
    assert seen.shape == latents.shape, f"prior '{name}': latents of shape {latents.shape} become {seen.shape}"
    assert bits is not None, f"prior '{name}' estimates no bits"
    assert bits.shape == (5,), f"prior '{name}': bits of shape {tuple(bits.shape)} instead of one number a sample"
    bits.sum().backward()
    assert latents.grad is not None, f"prior '{name}': the bits have no gradient with respect to the latents"
    prior.eval().requires_grad_(False)
    prior.update_tables()
    latents = latents.detach()
    coded = prior.compress(latents)
    assert len(coded) == 5, f"prior '{name}': {len(coded)} items for 5 samples"
    for place in range(5):
        alone = prior.compress(latents[place : place + 1])[0]
        assert alone == coded[place], f"prior '{name}': sample {place} alone gives other bytes than in a batch"
    shapes = prior.shapes(tuple(latents.shape[1:]))
    decoded = prior.server_part.decompress(coded, shapes)
    errors = (decoded - latents).abs()
    assert errors.max() <= 0.5 + _TOLERANCE, f"prior '{name}': decoded latents are {errors.max():.2f} off, not rounded"
    sent = sum(8 * (len(item.payload) + len(item.side_info)) for item in coded)
    estimate = prior.estimate_bits(latents)
    assert estimate is not None, f"prior '{name}' estimates no bits in evaluation"
    expected = float(estimate.sum())
    # Of latents that a fresh prior takes for impossible the estimate is bounded, and an escape costs less.
    assert sent >= 0.7 * expected, f"prior '{name}' estimates {expected:.0f} bits where {sent} are sent"
    assert sent <= 1.2 * expected + 5 * 64, f"prior '{name}' estimates {expected:.0f} bits where {sent} are sent"
    for damaged in _damaged(coded[0].payload):
        item = Coded(damaged, coded[0].side_info)
        result = _result_or(
            (CodingError, PacketError),
            partial(prior.server_part.decompress, [item], shapes),
            f"prior '{name}'",
        )
        assert result is None or result.shape == latents[:1].shape, f"prior '{name}': damaged bytes give another shape"
    return prior


def check_bottleneck(
    name: str, *, input_shape: Sequence[int] = (3, 64, 64), target_shape: Sequence[int], latent_channels: int = 12
) -> None:
    """Checks a bottleneck: `BOTTLENECKS[name](input channels, target channels, latent_channels, [])`.

    Args:
        name: in the registry.
        input_shape: (C, H, W) of what the encoder sees.
        target_shape: (C, H, W) of the layer's output that the decoder must give for it.
        latent_channels: of the latents.
    """
    torch.manual_seed(_SEED)
    bottleneck = BOTTLENECKS[name](input_shape[0], target_shape[0], latent_channels, [])
    inputs = torch.randn(2, *input_shape)
    latents = bottleneck.encoder(inputs)
    what = f"bottleneck '{name}'"
    assert latents.shape[:2] == (2, latent_channels), f"{what}: latents of shape {tuple(latents.shape)}"
    assert bottleneck.latent_channels == latent_channels, f"{what} says {bottleneck.latent_channels} latent channels"
    decoder = bottleneck.decoder_for(tuple(latents.shape[1:]), tuple(target_shape))
    outputs = decoder(latents)
    assert outputs.shape == (2, *target_shape), f"{what}: gives {tuple(outputs.shape[1:])} instead of {target_shape}"
    outputs.square().mean().backward()
    for part, module in (("encoder", bottleneck.encoder), ("decoder", decoder)):
        idle = [key for key, parameter in module.named_parameters() if parameter.grad is None]
        assert not idle, f"{what}: {part} parameters {idle} have no gradient"
    if bottleneck.hyper is not None:
        analysis, synthesis = bottleneck.hyper(4, 2)
        side = analysis(latents)
        assert side.shape[:2] == (2, 4), f"{what}: side latents of shape {tuple(side.shape)} instead of 4 channels"
        assert synthesis(side).shape[1] == 2 * latent_channels, f"{what}: the hyper-synthesis gives other channels"


def check_dataset(task: TaskConfig | str, *overrides: str) -> None:
    """Checks a data set by the task that reads it.

    Every split must give batches that fit its input spec, the same image alone and in a batch, targets for each image,
    a fingerprint that another reading gives, too, and fair parts that lie within each other; no image of training may
    be one of validation or test.

    Args:
        task: its configuration, or the name of a task's file.
        overrides: `key=value`, where a name is given.
    """
    config = compose([f"task={task}", "method=teacher", *overrides]).task if isinstance(task, str) else completed(task)
    contents: dict[str, set[str]] = {}
    for split in _SPLITS:
        data = load_dataset(config, split)
        again = DATASETS[config.dataset](config, split)
        _check_split(data, f"{config.dataset}/{split}")
        assert again.fingerprint == data.fingerprint, f"{config.dataset}/{split}: its fingerprint changes"
        contents[split] = {_digest(data[place][0]) for place in range(min(len(data), 500))}
    for split in ("validation", "test"):
        shared = contents["train"] & contents[split]
        assert not shared, f"{config.dataset}: {len(shared)} images of training are in {split}, too"


def _check_split(data: ImageSet, what: str) -> None:
    assert len(data), f"{what} is empty"
    count = min(4, len(data))
    images, targets = data[:count]
    data.spec.check(images)
    assert len(images) == len(targets) == count, f"{what}: {len(images)} images, {len(targets)} targets in a batch of 4"
    for place in range(count):
        assert _digest(data[place][0]) == _digest(images[place]), f"{what}: image {place} alone is another one"
    if data.strata is not None:
        assert len(data.strata) == len(data), f"{what}: {len(data.strata)} strata for {len(data)} samples"
    half, quarter = data.part(max(len(data) // 2, 1)), data.part(max(len(data) // 4, 1))
    assert len(half) == max(len(data) // 2, 1), f"{what}: a part of {len(data) // 2} has {len(half)} samples"
    if len(data) <= 500:
        within = {_digest(half[place][0]) for place in range(len(half))}
        smaller = {_digest(quarter[place][0]) for place in range(len(quarter))}
        assert smaller <= within, f"{what}: a smaller part does not lie within a larger one"


def check_method(overrides: Sequence[str]) -> SplitModel:
    """Checks a method, built as `sc2bench.build(overrides)` builds it, on images of the task's data.

    Every image must become one packet, the same each time, in a batch as alone; packets must decode, from their bytes,
    to one prediction an image; damaged packets must raise `PacketError` or decode; a second model with the same weights
    must read them; and what training sees must be `Outputs`.

    Returns:
        The model, with tables.
    """
    experiment = Experiment(compose(overrides))
    data = experiment.dataset(experiment.config.evaluation.split)
    build = partial(build_untrained, experiment)
    torch.manual_seed(_SEED)
    model = build()
    images = data.sample(3)
    _check_training(model, images, data)
    model.eval()
    model.update_tables()
    packets = model.encode(images)
    what = f"method '{experiment.config.method.name}'"
    assert len(packets) == 3, f"{what}: {len(packets)} packets for 3 images"
    assert model.encode(images) == packets, f"{what}: the same images give other packets the second time"
    for place in range(3):
        alone = model.encode(images[place : place + 1])[0]
        assert alone == packets[place], f"{what}: image {place} alone gives another packet than in a batch"
    session = model.session
    data_sent = [packet.to_bytes(session) for packet in packets]
    for packet, sent in zip(packets, data_sent, strict=True):
        assert Packet.from_bytes(sent, session) == packet, f"{what}: a packet does not survive its bytes"
        assert sum(packet.sizes(session).values()) == len(sent), f"{what}: the parts of a packet's size don't add up"
    predictions = model.decode(packets)
    assert len(predictions) == 3, f"{what}: {len(predictions)} predictions for 3 packets"
    if isinstance(predictions, Tensor):
        assert predictions.isfinite().all(), f"{what}: predictions are not finite"
        singly = torch.cat([model.decode([packet]) for packet in packets])
        assert torch.allclose(predictions, singly, _TOLERANCE, _TOLERANCE), f"{what}: packets alone decode to others"
    _check_copy(model, build, session, packets, what)
    for damaged in _damaged(packets[0].payload):
        broken = Packet(damaged, packets[0].side_info, packets[0].size)
        _result_or(PacketError, partial(model.decode, [broken]), what)
    return model


def check_loss(name: str, **options: Any) -> None:
    """Checks a loss, registered by `register_loss`, on outputs of two layers of a classifier.

    It must give a scalar that is finite, has a gradient with respect to the student's outputs, and does not grow when
    the student agrees with the teacher; parameters of its own must have gradients, too.

    Args:
        name: in the registry.
        options: of its `config_class`.
    """
    torch.manual_seed(_SEED)
    loss_class = LOSSES[name]
    shapes = {"layer1": (6, 4, 4), "fc": (10,)}
    config = loss_class.config_class(name, weight=1.0, **options)
    loss = loss_class(config, LossContext(list(shapes), 10, shapes, lambda: shapes)).train()
    targets = torch.arange(8) % 10
    task = ImageClassification(MemoryImages(torch.zeros(8, 1, 4, 4, dtype=torch.uint8), targets, [*"0123456789"]))
    teacher = {key: torch.randn(8, *shape) for key, shape in shapes.items()}
    student = {key: torch.randn(8, *shape).requires_grad_() for key, shape in shapes.items()}
    bits, distortion = (torch.rand(8).mul(50).requires_grad_() for _ in range(2))
    outputs = Outputs(student["fc"], student, bits, distortion=distortion)
    value = loss(Step(outputs, teacher["fc"], teacher, targets, task, tuple(shapes)))
    assert value.ndim == 0, f"loss '{name}' gives a tensor of shape {tuple(value.shape)} instead of a scalar"
    assert value.isfinite(), f"loss '{name}' gives {value.item()}"
    value.backward()
    seen = [tensor for tensor in (*student.values(), bits, distortion) if tensor.grad is not None]
    assert seen, f"loss '{name}' has no gradient with respect to anything that the student gives"
    idle = [key for key, parameter in loss.named_parameters() if parameter.grad is None]
    assert not idle, f"loss '{name}': its parameters {idle} have no gradient"
    if Need.FEATURES in loss.needs and not list(loss.parameters()):
        same = Outputs(teacher["fc"], teacher, bits, distortion=distortion)
        agreed = loss(Step(same, teacher["fc"], teacher, targets, task, tuple(shapes)))
        assert agreed <= value, f"loss '{name}' is larger where student and teacher agree"


def _check_training(model: SplitModel, images: Any, data: ImageSet) -> None:
    outputs = model.train()(images, data[:3][1])
    assert isinstance(outputs, Outputs), f"{type(model).__name__}: forward gives {type(outputs).__name__}, not Outputs"
    assert outputs.prediction is not None, f"{type(model).__name__}: forward gives no prediction"
    if outputs.bits is not None:
        assert outputs.bits.shape == (len(images),), f"{type(model).__name__}: bits are not one number a sample"


def _check_copy(
    model: SplitModel, build: Callable[[], SplitModel], session: SessionHeader, packets: list[Packet], what: str
) -> None:
    other = build().eval()
    other.load_state_dict(model.state_dict())
    assert other.session == session, f"{what}: a model with the same weights announces another session"
    own, its = model.decode(packets), other.decode(packets)
    if isinstance(own, Tensor):
        assert torch.equal(own, its), f"{what}: a model with the same weights predicts something else"


def _picture(channels: int, height: int, width: int) -> np.ndarray:
    """Something smooth with an edge and a little noise, uint8 (C, H, W), unlike itself upside down."""
    generator = np.random.default_rng(_SEED)
    rows, columns = np.mgrid[:height, :width]
    base = 40 + 120 * rows / height + 60 * (columns > width / 3)
    noise = generator.normal(0, 4, (channels, height, width))
    tints = np.linspace(-15, 15, channels)[:, None, None] if channels > 1 else 0
    return (base + tints + noise).clip(0, 255).astype(np.uint8)


def _damaged(data: bytes) -> Iterable[bytes]:
    """Copies with flipped bits, cut off, and with more at their end."""
    generator = np.random.default_rng(_SEED)
    for number in range(_DAMAGES if data else 0):
        changed = bytearray(data)
        changed[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
        yield bytes(changed)
        yield data[: len(data) * number // _DAMAGES]
    yield data + b"\0more"


def _result_or(kinds: type[Exception] | tuple[type[Exception], ...], function: Callable[[], Any], what: str) -> Any:
    """What a function gives; `None` for an error of the kinds that damage may raise."""
    try:
        return function()
    except kinds:
        return None
    except Exception as error:
        raise AssertionError(
            f"{what}: damaged bytes raise {type(error).__name__} ({error}); turn it into PacketError"
        ) from error


def _raises(kind: type[Exception], function: Callable[[], Any], sentence: str) -> None:
    try:
        function()
    except kind:
        return
    raise AssertionError(sentence)


def _digest(image: Any) -> str:
    values = np.asarray(image)
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest()
