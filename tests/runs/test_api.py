"""What programs of one's own call."""

import json
from dataclasses import replace

import pytest
import torch

import sc2bench
from sc2bench.runs.claims import Claims
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.run import run_experiments
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
    assert {"METHODS", "evaluate", "load", "train"} <= set(dir(sc2bench))
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        _ = sc2bench.evalute


@pytest.mark.slow
def test_models_are_trained_once_and_measured_as_runs_do(tiny, monkeypatch):
    overrides = [*tiny, *TINY_STUDENT, "mixed_precision=no", "stage1.epochs=1", "stage2.epochs=1"]
    experiment = Experiment(sc2bench.compose([*overrides, "evaluation.latency_repeats=0"]))
    # Another runner works on the weights; when it gives up, this one takes over.
    waited = []
    with Claims() as others:
        assert others.take(experiment.checkpoint_folder)

        def give_up(seconds: float) -> None:
            waited.append(experiment.trained)
            others.release(experiment.checkpoint_folder)

        monkeypatch.setattr("sc2bench.runs.sharing.time.sleep", give_up)
        model = sc2bench.train(overrides, quiet=True)
    assert waited == [False]
    assert experiment.trained
    assert not experiment.done
    monkeypatch.setattr("sc2bench.runs.ready.train", None)
    again = sc2bench.train(overrides, quiet=True)
    assert again.session == model.session
    root = [text for text in tiny if text.startswith("task.root=")]
    measurement = sc2bench.evaluate(again, "fashion_mnist", samples=40, overrides=root)
    assert len(measurement.bytes) == 40
    whole = sc2bench.evaluate(model, "fashion_mnist", overrides=root)
    (path,) = run_experiments([experiment], quiet=True)
    record = json.loads(path.read_text())
    assert record["bytes_mean"] == pytest.approx(whole.bytes.mean())
    assert record["quality"] == pytest.approx(whole.quality)
    with pytest.raises(sc2bench.DataError, match="ask for fewer"):
        sc2bench.evaluate(model, "fashion_mnist", samples=10**6, overrides=root)


def test_models_for_other_data_are_refused(few_scenes, tmp_path):
    model = sc2bench.build(["task=fashion_mnist", "method=input_codec", "rate=20"])
    root = [f"task.root={few_scenes}"]
    with pytest.raises(
        sc2bench.InputError, match=r"the model takes ImageSpec\(channels=1, size=\(28, 28\)\), but scenes"
    ):
        sc2bench.evaluate(model, "scenes_classification", samples=2, overrides=root)
    places = ["method=input_codec", "rate=20", "teacher.weights=random", *root]
    model = sc2bench.build(["task=scenes_segmentation", *places])
    with pytest.raises(sc2bench.InputError, match="made for 'semantic_segmentation', but the task is 'image_class"):
        sc2bench.evaluate(model, "scenes_classification", samples=2, overrides=root)
    model = sc2bench.build(["task=scenes_classification", *places])
    blueprint = replace(model.origin.blueprint, labels=model.origin.blueprint.labels[::-1])
    model.origin = replace(model.origin, blueprint=blueprint)
    with pytest.raises(sc2bench.InputError, match="the 10 classes of scenes apart, but scenes has 10 that are not the"):
        sc2bench.evaluate(model, "scenes_classification", samples=2, overrides=root)
    with pytest.raises(sc2bench.ConfigError, match=r"evaluation\.samples: 0 is below the least value, 1"):
        sc2bench.evaluate(model, "scenes_classification", samples=0, overrides=root)


def test_plugins_are_loaded_for_models(tmp_path):
    path = tmp_path / "codec_of_api.py"
    path.write_text(PLUGIN)
    try:
        model = sc2bench.build(["method=input_codec", "method.codec=raw_of_a_plugin"], plugins=[path])
        images = torch.randint(256, (2, 1, 28, 28), dtype=torch.uint8)
        assert [len(packet.payload) for packet in model.encode(images)] == [784, 784]
    finally:
        sc2bench.IMAGE_CODECS._entries.pop("raw_of_a_plugin", None)
        sc2bench.IMAGE_CODECS._origins.pop("raw_of_a_plugin", None)


def test_models_that_learn_nothing_are_saved_whole(tmp_path):
    model = sc2bench.build(["task=fashion_mnist", "method=input_codec", "rate=20"])
    sc2bench.save(model, tmp_path / "saved")
    again = sc2bench.load(tmp_path / "saved")
    images = torch.randint(256, (2, 1, 28, 28), dtype=torch.uint8)
    assert again.encode(images) == model.encode(images)
    assert torch.equal(again.decode(again.encode(images)), model.decode(model.encode(images)))
    model.origin = None
    with pytest.raises(sc2bench.InputError, match="does not say what it was built from"):
        sc2bench.save(model, tmp_path / "other")
