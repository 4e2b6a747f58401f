"""Detectors and models of segmentation, seen as chains with heads, compute what the libraries' own forward does."""

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from sc2bench.config import TeacherConfig, compose
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import TEACHER_LIBRARIES
from sc2bench.teachers import BackboneConfig, load_teacher
from sc2bench.teachers.torchvision_models import IMAGENET_MEAN, IMAGENET_STD

LIBRARY = TEACHER_LIBRARIES["torchvision"]


@pytest.fixture
def images() -> list[torch.Tensor]:
    sizes = ((120, 170), (100, 90))
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"])
def test_detector_equals_torchvision(name, images):
    config = TeacherConfig(name, "random", "torchvision")
    # In double precision, as random weights give many boxes of almost one score, and rounding would order them anew.
    model: nn.Module = LIBRARY.build(config, 11).double().eval()
    # The published sizes, a quarter as large; not every image reaches the shorter side.
    model.transform.min_size, model.transform.max_size = (200,), 260
    teacher = LIBRARY.teacher(config, model).double().eval()
    assert teacher.classes == 11
    assert teacher.chain.names()[-1] == "layer4"
    with torch.no_grad():
        for image in images:
            (expected,), (found,) = model([image.double() / 255]), teacher([image])
            assert len(found["boxes"]) == len(expected["boxes"]) > 10
            assert torch.equal(found["labels"], expected["labels"])
            torch.testing.assert_close(found["boxes"], expected["boxes"], atol=1e-3, rtol=0)
            torch.testing.assert_close(found["scores"], expected["scores"], atol=1e-6, rtol=0)


@pytest.mark.slow
def test_losses_of_a_detector_equal_torchvision(images):
    config = TeacherConfig("fasterrcnn_resnet50_fpn", "random", "torchvision")
    model = LIBRARY.build(config, 11).train()
    model.transform.min_size, model.transform.max_size = (160,), 260
    teacher = LIBRARY.teacher(config, model).train()
    targets = [
        {"boxes": torch.tensor([[10.0, 20, 60, 90]]), "labels": torch.tensor([3])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    torch.manual_seed(1)
    expected = model([image / 255 for image in images], targets)
    torch.manual_seed(1)
    found = teacher.outputs(images)[0].losses(targets)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-2, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "deeplabv3_resnet101", "fcn_resnet50"])
def test_segmenter_equals_torchvision(name, images):
    config = TeacherConfig(name, "random", "torchvision")
    model = LIBRARY.build(config, 21).eval()
    teacher = LIBRARY.teacher(config, model).eval()
    assert teacher.classes == 21
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        expected = model(((images[0] / 255 - mean) / std)[None])["out"]
        prediction, features = teacher.outputs(images[:1], ["layer2"])
    assert (prediction.logits - expected).abs().max() < 1e-3 * expected.abs().max()
    assert features.keys() == {"layer2"}
    assert prediction.final()[0].shape == images[0].shape[1:]


@pytest.mark.slow
def test_published_weights_come_from_a_file_of_torchvision(tmp_path):
    path = tmp_path / "detector.pth"
    config = TeacherConfig("fasterrcnn_resnet50_fpn", str(path), "torchvision")
    # As published: statistics of the backbone are constants, without a count of batches.
    model = LIBRARY.build(config, 91)
    norms = [module for module in model.modules() if isinstance(module, FrozenBatchNorm2d)]
    assert {norm.eps for norm in norms} == {0.0}
    assert len(norms) == 53
    torch.save(model.state_dict(), path)
    teacher = load_teacher(config, 91)
    assert torch.equal(teacher.chain.conv1.weight, model.backbone.body.conv1.weight)
    assert teacher.preprocess.sizing.frame([(480, 640)]).scaled == ((800, 1066),)
    assert teacher.preprocess.sizing.frame([(480, 640)]).padded == (800, 1088)
    assert teacher.preprocess.sizing.frame([(400, 1200)]).scaled == ((444, 1333),)


def test_names_and_classes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="unknown torchvision model 'fasterrcnn_resnet5_fpn'; did you mean"):
        load_teacher(TeacherConfig("fasterrcnn_resnet5_fpn", "random", "torchvision"))
    with pytest.raises(ConfigError, match="'COCO_V1' of torchvision's fasterrcnn_resnet50_fpn has 91 classes"):
        load_teacher(TeacherConfig("fasterrcnn_resnet50_fpn", "COCO_V1", "torchvision"), 21)
    with pytest.raises(ConfigError, match=r"'scenes_detector' has 11 classes, but the data set has 91"):
        load_teacher(TeacherConfig("scenes_detector", "random"), 91)


def test_a_teacher_starts_with_the_stages_of_a_packaged_one():
    detector = load_teacher(TeacherConfig("scenes_detector"))
    segmenter = load_teacher(BackboneConfig("scenes_segmenter", "random", backbone="scenes_detector"))
    own, taken = segmenter.chain.state_dict(), detector.chain.state_dict()
    assert own.keys() == taken.keys()
    assert all(torch.equal(own[key], taken[key]) for key in own)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["teacher.backbone=scenes_detektor", "teacher.weights=random"], "did you mean 'scenes_detector'"),
        (["teacher.backbone=scenes_detector"], "teacher.backbone: .* with teacher.weights=random"),
    ],
)
def test_a_wrong_backbone_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        compose(["task=scenes_segmentation", "method=teacher", *overrides])
