"""Fuzzes what arrives at a server: damaged packets for every method, session headers, and streams of packets.

Each outcome is counted. Whatever is no outcome that the interface promises (another error than `PacketError`, a
prediction that is not finite, a stream whose loss goes unnoticed) ends in an `AssertionError` that says how to come
back to it.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sc2bench.config import compose
from sc2bench.methods import SplitModel, build_model
from sc2bench.teachers import load_teacher
from sc2bench.wire.inputs import ImageSpec
from sc2bench.wire.packet import Limits, Packet, PacketError, SessionHeader, fingerprint, read_session, write_session

_STUDENT = ["method=entropic_student", "rate=1", "method.latent_channels=4"]
_SCENE = ["method.bottleneck=fp_scene", "method.widths=[6,8,10]"]
_SMALL = [
    "method.layout=small",
    "method.weights=random",
    "method.channels=[4,6,2]",
    "recipe=fashion_mnist_neural_input_codec",
]
_REDUCTION = ["method=channel_reduction", "rate=3"]
# What stands for every way of turning bytes into predictions: on images of one size, and of any.
FIXED = {
    "factorized": _STUDENT,
    "scale_hyperprior": [*_STUDENT, "method.prior=scale_hyperprior"],
    "scale_hyperprior with checks": [*_STUDENT, "method.prior=scale_hyperprior", "evaluation.checksum=true"],
    "joint_autoregressive": [*_STUDENT, "method.prior=joint_autoregressive"],
    "integers of 8 bits": _REDUCTION,
    "integers of 16 bits": [*_REDUCTION, "method.bits=16"],
    "entropy_bottleneck": ["method=entropy_bottleneck", "rate=1"],
    "features": ["method=feature_codec", "rate=30", "method.after=layer2"],
    "neural": ["method=neural_input_codec", "rate=1", *_SMALL],
    **{codec: ["method=input_codec", f"method.codec={codec}", "rate=30"] for codec in ("jpeg", "webp", "avif", "heic")},
    **{codec: ["method=input_codec", f"method.codec={codec}", "rate=30"] for codec in ("jpeg_xl", "jpeg2000", "hevc")},
    "jpeg_abbreviated": ["method=input_codec", "method.codec=jpeg_abbreviated", "rate=30"],
    "teacher": ["method=teacher"],
}
VARIED = {
    "detection": ["task=scenes_detection", *_STUDENT, *_SCENE],
    "segmentation": ["task=scenes_segmentation", *_STUDENT, *_SCENE, "method.prior=mean_scale_hyperprior"],
    "integers": ["task=scenes_segmentation", *_REDUCTION, "method.bottleneck=cr_scene", "method.starts_after="],
    "features": ["task=scenes_detection", "method=feature_codec", "rate=30", "method.after=layer1"],
    "jpeg": ["task=scenes_segmentation", "method=input_codec", "rate=30"],
    "neural": ["task=scenes_segmentation", "method=neural_input_codec", "rate=1", *_SMALL],
}
_SIDES = (0, 1, 2, 3, 7, 16, 31, 33, 64, 127, 128, 256, 8192, 8193, 1 << 31)
# So that tries are quick; what is refused beyond is refused by the same lines.
_LIMITS = Limits(packet_pixels=1 << 15, batch_pixels=1 << 16)
_IMAGES = 3


@dataclass
class Target:
    """A model to decode damaged packets with.

    Attributes:
        name: of the variant.
        model: the server's half of it decodes.
        packets: good ones.
    """

    name: str
    model: SplitModel
    packets: list[Packet]


@cache
def targets() -> tuple[Target, ...]:
    """The models, small and of random weights, each with good packets of random images."""
    return tuple(_targets())


def _targets() -> Iterator[Target]:
    generator = torch.Generator().manual_seed(0)
    for name, overrides in FIXED.items():
        model = _built(["task=fashion_mnist", *overrides], ImageSpec(1, (28, 28)))
        images: Any = torch.randint(0, 256, (_IMAGES, 1, 28, 28), dtype=torch.uint8, generator=generator)
        yield Target(name, model, model.encode(images))
    for name, overrides in VARIED.items():
        model = _built([*overrides, "teacher.weights=random"], ImageSpec(3))
        sizes = ((96, 128), (33, 40), (96, 128))
        images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
        yield Target(f"{name} of any size", model, model.encode(images))


def _built(overrides: list[str], spec: ImageSpec) -> SplitModel:
    torch.manual_seed(0)
    config = compose(overrides)
    model = build_model(config, load_teacher(config.teacher).eval(), spec)
    model.limits = _LIMITS
    encoder = getattr(model.device, "encoder", None)
    if encoder is not None:
        # Of random weights latents are near zero, and all packets alike.
        with torch.no_grad():
            list(encoder.parameters())[-1].mul_(30)
    model.update_tables()
    return model


def run(count: int, seed: int) -> dict[str, int]:
    """Tries damaged things and counts what came of them.

    Args:
        count: of packets, session headers and streams each.
        seed: of the damage; equal seeds and counts give equal tries.

    Returns:
        How often each kind of thing had each outcome, by "kind: outcome", and the number of all "tries".

    Raises:
        AssertionError: what came of a try was no outcome that the interface promises.
    """
    counts: Counter[str] = Counter()
    share = max(count // (len(FIXED) + len(VARIED)), 1)
    for number, target in enumerate(targets()):
        counts += _tried("packet", share, (seed, number), lambda random, target=target: try_packets(target, random))
    counts += _tried("session header", count, (seed, 100), try_header)
    counts += _tried("stream", count, (seed, 101), try_stream)
    return {**dict(sorted(counts.items())), "tries": counts.total()}


def _tried(kind: str, count: int, seed: tuple[int, ...], attempt: Callable[[np.random.Generator], str]) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for number in range(count):
        try:
            outcomes[f"{kind}: {attempt(np.random.default_rng((*seed, number)))}"] += 1
        except Exception as error:
            raise AssertionError(f"{kind}: try {number} of seed {seed} gave {type(error).__name__}: {error}") from error
    return outcomes


def try_packets(target: Target, random: np.random.Generator) -> str:
    """Decodes damaged packets, beside a good one or alone; returns "refused" or "decoded"."""
    session = target.model.session if random.random() < 0.05 else _session_of(target)
    packets = []
    try:
        for _ in range(int(random.integers(1, 4))):
            good = target.packets[random.integers(len(target.packets))]
            if random.random() < 0.5:
                packets.append(Packet.from_bytes(damaged(good.to_bytes(session), random), session))
            else:
                packets.append(_changed(good, random))
        predictions = target.model.decode(packets)
    except PacketError:
        return "refused"
    assert len(predictions) == len(packets), f"{target.name}: {len(predictions)} predictions of {len(packets)} packets"
    _require_finite(predictions)
    return "decoded"


def _session_of(target: Target) -> SessionHeader:
    model = target.model
    return SessionHeader(bytes(8), model.shape, has_side_info=model.has_side_info, has_size=model.varies)


def _changed(packet: Packet, random: np.random.Generator) -> Packet:
    """A packet with one of its parts damaged, as one that was put together by a foreign sender."""
    kind = random.integers(4)
    if kind == 0:
        return replace(packet, payload=damaged(packet.payload, random))
    if kind == 1:
        return replace(packet, side_info=extreme(packet.side_info, random))
    if kind == 2:
        return Packet(random.bytes(int(random.integers(200))), random.bytes(int(random.integers(40))), packet.size)
    height, width = (_SIDES[i] for i in random.integers(len(_SIDES), size=2))
    return replace(packet, size=None if random.random() < 0.1 else (height, width))


def damaged(good: bytes, random: np.random.Generator) -> bytes:
    """Bytes with some flipped, cut off, added, or others in their place."""
    kind = random.integers(6)
    if kind == 0:
        return good[: random.integers(len(good) + 1)]
    if kind == 1:
        return random.bytes(int(random.integers(80)))
    if kind == 2:
        return good + random.bytes(int(random.integers(1, 5)))
    data = bytearray(good)
    for _ in range(int(random.integers(1, 5))):
        if data:
            data[random.integers(len(data))] = random.integers(256)
    return bytes(data)


def extreme(good: bytes, random: np.random.Generator) -> bytes:
    """Damaged bytes, or of the same length such as give the extremes of numbers."""
    if random.random() < 0.5 or not good:
        return damaged(good, random)
    pattern = (b"\x00", b"\xff", b"\x7f\x7f\xff\xff", b"\x7f\x80", b"\x7f\xff", b"\x80", b"\x00\x00\x00\x01")
    chosen = pattern[random.integers(len(pattern))]
    return (chosen * len(good))[: len(good)]


def _require_finite(value: Any) -> None:
    if isinstance(value, Tensor):
        assert not value.is_floating_point() or value.isfinite().all(), "a prediction is not finite"
        return
    for item in value.values() if isinstance(value, dict) else value:
        _require_finite(item)


def try_header(random: np.random.Generator) -> str:
    """Reads a damaged session header; returns "refused", or "the same" where the damage changed nothing."""
    good = _header(random).to_bytes()
    data = damaged(good, random)
    try:
        SessionHeader.from_bytes(data)
    except PacketError:
        return "refused"
    assert data == good, f"damage went unnoticed: {good.hex()} became {data.hex()}"
    return "the same"


def _header(random: np.random.Generator) -> SessionHeader:
    sides = tuple(map(int, random.integers(0, 5000, random.integers(4))))
    flags = [bool(flag) for flag in random.integers(2, size=4)]
    return SessionHeader(
        fingerprint(random.bytes(4)),
        sides,
        has_side_info=flags[0],
        checksum=flags[1],
        shared=random.bytes(int(random.integers(30))),
        has_size=flags[2],
        numbered=flags[3],
    )


def try_stream(random: np.random.Generator) -> str:
    """Reads a stream whose packets were dropped, repeated, exchanged or damaged.

    Returns:
        "refused", "the same" where nothing was changed, or "other packets". The last is never seen of a session with
        checksums and numbers; of one with numbers alone only where bytes within packets were damaged.
    """
    header = _header(random)
    packets = [_packet(header, random) for _ in range(int(random.integers(1, 6)))]
    stream = io.BytesIO()
    write_session(stream, header, packets)
    sent = stream.getvalue()
    moved = bool(random.random() < 0.6)
    data = _rearranged(sent, header, packets, random) if moved else damaged(sent, random)
    try:
        found, received = read_session(io.BytesIO(data))
        arrived = list(received)
    except PacketError:
        return "refused"
    if data == sent:
        assert (found, arrived) == (header, packets), "a stream as it was sent gives other packets"
        return "the same"
    assert not (header.numbered and (header.checksum or moved)), "a change of a numbered stream went unnoticed"
    return "other packets"


def _packet(header: SessionHeader, random: np.random.Generator) -> Packet:
    side_info = random.bytes(int(random.integers(5))) if header.has_side_info else b""
    height, width = map(int, random.integers(1, 300, 2))
    return Packet(random.bytes(int(random.integers(12))), side_info, (height, width) if header.has_size else None)


def _rearranged(sent: bytes, header: SessionHeader, packets: list[Packet], random: np.random.Generator) -> bytes:
    """The stream with one packet dropped, repeated, or moved to another place."""
    blocks = [packet.to_bytes(header, number) for number, packet in enumerate(packets)]
    first = sent.index(b"".join(blocks))
    last = first + sum(map(len, blocks))
    kind, place = random.integers(3), int(random.integers(len(blocks)))
    if kind == 0:
        blocks.pop(place)
    elif kind == 1:
        blocks.insert(place, blocks[place])
    else:
        blocks.insert(int(random.integers(len(blocks))), blocks.pop(place))
    return sent[:first] + b"".join(blocks) + sent[last:]
