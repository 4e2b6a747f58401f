"""A step of the first stage of an Entropic Student with a ResNet-50, as the package trains it and in plain PyTorch.

    python benchmarks/speed/training.py

The base computes in float32 and keeps tensors in PyTorch's default layout; weights and images are random.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import torch
import typer
from measure import environment, interleave, table
from torch import nn

from sc2bench.config import compose
from sc2bench.core.memory import keep_memory
from sc2bench.core.progress import Work
from sc2bench.data import MemoryImages
from sc2bench.methods import build_model
from sc2bench.runs.conditions import accelerator_for
from sc2bench.tasks.image_classification import ImageClassification
from sc2bench.teachers import Preprocess, load_teacher
from sc2bench.training.loop import _Trainer
from sc2bench.training.stage import build_stage
from sc2bench.wire.inputs import ImageSpec

OVERRIDES = ("task=ilsvrc2012", "method=entropic_student", "teacher.weights=random")
CLASSES = tuple(map(str, range(1000)))


def make_contiguous(module: nn.Module, preprocess: Preprocess) -> None:
    """Lays weights and preprocessed images out in memory as PyTorch does it by default."""
    module.to(memory_format=torch.contiguous_format)
    preprocess.register_forward_hook(lambda module, images, output: output.contiguous())


def prepare(
    *, plain: bool, batch_size: int, pixels: int = 224, overrides: tuple[str, ...] = OVERRIDES
) -> Callable[[], float]:
    """One training step; returns its loss.

    Args:
        plain: float32 and contiguous, else the package's defaults.
        batch_size: images of a step.
        pixels: height and width of the images.
        overrides: what is trained.
    """
    precision = "no" if plain else "auto"
    config = compose([*overrides, f"stage1.batch_size={batch_size}", f"mixed_precision={precision}"])
    torch.manual_seed(0)
    # The student takes modules of its teacher over, so what it imitates is another one.
    teacher, imitated = (load_teacher(config.teacher, len(CLASSES)).eval() for _ in range(2))
    model = build_model(config, teacher, ImageSpec(3, (pixels, pixels)))
    if plain:
        make_contiguous(model, teacher.preprocess)
        make_contiguous(imitated, imitated.preprocess)
    else:
        keep_memory()
    images = torch.randint(0, 256, (batch_size, 3, pixels, pixels), dtype=torch.uint8)
    data = MemoryImages(images, torch.arange(batch_size), CLASSES)
    stage = build_stage("stage1", config.stages["stage1"], model, imitated, data, 0, 0)
    imitated.requires_grad_(False)
    accelerator = accelerator_for(config.mixed_precision)
    work = Work(1, "benchmark", quiet=True)
    trainer = _Trainer(model, imitated, ImageClassification(data), data, config, accelerator, work)
    stage.enter(model)
    objective, optimizer, _ = trainer._prepare(stage)
    stage.train_mode(model)

    def step() -> float:
        loss = objective(images, data.targets)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def main(
    repeats: Annotated[int, typer.Option(help="rounds that count")] = 3,
    batch_size: Annotated[int, typer.Option(help="images of a step")] = 16,
    threads: Annotated[int, typer.Option(help="of PyTorch")] = 1,
) -> None:
    """Prints times and ratios."""
    print(environment(threads))
    variants = {
        "float32, contiguous": partial(prepare, plain=True, batch_size=batch_size),
        "the package's defaults": partial(prepare, plain=False, batch_size=batch_size),
    }
    measured = interleave(variants, repeats, threads)
    print(table(measured, dict.fromkeys(variants, batch_size), "image"))
    losses = [times.result for times in measured.values()]
    print(f"losses of the last step: {', '.join(f'{loss:.6g}' for loss in losses)}")


if __name__ == "__main__":
    typer.run(main)
