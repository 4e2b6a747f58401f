"""The loop: stages one after the other, each epoch validated and saved."""

import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import convert_to_fp32, send_to_device, set_seed
from torch import Tensor, nn

from sc2bench.chain import lean
from sc2bench.config import ExperimentConfig
from sc2bench.core import processes
from sc2bench.core.errors import TrainingError
from sc2bench.core.progress import EVALUATION_WORK, Work
from sc2bench.core.state import load_state, unique_state
from sc2bench.data import ImageSet, augment, watching
from sc2bench.methods import Outputs, SplitModel
from sc2bench.tasks.base import Task
from sc2bench.teachers import Images, Teacher, final
from sc2bench.training.checkpoint import Checkpoints, RunProgress
from sc2bench.training.loss import Step
from sc2bench.training.parallel import Objective, check_batch_sizes, tell_unused
from sc2bench.training.stage import Stage, build_stage, epoch_work

# How often the loss is looked at: each look waits for the device.
_CHECK_EVERY_STEPS = 50


def train(
    model: SplitModel,
    teacher: Teacher,
    task: Task,
    training_set: ImageSet,
    validation_set: ImageSet,
    config: ExperimentConfig,
    folder: Path,
    accelerator: Accelerator,
    work: Work,
) -> list[dict[str, float]]:
    """Trains a split model through all stages of its configuration.

    After each epoch the state is saved, so that a killed run that is started again ends with the weights of one that
    was not. After each stage the model has the weights of its best epoch on validation. Several processes share each
    batch; only the main one reads and writes checkpoints.

    Args:
        model: trained in place.
        teacher: what is distilled from; frozen.
        task: brings the supervised loss and the metric.
        training_set: what is trained on.
        validation_set: what the best epoch is chosen on.
        config: the stages, the seed.
        folder: where checkpoints lie.
        accelerator: devices, processes and precision.
        work: told of each sample.

    Returns:
        One entry an epoch: stage, epoch, training loss, validation loss and quality, seconds.

    Raises:
        ConfigError: a stage names something that does not exist, or has batches that the processes can't share; before
            the first epoch of the first stage.
        TrainingError: a loss is not finite.
        CheckpointError: the folder holds another configuration's checkpoint or a damaged one.
        OutputError: a checkpoint can't be written.
    """
    check_batch_sizes(config.stages)
    stages = [
        build_stage(name, stage, model, teacher, training_set, config.seed, config.workers)
        for name, stage in config.stages.items()
    ]
    checkpoints = Checkpoints(folder, config.training_hash())
    progress = processes.from_main(lambda: checkpoints.load([stage.config.epochs for stage in stages]))
    _note_conditions(progress, accelerator, work)
    model.to(accelerator.device)
    teacher.to(accelerator.device).eval().requires_grad_(False)
    trainer = _Trainer(model, teacher, task, validation_set, config, accelerator, work)
    for index in range(len(stages)):
        stage = stages[index]
        if index < progress.stage:
            work.skip(stage.config.epochs * trainer.epoch_work(stage))
            continue
        trainer.run(index, stage, progress, checkpoints)
    if progress.best_file:
        _load_best(model, progress, checkpoints)
    _update_tables(model)
    model.eval().requires_grad_(False)
    return progress.history


def _note_conditions(progress: RunProgress, accelerator: Accelerator, work: Work) -> None:
    """Says if a stopped run goes on under other conditions than it began: sums are then rounded differently."""
    now = {
        "threads": torch.get_num_threads(),
        "processes": processes.count(),
        "mixed_precision": accelerator.mixed_precision,
        "device": accelerator.device.type,
        "torch": torch.__version__,
    }
    if now in progress.conditions:
        return
    if progress.conditions and progress.history:
        before = progress.conditions[-1]
        changed = [
            f"{name} {value} instead of {before.get(name)}" for name, value in now.items() if value != before.get(name)
        ]
        work.say(
            f"warning: training goes on with {', '.join(changed)}; its weights will differ a little from those of a "
            "run that was not stopped"
        )
    progress.conditions.append(now)


class _Trainer:
    """What all stages of a run share."""

    def __init__(
        self,
        model: SplitModel,
        teacher: Teacher,
        task: Task,
        validation_set: ImageSet,
        config: ExperimentConfig,
        accelerator: Accelerator,
        work: Work,
    ):
        self.model = model
        self.teacher = teacher
        self.task = task
        self.config = config
        self.accelerator = accelerator
        self.work = work
        self.validation_set = validation_set

    def epoch_work(self, stage: Stage) -> float:
        """Units of work of one epoch of a stage."""
        return epoch_work(stage.config, stage.sampler.count, len(self.validation_set))

    def run(self, index: int, stage: Stage, progress: RunProgress, checkpoints: Checkpoints) -> None:
        """Runs one stage, from its first epoch or from where it was stopped."""
        stage.losses.to(self.accelerator.device)
        if progress.stage == index and progress.epoch:
            state, losses, optimizer_state = processes.from_main(lambda: checkpoints.last(progress))
            load_state(self.model, state, checkpoints.folder)
            stage.losses.load(losses, checkpoints.folder)
            checkpoints.restore(stage.optimizer, optimizer_state, stage.build_optimizer)
            self.work.skip(progress.epoch * self.epoch_work(stage))
        elif progress.best_file:
            _load_best(self.model, progress, checkpoints)
        stage.enter(self.model)
        if not any(parameter.requires_grad for parameter in self.model.device.parameters()):
            # From here on the device half is what it will be in use, and its tables must not change any more.
            _update_tables(self.model)
        with lean(nn.ModuleList([self.teacher, self.model.server]), stage.config.frozen_precision == "bf16"):
            self._epochs(index, stage, progress, checkpoints)
        self.accelerator.free_memory()
        if index + 1 < len(self.config.stages):
            progress.stage, progress.epoch, progress.best = index + 1, 0, None
            processes.from_main(lambda: checkpoints.record(progress))

    def _epochs(self, index: int, stage: Stage, progress: RunProgress, checkpoints: Checkpoints) -> None:
        """Trains and validates epoch after epoch, from where it was stopped."""
        objective, optimizer, loader = self._prepare(stage)
        # Some losses depend on what shares a batch: so that weights don't depend on how they are measured afterwards,
        # batches are those of training, which take more memory.
        whole = self.validation_set.loader(stage.config.batch_size, workers=self.config.workers)
        validation_loader = processes.parts_of_batches(whole)
        # Preparing wraps what learns; the factors refer to the rates that the stage started with.
        rates = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
        for epoch in range(progress.epoch, stage.config.epochs):
            started = time.monotonic()
            # Nothing random depends on the epochs before, so resuming needs no state of generators.
            set_seed((self.config.seed << 20) + (index << 12) + epoch, device_specific=True)
            stage.sampler.epoch = (index << 12) + epoch
            stage.train_mode(self.model)
            loss = self._epoch(stage, epoch, objective, optimizer, loader, rates)
            stage.evaluation_mode(self.model)
            validation = self._validate(stage, validation_loader)
            # The last step may have spoilt the weights without showing in its own loss.
            _check_finite(validation["loss"], stage.name, epoch, len(loader))
            criterion = validation["loss"] if stage.config.select == "loss" else -validation[self.task.main_metric]
            is_best = progress.best is None or criterion < progress.best
            progress.best = criterion if is_best else progress.best
            progress.stage, progress.epoch = index, epoch + 1
            seconds = round(time.monotonic() - started, 1)
            entry = {"stage": stage.name, "epoch": epoch + 1, "training_loss": loss, "seconds": seconds}
            progress.history.append(entry | {f"validation_{key}": value for key, value in validation.items()})
            self._save(stage, progress, checkpoints, is_best)
            quality = f"{self.task.main_metric} {validation[self.task.main_metric]:.2f} %"
            self.work.say(
                f"  {stage.name} epoch {epoch + 1}/{stage.config.epochs}: loss {validation['loss']:.4f}, {quality}"
            )

    def _prepare(self, stage: Stage) -> tuple[nn.Module, Any, Any]:
        """The stage's loss, optimizer and loader as this process needs them."""
        if processes.count() > 1:
            images, targets = send_to_device(stage.loader.dataset[:2], self.accelerator.device)
            tell_unused(self.accelerator, self._loss(stage, images, targets), stage.trainable)
        objective = Objective(self.model, stage.losses, partial(self._loss, stage))
        return self.accelerator.prepare(objective, stage.optimizer, stage.loader)

    def _save(self, stage: Stage, progress: RunProgress, checkpoints: Checkpoints, is_best: bool) -> None:
        def save() -> tuple[str, str]:
            checkpoints.save(progress, unique_state(self.model), stage.optimizer, is_best, stage.losses.state())
            return progress.best_file, progress.last_file

        progress.best_file, progress.last_file = processes.from_main(save)

    def _epoch(
        self,
        stage: Stage,
        epoch: int,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: Any,
        rates: Sequence[float],
    ) -> float:
        """Trains on every batch once; returns the mean loss."""
        total = torch.zeros((), device=self.accelerator.device)
        steps = len(loader)
        with watching(loader) as batches:
            for step, (images, targets) in enumerate(batches):
                factor = stage.learning_rate_factor((epoch + step / steps) / stage.config.epochs)
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
                loss = objective(augment(images, stage.config.augment), targets)
                self.accelerator.backward(loss / _group_size(step, steps, stage.config.accumulation_steps))
                if (step + 1) % stage.config.accumulation_steps == 0 or step == steps - 1:
                    optimizer.step()
                    optimizer.zero_grad()
                total += loss.detach()
                if step % _CHECK_EVERY_STEPS == 0 or step == steps - 1:
                    _check_finite(processes.summed(total).item(), stage.name, epoch, step)
                self.work.advance(len(images) * processes.count())
        return processes.summed(total).item() / processes.count() / steps

    def _loss(self, stage: Stage, images: Images, targets: Any) -> Tensor:
        step = self._step(stage, images, targets)
        with torch.autocast(self.accelerator.device.type, enabled=False):
            # The auxiliary loss is that of the quantiles alone; it moves nothing else.
            auxiliary_loss = step.outputs.auxiliary_loss
            return stage.losses(step) + (0 if auxiliary_loss is None else auxiliary_loss)

    def _step(self, stage: Stage, images: Images, targets: Any) -> Step:
        with self.accelerator.autocast():
            teacher_prediction: Any = None
            teacher_features: dict[str, Tensor] = {}
            if stage.needs_teacher:
                with torch.no_grad():
                    teacher_prediction, teacher_features = self.teacher.outputs(images, stage.layers)
            outputs = Outputs(**convert_to_fp32(vars(self.model(images, targets, stage.layers))))
        return Step(outputs, teacher_prediction, teacher_features, targets, self.task)

    @torch.no_grad()
    def _validate(self, stage: Stage, loader: Any) -> dict[str, float]:
        """The stage's loss and the task's quality on the validation set, without augmentation."""
        metric = self.task.metric()
        total, count = 0.0, 0.0
        with watching(loader) as batches:
            for batch in batches:
                images, targets = send_to_device(batch, self.accelerator.device)
                step = self._step(stage, images, targets)
                total += len(images) * stage.losses(step).item()
                count += len(images)
                metric.update(final(step.outputs.prediction), targets)
                self.work.advance(EVALUATION_WORK * len(images) * processes.count())
        total, count = processes.total(total, count)
        # The metric joins what the processes counted by itself.
        return {"loss": total / count, **metric.compute()}


def _group_size(step: int, steps: int, accumulated: int) -> int:
    """How many batches share a step of the optimizer with batch `step` of `steps`; the last ones may be fewer."""
    begin = step - step % accumulated
    return min(accumulated, steps - begin)


def _load_best(model: SplitModel, progress: RunProgress, checkpoints: Checkpoints) -> None:
    load_state(model, processes.from_main(lambda: checkpoints.best(progress)), checkpoints.folder)


def _update_tables(model: SplitModel) -> None:
    model.update_tables()
    # Computed from equal weights, but not always on machines that round alike.
    processes.share_state(model)


def _check_finite(loss: float, stage: str, epoch: int, step: int) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss of {stage} is not finite (epoch {epoch + 1}, by step {step + 1}); lower "
            f"{stage}.learning_rate or set mixed_precision=no; the last good checkpoint is kept"
        )
