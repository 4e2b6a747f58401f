"""Texts from outside: values that are taken as they stand, and files that are not what they should be."""

import json
import os
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sc2bench.cli import app
from sc2bench.config import compose, load_suite
from sc2bench.config.overrides import unquoted
from sc2bench.core.errors import ConfigError
from sc2bench.core.files import at_home
from sc2bench.core.registry import METHODS, load_plugins
from sc2bench.runs.experiment import Experiment
from sc2bench.runs.suite import Suite

NASTY = " é(x)[1]{y}#=,:'\"$~&|*?!%@`;<>\\^+1e3 ${rate} "
# Whatever a file system allows in a name.
NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
SPICY = st.text(st.sampled_from(" '\"=,()[]{}#~$\\:%&*é漢" + "ae1"), min_size=1, max_size=8)


def quoted(text: str) -> str:
    """For texts with one kind of quotes."""
    mark = '"' if "'" in text else "'"
    return f"{mark}{text}{mark}"


@pytest.mark.slow
@settings(max_examples=100)
@given(NAMES | SPICY)
def test_paths_are_taken_as_they_stand(name):
    path = f"/data/{name}"
    texts = ("output", "checkpoints", "task.root", "teacher.weights", "method.weights")
    config = compose(["recipe=none", "method=neural_input_codec", "rate=1", *(f"{key}={path}" for key in texts)])
    found = (config.output, config.checkpoints, config.task.root, config.teacher.weights, config.method.weights)
    assert set(found) == {path}
    assert Experiment(config).record_path.is_relative_to(path)
    relative = compose(["method=teacher", f"output={name}"]).output
    assert relative in (name, unquoted(name), at_home(name))
    source = compose(["task=scenes_detection", "method=entropic_student", f"output={path}"]).source
    assert source is not None
    assert source.output == path


@settings(max_examples=100)
@given(NAMES | SPICY)
def test_quotes_around_a_whole_text_are_taken_off(name):
    for mark in "'\"":
        slashes = name.replace("\\", "\\\\") if name.endswith("\\") or f"\\{mark}" in name else name
        assert unquoted(f"{mark}{slashes.replace(mark, chr(92) + mark)}{mark}") in (name, slashes)
    assert compose(["method=teacher", f'output="{string.ascii_letters}, (1)"']).output == f"{string.ascii_letters}, (1)"


def test_texts_stay_texts_wherever_they_stand(tmp_path):
    for text in ("1e3", "010", "true", "1_000", "2024-01-01", "0x10", "null"):
        assert compose(["method=teacher", f"output={text}"]).output == text
        assert (
            compose(["method=input_codec", "rate=1", f"method.options.a={text}"]).method.options
            == ({} if text == "null" else {"a": text})
            or text == "null"
        )
    config = compose(["method=entropic_student", "stage1.trainable=[1e3, 010, 'a, b']"])
    assert config.stage1 is not None
    assert config.stage1.trainable == ["1e3", "010", "a, b"]
    (tmp_path / "s.yaml").write_text("curves: [{label: 1e3, overrides: [method=teacher, output=1e3]}]\n")
    suite = Suite.load(str(tmp_path / "s.yaml"))
    assert list(suite.experiments) == ["1e3"]
    assert str(suite.folder) == "1e3"


def test_home_is_spelt_out_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = compose(["method=teacher", "output=~/a", "checkpoints='~/b'", "task.root=~/c", "teacher.weights=~/d"])
    found = (config.output, config.checkpoints, config.task.root, config.teacher.weights)
    assert found == tuple(f"{tmp_path}/{name}" for name in "abcd")
    (tmp_path / "my" / "recipe").mkdir(parents=True)
    (tmp_path / "my" / "recipe" / "here.yaml").write_text("# @package _global_\nseed: 7\n")
    (tmp_path / "mine.py").write_text("")
    listed = CliRunner().invoke(app, ["list", "recipe=", "--config-dir", "~/my", "--plugin", "~/mine.py"])
    assert "here" in listed.output
    assert compose(["method=teacher", "recipe=here"], ["~/my"]).seed == 7


@pytest.mark.parametrize(
    "name", [NASTY, "'quoted'", '"quoted"', "[list]", "{a: 1}", "~", "#", "a=b", "1e3", "${oc.env:HOME}"]
)
def test_folders_of_files_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name
    for group, text in (("method", "method: {name: input_codec}\nrate: 3\n"), ("suite", "curves: [{label: a}]\n")):
        (folder / group).mkdir(parents=True)
        (folder / group / f"{name}.yaml").write_text(f"# @package _global_\n{text}", encoding="utf-8")
    plugin = folder / f"{name}.py"
    plugin.write_text(f"from sc2bench.core.registry import METHODS\nMETHODS.register({name!r})(METHODS['teacher'])\n")
    assert compose([f"method={name if unquoted(name) == name else quoted(name)}"], [str(folder)]).rate == 3
    assert load_suite(name, [str(folder)]).name == name
    assert str(Suite.load(str(folder / "suite" / f"{name}.yaml")).folder) == f"results/{name}"
    try:
        load_plugins([str(plugin)])
        assert name in METHODS
    finally:
        METHODS._entries.pop(name, None)


@pytest.mark.slow
def test_a_suite_runs_at_a_place_with_a_nasty_name(tmp_path, mini_root):
    place = tmp_path / NASTY
    place.mkdir()
    (place / "data").symlink_to(mini_root)
    suite = place / f"{NASTY}.yaml"
    suite.write_text(
        "curves:\n- {label: JPEG, overrides: [method=input_codec], rates: [10, 50]}\n"
        "- {label: T, overrides: [method=teacher]}\n"
    )
    places = [f"task.root={place}/data", f"output={place}/out", f"checkpoints={place}/checkpoints"]
    few = ["evaluation.samples=20", "evaluation.latency_repeats=0"]
    done = CliRunner().invoke(app, ["suite", "run", str(suite), "--quiet", *places, *few])
    assert done.exit_code == 0, done.output
    written = [Path(line) for line in done.stdout.splitlines() if line.startswith(str(place))]
    assert place / "out" / "table.md" in written
    assert all(path.is_file() for path in written)
    records = [json.loads(path.read_text()) for path in (place / "out").rglob("input_codec/*.json")]
    assert {record["config"]["output"] for record in records} == {f"{place}/out"}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
DAMAGED = [
    (b"", "no"),
    (b"- a\n- b\n", "no"),
    (b"just a text", "no"),
    (b"method: {name: teacher}\nmethod: {name: teacher}\n", "the key 'method' twice"),
    (b"curves:\n\t- a\n", "not valid YAML"),
    (b"name: \xff\xfe\n", "is no text in UTF-8"),
    ("name: é\n".encode("utf-16"), "is no text in UTF-8"),
    (b"name: a\0b\n", "not valid YAML"),
    (b"a: &a [*a]\n", "lies inside of what it stands for"),
    (b"a: &a {<<: *a}\n", "lies inside of what it stands for"),
    (b"a: *b\n", "has no anchor"),
    (b"a: " + b"[" * 5000 + b"]" * 5000, "nested deeper than"),
    (b"{a: " * 5000, "nested deeper than"),
    (BOMB.encode(), "more than 100,000 values"),
    (b"a: 1\n---\nb: 1\n", "several documents"),
    (b"a: !!python/object/apply:os.system [ls]\n", "has no tags|have no tags"),
    (b"? [a, b]\n: 1\n", "a key that is no text"),
    (b"#" * (1 << 20) + b"\n", "is larger than"),
    (b"seed: ${oc.env:HOME}\ncurves: [{label: '${oc.env:HOME}'}]\n", "can be referred to"),
    (b"seed: ${rate}\nrate: ${seed}\ncurves: [{label: '${curves}'}]\n", "refers to itself"),
    (b"seed: ${nothing}\ncurves: [{label: '${nothing}'}]\n", "refers to a field that"),
]


@pytest.mark.parametrize("kind", ["suite", "task", "method", "recipe"])
@pytest.mark.parametrize(("data", "message"), DAMAGED)
def test_damaged_files_are_named(tmp_path, kind, data, message):
    folder = tmp_path / kind
    folder.mkdir()
    file = folder / "bad.yaml"
    if "refer" in message:
        data = b"method: {name: teacher}\n" * (kind == "method") + data
    file.write_bytes((b"" if kind == "suite" or data[:1] in b"\xff#" else b"# @package _global_\n") + data)
    with pytest.raises(ConfigError, match=message) as error:
        load_suite(str(file)) if kind == "suite" else compose(["method=teacher", f"{kind}=bad"], [str(tmp_path)])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert str(file) in str(error.value) or "refer" in message


@pytest.mark.parametrize("kind", ["suite", "recipe"])
def test_what_is_no_readable_file_is_named(tmp_path, kind):
    (tmp_path / kind / "folder.yaml").mkdir(parents=True)
    (tmp_path / kind / "gone.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / kind / "loop.yaml").symlink_to(tmp_path / kind / "loop.yaml")
    for name in ("folder", "gone", "loop"):
        with pytest.raises(ConfigError, match=f"{name}.yaml can't be read"):
            load_suite(name, [str(tmp_path)]) if kind == "suite" else compose(
                ["method=teacher", f"recipe={name}"], [str(tmp_path)]
            )
    with pytest.raises(ConfigError, match=r"--config-dir: .*nowhere can't be read: No such file"):
        compose(["method=teacher"], [str(tmp_path / "nowhere")])
    if os.geteuid():
        (tmp_path / kind).chmod(0)
        with pytest.raises(ConfigError, match="can't be read"):
            compose(["method=teacher"], [str(tmp_path)])
        (tmp_path / kind).chmod(0o700)


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", ".", "''", ".hidden", '"a\\nb"', '"a\\0b"', "/tmp/x"])
def test_suites_have_plain_names(tmp_path, name):
    (tmp_path / "s.yaml").write_text(f"name: {name}\ncurves: [{{label: a, overrides: [method=teacher]}}]\n")
    with pytest.raises(ConfigError, match="is no plain file name"):
        Suite.load(str(tmp_path / "s.yaml"))


@settings(max_examples=200)
@given(st.binary(max_size=40) | st.text("[]{}:,&*?-!|>'\"%@`#\t \nab1${}.<", max_size=40).map(str.encode))
def test_any_file_is_read_or_refused_with_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        load_suite(str(path))
