"""What docs/ shows is what is run."""

import re

import pytest

from tests import REPOSITORY

EXTENDING = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
PLUGIN = REPOSITORY / "examples" / "plugin" / "sc2bench_example"


@pytest.mark.parametrize("path", sorted(PLUGIN.glob("*.py")), ids=lambda path: path.name)
def test_examples_stand_in_the_page_as_they_are(path):
    if path.name != "__init__.py":
        block = re.search(
            rf"`examples/plugin/sc2bench_example/{path.name}`:\n\n```python\n(.*?)```", EXTENDING, re.DOTALL
        )
        assert block is not None
        assert block[1] == path.read_text(encoding="utf-8")


def test_files_of_configuration_stand_in_the_page_as_they_are():
    blocks = re.findall(r"```yaml\n(.*?)```", EXTENDING, re.DOTALL)
    assert sorted(blocks) == sorted(path.read_text(encoding="utf-8") for path in PLUGIN.rglob("*.yaml"))
