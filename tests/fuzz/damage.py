"""Ways in which bytes come to harm: by disks and lines, and by those who know the format."""

import re

import numpy as np

_NUMBERS = (b"0", b"-1", b"7", b"1e400", b"NaN", b"1.5", b"null", b"true", b'"x"', b"[]", b"{}", b"2147483648")
_HUGE = (b"9223372036854775807", b"18446744073709551616", b"9" * 400, b"[" * 3000)
_TOKEN = re.compile(rb'-?\d+(?:\.\d+)?|"[^"\x00-\x1f]{0,60}"|null|true|false')
# Headers lie at the beginning, directories of archives at the end; numbers in between are not worth as many tries.
_EDGE = 4096


def flip(data: bytes, generator: np.random.Generator) -> bytes:
    """One flipped bit."""
    changed = bytearray(data)
    changed[_place(len(data), generator)] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def harm(data: bytes, generator: np.random.Generator) -> bytes:
    """One change of any kind; the data have at least a byte."""
    first, second = sorted((_place(len(data), generator), _place(len(data), generator)))
    match int(generator.integers(8)):
        case 0 | 1:
            return flip(data, generator)
        case 2:
            return data[:first]
        case 3:
            return data[:first] + data[second:]
        case 4:
            return data[:first] + bytes(second - first) + data[second:]
        case 5:
            return data[:first] + generator.bytes(int(generator.integers(1, 64))) + data[first:]
        case 6:
            noise = generator.bytes(min(second - first + 1, 64))
            return data[:first] + noise + data[first + len(noise) :]
    return _exchange(data, generator)


def _place(size: int, generator: np.random.Generator) -> int:
    edge = min(size, _EDGE)
    match int(generator.integers(3)):
        case 0:
            return int(generator.integers(edge))
        case 1:
            return size - 1 - int(generator.integers(edge))
    return int(generator.integers(size))


def _exchange(data: bytes, generator: np.random.Generator) -> bytes:
    """One value or key of JSON near the beginning, in place of another, or of none that was expected."""
    tokens = list(_TOKEN.finditer(data[:_EDGE]))
    if not tokens:
        return flip(data, generator)
    chosen = tokens[generator.integers(len(tokens))]
    others = [*_NUMBERS, *_HUGE, *(token[0] for token in tokens)]
    other = others[generator.integers(len(others))]
    changed = data[: chosen.start()] + other + data[chosen.end() :]
    if data[:1] == b"{" or data[8:9] != b"{":
        return changed
    # The header of safetensors is as long as it says first.
    size = int.from_bytes(data[:8], "little") + len(other) - len(chosen[0])
    return max(size, 0).to_bytes(8, "little") + changed[8:]
