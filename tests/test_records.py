import json
import math
from collections.abc import Iterator
from copy import deepcopy

import pytest

import sc2bench
from sc2bench.config import compose
from sc2bench.core.errors import DataError, OutputError
from sc2bench.core.intervals import binomial_interval
from sc2bench.records import (
    FIELDS,
    LATER_FIELDS,
    ensure_writable,
    environment,
    load_records,
    parse_record,
    read_record,
    records_frame,
    write_record,
)
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.identity import key_of
from sc2bench.runs.run import run_experiments
from tests import EMBEDDED

NAME = "fashion_mnist-resnet-1-s0-0123456789ab.json"
COUNTS = ("device_params", "device_macs", "server_params", "server_macs", "session_bytes", "encode_ms", "decode_ms")


@pytest.fixture
def record_file(tiny):
    run = Experiment(compose([*tiny, "method=input_codec", "rate=30"]))
    return run_experiments([run], quiet=True)[0]


def test_record_is_complete_and_stands_at_its_own_path(record_file, tmp_path):
    record = json.loads(record_file.read_text())
    assert record.keys() == set(FIELDS)
    assert record["samples"] == 100
    assert record["quality_interval"]["top1"] == list(binomial_interval(record["quality"]["top1"], 100))
    assert record["split"] == "test"
    assert record["config"]["method"] == {"name": "input_codec", "codec": "jpeg", "options": {}}
    assert record["environment"]["packages"]["torch"]
    assert record["environment"]["threads"] >= 1
    folder = tmp_path / "results" / "image_classification" / "input_codec"
    # The data are no published ones, which the end of the name says.
    name = f"fashion_mnist-fashion_resnet-jpeg-30-s0-{record['config_hash']}-x{key_of(record['surroundings'])}.json"
    assert record_file == folder / name
    assert record["surroundings"] == {"data.test": record["data_fingerprint"]}


def test_records_become_one_frame(record_file, tiny, tmp_path):
    run_experiments([Experiment(compose([*tiny, "method=teacher"]))], quiet=True)
    frame = sc2bench.load_records(tmp_path / "results")
    assert list(frame["method"]) == ["input_codec", "teacher"]
    assert frame["top1"].between(50, 100).all()
    assert frame.loc[0, "path"] == str(record_file)


def test_existing_record_is_skipped_unless_forced(record_file, tiny):
    run = Experiment(compose([*tiny, "method=input_codec", "rate=30"]))
    before = record_file.stat().st_mtime_ns
    run_experiments([run], quiet=True)
    assert record_file.stat().st_mtime_ns == before
    run_experiments([run], force=True, quiet=True)
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
    frame = load_records(EMBEDDED)
    assert len(frame) > 50
    assert set(FIELDS) <= set(frame)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"schema_version": 99}', "[" * 99999, "\xff", ""])
def test_damaged_records_are_named(tmp_path, content):
    (tmp_path / NAME).write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=rf"{NAME} .*; (delete it|measure the point again)"):
        load_records(tmp_path)


def mutations(record: dict) -> Iterator[tuple[str, str]]:
    """What is wrong with a record, and its text: each field, also of what is nested, removed, or of a wrong value."""

    def nested(value, path=()):
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, part in items:
            yield (*path, name)
            yield from nested(part, (*path, name))

    for path in nested(record):
        for value in (
            "removed",
            None,
            "",
            "text\n",
            True,
            -1,
            0,
            1e999,
            float("nan"),
            10**400,
            [],
            {},
            [[{}]],
            {"a": 1},
        ):
            changed = deepcopy(record)
            parent = changed
            for name in path[:-1]:
                parent = parent[name]
            if value == "removed":
                del parent[path[-1]]
            else:
                parent[path[-1]] = value
            if changed != record:
                yield f"{'.'.join(map(str, path))}: {value!r:.9}", json.dumps(changed)


@pytest.mark.slow
def test_malformed_records_are_refused_by_file_and_field(tmp_path):
    file = next((EMBEDDED / "image_classification/channel_reduction").glob("*.json"))
    path = tmp_path / file.name
    accepted, refused = [], 0
    for what, text in mutations(json.loads(file.read_text())):
        sentence = None
        try:
            found = parse_record(path, text)
        except DataError as error:
            sentence = str(error)
            refused += 1
        else:
            accepted.append(what)
            assert records_frame([(path, found)])["bytes_mean"].item() > 0
        field = what.split(":")[0].split(".")[0]
        assert sentence is None or (str(path) in sentence and field in sentence), (what, sentence)
    assert refused > 700
    # Nothing of what reports read is among what is let through, but for values that such a field may have.
    top = {what for what in accepted if "." not in what.split(":")[0]}
    fine = {
        "quality: {'a': 1}",
        "codec: None",
        "prior: None",
        "rate_knob: None",
        "estimated_bits_mean: None",
        "estimated_bits_mean: 0",
    }
    zeros = {f"{name}: 0" for name in COUNTS if json.loads(file.read_text())[name] != 0}
    later = {f"{name}: " for name in LATER_FIELDS}
    assert {what for what in top if not what.startswith(tuple(later))} - fine <= zeros


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"quality": None}, "quality is null instead of an object"),
        ({"quality": {}}, "quality has no metric"),
        ({"quality": {"top1": 101}}, r"quality\.top1 is 101 instead of a number from 0 to 100"),
        ({"quality": {"bytes_mean": 5}}, "quality has a metric ''bytes_mean'', which is no name for one"),
        ({"method": "teacher"}, r"method is 'teacher', but config\.method\.name is 'channel_reduction'"),
        ({"seed": 3}, r"seed is 3, but config\.seed is 0"),
        ({"bytes_mean": 1.5}, r"bytes_mean is 1\.5, but payload_bytes_mean, .* make"),
        ({"quality": {"top1": 5, "top1_low": 4}}, "quality has a metric ''top1_low'', which is no name for one"),
        ({"quality": {"seeds": 5}}, "quality has a metric ''seeds'', which is no name for one"),
        ({"device_ms_p50": 5, "device_ms_p95": 1}, "device_ms_p50 is 5, which is above device_ms_p95"),
        ({"server_ms_p50": 5, "server_ms_p50_low": 9}, "server_ms_p50_low is 9, which is above server_ms_p50"),
        ({"curve": "x"}, "it has a field 'curve', which readers of records add"),
        ({"config_hash": "0" * 12}, "is of another run: its config_hash is 000000000000"),
        ({"task": "a\n| b"}, r"task is 'a\\n| b' instead of a printable text"),
    ],
)
def test_what_no_record_can_say(tmp_path, change, sentence):
    file = next((EMBEDDED / "image_classification/channel_reduction").glob("*.json"))
    (tmp_path / file.name).write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=sentence) as error:
        load_records(tmp_path)
    assert file.name in str(error.value)


def test_a_name_that_stands_twice_is_no_record(tmp_path):
    file = next((EMBEDDED / "image_classification/channel_reduction").glob("*.json"))
    (tmp_path / file.name).write_text(file.read_text().replace('"rate": ', '"rate": 5, "rate": ', 1))
    with pytest.raises(DataError, match="'rate' stands in it twice"):
        load_records(tmp_path)


def test_a_measurement_that_is_no_number_is_not_recorded(tmp_path):
    file = next((EMBEDDED / "image_classification/channel_reduction").glob("*.json"))
    record = read_record(file)
    with pytest.raises(DataError, match=r"can't be recorded as a\.json: quality\.top1 is nan"):
        write_record(tmp_path / "a.json", record | {"quality": {"top1": math.nan}})
    assert not list(tmp_path.iterdir())


def test_records_are_read_beside_a_running_suite(tmp_path):
    files = sorted((EMBEDDED / "image_classification/channel_reduction").glob("*.json"))[:2]
    for number, file in enumerate(files):
        # Whatever it is called, it is a record.
        (tmp_path / (file.name if number else "renamed.json")).write_bytes(file.read_bytes())
    (tmp_path / ".writing-abc.json").write_text('{"schema_version": 1, "config_hash"')
    (tmp_path / f"{files[0].name}.claim-1").write_text("{}")
    (tmp_path / ".making-x").mkdir()
    (tmp_path / ".making-x" / files[0].name).write_text("{")
    (tmp_path / "config.json").write_text('{"rate": 1}')
    (tmp_path / "notes.json").write_text("not even JSON")
    (tmp_path / "folder.json").mkdir()
    # Listed, and gone when it is read.
    (tmp_path / files[1].name.replace("-s0-", "-s1-")).symlink_to(tmp_path / "nothing")
    frame = load_records(tmp_path)
    assert frame["path"].tolist() == sorted([str(tmp_path / files[1].name), str(tmp_path / "renamed.json")])
    (tmp_path / "renamed.json").write_text(files[0].read_text()[:-40])
    with pytest.raises(
        DataError, match=r"renamed\.json can't be read \(.*\); delete it to measure the point again, or move"
    ):
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
