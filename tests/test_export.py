"""Device halves without PyTorch."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

import sc2bench
from sc2bench.cli import app
from sc2bench.config import compose
from sc2bench.errors import CheckpointError, ConfigError
from sc2bench.exporting.compare import compare, on_runner
from sc2bench.exporting.export import export_device, graph_bytes
from sc2bench.exporting.runner import DeviceRunner
from sc2bench.methods import SplitModel
from sc2bench.packet import PacketError, read_session
from sc2bench.records import read_record
from sc2bench.run import Run, run_all
from sc2bench.tasks.image_classification import ImageClassification
from tests.conftest import TINY_STUDENT
from tests.test_methods import make

# What a device runs: the libraries that it does not have can't be imported.
DEVICE = """
import sys
sys.modules.update(dict.fromkeys(("torch", "compressai", "torchvision", "onnx", "pandas", "scipy")))
import numpy as np
from sc2bench.exporting.runner import DeviceRunner
from sc2bench.packet import write_session
runner = DeviceRunner(sys.argv[1])
images = np.load(sys.argv[2])
write_session(sys.stdout.buffer, runner.session, [*runner.encode(images[:1]), *runner.encode(images[1:])])
"""


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
    run = Run(compose(["task=fashion_mnist", *folders, *TINY_STUDENT, "evaluation.export=true"]))
    (record,) = run_all([run], quiet=True)
    folder = place / "device"
    options = ["--int8", "--compare", "--samples", "30"]
    with redirect_stdout(io.StringIO()) as shown:
        app(["export", str(run.checkpoint_folder), str(folder), *options], standalone_mode=False)
    return Exported(sc2bench.load(run.checkpoint_folder), folder, record, shown.getvalue())


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
    images = test_images.first(60)
    own, graph, int8 = compare(exported.model, exported.folder, images, ImageClassification(images), batch_size=25)
    assert [own.name, graph.name, int8.name] == ["PyTorch", "ONNX Runtime", "ONNX Runtime, int8"]
    assert (graph.bytes_mean, graph.quality) == (own.bytes_mean, own.quality)
    assert (graph.equal_packets, graph.other_symbols) == (60, 0)
    # Eight bits move some latents over a border between symbols, and few of them.
    assert 0 < int8.other_symbols < 0.2 * 60 * np.prod(exported.model.shape)
    assert int8.equal_packets < 60
    assert int8.bytes_mean == pytest.approx(own.bytes_mean, rel=0.1)
    runner = DeviceRunner(exported.folder, int8=True)
    packets = runner.encode(images.images.numpy())
    assert int8.bytes_mean == pytest.approx(np.mean([len(p.to_bytes(runner.session)) for p in packets]))
    correct = exported.model.decode(packets).argmax(1) == images.targets
    assert int8.quality["top1"] == pytest.approx(100 * correct.float().mean().item())


def test_size_of_the_graph_is_in_the_record(exported):
    size = (exported.folder / "device.onnx").stat().st_size
    recorded = read_record(exported.record)["device_export_bytes"]
    weights = sum(parameter.numel() for parameter in exported.model.device.encoder.parameters())
    assert 4 * weights < recorded
    assert recorded == pytest.approx(size, rel=0.01)
    assert graph_bytes(make("input_codec")) is None


def test_command_shows_the_comparison(exported):
    files = [f"{exported.folder}/{name}" for name in ("device.onnx", "device_int8.onnx")]
    assert exported.shown.splitlines()[:2] == files
    rows = [[cell.strip() for cell in line.split("│")] for line in exported.shown.splitlines() if "│" in line]
    sizes = [cell for row in rows if (cell := row[-2])]
    assert sizes == [f"{Path(file).stat().st_size:,}" for file in files]
    about = json.loads((exported.folder / "about.json").read_text())
    assert (about["method"], about["rate"], about["image_shape"]) == ("entropic_student", 0.3, [1, 28, 28])


@pytest.mark.parametrize(
    ("name", "overrides", "sentence"),
    [
        ("entropic_student", ["method.prior=scale_hyperprior"], "its prior is Hyperprior, .* method.prior=factorized"),
        ("channel_reduction", [], "its prior is AffineQuantizer, .* method.prior=factorized"),
        ("input_codec", [], "InputCodec sends no latents of an encoder; choose a method such as entropic_student"),
    ],
)
def test_what_is_not_supported_is_refused(name, overrides, sentence, tmp_path):
    with pytest.raises(ConfigError, match=f"the device half can't be exported: {sentence}"):
        export_device(make(name, *overrides), tmp_path)


def test_wrong_images_and_folders_are_named(exported, tmp_path):
    runner = DeviceRunner(exported.folder)
    with pytest.raises(ValueError, match=r"type float32 and shape \(1, 1, 28, 28\) are no uint8 images"):
        runner.encode(np.zeros((1, 1, 28, 28), np.float32))
    with pytest.raises(CheckpointError, match="is no exported device half"):
        DeviceRunner(tmp_path)
    for file in exported.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "device_int8.onnx").unlink()
    with pytest.raises(CheckpointError, match="for a quantized encoder with --int8"):
        DeviceRunner(tmp_path, int8=True)
    with pytest.raises(PacketError, match="load the same checkpoint on both sides"):
        on_runner(make("entropic_student"), runner)
    (tmp_path / "about.json").write_text('{"format_version": 2}')
    with pytest.raises(CheckpointError, match="format version 2, but this is a reader of version 1"):
        DeviceRunner(tmp_path)
