"""What a training or a measurement takes place in: hardware, precision, processes, versions, plugins."""

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration

from sc2bench.config import ExperimentConfig
from sc2bench.core import processes
from sc2bench.core.registry import loaded_plugins
from sc2bench.records import environment
from sc2bench.runs.identity import resolved_precision


def here(config: ExperimentConfig) -> dict[str, Any]:
    """What a training or a measurement takes place in."""
    return environment() | {
        "mixed_precision": resolved_precision(config.mixed_precision),
        "processes": processes.count(),
        "threads": torch.get_num_threads(),
        "plugins": [plugin.described() for plugin in loaded_plugins()],
    }


def accelerator_for(precision: str) -> Accelerator:
    """What trains and measures in a precision, which is one of `mixed_precision`."""
    # Accelerate keeps one state a process; experiments of a suite may want another precision than the one before.
    AcceleratorState._reset_state()
    # The batch sizes of configurations are those of all processes together.
    loading = DataLoaderConfiguration(split_batches=True)
    return Accelerator(mixed_precision=resolved_precision(precision), dataloader_config=loading)
