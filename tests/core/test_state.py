"""Files of weights: digests, and what is refused of damaged ones and of those of others."""

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sc2bench.config import TeacherConfig
from sc2bench.core import digests
from sc2bench.core.errors import CheckpointError
from sc2bench.core.state import DIGEST, load_state, load_tensors, save_tensors
from sc2bench.teachers import WEIGHTS, load_teacher, read_weights, teacher_downloads
from sc2bench.teachers import load as teachers
from sc2bench.teachers.files import fill
from sc2bench.training.checkpoint import PROGRESS, Checkpoints, RunProgress


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_every_flipped_bit_of_a_file_of_weights_is_noticed_or_harmless(tmp_path):
    tensors = {
        "b": torch.randn(3, 2),
        "a": torch.tensor(7),
        "half": torch.ones(2).bfloat16(),
        "none": torch.empty(0, 2),
    }
    path = tmp_path / "weights.safetensors"
    save_tensors(tensors, path)
    assert equal(load_tensors(path), tensors)
    good = path.read_bytes()
    refused = 0
    for place in range(8 * len(good)):
        flipped = bytearray(good)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert equal(load_tensors(path), tensors), place
        except CheckpointError:
            refused += 1
    # What names the digest is not covered by it, and harms nothing else.
    assert 8 * (len(good) - len(DIGEST)) - 8 <= refused < 8 * len(good)


def test_files_without_a_digest_are_read_as_before(tmp_path):
    tensors = {"a": torch.randn(3, 2)}
    save_file(tensors, tmp_path / "old.safetensors")
    assert equal(load_tensors(tmp_path / "old.safetensors"), tensors)
    # And others' readers read ours.
    save_tensors(tensors, tmp_path / "new.safetensors")
    assert equal(load_file(tmp_path / "new.safetensors"), tensors)


MISFITS = {
    "not a number": ({"0.bias": torch.tensor([1.0, torch.nan])}, "0.bias is not finite"),
    "an infinity in a buffer": ({"1.running_var": torch.tensor([torch.inf, 1.0])}, "1.running_var is not finite"),
    "integers": ({"0.bias": torch.tensor([1, 2])}, "0.bias is of type int64"),
    "floats for a count": ({"1.num_batches_tracked": torch.tensor(3.5)}, "1.num_batches_tracked is of type float32"),
    "too large for single precision": (
        {"0.bias": torch.tensor([0, 1e300], dtype=torch.float64)},
        "0.bias is not finite",
    ),
    "floats of 8 bits": ({"0.bias": torch.ones(2).to(torch.float8_e5m2)}, "0.bias is of type float8_e5m2"),
}


@pytest.mark.parametrize("kind", MISFITS)
@pytest.mark.parametrize("load", [load_state, fill])
def test_tensors_that_are_no_weights_are_refused(kind, load):
    change, sentence = MISFITS[kind]
    with pytest.raises(CheckpointError, match=f"weights of a file don't fit Sequential: {sentence}"):
        load(network(), network().state_dict() | change, "of a file")


def test_half_precision_and_masks_are_weights():
    module, state = network(), network().state_dict()
    # A mask of a network's own is infinite on purpose.
    mask = torch.tensor([0, -torch.inf])
    module.register_buffer("mask", mask)
    load_state(module, {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in
                        (state | {"mask": mask}).items()}, "of a file")  # fmt: skip
    assert torch.equal(module[0].weight, state["0.weight"].half().float())


@pytest.mark.filterwarnings("ignore:.*[Ss]parse")
def test_sizes_are_checked_before_work(tmp_path):
    """A small file that declares much: expanded, sparse, and compressed."""
    for name, tensor in (
        ("0.weight", torch.zeros(1).expand(10**12)),
        ("0.weight", torch.zeros(1).as_strided((10**6, 10**6), (0, 0))),
        ("0.weight", torch.sparse_coo_tensor(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1), (10**12,))),
        ("0.weight", torch.empty(10**12, device="meta")),
    ):
        torch.save({name: tensor}, tmp_path / "expanded.pth")
        assert (tmp_path / "expanded.pth").stat().st_size < 3000
        with pytest.raises(
            CheckpointError, match=r"expanded.pth: 0.weight of shape \(1000.*is not stored value by value"
        ):
            read_weights(tmp_path / "expanded.pth")
    torch.save({"0.weight": torch.zeros(10**6)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(
        tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED
    ) as packed:  # fmt: skip
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    with pytest.raises(CheckpointError, match=r"packed.pth are a compressed archive"):
        read_weights(tmp_path / "packed.pth")
    (tmp_path / "huge.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match=r"huge.safetensors can't be read"):
        read_weights(tmp_path / "huge.safetensors")


@pytest.mark.parametrize(
    "content",
    [
        {1: torch.zeros(1)},
        {"state_dict": {"a": 3}},
        [torch.zeros(1)],
    ],
)
def test_other_things_than_named_tensors_are_refused(content, tmp_path):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other.pt hold something else than named tensors"):
        read_weights(tmp_path / "other.pt")


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80\x02}q\x00(", pickle.dumps({"a": [1] * 9})[:-3], bytes(300)])
def test_cut_pickles_are_refused(content, tmp_path):
    (tmp_path / "cut.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cut.pt"):
        read_weights(tmp_path / "cut.pt")


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q\x00(", pickle.dumps([1, 2], protocol=2), b"PK\x03\x04"])
def test_damaged_downloads_are_one_sentence(content, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (cached,) = teacher_downloads(TeacherConfig("resnet18", "DEFAULT", "torchvision"))
    place = tmp_path / "hub" / "checkpoints" / cached.split("/")[-1]
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights https://.*resnet18.*fetch that file by hand"):
        load_teacher(TeacherConfig("resnet18", "DEFAULT", "torchvision"))


def test_packaged_weights_are_compared_with_their_digests(tmp_path, monkeypatch):
    known = json.loads((WEIGHTS / teachers.DIGESTS).read_text())
    packaged = sorted(WEIGHTS.glob("*.safetensors"))
    assert known == {path.name: digests.of_file(path) for path in packaged}
    for path in (WEIGHTS / teachers.DIGESTS, WEIGHTS / "fashion_resnet.safetensors"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(teachers, "WEIGHTS", tmp_path)
    load_teacher(TeacherConfig("fashion_resnet"))
    damaged = bytearray((tmp_path / "fashion_resnet.safetensors").read_bytes())
    damaged[-5] ^= 1
    (tmp_path / "fashion_resnet.safetensors").write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"fashion_resnet.safetensors have another digest .*install the package"):
        load_teacher(TeacherConfig("fashion_resnet"))


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """The folder of a run that was killed after two epochs of its second stage."""
    module = network()
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    progress = RunProgress("abc", 1, 2, 0.5, history=[{"stage": "stage1"}])
    Checkpoints(tmp_path / "run", "abc").save(progress, module.state_dict(), optimizer, is_best=True)
    return tmp_path / "run"


def resume(folder: Path) -> None:
    checkpoints, module = Checkpoints(folder, "abc"), network()
    progress = checkpoints.load([3, 2])
    state, _, optimizer_state = checkpoints.last(progress)
    load_state(module, state, folder)
    load_state(module, checkpoints.best(progress), folder)
    checkpoints.restore(torch.optim.Adam(module.parameters(), 1e-3), optimizer_state, torch.optim.Adam)


def test_one_flipped_bit_of_a_checkpoint_is_noticed(checkpoint):
    resume(checkpoint)
    generator = np.random.default_rng(0)
    for path in sorted(checkpoint.iterdir()):
        good = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(good)
            # Beside the key that names the digest, without which the file is one of an old version.
            place = int(generator.integers(len(good) - 200)) + 200 if path.suffix == ".safetensors" else int(
                generator.integers(len(good) - 80)
            )  # fmt: skip
            damaged[place] ^= 1 << int(generator.integers(8))
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError):
                resume(checkpoint)
        path.write_bytes(good)
    resume(checkpoint)


PROGRESSES = {
    "a field of another version": ({"gradient": 3}, "unknown field 'gradient'"),
    "no field": ({"training_hash": None}, "it names no training_hash"),
    "a word for a number": ({"epoch": "2"}, "epoch is '2'"),
    "a switch for a number": ({"stage": True}, "stage is 'True'"),
    "an epoch too many": ({"epoch": 7}, "stage 2 has no epoch 7"),
    "a stage too many": ({"stage": 2}, "stage 3 has no epoch 2"),
    "a negative stage": ({"stage": -1}, "stage 0 has no epoch 2"),
    "no best": ({"best": float("nan")}, "best is 'nan'"),
    "a file elsewhere": ({"best_file": "../../model.safetensors"}, "best_file is '../../model.safetensors'"),
    "no last file": ({"last_file": ""}, "last_file is empty after epoch 2"),
    "a history of words": ({"history": ["good"]}, "history is"),
    "no groups": ({"optimizer": {"state": {}}}, "neither states nor groups of parameters"),
    "no number": ({"optimizer": {"state": {"x": {}}, "param_groups": []}}, "invalid literal for int"),
    "other groups": ({"optimizer": {"state": {}, "param_groups": []}}, "0 groups of parameters instead of 1"),
}


@pytest.mark.parametrize("mistake", PROGRESSES)
def test_progress_that_can_not_be_is_refused(checkpoint, mistake):
    """Without a digest, as old versions wrote it."""
    change, sentence = PROGRESSES[mistake]
    values = json.loads((checkpoint / PROGRESS).read_text())
    (checkpoint / PROGRESS).write_text(json.dumps(digests.unsealed(values) | change))
    with pytest.raises(CheckpointError, match=rf"checkpoint .*{sentence}.*; delete {checkpoint} to train anew"):
        resume(checkpoint)
    (checkpoint / PROGRESS).write_text(json.dumps(digests.unsealed(values)))
    resume(checkpoint)


GROUPS = {
    "a word": (("param_groups", 0, "lr"), "fast", "option 'lr' is fast"),
    "an infinite rate": (("param_groups", 0, "lr"), float("inf"), "option 'lr' is inf"),
    "other parameters": (("param_groups", 0, "params"), [0, 1, 2, 9], r"option 'params' is \[0, 1, 2, 9\]"),
    "another coefficient": (("param_groups", 0, "betas"), [0.9, 1.5], r"option 'betas' is \[0.9, 1.5\]"),
    "a negative count": (("state", 1, "step"), torch.tensor(-1.0), "'step' of parameter 1 is of another shape"),
    "a parameter too many": (("state", 9), {"step": 3}, "a state of parameter 9, but there are 4"),
    "another optimizer's": (("state", 1), {"momentum_buffer": torch.zeros(2)}, r"has \['momentum_buffer'\] instead of"),
    "another shape": (("state", 1, "exp_avg"), torch.zeros(3), "'exp_avg' of parameter 1 is of another shape"),
    "no number": (("state", 1, "exp_avg"), torch.full((2,), torch.nan), "'exp_avg' of parameter 1 is .*not finite"),
}


@pytest.mark.parametrize("mistake", GROUPS)
def test_states_of_other_optimizers_are_refused(checkpoint, mistake):
    *places, last = GROUPS[mistake][0]
    checkpoints = Checkpoints(checkpoint, "abc")
    _, _, state = checkpoints.last(checkpoints.load([3, 2]))
    part = state
    for place in places:
        part = part[place]
    part[last] = GROUPS[mistake][1]
    with pytest.raises(CheckpointError, match=f"holds no state of the stage's optimizer .*{GROUPS[mistake][2]}"):
        checkpoints.restore(torch.optim.Adam(network().parameters(), 1e-3), state, torch.optim.Adam)


def test_what_kills_have_left_is_removed_when_training_goes_on(checkpoint):
    before = sorted(path.name for path in checkpoint.iterdir())
    for name in (".tmpa1B2c3", ".writing-abcd_123.safetensors", ".writing-xyz_9876.json"):
        (checkpoint / name).write_bytes(b"half")
        # Whoever writes for so long is dead.
        os.utime(checkpoint / name, (0, 0))
    resume(checkpoint)
    assert sorted(path.name for path in checkpoint.iterdir()) == before
