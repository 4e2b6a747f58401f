"""The command that takes a device half out of PyTorch."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sc2bench.cli.application import app
from sc2bench.cli.common import Plugins, examples, interruptible, paths
from sc2bench.core.progress import plain_console

_MOST_SAMPLES = 1000


@app.command(
    "export",
    epilog=examples(
        "sc2bench export checkpoints/entropic_student-de0e957432fa exported",
        "sc2bench export checkpoints/entropic_student-de0e957432fa exported --int8 --compare --csv compared.csv",
    ),
)
def export(
    checkpoint: Annotated[Path, typer.Argument(help="the folder that a run left below checkpoints/", callback=paths)],
    out: Annotated[Path, typer.Argument(help="the folder to write", callback=paths)],
    plugin: Plugins = None,
    int8: Annotated[bool, typer.Option("--int8", help="also quantize the encoder to 8 bits")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="measure what is exported beside the model, on test images")
    ] = False,
    samples: Annotated[
        int | None, typer.Option(min=1, help="test images to compare on; by default all, but 1,000 at most")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="a CSV file that the comparison is written to", callback=paths)
    ] = None,
) -> None:
    """Write the device half of a trained model as ONNX, with its tables: it then runs without PyTorch."""
    from sc2bench.core.registry import TASKS, load_plugins
    from sc2bench.exporting.export import export_device
    from sc2bench.exporting.int8 import quantize_encoder
    from sc2bench.runs.api import load
    from sc2bench.runs.measure import calibration_images
    from sc2bench.runs.trained import trained_experiment

    load_plugins(plugin or [])
    experiment = trained_experiment(checkpoint)
    model = load(checkpoint)
    config = experiment.config
    origin = {
        "task": config.task.name,
        "method": config.method.name,
        "teacher": config.teacher.name,
        "rate": config.rate,
        "training_hash": config.training_hash(),
    }
    with interruptible():
        print(export_device(model, out, origin))
        if int8:
            print(quantize_encoder(out, calibration_images(experiment)))
        if compare:
            from sc2bench.exporting.compare import compare as measure
            from sc2bench.exporting.compare import write_comparison

            dataset = experiment.dataset("test", samples or min(len(experiment.dataset("test")), _MOST_SAMPLES))
            task = TASKS[config.task.name](dataset, config.task)
            rows = measure(model, out, dataset, task, batch_size=config.evaluation.batch_size)
            _show(rows, len(dataset))
            if csv is not None:
                print(write_comparison(csv, rows, {**origin, "samples": len(dataset)}))


def _show(rows: list[Any], samples: int) -> None:
    metrics = list(rows[0].quality)
    heads = [f"{name} [%]" for name in metrics]
    table = Table("device half", "bytes", *heads, f"equal packets of {samples}", "other symbols", "ms", "file [bytes]")
    for row in rows:
        size = "" if row.graph_bytes is None else f"{row.graph_bytes:,}"
        quality = [f"{row.quality[name]:.2f}" for name in metrics]
        same = [f"{row.equal_packets:,}", f"{row.other_symbols:,}"]
        table.add_row(row.name, f"{row.bytes_mean:.2f}", *quality, *same, f"{row.network_ms:.2f}", size)
    plain_console().print(table)
