"""Text of users in the formats of reports, and on the terminal."""

import csv
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console

from sc2bench.cli import app
from sc2bench.core import text
from sc2bench.core.progress import Work
from sc2bench.report.document import document_of
from sc2bench.report.tables.table import Table
from sc2bench.runs.suite import Suite
from tests import EMBEDDED
from tests.report.tables.test_tables import check_structure

NASTY = [
    "a|b", "$$", "$x_1$ costs $5 `code` *b* **c** ~~d~~", "[/red] [bold] :smile: --- x", "=1+2", "line\nbreak\r\n",
    "_under_ a_b __c__", "-5 %", "100 % & #1 {x} \\alpha ~^`\\\\ {task.description}", "__proto__",
    "<script>alert('1')</script> &lt; <b>", "[x](http://y) ![i](z) [a]: b", "\x1b[31m1. # ##",
    "/* data */ <!-- title -->",
]  # fmt: skip
# Letters and all the signs that mean something somewhere, more often than others.
labels = st.text(st.one_of(st.sampled_from("|$_*`~\\[](){}<>&%#=+-@!^:.1a b\n\t\"'"), st.characters(codec="utf-8")))
MARKDOWN = MarkdownIt("commonmark").enable("table").enable("strikethrough")


def shown(tokens) -> str:
    """The text that a reader sees of an inline token, with nothing but text in it."""
    if not re.fullmatch(r"\*\*[\d.,]+\*\*", tokens.content):
        assert {child.type for child in tokens.children} <= {"text", "text_special"}, tokens
    return "".join(child.content for child in tokens.children)


def blocks(source: str, kind: str) -> list[str]:
    """What stands in the blocks of a kind."""
    tokens = MARKDOWN.parse(source)
    return [shown(tokens[i + 1]) for i, token in enumerate(tokens) if token.type == f"{kind}_open"]


@settings(max_examples=60)
@given(labels)
def test_markdown_shows_a_label_as_it_stands(label):
    line = text.one_line(label)
    table = Table("t", f"About {label}", label, pd.DataFrame({"Curve": [label], f"h {label}": [1.0]}))
    source = document_of(label or "x", pd.DataFrame({"curve": ["a"]}), [table])
    assert blocks(source, "td") == [line, "1.0"]
    assert blocks(source, "th") == ["Curve", f"h {line}".rstrip()]
    assert blocks(source, "heading") == [text.one_line(label or "x"), f"About {line}".rstrip()]
    assert blocks(source, "paragraph") == ([line] if line else [])
    if line:
        assert blocks(f"- {text.markdown(label)}", "paragraph") == [line]
    # What is not of the standard: GitHub's formulas and rows of tables.
    assert not re.search(r"(?<!\\)(\\\\)*[$|]", text.markdown(label).replace("\\|", "").replace("\\$", ""))


@settings(max_examples=40)
@given(labels)
def test_latex_has_no_sign_with_a_meaning(label):
    table = Table("t", "T", f"About {label}", pd.DataFrame({"Curve": [label, "b"], f"head {label}": [1.0, -2.0]}))
    check_structure(table.to_latex(f"tab:{label}"))
    assert re.fullmatch(r"[A-Za-z0-9_.:-]*", text.latex_label(f"tab:{label}"))


@given(labels)
def test_csv_has_a_line_a_row_and_no_formulas(label):
    written = Table("t", "T", "", pd.DataFrame({"Curve": [label], f"{label}x": [-1.5]})).to_csv()
    rows = list(csv.reader(io.StringIO(written)))
    assert len(rows) == len(written.splitlines()) == 2
    cell, number = rows[1]
    assert cell.removeprefix("'") == text.one_line(label).removeprefix("'")
    assert number == "-1.5"
    assert not re.match(r"[=+@\t\r]|-(?![\d.])", cell) or re.fullmatch(r"[-+][\d.]+([eE][-+]?\d+)?", cell)


@given(labels)
def test_names_of_files_and_jobs_have_plain_signs(label):
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", text.file_name(label)) or text.file_name(label)[0] not in ".-/"
    assert "/" not in text.file_name(label)


def test_terminal_has_no_markup():
    work = Work(1, "[/red] :smile: [bold]x", quiet=True)
    out = Console(file=io.StringIO(), width=200)
    out.print(work._bars.make_tasks_table(work._bars.tasks))
    assert "[/red] :smile: [bold]x" in out.file.getvalue()


@pytest.mark.slow
def test_a_report_shows_all_labels_everywhere(tmp_path, capsys, monkeypatch):
    """A suite whose curves have every nasty label, from its file to its tables, figures, page and status."""
    monkeypatch.setenv("COLUMNS", "300")
    curves = [{"label": label, "rates": [30 if i % 2 else 50]} for i, label in enumerate(NASTY)]
    curves[0]["rates"] = [5, 10, 30, 50]
    curves[1]["rates"] = [5, 10, 30, 50]
    suite = tmp_path / "mine.yaml"
    overrides = ["task=fashion_mnist", "method=input_codec", "method.codec=webp"]
    suite.write_text(yaml.safe_dump({"anchor": "a|b", "overrides": overrides, "curves": curves}))
    folder = EMBEDDED / "image_classification/input_codec"
    output = f"output={tmp_path / 'out'}"
    for run in Suite.load(str(suite), [output]).all_experiments():
        (real,) = folder.glob(f"*-webp-{int(run.config.rate)}-s0-*.json")
        run.record_path.parent.mkdir(parents=True, exist_ok=True)
        run.record_path.write_bytes(real.read_bytes())
    app(["report", str(suite), output, "--html"], standalone_mode=False)
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert {path.suffix for path in paths} == {".md", ".csv", ".tex", ".png", ".pdf", ".html"}
    wanted = [text.one_line(label) for label in NASTY]
    assert len(wanted) == len(set(wanted))

    document = (tmp_path / "out/table.md").read_text()
    headings = blocks(document, "heading")
    assert headings[0] == "Suite mine"
    assert headings[-len(wanted) :] == wanted
    cells = blocks(document, "td")
    assert all(cells.count(label) >= 3 for label in wanted)
    for path in paths:
        if path.suffix == ".tex":
            check_structure(path.read_text())
        if path.suffix == ".csv":
            found = pd.read_csv(path, keep_default_na=False)["Curve"].unique().tolist()
            assert found == [label for label in map(text.csv_cell, wanted) if label in found]
    page = (tmp_path / "out/explorer.html").read_text()
    assert page.count("<script") == page.count("</script>") == 2
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert list(data["curves"]) == wanted
    app(["suite", "status", str(suite), output], standalone_mode=False)
    status = capsys.readouterr().out
    assert all(label in status for label in wanted)
