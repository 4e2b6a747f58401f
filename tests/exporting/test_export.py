"""Device halves without PyTorch."""

import io
import json
import logging
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

import sc2bench
from sc2bench.cli import app
from sc2bench.config import TaskConfig, compose
from sc2bench.core.errors import CheckpointError, ConfigError, InputError
from sc2bench.data import load_dataset
from sc2bench.exporting.compare import compare, on_runner
from sc2bench.exporting.cost import measure_export
from sc2bench.exporting.export import export_device
from sc2bench.exporting.int8 import quantize_encoder
from sc2bench.exporting.runner import DeviceRunner
from sc2bench.methods import SplitModel, build_model
from sc2bench.records import EXPORT_FIELDS, read_record
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.run import run_experiments
from sc2bench.tasks.image_classification import ImageClassification
from sc2bench.tasks.object_detection import ObjectDetection
from sc2bench.teachers import load_teacher
from sc2bench.teachers.scenes import GARMENTS
from sc2bench.wire.inputs import ImageSpec
from sc2bench.wire.packet import PacketError, read_session
from sc2bench.wire.sizing import Sizing
from tests.conftest import TINY_STUDENT
from tests.methods.test_methods import make

# What a device runs: the libraries that it does not have can't be imported.
DEVICE = """
import sys
sys.modules.update(dict.fromkeys(("torch", "compressai", "torchvision", "onnx", "pandas", "scipy")))
import numpy as np
from sc2bench.exporting.runner import DeviceRunner
from sc2bench.wire.packet import write_session
runner = DeviceRunner(sys.argv[1])
images = np.load(sys.argv[2])
write_session(sys.stdout.buffer, runner.session, [*runner.encode(images[:1]), *runner.encode(images[1:])])
"""


def scenes_student(method: str, sizing: Sizing) -> SplitModel:
    """A student of random weights for images of any size, whose latents are spread over many symbols."""
    config = compose(["task=scenes_detection", f"method={method}", "method.bottleneck=fp_scene", "rate=0.3"])
    teacher = load_teacher(config.teacher, GARMENTS + 1)
    teacher.preprocess.sizing = sizing
    torch.manual_seed(0)
    model: Any = build_model(config, teacher, ImageSpec(3))
    with torch.no_grad():
        model.device.encoder[-1].weight *= 50
    model.update_tables()
    return model


class Exported(NamedTuple):
    model: SplitModel
    folder: Path
    record: Path
    shown: str


@pytest.fixture(scope="module")
def exported(mini_root, tmp_path_factory) -> Exported:
    """A student of a moment's training, exported and compared by the command."""
    place = tmp_path_factory.mktemp("exported")
    folders = [f"task.root={mini_root}", f"output={place}/results", f"checkpoints={place}/checkpoints"]
    exports = ["evaluation.export=true", "evaluation.export_int8=true"]
    run = Experiment(compose(["task=fashion_mnist", *folders, *TINY_STUDENT, *exports]))
    (record,) = run_experiments([run], quiet=True)
    folder = place / "device"
    options = ["--int8", "--compare", "--samples", "30", "--csv", str(place / "compared.csv")]
    with redirect_stdout(io.StringIO()) as shown:
        app(["export", str(run.checkpoint_folder), str(folder), *options], standalone_mode=False)
    return Exported(sc2bench.load(run.checkpoint_folder), folder, record, shown.getvalue())


@pytest.mark.slow
def test_a_device_without_pytorch_sends_the_same_packets(exported, test_images, tmp_path):
    images = test_images.images[:40]
    np.save(tmp_path / "images.npy", images.numpy())
    command = [sys.executable, "-c", DEVICE, str(exported.folder), str(tmp_path / "images.npy")]
    sent = subprocess.run(command, check=True, capture_output=True, timeout=100).stdout
    header, packets = read_session(io.BytesIO(sent))
    exported.model.session.require(header)
    received = list(packets)
    expected = exported.model.encode(images)
    assert received == expected
    # After a moment's training some images are alike to the student, but by no means all.
    assert len({packet.payload for packet in received}) > 10
    assert torch.equal(exported.model.decode(received), exported.model.decode(expected))


def test_what_is_exported_is_measured_as_any_model(exported, test_images):
    images = test_images.part(60)
    own, graph, int8 = compare(
        exported.model, exported.folder, images, ImageClassification(images), batch_size=25, seconds=0
    )
    assert [own.name, graph.name, int8.name] == ["PyTorch", "ONNX Runtime", "ONNX Runtime, int8"]
    assert (graph.bytes_mean, graph.quality) == (own.bytes_mean, own.quality)
    assert (graph.equal_packets, graph.other_symbols) == (60, 0)
    assert graph.symbols == 60 * np.prod(exported.model.shape)
    # Eight bits move some latents over a border between symbols, and few of them.
    assert 0 < int8.other_symbols < 0.2 * 60 * np.prod(exported.model.shape)
    assert int8.equal_packets < 60
    assert int8.bytes_mean == pytest.approx(own.bytes_mean, rel=0.1)
    runner = DeviceRunner(exported.folder, int8=True)
    packets = runner.encode(images.images.numpy())
    assert int8.bytes_mean == pytest.approx(np.mean([len(p.to_bytes(runner.session)) for p in packets]))
    correct = exported.model.decode(packets).argmax(1) == images.targets
    assert int8.quality["top1"] == pytest.approx(100 * correct.float().mean().item())


def test_size_and_time_of_the_graphs_are_in_the_record(exported, test_images):
    record = read_record(exported.record)
    weights = sum(parameter.numel() for parameter in exported.model.device.encoder.parameters())
    assert 4 * weights < record["device_export_bytes"]
    for field, name in (("device_export_bytes", "device.onnx"), ("device_int8_export_bytes", "device_int8.onnx")):
        assert record[field] == pytest.approx((exported.folder / name).stat().st_size, rel=0.01)
    for span in ("device_onnx", "device_int8"):
        low, median, high, slow = (record[f"{span}_ms_{name}"] for name in ("p50_low", "p50", "p50_high", "p95"))
        assert 0 < record[f"{span}_network_ms_p50"] < median <= slow
        assert low <= median <= high
    unmeasured = measure_export(make("input_codec"), test_images.images[:1], repeats=1, threads=1)
    assert unmeasured == dict.fromkeys(EXPORT_FIELDS)


def test_command_shows_the_comparison(exported):
    files = [f"{exported.folder}/{name}" for name in ("device.onnx", "device_int8.onnx")]
    assert exported.shown.splitlines()[:2] == files
    rows = [[cell.strip() for cell in line.split("│")] for line in exported.shown.splitlines() if "│" in line]
    sizes = [cell for row in rows if (cell := row[-2])]
    assert sizes == [f"{Path(file).stat().st_size:,}" for file in files]
    compared = pd.read_csv(exported.folder.parent / "compared.csv")
    assert compared["name"].tolist() == ["PyTorch", "ONNX Runtime", "ONNX Runtime, int8"]
    assert compared["samples"].tolist() == [30] * 3
    assert compared["graph_bytes"].tolist()[1:] == [Path(file).stat().st_size for file in files]
    measured = [row[2:4] for row in rows if row[-2] or row[1] == "PyTorch"]
    assert [[f"{size:.2f}", f"{top1:.2f}"] for size, top1 in compared[["bytes_mean", "top1"]].to_numpy()] == measured
    about = json.loads((exported.folder / "about.json").read_text())
    assert (about["method"], about["rate"], about["image_shape"]) == ("entropic_student", 0.3, [1, 28, 28])


SCALING = Sizing(shorter=80, longer=120, multiple=32)


@pytest.mark.slow
@pytest.mark.parametrize("sizing", [Sizing(), SCALING], ids=["as they are", "scaled"])
def test_images_of_any_size(sizing, tmp_path, few_scenes):
    model = scenes_student("entropic_student", sizing)
    scenes = load_dataset(TaskConfig("object_detection", "scenes", str(few_scenes)), "test", 6)
    # Cut to further sizes, for one of which the longer side bounds the scaling.
    images = [*scenes.sample(6), *(image[:, :33, :77] for image in scenes.sample(2))]
    export_device(model, tmp_path)
    level = logging.getLogger().level
    quantize_encoder(tmp_path, [image.numpy() for image in images[:2]])
    # What the rest of the process warns of is not silenced.
    assert logging.getLogger().level == level
    expected = model.encode(images)
    assert len({packet.size for packet in expected}) > 2
    assert len({packet.payload for packet in expected}) == 8
    runner = DeviceRunner(tmp_path)
    packets = runner.encode([image.numpy() for image in images])
    if sizing is SCALING:
        # ONNX Runtime's interpolation rounds differently in the last bit, which moves few symbols if any.
        assert [packet.size for packet in packets] == [packet.size for packet in expected]
        assert sum(one == other for one, other in zip(packets, expected, strict=True)) >= 4
    else:
        assert packets == expected
    assert len(model.decode(packets)) == 8
    _, graph, int8 = compare(model, tmp_path, scenes, ObjectDetection(scenes), batch_size=4, seconds=0)
    assert graph.other_symbols < 1e-3 * graph.symbols
    assert 0 < int8.other_symbols < 0.5 * int8.symbols
    with pytest.raises(InputError, match=r"no batch; give uint8 \(N, 3, H, W\)"):
        runner.analyze(images[0].numpy())


@pytest.mark.slow
def test_integers_of_fixed_width(test_images, tmp_path):
    model = make("channel_reduction")
    images = test_images.part(20)
    export_device(model, tmp_path)
    own, graph = compare(model, tmp_path, images, ImageClassification(images), batch_size=20, seconds=0)
    assert graph.bytes_mean == own.bytes_mean
    assert graph.other_symbols <= 2
    # A scale that differs in its last bit is no other symbol, but makes another packet.
    packets = DeviceRunner(tmp_path).encode(images.images.numpy())
    read = [model.server.read(sent, model.spec.probe_shape) for sent in (packets, model.encode(images.images))]
    assert float((read[0] - read[1]).abs().max()) < 0.02 * float(read[1].abs().max())
    assert float((read[0] - read[1]).abs().median()) < 1e-5


@pytest.mark.parametrize(
    ("name", "overrides", "sentence"),
    [
        (
            "entropic_student",
            ["method.prior=scale_hyperprior"],
            "its prior is Hyperprior, whose .* method.prior=factorized",
        ),
        ("input_codec", [], "InputCodec sends no latents of an encoder; choose a method such as entropic_student"),
        ("feature_codec", [], "FeatureCodec sends no latents of an encoder; choose a method such as entropic_student"),
    ],
)
def test_what_is_not_supported_is_refused(name, overrides, sentence, tmp_path):
    with pytest.raises(ConfigError, match=f"the device half can't be exported: {sentence}"):
        export_device(make(name, *overrides), tmp_path)


def test_wrong_images_and_folders_are_named(exported, tmp_path):
    runner = DeviceRunner(exported.folder)
    with pytest.raises(InputError, match="images are of type float32; give uint8"):
        runner.encode(np.zeros((1, 1, 28, 28), np.float32))
    for shape in ((0, 1, 28, 28), (1, 28, 28), (1, 3, 28, 28), (2, 1, 28, 27)):
        with pytest.raises(InputError):
            runner.encode(np.zeros(shape, np.uint8))
    with pytest.raises(CheckpointError, match="is no exported device half"):
        DeviceRunner(tmp_path)
    for file in exported.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "device_int8.onnx").unlink()
    with pytest.raises(CheckpointError, match="for a quantized encoder with --int8"):
        DeviceRunner(tmp_path, int8=True)
    with pytest.raises(PacketError, match="load the same checkpoint on both sides"):
        on_runner(make("entropic_student"), runner)
    (tmp_path / "device_int8.onnx").write_bytes((exported.folder / "device_int8.onnx").read_bytes())
    for file in exported.folder.iterdir():
        damaged = bytearray(file.read_bytes())
        damaged[len(damaged) // 3] ^= 1
        (tmp_path / file.name).write_bytes(damaged)
        sentence = (
            "damaged|is no exported device half" if file.name == "about.json" else rf"{file.name} has another digest"
        )
        with pytest.raises(CheckpointError, match=sentence):
            DeviceRunner(tmp_path, int8=file.name == "device_int8.onnx")
        (tmp_path / file.name).write_bytes(file.read_bytes())
    # As an older version wrote it, without digests.
    about = json.loads((tmp_path / "about.json").read_text())
    for key in ("files", "digest"):
        del about[key]
    (tmp_path / "about.json").write_text(json.dumps(about))
    assert DeviceRunner(tmp_path, int8=True).session == runner.session
    for wrong in ({"image_shape": [1, 28]}, {"sizing": {"multiple": 0}}, {"sizing": 3}, {"integer_bits": 7}):
        (tmp_path / "about.json").write_text(json.dumps(about | wrong))
        with pytest.raises(CheckpointError, match=f"no exported device half .{next(iter(wrong))} is"):
            DeviceRunner(tmp_path)
    (tmp_path / "about.json").write_text('{"format_version": 1}')
    with pytest.raises(CheckpointError, match="format version 1, but this is a reader of version 2"):
        DeviceRunner(tmp_path)
