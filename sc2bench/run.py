"""Experiments from their configurations to their records."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed

from sc2bench.config import RunConfig, compose, from_resolved
from sc2bench.data import ImageSet, load_dataset
from sc2bench.errors import CheckpointError, ConfigError
from sc2bench.evaluation import Measurement, evaluate_all, measure_cost
from sc2bench.files import write_json
from sc2bench.methods import SplitModel, build_model
from sc2bench.progress import EVALUATION_WORK, Work
from sc2bench.records import SCHEMA_VERSION, ensure_writable, environment, record_path, write_record
from sc2bench.registry import TASKS
from sc2bench.state import load_state, load_tensors, save_tensors, unique_state
from sc2bench.teachers import Teacher, load_teacher
from sc2bench.training import epoch_work, train

FINAL_WEIGHTS = "model.safetensors"
FINAL_CONFIG = "config.json"
HISTORY = "history.json"


@dataclass(frozen=True)
class Run:
    """An experiment and where its traces lie."""

    config: RunConfig

    @property
    def run_id(self) -> str:
        """Names the run among those of its task and method; readable, and unique by the hash at its end."""
        config = self.config
        words = [config.task.dataset, config.teacher.name]
        words += [str(value) for key, value in vars(config.method).items() if key in ("codec", "prior")]
        if config.rate is not None:
            words.append(f"{config.rate:g}")
        return "-".join([*words, f"s{config.seed}", config.config_hash()])

    @property
    def record_path(self) -> Path:
        """Where the record lies once the run is done."""
        return record_path(self.config.output, self.config.task.name, self.config.method.name, self.run_id)

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints and final weights lie; shared by runs that differ in their evaluation only."""
        return Path(self.config.checkpoints) / f"{self.config.method.name}-{self.config.training_hash()}"

    @property
    def done(self) -> bool:
        """Whether the record exists."""
        return self.record_path.exists()

    def work(self) -> float:
        """Units of work still to do, for progress bars: samples to train on, and, cheaper, samples to measure."""
        config = self.config
        measured = EVALUATION_WORK * len(_dataset(self, config.evaluation.split, config.evaluation.samples))
        return measured if self._trained else measured + _training_work(self)

    @property
    def _trained(self) -> bool:
        return (self.checkpoint_folder / FINAL_WEIGHTS).exists()

    @property
    def sweep(self) -> str | None:
        """Runs without training that share this key are measured in one pass over the data set."""
        config = self.config
        if config.stages:
            return None
        evaluation = config.evaluation
        return repr((config.task, config.teacher, config.method, evaluation))


def run_all(runs: Sequence[Run], *, force: bool = False, quiet: bool = False) -> list[Path]:
    """Trains what has to be trained, measures every run, and writes the records.

    Runs whose record exists are skipped. A killed call goes on where it stopped when it is made again.

    Args:
        runs: in the order in which they are worked off.
        force: measures again where a record exists; trained weights are kept.
        quiet: shows no progress.

    Returns:
        The paths of all records, in order.

    Raises:
        Sc2benchError: whatever keeps a run from its record; the records before it are written.
    """
    todo = [run for run in runs if force or not run.done]
    # Asked for now, for it describes the code that is loaded; the source tree may change while a long run goes on.
    environment()
    for run in todo:
        ensure_writable(run.config.output)
        ensure_writable(run.config.checkpoints)
    with Work(sum(run.work() for run in todo), "start", quiet) as work:
        if len(todo) < len(runs):
            work.say(f"{len(runs) - len(todo)} of {len(runs)} points are already measured")
        for _, group in groupby(todo, key=lambda run: run.sweep or run.run_id):
            _run_group(list(group), work)
    return [run.record_path for run in runs]


def build(overrides: Sequence[str] = (), config_dirs: Sequence[str] = ()) -> SplitModel:
    """Builds the split model that overrides name, with the teacher's weights and without training.

    >>> import sc2bench
    >>> model = sc2bench.build(["task=fashion_mnist", "method=input_codec", "method.codec=webp", "rate=20"])
    >>> model.variant
    {'codec': 'webp'}

    Raises:
        ConfigError: as `compose` does.
        DataError: the data set, which says how large images are, is missing.
    """
    run = Run(compose(overrides, config_dirs))
    return _build(run, load_teacher(run.config.teacher))


def load(checkpoint: str | Path) -> SplitModel:
    """Loads a trained split model, ready to encode and decode.

    Args:
        checkpoint: the folder that a run left below `checkpoints/`.

    Raises:
        CheckpointError: missing, unreadable or of another version.
    """
    folder = Path(checkpoint)
    try:
        config = from_resolved(json.loads((folder / FINAL_CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} is no folder of a finished run: {FINAL_CONFIG} can't be read ({error})"
        ) from error
    model = _build(Run(config), load_teacher(config.teacher))
    load_state(model, load_tensors(folder / FINAL_WEIGHTS), folder / FINAL_WEIGHTS)
    return model


def _build(run: Run, teacher: Teacher) -> SplitModel:
    set_seed(run.config.seed)
    return build_model(run.config, teacher, _dataset(run, run.config.evaluation.split).image_shape)


def _run_group(runs: list[Run], work: Work) -> None:
    """Runs that are measured in one pass; those that train come alone."""
    first = runs[0].config
    accelerator = _accelerator(first.mixed_precision)
    set_seed(first.seed)
    # One teacher serves all runs of a sweep: nothing changes it, and many copies of a large one would not fit.
    teacher = load_teacher(first.teacher)
    models = [_ready_model(run, teacher, accelerator, work) for run in runs]
    rates = [f"{run.config.rate:g}" for run in runs if run.config.rate is not None]
    work.describe(f"{first.method.name} {', '.join(rates[:3])}{', ...' if len(rates) > 3 else ''}: measure")
    dataset = _dataset(runs[0], first.evaluation.split, first.evaluation.samples)
    task = TASKS[first.task.name](dataset)
    measured = evaluate_all(
        models,
        dataset,
        task,
        batch_size=first.evaluation.batch_size,
        device=accelerator.device,
        workers=first.workers,
        on_samples=lambda samples: work.advance(EVALUATION_WORK * samples),
    )
    image = dataset.sample(1).to(accelerator.device)
    for run, model, measurement in zip(runs, models, measured, strict=True):
        if accelerator.is_main_process:
            record = _record(run, model, measurement, measure_cost(model, image))
            write_record(run.record_path, record)
        quality = ", ".join(f"{name} {value:.2f} %" for name, value in measurement.quality.items())
        work.say(f"{run.run_id}: {measurement.bytes.mean():.1f} bytes, {quality}")


def _ready_model(run: Run, teacher: Teacher, accelerator: Accelerator, work: Work) -> SplitModel:
    """The run's model with its final weights: loaded if they exist, else trained."""
    config = run.config
    model = _build(run, teacher)
    if not config.stages:
        return model
    final = run.checkpoint_folder / FINAL_WEIGHTS
    if final.exists():
        load_state(model, load_tensors(final), final)
        return model
    work.describe(f"{config.method.name}{'' if config.rate is None else f' {config.rate:g}'}: train")
    training_set, validation_set = (_dataset(run, split) for split in ("train", "validation"))
    task = TASKS[config.task.name](training_set)
    # The model may have taken modules over and train them, so what it imitates is a teacher of its own.
    imitated = load_teacher(config.teacher)
    history = train(
        model, imitated, task, training_set, validation_set, config, run.checkpoint_folder, accelerator, work
    )
    if accelerator.is_main_process:
        write_json(run.checkpoint_folder / FINAL_CONFIG, config.resolved())
        write_json(run.checkpoint_folder / HISTORY, history)
        save_tensors(unique_state(model), final)
    accelerator.wait_for_everyone()
    return model


def _record(run: Run, model: SplitModel, measurement: Measurement, cost: dict[str, Any]) -> dict[str, Any]:
    config = run.config
    return {
        "schema_version": SCHEMA_VERSION,
        "task": config.task.name,
        "dataset": config.task.dataset,
        "split": config.evaluation.split,
        "method": config.method.name,
        "codec": model.variant.get("codec"),
        "prior": model.variant.get("prior"),
        "teacher": config.teacher.name,
        "rate_knob": model.rate_knob,
        "rate": config.rate,
        "seed": config.seed,
        "config_hash": config.config_hash(),
        **measurement.record_fields(),
        **cost,
        "environment": environment() | {"mixed_precision": _precision(config.mixed_precision)},
        "config": config.resolved(),
    }


def _training_work(run: Run) -> float:
    stages = run.config.stages.values()
    if not stages:
        return 0
    available, validation = (len(_dataset(run, split)) for split in ("train", "validation"))
    return sum(stage.epochs * epoch_work(stage, available, validation) for stage in stages)


def _dataset(run: Run, split: str, samples: int | None = None) -> ImageSet:
    return load_dataset(run.config.task, split, samples)


def _accelerator(precision: str) -> Accelerator:
    # Accelerate keeps one state a process; runs of a suite may want another precision than the run before.
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=_precision(precision))


@cache
def _precision(wanted: str) -> str:
    """What "auto" means here: bfloat16 where the processor has it, for it is slow elsewhere."""
    if wanted == "fp16" and not torch.cuda.is_available():
        raise ConfigError("mixed_precision: fp16 needs a CUDA device; choose auto, bf16 or no")
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "no"
