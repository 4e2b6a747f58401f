"""The range coder of constriction, which others wrote: what the compiled coder must write to the last byte."""

import numpy as np
from constriction import stream

from sc2bench.wire.coding import IntegerTables

_STATE_BITS = 64


def encode(tables: IntegerTables, steps: list[tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Codes one sample's steps, each of symbols (S,) under the tables `indexes` (S,)."""
    encoder = stream.queue.RangeEncoder()
    for symbols, indexes in steps:
        places = symbols.astype(np.int64) - tables.offsets[indexes]
        lengths = tables.lengths[indexes]
        escaped = (places < 0) | (places >= lengths)
        for at in np.argsort(indexes, kind="stable"):
            model = stream.model.Categorical(tables.probabilities(indexes[at]), perfect=False)
            encoder.encode(int(lengths[at] if escaped[at] else places[at]), model)
        for at in np.flatnonzero(escaped):
            _encode_escaped(encoder, int(places[at]), int(lengths[at]))
    return _shortest(encoder)


def _encode_escaped(encoder: stream.queue.RangeEncoder, place: int, length: int) -> None:
    folded = 2 * (place - length) if place >= length else -2 * place - 1
    bits = folded.bit_length()
    encoder.encode(bits, stream.model.Uniform(35))
    for shift in range(0, bits, 16):
        width = min(16, bits - shift)
        encoder.encode(folded >> shift & (1 << width) - 1, stream.model.Uniform(1 << width))


def _shortest(encoder: stream.queue.RangeEncoder) -> bytes:
    """The shortest string in the encoder's last interval; constriction itself ends with whole words of 32 bits."""
    words = encoder.get_compressed()
    if not len(words):
        return b""
    _, (lower, width) = encoder.pos()
    sealed = lower + (1 << 32) - 1 & (1 << _STATE_BITS) - 1
    # If the sealing word alone would not bound the number, constriction appends a word of zeros.
    if sealed >> 32 == (lower + width & (1 << _STATE_BITS) - 1) >> 32:
        words = words[:-1]
    number = int.from_bytes(words.astype(">u4").tobytes(), "big") << 32
    start = number - ((sealed >> 32 << 32) - lower & (1 << _STATE_BITS) - 1)
    for dropped in range(_STATE_BITS // 8, -1, -1):
        step = 1 << 8 * dropped
        chosen = -(-start // step) * step
        if chosen < start + width:
            return (chosen >> 8 * dropped).to_bytes(max(4 * (len(words) + 1) - dropped, 0), "big").rstrip(b"\0")
    raise AssertionError("an interval of the range coder is never empty")
