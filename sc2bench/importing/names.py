"""From the names of the published package's state dicts to ours.

| published | ours |
|---|---|
| `bottleneck_layer.encoder.N`, `bottleneck_layer.g_a.N` | the Nth module of `device.encoder` |
| `bottleneck_layer.decoder.N`, `bottleneck_layer.g_s.N` | the Nth module of `server.decoder` |
| `bottleneck_layer.entropy_bottleneck` | `device.prior.model`; with a hyperprior `device.prior.shared.side.model` |
| `bottleneck_layer.h_a` | `device.prior.hyper_encoder` |
| `bottleneck_layer.h_s` | `device.prior.shared.hyper_decoder` |
| `bottleneck_layer.gaussian_conditional` | `device.prior.shared.gaussian` |
| `layer2`, `s2`, `features.norm5`, `inception_modules.Mixed_6a`, ... | the layer of that name in `server.tail` |

Modules of one sequence are found by their number: the published encoder of channel reduction (0.0.3) is one sequence,
where ours is the teacher's stem and the bottleneck behind it. The bottleneck may also stand without `bottleneck_layer`,
or under the name of the layer that it replaces; then the teacher's stem stands beside it under its own names.

The fine-tuned entropy bottleneck has `encoder`, `entropy_bottleneck.entropy_bottleneck`, `decoder` and `classifier`,
with the teacher's own names of layers below.
"""

import re
from collections.abc import Collection, Iterator

from torch import nn

from sc2bench.chain import Chain
from sc2bench.entropy import Hyperprior
from sc2bench.methods.entropy_bottleneck import EntropyBottleneck
from sc2bench.methods.latent import LatentModel

# Prefixes of published keys that end in a dot, or whole keys, to what stands for them here.
Places = dict[str, str]
_TAIL = "server.tail"
# What CompressAI called the parameters of a factorized prior: in its lists' first days, until 1.2.2, and today.
_OLD_NAMES = (
    (re.compile(r"\._(?:matrix|matrices\.)(\d+)$"), r".matrices.\1"),
    (re.compile(r"\._(?:bias|biases\.)(\d+)$"), r".biases.\1"),
    (re.compile(r"\._(?:factor|factors\.)(\d+)$"), r".factors.\1"),
)


class Names:
    """Says where the tensors of a published model belong in one of ours.

    Args:
        model: ours.
        keys: of the published state dict.
    """

    def __init__(self, model: LatentModel, keys: Collection[str]):
        self._places = _fine_tuned(model) if isinstance(model, EntropyBottleneck) else _student(model, keys)

    def ours(self, key: str) -> str | None:
        """Our name for a published key; `None` if nothing here corresponds to it."""
        for prefix in _prefixes(key):
            if prefix in self._places:
                return _today(self._places[prefix] + key.removeprefix(prefix))
        return None


def _prefixes(key: str) -> Iterator[str]:
    """The key itself and its dotted prefixes, the longest first."""
    yield key
    for end in reversed([match.end() for match in re.finditer(r"\.", key)]):
        yield key[:end]


def _today(name: str) -> str:
    for pattern, replacement in _OLD_NAMES:
        name = pattern.sub(replacement, name)
    return name


def _student(model: LatentModel, keys: Collection[str]) -> Places:
    """A bottleneck in place of the teacher's first layers."""
    stem, bottleneck = _stem(model.device.encoder, keys)
    parts = _numbered(("encoder", "g_a"), bottleneck) | _numbered(
        ("decoder", "g_s"), _sequence("server.decoder", model.server.decoder)
    )
    if isinstance(model.device.prior, Hyperprior):
        shared = "device.prior.shared"
        parts["entropy_bottleneck."] = f"{shared}.side.model."
        parts["h_a."] = "device.prior.hyper_encoder."
        parts["h_s."] = f"{shared}.hyper_decoder."
        parts["gaussian_conditional."] = f"{shared}.gaussian."
    else:
        parts["entropy_bottleneck."] = "device.prior.model."
    prefixes = ("bottleneck_layer.", f"{model.server.after}.", "")
    placed = {f"{prefix}{part}": ours for prefix in prefixes for part, ours in parts.items()}
    return _tail(model.server.tail.names()) | stem | placed


def _stem(encoder: nn.Module, keys: Collection[str]) -> tuple[Places, list[str]]:
    """The layers before the bottleneck, where they are published apart, and the paths of the encoder's sequence."""
    children = list(encoder.children())
    if children and isinstance(children[0], Chain):
        layers = {f"{name}.": f"device.encoder.0.{name}." for name in children[0].names()}
        if any(key.startswith(tuple(layers)) for key in keys):
            return layers, _sequence("device.encoder.1", children[1])
    return {}, _sequence("device.encoder", encoder)


def _fine_tuned(model: LatentModel) -> Places:
    """The teacher itself, with an entropy bottleneck in between."""
    return {
        "entropy_bottleneck.entropy_bottleneck.": "device.prior.model.",
        "encoder.": "device.encoder.",
        "decoder.": f"{_TAIL}.",
        "classifier.": f"{_TAIL}.",
    }


def _sequence(path: str, module: nn.Module) -> list[str]:
    """The paths of what nested sequences consist of, in order."""
    if not isinstance(module, nn.Sequential):
        return [path]
    return [place for name, child in module.named_children() for place in _sequence(f"{path}.{name}", child)]


def _numbered(parts: Collection[str], paths: list[str]) -> Places:
    return {f"{part}.{number}.": f"{path}." for part in parts for number, path in enumerate(paths)}


def _tail(layers: list[str]) -> Places:
    """The teacher's layers behind the bottleneck; DenseNets and Inception keep theirs in a sequence of their own."""
    named = {f"{box}{name}.": f"{_TAIL}.{name}." for box in ("features.", "inception_modules.", "") for name in layers}
    return named | _transformer(layers) if "tokens" in layers else named


def _transformer(layers: list[str]) -> Places:
    """A vision transformer on a convolutional backbone, whose parts the published model names anew."""
    named = {
        "patch_embed_norm.": f"{_TAIL}.backbone_norm.",
        "patch_embed_proj.": f"{_TAIL}.patch_embed.proj.",
        "cls_token": f"{_TAIL}.tokens.prefix.cls_token",
        "pos_embed": f"{_TAIL}.tokens.pos_embed",
    }
    for layer in layers:
        if match := re.fullmatch(r"blocks(\d+)", layer):
            named[f"blocks.{match[1]}."] = f"{_TAIL}.{layer}."
        elif match := re.fullmatch(r"stage(\d+)", layer):
            # Layers of the backbone are counted from 1 here, from 0 there.
            named[f"patch_embed_pruned_stages.{int(match[1]) - 1}."] = f"{_TAIL}.{layer}."
    return named
