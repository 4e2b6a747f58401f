"""Teachers from torchvision, with its names of models and weights."""

import re
from typing import Any

from torch import Tensor, nn
from torchvision import models

from sc2bench.chain import as_chain
from sc2bench.config import TeacherConfig
from sc2bench.registry import TEACHER_LIBRARIES
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

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Torchvision(Library):
    """Classifiers of torchvision; `weights` are names such as DEFAULT or IMAGENET1K_V1."""

    name = "torchvision"

    def check(self, config: TeacherConfig) -> None:
        """Looks the model and the weights up."""
        check_name("teacher.name", "torchvision model", config.name, models.list_models(module=models))
        if config.weights.startswith(HUB):
            hub_address(config.weights, "")
        elif not is_file(config.weights):
            known = ["random", *models.get_model_weights(config.name).__members__]
            check_name("teacher.weights", f"weights of torchvision's {config.name}", config.weights, known)

    def build(self, config: TeacherConfig, classes: int | None) -> nn.Module:
        """Builds the model for images as large as its weights want them."""
        options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
        if config.name.startswith("vit_"):
            options["image_size"] = self._weights(config).meta["min_size"][0]
        if config.name == "inception_v3":
            # The published weights expect this, and random ones must have the same stages.
            options |= {"transform_input": True, "init_weights": config.weights == "random"}
        return models.get_model(config.name, weights=None, **options)

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

    def classes(self, config: TeacherConfig) -> int:
        """As many as the weights have names of categories."""
        return len(self._weights(config).meta["categories"])

    def teacher(self, config: TeacherConfig, model: nn.Module) -> Teacher:
        """Normalizes by ImageNet's mean and deviation."""
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


TEACHER_LIBRARIES.register("torchvision")(Torchvision())
