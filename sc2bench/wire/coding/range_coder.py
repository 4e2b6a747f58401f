"""A range coder over batches, compiled: each sample of a batch is a bitstream of its own.

The bytes are those of constriction's range coder, with words of 32 bits, a state of 64 bits and probabilities of 24
bits (Bamler, "Understanding entropy coding with asymmetric numeral systems", 2022), but for their end: of all
numbers in the last interval, the one with the fewest bytes is written.

A stream under way is an interval: words that are settled (a carry may still raise them), its lower end and its width.

Nothing here checks bounds of arrays. What keeps indices inside is: tables are those that `IntegerTables` takes, so each
share is at least 1 and a width never falls below 2**32; symbols' indexes are compared with the number of tables; and
places in bytes with their end. Every loop also ends by a bound of its own, whatever it is given.
"""

import numpy as np

from sc2bench.wire.coding.compiling import compiled as _compiled

PRECISION = 24
WORD_BYTES = 4
# A symbol takes at most PRECISION bits, an escaped one the 6 of its length and 34 more.
MAX_SYMBOL_BITS = PRECISION + 6 + 34
# An escaped symbol is at most 2**33 steps outside its table, so its distance has at most 34 bits.
_LENGTHS = 35
_CHUNK_BITS = 16
# Numba mixes signed and unsigned integers to floats, so whatever touches a state is unsigned.
_SHIFT = np.uint64(PRECISION)
_WHOLE = np.uint64(1 << PRECISION)
_WORD_BITS = np.uint64(32)
_LEAST_WIDTH = np.uint64(1 << 32)
_FULL_WORD = np.uint32((1 << 32) - 1)
_BYTE = np.uint64(0xFF)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1
FULL_WIDTH = np.uint64((1 << 64) - 1)

# Where to look for a quantile is known from its first bits.
_HINT_BITS = 8
_HINT_SHIFT = np.uint64(PRECISION - _HINT_BITS)

# What `decode` finds: all well, bytes that are no code, a symbol that is no int32, an index of no table.
DECODED, NO_CODE, NO_INT32, NO_TABLE = range(4)


def hints(bounds: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """For each table and each value of a quantile's first bits the entry of the least such quantile, int32 (T, H + 1).

    Args:
        bounds: uint32, (T, L), as for `encode`.
        lengths: (T,), as for `encode`.
    """
    least = np.arange((1 << _HINT_BITS) + 1) << int(_HINT_SHIFT)
    rows = [np.searchsorted(row[: length + 1], least, "right") for row, length in zip(bounds, lengths, strict=True)]
    return np.stack(rows).astype(np.int32) - 1


@_compiled
def _order(indexes, tables, order):
    """Fills `order` with the places of indexes (S,) by rising index, stably; tells whether all name a table."""
    starts = np.zeros(tables + 1, np.int64)
    for index in indexes:
        if index < 0 or index >= tables:
            return False
        starts[index + 1] += 1
    for table in range(tables):
        starts[table + 1] += starts[table]
    for place, index in enumerate(indexes):
        order[starts[index]] = place
        starts[index] += 1
    return True


@_compiled
def _narrow(words, count, lower, width, left, share):
    """Narrows an interval to `share` of its `1 << PRECISION` steps from `left` on; gives count, lower and width."""
    step = width >> _SHIFT
    moved = lower + step * left
    if moved < lower:
        _carry(words, count)
    width = step * share
    if width < _LEAST_WIDTH:
        words[count] = moved >> _WORD_BITS
        return count + 1, moved << _WORD_BITS, width << _WORD_BITS
    return count, moved, width


@_compiled
def _carry(words, count):
    place = count - 1
    while place >= 0 and words[place] == _FULL_WORD:
        words[place] = 0
        place -= 1
    if place >= 0:
        words[place] += 1


@_compiled
def _uniform(value, values):
    """Left end and share of one of `values` equally likely ones; the last has what division leaves."""
    share = _WHOLE // np.uint64(values)
    left = share * np.uint64(value)
    return left, (_WHOLE - left if value == values - 1 else share)


@_compiled
def _put_escaped(words, count, lower, width, place, length):
    """Codes a symbol that has the place `place`, outside 0 ... length - 1, in a table of `length` symbols."""
    # Even numbers lie behind the table, odd ones before it.
    folded = 2 * (place - length) if place >= length else -2 * place - 1
    bits = 0
    while bits < _LENGTHS - 1 and folded >> bits:
        bits += 1
    left, share = _uniform(bits, _LENGTHS)
    count, lower, width = _narrow(words, count, lower, width, left, share)
    for shift in range(0, bits, _CHUNK_BITS):
        values = 1 << min(_CHUNK_BITS, bits - shift)
        left, share = _uniform(folded >> shift & values - 1, values)
        count, lower, width = _narrow(words, count, lower, width, left, share)
    return count, lower, width


@_compiled
def encode(bounds, lengths, offsets, symbols, indexes, words, counts, intervals):
    """Codes one step of a batch.

    Args:
        bounds: uint32 (T, L), cumulative frequencies of the tables' symbols, the escape's last, up to 1 << PRECISION.
        lengths: int64 (T,), symbols of each table without the escape.
        offsets: int64 (T,), smallest symbol of each.
        symbols: int32, (N, S).
        indexes: int64, (N, S), or (1, S) for all samples alike.
        words: uint32, (N, W), with room for the step.
        counts: int64, (N,), how many words are settled.
        intervals: uint64, (N, 2), lower ends and widths.

    Returns:
        Whether all indexes name a table; else nothing is coded of their sample and those behind it.
    """
    samples, steps = symbols.shape
    order = np.empty(steps, np.int64)
    for sample in range(samples):
        own = indexes[min(sample, len(indexes) - 1)]
        if sample < len(indexes) and not _order(own, len(lengths), order):
            return False
        stream, values = words[sample], symbols[sample]
        count, lower, width = counts[sample], intervals[sample, 0], intervals[sample, 1]
        escaped = False
        for place in order:
            table = own[place]
            entry = np.int64(values[place]) - offsets[table]
            if entry < 0 or entry >= lengths[table]:
                entry = lengths[table]
                escaped = True
            left = np.uint64(bounds[table, entry])
            share = np.uint64(bounds[table, entry + 1]) - left
            count, lower, width = _narrow(stream, count, lower, width, left, share)
        if escaped:
            for place in range(steps):
                table = own[place]
                entry = np.int64(values[place]) - offsets[table]
                if entry < 0 or entry >= lengths[table]:
                    count, lower, width = _put_escaped(stream, count, lower, width, entry, lengths[table])
        counts[sample], intervals[sample, 0], intervals[sample, 1] = count, lower, width
    return True


@_compiled
def finish(words, counts, intervals, packed):
    """Writes the shortest byte string of each sample that, followed by zeros, lies in its interval.

    Args:
        words: uint32, (N, W), as after `encode`.
        counts: int64, (N,).
        intervals: uint64, (N, 2).
        packed: uint8, of at least 4 bytes a word and 8 a sample, filled.

    Returns:
        int64, (N + 1,): where the strings start in `packed`, and the last one ends.
    """
    starts = np.zeros(len(counts) + 1, np.int64)
    for sample in range(len(counts)):
        lower, width = intervals[sample, 0], intervals[sample, 1]
        dropped = np.uint64(64)
        distance = _ZERO - lower
        while distance >= width and dropped > _ZERO:
            dropped -= np.uint64(8)
            distance = (_ZERO - lower) & ((_ONE << dropped) - _ONE)
        number = lower + distance
        if number < lower:
            _carry(words[sample], counts[sample])
        end = starts[sample]
        for place in range(counts[sample]):
            for shift in (24, 16, 8, 0):
                packed[end] = words[sample, place] >> np.uint32(shift) & np.uint32(0xFF)
                end += 1
        for shift in (56, 48, 40, 32, 24, 16, 8, 0):
            packed[end] = number >> np.uint64(shift) & _BYTE
            end += 1
        while end > starts[sample] and packed[end - 1] == 0:
            end -= 1
        starts[sample + 1] = end
    return starts


@_compiled
def _word(data, place, end):
    """The big-endian word at `place`; zeros follow behind the end."""
    word = _ZERO
    for byte in range(place, place + 4):
        word = word << np.uint64(8) | (np.uint64(data[byte]) if byte < end else _ZERO)
    return word


@_compiled
def start(data, starts, ends, points):
    """Reads the first two words of each sample, (N,), as its first distance, uint64 (N, 2); see `decode`."""
    for sample in range(len(points)):
        place, end = starts[sample], ends[sample]
        points[sample, 0] = _word(data, place, end) << _WORD_BITS | _word(data, place + 4, end)
        points[sample, 1] = FULL_WIDTH
        starts[sample] = place + 8


@_compiled
def _advance(data, place, end, distance, width, left, share):
    """Follows the encoder into a share of the interval; gives place, distance and width."""
    step = width >> _SHIFT
    distance -= step * left
    width = step * share
    if width < _LEAST_WIDTH:
        return place + 4, distance << _WORD_BITS | _word(data, place, end), width << _WORD_BITS
    return place, distance, width


@_compiled
def _take_uniform(data, place, end, distance, width, values):
    """Decodes one of equally likely values, -1 for no code; gives it with place, distance and width."""
    quantile = distance // (width >> _SHIFT)
    if quantile >= _WHOLE:
        return -1, place, distance, width
    value = min(np.int64(quantile // (_WHOLE // np.uint64(values))), values - 1)
    left, share = _uniform(value, values)
    place, distance, width = _advance(data, place, end, distance, width, left, share)
    return value, place, distance, width


@_compiled
def _take_escaped(data, place, end, distance, width):
    """Decodes how far an escaped symbol lies outside, folded, -1 for no code; with place, distance and width."""
    bits, place, distance, width = _take_uniform(data, place, end, distance, width, _LENGTHS)
    folded = 0
    for shift in range(0, bits, _CHUNK_BITS):
        values = 1 << min(_CHUNK_BITS, bits - shift)
        chunk, place, distance, width = _take_uniform(data, place, end, distance, width, values)
        if chunk < 0:
            return -1, place, distance, width
        folded |= chunk << shift
    return (folded if bits >= 0 else -1), place, distance, width


@_compiled
def _entry(bounds, hints, quantile):
    """The entry of a row of cumulative frequencies that a quantile falls into, by bisection from its row of hints."""
    hint = quantile >> _HINT_SHIFT
    low, high = np.int64(hints[hint]), np.int64(hints[hint + _ONE]) + 1
    while high - low > 1:
        middle = (low + high) >> 1
        if bounds[middle] <= quantile:
            low = middle
        else:
            high = middle
    return low


@_compiled
def decode(bounds, hints, lengths, offsets, data, places, ends, points, indexes, symbols):
    """Decodes one step of a batch.

    Args:
        bounds: as for `encode`, like lengths and offsets.
        hints: of `hints`.
        lengths: see there.
        offsets: see there.
        data: uint8, the strings of all samples.
        places: int64, (N,), where reading goes on.
        ends: int64, (N,), where the strings end.
        points: uint64, (N, 2): how far the coded number lies above the interval's lower end, and the width.
        indexes: int64, (N, S), or (1, S) for all samples alike.
        symbols: int32, (N, S), filled.

    Returns:
        One of DECODED, NO_CODE, NO_INT32 and NO_TABLE.
    """
    samples, steps = symbols.shape
    order = np.empty(steps, np.int64)
    for sample in range(samples):
        own = indexes[min(sample, len(indexes) - 1)]
        if sample < len(indexes) and not _order(own, len(lengths), order):
            return NO_TABLE
        values, end = symbols[sample], ends[sample]
        place, distance, width = places[sample], points[sample, 0], points[sample, 1]
        escaped = False
        for at in order:
            table = own[at]
            quantile = distance // (width >> _SHIFT)
            if quantile >= _WHOLE:
                return NO_CODE
            row = bounds[table]
            entry = _entry(row, hints[table], quantile)
            left = np.uint64(row[entry])
            share = np.uint64(row[entry + 1]) - left
            place, distance, width = _advance(data, place, end, distance, width, left, share)
            values[at] = entry
            escaped |= entry == lengths[table]
        for at in range(steps):
            table = own[at]
            symbol = np.int64(values[at])
            if escaped and symbol == lengths[table]:
                folded, place, distance, width = _take_escaped(data, place, end, distance, width)
                if folded < 0:
                    return NO_CODE
                symbol = -(folded + 1) // 2 if folded % 2 else lengths[table] + folded // 2
            symbol += offsets[table]
            if symbol < _INT32_MIN or symbol > _INT32_MAX:
                return NO_INT32
            values[at] = symbol
        places[sample], points[sample, 0], points[sample, 1] = place, distance, width
    return DECODED
