"""How long the halves take for one image."""

import numpy as np
import pytest
import torch

from sc2bench.config import compose
from sc2bench.core.errors import ConfigError
from sc2bench.evaluation import measure_latency
from sc2bench.evaluation.latency import median_interval
from sc2bench.measures import SPANS, STATISTICS
from sc2bench.records import LATER_FIELDS
from tests.methods.test_methods import VARIANTS, make

ARGS = ["method=input_codec", "method.codec=webp", "rate=30"]


def test_interval_of_the_median_is_that_of_tables():
    # The ranks that tables of the sign test give for 95 %.
    for count, low, high in ((6, 1, 6), (8, 1, 8), (9, 2, 8), (20, 6, 15), (50, 18, 33), (100, 40, 61)):
        values = np.random.default_rng(count).permutation(np.arange(1, count + 1)) ** 2
        assert median_interval(values) == (low**2, high**2)
    assert median_interval([1, 2, 3, 4, 5]) == (None, None)


@pytest.mark.parametrize("name", VARIANTS)
def test_steps_of_the_halves_are_the_halves(name, test_images):
    images = test_images.images[:3]
    model = make(name)
    with torch.inference_mode():
        packets = model.device.code(model.device.analyze(images))
        assert packets == model.encode(images)
        assert torch.equal(
            model.server.predict(model.server.read(packets, model.spec.probe_shape), model.spec.probe_shape),
            model.decode(packets),
        )
    fields = measure_latency(model, images, repeats=7, threads=1)
    assert {*fields} == {f"{span}_ms_{name}" for span in SPANS for name in STATISTICS} | {
        "latency_repeats", "latency_threads",
    }  # fmt: skip
    assert (fields["latency_repeats"], fields["latency_threads"]) == (7, 1)
    for span in SPANS:
        low, middle, high, late = (fields[f"{span}_ms_{name}"] for name in ("p50_low", "p50", "p50_high", "p95"))
        assert 0 <= low <= middle <= high
        assert middle <= late <= high
    assert fields["device_ms_p50"] >= fields["device_coder_ms_p50_low"]


@pytest.mark.slow
def test_steps_stand_at_their_places(test_images, monkeypatch):
    import time

    model = make("input_codec")
    spent = {"device.analyze": 1, "device.code": 2, "server.read": 4, "server.predict": 8}
    for path, milliseconds in spent.items():
        half, step = path.split(".")
        own = getattr(getattr(model, half), step)

        def slow(*args, own=own, milliseconds=milliseconds):
            time.sleep(milliseconds / 100)
            return own(*args)

        monkeypatch.setattr(getattr(model, half), step, slow)
    before = torch.get_num_threads()
    fields = measure_latency(model, test_images.images[:2], repeats=100, seconds=0.5)
    assert torch.get_num_threads() == before
    assert 1 <= fields["latency_repeats"] < 5
    found = {span: fields[f"{span}_ms_p50"] for span in SPANS}
    assert 10 <= found["device_network"] < found["device_coder"] < found["server_coder"] < found["server_network"]
    assert found["device"] == pytest.approx(found["device_network"] + found["device_coder"], rel=0.2)
    assert found["server"] >= 120


def test_latency_can_be_left_out(test_images):
    fields = measure_latency(make("teacher"), test_images.images[:1], repeats=0)
    assert set(fields) <= set(LATER_FIELDS)
    assert set(fields.values()) == {None}


def test_new_settings_leave_old_experiments_done():
    # The record of this experiment is older than the settings.
    config = compose(ARGS)
    assert config.config_hash() == "e88c70e93bf6"
    assert compose([*ARGS, "evaluation.threads=2"]).config_hash() != config.config_hash()
    with pytest.raises(ConfigError, match=r"evaluation\.threads: 0 is below the least value, 1"):
        compose([*ARGS, "evaluation.threads=0"])
