"""What an experiment's result depends on beyond its configuration."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sc2bench.config import TaskConfig, compose
from sc2bench.core import registry
from sc2bench.core.errors import CheckpointError, DataError
from sc2bench.core.registry import load_plugins, loaded_plugins
from sc2bench.data import ImageSet, checked_fingerprint, fingerprint_of, load_dataset, opening
from sc2bench.data.miniature import make_coco, make_fashion_mnist, make_imagenet, make_voc
from sc2bench.data.scenes import make_scenes
from sc2bench.evaluation import measure_latency
from sc2bench.methods import SplitModel
from sc2bench.runs import identity, ready
from sc2bench.runs import run as run_module
from sc2bench.runs.experiment import FINAL_WEIGHTS, TRAINED_IN, Experiment
from sc2bench.runs.run import run_experiments
from sc2bench.runs.sharing import PointsFailed
from sc2bench.runs.suite import Suite
from sc2bench.teachers.load import WEIGHTS
from sc2bench.training import loop
from sc2bench.training.checkpoint import PROGRESS
from tests import EMBEDDED
from tests.conftest import TINY_STUDENT

FASHION = TaskConfig("image_classification", "fashion_mnist")


def forget() -> None:
    """As a new process knows nothing of what was read before."""
    opening._loaded.cache_clear()
    opening._fingerprint.cache_clear()


@pytest.fixture
def other_root(tmp_path) -> Path:
    return make_fashion_mnist(tmp_path / "other")


def codec(root: Path | None, place: Path, *more: str) -> Experiment:
    rooted = [] if root is None else [f"task.root={root}"]
    places = [f"output={place}/results", f"checkpoints={place}/checkpoints"]
    return Experiment(compose(["task=fashion_mnist", "method=input_codec", "rate=10", *rooted, *places, *more]))


def test_two_folders_share_no_record_and_equal_ones_do(mini_root, other_root, tmp_path, capsys):
    (first,) = run_experiments([codec(mini_root, tmp_path)], quiet=True)
    other = codec(other_root, tmp_path)
    assert not other.done
    (second,) = run_experiments([other])
    assert f"{first.name} does not count: data.test is not the same; the point is measured anew" in " ".join(
        capsys.readouterr().err.split()
    )
    qualities = [json.loads(path.read_text())["quality"]["top1"] for path in (first, second)]
    assert first != second
    assert qualities[0] > qualities[1] + 30
    # The same files elsewhere are the same data.
    moved = shutil.copytree(mini_root, tmp_path / "moved")
    assert codec(moved, tmp_path).record_path == first


def test_weights_of_other_data_are_not_taken(mini_root, other_root, tmp_path):
    students = [
        Experiment(compose(["task=fashion_mnist", f"task.root={root}", f"checkpoints={tmp_path}", *TINY_STUDENT]))
        for root in (mini_root, other_root)
    ]
    assert students[0].checkpoint_folder != students[1].checkpoint_folder
    # What is measured does not decide what is trained.
    measured_otherwise = Experiment(
        compose(["task=fashion_mnist", f"task.root={mini_root}", f"checkpoints={tmp_path}", *TINY_STUDENT,
                 "evaluation.split=validation"])
    )  # fmt: skip
    assert measured_otherwise.checkpoint_folder == students[0].checkpoint_folder
    assert measured_otherwise.id != students[0].id


def test_published_data_leave_no_trace_whatever_their_folder_is_called(tmp_path):
    system = Path("/usr/share/datasets/fashion-mnist")
    if not system.is_dir():
        pytest.skip("needs the published files in their own place")
    link = tmp_path / "linked"
    link.symlink_to(system)
    assert "-x" not in codec(None, tmp_path).id
    assert codec(link, tmp_path).id == codec(None, tmp_path).id
    assert fingerprint_of(TaskConfig("image_classification", "fashion_mnist", str(link)), "train") is None


def test_other_files_in_the_place_of_the_published_ones_are_refused(other_root, monkeypatch):
    monkeypatch.setattr("sc2bench.data.fashion_mnist.SYSTEM_FOLDER", other_root)
    monkeypatch.delenv("SC2BENCH_FASHION_MNIST", raising=False)
    forget()
    try:
        with pytest.raises(
            DataError, match=r"fashion_mnist/test: the files in its own place are not the published ones"
        ):
            checked_fingerprint(FASHION, "test")
    finally:
        forget()


def test_the_environment_variable_names_other_data_within_a_process(mini_root, other_root, tmp_path, monkeypatch):
    plain = codec(None, tmp_path).id
    ids = []
    for root in (mini_root, other_root):
        monkeypatch.setenv("SC2BENCH_FASHION_MNIST", str(root))
        ids.append(codec(None, tmp_path).id)
        assert len(load_dataset(FASHION, "test")) == {mini_root: 100, other_root: 24}[root]
    assert len({plain, *ids}) == 3
    assert ids[0] == codec(mini_root, tmp_path).id


def changed_file(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize(
    ("dataset", "task", "make", "change"),
    [
        ("fashion_mnist", "image_classification", make_fashion_mnist,
         lambda root: _flip(root / "t10k-images-idx3-ubyte")),
        ("ilsvrc2012", "image_classification", make_imagenet,
         lambda root: changed_file(next(root.glob("val/*/*.JPEG")))),
        ("ilsvrc2012", "image_classification", make_imagenet,
         lambda root: [path.rename(path.with_name("z.JPEG")) for path in [next(root.glob("val/*/*.JPEG"))]]),
        ("coco2017", "object_detection", make_coco,
         lambda root: _edit(root / "annotations" / "instances_val2017.json", '"area": ', '"area": 1')),
        ("coco2017", "object_detection", make_coco, lambda root: changed_file(next(root.glob("val2017/*.jpg")))),
        ("pascal_voc2012", "semantic_segmentation", make_voc,
         lambda root: changed_file(root / "VOCdevkit/VOC2012/SegmentationClass/2008_000000.png")),
        ("scenes", "object_detection", lambda folder: make_scenes(folder, 4, 2, 3),
         lambda root: _edit(root / "annotations" / "instances_test.json", '"area": ', '"area": 1')),
    ],
    ids=["idx", "folder, size", "folder, name", "coco, annotation", "coco, image", "voc, mask", "scenes"],
)  # fmt: skip
def test_every_reader_sees_that_its_data_changed(dataset, task, make, change, tmp_path):
    root = tmp_path / "data"
    make(root)
    config = TaskConfig(task, dataset, str(root))
    before = fingerprint_of(config, "test")
    assert before is not None
    assert len(before) == 16
    forget()
    assert fingerprint_of(config, "test") == before
    change(root)
    forget()
    _forget_listings()
    assert fingerprint_of(config, "test") != before


def _forget_listings() -> None:
    from sc2bench.data.coco import read_listing
    from sc2bench.data.folder import list_images

    for cached in (read_listing, list_images):
        cached.cache_clear()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _edit(path: Path, before: str, after: str) -> None:
    path.write_text(path.read_text().replace(before, after, 1))


def test_sets_that_say_nothing_are_known_by_their_samples(test_images):
    class Silent(type(test_images)):
        fingerprint = ImageSet.fingerprint

    images, targets = test_images.images[:40].clone(), test_images.targets[:40]
    first = Silent(images, targets, test_images.classes).fingerprint
    assert Silent(images.clone(), targets, test_images.classes).fingerprint == first
    images[39, 0, 3, 3] ^= 1
    assert Silent(images, targets, test_images.classes).fingerprint != first


SUITE = """
curves:
- {label: WebP, overrides: [method=input_codec, method.codec=webp], rates: [10]}
"""


def test_reports_need_records_alone_and_never_guess_between_two(mini_root, other_root, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE)
    roots = [shutil.copytree(root, tmp_path / f"copy{number}") for number, root in enumerate((mini_root, other_root))]
    places = ["task=fashion_mnist", f"output={tmp_path}/results"]
    Suite.load(str(path), [*places, f"task.root={roots[0]}"]).run(quiet=True)
    gone = tmp_path / "gone"
    roots[0].rename(gone)
    forget()
    # Without the data there is one record that can be meant.
    assert len(Suite.load(str(path), [*places, f"task.root={roots[0]}"]).records()) == 1
    Suite.load(str(path), [*places, f"task.root={roots[1]}"]).run(quiet=True)
    with pytest.raises(DataError, match="were measured on different data or weights; which is meant can't be told"):
        Suite.load(str(path), [*places, f"task.root={roots[0]}"]).records()
    assert Suite.load(str(path), [*places, f"task.root={roots[1]}"]).records()["samples"].tolist() == [24]


def test_a_suite_never_mixes_points_of_different_data_without_a_word(mini_root, other_root, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.replace("[10]", "[10, 20]"))
    place, root = f"output={tmp_path}/results", tmp_path / "data"
    for source, rate in ((mini_root, 10), (other_root, 20)):
        shutil.copytree(source, root)
        forget()
        run_experiments([codec(root, tmp_path, "method.codec=webp", f"rate={rate}")], quiet=True)
        shutil.rmtree(root)
    forget()
    # Of each point there is but one record, and no data that could tell.
    with pytest.raises(DataError, match=r"-10-.*-20-.* were measured on different data .* give task.root"):
        Suite.load(str(path), ["task=fashion_mnist", f"task.root={root}", place]).records()


def test_reports_find_what_was_trained_in_the_other_precision(tiny, tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text(f"curves: [{{label: Student, overrides: {json.dumps(TINY_STUDENT)}}}]")
    overrides = [*tiny, "stage1.epochs=1", "stage2.epochs=1", "evaluation.samples=10"]
    for here, elsewhere in (("bf16", "no"), ("no", "bf16")):
        monkeypatch.setattr(identity, "resolved_precision", lambda wanted, auto=elsewhere: auto)
        (run,) = Suite.load(str(path), overrides).all_experiments()
        measured = run.record_path
        measured.parent.mkdir(parents=True, exist_ok=True)
        measured.write_text(json.dumps(_record_of(run)))
        monkeypatch.setattr(identity, "resolved_precision", lambda wanted, auto=here: auto)
        (run,) = Suite.load(str(path), overrides).all_experiments()
        # It is no reason to train nothing here.
        assert not run.done
        assert run.reported_path() == measured
        assert Suite.load(str(path), overrides).records()["path"].tolist() == [str(measured)]
        measured.unlink()


def _record_of(run: Experiment) -> dict:
    """A committed record, as if it were that of a run."""
    folder = EMBEDDED / "image_classification" / "entropic_student"
    record = json.loads(next(folder.glob("*.json")).read_text())
    own = run.config.resolved()
    named = {"rate": own["rate"], "seed": own["seed"], "config_hash": run.config.config_hash(), "config": own}
    return record | named | {"surroundings": run.surroundings}


def test_reports_do_without_files_of_weights(tmp_path, mini_root):
    file = tmp_path / "teacher.safetensors"
    shutil.copy(WEIGHTS / "fashion_resnet.safetensors", file)
    (path,) = run_experiments([codec(mini_root, tmp_path, f"teacher.weights={file}")], quiet=True)
    file.unlink()
    later = codec(mini_root, tmp_path, f"teacher.weights={file}")
    assert later.surroundings is None
    assert later.reported_path() == path


def test_programs_are_known_by_their_content(tmp_path, mini_root):
    program = tmp_path / "encoder"
    ids = set()
    for version in (1, 2):
        program.write_text(f"#!/bin/sh\necho {version}{version * 'x'}\n")
        ids.add(codec(mini_root, tmp_path, "method.codec=bpg", f"method.options.program={program}").id)
    assert len(ids) == 2


def test_weights_that_are_taken_over_are_known_by_their_content(tmp_path, mini_root):
    places = [f"task.root={mini_root}", f"checkpoints={tmp_path}", f"output={tmp_path}/results"]
    quoted = ", ".join(json.dumps(text) for text in ["task=fashion_mnist", *places, *TINY_STUDENT])

    def runs() -> list[Experiment]:
        student = Experiment(compose(["task=fashion_mnist", *places, *TINY_STUDENT]))
        return [student, Experiment(compose(["task=fashion_mnist", *places, *TINY_STUDENT, f"source=[{quoted}]"]))]

    names = set()
    for content in ("", "a", "b"):
        folder = runs()[0].configured_folder
        folder.mkdir(exist_ok=True)
        if content:
            (folder / identity.IMPORTED).write_text(json.dumps({"file": "x.pt", "blake2b": content * 64}))
            (folder / FINAL_WEIGHTS).touch()
        student, heir = runs()
        # The heir trains on what it takes over; the student has what was taken over.
        names.add((student.id, heir.id, heir.checkpoint_folder))
    assert [len(set(column)) for column in zip(*names, strict=True)] == [3, 3, 3]


def test_raw_images_of_one_size_are_told_apart(tmp_path):
    for name in ("one", "two"):
        for part in ("train", "val"):
            for label in ("a", "b"):
                folder = tmp_path / name / part / label
                folder.mkdir(parents=True)
                for number in range(3):
                    shade = 10 * number + (name == "two")
                    Image.new("RGB", (8, 8), (shade, 0, 0)).save(folder / f"{number}.bmp")
    configs = [TaskConfig("image_classification", "ilsvrc2012", str(tmp_path / name)) for name in ("one", "two")]
    assert len({fingerprint_of(config, "test") for config in configs}) == 2


def test_files_of_weights_are_known_by_their_content(tmp_path, mini_root):
    file = tmp_path / "teacher.safetensors"
    shutil.copy(WEIGHTS / "fashion_resnet.safetensors", file)
    ids = [codec(mini_root, tmp_path, f"teacher.weights={file}").id]
    state = load_file(file)
    (bias,) = (name for name in state if name.endswith("fc.bias"))
    state[bias] = state[bias] + 1
    save_file(state, file)
    changed = codec(mini_root, tmp_path, f"teacher.weights={file}")
    assert changed.id not in ids
    assert changed.surroundings is not None
    assert sorted(changed.surroundings) == ["data.test", "teacher.weights"]
    trained = []
    for shift in (0, 1):
        save_file(state | {bias: state[bias] + shift}, file)
        student = Experiment(compose(["task=fashion_mnist", f"teacher.weights={file}", *TINY_STUDENT]))
        trained.append(student.checkpoint_folder)
    assert trained[0] != trained[1]


def test_precision_is_resolved_before_it_is_an_identity(monkeypatch):
    def folder(*more: str) -> str:
        return Experiment(compose(["task=fashion_mnist", *TINY_STUDENT, *more])).checkpoint_folder.name

    monkeypatch.setattr(identity, "resolved_precision", lambda wanted: "no" if wanted == "auto" else wanted)
    single = folder()
    assert folder("mixed_precision=no") == single
    assert folder("mixed_precision=bf16") != single
    monkeypatch.setattr(identity, "resolved_precision", lambda wanted: "bf16" if wanted == "auto" else wanted)
    assert folder() not in (single, folder("mixed_precision=no"))
    # Nothing is trained, so nothing depends on it.
    assert "-x" not in Experiment(compose(["task=fashion_mnist", "method=input_codec", "rate=1"])).id


def test_seeds_of_a_random_teacher_are_not_measured_in_one_pass():
    runs = [
        Experiment(
            compose(["task=fashion_mnist", "method=input_codec", "rate=1", "teacher.weights=random", f"seed={seed}"])
        )
        for seed in (0, 1)
    ]
    assert runs[0].sweep != runs[1].sweep


@pytest.mark.slow
def test_retraining_replaces_weights_and_record(tiny):
    run = Experiment(compose([*tiny, *TINY_STUDENT, "stage1.epochs=1", "stage2.epochs=1"]))
    (path,) = run_experiments([run], quiet=True)
    weights = run.checkpoint_folder / FINAL_WEIGHTS
    expected = load_file(weights)
    spoilt = {name: torch.zeros_like(values) if "encoder" in name else values for name, values in expected.items()}
    save_file(spoilt, weights)
    before = path.stat().st_mtime_ns
    time.sleep(0.01)
    run_experiments([run], quiet=True, retrain=True)
    assert path.stat().st_mtime_ns > before
    assert all(torch.equal(values, expected[name]) for name, values in load_file(weights).items())
    record = json.loads(path.read_text())
    trained_in = json.loads((run.checkpoint_folder / TRAINED_IN).read_text())
    assert record["training_environment"] == trained_in
    assert [each["threads"] for each in trained_in["conditions"]] == [torch.get_num_threads()]
    assert trained_in["threads"] == torch.get_num_threads()
    assert trained_in["mixed_precision"] == identity.resolved_precision("auto")
    assert record["data_fingerprint"] == record["surroundings"]["data.test"]
    # Weights of another shape say how to get rid of them.
    save_file({name: values for name, values in expected.items() if "encoder" not in name}, weights)
    with pytest.raises(CheckpointError, match=rf"delete {run.checkpoint_folder}, or add --retrain, to train anew"):
        run_experiments([run], quiet=True, force=True)


def test_the_server_is_timed_in_the_precision_that_it_is_measured_in(test_images):
    seen = []

    class Watched(torch.nn.Module):
        def read(self, packets, shape):
            return packets

        def predict(self, values, shape):
            seen.append(torch.is_autocast_enabled("cpu"))

    model = SplitModel.__new__(SplitModel)
    torch.nn.Module.__init__(model)
    model.device, model.server = _Device(seen), Watched()
    for precision in ("fp32", "bf16"):
        measure_latency(model, test_images.images[:2], repeats=1, server_precision=precision)
    # Each is warmed up once and timed once, device before server.
    assert seen == [False] * 4 + [False, True] * 2


class _Device(torch.nn.Module):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def analyze(self, images):
        return images

    def code(self, values):
        self.seen.append(torch.is_autocast_enabled("cpu"))
        return [np.zeros(1)]


@pytest.mark.slow
def test_a_stopped_run_that_goes_on_with_other_threads_says_so(tiny, capsys):
    run = Experiment(compose([*tiny, *TINY_STUDENT]))
    threads = torch.get_num_threads()
    stopped = lambda *args, **options: (_ for _ in ()).throw(KeyboardInterrupt)  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        # Stopped as by Ctrl-C, when the first stage is done.
        original = loop._load_best
        patch.setattr(loop, "_load_best", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_experiments([run], quiet=True)
        patch.setattr(loop, "_load_best", original)
    capsys.readouterr()
    torch.set_num_threads(threads + 1)
    try:
        run_experiments([run])
    finally:
        torch.set_num_threads(threads)
    said = " ".join(capsys.readouterr().err.split())
    assert f"training goes on with threads {threads + 1} instead of {threads}; its weights will differ" in said
    progress = json.loads((run.checkpoint_folder / PROGRESS).read_text())
    assert [conditions["threads"] for conditions in progress["conditions"]] == [threads, threads + 1]


PLUGIN = """
from __future__ import annotations

from sc2bench.codecs.pillow import Jpeg
from sc2bench.core.registry import IMAGE_CODECS

IMAGE_CODECS.register("changing_codec")(Jpeg)
"""


def test_the_code_of_a_plugin_is_part_of_what_it_makes(mini_root, tmp_path, monkeypatch):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    # Nothing of it stays for other tests, and what is there before does.
    assert "jpeg" in registry.IMAGE_CODECS
    for held, name in ((registry, "_plugins"), (registry.IMAGE_CODECS, "_entries")):
        monkeypatch.setattr(held, name, dict(getattr(held, name)))
    load_plugins([str(plugin)])

    def ids() -> list[str]:
        codecs = ("changing_codec", "jpeg")
        return [codec(mini_root, tmp_path, f"method.codec={name}").id for name in codecs]

    before = ids()
    (loaded,) = (known for known in loaded_plugins() if known.name == str(plugin))
    # As another process finds it that loads a changed file.
    monkeypatch.setitem(registry._plugins, str(plugin), replace(loaded, content=f"{0:016x}"))
    after = ids()
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_weights_that_change_between_planning_and_measuring_are_told(mini_root, tmp_path, monkeypatch):
    state = load_file(WEIGHTS / "fashion_resnet.safetensors")
    file = tmp_path / "teacher.safetensors"
    save_file(state, file)
    first, second = (codec(mini_root, tmp_path, f"teacher.weights={file}", f"method.codec={name}")
                     for name in ("jpeg", "webp"))  # fmt: skip
    original = run_module.measure_group

    def overwriting(*arguments):
        original(*arguments)
        save_file({name: torch.zeros_like(values) for name, values in state.items()}, file)

    monkeypatch.setattr(run_module, "measure_group", overwriting)
    with pytest.raises(PointsFailed, match=r"1 of 2 points failed(.|\n)*teacher.weights is no more what it was when"):
        run_experiments([first, second], quiet=True)
    assert first.record_path.exists()
    assert not second.record_path.exists()


def test_what_is_trained_after_a_stopped_import_is_not_taken_for_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "fingerprint_of", lambda task, split: None)
    run = Experiment(compose(["task=fashion_mnist", f"checkpoints={tmp_path}", "mixed_precision=no", *TINY_STUDENT]))
    mark = run.configured_folder / identity.IMPORTED
    mark.parent.mkdir()
    mark.write_text('{"file": "some.pt", "blake2b": "0123456789abcdef"}')
    assert identity.imported_from(run.config) is None
    assert run.checkpoint_folder == run.configured_folder
    ready._clear(run)
    (run.checkpoint_folder / FINAL_WEIGHTS).touch()
    assert identity.imported_from(run.config) is None
