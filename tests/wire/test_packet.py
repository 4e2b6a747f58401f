import io
import resource
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sc2bench.config import compose
from sc2bench.methods import SplitModel, build_model
from sc2bench.teachers import fashion_resnet
from sc2bench.wire.inputs import ImageSpec
from sc2bench.wire.packet import (
    MAX_PACKET_BYTES,
    MAX_SHARED_BYTES,
    Packet,
    PacketError,
    SessionHeader,
    fingerprint,
    read_session,
    write_session,
)

HEADER = SessionHeader(fingerprint(b"model"), (16, 4, 4))
# Longer runs are those of the fuzzer.
CORRUPTIONS = 4000
# Decoding what a damaged packet says may take this much more memory than decoding a good one.
ALLOCATION_BOUND_BYTES = 1 << 22
PEAK_BOUND_BYTES = 1 << 27

sessions = st.builds(
    SessionHeader,
    st.binary(min_size=8, max_size=8),
    st.lists(st.integers(0, 5000), max_size=4).map(tuple),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=300),
    numbered=st.booleans(),
)


@given(sessions)
def test_session_header_round_trips(header):
    assert SessionHeader.from_bytes(header.to_bytes()) == header


@given(sessions, st.data())
def test_damaged_session_header_raises(header, data):
    good = header.to_bytes()
    cut = data.draw(st.integers(0, len(good) - 1))
    with pytest.raises(PacketError):
        SessionHeader.from_bytes(good[:cut])
    damaged = bytearray(good)
    damaged[cut] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PacketError):
        SessionHeader.from_bytes(bytes(damaged))


@given(sessions, st.binary(max_size=300), st.binary(max_size=200))
def test_packet_round_trips_and_its_sizes_add_up(header, payload, side_info):
    packet = Packet(payload, side_info if header.has_side_info else b"")
    data = packet.to_bytes(header)
    assert Packet.from_bytes(data, header) == packet
    sizes = packet.sizes(header)
    assert sum(sizes.values()) == len(data)
    assert sizes["payload"] == len(payload)
    assert sizes["framing"] >= 1 + 4 * header.checksum + (header.numbered and not header.checksum)


def test_framing_of_a_small_packet_is_one_byte():
    assert Packet(b"x" * 40).to_bytes(HEADER) == b"\x28" + b"x" * 40


@given(sessions, st.binary(max_size=40), st.data())
def test_every_truncation_and_extension_raises(header, payload, data):
    good = Packet(payload).to_bytes(header)
    for length in range(len(good)):
        with pytest.raises(PacketError):
            Packet.from_bytes(good[:length], header)
    with pytest.raises(PacketError):
        Packet.from_bytes(good + data.draw(st.binary(min_size=1, max_size=3)), header)


@given(st.lists(st.binary(max_size=300), max_size=5), sessions)
def test_stream_of_a_session_round_trips(payloads, header):
    stream = io.BytesIO()
    packets = [Packet(payload) for payload in payloads]
    write_session(stream, header, packets)
    stream.seek(0)
    found, received = read_session(stream)
    assert found == header
    assert list(received) == packets


def test_cut_stream_raises_and_keeps_what_came_before():
    stream = io.BytesIO()
    write_session(stream, HEADER, [Packet(b"abc"), Packet(b"defg")])
    header, packets = read_session(io.BytesIO(stream.getvalue()[:-1]))
    assert header == HEADER
    assert next(packets) == Packet(b"abc")
    with pytest.raises(PacketError, match="ends after 3 of 4 bytes"):
        next(packets)


@pytest.mark.parametrize("checksum", [True, False])
def test_numbered_streams_lose_nothing_unnoticed(checksum):
    # All alike, so that nothing but their numbers tells them apart.
    packets = [Packet(b"abc")] * 300
    plain, header = replace(HEADER, checksum=checksum), replace(HEADER, checksum=checksum, numbered=True)
    blocks = [packet.to_bytes(header, number) for number, packet in enumerate(packets)]
    assert {len(block) for block in blocks} == {len(packets[0].to_bytes(plain)) + (not checksum)}
    stream = io.BytesIO()
    write_session(stream, header, packets)
    sent = stream.getvalue()
    start = sent.index(b"".join(blocks))
    before, after = sent[:start], sent[start + sum(map(len, blocks)) :]
    # A zero, two bytes of the number 300, and a checksum.
    assert len(after) == 3 + 4 * checksum

    def arrived(changed: list[bytes], end: bytes = after) -> list[Packet]:
        found, received = read_session(io.BytesIO(before + b"".join(changed) + end))
        assert found == header
        return list(received)

    assert arrived(blocks) == packets
    moved = [*blocks[:5], blocks[7], *blocks[5:7], *blocks[8:]]
    changes = (blocks[1:], blocks[:-1], blocks[:100] + blocks[101:], [blocks[0], *blocks], [*blocks, blocks[-1]], moved)
    for changed in (*changes, blocks[:10] + blocks[266:], []):
        with pytest.raises(PacketError, match=r"not number \d+ of its stream|some are lost"):
            arrived(changed)
    for end in (b"", after[:-1], after + b"\0", b"\0\0" + after[2:]):
        with pytest.raises(PacketError, match=r"cut off|are lost|goes on behind its end"):
            arrived(blocks, end)
    # Without numbers the same goes through.
    stream = io.BytesIO()
    write_session(stream, plain, packets[1:])
    stream.seek(0)
    assert len(list(read_session(stream)[1])) == 299


def test_announced_lengths_reserve_nothing():
    huge = b"\xff\xff\xff\xff\x7f"
    tracemalloc.start()
    with pytest.raises(PacketError, match="exceeds the bound"):
        Packet.from_bytes(huge + b"abc", HEADER)
    stream = io.BytesIO()
    write_session(stream, HEADER, [])
    _, packets = read_session(io.BytesIO(stream.getvalue() + huge))
    with pytest.raises(PacketError, match=f"at most {MAX_PACKET_BYTES}"):
        next(packets)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_foreign_sessions_are_refused():
    with pytest.raises(PacketError, match="don't start with its magic"):
        SessionHeader.from_bytes(b"GIF89a" + bytes(30))
    newer = bytearray(HEADER.to_bytes())
    newer[4] = 2
    with pytest.raises(PacketError, match="format version 2"):
        SessionHeader.from_bytes(bytes(newer))
    with pytest.raises(PacketError, match="load the same checkpoint on both sides"):
        HEADER.require(SessionHeader(fingerprint(b"other"), HEADER.shape))
    with pytest.raises(PacketError, match="options"):
        HEADER.require(SessionHeader(HEADER.fingerprint, (1, 2)))
    HEADER.require(SessionHeader.from_bytes(HEADER.to_bytes()))
    renamed = replace(HEADER, fingerprint=fingerprint(b"model, in other words"), earlier=(HEADER.fingerprint,))
    renamed.require(HEADER)
    with pytest.raises(PacketError, match="options"):
        renamed.require(replace(HEADER, checksum=True))
    with pytest.raises(PacketError, match="load the same checkpoint on both sides"):
        HEADER.require(renamed)


def test_header_without_shared_bytes_is_as_before_they_existed():
    content = b"SC2B\x01\x00" + b"\x12" * 8 + b"\x03\x01\x10\x10"
    old = content + zlib.crc32(content).to_bytes(4, "big")
    header = SessionHeader(b"\x12" * 8, (1, 16, 16))
    assert header.to_bytes() == old
    assert len(replace(header, shared=b"x" * 100).to_bytes()) == len(old) + 101
    with pytest.raises(PacketError, match="options"):
        header.require(replace(header, shared=b"x"))


def test_shared_bytes_are_bounded():
    stream = io.BytesIO()
    largest = replace(HEADER, shared=bytes(MAX_SHARED_BYTES))
    write_session(stream, largest, [Packet(b"abc")])
    stream.seek(0)
    found, packets = read_session(stream)
    assert (found, list(packets)) == (largest, [Packet(b"abc")])
    with pytest.raises(PacketError, match="a session shares at most 65536 bytes, not 65537"):
        replace(HEADER, shared=bytes(MAX_SHARED_BYTES + 1)).to_bytes()


def test_side_info_must_be_announced():
    with pytest.raises(ValueError, match="does not announce"):
        Packet(b"", b"side").to_bytes(HEADER)


def student() -> SplitModel:
    torch.manual_seed(0)
    model = build_model(compose(["method=entropic_student", "rate=1"]), fashion_resnet(), ImageSpec(1, (28, 28)))
    model.update_tables()
    return model


def codec(name: str, rate: float, *overrides: str) -> SplitModel:
    config = compose(["method=input_codec", f"method.codec={name}", f"rate={rate}", *overrides])
    return build_model(config, fashion_resnet(), ImageSpec(1, (28, 28)))


MODELS = {
    "entropic_student": student,
    "jpeg": lambda: codec("jpeg", 20),
    "webp": lambda: codec("webp", 20),
    "jpeg2000": lambda: codec("jpeg2000", 20),
    "avif": lambda: codec("avif", 40),
    "heic": lambda: codec("heic", 30),
    "jpeg_xl": lambda: codec("jpeg_xl", 50),
    "hevc": lambda: codec("hevc", 30),
    "hevc_slices": lambda: codec("hevc", 30, "method.options.parameter_sets=session"),
    "jpeg_abbreviated": lambda: codec("jpeg_abbreviated", 20),
}


# Behind a checksum no damaged payload reaches a decoder, so one codec stands for all.
@pytest.mark.slow
@pytest.mark.parametrize(("name", "checksum"), [*((name, False) for name in MODELS), ("jpeg", True)])
def test_corrupted_packets_raise_or_decode_to_valid_symbols(name, checksum, test_images, capfd):
    model = MODELS[name]()
    model.checksum = checksum
    session = model.session
    good = [packet.to_bytes(session) for packet in model.encode(test_images.images[:50])]
    decode = payload_decoder(model)
    decode(Packet.from_bytes(good[0], session))
    generator = np.random.default_rng(0)

    peak_before = peak_bytes()
    tracemalloc.start()
    undetected = 0
    for _ in range(CORRUPTIONS):
        data = corrupt(good[generator.integers(len(good))], generator)
        try:
            packet = Packet.from_bytes(data, session)
            decode(packet)
            undetected += 1
        except PacketError:
            continue
    assert tracemalloc.get_traced_memory()[1] < ALLOCATION_BOUND_BYTES
    tracemalloc.stop()
    # What the image libraries allocate by themselves shows in the peak of the process.
    assert peak_bytes() - peak_before < PEAK_BOUND_BYTES
    assert undetected == 0 if checksum else undetected < CORRUPTIONS
    assert capfd.readouterr().err == ""


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def corrupt(good: bytes, generator: np.random.Generator) -> bytes:
    """Changes one to four bytes, cuts the packet off, or puts random bytes in its place; never the packet itself."""
    kind = generator.integers(4)
    if kind == 0:
        return good[: generator.integers(len(good))]
    if kind == 1:
        return generator.bytes(int(generator.integers(1, 80)))
    data = bytearray(good)
    for place in generator.choice(len(data), min(len(data), int(generator.integers(1, 5))), replace=False):
        data[place] ^= int(generator.integers(1, 256))
    return bytes(data)


def payload_decoder(model: SplitModel):
    """What turns a packet's payload back into symbols or pixels, without the network behind it."""
    server = model.server
    if hasattr(server, "prior"):

        def symbols(packet: Packet) -> None:
            from sc2bench.entropy import CodingError

            try:
                decoded = server.prior.coder.decode([packet.payload], server.shapes(model.spec.probe_shape)[0])
            except CodingError as error:
                raise PacketError(str(error)) from error
            assert decoded.shape == (1, *server.shapes(model.spec.probe_shape)[0])
            assert decoded.dtype == np.int32

        return symbols

    def pixels(packet: Packet) -> None:
        decoded = server.codec.decode_image(packet.payload, model.spec.probe_shape)
        assert decoded.shape == model.spec.probe_shape
        assert decoded.dtype == np.uint8

    return pixels


def test_decode_of_a_damaged_packet_raises_packet_error(test_images):
    for name in ("jpeg", "entropic_student"):
        model = MODELS[name]()
        with pytest.raises(PacketError):
            model.decode([Packet(b"\xff" * 200)])
