"""How large the pictures in an AVIF file are, read from their AV1 sequence headers.

What an AVIF file's container says of its size binds nobody: a decoder makes pictures as large as the stream says, and
scales them to what the container says. Some hundred bytes may hold a picture of 16384x16384.

AVIF is ISO/IEC 23000-22 in boxes of ISO/IEC 14496-12; the stream is AV1 (AOMedia, "AV1 Bitstream & Decoding Process
Specification", 5.3 to 5.5).
"""

from collections.abc import Iterator

from sc2bench.wire.packet import PacketError

_SEQUENCE_HEADER = 1
_LARGE_BOX, _TO_THE_END = 1, 0


def picture_sizes(data: bytes) -> list[tuple[int, int]]:
    """The (width, height) that each sequence header in an AVIF file announces.

    Raises:
        PacketError: no AVIF file, or one that holds more than pictures, as no still image in grey or colour does.
    """
    try:
        return [size for item in _items(data) for size in _sizes(item)]
    except (IndexError, ValueError) as error:
        raise PacketError(f"the AVIF file can't be read ({error}); it is damaged or foreign") from error


class _Bits:
    """Reads numbers from bytes, the most significant bit first; raises `IndexError` behind their end."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        """The number in the next bits."""
        end = self._at + count
        if end > 8 * len(self._data):
            raise IndexError("it ends too early")
        whole = int.from_bytes(self._data[self._at // 8 : -(-end // 8)], "big")
        self._at = end
        return whole >> -end % 8 & (1 << count) - 1

    @property
    def left(self) -> int:
        """How many bytes begin behind this place."""
        return len(self._data) - -(-self._at // 8)

    def bytes(self, count: int) -> bytes:
        """The next whole bytes."""
        start = -(-self._at // 8)
        if start + count > len(self._data):
            raise IndexError("it ends too early")
        self._at = 8 * (start + count)
        return self._data[start : start + count]


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes that stand side by side: their types and their contents."""
    bits = _Bits(data)
    while bits.left:
        length, kind, header = bits.take(32), bits.bytes(4), 8
        if length == _LARGE_BOX:
            length, header = bits.take(64), 16
        elif length == _TO_THE_END:
            length = bits.left + header
        if length < header:
            raise ValueError("a box is shorter than its header")
        yield kind, bits.bytes(length - header)


def _items(data: bytes) -> list[bytes]:
    """The contents of the file's items."""
    metas = [content for kind, content in _boxes(data) if kind == b"meta"]
    # A version and flags stand before the boxes within.
    places = [content for meta in metas for kind, content in _boxes(meta[4:]) if kind == b"iloc"]
    if len(places) != 1:
        raise ValueError("it has no single list of items")
    return [b"".join(data[start : start + length] for start, length in extents) for extents in _extents(places[0])]


def _extents(content: bytes) -> list[list[tuple[int, int]]]:
    """Where each item lies in the file: starts and lengths of its parts."""
    bits = _Bits(content)
    version, _ = bits.take(8), bits.take(24)
    offset_bits, length_bits, base_bits, index_bits = (8 * bits.take(4) for _ in range(4))
    wide = 32 if version == 2 else 16
    items = []
    for _ in range(bits.take(wide)):
        bits.take(wide)
        if version and bits.take(16):
            raise ValueError("an item does not lie in the file itself")
        bits.take(16)
        base = bits.take(base_bits)
        parts = []
        for _ in range(bits.take(16)):
            bits.take(index_bits if version else 0)
            parts.append((base + bits.take(offset_bits), bits.take(length_bits)))
        items.append(parts)
    return items


def _sizes(item: bytes) -> list[tuple[int, int]]:
    """The sizes in an item's sequence headers; raises `ValueError` for an item without one."""
    bits, sizes = _Bits(item), []
    while bits.left:
        bits.take(1)
        kind, extended, sized = bits.take(4), bits.take(1), bits.take(1)
        bits.take(1 + 8 * extended)
        unit = bits.bytes(_leb128(bits) if sized else bits.left)
        if kind == _SEQUENCE_HEADER:
            sizes.append(_sequence_size(_Bits(unit)))
    if not sizes:
        raise ValueError("an item is no picture")
    return sizes


def _leb128(bits: _Bits) -> int:
    value = 0
    for place in range(8):
        more, part = bits.take(1), bits.take(7)
        value |= part << 7 * place
        if not more:
            return value
    raise ValueError("a length does not end")


def _sequence_size(bits: _Bits) -> tuple[int, int]:
    """The largest (width, height) of a frame under a sequence header."""
    bits.take(4)
    if bits.take(1):  # reduced, as for still pictures
        bits.take(5)
    else:
        if bits.take(1):
            raise ValueError("a picture has a clock")
        delayed = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if delayed and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
    # A frame may say that it has another size, in as many bits.
    for side, count in ((width, width_bits), (height, height_bits)):
        if count > side.bit_length() + 1:
            raise ValueError(f"frames of a picture of {width}x{height} may be larger")
    return width, height
