import argparse
import json
import pickle
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor
from torchvision import models

from sc2bench.config import TaskConfig, TeacherConfig, compose
from sc2bench.core.errors import CheckpointError, ConfigError
from sc2bench.core.registry import TEACHER_LIBRARIES
from sc2bench.core.state import save_tensors, unique_state
from sc2bench.data import load_dataset
from sc2bench.teachers import WEIGHTS, Preprocess, Teacher, load_teacher, read_weights, teacher_downloads
from sc2bench.teachers.files import fill
from tests.conftest import TINY_STUDENT

IMAGES = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)


def library(name: str, weights: object, library: str = "torchvision") -> TeacherConfig:
    return TeacherConfig(name, str(weights), library)


@torch.inference_mode()
def answers(teacher: Teacher, images: Tensor = IMAGES) -> Tensor:
    return teacher.eval()(images)


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of downloads, and no way out; returns the folder of PyTorch's cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    # Nothing listens there.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    folder = tmp_path / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


def put_in_hub_cache(root: Path, repository: str, name: str, data: bytes) -> None:
    folder = root / f"models--{repository.replace('/', '--')}"
    commit = "0" * 40
    for path, content in ((folder / "refs/main", commit.encode()), (folder / "snapshots" / commit / name, data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.slow
def test_packaged_teacher_is_as_good_as_its_record_says():
    record = json.loads((WEIGHTS / "fashion_resnet.json").read_text())
    teacher = load_teacher(TeacherConfig("fashion_resnet")).eval()
    test = load_dataset(TaskConfig("image_classification", "fashion_mnist"), "test")
    with torch.inference_mode():
        found = torch.cat([teacher(images).argmax(1) for images, _ in test.loader(500)])
    top1 = 100 * (found == test.targets).float().mean().item()
    assert top1 >= 93.0
    assert top1 == pytest.approx(record["quality"]["top1"], abs=0.03)
    assert (WEIGHTS / "fashion_resnet.safetensors").stat().st_size <= 3_000_000


def test_preprocessing_pads_with_black_and_normalizes():
    images = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    out = Preprocess(mean=[0.5], std=[0.25], pad=1)(images)
    assert out.tolist() == [[[[-2.0] * 4, [-2.0, -2.0, 2.0, -2.0], [-2.0] * 4]]]


def test_weights_that_do_not_fit_are_listed(tmp_path):
    state = unique_state(load_teacher(TeacherConfig("fashion_resnet", "random")))
    wrong = dict(state)
    wrong["extra"] = wrong.pop("chain.fc.bias")
    save_tensors(wrong, tmp_path / "keys.safetensors")
    with pytest.raises(CheckpointError, match=r"don't fit Teacher: missing chain.fc.bias; unexpected extra"):
        load_teacher(TeacherConfig("fashion_resnet", str(tmp_path / "keys.safetensors")))
    save_tensors(state | {"chain.fc.bias": torch.zeros(3)}, tmp_path / "shape.safetensors")
    with pytest.raises(CheckpointError, match=r"size mismatch for chain.fc.bias"):
        load_teacher(TeacherConfig("fashion_resnet", str(tmp_path / "shape.safetensors")))


@pytest.mark.slow
def test_trained_model_loads_as_it_was(tiny, test_images):
    import sc2bench
    from sc2bench.runs.experiment import Experiment
    from sc2bench.runs.run import run_experiments

    run = Experiment(compose([*tiny, *TINY_STUDENT, "stage1.epochs=1", "stage2.epochs=1"]))
    run_experiments([run], quiet=True)
    first, second = (sc2bench.load(run.checkpoint_folder) for _ in range(2))
    assert first.session == second.session
    images = test_images.images[:5]
    assert torch.equal(first.decode(first.encode(images)), second.decode(second.encode(images)))
    record = json.loads(run.record_path.read_text())
    measured = sum(len(packet.to_bytes(first.session)) for packet in first.encode(test_images.images[:100])) / 100
    assert measured == pytest.approx(record["bytes_mean"])
    with pytest.raises(CheckpointError, match="is no folder of a finished experiment"):
        sc2bench.load(run.checkpoint_folder.parent)


@pytest.mark.slow
def test_trained_teacher_becomes_the_weights_of_another(tiny, tmp_path):
    from sc2bench.runs.experiment import FINAL_WEIGHTS, Experiment
    from sc2bench.runs.run import run_experiments

    recipe = ["method=teacher", "recipe=train_fashion_resnet", "stage1.batch_size=50", "stage1.epochs=1"]
    run = Experiment(compose([*tiny, *recipe]))
    run_experiments([run], quiet=True)
    weights = run.checkpoint_folder / FINAL_WEIGHTS
    measured = Experiment(compose([*tiny, "method=teacher", f"teacher.weights={weights}", f"output={tmp_path}/again"]))
    run_experiments([measured], quiet=True)
    first, second = (json.loads(path.read_text())["quality"] for path in (run.record_path, measured.record_path))
    assert first == second


@pytest.mark.parametrize(
    ("config", "size", "resize", "interpolation", "mean"),
    [
        (library("resnet18", "random"), (3, 224, 224), 256, "bilinear", 0.485),
        (library("resnet50", "IMAGENET1K_V2"), (3, 224, 224), 232, "bilinear", 0.485),
        (library("inception_v3", "random"), (3, 299, 299), 342, "bilinear", 0.485),
        (library("regnety_064", "random", "timm"), (3, 224, 224), 235, "bicubic", 0.485),
        (library("vit_small_r26_s32_224", "random", "timm"), (3, 224, 224), 248, "bicubic", 0.5),
        (library("tf_efficientnet_l2_ns", "random", "timm"), (3, 800, 800), 833, "bicubic", 0.485),
        (library("tf_efficientnet_l2_ns_475", "pretrained", "timm"), (3, 475, 475), 507, "bicubic", 0.485),
        (library("tf_efficientnet_l2", "ns_jft_in1k", "timm"), (3, 800, 800), 833, "bicubic", 0.485),
    ],
)
def test_images_are_prepared_as_the_weights_want_them(config, size, resize, interpolation, mean):
    chosen = TEACHER_LIBRARIES[config.library]
    chosen.check(config)
    # Any small model will do: the settings come with the names.
    model = models.resnet18() if config.library == "torchvision" else timm.create_model("resnet18")
    if config.library == "timm":
        model.pretrained_cfg = timm.get_pretrained_cfg(chosen._full_name(config)).to_dict()
    teacher = chosen.teacher(config, model)
    assert (teacher.input_size, teacher.resize, teacher.interpolation) == (size, resize, interpolation)
    assert teacher.preprocess.mean.flatten()[0].item() / 255 == pytest.approx(mean)


def test_inception_has_the_input_transform_of_its_published_weights():
    teacher = load_teacher(library("inception_v3", "random"), classes=3)
    assert teacher.chain.names()[:2] == ["transform_input", "Conv2d_1a_3x3"]
    assert "AuxLogits" not in teacher.chain.names()


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    first = load_teacher(library("resnet18", "random"))
    state = torch.get_rng_state()
    torch.rand(7)
    second = load_teacher(library("resnet18", "random"))
    assert torch.equal(answers(first), answers(second))
    torch.manual_seed(6)
    assert not torch.equal(answers(first), answers(load_teacher(library("resnet18", "random"))))
    torch.manual_seed(5)
    load_teacher(library("resnet18", "random"))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("name", "of"), [("resnet18", "torchvision"), ("resnest14d", "timm")])
def test_random_weights_are_for_the_classes_of_the_data_set(name, of):
    assert answers(load_teacher(library(name, "random", of), classes=7)).shape == (2, 7)
    assert answers(load_teacher(library(name, "random", of))).shape == (2, 1000)


def test_pretrained_weights_for_other_classes_are_refused():
    with pytest.raises(ConfigError, match=r"'DEFAULT' of torchvision's resnet18 has 1000 classes, but the data set ha"):
        load_teacher(library("resnet18", "DEFAULT"), classes=10)
    with pytest.raises(ConfigError, match=r"'augreg_in21k' of timm's vit_tiny_patch16_224 has 21843 classes"):
        load_teacher(library("vit_tiny_patch16_224", "augreg_in21k", "timm"), classes=1000)
    with pytest.raises(ConfigError, match="'fashion_resnet' has 10 classes, but the data set has 12"):
        load_teacher(TeacherConfig("fashion_resnet"), classes=12)
    assert load_teacher(TeacherConfig("fashion_resnet"), classes=10)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_a_librarys_weights_load_from_a_file(tmp_path, suffix):
    for of, model in (("torchvision", models.resnet18()), ("timm", timm.create_model("resnet18"))):
        path = tmp_path / f"{of}{suffix}"
        if suffix == ".safetensors":
            save_tensors(model.state_dict(), path)
        elif suffix == ".pth":
            torch.save(model.state_dict(), path)
        else:
            wrapped = {f"module.{key}": value for key, value in model.state_dict().items()}
            torch.save({"model": wrapped, "args": argparse.Namespace(lr=0.1), "epoch": 3}, path)
        teacher = load_teacher(library("resnet18", path, of))
        model.eval().to(memory_format=torch.channels_last)
        with torch.inference_mode():
            assert torch.equal(answers(teacher), model(teacher.preprocess(IMAGES)))


def test_older_files_of_densenets_load(tmp_path):
    model = models.densenet121()
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    save_tensors(old, tmp_path / "old.safetensors")
    model.eval().to(memory_format=torch.channels_last)
    teacher = load_teacher(library("densenet121", tmp_path / "old.safetensors"))
    with torch.inference_mode():
        assert torch.equal(answers(teacher), model(teacher.preprocess(IMAGES)))


def test_older_files_of_transformers_load():
    model = models.VisionTransformer(32, 8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16)
    state = {key: torch.rand_like(value) for key, value in model.state_dict().items()}
    old = {key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): state[key] for key in state}
    assert old.keys() != state.keys()
    fill(model, old, "old")
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_weights_of_a_run_that_trained_a_librarys_model_load(tmp_path):
    trained = load_teacher(library("resnet18", "random"), classes=7)
    torch.nn.init.ones_(trained.chain.get_submodule("fc").bias)
    state = {f"server.teacher.{key}": value for key, value in unique_state(trained).items()}
    save_tensors(state, tmp_path / "model.safetensors")
    again = load_teacher(library("resnet18", tmp_path / "model.safetensors"), classes=7)
    assert torch.equal(answers(trained), answers(again))
    with pytest.raises(CheckpointError, match=r"size mismatch for chain.fc.bias"):
        load_teacher(library("resnet18", tmp_path / "model.safetensors"))


def test_files_of_other_models_are_refused_with_their_keys(tmp_path):
    save_tensors(models.resnet18().state_dict(), tmp_path / "18.safetensors")
    with pytest.raises(CheckpointError, match=r"don't fit ResNet: missing layer1.0.bn3.bias; .*; and \d+ more"):
        load_teacher(library("resnet50", tmp_path / "18.safetensors"))
    with pytest.raises(CheckpointError, match=r"don't fit RegNet: missing head.fc.bias; missing head.fc.weight"):
        load_teacher(library("regnety_002", tmp_path / "18.safetensors", "timm"))
    with pytest.raises(
        CheckpointError, match=r"don't fit ResNet: size mismatch for fc.bias: .*; size mismatch for fc."
    ):
        load_teacher(library("resnet18", tmp_path / "18.safetensors"), classes=10)


class Malicious:
    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self) -> tuple:
        return Path.touch, (self.trace,)


def test_pickled_code_in_a_file_is_never_run(tmp_path):
    trace = tmp_path / "ran"
    torch.save({"fc.weight": Malicious(trace)}, tmp_path / "new.pth")
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"fc.weight": Malicious(trace)}))
    for name in ("new.pth", "old.pt"):
        with pytest.raises(CheckpointError, match=rf"{name} are refused: they are damaged or hold pickled code"):
            load_teacher(library("resnet18", tmp_path / name))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.pth", None, "missing.pth are missing"),
        ("missing.safetensors", None, "missing.safetensors are missing"),
        ("weights.zip", b"", "weights.zip are of no known format; give a file that ends in .safetensors, .pth"),
        ("empty.pth", b"", "empty.pth"),
        ("cut.pth", b"PK\x03\x04 and no more", "cut.pth"),
        ("cut.safetensors", b"\x08", "cut.safetensors can't be read"),
    ],
)
def test_unreadable_files_are_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path / name)


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    torch.save({"epoch": 3, "weight": torch.zeros(2)}, tmp_path / "mixed.pt")
    for name in ("list.pt", "mixed.pt"):
        with pytest.raises(CheckpointError, match=rf"{name} hold something else than named tensors"):
            read_weights(tmp_path / name)


def test_without_a_network_the_error_says_how_to_give_a_file(no_network):
    cases = [
        (library("resnet18", "IMAGENET1K_V1"), "https://download.pytorch.org/models/resnet18-f37072fd.pth"),
        (
            library("regnety_064", "pretrained", "timm"),
            "https://huggingface.co/timm/regnety_064.ra3_in1k/resolve/main/model.safetensors",
        ),
        (
            library("resnet18", "hf-hub:someone/model@v2", "timm"),
            "https://huggingface.co/someone/model/resolve/v2/model.safetensors",
        ),
        (library("resnet18", "hf-hub:someone/model"), "https://huggingface.co/someone/model/resolve/main/model.safete"),
    ]
    for config, address in cases:
        assert teacher_downloads(config)[0].startswith(address)
        with pytest.raises(CheckpointError) as caught:
            load_teacher(config)
        assert f"weights {address}" in str(caught.value)
        assert str(caught.value).endswith("fetch that file by hand and give it as teacher.weights=/path/to/file")


@pytest.mark.slow
def test_what_was_downloaded_before_needs_no_network(no_network, tmp_path):
    model = models.resnet18()
    torch.save(model.state_dict(), no_network / "resnet18-f37072fd.pth")
    config = library("resnet18", "DEFAULT")
    assert teacher_downloads(config) == []
    model.eval().to(memory_format=torch.channels_last)
    teacher = load_teacher(config, classes=1000)
    with torch.inference_mode():
        assert torch.equal(answers(teacher), model(teacher.preprocess(IMAGES)))
    save_tensors(unique_state(model), tmp_path / "model.safetensors")
    data = (tmp_path / "model.safetensors").read_bytes()
    settings = json.dumps({"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {}}).encode()
    # timm's ResNet-18 has the parameters of torchvision's, under the same names.
    put_in_hub_cache(tmp_path / "hub", "timm/resnet18.a1_in1k", "model.safetensors", data)
    put_in_hub_cache(tmp_path / "hub", "someone/model", "model.safetensors", data)
    put_in_hub_cache(tmp_path / "hub", "someone/model", "config.json", settings)
    for other in (
        library("resnet18", "pretrained", "timm"),
        library("resnet18", "a1_in1k", "timm"),
        library("resnet18", "hf-hub:someone/model", "timm"),
        library("resnet18", "hf-hub:someone/model", "torchvision"),
    ):
        assert teacher_downloads(other) == []
        assert torch.allclose(answers(load_teacher(other)), answers(teacher), atol=1e-4)
    with pytest.raises(ConfigError, match="hf-hub:someone/model is a resnet18, not a resnet26"):
        load_teacher(library("resnet26", "hf-hub:someone/model", "timm"))
    with pytest.raises(ConfigError, match="hf-hub:someone/model has 1000 classes, but the data set has 10"):
        load_teacher(library("resnet18", "hf-hub:someone/model", "timm"), classes=10)


def test_nothing_is_downloaded_for_files_random_weights_and_packaged_teachers(no_network, tmp_path):
    assert teacher_downloads(TeacherConfig("fashion_resnet")) == []
    assert teacher_downloads(library("resnet50", "random")) == []
    assert teacher_downloads(library("resnet50", tmp_path / "x.pth")) == []
    l2 = teacher_downloads(library("tf_efficientnet_l2_ns_475", "pretrained", "timm"))
    assert l2 == ["https://huggingface.co/timm/tf_efficientnet_l2.ns_jft_in1k_475/resolve/main/model.safetensors"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["teacher.library=keras"], "teacher.library: unknown teacher library 'keras'; known: timm, torchvision"),
        (["teacher.name=resnet51"], r"teacher.name: unknown torchvision model 'resnet51'; did you mean resnet50 or "),
        (
            ["teacher.name=regnety_64", "teacher.library=timm"],
            r"unknown timm model 'regnety_64'; did you .*regnety_064",
        ),
        (
            [],
            "teacher.weights: unknown weights of torchvision's resnet18 'packaged'; known: random, IMAGENET1K_V1, DEF",
        ),
        (["teacher.weights=IMAGENET1K_V3"], r"'IMAGENET1K_V3'; did you mean IMAGENET1K_V1\?"),
        (["teacher.library=timm"], "unknown weights of timm's resnet18 'packaged'; known: random, pretrained, a1_in1k"),
        (["teacher.weights='hf-hub:a/b/c'"], "'hf-hub:a/b/c' is not of the form hf-hub:owner/name"),
        (
            ["teacher.library=timm", "teacher.name=resnet18.none"],
            "unknown tag of timm's resnet18 'none'; known: a1_in1k",
        ),
        (
            ["teacher.library=timm", "teacher.name=resnet18.a1_in1k", "teacher.weights=a2_in1k"],
            "'a2_in1k' contradicts the tag of teacher.name, 'a1_in1k'; leave one out",
        ),
        (
            ["teacher.library=timm", "teacher.name=vit_base_resnet50d_224", "teacher.weights=pretrained"],
            "timm has no weights of vit_base_resnet50d_224; choose random, or a file",
        ),
    ],
)
def test_a_wrong_name_is_refused_when_the_configuration_is_composed(overrides, message):
    chosen = ["teacher.name=resnet18", "teacher.library=torchvision", *overrides]
    with pytest.raises(ConfigError, match=message):
        compose(["task=fashion_mnist", "method=teacher", *chosen])


def test_a_librarys_teacher_is_part_of_the_hash_and_older_hashes_stay():
    base = ["task=fashion_mnist", "method=teacher", "teacher.weights=random"]
    hashes = {
        compose([*base, *more]).config_hash()
        for more in (
            [],
            ["teacher.name=resnet18", "teacher.library=torchvision"],
            ["teacher.name=resnet18", "teacher.library=timm"],
        )
    }
    assert len(hashes) == 3
    assert compose(base).config_hash() == compose([*base, "teacher.library=''"]).config_hash()
