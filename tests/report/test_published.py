"""Tables of published points that users bring."""

import pytest
from typer.testing import CliRunner

from sc2bench.cli import app
from sc2bench.core.errors import DataError
from sc2bench.report import published_points, write_report
from sc2bench.report.published import COLUMNS, read_points
from tests.report.test_report import records

HEAD = "task,dataset,metric,method,codec,prior,label,teacher,bytes,value,source,how_obtained\n"
POINT = 'image_classification,ilsvrc2012,top1,mine,,,Mine,resnet50,812.5,71.25,"Me, 2024",read off a table\n'


def test_a_table_of_ones_own_is_drawn_instead_of_the_packages(tmp_path):
    own = tmp_path / "mine.csv"
    # As spreadsheets write it: a mark of the encoding, other line ends, and columns in another order.
    own.write_bytes(b"\xef\xbb\xbf" + (HEAD + POINT + POINT.replace("812.5", "1624")).replace("\n", "\r\n").encode())
    measured = records("ilsvrc2012")
    alone = published_points(measured, "top1", own)
    assert alone[["curve", "bytes_mean", "top1"]].to_numpy().tolist() == [["Mine", 812.5, 71.25], ["Mine", 1624, 71.25]]
    written = write_report(measured, tmp_path, title="x", metric="top1", anchor=None, published=alone)
    text = written[0].read_text()
    assert "| Mine | resnet50 | 812.5 | 71.25 | 1 |" in text
    assert "1. Me, 2024: read off a table" in text
    assert "Matsubara" not in text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "column 'task' is missing"),
        (HEAD, "it has no point"),
        (HEAD.replace("bytes", "byte") + POINT, r"unknown column 'byte', did you mean 'bytes'\?"),
        (HEAD.replace("bytes", "value") + POINT, "column 'value' stands there 2 times"),
        (HEAD + POINT + POINT.replace("812.5", "12k"), "bytes in row 2 is '12k' instead of a number above 0"),
        (HEAD + POINT.replace("812.5", "-1"), "bytes in row 1 is '-1' instead of a number above 0"),
        (HEAD + POINT.replace("71.25", "171.25"), "value in row 1 is '171.25' instead of a number from 0 to 100"),
        (HEAD + POINT.replace("71.25", "nan"), "value in row 1 is 'nan' instead of a number from 0 to 100"),
        (HEAD + POINT.replace("top1", "own").replace("71.25", "inf"), "value in row 1 is 'inf' instead of a finite"),
        (HEAD + POINT.replace("Mine", ""), "label in row 1 is '' instead of a printable text"),
        (HEAD + POINT.replace(",read off a table", ""), "row 1 has 11 cells instead of 12"),
        (HEAD + POINT + '"', "unexpected end of data"),
    ],
)
def test_a_table_that_is_none_is_refused_in_a_sentence(text, sentence, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(
        DataError, match=f"mine.csv is no table of published points: {sentence}.*; the columns are task, "
    ):
        read_points(path)


def test_files_that_can_not_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.csv can't be read: No such file or directory; give a CSV file"):
        read_points(tmp_path / "nowhere.csv")
    (tmp_path / "latin.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"latin.csv can't be read: it is no text in UTF-8"):
        read_points(tmp_path / "latin.csv")


def test_the_help_names_the_columns():
    command = CliRunner().invoke(app, ["report", "--help"], env={"COLUMNS": "400"})
    assert ", ".join(COLUMNS) in " ".join(command.output.split())
