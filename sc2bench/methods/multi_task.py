"""One encoder, several tasks: a device half that is sent for once, and one server half for each task behind it.

As in multi-task supervised compression (Matsubara, Yang, Levorato and Mandt 2023): the packets of a student's encoder
feed the tails of all students that were trained on it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sc2bench.config import ExperimentConfig, MethodConfig
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import METHODS
from sc2bench.core.state import load_state, unique_state
from sc2bench.methods.base import Outputs, SplitModel, half_of
from sc2bench.methods.halves import ServerHalf
from sc2bench.methods.latent import LatentModel, LatentServer
from sc2bench.methods.shapes import SymbolShapes
from sc2bench.teachers import Images, Preprocess, Sizing, Teacher
from sc2bench.wire.inputs import InputShape, InputSpec
from sc2bench.wire.packet import Packet


@dataclass
class MultiTaskConfig(MethodConfig):
    """The tasks are those of the experiments in `members`, which are students on one device half."""


class ManyTails(ServerHalf):
    """Decodes latents once and runs the server half of each task on them.

    Args:
        tails: by the name of the task; they share their prior.
    """

    def __init__(self, tails: dict[str, LatentServer]):
        super().__init__()
        self.tails: Any = nn.ModuleDict(tails)

    @property
    def shapes(self) -> SymbolShapes:
        """The shapes of one sample's symbols."""
        return self._first.shapes

    @property
    def sizing(self) -> Sizing:  # type: ignore[override]
        """How the device scales and pads images, for all tasks alike."""
        return self._first.sizing

    @property
    def _first(self) -> LatentServer:
        first: LatentServer = next(iter(self.tails.values()))
        return first

    def read(self, packets: Sequence[Packet], shape: InputShape) -> Tensor:
        """The quantized latents, which are those of all tasks."""
        return self._first.read(packets, shape)

    def predict(self, values: Tensor, shape: InputShape) -> list[dict[str, Any]]:
        """The predictions of each image by the name of the task."""
        predictions = {name: tail.predict(values, shape) for name, tail in self.tails.items()}
        return [dict(zip(predictions, sample, strict=True)) for sample in zip(*predictions.values(), strict=True)]


@METHODS.register("multi_task")
class MultiTask(LatentModel):
    """Students of several tasks that share their device half; it learns nothing itself."""

    server: Any

    config_class = MultiTaskConfig
    rate_knob = "beta"

    @classmethod
    def from_config(cls, config: ExperimentConfig, teacher: Teacher, spec: InputSpec) -> "MultiTask":
        """Raises `ConfigError`: without members there is nothing to build."""
        return cls.from_members(config, (), teacher, spec)

    @classmethod
    def from_members(
        cls, config: ExperimentConfig, members: Sequence[SplitModel], teacher: Teacher, spec: InputSpec
    ) -> "MultiTask":
        """Joins the members.

        Raises:
            ConfigError: fewer than two members, two of one task, one that learns no latents, or a source beside them.
        """
        if config.source is not None:
            raise ConfigError("source: 'multi_task' takes the device half of its members; name the source in each")
        names = [member.task.name for member in config.members]
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise ConfigError(f"members: {names} are no tasks to share an encoder; list students of different tasks")
        models = {}
        for member, model in zip(config.members, members, strict=True):
            if not isinstance(model, LatentModel) or not member.stages:
                raise ConfigError(
                    f"members: method '{member.method.name}' sends no latents that it learns; choose entropic_student"
                )
            models[member.task.name] = model
        first = models[names[0]]
        for model in models.values():
            if not _same(first.device.preprocess, model.device.preprocess):
                raise ConfigError("members: their teachers scale or normalize images differently; choose others")
            model.server.prior = first.server.prior
        tails: Any = ManyTails({name: model.server for name, model in models.items()})
        return cls(first.device, tails, spec, first.prior_name)

    def forward(self, images: Images, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """The prediction of each task by its name."""
        latents, bits = self.device.prior(self.device(images))
        frame = self.device.preprocess.frame(images)
        predictions = {name: tail(latents, frame)[0] for name, tail in self.server.tails.items()}
        return Outputs(predictions, bits=bits)

    def take_part(self, number: int, weights: dict[str, Tensor], source: object) -> None:
        """Takes over a trained member; raises `ConfigError` if its device half is not that of the first."""
        device = half_of(weights, "device")
        if not number:
            load_state(self.device, device, source)
        own = unique_state(self.device)
        if own.keys() != device.keys() or any(not torch.equal(own[name].cpu(), device[name]) for name in own):
            raise ConfigError(f"members: {source} has another device half than the first; give both the same source")
        tail = list(self.server.tails.values())[number]
        shared = {key: tensor for key, tensor in unique_state(tail).items() if key.startswith("prior.")}
        load_state(tail, {**shared, **half_of(weights, "server")}, source)


def _same(first: Preprocess, second: Preprocess) -> bool:
    same_values = torch.equal(first.mean, second.mean) and torch.equal(first.std, second.std)
    return first.sizing == second.sizing and same_values
