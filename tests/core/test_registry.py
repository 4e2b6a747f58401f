import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import EntryPoint

import pytest

from sc2bench.config import ExperimentConfig, MethodConfig, compose
from sc2bench.core.errors import ConfigError
from sc2bench.core.plugins import import_file
from sc2bench.core.processes import processors
from sc2bench.core.registry import LOSSES, METHODS, PLUGIN_GROUP, Registry, configured, load_plugins
from sc2bench.runs.launcher import JobOptions

OWN: Registry[int] = Registry("thing")


def test_unknown_name_lists_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown method 'entropic_studnet'; did you mean 'entropic_student'\?"):
        METHODS["entropic_studnet"]


def test_a_function_has_one_kind_of_options():
    def opener(task: object, split: str) -> None: ...

    configured(MethodConfig)(configured(MethodConfig)(opener))
    with pytest.raises(ConfigError, match="opener has the options of MethodConfig already; write a function for each"):
        configured(ExperimentConfig)(opener)


def test_duplicate_name_is_an_error():
    registry: Registry[int] = Registry("number")
    registry.register("one")(1)
    with pytest.raises(ConfigError, match="number 'one' is registered twice"):
        registry.register("one")(2)
    assert registry["one"] == 1


def test_plugin_adds_a_method_in_one_file(tmp_path):
    plugin = tmp_path / "half_size.py"
    plugin.write_text(
        "from sc2bench.methods.input_codec import InputCodec\n"
        "from sc2bench.core.registry import METHODS\n"
        "@METHODS.register('plugin_method')\n"
        "class PluginMethod(InputCodec):\n"
        "    pass\n"
    )
    load_plugins([str(plugin), str(plugin)])
    assert METHODS["plugin_method"].__name__ == "PluginMethod"


def test_missing_plugin_is_named():
    with pytest.raises(ConfigError, match=r"plugin 'nowhere.py' is not a Python file"):
        load_plugins(["nowhere.py"])


def test_a_dataclass_of_a_plugin_may_defer_its_annotations(tmp_path):
    # Dataclasses look their module up by its name; two plugins may have files of one name.
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "own.py").write_text(
            "from __future__ import annotations\n"
            "from dataclasses import dataclass\n"
            "from sc2bench.config import MethodConfig\n"
            "from sc2bench.methods.input_codec import InputCodec\n"
            "from sc2bench.core.registry import METHODS\n"
            "@dataclass\n"
            "class Options(MethodConfig):\n"
            f"    value: int = {number}\n"
            f"@METHODS.register('deferred{number}')\n"
            "class Deferred(InputCodec):\n"
            "    config_class = Options\n"
        )
        load_plugins([str(folder / "own.py")])
    assert [METHODS[f"deferred{number}"].config_class().value for number in (1, 2)] == [1, 2]


def test_a_plugin_that_fails_fails_again_with_its_cause_and_leaves_nothing(tmp_path):
    plugin = tmp_path / "broken.py"
    good = "from sc2bench.core.registry import LOSSES\nLOSSES.register('of_broken')(1)\n"
    plugin.write_text(good + "undefined_name\n")
    before = set(sys.modules)
    for _ in range(2):
        with pytest.raises(
            ConfigError, match=r"broken.py' can't be imported: NameError: .*broken.py, line 3\)"
        ) as told:
            load_plugins([str(plugin)])
        assert isinstance(told.value.__cause__, NameError)
    assert "of_broken" not in LOSSES
    assert not {name for name in sys.modules.keys() - before if "broken" in name}
    plugin.write_text("def broken(:\n")
    with pytest.raises(ConfigError, match=r"SyntaxError: invalid syntax \(.*broken.py, line 1\)"):
        load_plugins([str(plugin)])
    plugin.write_text("raise SystemExit(3)\n")
    with pytest.raises(ConfigError, match="SystemExit: 3"):
        load_plugins([str(plugin)])
    plugin.write_text(good)
    load_plugins([str(plugin)])
    assert LOSSES["of_broken"] == 1
    LOSSES._entries.pop("of_broken")


def test_a_package_whose_import_fails_fails_again_instead_of_missing_entries(tmp_path, monkeypatch):
    package = tmp_path / "half_broken"
    package.mkdir()
    (package / "__init__.py").touch()
    register = "from tests.core.test_registry import OWN\nOWN.register('{}')(1)\n"
    (package / "a.py").write_text(register.format("first"))
    (package / "b.py").write_text(register.format("second") + "import package_that_is_not_here\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("tests.core.test_registry.OWN", Registry("thing", "half_broken"))
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="package_that_is_not_here"):
            OWN["first"]
    (package / "b.py").write_text(register.format("second"))
    importlib.invalidate_caches()
    assert OWN.names() == ["first", "second"]


def test_a_broken_installed_plugin_is_named_each_time(tmp_path, monkeypatch):
    (tmp_path / "of_package.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("own", "of_package", PLUGIN_GROUP)
    monkeypatch.setattr("sc2bench.core.registry.entry_points", lambda group: [point])
    for _ in range(2):
        registry: Registry[int] = Registry("thing", "sc2bench.core.errors")
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"'of_package' of .* ZeroDivisionError: .*of_package.py, line 1\)"):
                registry.names()


def test_a_plugin_is_known_by_its_content_and_its_commit(tmp_path):
    plugin, helper = tmp_path / "told.py", tmp_path / "helper_of_told.py"
    plugin.write_text("import sys\nsys.path.insert(0, __file__.rpartition('/')[0])\nimport helper_of_told\n")
    helper.write_text("VALUE = 1\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    try:
        first = import_file(plugin, "told.py")
        del sys.modules["helper_of_told"]
        assert first == import_file(plugin, "told.py")
        assert (len(first.commit), first.dirty) == (40, False)
        helper.write_text("VALUE = 2\n")
        plugin.write_text(plugin.read_text() + "# other\n")
        del sys.modules["helper_of_told"]
        second = import_file(plugin, "told.py")
        assert second.content != first.content
        assert (second.commit, second.dirty) == (first.commit, True)
    finally:
        sys.path.remove(str(tmp_path))


def test_a_registered_method_without_a_file_is_told_apart_from_an_unknown_one(tmp_path):
    METHODS.register("without_file")(METHODS["teacher"])
    try:
        with pytest.raises(ConfigError, match=r"is registered, but .* write method/without_file.yaml .* --config-dir"):
            compose(["method=without_file"])
    finally:
        METHODS._entries.pop("without_file")


class Mode(Enum):
    FAST = 1
    SLOW = 2


@dataclass(kw_only=True)
class Wanting(MethodConfig):
    width: int
    mode: Mode = Mode.FAST


def test_a_required_field_is_hashed():
    configs = [
        ExperimentConfig(method=Wanting(name="own", width=width, mode=mode)) for width in (1, 2) for mode in Mode
    ]
    assert len({config.config_hash() for config in configs}) == 4
    assert json.loads(json.dumps(configs[1].resolved()))["method"] == {"name": "own", "width": 1, "mode": "SLOW"}


def test_processors_are_counted_where_there_is_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processors() == 6
    assert JobOptions("local", jobs=2).threads == 3
