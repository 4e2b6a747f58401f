"""Damaged integer tables, and damaged bytes under whole ones: refused, or coded without harm."""

from collections import Counter

import numpy as np

from sc2bench.wire.coding import CodingError, EntropyTablesDamaged, IntegerTables, SymbolCoder

_INT32 = np.iinfo(np.int32)
_EDGES = (0, 1, -1, 2, 65535, 65536, 65537, 1 << 24, _INT32.max, _INT32.min, 1 << 32, (1 << 62) + 1)


def run(count: int, seed: int) -> dict[str, int]:
    """Makes tables, most of them damaged; codes under those that are taken, and decodes damaged bytes."""
    outcomes: Counter[str] = Counter(tries=count)
    for number in range(count):
        generator = np.random.default_rng((seed, number))
        parts = _tables(generator)
        if generator.random() < 0.75:
            _damage(parts, generator)
        try:
            tables = IntegerTables(**parts, precision=16)
        except EntropyTablesDamaged:
            outcomes["tables refused"] += 1
            continue
        except Exception as error:
            raise AssertionError(f"try {number} of seed {seed}: {parts}") from error
        outcomes["tables taken"] += 1
        _code(tables, generator, outcomes, f"try {number} of seed {seed}")
    return dict(outcomes)


def _tables(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Whole tables of random sizes, with anything behind their rows."""
    count, longest = int(generator.integers(1, 5)), int(generator.integers(1, 12))
    lengths = generator.integers(1, longest + 1, count).astype(np.int32)
    cumulative = generator.integers(_INT32.min, _INT32.max, (count, longest + 2), np.int32, endpoint=True)
    for row, length in zip(cumulative, lengths, strict=True):
        inner = generator.choice(65535, length, replace=False) + 1
        row[: length + 2] = [0, *np.sort(inner), 65536]
    offsets = generator.integers(-20, 21, count).astype(np.int32)
    return {"cumulative": cumulative, "lengths": lengths, "offsets": offsets}


def _damage(parts: dict[str, np.ndarray], generator: np.random.Generator) -> None:
    name = ("cumulative", "lengths", "offsets")[generator.integers(3)]
    array = parts[name].copy()
    match int(generator.integers(6)):
        case 0 | 1 | 2:
            flat = array.reshape(-1)
            flat[generator.integers(flat.size)] ^= np.int32(1 << int(generator.integers(31)))
        case 3:
            array = array.astype((np.int64, np.uint64, np.float32, np.uint8)[generator.integers(4)])
        case 4:
            array = array.astype(np.int64)
            array.reshape(-1)[generator.integers(array.size)] = _EDGES[generator.integers(len(_EDGES))]
        case 5:
            array = (array[:-1], array[..., :-1], array.reshape(-1), array[None], array * 0)[generator.integers(5)]
    parts[name] = array


def _code(tables: IntegerTables, generator: np.random.Generator, outcomes: Counter[str], what: str) -> None:
    coder = SymbolCoder(tables)
    shape = int(generator.integers(1, 4)), int(generator.integers(0, 40))
    symbols = generator.integers(-30, 30, shape)
    far = generator.random(shape) < 0.1
    symbols[far] = generator.integers(_INT32.min, _INT32.max, far.sum(), endpoint=True)
    symbols[generator.random(shape) < 0.05] = (_INT32.min, _INT32.max)[generator.integers(2)]
    symbols = symbols.astype(np.int32)
    indexes = generator.integers(0, len(tables), shape)
    packed = coder.encode(symbols, indexes)
    assert np.array_equal(coder.decode(packed, indexes=indexes), symbols), what
    damaged = [generator.bytes(int(generator.integers(0, len(data) + 9))) for data in packed]
    if generator.random() < 0.5:
        damaged = [data[: int(generator.integers(len(data) + 1))] + generator.bytes(2) for data in packed]
    try:
        decoded = coder.decode(damaged, indexes=indexes)
    except CodingError:
        outcomes["bytes refused"] += 1
        return
    except Exception as error:
        raise AssertionError(what) from error
    assert decoded.shape == shape, what
    assert decoded.dtype == np.int32, what
    outcomes["bytes decoded"] += 1
