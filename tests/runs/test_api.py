"""What programs of one's own call."""

import pytest
import torch

import sc2bench
from tests.conftest import TINY_STUDENT

PLUGIN = """
from sc2bench import IMAGE_CODECS
from sc2bench.codecs.raw import Raw

@IMAGE_CODECS.register("raw_of_a_plugin")
class Own(Raw):
    name = "raw_of_a_plugin"
"""


def test_every_public_name_is_there():
    for name in sc2bench.__all__:
        assert getattr(sc2bench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        _ = sc2bench.evalute


@pytest.mark.slow
def test_models_are_trained_once_and_measured(tiny):
    overrides = [*tiny, *TINY_STUDENT]
    model = sc2bench.train(overrides, quiet=True)
    again = sc2bench.train(overrides, quiet=True)
    assert again.session == model.session
    root = [text for text in tiny if text.startswith("task.root=")]
    measurement = sc2bench.evaluate(model, "fashion_mnist", samples=40, overrides=root)
    images = sc2bench.compose(overrides)
    assert images.task.dataset == "fashion_mnist"
    assert len(measurement.bytes) == 40
    assert set(measurement.quality) >= {"top1", "top5"}
    # As a run of the same experiment measures it.
    whole = sc2bench.evaluate(again, "fashion_mnist", overrides=root)
    assert whole.bytes.sum() >= measurement.bytes.sum()
    with pytest.raises(sc2bench.DataError, match="ask for fewer"):
        sc2bench.evaluate(model, "fashion_mnist", samples=10**6, overrides=root)


def test_models_for_other_inputs_are_refused(tmp_path):
    model = sc2bench.build(["task=fashion_mnist", "method=input_codec", "rate=20"])
    with pytest.raises(
        sc2bench.InputError, match=r"the model takes ImageSpec\(channels=1, size=\(28, 28\)\), but scenes"
    ):
        sc2bench.evaluate(model, "scenes_classification", samples=2)


def test_plugins_are_loaded_for_models(tmp_path):
    path = tmp_path / "codec_of_api.py"
    path.write_text(PLUGIN)
    try:
        model = sc2bench.build(["method=input_codec", "method.codec=raw_of_a_plugin"], plugins=[str(path)])
        images = torch.randint(256, (2, 1, 28, 28), dtype=torch.uint8)
        assert [len(packet.payload) for packet in model.encode(images)] == [784, 784]
    finally:
        sc2bench.IMAGE_CODECS._entries.pop("raw_of_a_plugin", None)
        sc2bench.IMAGE_CODECS._origins.pop("raw_of_a_plugin", None)
