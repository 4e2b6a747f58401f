"""Experiments from their configurations to their records."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, send_to_device, set_seed
from torch import Tensor

from sc2bench.config import RunConfig, compose, from_resolved
from sc2bench.core import processes
from sc2bench.core.digests import read_object
from sc2bench.core.errors import CheckpointError, OutputError, Sc2benchError
from sc2bench.core.files import remove_leftovers, write_json
from sc2bench.core.memory import keep_memory
from sc2bench.core.progress import EVALUATION_WORK, Work
from sc2bench.core.registry import TASKS, loaded_plugins
from sc2bench.core.state import load_state, load_tensors, save_tensors, unique_state
from sc2bench.data import checked_fingerprint
from sc2bench.evaluation import LATENCY_IMAGES, Measurement, evaluate_all, measure_cost, measure_latency
from sc2bench.measures import SCHEMA_VERSION
from sc2bench.methods import SplitModel, build_model
from sc2bench.records import EXPORT_FIELDS, ensure_writable, environment, write_record
from sc2bench.runs.claims import remove_dead
from sc2bench.runs.experiment import FINAL_CONFIG, FINAL_WEIGHTS, HISTORY, TRAINED_IN, Experiment, has_weights
from sc2bench.runs.identity import IMPORTED, resolved_precision, surroundings_of_weights
from sc2bench.runs.sharing import PointsFailed, Sharing
from sc2bench.teachers import Images, Teacher
from sc2bench.training import train
from sc2bench.training.checkpoint import PROGRESS

CALIBRATION_IMAGES = 200


def run_all(
    runs: Sequence[Experiment],
    *,
    force: bool = False,
    force_before: float | None = None,
    retrain: bool = False,
    quiet: bool = False,
    wait: bool = True,
) -> list[Path]:
    """Trains what has to be trained, measures every run, and writes the records.

    Runs whose record exists are skipped. A killed call goes on where it stopped when it is made again. Several calls
    at the same time, also on several machines with common folders, divide the runs among them.

    Args:
        runs: in the order in which they are worked off.
        force: measures again where a record exists; trained weights are kept.
        force_before: the same for records that are older than this moment, in seconds since 1970.
        retrain: what is measured again is trained anew first; what it builds on (`source`, `members`) is not.
        quiet: shows no progress.
        wait: for runs that another call works on; else they are left to it.

    Returns:
        The paths of all records, in order.

    Raises:
        Sc2benchError: what kept a lone run from its record.
        PointsFailed: some of several runs have no record; all others have.
    """
    processes.start()
    keep_memory()
    if force or (retrain and force_before is None):
        force_before = time.time()
    oldest = processes.from_main(lambda: force_before) or 0.0
    if retrain:
        runs = [replace(run, retrain_before=oldest) for run in runs]
    todo = processes.from_main(lambda: [number for number, run in enumerate(runs) if not run.measured_since(oldest)])
    # Asked for now, for it describes the code that is loaded; the source tree may change while a long run goes on.
    environment()
    processes.from_main(lambda: _tidy_up(runs))
    units, failures = _plan([runs[number] for number in todo])
    planned = [runs[number] for number in todo if runs[number].run_id in units]
    with Work(sum(units.values()), "start", quiet or not processes.is_main()) as work:
        if len(todo) < len(runs):
            work.say(f"{len(runs) - len(todo)} of {len(runs)} points are already measured")
        for sentence in processes.from_main(lambda: _predecessors(planned)):
            work.say(sentence)
        sharing = Sharing[Experiment](
            measure=lambda group, confirm: _run_group(group, confirm, work),
            is_done=lambda run: run.measured_since(oldest),
            passed_over=lambda run: work.skip(units[run.run_id]),
            work=work,
            tells=len(runs) > 1,
        )
        left = sharing.work_off(planned, wait=wait)
        if left:
            work.say(f"{len(left)} points are left to other runners, which work on them")
    failures |= sharing.failures
    if failures and len(runs) == 1:
        raise failures[runs[0].run_id]
    if failures:
        raise PointsFailed.of({name: processes.describe(error) for name, error in failures.items()}, len(runs))
    return [run.record_path for run in runs]


def _predecessors(runs: Sequence[Experiment]) -> list[str]:
    """Says of which runs there are records or weights that don't count; see `Experiment.predecessors`."""
    return list(dict.fromkeys(sentence for run in runs for sentence in run.predecessors()))


def _plan(runs: Sequence[Experiment]) -> tuple[dict[str, float], dict[str, Exception]]:
    """The work of each run, and the errors of those that can't even be begun."""
    units: dict[str, float] = {}
    failures: dict[str, Exception] = {}
    for run in runs:
        try:
            processes.from_main(lambda run=run: _ensure_places(run))  # type: ignore[misc]
            units[run.run_id] = processes.together(run.work)
        except Exception as error:
            failures[run.run_id] = error
    return units, failures


def _ensure_places(run: Experiment) -> None:
    """Tries the folders that the run will write to; weights that are trained already may be on what is read-only."""
    ensure_writable(run.config.output)
    run.ensure_trainable()
    if run.untrained():
        ensure_writable(run.config.checkpoints, "checkpoints")


def _tidy_up(runs: Sequence[Experiment]) -> None:
    """Removes what killed runs left where these write, also those of other machines; what may be alive is left."""
    folders = {Path(place) for run in runs for place in (run.config.output, run.config.checkpoints)}
    for run in _with_parts(runs):
        # What is wrong with one of several is said where it is planned.
        with suppress(Sc2benchError):
            folders |= {run.record_path.parent, run.checkpoint_folder}
    for folder in sorted(folders):
        remove_leftovers(folder)
        remove_dead(folder)


def _with_parts(runs: Sequence[Experiment]) -> list[Experiment]:
    return [each for run in runs for each in (run, *_with_parts(run.parts))]


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
    run = Experiment(compose(overrides, config_dirs))
    return _build(run, run.teacher())


def load(checkpoint: str | Path) -> SplitModel:
    """Loads a trained split model, ready to encode and decode.

    Args:
        checkpoint: the folder that a run left below `checkpoints/`.

    Raises:
        CheckpointError: missing, unreadable or of another version.
    """
    run = trained_run(checkpoint)
    model = _build(run, run.teacher())
    weights = Path(checkpoint) / FINAL_WEIGHTS
    load_state(model, load_tensors(weights), weights)
    return model


def trained_run(checkpoint: str | Path) -> Experiment:
    """The experiment that left a folder below `checkpoints/`; raises `CheckpointError` as `load` does."""
    folder = Path(checkpoint)
    try:
        return Experiment(from_resolved(read_object(folder / FINAL_CONFIG)))
    except Exception as error:  # damaged values raise errors of many unrelated classes
        raise CheckpointError(
            f"{folder} is no folder of a finished run: {FINAL_CONFIG} can't be read ({error})"
        ) from error


def trained_model(run: Experiment) -> SplitModel:
    """Builds a run's model with its final weights, and trains nothing.

    Raises:
        CheckpointError: the weights, or those of what the run builds on, are missing or unreadable.
    """
    model = _build(run, run.teacher())
    if run.config.stages:
        _load_final(model, run.checkpoint_folder / FINAL_WEIGHTS)
        return model
    for number, part in enumerate(run.parts):
        final = part.checkpoint_folder / FINAL_WEIGHTS
        model.take_part(number, load_tensors(final), final)
    return model


def _build(run: Experiment, teacher: Teacher) -> SplitModel:
    set_seed(run.config.seed)
    return build_model(run.config, teacher, run.dataset(run.config.evaluation.split).image_shape)


def _run_group(runs: list[Experiment], confirm: Callable[[Experiment], None], work: Work) -> None:
    """Runs that are measured in one pass; those that train come alone. Calls `confirm` before writing a record."""
    first = runs[0].config
    accelerator = _accelerator(first.mixed_precision)
    set_seed(first.seed)
    # One teacher serves all runs of a sweep: nothing changes it, and many copies of a large one would not fit.
    teacher = processes.together(runs[0].teacher)
    for run in runs:
        processes.from_main(run.ensure_unchanged)
    models = [_ready_model(run, teacher, accelerator, work) for run in runs]
    rates = [f"{run.config.rate:g}" for run in runs if run.config.rate is not None]
    work.describe(f"{first.method.name} {', '.join(rates[:3])}{', ...' if len(rates) > 3 else ''}: measure")
    dataset = runs[0].dataset(first.evaluation.split, first.evaluation.samples)
    measured = evaluate_all(
        models,
        dataset,
        TASKS[first.task.name](dataset, first.evaluation),
        batch_size=first.evaluation.batch_size,
        batch_pixels=first.evaluation.batch_pixels,
        device=accelerator.device,
        workers=first.workers,
        server_precision=first.evaluation.server_precision,
        estimate=first.evaluation.estimate,
        bootstrap=first.evaluation.bootstrap,
        on_samples=lambda samples: work.advance(EVALUATION_WORK * samples * processes.count()),
    )
    images = send_to_device(dataset.sample(LATENCY_IMAGES), accelerator.device)
    repeats, threads = first.evaluation.latency_repeats, first.evaluation.threads
    for run, model, measurement in zip(runs, models, measured, strict=True):

        def write(run: Experiment = run, model: SplitModel = model, measurement: Measurement = measurement) -> None:
            cost = measure_cost(model, images[:1])
            cost |= measure_latency(
                model, images, repeats=repeats, threads=threads, server_precision=first.evaluation.server_precision
            )
            cost |= _export_cost(run, model, images)
            record = _record(run, model, measurement, cost)
            confirm(run)
            write_record(run.record_path, record)

        processes.from_main(write)
        quality = ", ".join(f"{name} {value:.2f} %" for name, value in measurement.quality.items())
        work.say(f"{run.run_id}: {measurement.bytes.mean():.1f} bytes, {quality}")


def _ready_model(run: Experiment, teacher: Teacher, accelerator: Accelerator, work: Work) -> SplitModel:
    """The run's model with its final weights: loaded if they exist, else trained."""
    config = run.config
    model = processes.together(lambda: _build(run, teacher))
    final = run.checkpoint_folder / FINAL_WEIGHTS
    trained = processes.from_main(lambda: run.trained)
    if not trained:
        _take_parts(model, run, accelerator, work)
    if not config.stages:
        return model
    if trained:
        processes.from_main(lambda: _load_final(model, final))
        processes.share_state(model)
        processes.from_main(run.ensure_unchanged)
        return model
    work.describe(f"{config.method.name}{'' if config.rate is None else f' {config.rate:g}'}: train")
    processes.from_main(lambda: _clear(run))
    training_set, validation_set = run.training_sets()
    for split in ("train", "validation"):
        checked_fingerprint(config.task, split)
    task = TASKS[config.task.name](training_set, config.evaluation)
    # The model may have taken modules over and train them, so what it imitates is a teacher of its own.
    imitated = run.teacher()
    processes.from_main(run.ensure_unchanged)
    surroundings = surroundings_of_weights(config)
    places = run.checkpoint_folder, accelerator, work
    history = processes.in_step(lambda: train(model, imitated, task, training_set, validation_set, config, *places))

    here = _here(config)

    def write() -> None:
        write_json(run.checkpoint_folder / FINAL_CONFIG, config.resolved())
        write_json(run.checkpoint_folder / HISTORY, history)
        conditions = read_object(run.checkpoint_folder / PROGRESS).get("conditions", [])
        trained_in = here | {"conditions": conditions, "surroundings": surroundings}
        write_json(run.checkpoint_folder / TRAINED_IN, trained_in)
        save_tensors(unique_state(model), final)

    processes.from_main(write)
    return model


def _load_final(model: SplitModel, final: Path) -> None:
    """Fills a model with a run's final weights; raises `CheckpointError` that says how to do without them."""
    try:
        load_state(model, load_tensors(final), final)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; delete {final.parent}, or add --retrain, to train anew") from error


def _clear(run: Experiment) -> None:
    """Removes weights that are to be trained anew; a run that was stopped keeps its checkpoints."""
    try:
        if has_weights(run.checkpoint_folder):
            shutil.rmtree(run.checkpoint_folder)
        # Of an import that was stopped; what is trained here must not be taken for it.
        (run.checkpoint_folder / IMPORTED).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{run.checkpoint_folder} can't be removed to train anew ({error.strerror}); delete it"
        ) from error


def _here(config: RunConfig) -> dict[str, Any]:
    """What a training or a measurement takes place in."""
    return environment() | {
        "mixed_precision": resolved_precision(config.mixed_precision),
        "processes": processes.count(),
        "threads": torch.get_num_threads(),
        "plugins": [plugin.described() for plugin in loaded_plugins()],
    }


def _trained_in(run: Experiment) -> dict[str, Any] | None:
    """What the weights were trained in; `None` for weights that don't say, and without training."""
    if not run.config.stages:
        return None
    path = run.checkpoint_folder / TRAINED_IN
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read ({error}); delete it, or train anew with --retrain") from error


def _take_parts(model: SplitModel, run: Experiment, accelerator: Accelerator, work: Work) -> None:
    """Trains the experiments that this one builds on, where they are not, and takes over what it wants of them."""
    for number, part in enumerate(run.parts):
        final = part.checkpoint_folder / FINAL_WEIGHTS
        if not processes.from_main(lambda part=part: part.trained):  # type: ignore[misc]
            _ready_model(part, processes.together(part.teacher), accelerator, work)
        weights = processes.from_main(lambda final=final: load_tensors(final))  # type: ignore[misc]
        model.take_part(number, weights, final)


def _record(run: Experiment, model: SplitModel, measurement: Measurement, cost: dict[str, Any]) -> dict[str, Any]:
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
        "data_fingerprint": checked_fingerprint(config.task, config.evaluation.split),
        "surroundings": run.surroundings,
        "training_environment": _trained_in(run),
        "environment": _here(config),
        "config": config.resolved(),
    }


def _export_cost(run: Experiment, model: SplitModel, images: Images) -> dict[str, Any]:
    """What the exported device half costs, as far as the experiment asks for it."""
    options = run.config.evaluation
    if not options.export:
        return dict.fromkeys(EXPORT_FIELDS)
    # Few experiments want it, and tracing brings large libraries.
    from sc2bench.exporting.cost import measure_export

    return measure_export(
        model,
        images,
        repeats=options.latency_repeats,
        threads=options.threads,
        calibration=(lambda: calibration_images(run)) if options.export_int8 else None,
    )


def calibration_images(run: Experiment) -> Any:
    """Images to calibrate quantization with, of validation: uint8 arrays (N, C, H, W), or (C, H, W) where they vary."""
    images = run.dataset("validation").sample(CALIBRATION_IMAGES)
    return images.numpy() if isinstance(images, Tensor) else [image.numpy() for image in images]


def _accelerator(precision: str) -> Accelerator:
    # Accelerate keeps one state a process; runs of a suite may want another precision than the run before.
    AcceleratorState._reset_state()
    # The batch sizes of configurations are those of all processes together.
    loading = DataLoaderConfiguration(split_batches=True)
    return Accelerator(mixed_precision=resolved_precision(precision), dataloader_config=loading)
