"""What compiled code is given: tables that are checked, and a cache of machine code that may be damaged."""

import errno
import resource
import warnings
from collections.abc import Callable

import numba
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sc2bench.core.errors import CheckpointError
from sc2bench.core.state import load_state, load_tensors, unique_state
from sc2bench.entropy import FactorizedPrior
from sc2bench.entropy.hyperprior import scale_hyperprior
from sc2bench.wire.coding import EntropyTablesDamaged, IntegerTables, SymbolCoder, compiling, range_coder

CUMULATIVE = np.array([[0, 16384, 49152, 65000, 65536], [0, 60000, 65536, 0, 0]], np.int32)
LENGTHS, OFFSETS = np.array([3, 1], np.int32), np.array([-1, 0], np.int32)


def changed(array: np.ndarray, place: object, value: int) -> np.ndarray:
    copy = array.astype(np.int64)
    copy[place] = value
    return copy


WRONG = {
    "a row that stands still": (changed(CUMULATIVE, (0, 2), 16384), LENGTHS, OFFSETS, "table 0 does not rise"),
    "a row that falls": (changed(CUMULATIVE, (1, 1), 65537), LENGTHS, OFFSETS, "table 1 does not rise"),
    "a negative number": (changed(CUMULATIVE, (1, 1), -5), LENGTHS, OFFSETS, "table 1 does not rise"),
    "a late start": (changed(CUMULATIVE, (0, 0), 1), LENGTHS, OFFSETS, "table 0 does not rise from 0 to 65536"),
    "an early end": (changed(CUMULATIVE, (1, 2), 65535), LENGTHS, OFFSETS, "table 1 does not rise from 0 to 65536"),
    "numbers of 64 bits": (changed(CUMULATIVE, (0, 1), 16384 + (1 << 32)), LENGTHS, OFFSETS, "table 0 does not rise"),
    "64 bits behind a row": (changed(CUMULATIVE, (1, 4), 1 << 32), LENGTHS, OFFSETS, "no int32"),
    "a length beyond its row": (CUMULATIVE, changed(LENGTHS, 1, 4), OFFSETS, "table 1 has 4 symbols in a row of 5"),
    "a length beyond all": (CUMULATIVE, changed(LENGTHS, 0, 2**31 - 1), OFFSETS, "table 0 has 2147483647 symbols"),
    "no symbols": (CUMULATIVE, changed(LENGTHS, 1, 0), OFFSETS, "table 1 has 0 symbols"),
    "a far offset": (CUMULATIVE, LENGTHS, changed(OFFSETS, 1, -(2**31)), "table 1 starts at the symbol -2147483648"),
    "a far end": (CUMULATIVE, LENGTHS, changed(OFFSETS, 0, 2**24 - 2), "table 0 starts at the symbol 16777214"),
    "floats": (CUMULATIVE, LENGTHS.astype(np.float32), OFFSETS, "lengths of type float32"),
    "too few rows": (CUMULATIVE[:1], LENGTHS, OFFSETS, r"cumulative of shape \(1, 5\), lengths of shape \(2,\)"),
    "no rows": (CUMULATIVE[:0], LENGTHS[:0], OFFSETS[:0], r"cumulative of shape \(0, 5\)"),
    "rows of no entry": (CUMULATIVE[:, :0], LENGTHS, OFFSETS, "table 0 has 3 symbols in a row of 0"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_numbers_that_are_no_tables_are_refused(mistake):
    cumulative, lengths, offsets, sentence = WRONG[mistake]
    with pytest.raises(EntropyTablesDamaged, match=f"damaged entropy tables: .*{sentence}"):
        IntegerTables(cumulative, lengths, offsets)


def test_precision_is_one_that_the_coder_can_refine():
    for precision in (0, 25, 64):
        with pytest.raises(EntropyTablesDamaged, match=f"frequencies of {precision} bits"):
            IntegerTables(np.array([[0, 1, 1 << min(precision, 30)]]), np.array([1]), np.array([0]), precision)
    whole = IntegerTables(np.array([[0, 1, 1 << 24]]), np.array([1]), np.array([0]), 24)
    symbols = np.array([[[0, 1, -7, 2**31 - 1]]], np.int32)
    assert np.array_equal(SymbolCoder(whole).decode(SymbolCoder(whole).encode(symbols), (1, 4)), symbols)


def test_checked_tables_keep_what_was_checked():
    lengths = LENGTHS.copy()
    tables = IntegerTables(CUMULATIVE, lengths, OFFSETS)
    lengths[:] = 2**31 - 1
    assert tables.lengths.tolist() == [3, 1]


def every(value: int) -> Callable[[Tensor], Tensor]:
    return lambda tensor: torch.full_like(tensor, value)


DAMAGED = {
    "lengths that end beside the rows": ("_cdf_length", every(2**31 - 1), "table 0 has 2147483645 symbols"),
    "lengths of floats": ("_cdf_length", lambda lengths: lengths.float(), "is? ?of type"),
    "offsets of no int32": ("_offset", every(-(2**31)), "table 0 starts at the symbol -2147483648"),
    "tables without their median": ("_offset", lambda offsets: offsets - 40, "without 0"),
    "one table too few": ("_quantized_cdf", lambda rows: rows[1:], "cumulative of shape"),
    "one flipped bit": ("_quantized_cdf", lambda rows: rows ^ (1 << 20), "does not rise from 0 to 65536"),
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("place", ["", "side."])
def test_tables_of_damaged_weights_are_refused_when_they_are_loaded(damage, place, tmp_path):
    """Without a digest, as files of old versions and of others are."""
    name, change, sentence = DAMAGED[damage]
    module = FactorizedPrior(3) if place else scale_hyperprior(4, 3, lambda *_: (torch.nn.Conv2d(4, 3, 1),) * 2).shared
    module.update_tables()
    key = f"{'model' if place else 'gaussian'}.{name}"
    state = unique_state(module)
    save_file(state | {key: change(state[key]).contiguous()}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=rf"weights .*weights.safetensors don't fit .*{sentence}"):
        load_state(module, load_tensors(tmp_path / "weights.safetensors"), tmp_path / "weights.safetensors")


def test_scales_belong_to_the_tables():
    shared = scale_hyperprior(4, 3, lambda *_: (torch.nn.Conv2d(4, 3, 1), torch.nn.Conv2d(3, 4, 1))).shared
    shared.update_tables()
    state = unique_state(shared)
    scales = state["gaussian.scale_table"]
    for wrong, sentence in (
        (torch.cat((scales, scales[-1:] + 1)), "64 instead of 65"),
        (scales.flip(0), "their scales don't rise"),
        (torch.full_like(scales, torch.nan), "scale_table is not finite|their scales don't rise"),
    ):
        with pytest.raises(CheckpointError, match=sentence):
            load_state(shared, state | {"gaussian.scale_table": wrong}, "of the file")


def test_loops_of_the_coder_end_whatever_they_are_given():
    words = np.full((1, 3), 2**32 - 1, np.uint32)
    packed = np.empty(64, np.uint8)
    nothing_left = np.array([[5, 0]], np.uint64)
    assert range_coder.finish(words, np.array([3]), nothing_left, packed).tolist() == [0, 20]
    overflowing = np.array([[2**64 - 1, 2]], np.uint64)
    range_coder.finish(words, np.array([3]), overflowing, packed)
    assert words.tolist() == [[0, 0, 0]]
    # Offsets of which a distance has more than 34 bits; there is room for any number of words that these can take.
    bounds, lengths = np.array([[0, 1, 1 << 24]], np.uint32), np.array([1])
    words = np.zeros((1, 64), np.uint32)
    arguments = np.array([[7]], np.int32), np.array([[0]]), words, np.array([0]), np.array([[0, 2**64 - 1]], np.uint64)
    assert range_coder.encode(bounds, lengths, np.array([-(2**62)]), *arguments)


@pytest.fixture
def cached(tmp_path, monkeypatch) -> Callable[[], int]:
    """Compiles a function in a new dispatcher, as a later process would, and calls it."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compiling, "_warned", False)

    def call() -> int:
        dispatcher = compiling.compiled(_square)
        assert dispatcher(9) == 81
        return sum(dispatcher.stats.cache_hits.values())

    return call


def _square(value):
    return value * value


def test_damaged_cache_is_compiled_anew(cached, tmp_path):
    assert [cached(), cached()] == [0, 1]
    generator = np.random.default_rng(0)
    for suffix in ("nbi", "nbc"):
        (path,) = (tmp_path / "cache").rglob(f"*.{suffix}")
        good = path.read_bytes()
        flipped = bytearray(good)
        flipped[generator.integers(len(good))] ^= 1 << int(generator.integers(8))
        for damaged in (b"", good[: len(good) // 2], bytes(len(good)), b"\x80\x04garbage", bytes(flipped)):
            path.write_bytes(damaged)
            # Once compiled again, the cache is whole.
            assert [cached(), cached()] == [0, 1], (suffix, damaged[:20])
    path.unlink()
    path.mkdir()
    with pytest.warns(compiling.CacheWarning, match="can't be kept"):
        assert cached() == 0


def test_full_and_locked_caches_are_done_without(cached, tmp_path, monkeypatch):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # The kernel refuses to let files grow, as a full disk would.
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
        with pytest.warns(compiling.CacheWarning, match=rf"can't be kept \(\[Errno {errno.EFBIG}\].*NUMBA_CACHE_DIR"):
            assert cached() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [path for path in (tmp_path / "cache").rglob("*.nbc") if path.stat().st_size]
    # A file where the folder should be, and no other place that Numba could take.
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(blocked / "cache"))
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator", raising=False)
    monkeypatch.setattr(compiling, "_warned", False)
    with pytest.warns(compiling.CacheWarning, match="no locator available"):
        assert cached() == 0
    with warnings.catch_warnings():
        # Said once in a process.
        warnings.simplefilter("error")
        assert cached() == 0
