"""Damaged files of weights of every kind: refused with a `CheckpointError`, or without effect.

Files with a digest must give exactly what they were written with, if they give anything. Of files without one, as old
versions wrote them and others do, numbers may be other ones, but nothing else may happen, in reading or in use.
"""

import io
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sc2bench.config import compose
from sc2bench.core import digests
from sc2bench.core.errors import CheckpointError
from sc2bench.core.state import load_state, load_tensors, save_tensors, unique_state
from sc2bench.entropy import CodingError, EntropyTablesMissing, FactorizedPrior
from sc2bench.exporting import runner
from sc2bench.runs.trained import trained_experiment
from sc2bench.teachers.files import fill, read_weights
from sc2bench.training.checkpoint import PROGRESS, Checkpoints, RunProgress
from sc2bench.wire.packet import SessionHeader
from tests.fuzz.damage import flip, harm

_EPOCHS = [3, 2]


class Model(nn.Module):
    """A little of everything that a state dict may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.BatchNorm2d(8))
        self.prior = FactorizedPrior(3)

    def use(self) -> None:
        """What may break when all was read: both directions of the coder."""
        symbols = np.array([[[0, 5, -300], [1, 0, 2], [-1, 0, 2**31 - 1]]], np.int32)
        try:
            coder = self.prior.coder
            assert np.array_equal(coder.decode(coder.encode(symbols), (3, 3)), symbols)
            coder.decode([b"\xff\x10\x80"], (3, 3))
        except (CodingError, EntropyTablesMissing):
            return


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of files.

    Attributes:
        files: contents by name; those that may be damaged come first.
        damaged: how many of them may be.
        read: reads the folder; returns what was read, ready to be compared.
        sealed: whether digests protect what is read.
    """

    files: Mapping[str, bytes]
    damaged: int
    read: Callable[[Path], Any]
    sealed: bool


def run(count: int, seed: int) -> dict[str, int]:
    """Damages one file of some kind at a time, and reads it."""
    outcomes: Counter[str] = Counter(tries=count)
    kinds = _kinds()
    with tempfile.TemporaryDirectory(prefix="sc2bench-fuzz-") as place:
        for number in range(count):
            generator = np.random.default_rng((seed, number))
            name = list(kinds)[number % len(kinds)]
            folder = Path(place) / f"{number}"
            folder.mkdir()
            try:
                outcomes[_try(kinds[name], folder, generator)] += 1
            except Exception as error:
                raise AssertionError(f"try {number} of seed {seed}, {name}") from error
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    return dict(outcomes)


def _try(kind: Kind, folder: Path, generator: np.random.Generator) -> str:
    for name, content in kind.files.items():
        (folder / name).write_bytes(content)
    chosen = folder / list(kind.files)[generator.integers(kind.damaged)]
    content = chosen.read_bytes()
    for _ in range(2 if not kind.sealed and generator.random() < 0.2 else 1):
        content = (flip if generator.random() < 0.5 else harm)(content or b"\0", generator)
    chosen.write_bytes(content)
    try:
        found = kind.read(folder)
    except CheckpointError:
        return "refused"
    same = found == _expected(kind)
    assert same or not kind.sealed, f"{chosen.name} is damaged, and read as something else"
    return "without effect" if same else "read, without a digest"


@lru_cache
def _expected(kind: Kind) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in kind.files.items():
            (Path(folder) / name).write_bytes(content)
        return kind.read(Path(folder))


def _contents(state: Mapping[str, Tensor]) -> dict[str, tuple[Any, ...]]:
    return {name: (t.dtype, tuple(t.shape), t.detach().numpy().tobytes()) for name, t in sorted(state.items())}


@lru_cache
def _kinds() -> dict[str, Kind]:
    torch.manual_seed(0)
    model = Model()
    model.prior.update_tables()
    state = unique_state(model)
    return _weights(state) | _checkpoints(model) | _exported(model) | _configurations()


def _weights(state: dict[str, Tensor]) -> dict[str, Kind]:
    """Single files, ours and others'."""
    target = Model()

    def ours(folder: Path) -> Any:
        load_state(target, load_tensors(folder / "w.safetensors"), folder)
        target.use()
        return _contents(unique_state(target))

    def others(name: str) -> Callable[[Path], Any]:
        def read(folder: Path) -> Any:
            fill(target, read_weights(folder / name), folder)
            target.use()
            return _contents(unique_state(target))

        return read

    def archived(folder: Path) -> Any:
        """With the archive's checksums made after the damage, so that it reaches the unpickler."""
        with zipfile.ZipFile(zipped) as whole, zipfile.ZipFile(folder / "w.pth", "w") as archive:
            for entry in whole.namelist():
                damaged = entry.endswith("/data.pkl")
                archive.writestr(entry, (folder / "data.pkl").read_bytes() if damaged else whole.read(entry))
        return others("w.pth")(folder)

    zipped, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": state, "epoch": 3}, zipped)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    return {
        "weights": Kind({"w.safetensors": _written(lambda path: save_tensors(state, path))}, 1, ours, True),
        "old weights": Kind({"w.safetensors": _written(lambda path: save_file(state, path))}, 1, ours, False),
        "archive": Kind({"w.pth": zipped.getvalue()}, 1, others("w.pth"), False),
        "pickle in an archive": Kind({"data.pkl": _pickle(zipped)}, 1, archived, False),
        "pickle": Kind({"w.pt": legacy.getvalue()}, 1, others("w.pt"), False),
    }


def _checkpoints(model: Model) -> dict[str, Kind]:
    """What training leaves after an epoch, to be resumed from."""
    optimizer = torch.optim.AdamW(model.network.parameters(), 1e-3)
    for parameter in model.network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        progress = RunProgress("abc", 1, 2, 0.5, history=[{"stage": "stage1", "seconds": 1.5}])
        Checkpoints(Path(folder), "abc").save(progress, unique_state(model), optimizer, is_best=False)
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    (last,) = (name for name in files if name != PROGRESS)
    values = {key: value for key, value in json.loads(files[PROGRESS]).items() if key != digests.DIGEST}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / last).write_bytes(files[last])
        tensors = load_tensors(Path(folder) / last)
    old = {PROGRESS: json.dumps(values).encode(), last: _written(lambda path: save_file(tensors, path))}
    target = Model()

    def read(folder: Path) -> Any:
        checkpoints = Checkpoints(folder, "abc")
        progress = checkpoints.load(_EPOCHS)
        if not progress.epoch:
            return progress
        state, _, optimizer_state = checkpoints.last(progress)
        load_state(target, state, folder)
        resumed = torch.optim.AdamW(target.network.parameters(), 1e-3)
        checkpoints.restore(resumed, optimizer_state, torch.optim.AdamW)
        for parameter in target.network.parameters():
            parameter.grad = torch.ones_like(parameter)
        resumed.step()
        return progress, _contents(unique_state(target))

    return {"checkpoint": Kind(files, 2, read, True), "old checkpoint": Kind(old, 2, read, False)}


def _exported(model: Model) -> dict[str, Kind]:
    """A device half, of a graph that casts its images to symbols."""
    given = onnx.helper.make_tensor_value_info(runner.IMAGES, onnx.TensorProto.UINT8, ["n", 3, 2, 2])
    symbols = onnx.helper.make_tensor_value_info(runner.SYMBOLS, onnx.TensorProto.INT32, ["n", 3, 2, 2])
    cast = onnx.helper.make_node("Cast", [runner.IMAGES], [runner.SYMBOLS], to=onnx.TensorProto.INT32)
    graph = onnx.helper.make_model(
        onnx.helper.make_graph([cast], "device", [given], [symbols]),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    tables = {name: np.asarray(getattr(model.prior.tables, name)) for name in runner.TABLE_PARTS}
    about = {
        "format_version": runner.FORMAT_VERSION,
        "image_shape": [3, 2, 2],
        "sizing": {"shorter": None, "longer": None, "multiple": 1, "margin": 0},
        "integer_bits": None,
    }
    files = {
        runner.TABLES: _written(lambda path: np.savez(path, **tables), ".npz"),
        runner.SESSION: SessionHeader(fingerprint=bytes(8), shape=(3, 2, 2)).to_bytes(),
        runner.GRAPH: graph.SerializeToString(),
    }
    names = {name: digests.new() for name in files}
    for name, hashed in names.items():
        hashed.update(files[name])
    known = digests.sealed(about | {runner.FILES: {name: hashed.hexdigest() for name, hashed in names.items()}})
    images = np.arange(12, dtype=np.uint8).reshape(1, 3, 2, 2)

    def read(folder: Path) -> Any:
        device = runner.DeviceRunner(folder)
        if device.spec.to_list() != [3, 2, 2]:
            return None
        return device.session, device.encode(images)

    return {
        "exported": Kind({runner.ABOUT: json.dumps(known).encode(), **files}, 4, read, True),
        # Others' libraries read graphs, which nothing but a digest protects from damage.
        "old export": Kind({runner.ABOUT: json.dumps(about).encode(), **files}, 3, read, False),
    }


def _configurations() -> dict[str, Kind]:
    """The configuration beside final weights."""
    config = compose(["task=fashion_mnist", "method=entropic_student", "rate=0.3"])
    files = {"config.json": json.dumps(config.resolved(), indent=2).encode()}
    return {"configuration": Kind(files, 1, lambda folder: trained_experiment(folder).config, False)}


def _written(write: Callable[[Path], Any], suffix: str = ".safetensors") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        write(path)
        return path.read_bytes()


def _pickle(archive: io.BytesIO) -> bytes:
    with zipfile.ZipFile(archive) as whole:
        return next(whole.read(entry) for entry in whole.namelist() if entry.endswith("/data.pkl"))
