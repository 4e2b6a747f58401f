"""The interface that every method has, and on which everything is measured."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sc2bench.config import ExperimentConfig, MethodConfig
from sc2bench.core.errors import ConfigError, InputError, Sc2benchError
from sc2bench.core.registry import METHODS
from sc2bench.core.state import load_state, unique_state
from sc2bench.entropy import LatentDecoder
from sc2bench.methods.halves import Analyzed, DeviceHalf, ServerHalf
from sc2bench.methods.outputs import Outputs
from sc2bench.teachers import Images, Teacher
from sc2bench.wire.inputs import InputShape, InputSpec, by_value
from sc2bench.wire.packet import Limits, Packet, PacketError, SessionHeader, fingerprint
from sc2bench.wire.sizing import Size


class SplitModel(nn.Module):
    """A model in two halves with bytes between them.

    Subclasses set `config_class` and `rate_knob`, and implement `from_config` and `forward`.

    Args:
        device: the device's half.
        server: the server's half. Modules that run on both sides, as a prior does, stand in both.
        spec: of the inputs; where they vary, packets say what theirs is like.
        shape: of one sample's symbols or image, announced in the session header where inputs don't vary.
    """

    config_class: ClassVar[type[MethodConfig]] = MethodConfig
    rate_knob: str | None = None
    # What it was built from, where an experiment is known; see `sc2bench.runs.blueprint`.
    origin: Any = None

    def __init__(self, device: DeviceHalf, server: ServerHalf, spec: InputSpec, shape: Sequence[int]):
        super().__init__()
        self.device = device
        self.server = server
        self.spec = spec
        self.shape = () if self.varies else tuple(shape)
        self.checksum = False
        self.numbered = False
        self.limits = Limits()

    @classmethod
    @abstractmethod
    def from_config(cls, config: ExperimentConfig, teacher: Teacher, spec: InputSpec) -> "SplitModel":
        """Builds the method.

        Args:
            config: `config.method` is an instance of `config_class`.
            teacher: the method takes over what it wants of its modules.
            spec: of the data set's inputs.
        """

    @classmethod
    def from_members(
        cls, config: ExperimentConfig, members: "Sequence[SplitModel]", teacher: Teacher, spec: InputSpec
    ) -> "SplitModel":
        """Builds a method that joins the models of other experiments.

        Args:
            config: the experiment.
            members: the models of `config.members`, in order; modules of theirs become parts of this one.
            teacher: as for `from_config`.
            spec: as for `from_config`.

        Raises:
            ConfigError: the method joins none, or not these.
        """
        raise ConfigError(
            f"members: method '{config.method.name}' joins no experiments; leave them out, choose method=multi_task, "
            "or name the one whose device half is taken over as source"
        )

    @classmethod
    def downloads(cls, config: ExperimentConfig) -> list[str]:
        """The addresses of what building the method would download, beside the teacher's weights."""
        return []

    @abstractmethod
    def forward(self, images: Images, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """The differentiable path, for training.

        Args:
            images: uint8, (N, C, H, W), or N images of (C, H, W) where they vary.
            targets: the task's targets, for heads that need them.
            features: layers of the teacher whose outputs are wanted.
        """

    @property
    def session(self) -> SessionHeader:
        """The header of a session with this model; its fingerprint names the variant, the weights and the tables."""
        variant = repr((type(self).__name__, sorted(self.variant.items())))
        # Bytes are read as they lie in memory: no conversion, whatever the dtype.
        weights = [
            tensor.cpu().reshape(-1).view(torch.uint8).numpy().tobytes() for tensor in unique_state(self).values()
        ]
        agreements, earlier = self._agreements(), self._earlier_agreements()
        return SessionHeader(
            fingerprint(variant.encode(), *weights, *agreements),
            self.shape,
            has_side_info=self.has_side_info,
            checksum=self.checksum,
            has_size=self.varies,
            numbered=self.numbered,
            earlier=() if earlier == agreements else (fingerprint(variant.encode(), *weights, *earlier),),
        )

    @property
    def varies(self) -> bool:
        """Whether inputs differ in shape."""
        return self.spec.varies

    @property
    def has_side_info(self) -> bool:
        """Whether packets carry side information."""
        return False

    def _agreements(self) -> tuple[bytes, ...]:
        """What both sides must compute alike, beyond having the same weights; the session's fingerprint covers it."""
        return ()

    def _earlier_agreements(self) -> tuple[bytes, ...]:
        """The same as earlier versions had it, whose sessions are still read."""
        return self._agreements()

    @torch.inference_mode()
    def encode(self, images: Images) -> list[Packet]:
        """Runs the device half on uint8 images (N, C, H, W), or on N of (C, H, W); one packet a sample, in order.

        Raises:
            InputError: no image, one of another type or shape, one that the network can't take or no receiver accepts
                (see `limits`), or latents that are not finite.
            EntropyTablesMissing: before `update_tables()`, for methods that have a prior.
        """
        return self.code(self.analyze(images))

    @torch.inference_mode()
    def analyze(self, images: Images) -> list[Analyzed]:
        """The first step of `encode`, the network: once for each shape among the inputs."""
        self.spec.check(images)
        if not all(isinstance(image, Tensor) for image in ([images] if hasattr(images, "shape") else images)):
            raise InputError("images are no tensors; give uint8 tensors, of NumPy's arrays torch.from_numpy(images)")
        groups = self.spec.groups(images)
        for _, size in groups:
            self._require_bounded(self.spec.shape(size), InputError)
        return [self._analyzed(images, places, size) for places, size in groups]

    def _analyzed(self, images: Images, places: Sequence[int], size: Size | None) -> Analyzed:
        """Runs the network on the inputs of one shape."""
        stacked = self.spec.collate(images, places, torch.stack)
        if size is None:
            return Analyzed(self.device.analyze(stacked), places, None)
        with self._blaming(InputError, f"{self.spec.named(stacked.shape[1:])} can't be coded", "use a larger one"):
            return Analyzed(self.device.analyze(stacked), places, size)

    @torch.inference_mode()
    def code(self, analyzed: Sequence[Analyzed]) -> list[Packet]:
        """The second step of `encode`, the coder: one packet a sample, in the order of the images."""
        return _in_order(
            (places, [replace(packet, size=size) for packet in self.device.code(values)])
            for values, places, size in analyzed
        )

    @torch.inference_mode()
    def decode(self, packets: Sequence[Packet]) -> Any:
        """Runs the server half.

        Before anything is computed, the sizes that packets name are held against `limits`, and packets of one size
        are decoded in parts that keep to them. Whatever goes wrong with packets while the model decodes one of its
        own is a `PacketError`; what goes wrong with that one, too, is a fault of the model and stays as it is.

        Returns:
            Predictions in the packets' order, all finite; a list of them where images vary.

        Raises:
            PacketError: packets that can't be decoded, or none.
        """
        return self._on_server(self.server.decode, packets)

    def decode_images(self, packets: Sequence[Packet]) -> list[Tensor] | None:
        """The images that the server sees, uint8 (C, H, W) each; `None` for methods that send none.

        Raises:
            PacketError: for packets that can't be decoded.
        """
        return None

    def _on_server(self, run: Callable[[Sequence[Packet], InputShape], Any], packets: Sequence[Packet]) -> Any:
        """Runs a part of the server half on packets: for each shape of inputs once, or more often to keep to limits."""
        if not packets:
            raise PacketError("there is no packet to decode; give one at least")
        shapes = [self._shape_of(packet) for packet in packets]
        parts: list[tuple[Sequence[int], Any]] = []
        for shape, places in by_value(shapes).items():
            many = self.limits.together(self.server.sizing.work(shape))
            for start in range(0, len(places), many):
                part = places[start : start + many]
                what = f"a packet of {self.spec.named(shape)} can't be decoded"
                with self._blaming(PacketError, what, "it is damaged, foreign, or too small for this model"):
                    parts.append((part, run([packets[i] for i in part], shape)))
        if self.varies:
            return _in_order(parts)
        results = [result for _, result in parts]
        return torch.cat(results) if isinstance(results[0], Tensor) else [one for result in results for one in result]

    def _shape_of(self, packet: Packet) -> InputShape:
        """The shape of a packet's input; raises `PacketError` for one that is not to be decoded."""
        shape = self.spec.shape(packet.size)
        self._require_bounded(shape, PacketError)
        return shape

    def _require_bounded(self, shape: InputShape, error: type[Sc2benchError]) -> None:
        """Raises an error for an input whose sender chose a shape that is too much work."""
        work, most = self.server.sizing.work(shape), self.limits.packet_pixels
        if self.varies and work > most:
            raise error(
                f"{self.spec.named(shape)} is work of {work} pixels for this model, but at most {most} are taken; "
                "scale it, or raise the limit with evaluation.packet_pixels or model.limits"
            )

    @contextmanager
    def _blaming(self, kind: type[Sc2benchError], what: str, hint: str) -> Iterator[None]:
        """Turns unexpected errors into one of a kind, if the model does well with an input of its own."""
        try:
            yield
        except (Sc2benchError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if not self._works():
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise kind(f"{what} ({reason}); {hint}") from error

    def _works(self) -> bool:
        """Whether an input of zeros passes both halves."""
        place = next(chain(self.parameters(), self.buffers())).device
        inputs = torch.from_numpy(self.spec.probe()).to(place)
        try:
            self.server.decode(self.device.code(self.device.analyze(inputs)), self.spec.probe_shape)
        except Exception:
            return False
        return True

    @torch.no_grad()  # CompressAI's masked convolution writes to its weights, which inference mode would freeze
    def estimate_bits(self, analyzed: Sequence[Analyzed]) -> Tensor | None:
        """The information that a learned prior estimates in each image, before tables and coding.

        Args:
            analyzed: of `analyze`; the network has no second run for the estimate.

        Returns:
            Float, (N,), in the order of the images; `None` without a prior.
        """
        estimates = [(group.places, self.device.estimate_bits(group.values)) for group in analyzed]
        if any(bits is None for _, bits in estimates):
            return None
        return torch.stack(_in_order(estimates))

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that the model's networks work at on an image of this size."""
        sizing = self.server.sizing
        return sizing.padded(sizing.scaled(size))

    def update_tables(self) -> None:
        """Builds the entropy tables, once the device half is trained; nothing to do without a prior."""

    def take_part(self, number: int, weights: dict[str, Tensor], source: object) -> None:
        """Takes over the device half of the experiment that the configuration names as `source`.

        Args:
            number: of the part, in the order of `ExperimentConfig.parts`.
            weights: of the whole trained model.
            source: what errors name as their origin.

        Raises:
            CheckpointError: the device halves differ.
        """
        load_state(self.device, half_of(weights, "device"), source)

    @property
    def variant(self) -> dict[str, str]:
        """What tells this model from others of its method in records, such as its prior or codec."""
        return {}


def _in_order(groups: Iterable[tuple[Sequence[int], Any]]) -> list[Any]:
    """What came of each sample, by its place, from groups of places and what came of them."""
    placed = [pair for places, results in groups for pair in zip(places, results, strict=True)]
    return [result for _, result in sorted(placed, key=itemgetter(0))]


def half_of(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights of the module at a path, under that module's own names."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in weights.items() if name.startswith(start)}


def build_model(
    config: ExperimentConfig, teacher: Teacher, spec: InputSpec, members: Sequence[SplitModel] = ()
) -> SplitModel:
    """Builds the split model that a configuration names, of the models of its members where it has some.

    Raises:
        ConfigError: as the method does, or of experiments to build on that the method takes nothing of.
    """
    method: type[SplitModel] = METHODS[config.method.name]
    if members or config.members:
        model = method.from_members(config, members, teacher, spec)
    else:
        model = method.from_config(config, teacher, spec)
    takes_device = config.source is not None and method.take_part is SplitModel.take_part
    if takes_device and next(model.device.parameters(), None) is None:
        raise ConfigError(
            f"source: the device half of method '{config.method.name}' learns nothing that could be taken over; leave "
            "it out"
        )
    evaluation = config.evaluation
    model.checksum, model.numbered = evaluation.checksum, evaluation.numbered
    model.limits = Limits(evaluation.packet_pixels or Limits.packet_pixels, evaluation.batch_pixels)
    for module in model.modules():
        if isinstance(module, LatentDecoder):
            module.checked = model.checksum
    return model.to(memory_format=torch.channels_last).eval()


def downloads(config: ExperimentConfig) -> list[str]:
    """The addresses of what `build_model` would download; see `SplitModel.downloads`."""
    method: type[SplitModel] = METHODS[config.method.name]
    return method.downloads(config)
