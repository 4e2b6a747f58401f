"""The curves of a suite: their labels, and how they are drawn."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from sc2bench.config.schemas import SuiteConfig
from sc2bench.core.errors import ConfigError
from sc2bench.core.text import one_line

_OPAQUE = 1.0


def settle_labels(suite: SuiteConfig, raw: Sequence[Mapping[str, Any]]) -> None:
    """Brings labels to one line, and checks how curves are to be drawn.

    Args:
        suite: changed in place.
        raw: the curves as they stand in the file.

    Raises:
        ConfigError: an empty label, or a colour or marker that can't be drawn; the sentence names the key.
    """
    for number, (curve, given) in enumerate(zip(suite.curves, raw, strict=True)):
        key = f"curves[{number}]"
        curve.label = one_line(curve.label)
        if not curve.label:
            raise ConfigError(f"{key}.label: {given['label']!r} has no letters; give the curve a name")
        for name in ("color", "marker", "order"):
            if name in given and given[name] is None:
                # A number sign behind a blank starts a comment.
                raise ConfigError(f"{key}.{name}: no value is given; quote it if it starts with #, or leave it out")
        curve.color = None if curve.color is None else _colour(f"{key}.color", curve.color)
        _check_marker(f"{key}.marker", curve.marker)
    suite.anchor = None if suite.anchor is None else one_line(suite.anchor)
    suite.figures = {name: [one_line(label) for label in labels] for name, labels in suite.figures.items()}


def _colour(key: str, value: str) -> str:
    """A colour as six hexadecimal digits; names are those of Matplotlib."""
    from matplotlib.colors import CSS4_COLORS, is_color_like, to_hex, to_rgba

    if not is_color_like(value):
        close = get_close_matches(value, CSS4_COLORS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "write a name that Matplotlib knows, or such as '#D55E00'"
        raise ConfigError(f"{key}: unknown colour '{value}'; {hint}")
    if to_rgba(value)[3] < _OPAQUE:
        raise ConfigError(f"{key}: '{value}' can be seen through; write an opaque colour such as '#D55E00'")
    return to_hex(value).upper()


def _check_marker(key: str, value: str | None) -> None:
    from matplotlib.markers import MarkerStyle

    # Points that another one beats are drawn hollow, so a marker needs an inside.
    if value is not None and value not in MarkerStyle.filled_markers:
        raise ConfigError(f"{key}: unknown marker '{value}'; known: {' '.join(map(str, MarkerStyle.filled_markers))}")
