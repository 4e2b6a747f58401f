"""Several processes on one experiment, as `accelerate launch` starts them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader

from sc2bench.config import StageConfig, compose
from sc2bench.core import processes
from sc2bench.core.errors import ConfigError
from sc2bench.core.processes import Batches
from sc2bench.core.state import unique_state
from sc2bench.data.scenes import make_scenes
from sc2bench.runs.experiment import FINAL_WEIGHTS, Experiment
from sc2bench.runs.run import run_experiments
from sc2bench.teachers import load_teacher
from sc2bench.training.parallel import SharedBatchNorm, check_batch_sizes
from tests.conftest import TINY_STUDENT

# The teacher's own training has batch normalization, and without augmentation nothing random.
TEACHER = [
    "method=teacher",
    "recipe=train_fashion_resnet",
    "stage1.epochs=1",
    "stage1.batch_size=50",
    "stage1.augment=[]",
    # Trained weights, for random ones turn rounding errors into other results within a few steps.
    "teacher.weights=packaged",
    "stage1.learning_rate=0.002",
    "mixed_precision=no",
]
# 100 test images in batches of 30: of 30, 30, 30 and 10.
UNEVEN = "evaluation.batch_size=30"
STUDENT = [*TINY_STUDENT, "stage1.epochs=1", "stage2.epochs=1", UNEVEN]
PLUGIN = """\
from sc2bench.core import processes
from sc2bench.core.registry import AUGMENTATIONS

@AUGMENTATIONS.register("fail_in_second")
def fail_in_second(images):
    if processes.index() == 1:
        raise ValueError("only the second process fails")
    return images
"""


def launch(*arguments: str, cwd: Path | None = None, processes: int = 2) -> subprocess.CompletedProcess[str]:
    options = ["--multi_gpu", "--num_processes", str(processes), "--main_process_port", "0"]
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *options, "-m", "sc2bench"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=180, cwd=cwd)


@pytest.mark.slow
def test_two_processes_train_and_measure_as_one(tiny, tmp_path):
    """Trains by two processes, measures by one and by two; trains by one, and compares the weights."""
    suite = tmp_path / "pair.yaml"
    student = json.dumps([word for word in STUDENT if not word.startswith("rate")])
    curves = [
        f"{{label: Student, overrides: {student}, rates: [0.3]}}",
        f"{{label: WebP, overrides: [method=input_codec, method.codec=webp, {UNEVEN}], rates: [0, 101, 80]}}",
        f"{{label: Teacher, overrides: {json.dumps(TEACHER)}}}",
    ]
    suite.write_text("curves:\n" + "".join(f"  - {curve}\n" for curve in curves))
    done = launch("suite", "run", str(suite), *tiny)
    assert done.returncode == 1, done.stderr
    # A mistake that all processes see does not keep them from the other points.
    assert "1 of 5 points failed" in done.stderr
    assert "can't code at quality 101" in done.stderr
    runs = [
        Experiment(compose([*tiny, *STUDENT])),
        *(
            Experiment(compose([*tiny, "method=input_codec", "method.codec=webp", UNEVEN, f"rate={q}"]))
            for q in (0, 80)
        ),
        Experiment(compose([*tiny, *TEACHER])),
    ]
    shared = [json.loads(run.record_path.read_text()) for run in runs]
    assert {record["environment"]["processes"] for record in shared} == {2}
    for run in runs:
        run.record_path.unlink()
    run_experiments(runs, quiet=True)
    for run, record in zip(runs, shared, strict=True):
        alone = json.loads(run.record_path.read_text())
        assert alone["environment"]["processes"] == 1
        assert record["samples"] == 100
        for key in (
            "samples",
            "bytes_mean",
            "bytes_p50",
            "bytes_p95",
            "quality",
            "quality_interval",
            "estimated_bits_mean",
        ):
            assert record[key] == alone[key], (run.id, key)
    trained_alone = Experiment(compose([*tiny, *TEACHER, f"checkpoints={tmp_path}/alone", f"output={tmp_path}/alone"]))
    run_experiments([trained_alone], quiet=True)
    expected, found = (load_file(run.checkpoint_folder / FINAL_WEIGHTS) for run in (trained_alone, runs[-1]))
    start = unique_state(load_teacher(trained_alone.config.teacher).chain)
    for name, tensor in expected.items():
        before = start[name.removeprefix("server.teacher.chain.")] if ".chain." in name else tensor
        difference, change = (found[name] - tensor).float().norm(), (tensor - before).float().norm()
        assert difference <= 0.02 * change + 1e-6, (name, difference, change)
    histories = [json.loads((run.checkpoint_folder / "history.json").read_text()) for run in (trained_alone, runs[-1])]
    for key in ("training_loss", "validation_loss", "validation_top1"):
        assert histories[0][0][key] == pytest.approx(histories[1][0][key], rel=2e-3), key


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_two_processes_measure_images_of_several_sizes_as_one(tmp_path, task):
    root = make_scenes(tmp_path / "scenes", train=8, validation=3, test=7)
    overrides = [
        f"task=scenes_{task}",
        f"task.root={root}",
        f"output={tmp_path}/results",
        f"checkpoints={tmp_path}/checkpoints",
        "method=teacher",
        f"recipe=train_scenes_{'detector' if task == 'detection' else 'segmenter'}",
        "teacher.weights=packaged",
        "teacher.backbone=null",
        "stage1.epochs=1",
        "stage1.batch_size=4",
        "evaluation.batch_size=2",
        "mixed_precision=no",
    ]
    done = launch("run", *overrides)
    assert done.returncode == 0, done.stderr
    run = Experiment(compose(overrides))
    shared = json.loads(run.record_path.read_text())
    assert shared["environment"]["processes"] == 2
    assert shared["samples"] == 7
    run.record_path.unlink()
    run_experiments([run], quiet=True)
    alone = json.loads(run.record_path.read_text())
    for key in ("samples", "bytes_mean", "quality", "quality_interval"):
        assert shared[key] == alone[key], key


@pytest.mark.slow
def test_one_failing_process_ends_all(tiny, tmp_path):
    plugin = tmp_path / "failing.py"
    plugin.write_text(PLUGIN)
    done = launch("run", "--plugin", str(plugin), *tiny, *TINY_STUDENT, "stage1.augment=[fail_in_second]")
    assert done.returncode != 0
    assert "only the second process fails" in done.stderr
    assert not list((tmp_path / "results").rglob("*.json"))


def test_batches_that_can_not_be_split_are_refused(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 4)
    check_batch_sizes({"stage1": StageConfig(batch_size=64)})
    with pytest.raises(ConfigError, match=r"stage2.batch_size: 66 .* among 4 processes; take 64 or 68"):
        check_batch_sizes({"stage1": StageConfig(batch_size=64), "stage2": StageConfig(batch_size=66)})
    with pytest.raises(ConfigError, match=r"stage1.batch_size: 3 .* take 4$"):
        check_batch_sizes({"stage1": StageConfig(batch_size=3)})


def test_small_batches_are_joined_so_that_every_process_gets_a_part(test_images, monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 4)
    loader = DataLoader(test_images, batch_sampler=Batches([[0], [1, 2, 3, 4, 5], [6], [7, 8, 9, 10], [11]]))
    parts = []
    for number in range(4):
        monkeypatch.setattr(processes, "index", lambda number=number: number)
        parts.append(list(processes.parts_of_batches(loader).batch_sampler))
    assert parts == [[[0], [7]], [[1, 2], [8]], [[3, 4], [9]], [[5, 6], [10, 11]]]


@pytest.mark.parametrize("samples", [100, 103, 107])
def test_every_sample_is_dealt_to_one_process(test_images, monkeypatch, samples):
    dealt = {"whole": [], "parts": []}
    monkeypatch.setattr(processes, "count", lambda: 4)
    for number in range(4):
        monkeypatch.setattr(processes, "index", lambda number=number: number)
        loader = test_images.part(samples).loader(20)
        for name, share in (("whole", processes.whole_batches), ("parts", processes.parts_of_batches)):
            dealt[name].append([list(batch) for batch in share(loader).batch_sampler])
    for name, shares in dealt.items():
        assert sorted(index for share in shares for batch in share for index in batch) == list(range(samples)), name
    # Losses are exchanged once a batch, so that all processes need as many, and none may be empty.
    assert {len(share) for share in dealt["parts"]} == {5 if samples == 103 else -(-samples // 20)}
    assert min(len(batch) for share in dealt["parts"] for batch in share) >= 1
    # Batches are measured as one process would have measured them.
    monkeypatch.setattr(processes, "gather", lambda own: dealt["whole"])
    assert processes.in_turn([]) == [list(range(start, min(start + 20, samples))) for start in range(0, samples, 20)]


def test_shared_batch_normalization_is_that_of_pytorch():
    """A lone process's sums are everything, so statistics must be those of the batch."""
    values = torch.randn(6, 3, 4, 5) * 2 + 1
    found, expected = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    results = []
    for layer, shared in ((found, True), (expected, False)):
        inputs = values.clone().requires_grad_(True)
        if shared:
            with SharedBatchNorm():
                output = layer(inputs)
        else:
            output = layer(inputs)
        output.pow(3).sum().backward()
        results.append((output, inputs.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)
    with SharedBatchNorm():
        assert torch.equal(found.eval()(values), found(values))
