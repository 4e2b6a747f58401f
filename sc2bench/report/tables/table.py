"""A table and its three forms: Markdown, CSV and LaTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap

import pandas as pd

from sc2bench.core.files import write_text
from sc2bench.core.text import csv_cell, latex, latex_label, markdown, one_line
from sc2bench.measures import Measure, measure

_FORMAT = ".1f"
# Tables with more rows than a page takes go over several.
_PAGE_ROWS = 45
# Escapes, and what Computer Modern would set as other signs.
# Longer heads go over several lines.
_HEAD_CHARACTERS = 8
# Shrinks a tabular to the line, that of a column or of the page, if it is wider.
_FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
# Nothing shrinks a table over several pages: with more characters a row it lies across them.
_PORTRAIT_CHARACTERS = 90
_PAGES_NEED = r"and, in a document of two columns, \onecolumn"


@dataclass(frozen=True)
class Table:
    """A frame with what belongs to it on paper.

    Attributes:
        name: of its files.
        title: its heading.
        caption: what its columns mean.
        frame: a row a line; missing values are left empty.
        formats: for each column how numbers are written, `.1f` if it is not named.
        best: numeric columns whose largest value stands out.
        deviations: for columns the ones of their standard deviations. On paper these stand behind a plus-minus sign.
        ranges: for heads the two columns of a range's ends, of which on paper one under this head is made.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    formats: Mapping[str, str] = field(default_factory=dict)
    best: Sequence[str] = ()
    deviations: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def to_markdown(self) -> str:
        """The rows in GitHub's Markdown, numbers to the right."""
        bold, cells = self._bold(), self._cells().map(markdown)
        marked = cells.where(~bold, "**" + cells + "**")
        rule = ["---:" if right else "---" for right in self._numeric()]
        rows = [list(map(markdown, cells.columns)), rule, *marked.to_numpy().tolist()]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

    def to_csv(self) -> str:
        """The rows with all digits."""
        safe = self.frame.map(lambda cell: csv_cell(cell) if isinstance(cell, str) else cell)
        return safe.rename(columns=lambda head: csv_cell(str(head))).to_csv(index=False)

    def to_latex(self, label: str) -> str:
        """A float with rules of booktabs; a `longtable` if it is longer than a page.

        Args:
            label: what references find it by.
        """
        cells = self._cells().map(latex)
        right = dict(zip(cells, self._numeric(), strict=True))
        style = cells.style.hide(axis="index").format_index(lambda head: _latex_head(head, right[head]), axis=1)
        style = style.apply(lambda _: self._bold().map(lambda yes: "textbf:--rwrap;" if yes else ""), axis=None)
        long = len(self.frame) > _PAGE_ROWS
        text = style.to_latex(
            hrules=True,
            column_format=f"@{{}}{''.join('r' if numbers else 'l' for numbers in right.values())}@{{}}",
            caption=latex(self.caption),
            label=latex_label(label),
            **({"environment": "longtable"} if long else {"position": "t", "position_float": "centering"}),
        )
        if long:
            return self._pages(text)
        begin, end = r"\begin{tabular}", r"\end{tabular}"
        # A float starts at the document's size, and so does its caption.
        start = f"\\small\\setlength{{\\tabcolsep}}{{4pt}}\n{_FIT}{{{begin}"
        return "% \\usepackage{booktabs,graphicx}\n" + text.replace(begin, start).replace(end, f"{end}}}")

    def write(self, folder: Path, label: str) -> list[Path]:
        """Writes the CSV and the LaTeX; raises `OutputError`."""
        csv, tex = (folder / f"{self.name}.{suffix}" for suffix in ("csv", "tex"))
        write_text(csv, self.to_csv())
        write_text(tex, self.to_latex(label))
        return [csv, tex]

    def _numeric(self) -> list[bool]:
        columns = (self.frame[name].dropna().infer_objects() for name in self._shown())
        return [pd.api.types.is_numeric_dtype(column) for column in columns]

    def _pages(self, longtable: str) -> str:
        """A `longtable` in small type, on pages that lie on their side if its rows are wide."""
        columns = self._cells().items()
        widths = [max([*column.str.len(), *map(len, _head_lines(name))]) for name, column in columns]
        table = f"\\begingroup\\scriptsize\\setlength{{\\tabcolsep}}{{2pt}}\n{longtable}\\endgroup\n"
        if sum(widths) + 2 * len(widths) <= _PORTRAIT_CHARACTERS:
            return f"% \\usepackage{{booktabs,longtable}} {_PAGES_NEED}\n{table}"
        lying = f"\\begin{{landscape}}\n{table}\\end{{landscape}}\n"
        return f"% \\usepackage{{booktabs,longtable,pdflscape}} {_PAGES_NEED}\n{lying}"

    def _cells(self) -> pd.DataFrame:
        cells = {head: self._column(name) for name, head in self._shown().items()}
        return pd.DataFrame(cells, columns=list(cells), dtype=object)

    def _shown(self) -> dict[str, str]:
        """The columns that have one of their own on paper, with their heads there."""
        joined = {*self.deviations.values(), *(high for _, high in self.ranges.values())}
        heads = {low: head for head, (low, _) in self.ranges.items()}
        return {str(name): heads.get(str(name), str(name)) for name in self.frame if name not in joined}

    def _column(self, name: str) -> list[str]:
        form = self.formats.get(name, _FORMAT)
        cells = [_cell(value, form) for value in self.frame[name].tolist()]
        for other, sign in [(self.deviations.get(name), "\u00b1"), (dict(self.ranges.values()).get(name), "...")]:
            if other is not None:
                second = [_cell(value, form) for value in self.frame[other].tolist()]
                cells = [f"{a} {sign} {b}" if a and b else a for a, b in zip(cells, second, strict=True)]
        return cells

    def _bold(self) -> pd.DataFrame:
        bold = pd.DataFrame(False, index=range(len(self.frame)), columns=list(self._shown().values()))
        for name in self.best:
            values = pd.to_numeric(self.frame[name]).reset_index(drop=True)
            bold[name] = values.notna() & (values == values.max())
        return bold


class Columns:
    """A table that is made of columns of points, one after the other; those without any value are left out.

    Args:
        points: as `points_of` gives them.
    """

    def __init__(self, points: pd.DataFrame):
        self._points = points
        self._frame: dict[str, pd.Series] = {}
        self._formats: dict[str, str] = {}
        self._deviations: dict[str, str] = {}
        self._ranges: dict[str, tuple[str, str]] = {}

    def add(self, name: str, head: str, form: str = _FORMAT) -> None:
        """Adds a column as it is, also an empty one."""
        self._frame[head] = self._points[name]
        self._formats[head] = form

    def add_seeds(self) -> None:
        """Adds the number of seeds, if any point has several."""
        counts = self._points["seeds"].map(len) if "seeds" in self._points else pd.Series(dtype=int)
        if (counts > 1).any():
            self._frame["Seeds"], self._formats["Seeds"] = counts, "d"

    def add_points(self) -> None:
        """Adds what every table of points begins with: curve, rate, seeds and bytes."""
        self.add("curve", "Curve")
        self.add("rate_knob", "Rate knob")
        self.add("rate", measure("rate").column, "g")
        self.add_seeds()
        self.add_spread("bytes_mean", measure("bytes_mean"))

    def add_spread(self, name: str, measure: Measure, form: str = _FORMAT) -> None:
        """Adds a column with its standard deviation over seeds."""
        self.add(name, measure.column, form)
        deviation = f"{measure.short} std"
        if self._add_known(f"{name}_std", deviation, form):
            self._deviations[measure.column] = deviation

    def add_interval(self, name: str, measure: Measure, form: str = ".2f") -> None:
        """Adds the confidence interval of a metric."""
        low, high = (f"{measure.short} {end} [%]" for end in ("low", "high"))
        if self._add_known(f"{name}_low", low, form) and self._add_known(f"{name}_high", high, form):
            self._ranges[f"{measure.short}, 95 %"] = (low, high)

    def table(self, name: str, title: str, caption: str) -> Table:
        """The table of what was added."""
        frame = pd.DataFrame(self._frame).reset_index(drop=True)
        return Table(name, title, caption, frame, self._formats, (), self._deviations, self._ranges)

    def _add_known(self, name: str, head: str, form: str) -> bool:
        if name not in self._points or not self._points[name].notna().any():
            return False
        self.add(name, head, form)
        return True


def _cell(value: object, form: str) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return format(value, form)
    return str(value)


def _latex_head(head: str, right: bool) -> str:
    lines = [latex(line) for line in _head_lines(head)]
    joined = r" \\ ".join(lines)
    return joined if len(lines) == 1 else rf"\shortstack[{'r' if right else 'l'}]{{{joined}}}"


def _head_lines(head: object) -> list[str]:
    return wrap(one_line(head), _HEAD_CHARACTERS, break_long_words=False, break_on_hyphens=False)
