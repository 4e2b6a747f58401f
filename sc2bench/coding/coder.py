"""Lossless coding of integer symbols under integer tables, with constriction's range coder."""

from collections.abc import Iterator, Sequence

import numpy as np
from constriction import stream

from sc2bench.coding.tables import IntegerTables
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
    """Codes int32 symbols under tables that their indexes choose. Any int32 round-trips.

    A symbol outside its table is coded as the table's escape; the escaped values of a step follow behind its last
    symbol, each as the bit length of its distance from the table and then the bits themselves.

    Args:
        tables: what the indexes refer to.
    """

    def __init__(self, tables: IntegerTables):
        self.tables = tables
        # The probabilities are multiples of 2**-16 and so exact in floats: every machine builds the same models.
        self._models = [stream.model.Categorical(tables.probabilities(t), perfect=False) for t in range(len(tables))]

    def encode(self, symbols: np.ndarray, indexes: np.ndarray | None = None) -> list[bytes]:
        """Codes a batch, each sample on its own.

        Args:
            symbols: int32, (N, ...).
            indexes: which table each symbol is coded under, integers in the same shape; `None`: its place on axis 1.

        Returns:
            N byte strings, each the shortest that decodes to its sample.
        """
        if indexes is None:
            indexes = np.broadcast_to(self._channel_indexes(symbols.shape[1:]), symbols.shape)
        packed = []
        for sample, sample_indexes in zip(symbols, indexes, strict=True):
            encoder = SymbolEncoder(self)
            encoder.put(sample.ravel(), sample_indexes.ravel())
            packed.append(encoder.finish())
        return packed

    def decode(
        self, packed: Sequence[bytes], shape: Sequence[int] = (), indexes: np.ndarray | None = None
    ) -> np.ndarray:
        """Decodes a batch.

        Args:
            packed: N byte strings.
            shape: of one sample; not needed with indexes.
            indexes: as for `encode`, (N, ...).

        Returns:
            int32, (N, *shape).

        Raises:
            CodingError: a string is not a code under these tables. Most damaged strings decode to other symbols
                instead; a checksum is what finds them.
        """
        if indexes is None:
            indexes = np.broadcast_to(self._channel_indexes(shape), (len(packed), *shape))
        symbols = np.empty(indexes.shape, dtype=np.int32)
        for sample, data, sample_indexes in zip(symbols, packed, indexes, strict=True):
            sample[...] = SymbolDecoder(self, data).take(sample_indexes.ravel()).reshape(sample.shape)
        return symbols

    def _channel_indexes(self, shape: Sequence[int]) -> np.ndarray:
        """The place on the first axis of a sample of this shape."""
        if not shape or shape[0] != len(self.tables):
            raise ValueError(f"symbols of shape {tuple(shape)} don't fit {len(self.tables)} tables on axis 1")
        return np.arange(len(self.tables)).reshape(-1, *(1,) * (len(shape) - 1)) + np.zeros(shape, np.int64)

    def _runs(self, indexes: np.ndarray) -> Iterator[tuple[stream.model.Categorical, np.ndarray]]:
        """The tables that occur, by rising index, each with the places of its symbols: one call a table is quick."""
        order = np.argsort(indexes, kind="stable")
        ordered = indexes[order]
        ends = [*(np.flatnonzero(np.diff(ordered)) + 1), len(order)]
        start = 0
        for end in ends if len(order) else ():
            yield self._models[ordered[start]], order[start:end]
            start = end


class SymbolEncoder:
    """One sample's symbols on their way to bytes, step by step.

    Args:
        coder: brings the tables.
    """

    def __init__(self, coder: SymbolCoder):
        self._coder = coder
        self._encoder = stream.queue.RangeEncoder()

    def put(self, symbols: np.ndarray, indexes: np.ndarray) -> None:
        """Codes one step: int32 symbols (S,) under the tables `indexes` (S,)."""
        tables = self._coder.tables
        places = symbols.astype(np.int64) - tables.offsets[indexes]
        lengths = tables.lengths[indexes]
        escaped = (places < 0) | (places >= lengths)
        inside = np.where(escaped, lengths, places).astype(np.int32)
        for model, run in self._coder._runs(indexes):
            self._encoder.encode(inside[run], model)
        for place in np.flatnonzero(escaped):
            _encode_escaped(self._encoder, int(places[place]), int(lengths[place]))

    def finish(self) -> bytes:
        """The shortest byte string that decodes to all steps."""
        return _shortest(self._encoder)


class SymbolDecoder:
    """The inverse of `SymbolEncoder`: the same steps, with the same indexes, give the symbols.

    Args:
        coder: brings the tables.
        data: one sample's bytes.
    """

    def __init__(self, coder: SymbolCoder, data: bytes):
        self._coder = coder
        padded = data + bytes(-len(data) % _WORD_BYTES)
        self._decoder = stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))

    def take(self, indexes: np.ndarray) -> np.ndarray:
        """Decodes one step, int32 (S,); raises `CodingError` if the bytes are no code under the tables."""
        tables = self._coder.tables
        symbols = np.empty(len(indexes), np.int32)
        try:
            for model, run in self._coder._runs(indexes):
                symbols[run] = self._decoder.decode(model, len(run))
            lengths, offsets = tables.lengths[indexes], tables.offsets[indexes]
            escaped = symbols == lengths
            symbols += offsets
            for place in np.flatnonzero(escaped):
                symbols[place] = _decode_escaped(self._decoder, int(lengths[place]), int(offsets[place]))
        except AssertionError as error:  # constriction's word for an impossible code
            raise CodingError(
                "the payload is not a code under these entropy tables; it is damaged or foreign"
            ) from error
        return symbols


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
