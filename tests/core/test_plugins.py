"""What is known of a plugin: which code it is, and what it has registered, in whatever order things are imported."""

import pickle
import subprocess
import sys
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from sc2bench.chain import base as chain_base
from sc2bench.config import compose
from sc2bench.core import registry
from sc2bench.core.errors import ConfigError
from sc2bench.core.plugins import Plugin, import_file
from sc2bench.core.registry import LOSSES, METHODS, PLUGIN_GROUP, load_plugins, loaded_plugins, plugins_of
from sc2bench.core.repository import state_of
from sc2bench.runs.identity import surroundings_of_point

REGISTER = "from sc2bench.core.registry import LOSSES\nLOSSES.register('{}')(1)\n"


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_plugins", {})
    for each in (LOSSES, METHODS):
        each.names()
        monkeypatch.setattr(each, "_entries", dict(each._entries))
        monkeypatch.setattr(each, "_origins", dict(each._origins))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield
    for name in sys.modules.keys() - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_content_is_that_of_all_own_code_in_any_order(tmp_path):
    helper = written(tmp_path / "shared_own" / "inner.py", "from . import deep\n")
    written(tmp_path / "shared_own" / "__init__.py", "")
    deep = written(tmp_path / "shared_own" / "deep.py", "")
    late = written(tmp_path / "late_own.py", "this is no Python")
    called = [written(tmp_path / f"{name}_own.py", "") for name in ("called", "built")]
    installed = written(tmp_path / "venv" / "site-packages" / "installed_own.py", "")
    sys.path.insert(0, str(installed.parent))
    code = "import installed_own\nfrom shared_own import inner\ndef later():\n    import late_own\n"
    code += "import importlib\nimportlib.import_module('called_own')\n__import__('built_own')\n"
    first = written(tmp_path / "first.py", code)
    second = written(tmp_path / "second.py", code)
    try:
        alone = import_file(second, "second.py")
        import_file(first, "first.py")
        # All that it imports is in the process by now; what is imported later never is.
        assert import_file(second, "second.py").content == alone.content
        for path in (helper, deep, late, *called):
            before = path.read_text()
            path.write_text(before + "# other\n")
            assert import_file(second, "second.py").content != alone.content, path
            path.write_text(before)
        installed.write_text("# other\n")
        assert import_file(second, "second.py").content == alone.content
    finally:
        sys.path.remove(str(installed.parent))


def test_names_belong_to_the_plugins_whose_code_registers_them(tmp_path, monkeypatch):
    written(tmp_path / "helper_own.py", REGISTER.format("of_helper"))
    written(tmp_path / "package_own.py", REGISTER.format("of_package"))
    point = EntryPoint("own", "package_own", PLUGIN_GROUP)
    asks = "from sc2bench.core.registry import loaded_plugins\nloaded_plugins()\nimport helper_own\n"
    paths = [written(tmp_path / f"{name}.py", asks + REGISTER.format(name)) for name in ("one", "two")]
    # The package is loaded while the first file is.
    monkeypatch.setattr("sc2bench.core.registry.entry_points", lambda group: [point])
    load_plugins(map(str, paths))
    names = {Path(plugin.name).stem: plugin.names for plugin in loaded_plugins()}
    assert names == {
        "a package (package_own)": {"of_package"},
        "one": {"one", "of_helper"},
        "two": {"two", "of_helper"},
    }
    assert [plugin.name for plugin in plugins_of(["two"])] == [str(paths[1])]
    assert [plugin.name for plugin in plugins_of(["of_helper", "jpeg"])] == [str(path) for path in paths]
    assert plugins_of(["cross_entropy"]) == []


def test_a_plugin_that_registers_a_chain_counts_for_the_models_of_libraries(tmp_path, monkeypatch):
    for module in chain_base._LIBRARIES.values():
        # Imported now, for what registers meanwhile is taken back in the end.
        import_module(module)
    monkeypatch.setattr(chain_base, "_CONVERTERS", dict(chain_base._CONVERTERS))
    code = (
        "from torchvision.models import GoogLeNet\nfrom sc2bench.chain import register_chain\n"
        "@register_chain(GoogLeNet)\ndef stages(model):\n    return model.named_children()\n"
    )
    plugin = written(tmp_path / "chain_own.py", code + "1 / 0\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"ZeroDivisionError: .*chain_own.py, line 6\)"):
            load_plugins([str(plugin)])
    plugin.write_text(code)
    load_plugins([str(plugin)])
    (known,) = loaded_plugins()
    base = ["task=fashion_mnist", "method=teacher"]
    library = ["teacher.library=torchvision", "teacher.name=googlenet", "teacher.weights=random"]
    assert surroundings_of_point(compose([*base, *library])) == {"plugins.chain_own.py": known.content}
    assert surroundings_of_point(compose(base)) == {}


def test_a_failure_is_told_alike_again_where_a_helper_registers(tmp_path):
    written(
        tmp_path / "registering_own.py",
        f"def register():\n    {'; '.join(REGISTER.format('late').split(chr(10))[:2])}\n",
    )
    plugin = written(tmp_path / "failing.py", "import registering_own\nregistering_own.register()\n1 / 0\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"ZeroDivisionError: .*failing.py, line 3\)"):
            load_plugins([str(plugin)])
        assert "late" not in LOSSES
    plugin.write_text("import registering_own\nregistering_own.register()\n")
    load_plugins([str(plugin)])
    assert [known.name for known in plugins_of(["late"])] == [str(plugin)]


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"a = 1\n\0", 2), (b"# -*- coding: nonsense -*-\n", 1), (b"a = 1\nb = '\xff'\n", r"\d")],
)
def test_what_is_no_text_is_told_with_file_and_line(content, line, tmp_path):
    plugin = tmp_path / "no_text.py"
    plugin.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"SyntaxError: .*no_text.py, line {line}\)"):
        load_plugins([str(plugin)])


def test_an_installed_plugin_that_exits_is_named(tmp_path, monkeypatch):
    written(tmp_path / "leaving_own.py", "raise SystemExit(3)\n")
    point = EntryPoint("own", "leaving_own", PLUGIN_GROUP)
    monkeypatch.setattr("sc2bench.core.registry.entry_points", lambda group: [point])
    with pytest.raises(ConfigError, match=r"'leaving_own' of a package .* SystemExit: 3 .*leaving_own.py, line 1\)"):
        loaded_plugins()


def commit(folder: Path) -> None:
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)


def test_a_plugin_differs_from_its_commit_where_its_helpers_do(tmp_path, monkeypatch):
    written(tmp_path / ".gitignore", "__pycache__\n")
    helper = written(tmp_path / "pack_own" / "__init__.py", "")
    plugin = written(tmp_path / "plugin[1].py", "import pack_own\n")
    commit(tmp_path)
    point = EntryPoint("own", "pack_own", PLUGIN_GROUP)
    monkeypatch.setattr("sc2bench.core.registry.entry_points", lambda group: [point])
    # A hook of another repository, as tests before a commit run in.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    written(tmp_path / "pack_own" / "__pycache__" / "a.pyc", "")
    load_plugins([str(plugin)])
    states = [(known.commit, known.dirty) for known in loaded_plugins()]
    assert states == [(state_of(tmp_path)[0], False)] * 2
    assert len(states[0][0]) == 40
    helper.write_text("# other\n")
    assert import_file(plugin, "plugin[1].py").dirty
    monkeypatch.setenv("PATH", str(tmp_path))
    assert state_of(tmp_path) == (None, None)


def test_classes_of_a_plugin_can_be_pickled(tmp_path):
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from sc2bench.core.registry import LOSSES\n@LOSSES.register('pickled')\n@dataclass\n"
        "class Own:\n    value: int = 1\n"
    )
    load_plugins([str(written(tmp_path / "pickled.py", code))])
    value = LOSSES["pickled"](3)
    assert pickle.loads(pickle.dumps(value)) == value


def test_plugins_whose_files_share_a_name_are_told_apart_in_identity(mini_root, monkeypatch):
    config = compose(["task=fashion_mnist", f"task.root={mini_root}", "method=input_codec", "rate=10"])
    modules = frozenset({METHODS._origins["input_codec"]})

    def key(*contents: str) -> str:
        known = {str(n): Plugin(f"/{n}/own.py", text, modules=modules) for n, text in enumerate(contents)}
        monkeypatch.setattr(registry, "_plugins", known)
        return surroundings_of_point(config)["plugins.own.py"]

    assert key("aa") == "aa"
    assert len({key("aa", "bb"), key("cc", "bb"), key("aa", "cc"), key("bb")}) == 4
