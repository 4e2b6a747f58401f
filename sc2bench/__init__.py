"""Supervised compression for split computing: build, train, measure and compare split models."""

from importlib import import_module
from typing import Any

__version__ = "1.0.0.dev0"

# Imported when first used, so that `import sc2bench` and the command line's help don't wait for PyTorch.
_MODULES = {
    "runs.api": ("build", "evaluate", "load", "save", "train"),
    "records": ("load_records",),
    "evaluation": ("Measurement",),
    "config": ("compose", "EvaluationConfig", "ExperimentConfig", "MethodConfig", "TaskConfig", "TeacherConfig"),
    "config.options": ("FeatureLossConfig", "LossConfig", "OptimizerConfig", "ScheduleConfig", "option"),
    "core.registry": (
        "AUGMENTATIONS",
        "BOTTLENECKS",
        "DATASETS",
        "IMAGE_CODECS",
        "LOSSES",
        "METHODS",
        "OPTIMIZERS",
        "PRIORS",
        "SCHEDULES",
        "TASKS",
        "TEACHERS",
        "TEACHER_LIBRARIES",
        "configured",
        "load_plugins",
    ),
    "core.errors": ("CheckpointError", "ConfigError", "DataError", "InputError", "Sc2benchError"),
    "wire.packet": ("Packet", "PacketError", "SessionHeader"),
    "wire.inputs": ("ImageSpec", "InputSpec"),
    "wire.coding": ("CodingError", "EntropyTablesMissing", "IntegerTables", "SymbolCoder"),
    "data": ("ImageSet", "MemoryImages"),
    "chain": ("Chain", "as_chain", "cut", "register_chain"),
    "teachers": ("Preprocess", "Teacher"),
    "entropy": ("Coded", "LatentCodec"),
    "bottlenecks.base": ("Bottleneck",),
    "codecs.base": ("ImageCodec",),
    "methods": ("Outputs", "SplitModel"),
    "methods.halves": ("DeviceHalf", "ServerHalf"),
    "tasks.base": ("Metric", "Task"),
    "training.loss": ("Loss", "LossContext", "Need", "Step", "register_loss"),
    "training.optimizers": ("register_optimizer",),
    "training.schedules": ("register_schedule",),
}
_PUBLIC = {name: f"sc2bench.{module}" for module, names in _MODULES.items() for name in names}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sc2bench' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
