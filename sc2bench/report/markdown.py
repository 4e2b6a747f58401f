"""Frames as Markdown."""

from collections.abc import Mapping, Sequence

import pandas as pd


def to_markdown(table: pd.DataFrame, formats: Mapping[str, str] | None = None) -> str:
    """A table in GitHub's Markdown, numbers to the right.

    Args:
        table: any frame; missing values are left empty.
        formats: for each column how numbers are written, `.1f` if it is not named.
    """
    formats = formats or {}
    cells = [
        [_cell(value, formats.get(name, ".1f")) for name, value in row.items()] for row in table.to_dict("records")
    ]
    numeric = [pd.api.types.is_numeric_dtype(table[name].dropna().infer_objects()) for name in table]
    rule = ["---:" if right else "---" for right in numeric]
    return "\n".join(_line(row) for row in [list(map(str, table.columns)), rule, *cells]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object, form: str) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return format(value, form)
    return str(value)
