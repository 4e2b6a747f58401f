"""Configurations: schemas, checks, and composing them from YAML and the command line."""

from sc2bench.config.compose import compose, compose_whole, from_resolved, written
from sc2bench.config.files import config_dir, config_files
from sc2bench.config.groups import completed
from sc2bench.config.options import (
    FeatureLossConfig,
    LossConfig,
    OptimizerConfig,
    Options,
    ScheduleConfig,
    check_config_class,
    option,
    registered,
)
from sc2bench.config.schemas import (
    CurveConfig,
    EvaluationConfig,
    ExperimentConfig,
    MethodConfig,
    SuiteConfig,
    TaskConfig,
    TeacherConfig,
)
from sc2bench.config.stages import StageConfig
from sc2bench.config.suites import load_suite

__all__ = [
    "CurveConfig",
    "EvaluationConfig",
    "ExperimentConfig",
    "FeatureLossConfig",
    "LossConfig",
    "MethodConfig",
    "OptimizerConfig",
    "Options",
    "ScheduleConfig",
    "StageConfig",
    "SuiteConfig",
    "TaskConfig",
    "TeacherConfig",
    "check_config_class",
    "completed",
    "compose",
    "compose_whole",
    "config_dir",
    "config_files",
    "from_resolved",
    "load_suite",
    "option",
    "registered",
    "written",
]
