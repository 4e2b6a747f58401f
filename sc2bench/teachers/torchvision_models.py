"""Teachers from torchvision, with its names of models and weights: classifiers, detectors, models of segmentation."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models.detection import FasterRCNN
from torchvision.models.segmentation import FCN, DeepLabV3
from torchvision.ops import FrozenBatchNorm2d

from sc2bench.chain import as_chain
from sc2bench.config import TeacherConfig
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import TEACHER_LIBRARIES
from sc2bench.heads.detection import DetectionHead
from sc2bench.heads.segmentation import SegmentationHead
from sc2bench.teachers.base import Preprocess, Teacher
from sc2bench.teachers.files import fill, read_weights
from sc2bench.teachers.library import (
    HUB,
    Library,
    check_name,
    downloading,
    fetch_from_hub,
    hub_address,
    in_url_cache,
    is_file,
)
from sc2bench.wire.sizing import Sizing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


# Where torchvision keeps the models that can be teachers.
_KINDS = (models, models.detection, models.segmentation)


class Torchvision(Library):
    """Models of torchvision; `weights` are names such as DEFAULT, IMAGENET1K_V1 or COCO_V1."""

    name = "torchvision"

    def check(self, config: TeacherConfig) -> None:
        """Looks the model and the weights up."""
        known = [name for kind in _KINDS for name in models.list_models(module=kind)]
        check_name("teacher.name", "torchvision model", config.name, known)
        if config.weights.startswith(HUB):
            hub_address(config.weights, "")
        elif not is_file(config.weights):
            weights = ["random", *models.get_model_weights(config.name).__members__]
            check_name("teacher.weights", f"weights of torchvision's {config.name}", config.weights, weights)

    def build(self, config: TeacherConfig, classes: int | None) -> nn.Module:
        """Builds the model for images as large as its weights want them."""
        options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
        if config.name.startswith("vit_"):
            options["image_size"] = self._weights(config).meta["min_size"][0]
        if config.name == "inception_v3":
            # The published weights expect this, and random ones must have the same layers.
            options |= {"transform_input": True, "init_weights": config.weights == "random"}
        if config.name in models.list_models(module=models):
            return models.get_model(config.name, weights=None, **options)
        if config.name in models.list_models(module=models.segmentation):
            # The published weights have an auxiliary classifier, which nothing here uses.
            options["aux_loss"] = True
        model = models.get_model(config.name, weights=None, weights_backbone=None, **options)
        if config.weights != "random" and isinstance(model, FasterRCNN) and not config.name.endswith("_v2"):
            # As the published detector: its backbone's statistics are constants, without an epsilon.
            _freeze_norms(model.backbone, eps=0.0)
        return model

    def adapt(self, model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Renames the layers of DenseNets whose files are older than the present names."""
        if not isinstance(model, models.DenseNet):
            return state
        return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key): state[key] for key in state}

    def pretrained(self, config: TeacherConfig) -> nn.Module:
        """Downloads the weights, or takes them from PyTorch's cache."""
        address, _ = self.address(config)
        with downloading(address):
            state = self._weights(config).get_state_dict(progress=True, check_hash=True, weights_only=True)
        model = self.build(config, self.classes(config))
        fill(model, self.adapt(model, state), address)
        return model

    def from_hub(self, config: TeacherConfig, classes: int | None) -> nn.Module:
        """Downloads the weights from the hub, or takes them from its cache."""
        state = read_weights(fetch_from_hub(config.weights))
        model = self.build(config, classes)
        fill(model, self.adapt(model, state), config.weights)
        return model

    def hub_body(self, config: TeacherConfig) -> tuple[dict[str, Tensor], Callable[[int | None], nn.Module]]:
        """The file says itself how many classes it is for."""
        return read_weights(fetch_from_hub(config.weights)), partial(self.build, config)

    def classes(self, config: TeacherConfig) -> int:
        """As many as the weights have names of categories."""
        return len(self._weights(config).meta["categories"])

    def teacher(self, config: TeacherConfig, model: nn.Module) -> Teacher:
        """Normalizes by ImageNet's mean and deviation; a detector's images are scaled as it wants."""
        if isinstance(model, FasterRCNN):
            return _detector(config, model)
        if isinstance(model, DeepLabV3 | FCN):
            return _segmenter(model)
        hints = self._weights(config).transforms()
        size = (3, hints.crop_size[0], hints.crop_size[0])
        preprocess = Preprocess(IMAGENET_MEAN, IMAGENET_STD)
        return Teacher(preprocess, as_chain(model), size, hints.resize_size[0], hints.interpolation.value)

    def address(self, config: TeacherConfig) -> tuple[str, bool]:
        """Where the file lies, and whether PyTorch's cache has it."""
        url = self._weights(config).url
        return url, in_url_cache(url)

    def _weights(self, config: TeacherConfig) -> Any:
        """The chosen weights; for weights from elsewhere, the model's first, whose images are the usual ones."""
        known = models.get_model_weights(config.name)
        named = config.weights in known.__members__
        return known[config.weights] if named else next(iter(known))


def _detector(config: TeacherConfig, model: FasterRCNN) -> Teacher:
    transform, pyramid = model.transform, model.backbone.fpn
    layers = list(model.backbone.body.return_layers)
    if config.name.startswith("fasterrcnn_mobilenet"):
        raise ConfigError(
            f"teacher.name: the backbone of '{config.name}' has layers that depend on its weights; choose "
            "fasterrcnn_resnet50_fpn or fasterrcnn_resnet50_fpn_v2"
        )
    sizing = Sizing(transform.min_size[-1], transform.max_size, transform.size_divisible)
    classes = model.roi_heads.box_predictor.cls_score.out_features
    head = DetectionHead(pyramid, model.rpn, model.roi_heads, layers, classes)
    preprocess = Preprocess(transform.image_mean, transform.image_std, sizing=sizing)
    return Teacher(preprocess, as_chain(model.backbone.body), head=head)


def _segmenter(model: DeepLabV3 | FCN) -> Teacher:
    head = SegmentationHead(model.classifier, model.classifier[-1].out_channels)
    return Teacher(Preprocess(IMAGENET_MEAN, IMAGENET_STD), as_chain(model.backbone), head=head)


def _freeze_norms(module: nn.Module, eps: float) -> None:
    """Puts constants in place of batch normalization."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps))
        else:
            _freeze_norms(child, eps)


TEACHER_LIBRARIES.register("torchvision")(Torchvision())
