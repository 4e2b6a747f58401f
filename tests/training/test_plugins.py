"""Losses, optimizers and schedules of one's own, each in a few lines with options and, for the loss, parameters."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sc2bench.config import FeatureLossConfig, LossConfig, compose
from sc2bench.core.errors import ConfigError, TrainingError
from sc2bench.core.registry import LOSSES, load_plugins
from sc2bench.methods import Outputs
from sc2bench.runs.experiment import FINAL_WEIGHTS, Experiment
from sc2bench.runs.run import run_experiments
from sc2bench.tasks.image_classification import ImageClassification
from sc2bench.training import Loss, LossContext, Need, Step, register_loss
from sc2bench.training.checkpoint import Checkpoints
from sc2bench.training.loss import WeightedSum
from tests.conftest import TINY_STUDENT

PLUGIN = '''
from dataclasses import dataclass

import torch
from torch import nn

from sc2bench.config import FeatureLossConfig, OptimizerConfig, ScheduleConfig, option
from sc2bench.training import Loss, Need, register_loss, register_optimizer, register_schedule


@dataclass
class AdaptedConfig(FeatureLossConfig):
    """`power`: of the errors."""

    power: float = option(2.0, above=0)


@register_loss("own_adapted")
class Adapted(Loss):
    """Compares features behind a convolution that learns with the student."""

    config_class = AdaptedConfig
    needs = frozenset((Need.TEACHER, Need.FEATURES))

    def __init__(self, config, context):
        super().__init__(config, context)
        (layer,) = context.layers
        self.adapter = nn.Conv2d(context.student_shapes[layer][0], context.teacher_shapes[layer][0], 1)

    def forward(self, step):
        ((_, student, teacher),) = step.pairs()
        return (self.adapter(student) - teacher).abs().pow(self.config.power).mean()


@dataclass
class RowsConfig(OptimizerConfig):
    """`share`: of the running mean that stays."""

    share: float = option(0.5, least=0, most=1)


class Rows(torch.optim.Optimizer):
    """Divides gradients by a running mean that all but the first dimension share, which is of another shape."""

    def __init__(self, groups, share):
        super().__init__(groups, {"share": share})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in [each for each in group["params"] if each.grad is not None]:
                square = parameter.grad.square().flatten(1).mean(1) if parameter.ndim > 1 else parameter.grad.square()
                state = self.state[parameter]
                state["rows"] = square.lerp(state.get("rows", square), group["share"])
                scale = state["rows"].sqrt().reshape(-1, *[1] * (parameter.ndim - 1)) + 1e-3
                parameter -= group["lr"] * parameter.grad / scale


register_optimizer("own_rows", RowsConfig)(lambda groups, options: Rows(groups, options.share))


@dataclass
class RestartsConfig(ScheduleConfig):
    """`restarts`: epochs after which the rate is full again."""

    restarts: list[int] = option([], in_epochs=True)


@register_schedule("own_restarts", RestartsConfig)
def restarts(progress, epochs, options):
    begin = max([0, *(each for each in options.restarts if each <= progress * epochs)])
    return 1 / (1 + progress * epochs - begin)


register_loss("own_size", "logits")(lambda step: step.outputs.prediction.square().mean())
'''
OWN = [
    "stage2=null",
    "stage1.losses={feature_relative: null, own_adapted: {weight: 1.0, layers: [layer2], power: 1.5}, own_size: 0.1}",
    "stage1.features=[]",
    "stage1.optimizer={name: own_rows, share: 0.25}",
    "stage1.schedule={name: own_restarts, restarts: [1]}",
    "stage1.epochs=2",
    "stage1.samples=100",
    "evaluation.samples=10",
    "evaluation.latency_repeats=0",
    "mixed_precision=no",
]


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "own_training.py"
    path.write_text(PLUGIN)
    load_plugins([str(path)])
    return path


def student(*overrides: str) -> list[str]:
    return [*TINY_STUDENT, *OWN, *overrides]


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_what_its_loss_has_learned(tiny, tmp_path, monkeypatch):
    """It ends with the weights of one that was not stopped, of the model and of the loss."""
    whole, stopped = (
        Experiment(compose([*tiny, *student(), f"output={tmp_path}/{name}", f"checkpoints={tmp_path}/{name}"]))
        for name in ("whole", "stopped")
    )
    run_experiments([whole], quiet=True)
    save = Checkpoints.save

    def save_and_stop(self, progress, *args, **kwargs):
        save(self, progress, *args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run_experiments([stopped], quiet=True)
    first = load_file(stopped.checkpoint_folder / "last-1-0001.safetensors")
    assert first["optimizer.0.rows"].ndim == 1
    monkeypatch.setattr(Checkpoints, "save", save)
    run_experiments([stopped], quiet=True)
    for name in (FINAL_WEIGHTS, "last-1-0002.safetensors"):
        expected, found = (load_file(each.checkpoint_folder / name) for each in (whole, stopped))
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            assert torch.equal(tensor, found[key]), key
    learned = [key for key in first if key.startswith("losses.")]
    assert learned == ["losses.own_adapted.adapter.bias", "losses.own_adapted.adapter.weight"]
    assert not any(torch.equal(first[key], expected[key]) for key in learned)


def test_options_of_plugins_are_checked_and_name_experiments():
    stage = compose(student("stage1.epochs=6", "stage1.schedule.restarts=[2, 3]")).stages["stage1"]
    assert (stage.losses["own_adapted"].power, stage.optimizer.share) == (1.5, 0.25)  # type: ignore[attr-defined]
    assert compose(student("stage1.epochs=6")).stages["stage1"].schedule.restarts == [1]  # type: ignore[attr-defined]
    longer = student("stage1.epochs=6", "stage1.schedule.restarts=[2, 3]")
    texts = [("stage1.schedule.restarts=[6]", "must lie between 1 and epochs - 1 = 5")]
    texts += [("stage1.optimizer.share=2", "stage1.optimizer.share: 2.0 is not in 0 ... 1")]
    texts += [("stage1.losses.own_adapted.powr=1", r"stage1.losses.own_adapted.powr: .*; did you mean 'power'\?")]
    for override, message in texts:
        with pytest.raises(ConfigError, match=message):
            compose([*longer, override])
    hashes = {compose(longer).config_hash(), compose([*longer, "stage1.optimizer.share=0.75"]).config_hash()}
    hashes.add(compose([*longer, "stage1.losses.own_adapted.layers=[layer1]"]).config_hash())
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage1.losses.own_adapted.layers=[layer9]", r"stage1.losses.own_adapted.layers: no layer 'layer9'; did you"),
        ("stage1.losses.own_adapted.layers=[]", "stage1.features: empty, but loss 'own_adapted' compares features"),
    ],
)
def test_mistakes_show_before_the_first_epoch(tiny, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        run_experiments([Experiment(compose([*tiny, *student(override)]))], quiet=True)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_is_registered_wrongly_is_refused():
    with pytest.raises(ConfigError, match=r"loss own_wrong has the unknown need 'bit'; did you mean 'bits'\?"):
        register_loss("own_wrong", "bit")(lambda step: step.bits.mean())
    with pytest.raises(ConfigError, match="loss Wrong has the unknown need 'teachr'"):
        type("Wrong", (Loss,), {"needs": ("teachr",)})
    with pytest.raises(ConfigError, match="loss Wrong: its config_class is no dataclass derived from LossConfig"):
        type("Wrong", (Loss,), {"config_class": dict})
    assert "own_wrong" not in LOSSES
    LOSSES.register("own_bare")(1)
    with pytest.raises(ConfigError, match=r"stage1.losses.own_bare: loss 'own_bare' is registered without a config_"):
        compose([*TINY_STUDENT, "stage1.losses.own_bare=1"])
    LOSSES._entries.pop("own_bare")


def test_a_term_that_is_no_scalar_is_named(test_images):
    task = ImageClassification(test_images)

    class Pairs(Loss):
        needs = frozenset({Need.LOGITS})

        def forward(self, step: Step) -> torch.Tensor:
            return step.outputs.prediction

    terms = WeightedSum({"pairs": Pairs(LossConfig("pairs", 1.0), LossContext([], 2, {}, dict))}, [1.0], [[]])
    step = Step(Outputs(torch.zeros(4, 2)), None, {}, None, task)
    with pytest.raises(TrainingError, match=r"loss 'pairs' gives a tensor of shape \(4, 2\); it must be a scalar"):
        terms(step)
    assert issubclass(LOSSES["feature_sse"].config_class, FeatureLossConfig)
