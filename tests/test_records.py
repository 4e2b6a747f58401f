import json
from pathlib import Path

import pytest

import sc2bench
from sc2bench.config import compose
from sc2bench.errors import DataError, OutputError
from sc2bench.records import (
    FIELDS,
    LATER_FIELDS,
    ensure_writable,
    environment,
    load_records,
    read_record,
    write_record,
)
from sc2bench.run import Run, run_all


@pytest.fixture
def record_file(tiny):
    run = Run(compose([*tiny, "method=input_codec", "rate=30"]))
    return run_all([run], quiet=True)[0]


def test_record_is_complete_and_stands_at_its_own_path(record_file, tmp_path):
    record = json.loads(record_file.read_text())
    assert record.keys() == set(FIELDS)
    assert record["samples"] == 100
    assert record["split"] == "test"
    assert record["config"]["method"] == {"name": "input_codec", "codec": "jpeg", "options": {}}
    assert record["environment"]["packages"]["torch"]
    assert record["environment"]["threads"] >= 1
    folder = tmp_path / "results" / "image_classification" / "input_codec"
    assert record_file == folder / f"fashion_mnist-fashion_resnet-jpeg-30-s0-{record['config_hash']}.json"


def test_records_become_one_frame(record_file, tiny, tmp_path):
    run_all([Run(compose([*tiny, "method=teacher"]))], quiet=True)
    frame = sc2bench.load_records(tmp_path / "results")
    assert list(frame["method"]) == ["input_codec", "teacher"]
    assert frame["top1"].between(50, 100).all()
    assert frame.loc[0, "path"] == str(record_file)


def test_existing_record_is_skipped_unless_forced(record_file, tiny):
    run = Run(compose([*tiny, "method=input_codec", "rate=30"]))
    before = record_file.stat().st_mtime_ns
    run_all([run], quiet=True)
    assert record_file.stat().st_mtime_ns == before
    run_all([run], force=True, quiet=True)
    assert record_file.stat().st_mtime_ns > before


def test_incomplete_records_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="these differ"):
        write_record(tmp_path / "a.json", {"schema_version": 1})


def test_older_records_have_null_where_fields_came_later(record_file):
    record = json.loads(record_file.read_text())
    old = {name: value for name, value in record.items() if name not in LATER_FIELDS}
    record_file.write_text(json.dumps(old))
    assert read_record(record_file) == {**old, **dict.fromkeys(LATER_FIELDS)}
    del old["bytes_mean"]
    record_file.write_text(json.dumps(old))
    with pytest.raises(DataError, match="lacks bytes_mean; delete it"):
        read_record(record_file)


def test_the_measured_points_can_still_be_read():
    frame = load_records(Path(__file__).parent.parent / "results/embedded")
    assert len(frame) > 50
    assert set(FIELDS) <= set(frame)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"schema_version": 99}'])
def test_damaged_records_are_named(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=r"a\.json"):
        load_records(tmp_path)


def test_missing_and_unwritable_folders(tmp_path):
    with pytest.raises(DataError, match="does not exist; run a suite first"):
        load_records(tmp_path / "none")
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", "/proc/results"):
        with pytest.raises(OutputError, match="choose another folder with output="):
            ensure_writable(place)


def test_environment_names_processor_and_versions():
    found = environment()
    assert found["processor"]
    assert set(found["packages"]) >= {"torch", "compressai", "numba"}
