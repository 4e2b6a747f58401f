"""Pictures of the predictions of a suite's models."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from sc2bench.config import SuiteConfig
from sc2bench.core.errors import CheckpointError, ConfigError, nearest
from sc2bench.core.registry import METHODS
from sc2bench.pictures.figure import predictions_figure
from sc2bench.pictures.predictions import PREDICTED as DRAWN
from sc2bench.pictures.predictions import Column, choose_scenes, model_column, require_drawn, truth_column
from sc2bench.report import Group
from sc2bench.report.figures.layout import write_figure
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.suite import Suite
from sc2bench.runs.trained import trained_model

FIGURE = "predictions"
_REFERENCE = "teacher"


@dataclass(frozen=True)
class Choice:
    """What is shown.

    Attributes:
        scenes: how many images.
        curves: labels; empty: the first curve of each method, or in its place the anchor.
        rates: how many points of a curve, spread over its rates.
    """

    scenes: int = 2
    curves: tuple[str, ...] = ()
    rates: int = 2


def write_pictures(suite: Suite, choice: Choice) -> tuple[list[Path], list[str]]:
    """Draws the predictions of a suite's models, a figure for each task and data set that can be drawn.

    Nothing is trained, and no record is needed.

    Args:
        suite: models that have no weights yet are left out.
        choice: what is shown.

    Returns:
        The paths of the files, `predictions.png` and `.pdf` beside the tables, and a sentence for each model that is
        left out.

    Raises:
        ConfigError: no such curve, or predictions that can't be drawn.
        CheckpointError: no model that is wanted has its weights, or the teacher has none.
        DataError: the data set is missing or damaged.
        OutputError: a file can't be written.
    """
    for label in choice.curves:
        if label not in suite.experiments:
            raise ConfigError(f"unknown curve '{label}'; {nearest(label, suite.experiments)}")
    groups = [group for group in suite.groups if not choice.curves or set(choice.curves) & set(group.curves)]
    require_drawn([group.task for group in groups])
    written: list[Path] = []
    notes: list[str] = []
    for group in groups:
        if group.task not in DRAWN:
            continue
        points, untrained = _points(suite, group, choice)
        notes += untrained
        if points:
            written += write_figure(_figure(group, points, choice.scenes), group.folder(suite.folder) / FIGURE)
    if not written:
        raise CheckpointError("no model that is wanted has its weights yet; run the suite first")
    return written, notes


def _points(suite: Suite, group: Group, choice: Choice) -> tuple[dict[str, list[Experiment]], list[str]]:
    """The chosen experiments of each curve, and a sentence for each that has no weights."""
    points: dict[str, list[Experiment]] = {}
    notes = []
    wanted = choice.curves or _default_curves(suite.config, group, suite.experiments)
    for label in (label for label in group.curves if label in wanted):
        ready = []
        for experiment in suite.rates(label):
            missing = experiment.untrained()
            if missing:
                at = "" if experiment.config.rate is None else f" at rate {experiment.config.rate:g}"
                where = missing[0].checkpoint_folder
                notes.append(f"{label}{at} is left out: it has no weights yet in {where}; run the suite first")
            else:
                ready.append(experiment)
        if ready:
            places = np.linspace(0, len(ready) - 1, choice.rates) if choice.rates > 1 else [(len(ready) - 1) / 2]
            points[label] = [ready[place] for place in sorted({int(place) for place in np.round(places)})]
    return points, notes


def _default_curves(config: SuiteConfig, group: Group, experiments: dict[str, list[Experiment]]) -> list[str]:
    """One curve of each method: the anchor, or the first one that there is."""
    first: dict[str, str] = {}
    for label in group.curves:
        method = experiments[label][0].config.method.name
        if method != _REFERENCE and (label == config.anchor or method not in first):
            first[method] = label
    return list(first.values())


def _figure(group: Group, points: dict[str, list[Experiment]], scenes: int) -> Figure:
    """Runs the models and draws what they say; one at a time is in memory."""
    first = next(iter(points.values()))[0]
    evaluation = first.config.evaluation
    dataset = first.dataset(evaluation.split, evaluation.samples)
    chosen = choose_scenes(dataset, group.task, scenes)
    samples = [dataset[index] for index in chosen]
    images = [image for image, _ in samples]
    truth = truth_column(group.task, images, [target for _, target in samples])

    def column(title: str, experiment: Experiment) -> Column:
        model = trained_model(experiment)
        # Columns are narrow: of bottleneck_channels, channels must do.
        knob = (model.rate_knob or "").split("_")[-1]
        point = "raw pixels" if experiment.config.rate is None else f"{knob} = {experiment.config.rate:g}"
        return model_column(title, point, group.task, model, images)

    teacher = column("Teacher", _teacher_of(first))
    curves = [
        sorted((column(label, experiment) for experiment in experiments), key=lambda found: found.mean_bytes())
        for label, experiments in points.items()
    ]
    return predictions_figure([truth, teacher], [found for curve in curves for found in curve], dataset.classes)


def _teacher_of(experiment: Experiment) -> Experiment:
    """The experiment that measures the teacher of another one, whether or not the suite has it."""
    method = METHODS[_REFERENCE].config_class(name=_REFERENCE)
    config = replace(experiment.config, method=method, rate=None, source=None, members=[])
    return Experiment(replace(config, stage1=None, stage2=None, stage3=None))
