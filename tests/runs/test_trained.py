"""A trained model stands alone: its folder is all that it takes to load it."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import sc2bench
from sc2bench.config import compose
from sc2bench.core.errors import CheckpointError
from sc2bench.methods import SplitModel
from sc2bench.runs.blueprint import BLUEPRINT, Blueprint, build, write_blueprint
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.train import train_experiment
from sc2bench.runs.trained import load_trained, save_trained
from sc2bench.wire.inputs import ImageSpec
from tests.conftest import TINY_STUDENT, refuse_all_but_the_folder
from tests.teachers.test_teachers import put_in_hub_cache

IMAGES = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
# Where there is nothing but the folder: no data, no packaged weights, no network.
ALONE = """
import socket, sys
from pathlib import Path
import torch

def refuse(*_, **__):
    raise AssertionError("the network is asked")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
import sc2bench
import sc2bench.teachers.load
sc2bench.teachers.load.WEIGHTS = Path("/nowhere")
model = sc2bench.load(sys.argv[1])
images = torch.load(sys.argv[2])
packets = model.encode(images)
data = b"".join(packet.to_bytes(model.session) for packet in packets)
torch.save((data, model.decode(packets)), sys.argv[3])
"""


def answers(model: SplitModel, images: torch.Tensor) -> tuple[list[bytes], torch.Tensor]:
    packets = model.encode(images)
    return [packet.to_bytes(model.session) for packet in packets], model.decode(packets)


@pytest.fixture
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_all_but_the_folder(monkeypatch)


@pytest.mark.slow
def test_trained_student_loads_where_there_is_nothing_else(tiny, mini_root, tmp_path, monkeypatch):
    root = shutil.copytree(mini_root, tmp_path / "data")
    overrides = [*tiny, *TINY_STUDENT, f"task.root={root}", "stage1.epochs=1", "stage2.epochs=1"]
    experiment = Experiment(compose([*overrides, "mixed_precision=no"]))
    train_experiment(experiment, quiet=True)
    folder = shutil.copytree(experiment.checkpoint_folder, tmp_path / "elsewhere")
    data, predictions = answers(sc2bench.load(folder), IMAGES)
    # What a folder holds of versions that had no blueprint.
    (experiment.checkpoint_folder / BLUEPRINT).unlink()
    assert torch.equal(answers(sc2bench.load(experiment.checkpoint_folder), IMAGES)[1], predictions)
    shutil.rmtree(root)
    torch.save(IMAGES, tmp_path / "images.pt")
    monkeypatch.setenv("SC2BENCH_FASHION_MNIST", str(tmp_path / "nowhere"))
    command = [sys.executable, "-c", ALONE, folder, tmp_path / "images.pt", tmp_path / "found.pt"]
    subprocess.run(command, check=True, cwd=tmp_path)
    found = torch.load(tmp_path / "found.pt")
    assert found[0] == b"".join(data)
    assert torch.equal(found[1], predictions)
    assert sc2bench.load(folder).origin.blueprint.labels[:2] == ("t-shirt", "trouser")


@pytest.mark.parametrize(
    "teacher",
    [
        ["teacher.library=torchvision", "teacher.weights=IMAGENET1K_V1"],
        ["teacher.library=timm", "teacher.weights=nowhere/model.pth"],
    ],
)
def test_teachers_of_libraries_need_no_weights(teacher, tmp_path, nothing_else):
    overrides = ["task=ilsvrc2012", "method=entropic_student", "rate=1", "teacher.name=resnet18", *teacher]
    config = compose([*overrides, "method.bottleneck=fp_resnet", "method.latent_channels=4", "method.widths=[8,8]"])
    model = build(config, Blueprint(ImageSpec(3, (64, 64)), 1000), bare=True)
    model.update_tables()
    save_trained(model, tmp_path)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    first, second = answers(model, images), answers(sc2bench.load(tmp_path), images)
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])
    assert second[1].shape == (2, 1000)


def test_joined_models_need_nothing_else(tmp_path, nothing_else):
    student = ["method=entropic_student", "rate=1", "method.bottleneck=fp_scene", "method.latent_channels=4"]
    student += ["method.widths=[6,8,10]", "teacher.weights=nowhere.safetensors"]
    members = [compose([f"task=scenes_{task}", *student]) for task in ("classification", "segmentation")]
    joined = compose(["task=scenes_all", "method=multi_task", "rate=1", "teacher.weights=random"])
    blueprints = (Blueprint(ImageSpec(3), 10), Blueprint(ImageSpec(3), 11))
    model = build(replace(joined, members=members), Blueprint(ImageSpec(3), 11, members=blueprints), bare=True)
    model.update_tables()
    save_trained(model, tmp_path)
    images = [torch.randint(0, 256, (3, side, 64), dtype=torch.uint8) for side in (48, 64)]
    again = load_trained(tmp_path)
    first, second = answers(model, images), answers(again, images)
    assert first[0] == second[0]
    assert [member.classes for member in again.origin.blueprint.members] == [10, 11]
    for one, other in zip(first[1], second[1], strict=True):
        assert one.keys() == other.keys() == {"image_classification", "semantic_segmentation"}
        assert all(torch.equal(one[task], other[task]) for task in one)


def test_model_of_the_hub_is_built_as_its_repository_said(tmp_path, monkeypatch, nothing_else):
    """The repository has other statistics, another input and fewer classes than timm's own model."""
    import timm
    from safetensors.torch import save

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    settings = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "input_size": [3, 96, 96], "num_classes": 7}
    described = {"architecture": "resnet18", "num_classes": 7, "pretrained_cfg": settings}
    state = timm.create_model("resnet18", num_classes=7).state_dict()
    put_in_hub_cache(tmp_path / "hub", "someone/model", "config.json", json.dumps(described).encode())
    put_in_hub_cache(tmp_path / "hub", "someone/model", "model.safetensors", save(state))
    teacher = ["teacher.library=timm", "teacher.name=resnet18", "teacher.weights=hf-hub:someone/model"]
    model = build(compose(["task=ilsvrc2012", "method=teacher", *teacher]), Blueprint(ImageSpec(3, (96, 96)), 7))
    save_trained(model, tmp_path / "saved")
    shutil.rmtree(tmp_path / "hub")
    again = load_trained(tmp_path / "saved")
    images = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    assert torch.equal(answers(again, images)[1], answers(model, images)[1])
    assert again.server.teacher.preprocess.mean.flatten().tolist() == pytest.approx([25.5, 51.0, 76.5])


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        config = compose(["method=input_codec", "method.codec=webp", "rate=20", "teacher.weights=random"])
        save_trained(build(config, Blueprint(ImageSpec(1, (28, 28)), 10)), tmp_path / "saved")
        return tmp_path / "saved"

    def test_every_tensor_must_be_there(self, folder):
        from sc2bench.core.state import load_tensors, save_tensors

        state = load_tensors(folder / "model.safetensors")
        del state["server.teacher.chain.fc.bias"]
        save_tensors(state, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=r"don't fit InputCodec: missing server.teacher.chain.fc.bias"):
            sc2bench.load(folder)

    def test_a_teacher_that_normalizes_otherwise_is_refused(self, folder):
        blueprint = load_trained(folder).origin.blueprint
        preprocess = dict(blueprint.preprocess) | {"mean": [100.0]}
        write_blueprint(folder, Blueprint(ImageSpec(1, (28, 28)), 10, preprocess=preprocess))
        with pytest.raises(CheckpointError, match="'fashion_resnet' of this version normalizes or scales images diff"):
            sc2bench.load(folder)

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda text: text.replace("28", "27"), "another digest"),
            (lambda text: "[]", "no JSON object"),
            (lambda text: '{"format": 2}', "format is another one"),
            (lambda text: '{"format": 1}', "'input'"),
        ],
    )
    def test_a_damaged_blueprint_is_refused(self, folder, damage, message):
        path = folder / BLUEPRINT
        path.write_text(damage(path.read_text()))
        with pytest.raises(CheckpointError, match=f"model.json can't be read .*{message}"):
            sc2bench.load(folder)
