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

from sc2bench.config import MethodConfig, RunConfig
from sc2bench.core.errors import ConfigError, InputError, Sc2benchError
from sc2bench.core.registry import METHODS
from sc2bench.core.state import load_state, unique_state
from sc2bench.entropy import LatentDecoder
from sc2bench.methods.halves import Analyzed, DeviceHalf, ImageShape, ServerHalf
from sc2bench.methods.shapes import session_shape
from sc2bench.teachers import Images, Teacher
from sc2bench.wire.inputs import check_images, check_sides
from sc2bench.wire.packet import MAX_IMAGE_SIDE, Limits, Packet, PacketError, SessionHeader, fingerprint

# What forward() returns, where the method has it: "prediction" (of the teacher's head), "features" (stage name to
# tensor), "bits" (N,), "auxiliary_loss" (scalar).
Outputs = dict[str, Any]


class SplitModel(nn.Module):
    """A model in two halves with bytes between them.

    Subclasses set `config_class` and `rate_knob`, and implement `from_config` and `forward`.

    Args:
        device: the device's half.
        server: the server's half. Modules that run on both sides, as a prior does, stand in both.
        image_shape: (C, H, W) of the images; (C, 0, 0) if they vary, so that packets say how large theirs is.
        shape: of one sample's symbols or image, announced in the session header where images don't vary.
    """

    config_class: ClassVar[type[MethodConfig]] = MethodConfig
    rate_knob: str | None = None
    # What it was built from, where an experiment is known; see `sc2bench.runs.blueprint`.
    origin: Any = None

    def __init__(self, device: DeviceHalf, server: ServerHalf, image_shape: ImageShape, shape: Sequence[int]):
        super().__init__()
        self.device = device
        self.server = server
        self.image_shape = image_shape
        self.shape = () if self.varies else tuple(shape)
        self.checksum = False
        self.numbered = False
        self.limits = Limits()

    @classmethod
    @abstractmethod
    def from_config(cls, config: RunConfig, teacher: Teacher, image_shape: ImageShape) -> "SplitModel":
        """Builds the method.

        Args:
            config: `config.method` is an instance of `config_class`.
            teacher: the method takes over what it wants of its modules.
            image_shape: (C, H, W) of the data set's images; (C, 0, 0) if they vary.
        """

    @classmethod
    def from_members(
        cls, config: RunConfig, members: "Sequence[SplitModel]", teacher: Teacher, image_shape: ImageShape
    ) -> "SplitModel":
        """Builds a method that joins the models of other experiments.

        Args:
            config: the experiment.
            members: the models of `config.members`, in order; modules of theirs become parts of this one.
            teacher: as for `from_config`.
            image_shape: as for `from_config`.

        Raises:
            ConfigError: the method joins none, or not these.
        """
        raise ConfigError(f"members: method '{config.method.name}' joins no experiments; choose multi_task")

    @classmethod
    def downloads(cls, config: RunConfig) -> list[str]:
        """The addresses of what building the method would download, beside the teacher's weights."""
        return []

    @abstractmethod
    def forward(self, images: Images, targets: Any = None, features: Collection[str] = ()) -> Outputs:
        """The differentiable path, for training.

        Args:
            images: uint8, (N, C, H, W), or N images of (C, H, W) where they vary.
            targets: the task's targets, for heads that need them.
            features: stages of the teacher whose outputs are wanted.
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
        """Whether images vary in size."""
        return not self.image_shape[1]

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
        """The first step of `encode`, the network: once for each size among the images."""
        check_images(images, self.image_shape)
        if not all(isinstance(image, Tensor) for image in ([images] if hasattr(images, "shape") else images)):
            raise InputError("images are no tensors; give uint8 tensors, of NumPy's arrays torch.from_numpy(images)")
        if not self.varies:
            stacked = images if isinstance(images, Tensor) else torch.stack(list(images))
            return [Analyzed(self.device.analyze(stacked), range(len(stacked)), None)]
        sizes = check_sides(images, MAX_IMAGE_SIDE)
        for size in set(sizes):
            self._require_bounded(size, InputError)
        return [self._analyzed(images, places, size) for size, places in _by_size(sizes).items()]

    def _analyzed(self, images: Images, places: Sequence[int], size: tuple[int, int]) -> Analyzed:
        """Runs the network on the images of one size."""
        with self._blaming(InputError, f"images of {size[0]}x{size[1]} pixels can't be coded", "use larger ones"):
            return Analyzed(self.device.analyze(torch.stack([images[i] for i in places])), places, size)

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

    def _on_server(self, run: Callable[[Sequence[Packet], ImageShape], Any], packets: Sequence[Packet]) -> Any:
        """Runs a part of the server half on packets: for each size of images once, or more often to keep to limits."""
        if not packets:
            raise PacketError("there is no packet to decode; give one at least")
        sizes = [self._size_of(packet) for packet in packets]
        parts: list[tuple[Sequence[int], Any]] = []
        for size, places in _by_size(sizes).items():
            many = self.limits.together(self.server.sizing.pixels(size))
            for start in range(0, len(places), many):
                part = places[start : start + many]
                what = f"packets of images of {size[0]}x{size[1]} pixels can't be decoded"
                with self._blaming(PacketError, what, "they are damaged, foreign, or too small for this model"):
                    parts.append((part, run([packets[i] for i in part], (self.image_shape[0], *size))))
        if self.varies:
            return _in_order(parts)
        results = [result for _, result in parts]
        return torch.cat(results) if isinstance(results[0], Tensor) else [one for result in results for one in result]

    def _size_of(self, packet: Packet) -> tuple[int, int]:
        """The (height, width) of a packet's image; raises `PacketError` for one that is not to be decoded."""
        if not self.varies:
            if packet.size is not None:
                raise PacketError("a packet says how large its image is, though images don't vary; it is foreign")
            return self.image_shape[1:]
        if packet.size is None:
            raise PacketError("a packet does not say how large its image is, though images vary; it is foreign")
        if not 0 < min(packet.size) <= max(packet.size) <= MAX_IMAGE_SIDE:
            height, width = packet.size
            raise PacketError(f"the packet's image has {height}x{width} pixels; a side has 1 ... {MAX_IMAGE_SIDE}")
        self._require_bounded(packet.size, PacketError)
        return packet.size

    def _require_bounded(self, size: tuple[int, int], error: type[Sc2benchError]) -> None:
        pixels, most = self.server.sizing.pixels(size), self.limits.packet_pixels
        if pixels > most:
            raise error(
                f"an image of {size[0]}x{size[1]} is work of {pixels} pixels for this model, but at most {most} are "
                "taken; scale it, or raise the limit with evaluation.packet_pixels or model.limits"
            )

    @contextmanager
    def _blaming(self, kind: type[Sc2benchError], what: str, hint: str) -> Iterator[None]:
        """Turns unexpected errors into one of a kind, if the model does well with an image of its own."""
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
        """Whether a black image passes both halves."""
        channels, height, width = session_shape(self.image_shape)
        place = next(chain(self.parameters(), self.buffers())).device
        image = torch.zeros(1, channels, height, width, dtype=torch.uint8, device=place)
        try:
            self.server.decode(self.device.code(self.device.analyze(image)), (channels, height, width))
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
            number: of the part, in the order of `RunConfig.parts`.
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


def _by_size(sizes: Sequence[Any]) -> dict[Any, list[int]]:
    """The places of the samples of each size."""
    places: dict[Any, list[int]] = {}
    for place, size in enumerate(sizes):
        places.setdefault(size, []).append(place)
    return places


def _in_order(groups: Iterable[tuple[Sequence[int], Any]]) -> list[Any]:
    """What came of each sample, by its place, from groups of places and what came of them."""
    placed = [pair for places, results in groups for pair in zip(places, results, strict=True)]
    return [result for _, result in sorted(placed, key=itemgetter(0))]


def half_of(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights of the module at a path, under that module's own names."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in weights.items() if name.startswith(start)}


def build_model(
    config: RunConfig, teacher: Teacher, image_shape: ImageShape, members: Sequence[SplitModel] = ()
) -> SplitModel:
    """Builds the split model that a configuration names, of the models of its members where it has some."""
    method: type[SplitModel] = METHODS[config.method.name]
    if members:
        model = method.from_members(config, members, teacher, image_shape)
    else:
        model = method.from_config(config, teacher, image_shape)
    evaluation = config.evaluation
    model.checksum, model.numbered = evaluation.checksum, evaluation.numbered
    model.limits = Limits(evaluation.packet_pixels or Limits.packet_pixels, evaluation.batch_pixels)
    for module in model.modules():
        if isinstance(module, LatentDecoder):
            module.checked = model.checksum
    return model.to(memory_format=torch.channels_last).eval()


def downloads(config: RunConfig) -> list[str]:
    """The addresses of what `build_model` would download; see `SplitModel.downloads`."""
    method: type[SplitModel] = METHODS[config.method.name]
    return method.downloads(config)
