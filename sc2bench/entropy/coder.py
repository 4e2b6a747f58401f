"""Lossless coding of integer symbols under integer tables, with constriction's range coder."""

from collections.abc import Sequence

import numpy as np
from constriction import stream

from sc2bench.entropy.tables import IntegerTables
from sc2bench.errors import Sc2benchError

_WORD_BYTES = 4
_STATE_BITS = 64
# An escaped symbol is at most 2**33 steps outside its table, so its distance has at most 34 bits.
_LENGTH_MODEL = stream.model.Uniform(35)
_CHUNK_BITS = 16
_INT32 = np.iinfo(np.int32)


class CodingError(Sc2benchError):
    """Bytes that no symbols were coded to under these tables."""


class SymbolCoder:
    """Codes int32 symbols: axis 1 of their array chooses the table. Any int32 round-trips.

    A symbol outside its table is coded as the table's escape; all escaped values follow after the last symbol,
    each as the bit length of its distance from the table and then the bits themselves.

    Args:
        tables: one row for each index of axis 1.
    """

    def __init__(self, tables: IntegerTables):
        self.tables = tables
        # The probabilities are multiples of 2**-16 and so exact in floats: every machine builds the same models.
        self._models = [stream.model.Categorical(tables.probabilities(t), perfect=False) for t in range(len(tables))]

    def encode(self, symbols: np.ndarray) -> list[bytes]:
        """Codes a batch, each sample on its own.

        Args:
            symbols: int32, (N, T, ...).

        Returns:
            N byte strings, each the shortest that decodes to its sample.
        """
        if symbols.ndim < 2 or symbols.shape[1] != len(self.tables):
            raise ValueError(f"symbols of shape {symbols.shape} don't fit {len(self.tables)} tables on axis 1")
        count, tables = symbols.shape[:2]
        places = symbols.reshape(count, tables, -1).astype(np.int64) - self.tables.offsets[:, None]
        escapes = self.tables.lengths[:, None]
        escaped = (places < 0) | (places >= escapes)
        inside = np.where(escaped, escapes, places).astype(np.int32)
        any_escaped = escaped.reshape(count, -1).any(axis=1)
        packed = []
        for i in range(count):
            encoder = stream.queue.RangeEncoder()
            for row, model in zip(inside[i], self._models, strict=True):
                encoder.encode(row, model)
            if any_escaped[i]:
                for table, place in zip(*np.nonzero(escaped[i]), strict=True):
                    _encode_escaped(encoder, int(places[i, table, place]), int(self.tables.lengths[table]))
            packed.append(_shortest(encoder))
        return packed

    def decode(self, packed: Sequence[bytes], shape: Sequence[int]) -> np.ndarray:
        """Decodes a batch.

        Args:
            packed: N byte strings.
            shape: of one sample, (T, ...).

        Returns:
            int32, (N, *shape).

        Raises:
            CodingError: a string is not a code under these tables. Most damaged strings decode to other symbols
                instead; a checksum is what finds them.
        """
        if not shape or shape[0] != len(self.tables):
            raise ValueError(f"a shape of {tuple(shape)} does not fit {len(self.tables)} tables on axis 1")
        per_table = int(np.prod(shape[1:], dtype=np.int64))
        symbols = np.empty((len(packed), len(self.tables), per_table), dtype=np.int32)
        for sample, data in zip(symbols, packed, strict=True):
            self._decode_sample(data, sample)
        return symbols.reshape(len(packed), *shape)

    def _decode_sample(self, data: bytes, sample: np.ndarray) -> None:
        """Fills `sample`, int32 (T, S)."""
        padded = data + bytes(-len(data) % _WORD_BYTES)
        decoder = stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
        try:
            for row, model in zip(sample, self._models, strict=True):
                row[:] = decoder.decode(model, row.size)
            escaped = sample == self.tables.lengths[:, None]
            sample += self.tables.offsets[:, None]
            for table, place in zip(*np.nonzero(escaped), strict=True):
                length, offset = int(self.tables.lengths[table]), int(self.tables.offsets[table])
                sample[table, place] = _decode_escaped(decoder, length, offset)
        except AssertionError as error:  # constriction's word for an impossible code
            raise CodingError(
                "the payload is not a code under these entropy tables; it is damaged or foreign"
            ) from error


def _encode_escaped(encoder: stream.queue.RangeEncoder, place: int, length: int) -> None:
    """Codes a symbol that has the place `place`, outside 0 ... length - 1, in a table of `length` symbols."""
    # Even numbers lie behind the table, odd ones before it.
    folded = 2 * (place - length) if place >= length else -2 * place - 1
    bits = folded.bit_length()
    encoder.encode(bits, _LENGTH_MODEL)
    for shift in range(0, bits, _CHUNK_BITS):
        width = min(_CHUNK_BITS, bits - shift)
        encoder.encode(folded >> shift & (1 << width) - 1, stream.model.Uniform(1 << width))


def _decode_escaped(decoder: stream.queue.RangeDecoder, length: int, offset: int) -> int:
    bits = int(decoder.decode(_LENGTH_MODEL))
    folded = 0
    for shift in range(0, bits, _CHUNK_BITS):
        width = min(_CHUNK_BITS, bits - shift)
        folded |= int(decoder.decode(stream.model.Uniform(1 << width))) << shift
    symbol = offset - (folded + 1) // 2 if folded % 2 else offset + length + folded // 2
    if not _INT32.min <= symbol <= _INT32.max:
        raise CodingError(f"the payload decodes to {symbol}, which is no int32; it is damaged or foreign")
    return symbol


def _shortest(encoder: stream.queue.RangeEncoder) -> bytes:
    """The shortest byte string that, followed by zeros, lies in the encoder's final interval.

    The range coder's result is a number; every number of an interval decodes alike. constriction gives one in whole
    words of 32 bits. The interval's bounds are in the coder's state, so the number with the fewest bytes can be chosen.
    """
    words = encoder.get_compressed()
    if not len(words):
        return b""
    _, (lower, width) = encoder.pos()
    sealed = lower + (1 << 32) - 1 & (1 << _STATE_BITS) - 1
    # If the sealing word alone would not bound the number, constriction appends a word of zeros.
    if sealed >> 32 == (lower + width & (1 << _STATE_BITS) - 1) >> 32:
        words = words[:-1]
    number = int.from_bytes(words.astype(">u4").tobytes(), "big") << 32
    total_bytes = _WORD_BYTES * (len(words) + 1)
    start = number - ((sealed >> 32 << 32) - lower & (1 << _STATE_BITS) - 1)
    for dropped in range(_STATE_BITS // 8, -1, -1):
        step = 1 << 8 * dropped
        chosen = -(-start // step) * step
        if chosen < start + width:
            return (chosen >> 8 * dropped).to_bytes(max(total_bytes - dropped, 0), "big").rstrip(b"\0")
    raise AssertionError("an interval of the range coder is never empty")
