import json

import pytest
import torch

from sc2bench.config import TaskConfig, TeacherConfig
from sc2bench.data import load_dataset
from sc2bench.errors import CheckpointError
from sc2bench.state import save_tensors, unique_state
from sc2bench.teachers import WEIGHTS, Preprocess, load_teacher
from tests.conftest import TINY_STUDENT


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


def test_trained_model_loads_as_it_was(tiny, test_images):
    import sc2bench
    from sc2bench.config import compose
    from sc2bench.run import Run, run_all

    run = Run(compose([*tiny, *TINY_STUDENT, "stage1.epochs=1", "stage2.epochs=1"]))
    run_all([run], quiet=True)
    first, second = (sc2bench.load(run.checkpoint_folder) for _ in range(2))
    assert first.session == second.session
    images = test_images.images[:5]
    assert torch.equal(first.decode(first.encode(images)), second.decode(second.encode(images)))
    record = json.loads(run.record_path.read_text())
    measured = sum(len(packet.to_bytes(first.session)) for packet in first.encode(test_images.images[:100])) / 100
    assert measured == pytest.approx(record["bytes_mean"])
    with pytest.raises(CheckpointError, match="is no folder of a finished run"):
        sc2bench.load(run.checkpoint_folder.parent)


def test_trained_teacher_becomes_the_weights_of_another(tiny, tmp_path):
    from sc2bench.config import compose
    from sc2bench.run import FINAL_WEIGHTS, Run, run_all

    recipe = ["method=teacher", "recipe=train_fashion_resnet", "stage1.batch_size=50", "stage1.epochs=1"]
    run = Run(compose([*tiny, *recipe]))
    run_all([run], quiet=True)
    weights = run.checkpoint_folder / FINAL_WEIGHTS
    measured = Run(compose([*tiny, "method=teacher", f"teacher.weights={weights}", f"output={tmp_path}/again"]))
    run_all([measured], quiet=True)
    first, second = (json.loads(path.read_text())["quality"] for path in (run.record_path, measured.record_path))
    assert first == second
