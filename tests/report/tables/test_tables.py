"""Budgets, the rate taken apart, and tables as LaTeX."""

import re

import pandas as pd
import pytest

from sc2bench.measures import metric_measure
from sc2bench.report import write_report
from sc2bench.report.tables.budgets import budget_table, cost_budgets, joint_budget_table, round_numbers
from sc2bench.report.tables.points import equal_quality_table, points_table
from sc2bench.report.tables.rate_parts import rate_parts_table
from sc2bench.report.tables.table import Table
from tests.report.test_report import records


def with_costs() -> pd.DataFrame:
    """The codecs cost the device nothing, the student 1.5 million MACs."""
    frame = records()
    frame["device_macs"] = frame["method"].eq("entropic_student") * 1_500_000.0
    return frame


def test_round_budgets_lie_inside_the_range():
    assert round_numbers(25, 400) == [50, 100, 200]
    assert round_numbers(7.6, 2343) == [10, 20, 50, 100, 200, 500, 1000, 2000]
    assert round_numbers(7.6, 23430) == [10, 30, 100, 300, 1000, 3000, 10000]
    assert round_numbers(1, 1) == [1]
    assert cost_budgets(with_costs(), "device_macs") == [0, 10_000_000]


def test_best_quality_under_bytes_is_that_of_a_measured_point():
    # The curves have 80, 88, 91, 92 % at 50, 100, 200, 400 bytes, the student at half of them.
    table = budget_table(records(), "top1", [30, 100, 399.5])
    rows = table.frame.set_index("Curve")
    assert list(rows.columns) == ["30 bytes", "100 bytes", "399.5 bytes"]
    assert rows.loc["WebP"].tolist() == pytest.approx([float("nan"), 88, 91], nan_ok=True)
    assert rows.loc["Student"].tolist() == [80, 91, 92]
    assert "| Student | **80.00** | **91.00** | **92.00** |" in table.to_markdown()


def test_best_point_under_both_budgets():
    table = joint_budget_table(with_costs(), "top1", "device_macs", [50, 100, 200, 1000], [0, 2e6])
    assert (
        table.frame.to_numpy().tolist()
        == [
            ["0", 50, "WebP", 80.0, 50.0, 0.0],
            ["0", 100, "WebP", 88.0, 100.0, 0.0],
            ["0", 200, "WebP", 91.0, 200.0, 0.0],
            ["0", 1000, "WebP", 92.0, 400.0, 0.0],
            ["2,000,000", 50, "Student", 88.0, 50.0, 1.5e6],
            ["2,000,000", 100, "Student", 91.0, 100.0, 1.5e6],
            ["2,000,000", 200, "Student", 92.0, 200.0, 1.5e6],
            # Of equal qualities the one of fewer bytes; "any" has nothing to add.
            ["2,000,000", 1000, "Student", 92.0, 200.0, 1.5e6],
        ][:7]
    )
    # A point of unknown cost keeps to no budget of it.
    unknown = with_costs()
    unknown["device_macs"] = None
    table = joint_budget_table(unknown, "top1", "device_macs", [50], cost_budgets(unknown, "device_macs"))
    assert table.frame[["Device MACs at most", "Curve"]].to_numpy().tolist() == [["any", "Student"]]


def test_columns_and_rows_of_near_numbers_stay_apart():
    frame = records()
    anchor = frame.index[frame["curve"] == "WebP"]
    frame.loc[anchor[1:3], "top1"] = [90.001, 90.004]
    table = equal_quality_table(frame, "top1", "WebP").frame.set_index("Curve")
    assert list(table.columns) == ["80.000 %", "90.001 %", "90.004 %", "92.000 %"]
    assert table.loc["WebP"].tolist() == frame.loc[anchor, "bytes_mean"].tolist()
    heads = list(budget_table(frame, "top1", [1e6, 1234567, 1234568.5]).frame)
    assert heads == ["Curve", "1,000,000 bytes", "1,234,567 bytes", "1,234,568.5 bytes"]
    # Milliseconds are fractions.
    frame["device_ms_p50"] = frame["method"].eq("entropic_student").map({True: 0.35, False: 0.15})
    table = joint_budget_table(frame, "top1", "device_ms_p50", [50], [0.2, 0.4])
    assert table.frame.iloc[:, :3].to_numpy().tolist() == [["0.2", 50, "WebP"], ["0.4", 50, "Student"]]
    assert "| 0.350 |" in table.to_markdown()


def test_parts_of_the_rate_add_up():
    frame = records().query("curve == 'Student'").assign(
        payload_bytes_mean=[20, 44, 90, 190], side_info_bytes_mean=4.0, framing_bytes_mean=[1, 2, 6, 6],
        estimated_bits_mean=[180, 380, None, 1540], prior="mean_scale_hyperprior",
    )  # fmt: skip
    rows = rate_parts_table(frame).frame
    shares = rows[["Payload [%]", "Side info [%]", "Framing [%]"]]
    assert shares.sum(axis=1).tolist() == pytest.approx([100] * 4)
    assert shares.iloc[0].tolist() == [80, 16, 4]
    # 8 x (20 + 4) - 180 = 12 bits of 200, and so on.
    assert rows["Coder overhead [bits]"].tolist() == pytest.approx([12, 4, float("nan"), 12], nan_ok=True)
    assert rows["Coder overhead [%]"].tolist() == pytest.approx([6, 1, float("nan"), 0.75], nan_ok=True)
    # Sizes of images are side information, but no code: what is known of them, or follows from the prior, is left out.
    known = rate_parts_table(frame.assign(uncoded_bytes_mean=[1, None, 1, 0.5])).frame
    assert known["Coder overhead [bits]"].tolist() == pytest.approx([4, 4, float("nan"), 8], nan_ok=True)
    older = rate_parts_table(frame.assign(estimated_bits_mean=[150.0] * 4, prior="factorized")).frame
    assert older["Coder overhead [bits]"].tolist() == [8 * 20 - 150, 8 * 44 - 150, 8 * 90 - 150, 8 * 190 - 150]


def cells(line: str) -> int:
    """How many cells a row of LaTeX has."""
    return len(re.findall(r"(?<!\\)&", line)) + 1


FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"


def check_structure(text: str) -> None:
    opened = re.findall(r"\\(begin|end)\{(\w+\*?)\}", text)
    stack: list[str] = []
    for what, name in opened:
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    assert text.count(r"\begingroup") == text.count(r"\endgroup")
    assert len(re.findall(r"(?<!\\)\{", text)) == len(re.findall(r"(?<!\\)\}", text))
    columns = re.search(r"\\begin\{(?:tabular|longtable)\}\{@\{\}([lr]+)@\{\}\}", text)
    assert columns
    for line in text.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line and "caption" not in line:
            assert cells(line) == len(columns[1]), line
        # Nothing that would start a comment, a subscript, a parameter or an option of a line's end.
        plain = re.sub(r"\\label\{[\w.:-]*\}", "", line.removeprefix("% ").replace(FIT, ""))
        assert not re.search(r"(?<!\\)[%#_]|\\\\ *\[|[<>|]", plain), line
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in text


def test_latex_escapes_and_has_its_rules():
    frame = pd.DataFrame(
        {
            "Curve": ["50 % & more_of #1 {a}", "[b] | <= 3 < 4", "c\\d^e~f"],
            "A longer head [points]": [-1.5, 2.5, float("nan")],
        }
    )
    text = Table("t", "T", "Costs $5 & 10 %", frame, best=["A longer head [points]"]).to_latex("tab:x")
    check_structure(text)
    assert r"50 \% \& more\_of \#1 \{a\} & $-$1.5 \\" in text
    assert r"{[}b] \textbar{} $\leq$ 3 \textless{} 4 & \textbf{2.5} \\" in text
    assert r"c\textbackslash{}d\textasciicircum{}e\textasciitilde{}f &  \\" in text
    assert r"\shortstack[r]{A longer \\ head \\ {[}points]}" in text
    assert f"\n{FIT}{{\\begin{{tabular}}" in text
    assert r"\caption{Costs \$5 \& 10 \%}" in text
    assert r"\label{tab:x}" in text
    ranges = Table("t", "T", "Teacher - 2", pd.DataFrame({"a": ["1.5 ... 2.5"]})).to_latex("tab:x")
    assert r"1.5--2.5 \\" in ranges
    assert r"\caption{Teacher $-$ 2}" in ranges


@pytest.mark.slow
def test_every_table_of_a_report_is_sound_latex(tmp_path):
    odd = records().replace({"curve": {"Student": "100 % of A&B_x"}})
    written = write_report(odd, tmp_path / "suite", title="x", metric="top1", anchor="WebP", budgets=[100, 200])
    found = [path for path in written if path.suffix == ".tex"]
    assert len(found) == 7
    for path in found:
        check_structure(path.read_text())
        assert f"\\label{{tab:suite-{path.stem.replace('_', '-')}}}" in path.read_text()
    assert (
        r"100 \% of A\&B\_x & \textbf{91.00} & \textbf{92.00}"
        in (tmp_path / "suite/tables/budget_bytes.tex").read_text()
    )


def test_a_table_longer_than_a_page_goes_over_several():
    many = pd.concat([records()] * 4, ignore_index=True)
    text = points_table(many, "top1").to_latex("tab:points")
    check_structure(text)
    assert text.startswith("% \\usepackage{booktabs,longtable,pdflscape}")
    assert "\\begin{landscape}\n\\begingroup\\scriptsize" in text
    assert text.count(r"\endhead") == 1
    narrow = Table("t", "T", "C", many[["curve", "bytes_mean"]]).to_latex("tab:x")
    check_structure(narrow)
    assert "longtable" in narrow
    assert "landscape" not in narrow


@pytest.mark.slow
@pytest.mark.parametrize(("name", "head", "axis"), [("map", "mAP [%]", "mAP (%)"), ("miou", "mIoU [%]", "mIoU (%)")])
def test_other_metrics_have_their_names_everywhere(name, head, axis, tmp_path):
    frame = records().rename(columns={"top1": name})
    write_report(frame, tmp_path, title="x", metric=name, anchor="WebP")
    assert head in pd.read_csv(tmp_path / "tables/points.csv").columns
    assert f"BD {head.split()[0]} [points]" in (tmp_path / "table.md").read_text()
    assert metric_measure(name).axis == axis
