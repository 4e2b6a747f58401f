"""Importing a published checkpoint: read without running code, translated, checked, written as a finished run."""

import re
from pathlib import Path

import torch
from compressai import entropy_models
from torch import Tensor

from sc2bench.config import ExperimentConfig
from sc2bench.core import digests
from sc2bench.core.errors import CheckpointError, ConfigError, OutputError
from sc2bench.core.files import write_json
from sc2bench.core.registry import METHODS
from sc2bench.core.state import load_state, misfits, refuse, unique_state
from sc2bench.data import spec_of
from sc2bench.entropy import EntropyTablesMissing, HyperpriorDecoder, IntegerTables
from sc2bench.entropy.hyperprior import SCALES
from sc2bench.importing.names import Names
from sc2bench.methods.channel_reduction import ChannelReduction
from sc2bench.methods.entropic_student import EntropicStudent
from sc2bench.methods.entropy_bottleneck import EntropyBottleneck
from sc2bench.methods.latent import LatentModel
from sc2bench.runs.blueprint import Blueprint, build
from sc2bench.runs.experiment import FINAL_WEIGHTS, HISTORY, TRAINED_IN, Experiment, has_weights
from sc2bench.runs.identity import IMPORTED
from sc2bench.runs.trained import save_trained
from sc2bench.teachers import read_weights

# End-to-end training has the models of Entropic Student.
_PUBLISHED = (EntropicStudent, ChannelReduction, EntropyBottleneck)
# Buffers that CompressAI computes from its options, which are the same in every published model.
_CONSTANT = re.compile(r"\.(pedestal|bound|scale_bound|model\.target)$")
_TABLE = re.compile(r"\.(_offset|_quantized_cdf|_cdf_length|scale_table)$")
_TOLERANCE = 1e-4


def import_checkpoint(file: Path, config: ExperimentConfig, *, force: bool = False) -> Path:
    """Takes a published checkpoint over as the final weights of an experiment.

    Neither the data set nor the teacher's weights are needed, unless the data set alone knows what its inputs are.

    Args:
        file: .pt, .pth, .bin or .safetensors.
        config: the experiment; its method, teacher and sizes must be those of the published model.
        force: replaces weights that are there already.

    Returns:
        The folder of the experiment's weights, for `sc2bench.load`.

    Raises:
        CheckpointError: the file is unreadable, refused, or holds other weights than the experiment's; or there are
            weights already.
        ConfigError: there are no published checkpoints of this kind of experiment.
        OutputError: the folder can't be written.
    """
    _check_method(config)
    folder = Experiment(config).configured_folder
    if has_weights(folder) and not force:
        raise CheckpointError(f"{folder} has weights already; add --force to replace them")
    state = read_weights(file)
    model = build(config, _blueprint(config), bare=True)
    assert isinstance(model, _PUBLISHED)
    load_published(model, state, file)
    try:
        for name in (FINAL_WEIGHTS, HISTORY, TRAINED_IN):
            # Told of other weights; and a kill from here on must not leave those under the new file's name.
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} can't be replaced ({error.strerror}); mend its rights, or delete it") from error
    write_json(folder / IMPORTED, {"file": file.name, "blake2b": digests.of_file(file)})
    save_trained(model, folder)
    return folder


def _check_method(config: ExperimentConfig) -> None:
    name = config.method.name
    if not issubclass(METHODS[name], _PUBLISHED):
        known = [other for other in METHODS.names() if issubclass(METHODS[other], _PUBLISHED)]
        raise ConfigError(f"method: '{name}' has no published checkpoints; choose one of {', '.join(known)}")
    if not config.stages:
        raise ConfigError("stage1: null, so that `run` would measure random weights; leave a stage of training in")


def load_published(model: LatentModel, state: dict[str, Tensor], source: object) -> None:
    """Loads a published state dict; entropy tables that it lacks are built.

    Args:
        model: filled in place.
        state: every tensor of it has a place in the model, or the state is refused.
        source: what errors name as its origin.

    Raises:
        CheckpointError: tensors without a counterpart here or there, of other shapes, not finite, or damaged tables.
    """
    own = unique_state(model)
    translated, wrong = _translate(state, Names(model, state.keys()), own)
    for name in own.keys() - translated.keys():
        if _CONSTANT.search(name) or _TABLE.search(name):
            translated[name] = own[name]
        else:
            wrong.append(f"missing {name}")
    refuse(model, wrong, source)
    load_state(model, translated, source)
    _ready_tables(model, source)


def _translate(state: dict[str, Tensor], names: Names, own: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under our names, and what is wrong with those that can't be taken over."""
    translated: dict[str, Tensor] = {}
    wrong = []
    for key, tensor in state.items():
        name = names.ours(key)
        if name is None or name not in own:
            wrong.append(f"unexpected {key}")
        elif name in translated:
            wrong.append(f"{key} means the same as another key")
        elif misfit := [*misfits({key: own[name]}, {key: tensor})]:
            wrong += misfit
        elif _CONSTANT.search(name) and not _close(tensor, own[name]):
            wrong.append(f"{key} is {tensor.tolist()} instead of {own[name].tolist()}")
        else:
            translated[name] = tensor
    return translated, wrong


def _ready_tables(model: LatentModel, source: object) -> None:
    """Builds the tables if some did not come."""
    parts = [part for part in model.device.prior.modules() if isinstance(part, entropy_models.EntropyModel)]
    try:
        for part in parts:
            IntegerTables.of(part)
    except EntropyTablesMissing:
        for part in model.device.prior.modules():
            scales = part.gaussian.scale_table if isinstance(part, HyperpriorDecoder) else torch.empty(0)
            if scales.numel() and not _close(scales, torch.tensor(SCALES)):
                raise CheckpointError(
                    f"weights {source} have scales of other tables than ours, but not the tables; save them after "
                    "update()"
                ) from None
        model.update_tables()


def _blueprint(config: ExperimentConfig) -> Blueprint:
    return Blueprint(spec_of(config.task, config.evaluation.split))


def _close(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first.float(), second.float(), rtol=_TOLERANCE, atol=0)
