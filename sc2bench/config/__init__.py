"""Configurations: schemas, checks, and composing them from YAML and the command line."""

from sc2bench.config.compose import compose, config_dir, config_files, from_resolved, load_suite
from sc2bench.config.options import FeatureLossConfig, LossConfig, OptimizerConfig, ScheduleConfig, option
from sc2bench.config.schemas import (
    CurveConfig,
    EvaluationConfig,
    MethodConfig,
    RunConfig,
    SuiteConfig,
    TaskConfig,
    TeacherConfig,
)
from sc2bench.config.stages import StageConfig

__all__ = [
    "CurveConfig",
    "EvaluationConfig",
    "FeatureLossConfig",
    "LossConfig",
    "MethodConfig",
    "OptimizerConfig",
    "RunConfig",
    "ScheduleConfig",
    "StageConfig",
    "SuiteConfig",
    "TaskConfig",
    "TeacherConfig",
    "compose",
    "config_dir",
    "config_files",
    "from_resolved",
    "load_suite",
    "option",
]
