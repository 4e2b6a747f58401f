import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from sc2bench.config import compose
from sc2bench.core.errors import CheckpointError, ConfigError, TrainingError
from sc2bench.core.registry import LOSSES, SCHEDULES
from sc2bench.core.state import unique_state
from sc2bench.methods import Outputs, build_model
from sc2bench.runs.experiment import FINAL_WEIGHTS, Experiment
from sc2bench.runs.run import run_experiments
from sc2bench.tasks.image_classification import ImageClassification
from sc2bench.teachers import load_teacher
from sc2bench.training.checkpoint import PROGRESS
from sc2bench.training.loss import Step
from sc2bench.training.stage import build_stage
from sc2bench.wire.inputs import ImageSpec
from tests.conftest import TINY_STUDENT


def train_here(overrides: list[str]) -> Experiment:
    run = Experiment(compose(overrides))
    run_experiments([run], quiet=True)
    return run


@pytest.mark.slow
def test_killed_run_ends_with_the_weights_of_an_uninterrupted_one(tiny, tmp_path):
    whole = train_here([*tiny, *TINY_STUDENT, f"checkpoints={tmp_path}/whole"])
    expected = load_file(whole.checkpoint_folder / FINAL_WEIGHTS)
    interrupted = Experiment(compose([*tiny, *TINY_STUDENT, f"output={tmp_path}/second"]))
    command = [sys.executable, "-m", "sc2bench", "run", "--quiet", *tiny, *TINY_STUDENT, f"output={tmp_path}/second"]
    progress = interrupted.checkpoint_folder / PROGRESS
    kills = 0
    # Once within the first stage, once within the second, whenever an epoch is done.
    for stage, epoch in ((0, 1), (1, 1)):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if progress.exists():
                seen = json.loads(progress.read_text())
                if (seen["stage"], seen["epoch"]) >= (stage, epoch):
                    process.send_signal(signal.SIGKILL)
                    kills += process.wait() == -signal.SIGKILL
                    break
            time.sleep(0.005)
        process.wait()
    assert kills >= 1
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().endswith(".json")
    found = load_file(interrupted.checkpoint_folder / FINAL_WEIGHTS)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.slow
def test_stages_train_what_they_name_and_nothing_else(tiny, tmp_path):
    config = compose([*tiny, *TINY_STUDENT])
    train_here([*tiny, *TINY_STUDENT, "stage2=null", f"checkpoints={tmp_path}/a", f"output={tmp_path}/a"])
    train_here([*tiny, *TINY_STUDENT, f"checkpoints={tmp_path}/b", f"output={tmp_path}/b"])
    first, both = (load_file(next((tmp_path / name).glob(f"entropic*/{FINAL_WEIGHTS}"))) for name in ("a", "b"))
    teacher = unique_state(load_teacher(config.teacher).chain)
    changed = {name.split(".")[1] for name in both if not torch.equal(first[name], both[name])}
    assert changed == {"decoder", "tail"}
    for name, tensor in first.items():
        if name.startswith("server.tail."):
            assert torch.equal(tensor, teacher[name.removeprefix("server.tail.")]), name


@pytest.mark.slow
def test_training_lowers_the_loss_and_keeps_a_history(tiny):
    run = train_here([*tiny, *TINY_STUDENT, "stage1.epochs=4"])
    history = json.loads((run.checkpoint_folder / "history.json").read_text())
    stage1 = [entry["validation_loss"] for entry in history if entry["stage"] == "stage1"]
    assert len(stage1) == 4
    assert stage1[-1] < 0.9 * stage1[0]
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4, 1, 2]


def test_loss_that_is_not_finite_stops_with_a_sentence(tiny):
    with pytest.raises(TrainingError, match=r"the loss of stage1 is not finite .*lower stage1.learning_rate"):
        train_here([*tiny, *TINY_STUDENT, "stage1.learning_rate=1e30", "stage1.optimizer=sgd"])
    run = Experiment(compose([*tiny, *TINY_STUDENT, "stage1.learning_rate=1e30", "stage1.optimizer=sgd"]))
    assert not run.done
    for file in run.checkpoint_folder.glob("*.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in load_file(file).values())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stage2.trainable=[server.decoderr]", r"no module 'server.decoderr'; did you mean 'server.decoder'\?"),
        ("stage2.trainable=[]", "stage2.trainable: empty"),
        ("stage2.features=[layer9]", r"stage2.features: no layer 'layer9'; did you mean 'layer3'\?|'layer1'|'layer2'"),
        ("stage2.features=[conv1]", "'conv1' is not computed by this method"),
        ("stage2.batch_size=10000", r"exceeds the 550 training samples"),
        ("stage2.trainable=[device.preprocess]", "have no parameters"),
        ("stage2.prior_learning_rate=0.5", r"stage2.prior_learning_rate: no prior is among \['server.decoder'"),
    ],
)
def test_mistakes_in_the_last_stage_show_before_the_first_epoch(tiny, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        train_here([*tiny, *TINY_STUDENT, override])
    assert not list(tmp_path.rglob("*.safetensors"))


def test_losses_that_a_method_can_not_have_are_refused(tiny):
    recipe = ["method=teacher", "recipe=train_fashion_resnet", "stage1.batch_size=50"]
    with pytest.raises(ConfigError, match="'rate' needs a prior, and this method has none"):
        train_here([*tiny, *recipe, "stage1.losses.rate=1"])
    with pytest.raises(ConfigError, match=r"stage1.features: empty, but loss 'feature_sse' compares features"):
        train_here([*tiny, *recipe, "stage1.losses.feature_sse=1"])


@pytest.mark.slow
def test_checkpoints_of_another_configuration_and_damaged_ones_are_refused(tiny):
    run = train_here([*tiny, *TINY_STUDENT])
    (run.checkpoint_folder / FINAL_WEIGHTS).unlink()
    run.record_path.unlink()
    progress = run.checkpoint_folder / PROGRESS
    good = progress.read_text()
    progress.write_text(good.replace(run.config.training_hash(), "0" * 12))
    with pytest.raises(CheckpointError, match="belongs to another configuration"):
        run_experiments([run], quiet=True)
    progress.write_text(good[:100])
    with pytest.raises(CheckpointError, match="can't be read"):
        run_experiments([run], quiet=True)
    progress.write_text(good)
    best = run.checkpoint_folder / json.loads(good)["best_file"]
    content = best.read_bytes()
    best.write_bytes(content[:200])
    with pytest.raises(CheckpointError, match="must be an undamaged safetensors file"):
        run_experiments([run], quiet=True)
    best.write_bytes(content)
    run_experiments([run], quiet=True)
    assert run.done


@pytest.mark.parametrize(
    ("name", "options", "shares", "expected"),
    [
        ("constant", {}, [0, 0.5, 0.75], [1, 1, 1]),
        ("multi_step", {"milestones": [5, 8]}, [0, 0.5, 0.8], [1, 0.1, 0.01]),
        ("cosine", {}, [0, 0.5, 0.75], [1, 0.5, (1 + 2**-0.5 * -1) / 2]),
        ("one_cycle", {"warmup": 0.5}, [0, 0.5, 0.75], [0.01, 1, 0.5]),
        ("polynomial", {}, [0, 0.5, 0.75], [1, 0.5**0.9, 0.25**0.9]),
    ],
)
def test_schedules(name, options, shares, expected):
    schedule = SCHEDULES[name]
    factors = [schedule(share, 10, schedule.config_class(name, **options)) for share in shares]
    assert factors == pytest.approx(expected)


@pytest.mark.slow
def test_how_a_model_is_measured_changes_nothing_that_it_learns(tiny, tmp_path):
    stage = ["stage1.epochs=1", "stage1.batch_size=20", "stage1.losses={feature_relative:1.0,rate:0.3}", "stage2=null"]
    common = [*tiny, *TINY_STUDENT[:-2], *stage, "evaluation.samples=10", "evaluation.latency_repeats=0"]
    runs = [
        train_here(
            [*common, f"evaluation.batch_size={size}", f"evaluation.batch_pixels={pixels}", f"checkpoints={path}"]
        )
        for size, pixels, path in ((250, 1 << 24, tmp_path / "a"), (7, 28 * 28 * 3, tmp_path / "b"))
    ]
    assert runs[0].config.training_hash() == runs[1].config.training_hash()
    losses = [json.loads((run.checkpoint_folder / "history.json").read_text())[0]["validation_loss"] for run in runs]
    assert losses[0] == losses[1]


def test_milestones_count_from_the_first_step_of_their_epoch():
    wrong = []
    for epochs in range(2, 120):
        for milestone in range(1, epochs):
            schedule = SCHEDULES["multi_step"]
            options = schedule.config_class("multi_step", milestones=[milestone])
            # As the loop gives them: the last of 5,000 steps of the epoch before, and the first of the milestone's.
            shares = ((milestone - 1 + 4999 / 5000) / epochs, milestone / epochs)
            if [schedule(share, epochs, options) for share in shares] != [1, 0.1]:
                wrong.append((epochs, milestone))
    assert not wrong


def test_losses_have_their_defined_values(test_images):
    task = ImageClassification(test_images)
    student = torch.tensor([[1.0, 2.0, 0.5]])
    teacher = torch.tensor([[0.5, 2.5, 0.0]])
    outputs = Outputs(student, {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([[3.0]])}, bits=torch.tensor([10.0]))
    features = {"a": torch.tensor([[2.0, 4.0]]), "b": torch.tensor([[1.0]])}
    step = Step(outputs, teacher, features, torch.tensor([1]), task, layers=("a", "b"))
    given = {"kd": {"alpha": 0.25, "temperature": 2.0}}
    value = {
        name: LOSSES[name](LOSSES[name].config_class(name, 1.0, **given.get(name, {})), None)(step).item()
        for name in ("feature_sse", "feature_relative", "rate", "kd", "task")
    }
    assert value["feature_sse"] == pytest.approx(1 + 4 + 4)
    assert value["feature_relative"] == pytest.approx(100 * (5 / 20 + 4 / 1))
    assert value["rate"] == 10
    cross_entropy = -torch.log_softmax(student, 1)[0, 1].item()
    p, q = torch.softmax(teacher / 2, 1), torch.softmax(student / 2, 1)
    divergence = (p * (p / q).log()).sum().item()
    assert value["task"] == pytest.approx(cross_entropy)
    assert value["kd"] == pytest.approx(0.25 * cross_entropy + 0.75 * 4 * divergence)


@pytest.mark.parametrize("trainable", ["device.encoder,device.prior", "device,server"])
def test_densities_learn_at_their_own_rate(tiny, test_images, trainable):
    prior = ["method.prior=scale_hyperprior", "method.hyper_channels=2", f"stage1.trainable=[{trainable}]"]
    config = compose([*tiny, *TINY_STUDENT, *prior])
    teacher = load_teacher(config.teacher)
    model = build_model(config, teacher, ImageSpec(1, (28, 28)))
    assert config.stage1 is not None
    stage = build_stage("stage1", config.stage1, model, teacher, test_images, 0, 0)
    rates = {group["lr"]: sum(p.numel() for p in group["params"]) for group in stage.optimizer.param_groups}
    densities = sum(parameter.numel() for parameter in model.device.prior.shared.side.parameters())
    assert rates[config.stage1.prior_learning_rate] == densities


def test_frozen_modules_stay_in_evaluation_mode(tiny, test_images):
    config = compose([*tiny, *TINY_STUDENT])
    teacher = load_teacher(config.teacher)
    model = build_model(config, teacher, ImageSpec(1, (28, 28)))
    assert config.stage1 is not None
    stage = build_stage("stage1", config.stage1, model, teacher, test_images, 0, 0)
    stage.enter(model)
    assert not any(parameter.requires_grad for parameter in model.server.tail.parameters())
    stage.train_mode(model)
    assert model.server.prior.training
    assert not model.server.tail.training


@pytest.mark.slow
def test_reduced_precision_keeps_weights_and_prior_in_full(tiny):
    short = ["stage1.epochs=1", "stage1.samples=50", "stage2=null"]
    run = train_here([*tiny, *TINY_STUDENT, *short, "mixed_precision=bf16"])
    weights = load_file(run.checkpoint_folder / FINAL_WEIGHTS)
    assert {tensor.dtype for tensor in weights.values()} <= {torch.float32, torch.int32, torch.int64}
    assert json.loads(run.record_path.read_text())["environment"]["mixed_precision"] == "bf16"
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="fp16 needs a CUDA device"):
            train_here([*tiny, *TINY_STUDENT, *short, "mixed_precision=fp16"])


@pytest.mark.slow
def test_a_short_last_group_of_accumulated_batches_weighs_like_the_others(tiny):
    """Three batches accumulated by two are the mean of the first two gradients, then the third one as it is."""
    still = ["stage1.optimizer=sgd", "stage1.learning_rate=1e-12", "stage1.prior_learning_rate=1e-12"]
    short = ["stage1.epochs=1", "stage1.samples=150", "stage2=null", "mixed_precision=no"]
    short += ["evaluation.samples=1", "evaluation.latency_repeats=0"]

    def gradients(accumulated: int) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []

        def keep(optimizer, *_):
            found.append(torch.cat([p.grad.flatten() for group in optimizer.param_groups for p in group["params"]]))

        handle = register_optimizer_step_pre_hook(keep)
        train_here([*tiny, *TINY_STUDENT, *still, *short, f"stage1.accumulation_steps={accumulated}"])
        handle.remove()
        return found

    first, second, third = gradients(1)
    pair, alone = gradients(2)
    torch.testing.assert_close(pair, (first + second) / 2, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(alone, third, rtol=1e-3, atol=1e-4)
    assert third.norm() > 1
