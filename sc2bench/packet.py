"""What crosses the wire: a session header once, then one packet a sample.

Layout, all numbers big-endian, a varint being 7 bits a byte, least significant first:

    session header  magic "SC2B" | version (1) | flags (1) | fingerprint (8) | varint length + shape
                    | [varint length + shared bytes] | CRC-32 (4)
    packet          varint length of the rest | [varint height | varint width]
                    | [varint length of side information | side information] | payload | [CRC-32 (4)]

The flags say whether packets carry side information, a checksum and the size of their image, and whether the header has
shared bytes; without any, it is as it was before they existed. A checksum covers all that stands before it.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from sc2bench.errors import Sc2benchError

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
_MAX_VARINT_BYTES = 5
_MAX_HEADER_BYTES = 256 + MAX_SHARED_BYTES
_SIDE_INFO_FLAG, _CHECKSUM_FLAG, _SHARED_FLAG, _SIZE_FLAG = 1, 2, 4, 8


class PacketError(Sc2benchError):
    """Bytes that are damaged, cut off, or from another session."""


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
    """

    fingerprint: bytes
    shape: tuple[int, ...] = ()
    has_side_info: bool = False
    checksum: bool = False
    shared: bytes = b""
    has_size: bool = False

    def to_bytes(self) -> bytes:
        """The header as it is sent; raises `PacketError` for more than `MAX_SHARED_BYTES` shared bytes."""
        if len(self.shared) > MAX_SHARED_BYTES:
            raise PacketError(f"a session shares at most {MAX_SHARED_BYTES} bytes, not {len(self.shared)}")
        flags = _SIDE_INFO_FLAG * self.has_side_info | _CHECKSUM_FLAG * self.checksum
        flags |= _SHARED_FLAG * bool(self.shared) | _SIZE_FLAG * self.has_size
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
        known = _SIDE_INFO_FLAG | _CHECKSUM_FLAG | _SHARED_FLAG | _SIZE_FLAG
        if at != len(content) or flags & ~known or bool(shared) != bool(flags & _SHARED_FLAG):
            raise PacketError("the session header has content that this version does not know")
        fingerprint = content[start - FINGERPRINT_BYTES : start]
        has_side_info, checksum, has_size = (bool(flags & f) for f in (_SIDE_INFO_FLAG, _CHECKSUM_FLAG, _SIZE_FLAG))
        return cls(fingerprint, tuple(shape), has_side_info, checksum, shared, has_size)

    def require(self, other: "SessionHeader") -> None:
        """Raises `PacketError` unless `other`, a received header, belongs to the same model and tables."""
        if other.fingerprint != self.fingerprint:
            raise PacketError(
                f"the session was made by a model with fingerprint {other.fingerprint.hex()}, but this one has "
                f"{self.fingerprint.hex()}; load the same checkpoint on both sides"
            )
        if other != self:
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

    def to_bytes(self, session: SessionHeader) -> bytes:
        """The packet as it is sent; its length is the sample's rate."""
        if self.side_info and not session.has_side_info:
            raise ValueError("the packet has side information, but its session header does not announce any")
        body = self._size_bytes(session)
        body += (_varint(len(self.side_info)) if session.has_side_info else b"") + self.side_info + self.payload
        length = len(body) + CRC_BYTES * session.checksum
        if length > MAX_PACKET_BYTES:
            raise PacketError(f"a packet of {length} bytes exceeds the bound of {MAX_PACKET_BYTES}")
        content = _varint(length) + body
        return content + _crc(content) if session.checksum else content

    @classmethod
    def from_bytes(cls, data: bytes, session: SessionHeader) -> "Packet":
        """Reads one whole packet; what it allocates is bounded by the length of `data`.

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
            if end < start or _crc(data[:end]) != data[end:]:
                raise PacketError("the packet is damaged: its checksum is wrong")
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
    """Writes a header, preceded by its length, and then packets."""
    data = header.to_bytes()
    stream.write(_varint(len(data)) + data)
    for packet in packets:
        stream.write(packet.to_bytes(header))


def read_session(stream: BinaryIO) -> tuple[SessionHeader, Iterator[Packet]]:
    """Reads what `write_session` wrote; packets are read one by one as they are asked for.

    Raises:
        PacketError: here for the header, while iterating for the packets.
    """
    data = _read_block(stream, _MAX_HEADER_BYTES)
    if data is None:
        raise PacketError("the stream is empty")
    header = SessionHeader.from_bytes(data[1])

    def packets() -> Iterator[Packet]:
        while (block := _read_block(stream, MAX_PACKET_BYTES)) is not None:
            yield Packet.from_bytes(block[0] + block[1], header)

    return header, packets()


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
