"""Reports of suites with several tasks or data sets, and of records with the qualities of several tasks."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from sc2bench.cli import app
from sc2bench.core.errors import ConfigError, DataError
from sc2bench.core.registry import TASKS
from sc2bench.measures import MAIN_METRICS, main_metrics
from sc2bench.records import read_record, write_record
from sc2bench.report import groups_of, write_joint_report
from sc2bench.report.joint import joint_figure, joint_table
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.suite import Suite
from tests import EMBEDDED

SUITE = """
anchor: WebP
figures: {main: [WebP, JPEG], boxes: [WebP boxes]}
overrides: [method=input_codec]
curves:
- {label: WebP, overrides: [task=fashion_mnist, method.codec=webp], rates: [10, 20, 30, 40]}
- {label: JPEG, overrides: [task=fashion_mnist, method.codec=jpeg], rates: [10, 20, 30, 40]}
- {label: WebP boxes, overrides: [task=scenes_detection, method.codec=webp], rates: [10, 20, 30]}
- {label: JPEG boxes, overrides: [task=scenes_detection, method.codec=jpeg], rates: [10, 20, 30]}
- {label: WebP masks, overrides: [task=scenes_segmentation, method.codec=webp], rates: [10, 20]}
"""
# A real one, of a codec, whose every field is known.
MEASURED = next((EMBEDDED / "image_classification/input_codec").glob("*.json"))
ALL_TABLES = ("curves", "bjontegaard", "equal_quality", "budget_bytes", "budget_joint", "rate_parts", "points")
ALONE = tuple(name for name in ALL_TABLES if name not in ("bjontegaard", "equal_quality"))


def quality_of(run: Experiment) -> dict[str, float]:
    """Made up: grows with the rate, and is that of the task."""
    value = 40 + run.config.rate / 2
    return {MAIN_METRICS[run.config.task.name]: value, "of_no_report": 0.0}


def measure(run: Experiment) -> None:
    config = run.config
    quality = quality_of(run)
    sizes = {"bytes_mean": 10 * config.rate, "payload_bytes_mean": 10 * config.rate - 1, "framing_bytes_mean": 1.0}
    own = {
        "task": config.task.name,
        "dataset": config.task.dataset,
        "codec": config.method.codec,
        "teacher": config.teacher.name,
        "rate": config.rate,
        "config_hash": config.config_hash(),
        "bytes_p50": 10 * config.rate,
        "bytes_p95": 20 * config.rate,
        "quality": quality,
        "config": config.resolved(),
    }
    write_record(run.record_path, read_record(MEASURED) | own | sizes)


@pytest.fixture
def report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[list[str], str]]:
    """Measures the curves of the given tasks and reports; returns the paths below the folder, and the errors."""

    def write(*tasks: str, text: str = SUITE) -> tuple[list[str], str]:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        output = f"output={tmp_path / 'mine'}"
        for run in Suite.load(str(path), [output]).all_experiments():
            if run.config.task.name in tasks:
                measure(run)
        app(["report", str(path), output], standalone_mode=False)
        said = capsys.readouterr()
        return [str(Path(line).relative_to(tmp_path / "mine")) for line in said.out.split()], said.err

    return write


def files(folder: str, tables: tuple[str, ...], *figures: str) -> list[str]:
    names = ["table.md", *(f"tables/{name}.{suffix}" for name in tables for suffix in ("csv", "tex"))]
    names += [f"{name}.{suffix}" for name in figures for suffix in ("png", "pdf")]
    return [f"{folder}/{name}" for name in names]


@pytest.mark.slow
def test_each_task_and_data_set_has_a_report_of_its_own(report, tmp_path):
    written, _ = report(*MAIN_METRICS)
    # Two tasks have the data set "scenes", so that its name alone would not tell them apart. The anchor is of the first
    # group; what a figure shows is of one group, and where no figure is left, one shows all.
    assert written == [
        *files("fashion_mnist", ALL_TABLES, "main"),
        *files("scenes_object_detection", ALONE, "boxes"),
        *files("scenes_semantic_segmentation", ALONE, "rate_accuracy"),
    ]
    for folder, head, best in (
        ("fashion_mnist", "Top-1 [%]", {"WebP": 60, "JPEG": 60}),
        ("scenes_object_detection", "mAP [%]", {"WebP boxes": 55, "JPEG boxes": 55}),
        ("scenes_semantic_segmentation", "mIoU [%]", {"WebP masks": 50}),
    ):
        points = pd.read_csv(tmp_path / "mine" / folder / "tables/points.csv")
        assert points.groupby("Curve")[head].max().to_dict() == best
        assert not {"Top-1 [%]", "mAP [%]", "mIoU [%]"} - {head} & set(points)
        tex = (tmp_path / "mine" / folder / "tables/points.tex").read_text()
        assert rf"\label{{tab:mine-{folder}-points}}" in tex
    heading = (tmp_path / "mine/scenes_object_detection/table.md").read_text().splitlines()[0]
    assert heading == "# Suite mine, object detection on scenes"


def test_places_depend_on_the_suite_and_not_on_what_is_measured(report):
    written, said = report("object_detection")
    assert written == files("scenes_object_detection", ALONE, "boxes")
    assert "10 of 16 points are not measured yet" in said


@pytest.mark.slow
def test_one_task_is_reported_where_it_always_was(report, tmp_path):
    one = "\n".join(line for line in SUITE.splitlines() if "scenes" not in line and "figures" not in line)
    by_default, _ = report("image_classification", text=one)
    assert [f"x/{name}" for name in by_default] == files("x", ALL_TABLES, "rate_accuracy")
    table = (tmp_path / "mine/table.md").read_bytes()
    named, _ = report("image_classification", text=f"metric: top1{one}")
    assert (named, (tmp_path / "mine/table.md").read_bytes()) == (by_default, table)
    report("image_classification", text=f"metric: of_no_report{one}")
    assert "of_no_report [%]" in (tmp_path / "mine/table.md").read_text()


def test_a_damaged_record_of_a_suite_is_named_and_a_missing_one_counted(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE)
    output = f"output={tmp_path / 'mine'}"
    runs = Suite.load(str(path), [output]).experiments["WebP"]
    for run in runs:
        measure(run)
    whole = runs[1].record_path.read_text()
    for damaged in (whole[:-9], whole.replace('"quality": {', '"quality": null, "was": {'), ""):
        runs[1].record_path.write_text(damaged)
        with pytest.raises(DataError, match=rf"record .*{runs[1].id}\.json .*; delete it to measure the point again"):
            app(["report", str(path), output], standalone_mode=False)
    runs[1].record_path.unlink()
    app(["report", str(path), output], standalone_mode=False)
    assert "13 of 16 points are not measured yet" in capsys.readouterr().err
    assert len(pd.read_csv(tmp_path / "mine/fashion_mnist/tables/points.csv")) == 3


def test_a_metric_for_several_tasks_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"metric: map{SUITE}")
    with pytest.raises(ConfigError, match="each compared by a metric of its own; leave 'map' out"):
        Suite.load(str(path))


@pytest.mark.slow
def test_groups_of_the_published_suite():
    groups = Suite.load("paper").groups
    assert [(group.name, group.metrics(None), len(group.curves)) for group in groups] == [
        ("ilsvrc2012", ("top1",), 39),
        ("coco2017", ("map",), 10),
        ("pascal_voc2012", ("miou",), 17),
    ]


def test_data_sets_of_one_task_are_kept_apart():
    groups = groups_of({"a": ("x", "one"), "b": ("x", "two"), "c": ("x", "one")})
    assert [(group.name, group.curves) for group in groups] == [("one", ("a", "c")), ("two", ("b",))]
    (only,) = groups_of({"a": ("x", "one")})
    assert only.folder(Path("results/s")) == Path("results/s")


def test_main_metrics_are_those_of_the_tasks():
    assert {name: TASKS[name].main_metric for name in MAIN_METRICS} == MAIN_METRICS
    assert main_metrics("multi_task") == ("top1", "map", "miou")
    with pytest.raises(ConfigError, match="nothing says what 'of_a_plugin' is compared by; name a metric"):
        main_metrics("of_a_plugin")


def joint_records() -> pd.DataFrame:
    sizes, top1, found, miou = (100.0, 200.0, 400.0), (80.0, 85.0, 88.0), (20.0, 40.0, 45.0), (30.0, 35.0, 50.0)
    frame = pd.DataFrame({"bytes_mean": sizes, "top1": top1, "map": found, "miou": miou, "rate": (0.3, 0.1, 0.03)})
    shared = {"curve": "One encoder", "method": "multi_task", "codec": None, "prior": "factorized", "teacher": "t"}
    return frame.assign(**shared, rate_knob="beta", device_macs=7, device_params=5)


def test_several_qualities_of_one_packet(tmp_path):
    records, metrics = joint_records(), main_metrics("multi_task")
    frame = joint_table(records, metrics).frame
    heads = ["Top-1 [%]", "mAP [%]", "mIoU [%]"]
    assert list(frame.columns) == ["Curve", "Rate knob", "Value", "Bytes", *heads]
    assert frame.loc[1, ["Value", "Bytes", *heads]].tolist() == [0.1, 200, 85, 40, 35]
    panels = joint_figure(records, metrics).axes
    assert [axes.get_ylabel() for axes in panels] == ["Top-1 accuracy (%)", "mAP (%)", "mIoU (%)"]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "(a) image classification",
        "(b) object detection",
        "(c) semantic segmentation",
    ]
    for axes, name in zip(panels, metrics, strict=True):
        line = axes.get_lines()[0]
        assert line.get_xdata().tolist() == [100, 200, 400]
        assert line.get_ydata().tolist() == records[name].tolist()
        assert axes.get_xlabel() == "Data size (bytes per image, log scale)"
        # No point is left out, however far below the best.
        low, high = axes.get_ylim()
        assert low < records[name].min() < records[name].max() < high
    written = write_joint_report(records, tmp_path / "s", title="S", metrics=metrics, html=True)
    names = ["table.md", "tables/points.csv", "tables/points.tex", "rate_accuracy.png", "rate_accuracy.pdf"]
    assert [str(path.relative_to(tmp_path / "s")) for path in written] == [*names, "explorer.html"]
    assert "| One encoder | beta | 0.1 | 200.0 | 85.00 | 40.00 | 35.00 |" in written[0].read_text()
    with Image.open(written[3]) as image:
        assert image.width == pytest.approx(7.16 * 300, abs=2)
    with pytest.raises(DataError, match="run the suite first"):
        write_joint_report(records.drop(columns=list(metrics)), tmp_path, title="S", metrics=metrics)
