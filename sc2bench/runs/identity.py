"""What an experiment's result depends on beyond its configuration: data, files of weights, plugins, precision.

Two experiments of one configuration share weights and records only if these surroundings are the same. They are a
dictionary that lists only what differs from the usual, which is published data in their own place, packaged weights, no
plugins and single precision; so names of experiments that differ in nothing have no trace of it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from sc2bench.chain import chain_modules
from sc2bench.config import ExperimentConfig
from sc2bench.core.digests import of_file, read_object
from sc2bench.core.errors import CheckpointError, ConfigError
from sc2bench.core.files import is_there
from sc2bench.core.registry import loaded_plugins, plugins_of
from sc2bench.data import fingerprint_of
from sc2bench.teachers import published_weights
from sc2bench.teachers.library import is_file

Surroundings = dict[str, Any]
_DIGITS = 16
_KEY_BYTES = 4
# What the precision "auto" may come to.
PRECISIONS_OF_AUTO = ("no", "bf16")
_TRAINING_SPLITS = ("train", "validation")
FINAL_WEIGHTS = "model.safetensors"
# What tells weights that were taken over from elsewhere.
IMPORTED = "imported.json"


def surroundings_of_weights(config: ExperimentConfig, auto: str | None = None) -> Surroundings:
    """What the trained weights depend on beyond the configuration; empty if all is as usual, or nothing is trained.

    Args:
        config: the experiment.
        auto: what the precision "auto" comes to; `None`: what it does on this machine.

    Raises:
        DataError: the data are missing or damaged.
        CheckpointError: a file of weights is missing or can't be read.
    """
    imported = imported_from(config)
    if imported is not None:
        # What was trained elsewhere depends on nothing that lies here, but on the file that it came from.
        return {"imported": imported["blake2b"][:_DIGITS]}
    parts = [key_of(surroundings_of_weights(part, auto)) for part in config.parts]
    if not config.stages and not any(parts):
        return {}
    found: Surroundings = {f"data.{split}": fingerprint_of(config.task, split) for split in _TRAINING_SPLITS}
    if config.mixed_precision == "auto":
        precision = auto or resolved_precision("auto")
        found["mixed_precision"] = None if precision == "no" else precision
    if not config.stages:
        found = {}
    found |= _weights(config) | _plugins(config) | {f"parts[{number}]": key or None for number, key in enumerate(parts)}
    return {name: value for name, value in found.items() if value is not None}


def surroundings_of_point(config: ExperimentConfig, auto: str | None = None) -> Surroundings:
    """What a measured point depends on beyond the configuration; see `surroundings_of_weights`."""
    splits = {config.evaluation.split}
    if config.evaluation.export_int8:
        # A quantized encoder is calibrated with it.
        splits.add("validation")
    found = surroundings_of_weights(config, auto) | _weights(config) | _plugins(config)
    found |= {f"data.{split}": fingerprint_of(config.task, split) for split in sorted(splits)}
    return {name: value for name, value in found.items() if value is not None}


def configured_folder(config: ExperimentConfig) -> Path:
    """Where weights lie that depend on the configuration alone: on published data, or taken over from elsewhere."""
    return Path(config.checkpoints) / f"{config.method.name}-{config.training_hash()}"


def imported_from(config: ExperimentConfig) -> dict[str, str] | None:
    """The name and the digest of the file that an experiment's weights were taken over from; `None` if they were not.

    Raises:
        CheckpointError: what says so can't be read.
    """
    folder = configured_folder(config)
    # An import that was stopped has no weights yet.
    if not is_there(folder / IMPORTED) or not is_there(folder / FINAL_WEIGHTS):
        return None
    try:
        found = read_object(folder / IMPORTED)
        return {name: str(found[name]) for name in ("file", "blake2b")}
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{folder / IMPORTED} can't be read ({error}); import the checkpoint again with --force"
        ) from error


def key_of(surroundings: Mapping[str, Any]) -> str:
    """Names surroundings by 8 hexadecimal digits; empty where all is as usual."""
    if not surroundings:
        return ""
    text = json.dumps(surroundings, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).hexdigest()


def difference(own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names of what is not the same in two surroundings."""
    return sorted(name for name in own.keys() | other.keys() if own.get(name) != other.get(name))


@cache
def resolved_precision(wanted: str) -> str:
    """What "auto" means on this machine: bfloat16 where the processor has it, for it is slow elsewhere.

    Raises:
        ConfigError: half precision without a CUDA device.
    """
    if wanted == "fp16" and not torch.cuda.is_available():
        raise ConfigError("mixed_precision: fp16 needs a CUDA device; choose auto, bf16 or no")
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "no"


def _weights(config: ExperimentConfig) -> Surroundings:
    """Digests of the files of weights that the configuration names, and of programs that code images."""
    named = {"teacher.weights": config.teacher.weights, "method.weights": getattr(config.method, "weights", None)}
    paths = {name: Path(text) for name, text in named.items() if isinstance(text, str) and is_file(text)}
    options = getattr(config.method, "options", None)
    for name, text in options.items() if isinstance(options, dict) else ():
        # A program that is found on PATH has no place of its own.
        if isinstance(text, str) and "/" in text and is_there(Path(text)) and Path(text).is_file():
            paths[f"method.options.{name}"] = Path(text)
    found = {name: file_digest(path) for name, path in paths.items()}
    published = published_weights(config.teacher)
    if published is not None and published.substitute is not None:
        found["teacher.weights"] = published.substitute
    return found


def _plugins(config: ExperimentConfig) -> Surroundings:
    """The content of those plugins that register anything which the configuration names, or chains of models.

    No configuration names a chain: any model of a library may be of the family that it is for.
    """
    contents: dict[str, list[str]] = {}
    used = plugins_of(_texts(config.resolved()))
    if config.teacher.library:
        chains = chain_modules()
        known = {plugin.name for plugin in used}
        used += [p for p in loaded_plugins() if p.name not in known and any(map(p.has, chains))]
    for plugin in used:
        contents.setdefault(f"plugins.{Path(plugin.name).name}", []).append(plugin.content)
    # Files in different folders may have one name.
    return {name: "+".join(sorted(each)) for name, each in contents.items()}


def _texts(value: Any) -> Iterator[str]:
    """All texts in a configuration, and the names of its fields, for losses are named so."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def file_digest(path: Path) -> str:
    """The digest of a file's content, as 16 hexadecimal digits; raises `CheckpointError` if it can't be read."""
    try:
        found = path.stat()
        return _digest(path, found.st_mtime_ns, found.st_size)
    except FileNotFoundError:
        raise CheckpointError(f"weights {path} are missing; give another file") from None
    except OSError as error:
        raise CheckpointError(
            f"weights {path} can't be read: {error.strerror}; mend the file's place or rights"
        ) from error


@cache
def _digest(path: Path, changed: int, size: int) -> str:
    return of_file(path)[:_DIGITS]
