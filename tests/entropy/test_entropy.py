import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from compressai.entropy_models import EntropyBottleneck
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import sc2bench
from sc2bench.entropy import CodingError, EntropyTablesMissing, FactorizedPrior, IntegerTables, SymbolCoder
from sc2bench.wire.coding import SymbolDecoder, SymbolEncoder
from tests import constriction_coder

CHANNELS = 6
INT32 = np.iinfo(np.int32)


@pytest.fixture(scope="module")
def tables() -> IntegerTables:
    torch.manual_seed(0)
    model = EntropyBottleneck(CHANNELS, init_scale=3)
    model.update(update_quantiles=True)
    return IntegerTables.of(model)


def draw(tables: IntegerTables, samples: int, per_channel: int) -> np.ndarray:
    """Symbols distributed as the tables say."""
    generator = np.random.default_rng(0)
    symbols = np.empty((samples, len(tables), per_channel), np.int32)
    for channel in range(len(tables)):
        p = tables.probabilities(channel)[:-1]
        symbols[:, channel] = generator.choice(len(p), (samples, per_channel), p=p / p.sum()) + tables.offsets[channel]
    return symbols


@settings(max_examples=200)
@given(
    symbols=hnp.arrays(
        np.int32,
        st.tuples(st.integers(1, 3), st.just(CHANNELS), st.integers(0, 5)),
        elements=st.integers(INT32.min, INT32.max) | st.integers(-20, 20),
    )
)
def test_any_int32_round_trips(tables, symbols):
    coder = SymbolCoder(tables)
    packed = coder.encode(symbols)
    assert len(packed) == len(symbols)
    assert np.array_equal(coder.decode(packed, symbols.shape[1:]), symbols)


def test_extreme_symbols_round_trip(tables):
    symbols = np.array([[[INT32.min, INT32.max, 0, -1]] * CHANNELS], dtype=np.int32)
    coder = SymbolCoder(tables)
    assert np.array_equal(coder.decode(coder.encode(symbols), (CHANNELS, 4)), symbols)


@pytest.mark.parametrize("per_channel", [1, 16, 300])
def test_payload_is_within_a_byte_of_the_information(tables, per_channel):
    symbols = draw(tables, 400, per_channel)
    lengths = np.array([len(data) for data in SymbolCoder(tables).encode(symbols)])
    overhead = lengths - tables.information_bits(symbols) / 8
    assert overhead.mean() < 0.6
    assert overhead.max() < 1.2


def test_no_shorter_string_decodes(tables):
    coder = SymbolCoder(tables)
    symbols = draw(tables, 30, 2)
    for data, sample in zip(coder.encode(symbols), symbols, strict=True):
        if data:
            # All strings one byte shorter, if they start like this one up to the last byte that is left.
            shorter = [data[:-2] + bytes([last]) for last in range(256)] if len(data) > 1 else [b""]
            for other in shorter:
                try:
                    decoded = coder.decode([other], sample.shape)[0]
                except CodingError:
                    continue
                assert not np.array_equal(decoded, sample)


def test_bytes_do_not_depend_on_the_batch(tables):
    symbols = draw(tables, 20, 16)
    coder = SymbolCoder(tables)
    alone = [coder.encode(sample[None])[0] for sample in symbols]
    assert SymbolCoder(tables).encode(symbols) == alone


def test_bitstream_is_pinned():
    """A change of these bytes breaks every stored session: it needs a new format version."""
    cumulative = np.array([[0, 16384, 49152, 65000, 65536], [0, 60000, 65536, 0, 0]], np.int32)
    tables = IntegerTables(cumulative, np.array([3, 1], np.int32), np.array([-1, 0], np.int32))
    coder = SymbolCoder(tables)
    symbols = np.array([[[-1, 0, 1, 0], [0, 0, 0, 0]], [[0, 0, 5, -1], [0, 0, -70000, 0]]], np.int32)
    assert [data.hex() for data in coder.encode(symbols)] == ["2a", "9f93f03fd595"]
    assert tables.information_bits(symbols)[0] == pytest.approx(
        -2 * np.log2(0.5) - np.log2(0.25) - np.log2(15848 / 65536) - 4 * np.log2(60000 / 65536)
    )


@settings(max_examples=100)
@given(data=st.data())
def test_bytes_are_those_of_constriction(tables, data):
    """The same steps, with escapes and with tables in any order, give the bytes of a range coder that others wrote."""
    samples = data.draw(st.integers(1, 3))
    values, choices = st.integers(-20, 20) | st.integers(INT32.min, INT32.max), st.integers(0, CHANNELS - 1)
    steps = []
    for count in data.draw(st.lists(st.integers(0, 12), max_size=4)):
        shape = (samples, count)
        symbols = data.draw(hnp.arrays(np.int32, shape, elements=values))
        steps.append((symbols, data.draw(hnp.arrays(np.int64, shape, elements=choices))))
    encoder = SymbolEncoder(SymbolCoder(tables), samples)
    for symbols, indexes in steps:
        encoder.put(symbols, indexes)
    own = [[(symbols[sample], indexes[sample]) for symbols, indexes in steps] for sample in range(samples)]
    assert encoder.finish() == [constriction_coder.encode(tables, sample_steps) for sample_steps in own]


@pytest.mark.parametrize("per_channel", [1, 16, 500])
def test_bytes_of_likely_symbols_are_those_of_constriction(tables, per_channel):
    symbols = draw(tables, 3, per_channel)
    indexes = np.arange(CHANNELS).repeat(per_channel)
    expected = [constriction_coder.encode(tables, [(sample.ravel(), indexes)]) for sample in symbols]
    assert SymbolCoder(tables).encode(symbols) == expected


def test_steps_are_as_long_as_one_likes(tables):
    """Escapes follow their own step; tables come in any order, another in each sample."""
    generator = np.random.default_rng(1)
    coder = SymbolCoder(tables)
    steps = [
        (generator.integers(-30, 30, (3, count)).astype(np.int32), generator.integers(0, CHANNELS, (3, count)))
        for count in (1, 0, 40, 7, 300)
    ]
    encoder = SymbolEncoder(coder, 3)
    for symbols, indexes in steps:
        encoder.put(symbols, indexes)
    decoder = SymbolDecoder(coder, encoder.finish())
    for symbols, indexes in steps:
        assert np.array_equal(decoder.take(indexes), symbols)


def test_carries_run_through_whole_words():
    """The last of two symbols again and again comes close to the top of every interval, so that carries go far."""
    tables = IntegerTables(np.array([[0, 1, 65535, 65536]], np.int32), np.array([2], np.int32), np.array([0], np.int32))
    coder = SymbolCoder(tables)
    generator = np.random.default_rng(0)
    symbols = (generator.random((200, 1, 400)) < 0.99).astype(np.int32)
    symbols[:, :, -1] = 2
    packed = coder.encode(symbols)
    assert np.array_equal(coder.decode(packed, (1, 400)), symbols)
    indexes = np.zeros(400, np.int64)
    assert packed[:10] == [constriction_coder.encode(tables, [(sample[0], indexes)]) for sample in symbols[:10]]


def test_no_samples_are_no_bytes(tables):
    coder = SymbolCoder(tables)
    assert coder.encode(np.empty((0, CHANNELS, 4), np.int32)) == []
    assert coder.decode([], (CHANNELS, 4)).shape == (0, CHANNELS, 4)


@pytest.mark.slow
def test_compiled_coder_works_where_nothing_can_be_written(tmp_path):
    """Not in the package's folder, and not in a home: then each process compiles for itself."""
    package = tmp_path / "sc2bench"
    for room in ("core", "wire"):
        shutil.copytree(Path(sc2bench.__file__).parent / room, package / room, ignore=lambda *_: ["__pycache__"])
    (package / "__init__.py").touch()
    program = (
        "import numpy as np, sys; from sc2bench.wire.coding import IntegerTables, SymbolCoder; "
        "assert 'numba' not in sys.modules; "
        "tables = IntegerTables(np.array([[0, 32768, 65536]]), np.array([1]), np.array([0])); "
        "print(SymbolCoder(tables).encode(np.arange(4, dtype=np.int32)[None, None])[0].hex())"
    )
    # A file as the parent of caches: nobody, not even root, can make a folder there.
    blocked = {
        "PYTHONPATH": str(tmp_path),
        "XDG_CACHE_HOME": __file__,
        "HOME": __file__,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    (package / "wire" / "coding" / "__pycache__").touch()
    command = [sys.executable, "-c", program]
    result = subprocess.run(
        command, cwd=tmp_path, env=os.environ | blocked, capture_output=True, text=True, check=False
    )
    tables = IntegerTables(np.array([[0, 32768, 65536]]), np.array([1]), np.array([0]))
    expected = constriction_coder.encode(tables, [(np.arange(4), np.zeros(4, np.int64))])
    assert result.stdout.strip() == expected.hex(), result.stderr


def test_index_of_no_table_is_refused(tables):
    coder = SymbolCoder(tables)
    for index in (-1, CHANNELS):
        with pytest.raises(IndexError, match="none of the 6 tables"):
            coder.encode(np.zeros((1, 2), np.int32), np.array([[0, index]]))
        with pytest.raises(IndexError, match="none of the 6 tables"):
            coder.decode([b"abc"], indexes=np.array([[0, index]]))


@settings(max_examples=300)
@given(data=st.binary(max_size=64))
def test_random_bytes_decode_to_symbols_or_raise(tables, data):
    try:
        symbols = SymbolCoder(tables).decode([data], (CHANNELS, 16))
    except CodingError:
        return
    assert symbols.shape == (1, CHANNELS, 16)
    assert symbols.dtype == np.int32


def test_symbols_of_another_number_of_channels_are_refused(tables):
    with pytest.raises(ValueError, match="don't fit 6 tables"):
        SymbolCoder(tables).encode(np.zeros((1, 5, 2), np.int32))
    with pytest.raises(ValueError, match="don't fit 6 tables"):
        SymbolCoder(tables).decode([b""], (5, 2))


def test_compressai_tables_are_taken_over(tables):
    for channel in range(CHANNELS):
        assert tables.probabilities(channel).sum() == 1
        assert (tables.probabilities(channel) > 0).all()


def test_prior_codes_what_it_quantizes():
    prior = FactorizedPrior(4).eval()
    latents = torch.randn(3, 4, 2, 2) * 3
    with pytest.raises(EntropyTablesMissing, match="call update_tables"):
        _ = prior.coder
    prior.update_tables()
    symbols = prior.quantize(latents)
    decoded = prior.coder.decode(prior.coder.encode(symbols), (4, 2, 2))
    rounded, bits = prior(latents)
    assert torch.allclose(prior.dequantize(decoded), rounded, atol=1e-6)
    assert bits.shape == (3,)
    # The tables are 16-bit roundings of the densities that the estimate comes from.
    assert bits.detach().numpy() == pytest.approx(prior.tables.information_bits(symbols), rel=0.02)


@pytest.mark.parametrize("spread", [2, 1e6])
def test_bits_are_looked_up_as_they_are_computed(spread):
    """Also where the look-up would be larger than the latents."""
    prior = FactorizedPrior(4).eval()
    with torch.no_grad():
        prior.model.quantiles[:, 0, 1] = torch.tensor([0.3, -1.7, 0.0, 2.5])
        latents = torch.randn(3, 4, 9, 9) * spread
        expected = prior(latents)[1]
    estimated = prior.estimate_bits(latents)
    assert estimated.tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    assert not estimated.requires_grad


def test_auxiliary_loss_touches_quantiles_only():
    prior = FactorizedPrior(4)
    prior.auxiliary_loss().backward()
    touched = {name for name, parameter in prior.named_parameters() if parameter.grad is not None}
    assert touched == {"model.quantiles"}


def test_tables_survive_a_state_dict():
    first, second = FactorizedPrior(4), FactorizedPrior(4)
    with torch.no_grad():
        first.model.quantiles.mul_(2)
    first.update_tables()
    second.update_tables()
    assert second.coder is not None
    second.load_state_dict(first.state_dict())
    assert second.tables.to_bytes() == first.tables.to_bytes()
    symbols = np.arange(-8, 8, dtype=np.int32).reshape(1, 4, 4)
    assert second.coder.encode(symbols) == first.coder.encode(symbols)
