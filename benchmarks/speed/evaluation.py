"""Evaluating an Entropic Student with a ResNet-50 at 224x224: single images in float32 against the best setting.

    python benchmarks/speed/evaluation.py

Weights and images are random, so that nothing is downloaded; the work is that of trained weights, the bytes are not.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import typer
from measure import Variant, environment, interleave, table
from training import CLASSES, OVERRIDES, make_contiguous

from sc2bench.config import compose
from sc2bench.core.memory import keep_memory
from sc2bench.data import MemoryImages
from sc2bench.evaluation import evaluate
from sc2bench.methods import SplitModel, build_model
from sc2bench.tasks.image_classification import Accuracy, ImageClassification
from sc2bench.teachers import load_teacher
from sc2bench.wire.inputs import ImageSpec

# Logits (N, classes) and bytes (N,).
Results = tuple[np.ndarray, np.ndarray]


class Kept(Accuracy):
    """Accuracy that keeps the predictions, too."""

    def __init__(self) -> None:
        super().__init__(len(CLASSES))
        self.predictions: list[torch.Tensor] = []

    def update(self, predictions: Any, targets: Any) -> None:
        """Adds logits (N, classes) and class indices (N,)."""
        super().update(predictions, targets)
        self.predictions.append(predictions)


class Keeping(ImageClassification):
    """A task whose metric of the last evaluation is at hand as `kept`."""

    kept: Kept

    def metric(self) -> Kept:
        """A fresh one."""
        self.kept = Kept()
        return self.kept


def build(pixels: int, overrides: tuple[str, ...]) -> SplitModel:
    """The untrained student, with tables."""
    config = compose(overrides)
    torch.manual_seed(0)
    model = build_model(config, load_teacher(config.teacher, len(CLASSES)), ImageSpec(3, (pixels, pixels)))
    model.update_tables()
    return model


def prepare(
    *, plain: bool, images: int, batch_size: int, server_precision: str = "fp32", estimate: bool = True,
    pixels: int = 224, overrides: tuple[str, ...] = OVERRIDES,
) -> Callable[[], Results]:  # fmt: skip
    """An evaluation of some images; returns logits and sizes.

    Args:
        plain: tensors in PyTorch's default layout, and memory given back at once; else the package's defaults.
        images: how many are measured.
        batch_size: how many together.
        server_precision: as for `evaluate`.
        estimate: as for `evaluate`.
        pixels: height and width of the images.
        overrides: what is evaluated.
    """
    model: Any = build(pixels, overrides)
    if plain:
        make_contiguous(model, model.device.preprocess)
    else:
        keep_memory()
    generator = torch.Generator().manual_seed(0)
    # Smooth images, as natural ones are.
    coarse = torch.rand((images, 3, 8, 8), generator=generator)
    smooth = torch.nn.functional.interpolate(255 * coarse, size=(pixels, pixels), mode="bicubic")
    data = MemoryImages(smooth.clamp(0, 255).byte(), torch.arange(images), CLASSES)
    task = Keeping(data)

    def run() -> Results:
        measured = evaluate(
            model, data, task, batch_size=batch_size, server_precision=server_precision, estimate=estimate
        )
        return torch.cat(task.kept.predictions).numpy(), measured.bytes

    return run


def compare(base: Results, other: Results) -> str:
    """How far another setting's results are from those of the base."""
    (logits, sizes), (others, other_sizes) = base, other
    changed = (others.argmax(1) != logits.argmax(1)).mean()
    return (
        f"max logit difference {np.abs(others - logits).max():.2g} (standard deviation of the logits "
        f"{logits.std():.2g}), {100 * changed:.1f} % of top-1 and {100 * (sizes != other_sizes).mean():.1f} % of sizes "
        "changed"
    )


def main(
    repeats: Annotated[int, typer.Option(help="rounds that count")] = 3,
    images: Annotated[int, typer.Option(help="images of a round")] = 32,
    batch_size: Annotated[int, typer.Option(help="of the best setting")] = 16,
    threads: Annotated[int, typer.Option(help="of PyTorch")] = 1,
) -> None:
    """Prints times, ratios and the change of predictions."""
    print(environment(threads))
    fast = partial(prepare, plain=False, images=images, batch_size=batch_size)
    variants: dict[str, Variant] = {
        "float32, contiguous, batch 1": partial(prepare, plain=True, images=images, batch_size=1),
        f"defaults, batch {batch_size}": fast,
        f"server_precision=bf16, batch {batch_size}": partial(fast, server_precision="bf16"),
        f"server_precision=bf16, estimate=false, batch {batch_size}": partial(
            fast, server_precision="bf16", estimate=False
        ),
    }
    measured = interleave(variants, repeats, threads)
    print(table(measured, dict.fromkeys(variants, images), "image"))
    base, *others = measured.items()
    for name, times in others:
        print(f"{name}: {compare(base[1].result, times.result)}")


if __name__ == "__main__":
    typer.run(main)
