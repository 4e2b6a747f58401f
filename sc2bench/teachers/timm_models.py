"""Teachers from timm, with its names of models and tags of weights."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from sc2bench.chain import as_chain
from sc2bench.config import TeacherConfig
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import TEACHER_LIBRARIES
from sc2bench.teachers.base import Preprocess, Teacher
from sc2bench.teachers.library import (
    HUB,
    HUB_FILES,
    Library,
    check_name,
    downloading,
    fetch_from_hub,
    hub_address,
    in_hub_cache,
    in_url_cache,
    is_file,
)
from sc2bench.teachers.new_head import FINE_TUNE, OtherClasses

# What `Timm.teacher` reads of a model's settings.
_SETTINGS = ("input_size", "mean", "std", "crop_pct", "interpolation")


class Timm(Library):
    """Classifiers of timm.

    `name` may carry a tag ("tf_efficientnet_l2.ns_jft_in1k") or be a name of timm's past ("tf_efficientnet_l2_ns");
    `weights` are "pretrained" or a tag.
    """

    name = "timm"

    # timm takes a second to import, so it is imported where it is asked for.

    def check(self, config: TeacherConfig) -> None:
        """Looks the model and the weights up."""
        import timm
        from timm.models import get_arch_pretrained_cfgs

        architecture, tag = _split(config.name)
        check_name("teacher.name", "timm model", architecture, timm.list_models())
        tags = [full.partition(".")[2] for full in get_arch_pretrained_cfgs(architecture)]
        if tag:
            check_name("teacher.name", f"tag of timm's {architecture}", tag, tags)
        if config.weights.startswith(HUB):
            hub_address(config.weights, "")
        elif not is_file(config.weights):
            known = ["random", "pretrained", *tags]
            check_name("teacher.weights", f"weights of timm's {architecture}", config.weights, known)
            if tag and config.weights in tags and config.weights != tag:
                raise ConfigError(
                    f"teacher.weights: '{config.weights}' contradicts the tag of teacher.name, '{tag}'; leave one out"
                )
            if config.weights != "random" and not self._settings(config).has_weights:
                raise ConfigError(f"teacher.weights: timm has no weights of {config.name}; choose random, or a file")

    def build(self, config: TeacherConfig, classes: int | None) -> nn.Module:
        """Builds the model for images as large as its weights want them."""
        import timm

        return timm.create_model(self._full_name(config), num_classes=classes)

    def adapt(self, model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Applies what timm itself applies to files of a family's first publications."""
        convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
        return convert(state, model) if convert else state

    def pretrained(self, config: TeacherConfig) -> nn.Module:
        """Downloads the weights, or takes them from the cache of the hub or of PyTorch."""
        import timm

        settings = self._settings(config)
        if settings.hf_hub_id and not settings.hf_hub_filename:
            file = {"file": str(fetch_from_hub(settings.hf_hub_id)), "custom_load": False}
            return timm.create_model(self._full_name(config), pretrained=True, pretrained_cfg_overlay=file)
        with downloading(self.address(config)[0]):
            return timm.create_model(self._full_name(config), pretrained=True)

    def from_hub(self, config: TeacherConfig, classes: int | None) -> nn.Module:
        """Builds the model that a repository of the hub describes, with its weights."""
        import timm

        with downloading(hub_address(config.weights, HUB_FILES[0])):
            model: Any = timm.create_model(config.weights, pretrained=True)
        found = model.pretrained_cfg["architecture"]
        if found != _split(config.name)[0]:
            raise ConfigError(f"teacher.name: {config.weights} is a {found}, not a {config.name}; name it so")
        if classes is not None and model.num_classes != classes:
            raise OtherClasses(
                f"teacher.weights: {config.weights} has {model.num_classes} classes, but the data set has {classes}; "
                f"choose other weights, {FINE_TUNE}",
                model.num_classes,
            )
        return model

    def hub_body(self, config: TeacherConfig) -> tuple[dict[str, Tensor], Callable[[int | None], nn.Module]]:
        """Models of the hub are built as their repository describes them."""
        model = self.from_hub(config, None)
        description = _description(model)
        return model.state_dict(), lambda classes: _described(config, description | {"num_classes": classes})

    def bare(self, config: TeacherConfig, classes: int | None, built_as: Mapping[str, Any]) -> Teacher:
        """A model of the hub is built as its repository described it, when its weights were loaded."""
        if not config.weights.startswith(HUB):
            return super().bare(config, classes, built_as)
        if not built_as:
            return self.load(config, classes)
        return self.teacher(config, _described(config, built_as))

    def classes(self, config: TeacherConfig) -> int:
        """Of the data set that the model was trained with last."""
        return self._settings(config).num_classes

    def teacher(self, config: TeacherConfig, model: nn.Module) -> Teacher:
        """Normalizes as the model's own settings say."""
        settings: Any = model.pretrained_cfg
        channels, height, width = settings["input_size"]
        preprocess = Preprocess(settings["mean"], settings["std"])
        resize = int(height / settings["crop_pct"])
        teacher = Teacher(preprocess, as_chain(model), (channels, height, width), resize, settings["interpolation"])
        if config.weights.startswith(HUB):
            teacher.built_as = _description(model)
        return teacher

    def address(self, config: TeacherConfig) -> tuple[str, bool]:
        """The hub has most of timm's weights; some lie elsewhere."""
        settings = self._settings(config)
        if settings.hf_hub_id:
            names = (settings.hf_hub_filename,) if settings.hf_hub_filename else HUB_FILES
            return hub_address(settings.hf_hub_id, names[0]), in_hub_cache(settings.hf_hub_id, names)
        return settings.url, in_url_cache(settings.url)

    def _settings(self, config: TeacherConfig) -> Any:
        import timm

        return timm.get_pretrained_cfg(self._full_name(config))

    def _full_name(self, config: TeacherConfig) -> str:
        """The architecture with the tag that the name or the weights ask for, if any."""
        architecture, tag = _split(config.name)
        other = is_file(config.weights) or config.weights.startswith(HUB) or config.weights in ("random", "pretrained")
        tag = tag if other else config.weights
        return f"{architecture}.{tag}" if tag else architecture


def _described(config: TeacherConfig, description: Mapping[str, Any]) -> nn.Module:
    """A model with random weights as `_description` tells of one."""
    import timm

    options = {"num_classes": description["num_classes"], "pretrained_cfg_overlay": description["settings"]}
    model: nn.Module = timm.create_model(_split(config.name)[0], **description["arguments"], **options)
    return model


def _description(model: Any) -> dict[str, Any]:
    """What a repository of the hub says of its model, JSON-ready."""
    arguments = {name: value for name, value in getattr(model, "_model_args", {}).items() if name != "num_classes"}
    settings = {name: model.pretrained_cfg[name] for name in _SETTINGS}
    return json.loads(
        json.dumps({"arguments": arguments, "num_classes": model.num_classes, "settings": settings}, default=list)
    )


def _split(name: str) -> tuple[str, str]:
    """The architecture and the tag of a name, of today or of timm's past."""
    from timm.models import get_deprecated_models

    architecture, _, tag = (get_deprecated_models().get(name) or name).partition(".")
    return architecture, tag


TEACHER_LIBRARIES.register("timm")(Timm())
