"""Reading a suite: its curves, and the checks that a type can't express."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sc2bench.config.curves import settle_labels
from sc2bench.config.fields import typed
from sc2bench.config.files import config_files, take_included
from sc2bench.config.overrides import merged
from sc2bench.config.reading import read_yaml
from sc2bench.config.references import resolve
from sc2bench.config.schemas import CurveConfig, SuiteConfig
from sc2bench.core.errors import ConfigError, nearest
from sc2bench.core.files import at_home
from sc2bench.core.text import one_line

# Names of figures that a suite can't give to its own.
_OWN_FIGURES = ("cost_accuracy", "rate_cost_accuracy", "link_latency", "predictions")


def load_suite(name: str, config_dirs: Sequence[str] = ()) -> SuiteConfig:
    """Reads a suite by name (from `configs/suite/`) or by the path of a YAML file, with the suites that it includes.

    Raises:
        ConfigError: no such suite, a typo in it, or a suite without curves.
    """
    path = Path(at_home(name))
    if path.suffix not in (".yaml", ".yml"):
        known = config_files("suite", config_dirs)
        if name not in known:
            raise ConfigError(f"unknown suite '{name}'; {nearest(name, known)}")
        path = known[name]
    raw = _laid_over(path, config_files("suite", config_dirs), ())
    if not isinstance(raw.get("curves"), list) or not raw["curves"]:
        raise ConfigError(f"suite file {path} lists no curves; add at least one under 'curves:'")
    try:
        return _typed_suite(raw, path)
    except ConfigError as error:
        raise ConfigError(f"suite file {path}: {error}") from error


def _laid_over(path: Path, known: Mapping[str, Path], including: tuple[Path, ...]) -> dict[str, Any]:
    """A suite's file laid over those that it includes; its curves over theirs of the same label, others behind them."""
    own, _ = read_yaml(path)
    if not isinstance(own, dict):
        own = {}
    tree: dict[str, Any] = {}
    for name in take_included(own, path, known, including):
        below = _laid_over(known[name], known, (*including, path))
        # Results lie in a folder of that name.
        below.pop("name", None)
        tree = _with_curves(tree, below)
    return _with_curves(tree, own)


def _with_curves(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = merged(below, above)
    if isinstance(below.get("curves"), list) and isinstance(above.get("curves"), list):
        curves = list(below["curves"])
        places = {one_line(curve["label"]): i for i, curve in enumerate(curves) if _has_label(curve)}
        for curve in above["curves"]:
            place = places.pop(one_line(curve["label"]), None) if _has_label(curve) else None
            if place is None:
                curves.append(curve)
            else:
                curves[place] = merged(curves[place], curve)
        tree["curves"] = curves
    return tree


def _has_label(curve: Any) -> bool:
    return isinstance(curve, dict) and isinstance(curve.get("label"), str)


def _typed_suite(raw: dict[str, Any], path: Path) -> SuiteConfig:
    raw = resolve(raw, "the suite")
    raw.setdefault("name", path.stem)
    given = raw.pop("curves")
    curves = [typed(CurveConfig, curve, f"curves[{i}]") for i, curve in enumerate(given)]
    suite = typed(SuiteConfig, raw, "", extra=("curves",))
    suite.curves = curves
    _check_name(suite.name)
    settle_labels(suite, given)
    labels = [curve.label for curve in curves]
    _check_curves(suite, labels)
    suite.curves.sort(key=lambda curve: curve.order)
    if suite.anchor is not None and suite.anchor not in labels:
        raise ConfigError(
            f"anchor: suite '{suite.name}' has no curve '{suite.anchor}'; {nearest(suite.anchor, labels)}"
        )
    _check_figures(suite, labels)
    return suite


def _check_name(name: str) -> None:
    # Folders of results and jobs are named after it.
    if not name or not name.isprintable() or name.startswith(".") or Path(name).name != name:
        raise ConfigError(f"name: '{name}' is no plain file name; use one such as 'my_suite'")


def _check_curves(suite: SuiteConfig, labels: Sequence[str]) -> None:
    for i, curve in enumerate(suite.curves):
        if labels.count(curve.label) > 1:
            raise ConfigError(f"suite '{suite.name}' has two curves with the label '{curve.label}'; give each its own")
        if curve.rates is not None and not curve.rates:
            raise ConfigError(f"curves[{i}].rates: empty; list at least one, or leave rates out ('{curve.label}')")
        for j, rate in enumerate(curve.rates or []):
            if rate in (curve.rates or [])[:j]:
                raise ConfigError(f"curves[{i}].rates[{j}]: {rate:g} is there twice; leave one ('{curve.label}')")
        _check_seeds(suite.name, curve)


def _check_seeds(suite: str, curve: CurveConfig) -> None:
    if curve.seeds is None:
        return
    where = f"suite '{suite}', curve '{curve.label}': seeds"
    if not curve.seeds:
        raise ConfigError(f"{where}: no seed is listed; list some, such as [0, 1, 2], or leave seeds out")
    for seed in curve.seeds:
        if curve.seeds.count(seed) > 1:
            raise ConfigError(f"{where}: {seed} stands there twice; list each seed once")


def _check_figures(suite: SuiteConfig, labels: Sequence[str]) -> None:
    for name, shown in suite.figures.items():
        if name in _OWN_FIGURES:
            raise ConfigError(f"figures: '{name}' is a figure that every report may have; give this one another name")
        if not name or Path(name).name != name or one_line(name) != name:
            raise ConfigError(f"figures: '{name}' is not a file name; use a plain name such as 'rate_accuracy'")
        if not shown:
            raise ConfigError(f"figures.{name}: no curves; list labels of curves, or leave the figure out")
        for label in shown:
            if label not in labels:
                raise ConfigError(
                    f"figures.{name}: suite '{suite.name}' has no curve '{label}'; {nearest(label, labels)}"
                )
