"""Teachers for other classes than their weights are for: fresh heads, fine-tuning, and students of what it leaves."""

from pathlib import Path

import pytest
import timm
import torch

import sc2bench
from sc2bench.config import TeacherConfig, compose
from sc2bench.core.errors import CheckpointError, ConfigError
from sc2bench.core.state import load_tensors, save_tensors, unique_state
from sc2bench.data import load_dataset
from sc2bench.records import load_records
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.run import run_experiments
from sc2bench.teachers import bare_teacher, load_teacher
from sc2bench.teachers.new_head import OtherClasses
from tests.conftest import PHOTOGRAPHED
from tests.data.test_image_folder import task


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of timm's smallest ResNet for 1000 classes, as files of timm hold them."""
    path = tmp_path_factory.mktemp("weights") / "test_resnet.safetensors"
    torch.manual_seed(1)
    save_tensors(timm.create_model("test_resnet").state_dict(), path)
    return path


def settings(root: Path, out: Path, weights: object) -> list[str]:
    sizes = ["task.resize=32", "task.crop=32", "evaluation.latency_repeats=0", "mixed_precision=no", "workers=0"]
    places = [f"output={out}/results", f"checkpoints={out}/checkpoints", f"task.root={root}"]
    return ["task=image_folder", *sizes, *places, "teacher.name=test_resnet", f"teacher.weights={weights}"]


@pytest.mark.parametrize("recipe", ["finetune_teacher", "finetune_head"])
def test_a_tuned_teacher_serves_others(photographs, pretrained, tmp_path, recipe):
    options = settings(photographs, tmp_path, pretrained)
    epoch = ["stage1.epochs=1", "stage1.batch_size=16"]
    experiment = Experiment(compose([*options, "method=teacher", f"recipe={recipe}", *epoch]))
    run_experiments([experiment], quiet=True)
    final = experiment.checkpoint_folder / "model.safetensors"
    before, after = load_tensors(pretrained), load_tensors(final)
    assert after["server.teacher.chain.fc.weight"].shape[0] == 4
    kept = torch.equal(before["layer4.0.conv1.weight"], after["server.teacher.chain.layer4.0.conv1.weight"])
    assert kept == (recipe == "finetune_head")
    # A frozen body keeps its statistics, too.
    assert torch.equal(before["bn1.running_mean"], after["server.teacher.chain.bn1.running_mean"]) == kept
    codec = Experiment(compose([*settings(photographs, tmp_path, final), "method=input_codec", "rate=100"]))
    images, _ = load_dataset(task(photographs), "test")[:]
    with torch.inference_mode():
        tuned = sc2bench.load(experiment.checkpoint_folder).eval()
        assert torch.equal(codec.teacher().eval()(images), tuned(images).prediction)
    run_experiments([codec], quiet=True)
    assert load_records(tmp_path / "results")["samples"].tolist() == [8, 8]


def test_a_fresh_head_is_the_seeds(pretrained):
    config = TeacherConfig("test_resnet", str(pretrained), "timm", new_head=True)
    heads = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        teacher = load_teacher(config, 4)
        heads.append(teacher.chain.fc.weight)
        own = teacher.state_dict()["chain.layer1.0.conv1.weight"]
        assert torch.equal(own, load_tensors(pretrained)["layer1.0.conv1.weight"])
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert bare_teacher(config, 4).classes == 4
    # Also where the number of classes is the same.
    fresh = load_teacher(config, 1000).chain.fc.weight
    assert not torch.equal(fresh, load_tensors(pretrained)["fc.weight"])


def test_registered_teachers_take_other_classes(tmp_path):
    packaged, tuned = (TeacherConfig("fashion_resnet", new_head=new) for new in (False, True))
    teacher = load_teacher(tuned, 4)
    assert (teacher.classes, teacher.learned_head) == (4, teacher.chain.fc)
    assert torch.equal(teacher.chain.conv1.weight, load_teacher(packaged).chain.conv1.weight)
    save_tensors(unique_state(teacher), tmp_path / "tuned.safetensors")
    again = TeacherConfig("fashion_resnet", str(tmp_path / "tuned.safetensors"))
    assert torch.equal(load_teacher(again, 4).chain.fc.weight, teacher.chain.fc.weight)
    assert bare_teacher(again, 4).classes == 4
    anew = load_teacher(TeacherConfig("fashion_resnet", again.weights, new_head=True), 5)
    assert (anew.classes, torch.equal(anew.chain.bn1.weight, teacher.chain.bn1.weight)) == (5, True)


def test_who_does_not_train_the_teacher_is_told_how(photographs, pretrained, tmp_path):
    with pytest.raises(OtherClasses, match=r"10 classes, but the data set has 4; .*recipe=finetune_teacher"):
        load_teacher(TeacherConfig("fashion_resnet"), 4)
    with pytest.raises(OtherClasses, match=r"1000 classes, but the data set has 4; .*recipe=finetune_teacher"):
        load_teacher(TeacherConfig("test_resnet", "pretrained", "timm"), 4)
    with pytest.raises(CheckpointError, match=r"size mismatch for fc.*; the data set has 4 classes: .*finetune_head"):
        load_teacher(TeacherConfig("test_resnet", str(pretrained), "timm"), 4)
    options = [*settings(photographs, tmp_path, pretrained), "teacher.new_head=true", "rate=50"]
    with pytest.raises(ConfigError, match=r"teacher.new_head: no stage trains server.teacher"):
        compose([*options, "method=input_codec"])


def test_parts_of_imagenet_need_no_tuning(photographs, tmp_path):
    wnids = dict(zip(PHOTOGRAPHED, ("n01440764", "n02102040", "n02979186", "n03000684"), strict=True))
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for name, wnid in wnids.items():
            (tmp_path / split / wnid).symlink_to(photographs / split / name)
    options = [*settings(tmp_path, tmp_path, "pretrained"), "method=input_codec", "rate=50"]
    with pytest.raises(ConfigError, match=r"WordNet IDs of ImageNet's 1000 classes: with task.classes=imagenet1k"):
        Experiment(compose(options)).teacher()
    assert len(load_dataset(task(tmp_path, classes="imagenet1k"), "test").classes) == 1000
    assert load_dataset(task(tmp_path, classes="imagenet1k"), "validation").occurring == (0, 217, 482, 491)
