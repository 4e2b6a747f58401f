"""What crosses the wire: a session header once, then one packet a sample.

Layout, all numbers big-endian, a varint being 7 bits a byte, least significant first:

    session header  magic "SC2B" | version (1) | flags (1) | fingerprint (8) | varint length + shape
                    | [varint length + shared bytes] | CRC-32 (4)
    packet          varint length of the rest | [number (1)] | [varint height | varint width]
                    | [varint length of side information | side information] | payload | [CRC-32 (4)]
    end             zero (1) | varint number of packets | [CRC-32 (4)]; only of a numbered session's stream

The flags say whether packets carry side information, a checksum and the size of their image, whether the header has
shared bytes, and whether packets are numbered; without any, it is as it was before they existed. A checksum covers all
that stands before it.

In a numbered session the receiver knows which packet comes next, so that packets that were dropped, repeated or put in
another order are noticed. With checksums a number takes no byte: the checksum covers it as if it stood there. Without,
packets carry its last 8 bits, and the end tells how many packets there were. Such a stream can't be read from its
middle, nor go on behind a lost packet; that is why numbers are an option.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from sc2bench.core.errors import ConfigError, Sc2benchError

MAGIC = b"SC2B"
VERSION = 1
FINGERPRINT_BYTES = 8
CRC_BYTES = 4
# No packet is larger, so a damaged length can't make a receiver reserve more.
MAX_PACKET_BYTES = 1 << 26
MAX_DIMENSIONS = 8
# Of an image whose size a packet gives, in pixels: a damaged size can't make a receiver reserve more.
MAX_IMAGE_SIDE = 8192
# Coding tables take hundreds of bytes; a receiver reserves no more than this for what a session shares.
MAX_SHARED_BYTES = 1 << 16
# Pixels that any image counts for in a batch: networks pad small ones, and have a cost for each.
_LEAST_WORK = 64 * 64
_MAX_VARINT_BYTES = 5
_MAX_HEADER_BYTES = 256 + MAX_SHARED_BYTES
_SIDE_INFO_FLAG, _CHECKSUM_FLAG, _SHARED_FLAG, _SIZE_FLAG, _NUMBERED_FLAG = 1, 2, 4, 8, 16
_KNOWN_FLAGS = _SIDE_INFO_FLAG | _CHECKSUM_FLAG | _SHARED_FLAG | _SIZE_FLAG | _NUMBERED_FLAG
_NUMBER_BYTES = 8


class PacketError(Sc2benchError):
    """Bytes that are damaged, cut off, or from another session."""


@dataclass(frozen=True)
class Limits:
    """What a receiver takes on itself for packets, whatever sizes they name; see `SplitModel.limits`.

    Counted are an image's pixels as it was and as the network sees it, scaled and padded: the larger number. By
    default an image may have four times the pixels of the largest that a detector of COCO sees (1333x800, padded), and
    a batch 300 images of 224x224: some hundreds of megabytes, and some gigabytes.

    Attributes:
        packet_pixels: of one packet's image.
        batch_pixels: of the images that are decoded together; more packets are decoded one part after the other.

    Raises:
        ConfigError: a number below 1.
    """

    packet_pixels: int = 1 << 22
    batch_pixels: int = 1 << 24

    def __post_init__(self) -> None:
        for name, most in (("packet_pixels", self.packet_pixels), ("batch_pixels", self.batch_pixels)):
            if most < 1:
                raise ConfigError(f"evaluation.{name}: {most} is no number of pixels; give one from 1")

    def together(self, pixels: int) -> int:
        """How many images of so many pixels are decoded together; small ones are work beyond their pixels, too."""
        return max(self.batch_pixels // max(pixels, _LEAST_WORK), 1)


@dataclass(frozen=True)
class SessionHeader:
    """What all packets of a session share; sent once.

    Attributes:
        fingerprint: names the model and the tables that both sides must have, 8 bytes.
        shape: fixed shape of one sample's symbols or image; empty if it varies.
        has_side_info: whether packets carry side information.
        checksum: whether packets end in a CRC-32.
        shared: what the payloads leave out because it is the same for all, such as a codec's tables.
        has_size: whether packets say how large their image is, because images vary.
        numbered: whether packets that are dropped, repeated or put in another order are noticed.
        earlier: fingerprints that earlier versions gave to the same model and tables; not sent.
    """

    fingerprint: bytes
    shape: tuple[int, ...] = ()
    has_side_info: bool = False
    checksum: bool = False
    shared: bytes = b""
    has_size: bool = False
    numbered: bool = False
    earlier: tuple[bytes, ...] = field(default=(), compare=False)

    def to_bytes(self) -> bytes:
        """The header as it is sent; raises `PacketError` for more than `MAX_SHARED_BYTES` shared bytes."""
        if len(self.shared) > MAX_SHARED_BYTES:
            raise PacketError(f"a session shares at most {MAX_SHARED_BYTES} bytes, not {len(self.shared)}")
        flags = _SIDE_INFO_FLAG * self.has_side_info | _CHECKSUM_FLAG * self.checksum
        flags |= _SHARED_FLAG * bool(self.shared) | _SIZE_FLAG * self.has_size | _NUMBERED_FLAG * self.numbered
        shape = b"".join(_varint(size) for size in (len(self.shape), *self.shape))
        shared = _varint(len(self.shared)) + self.shared if self.shared else b""
        content = MAGIC + bytes((VERSION, flags)) + self.fingerprint + shape + shared
        return content + _crc(content)

    @classmethod
    def from_bytes(cls, data: bytes) -> "SessionHeader":
        """Reads a header.

        Raises:
            PacketError: cut off, damaged, of another format or version.
        """
        if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
            raise PacketError("these bytes are no sc2bench session: they don't start with its magic")
        content = data[:-CRC_BYTES]
        start = len(MAGIC) + 2 + FINGERPRINT_BYTES
        if len(content) <= start:
            raise PacketError(f"the session header is cut off after {len(data)} bytes")
        if data[4] != VERSION:
            raise PacketError(f"the session has format version {data[4]}, but this is a reader of version {VERSION}")
        if _crc(content) != data[-CRC_BYTES:]:
            raise PacketError("the session header is damaged: its checksum is wrong")
        flags = data[5]
        dimensions, at = _read_varint(content, start)
        if dimensions > MAX_DIMENSIONS:
            raise PacketError(f"the session header names {dimensions} dimensions; at most {MAX_DIMENSIONS} are allowed")
        shape = []
        for _ in range(dimensions):
            size, at = _read_varint(content, at)
            shape.append(size)
        shared = b""
        if flags & _SHARED_FLAG:
            length, at = _read_varint(content, at)
            shared, at = content[at : at + length], at + length
        if at != len(content) or flags & ~_KNOWN_FLAGS or bool(shared) != bool(flags & _SHARED_FLAG):
            raise PacketError("the session header has content that this version does not know")
        fingerprint = content[start - FINGERPRINT_BYTES : start]
        has_side_info, checksum, has_size, numbered = (
            bool(flags & flag) for flag in (_SIDE_INFO_FLAG, _CHECKSUM_FLAG, _SIZE_FLAG, _NUMBERED_FLAG)
        )
        return cls(fingerprint, tuple(shape), has_side_info, checksum, shared, has_size, numbered)

    def require(self, other: "SessionHeader") -> None:
        """Raises `PacketError` unless `other`, a received header, belongs to the same model and tables."""
        if other.fingerprint not in (self.fingerprint, *self.earlier):
            raise PacketError(
                f"the session was made by a model with fingerprint {other.fingerprint.hex()}, but this one has "
                f"{self.fingerprint.hex()}; load the same checkpoint on both sides"
            )
        if replace(other, fingerprint=self.fingerprint) != self:
            raise PacketError(
                f"the session's options {other} differ from this model's, {self}; use the same configuration"
            )


@dataclass(frozen=True)
class Packet:
    """One sample on the wire.

    Attributes:
        payload: the coded symbols or image.
        side_info: what decoding the payload needs and changes from sample to sample.
        size: (height, width) of the image, where images vary; on the wire it counts as side information.
    """

    payload: bytes
    side_info: bytes = b""
    size: tuple[int, int] | None = None

    def to_bytes(self, session: SessionHeader, number: int = 0) -> bytes:
        """The packet as it is sent; its length is the sample's rate, which does not depend on the number.

        Args:
            session: the header that was sent.
            number: of the packet in a numbered session, from 0.
        """
        if self.side_info and not session.has_side_info:
            raise ValueError("the packet has side information, but its session header does not announce any")
        body = _number_bytes(session, number) + self._size_bytes(session)
        body += (_varint(len(self.side_info)) if session.has_side_info else b"") + self.side_info + self.payload
        length = len(body) + CRC_BYTES * session.checksum
        if length > MAX_PACKET_BYTES:
            raise PacketError(f"a packet of {length} bytes exceeds the bound of {MAX_PACKET_BYTES}")
        content = _varint(length) + body
        return content + _numbered_crc(content, session, number) if session.checksum else content

    @classmethod
    def from_bytes(cls, data: bytes, session: SessionHeader, number: int = 0) -> "Packet":
        """Reads one whole packet; what it allocates is bounded by the length of `data`.

        Args:
            data: of the packet.
            session: the header that was received.
            number: that the packet must have in a numbered session, from 0.

        Raises:
            PacketError: cut off, too long, or damaged where that can be seen.
        """
        length, start = _read_varint(data, 0)
        if length > MAX_PACKET_BYTES:
            raise PacketError(f"a packet of {length} bytes exceeds the bound of {MAX_PACKET_BYTES}")
        if len(data) - start != length:
            raise PacketError(f"the packet announces {length} bytes, but {len(data) - start} follow")
        end = len(data)
        if session.checksum:
            end -= CRC_BYTES
            if end < start or _numbered_crc(data[:end], session, number) != data[end:]:
                place = f", or is not number {number} of its stream" if session.numbered else ""
                raise PacketError(f"the packet is damaged{place}: its checksum is wrong")
        expected = _number_bytes(session, number)
        if data[start : min(start + len(expected), end)] != expected:
            raise PacketError(
                f"the packet is not number {number} of its stream: packets were dropped, repeated or put in another "
                "order, or it is damaged"
            )
        start += len(expected)
        size = None
        if session.has_size:
            height, start = _read_varint(data[:end], start)
            width, start = _read_varint(data[:end], start)
            size = height, width
            if not 0 < min(size) <= max(size) <= MAX_IMAGE_SIDE:
                raise PacketError(f"the packet's image has {height}x{width} pixels; a side has 1 ... {MAX_IMAGE_SIDE}")
        side_bytes = 0
        if session.has_side_info:
            side_bytes, start = _read_varint(data[:end], start)
            if side_bytes > end - start:
                raise PacketError(f"the packet announces {side_bytes} bytes of side information in {end - start}")
        return cls(data[start + side_bytes : end], data[start : start + side_bytes], size)

    def sizes(self, session: SessionHeader) -> dict[str, int]:
        """The packet's size on the wire in bytes, split by purpose; the parts add up to the length of `to_bytes`."""
        total = len(self.to_bytes(session))
        payload, side_info = len(self.payload), len(self._size_bytes(session)) + len(self.side_info)
        return {"payload": payload, "side_info": side_info, "framing": total - payload - side_info}

    def image_size_bytes(self, session: SessionHeader) -> int:
        """How many bytes of the side information say how large the image is."""
        return len(self._size_bytes(session))

    def _size_bytes(self, session: SessionHeader) -> bytes:
        if (self.size is not None) != session.has_size:
            raise ValueError("a packet gives its image's size if, and only if, its session header announces it")
        return b"" if self.size is None else b"".join(map(_varint, self.size))


def fingerprint(*parts: bytes) -> bytes:
    """Names content by 8 bytes: equal parts give equal names."""
    digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def write_session(stream: BinaryIO, header: SessionHeader, packets: Iterable[Packet]) -> None:
    """Writes a header, preceded by its length, then packets, and, if they are numbered, how many they were."""
    data = header.to_bytes()
    stream.write(_varint(len(data)) + data)
    count = 0
    for count, packet in enumerate(packets, 1):
        stream.write(packet.to_bytes(header, count - 1))
    if header.numbered:
        stream.write(_end(header, count))


def read_session(stream: BinaryIO) -> tuple[SessionHeader, Iterator[Packet]]:
    """Reads what `write_session` wrote; packets are read one by one as they are asked for.

    Raises:
        PacketError: here for the header, while iterating for the packets; of numbered packets also if some are
            missing, repeated or in another order.
    """
    data = _read_block(stream, _MAX_HEADER_BYTES)
    if data is None:
        raise PacketError("the stream is empty")
    header = SessionHeader.from_bytes(data[1])

    def packets() -> Iterator[Packet]:
        number = 0
        while (block := _read_block(stream, MAX_PACKET_BYTES)) is not None:
            if header.numbered and not block[1]:
                return _read_end(stream, header, number)
            yield Packet.from_bytes(block[0] + block[1], header, number)
            number += 1
        if header.numbered:
            raise PacketError(f"the stream ends after {number} packets without its end; it is cut off")
        return None

    return header, packets()


def _end(header: SessionHeader, count: int) -> bytes:
    """What ends the stream of a numbered session. No packet is empty there, so it can't be taken for one."""
    content = b"\0" + _varint(count)
    return content + _crc(content) if header.checksum else content


def _read_end(stream: BinaryIO, header: SessionHeader, number: int) -> None:
    """Reads what stands behind the zero; raises `PacketError` unless it ends a stream of so many packets."""
    expected = _end(header, number)[1:]
    if stream.read(len(expected)) != expected:
        raise PacketError(f"the stream ends behind packet {number} as another number of packets would; some are lost")
    if stream.read(1):
        raise PacketError(f"the stream goes on behind its end after {number} packets; it is damaged")


def _read_block(stream: BinaryIO, bound: int) -> tuple[bytes, bytes] | None:
    """Reads a varint and as many bytes as it says; `None` at the end of the stream."""
    prefix = b""
    while not prefix or prefix[-1] & 0x80:
        byte = stream.read(1)
        if not byte and not prefix:
            return None
        if not byte or len(prefix) == _MAX_VARINT_BYTES:
            raise PacketError("the stream ends or is damaged within a length")
        prefix += byte
    length, _ = _read_varint(prefix, 0)
    if length > bound:
        raise PacketError(f"the stream announces {length} bytes where at most {bound} are allowed")
    block = stream.read(length)
    if len(block) != length:
        raise PacketError(f"the stream ends after {len(block)} of {length} bytes")
    return prefix, block


def _number_bytes(session: SessionHeader, number: int) -> bytes:
    """What a packet says of its number: its last 8 bits, unless there is a checksum to cover all of it."""
    return bytes((number & 0xFF,)) if session.numbered and not session.checksum else b""


def _numbered_crc(data: bytes, session: SessionHeader, number: int) -> bytes:
    return _crc(data + number.to_bytes(_NUMBER_BYTES, "big") if session.numbered else data)


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(CRC_BYTES, "big")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and the place behind it; only its shortest spelling is accepted."""
    value = 0
    for index, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            if not byte and index:
                break
            return value, at + index + 1
    raise PacketError("a length in the packet is cut off or damaged")
