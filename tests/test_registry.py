import pytest

from sc2bench.errors import ConfigError
from sc2bench.registry import METHODS, Registry, load_plugins


def test_unknown_name_lists_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown method 'entropic_studnet'; did you mean 'entropic_student'\?"):
        METHODS["entropic_studnet"]


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
        "from sc2bench.registry import METHODS\n"
        "@METHODS.register('plugin_method')\n"
        "class PluginMethod(InputCodec):\n"
        "    pass\n"
    )
    load_plugins([str(plugin), str(plugin)])
    assert METHODS["plugin_method"].__name__ == "PluginMethod"


def test_missing_plugin_is_named():
    with pytest.raises(ConfigError, match=r"plugin 'nowhere.py' is not a Python file"):
        load_plugins(["nowhere.py"])
