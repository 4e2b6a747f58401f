"""Pictures of predictions: what is chosen, what is shown, and that the sizes are those of the packets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sc2bench.cli import app
from sc2bench.core.errors import CheckpointError, ConfigError
from sc2bench.data.scenes import make_scenes
from sc2bench.methods import SplitModel
from sc2bench.pictures import Choice, write_pictures
from sc2bench.pictures.figure import predictions_figure
from sc2bench.pictures.marks import colour_of, tinted
from sc2bench.pictures.predictions import (
    LabelMap,
    choose_scenes,
    model_column,
    predicted_boxes,
    true_boxes,
    truth_column,
)
from sc2bench.runs.suite import Suite
from sc2bench.runs.trained import trained_model

SUITE = """
overrides: [method=input_codec, teacher.weights=random]
curves:
- {label: JPEG, overrides: [task=scenes_TASK, method.codec=jpeg], rates: [1, 30, 90]}
- {label: WebP, overrides: [task=scenes_TASK, method.codec=webp], rates: [50]}
- label: Features
  overrides: [task=scenes_TASK, method=feature_codec, method.codec=jpeg, method.after=layer1]
  rates: [50]
- {label: Student, overrides: [task=scenes_TASK, method=entropic_student], rates: [0.1]}
"""
TASKS = {"detection": "object_detection", "segmentation": "semantic_segmentation"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "few", train=4, validation=2, test=4)


def suite_of(task: str, root: Path, tmp_path: Path) -> Suite:
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.replace("TASK", task))
    return Suite.load(str(path), places(root, tmp_path))


def places(root: Path, tmp_path: Path) -> list[str]:
    return [f"task.root={root}", f"output={tmp_path}/results", f"checkpoints={tmp_path}/checkpoints"]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_command_draws_scenes_of_teacher_and_curves(root, tmp_path, capsys, task):
    suite_of(task, root, tmp_path)
    app(["pictures", str(tmp_path / "mine.yaml"), *places(root, tmp_path), "--scenes", "3"], standalone_mode=False)
    said = capsys.readouterr()
    paths = [tmp_path / "results" / f"predictions.{suffix}" for suffix in ("png", "pdf")]
    assert said.out.split() == [str(path) for path in paths]
    assert "Student at rate 0.1 is left out: it has no weights yet in" in said.err
    with Image.open(paths[0]) as image:
        assert image.width == pytest.approx(7.16 * 300, abs=2)
    assert b"/Type3" not in paths[1].read_bytes()


@pytest.mark.parametrize("task", TASKS)
def test_each_picture_says_the_size_of_its_packet_and_shows_what_arrives(root, tmp_path, task):
    suite = suite_of(task, root, tmp_path)
    name = TASKS[task]
    dataset = suite.all_experiments()[0].dataset("test")
    samples = [dataset[index] for index in (0, 3)]
    images = [image for image, _ in samples]
    truth = truth_column(name, images, [target for _, target in samples])
    models = {label: trained_model(suite.experiments[label][0]) for label in ("JPEG", "Features")}
    columns = [model_column(label, "", name, model, images) for label, model in models.items()]
    for column, model in zip(columns, models.values(), strict=True):
        sizes = [len(packet.to_bytes(model.session)) for packet in model.encode(images)]
        assert [picture.size_bytes for picture in column.pictures] == sizes
    assert [column.decoded for column in columns] == [True, False]
    for kept, coded, image in zip(columns[1].pictures, columns[0].pictures, images, strict=True):
        original = image.permute(1, 2, 0).numpy()
        assert np.array_equal(kept.image, original)
        assert coded.image.shape == original.shape
        # JPEG of quality 1 leaves little of an image.
        assert np.abs(coded.image.astype(float) - original).mean() > 5

    figure = predictions_figure([truth], columns, dataset.classes)
    assert len(figure.axes) == 6
    shown = [text for text in texts(figure) if text.endswith(" bytes")]
    assert shown == [f"{picture.size_bytes:,} bytes" for column in columns for picture in column.pictures]
    for axes, picture in zip(figure.axes, (p for column in (truth, *columns) for p in column.pictures), strict=True):
        height, width = picture.image.shape[:2]
        box = axes.get_window_extent()
        assert box.width / box.height == pytest.approx(width / height, rel=1e-3)
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {dataset.classes[label] for picture in truth.pictures for label in picture.marks.classes()} <= legend


def test_many_columns_go_to_bands_that_start_alike(root, tmp_path):
    suite = suite_of("segmentation", root, tmp_path)
    dataset = suite.all_experiments()[0].dataset("test")
    truth = truth_column("semantic_segmentation", *zip(dataset[0], strict=True))
    columns = [truth.__class__(title, "", truth.pictures) for title in "AAABBBC"]
    figure = predictions_figure([truth, truth.__class__("Teacher", "", truth.pictures)], columns, dataset.classes)
    titles = [text for text in texts(figure) if text in ("Ground truth", "Teacher", *"ABC")]
    assert titles == ["Ground truth", "Teacher", "A", "Ground truth", "Teacher", "B", "C"]
    tops = [axes.get_position().y1 for axes in figure.axes]
    assert len(set(tops)) == 2
    assert len(tops) == 2 + 3 + 2 + 4


def test_names_stand_as_they_are(root, tmp_path):
    dataset = suite_of("segmentation", root, tmp_path).all_experiments()[0].dataset("test")
    truth = truth_column("semantic_segmentation", *zip(dataset[0], strict=True))
    names = [f"_{i} $x_{i}$ $" for i in range(len(dataset.classes))]
    figure = predictions_figure([truth], [truth.__class__("$$ a_b$", "", truth.pictures)], names)
    assert "$$ a_b$" in texts(figure)
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == [names[label] for label in sorted(truth.pictures[0].marks.classes())]
    assert not any(text.get_parse_math() for text in [*figure.texts, *figure.legends[0].get_texts()])


@pytest.mark.slow
def test_points_are_spread_over_the_rates(root, tmp_path):
    suite = suite_of("detection", root, tmp_path)
    written, notes = write_pictures(suite, Choice(scenes=1, curves=("JPEG",), rates=1))
    assert [path.name for path in written] == ["predictions.png", "predictions.pdf"]
    assert notes == []
    with pytest.raises(ConfigError, match="unknown curve 'JPG'; did you mean 'JPEG'"):
        write_pictures(suite, Choice(curves=("JPG",)))
    with pytest.raises(CheckpointError, match="no model that is wanted has its weights yet"):
        write_pictures(suite, Choice(curves=("Student",)))
    path = tmp_path / "other.yaml"
    path.write_text("curves: [{label: W, overrides: [task=fashion_mnist, method=input_codec], rates: [5]}]")
    with pytest.raises(ConfigError, match="predictions of task 'image_classification' can't be drawn"):
        write_pictures(Suite.load(str(path)), Choice())


def test_scenes_with_three_objects_come_first(root, tmp_path):
    dataset = suite_of("detection", root, tmp_path).all_experiments()[0].dataset("test")
    counts = [len(dataset[index][1]["boxes"]) for index in range(4)]
    rich = [index for index, count in enumerate(counts) if count >= 3]
    assert 0 < len(rich) < 4
    assert choose_scenes(dataset, "object_detection", len(rich)) == rich
    assert choose_scenes(dataset, "object_detection", 4) == [0, 1, 2, 3]
    assert choose_scenes(dataset, "object_detection", 9) == [0, 1, 2, 3]


def test_sure_detections_and_single_objects_are_shown():
    boxes = torch.tensor([[0.0, 0, 4, 4], [1, 1, 5, 5], [2, 2, 6, 6]])
    labels = torch.tensor([1, 2, 3])
    found = predicted_boxes({"boxes": boxes, "labels": labels, "scores": torch.tensor([0.6, 0.4, 0.9])})
    assert found.labels.tolist() == [3, 1]
    assert found.boxes.tolist() == boxes[[2, 0]].tolist()
    known = true_boxes({"boxes": boxes, "labels": labels, "iscrowd": torch.tensor([0, 1, 0])})
    assert known.labels.tolist() == [1, 3]


def test_masks_tint_a_grey_image():
    image = np.full((4, 8, 3), (90, 120, 30), np.uint8)
    labels = np.zeros((4, 8), np.uint8)
    labels[:, 4:] = 2
    labels[0, 0] = 255
    shown = tinted(image, LabelMap(labels))
    grey = round(0.299 * 90 + 0.587 * 120 + 0.114 * 30)
    assert shown[2, 2].tolist() == [grey] * 3
    colour = [int(colour_of(2)[place : place + 2], 16) for place in (1, 3, 5)]
    # The edge has the colour itself; within, two fifths of the grey show through.
    assert shown[2, 4].tolist() == colour
    assert shown[2, 6] == pytest.approx([0.4 * grey + 0.6 * value for value in colour], abs=1)
    assert shown[0, 0].tolist() == [255] * 3
    assert LabelMap(labels).classes() == {2}
    assert len({colour_of(label) for label in range(1, 21)}) == 20


def test_methods_without_images_have_none_to_show(root, tmp_path):
    suite = suite_of("detection", root, tmp_path)
    model = trained_model(suite.experiments["Features"][0])
    assert type(model).decode_images is SplitModel.decode_images
    assert model.decode_images([]) is None
    with pytest.raises(CheckpointError):
        trained_model(suite.experiments["Student"][0])
