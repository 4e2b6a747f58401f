"""Measuring experiments, and writing their records."""

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from accelerate.utils import send_to_device, set_seed
from torch import Tensor

from sc2bench.config import ExperimentConfig
from sc2bench.core import processes
from sc2bench.core.errors import CheckpointError
from sc2bench.core.progress import EVALUATION_WORK, Work
from sc2bench.core.registry import TASKS
from sc2bench.data import ImageSet, checked_fingerprint
from sc2bench.evaluation import LATENCY_IMAGES, Measurement, evaluate_all, measure_cost, measure_latency
from sc2bench.measures import SCHEMA_VERSION
from sc2bench.methods import SplitModel
from sc2bench.records import EXPORT_FIELDS, write_record
from sc2bench.runs.conditions import accelerator_for, here
from sc2bench.runs.experiment import TRAINED_IN, Experiment
from sc2bench.runs.ready import ready_model
from sc2bench.teachers import Images

CALIBRATION_IMAGES = 200


def measure_group(experiments: list[Experiment], confirm: Callable[[Experiment], None], work: Work) -> None:
    """Trains what has no weights yet, measures experiments in one pass, and writes their records.

    Args:
        experiments: of one sweep; those that train come alone.
        confirm: called with an experiment before its record is written.
        work: progress.
    """
    first = experiments[0].config
    accelerator = accelerator_for(first.mixed_precision)
    set_seed(first.seed)
    # One teacher serves all experiments of a sweep: nothing changes it, and many copies of a large one would not fit.
    teacher = cache(experiments[0].teacher)
    models = [ready_model(experiment, teacher, accelerator, work) for experiment in experiments]
    rates = [f"{experiment.config.rate:g}" for experiment in experiments if experiment.config.rate is not None]
    work.describe(f"{first.method.name} {', '.join(rates[:3])}{', ...' if len(rates) > 3 else ''}: measure")
    dataset = experiments[0].dataset(first.evaluation.split, first.evaluation.samples)
    measured = evaluate_as(
        first,
        models,
        dataset,
        accelerator.device,
        on_samples=lambda samples: work.advance(EVALUATION_WORK * samples * processes.count()),
    )
    images = send_to_device(dataset.sample(LATENCY_IMAGES), accelerator.device)
    for experiment, model, measurement in zip(experiments, models, measured, strict=True):
        write = partial(_measure_cost_and_write, experiment, model, measurement, images, confirm)
        processes.from_main(write)
        quality = ", ".join(f"{name} {value:.2f} %" for name, value in measurement.quality.items())
        work.say(f"{experiment.id}: {measurement.bytes.mean():.1f} bytes, {quality}")


def evaluate_as(
    config: ExperimentConfig, models: Sequence[SplitModel], dataset: ImageSet, device: torch.device, **options: Any
) -> list[Measurement]:
    """Measures models as an experiment says; see `evaluate_all`, whose further options it takes."""
    evaluation = config.evaluation
    return evaluate_all(
        models,
        dataset,
        TASKS[config.task.name](dataset, config.task),
        batch_size=evaluation.batch_size,
        batch_pixels=evaluation.batch_pixels,
        device=device,
        workers=config.workers,
        server_precision=evaluation.server_precision,
        estimate=evaluation.estimate,
        **options,
    )


def _measure_cost_and_write(
    experiment: Experiment,
    model: SplitModel,
    measurement: Measurement,
    images: Images,
    confirm: Callable[[Experiment], None],
) -> None:
    options = experiment.config.evaluation
    repeats, threads, precision = options.latency_repeats, options.threads, options.server_precision
    cost = measure_cost(model, images[:1])
    cost |= measure_latency(model, images, repeats=repeats, threads=threads, server_precision=precision)
    cost |= _export_cost(experiment, model, images)
    record = _record(experiment, model, measurement, cost)
    confirm(experiment)
    write_record(experiment.record_path, record)


def _record(
    experiment: Experiment, model: SplitModel, measurement: Measurement, cost: dict[str, Any]
) -> dict[str, Any]:
    config = experiment.config
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
        "data_fingerprint": checked_fingerprint(config.task, config.evaluation.split),
        "surroundings": experiment.surroundings,
        "training_environment": _trained_in(experiment),
        "environment": here(config),
        "config": config.resolved(),
    }


def _trained_in(experiment: Experiment) -> dict[str, Any] | None:
    """What the weights were trained in; `None` for weights that don't say, and without training."""
    if not experiment.config.stages:
        return None
    path = experiment.checkpoint_folder / TRAINED_IN
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read ({error}); delete it, or train anew with --retrain") from error


def _export_cost(experiment: Experiment, model: SplitModel, images: Images) -> dict[str, Any]:
    """What the exported device half costs, as far as the experiment asks for it."""
    options = experiment.config.evaluation
    if not options.export:
        return dict.fromkeys(EXPORT_FIELDS)
    # Few experiments want it, and tracing brings large libraries.
    from sc2bench.exporting.cost import measure_export

    return measure_export(
        model,
        images,
        repeats=options.latency_repeats,
        threads=options.threads,
        calibration=(lambda: calibration_images(experiment)) if options.export_int8 else None,
    )


def calibration_images(experiment: Experiment) -> Any:
    """Images to calibrate quantization with, of validation: uint8 arrays (N, C, H, W), or (C, H, W) where they vary."""
    images = experiment.dataset("validation").sample(CALIBRATION_IMAGES)
    return images.numpy() if isinstance(images, Tensor) else [image.numpy() for image in images]
