"""How long measuring takes: all test images to bytes, back, and predicted. Prints the median of some rounds.

    python benchmarks/speed/fashion_mnist.py --checkpoint checkpoints/entropic_student-...

Without a checkpoint the student is untrained; its bytes are then meaningless, its work is the same.
"""

import statistics
import time
from typing import Annotated

import typer

import sc2bench


def main(
    checkpoint: Annotated[str | None, typer.Option(help="folder of a finished run")] = None,
    rounds: Annotated[int, typer.Option(help="how often everything is measured")] = 3,
    batch_size: Annotated[int, typer.Option(help="images that are coded together")] = 250,
) -> None:
    """Measures an Entropic Student on the whole test set of Fashion-MNIST."""
    import torch

    from sc2bench.config import compose
    from sc2bench.core.registry import TASKS
    from sc2bench.data import load_dataset
    from sc2bench.evaluation import evaluate

    overrides = ["task=fashion_mnist", "method=entropic_student"]
    if checkpoint:
        model = sc2bench.load(checkpoint)
    else:
        model = sc2bench.build(overrides)
        model.update_tables()
    config = compose(overrides)
    dataset = load_dataset(config.task, "test")
    task = TASKS[config.task.name](dataset)
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        measured = evaluate(model, dataset, task, batch_size=batch_size)
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    print(f"{len(dataset)} images, {torch.get_num_threads()} threads, batches of {batch_size}")
    print(f"seconds: median {median:.1f}, min {min(seconds):.1f}, max {max(seconds):.1f}")
    print(f"images per second: {len(dataset) / median:.0f}")
    print(
        f"of the last round: device half {measured.encode_ms:.3f} ms an image, server half {measured.decode_ms:.3f} ms"
    )


if __name__ == "__main__":
    typer.run(main)
