"""Whole configurations, written as YAML and read again."""

import subprocess
import sys

import pytest

from sc2bench import __version__
from sc2bench.cli import app, guarded
from sc2bench.config import compose, compose_whole, from_resolved, written
from sc2bench.config.reading import parse_yaml
from sc2bench.core.errors import ConfigError
from sc2bench.runs.suite import Suite


@pytest.fixture
def mine(tmp_path):
    """The whole configuration of an experiment with one that it builds on, and texts that look like something else."""
    folder = r"a '${rate}' \${x} 1e3 # é: null"
    overrides = ["task=scenes_detection", "rate=0.07", f"output={folder}", "task.root=1e3", "checkpoints='null'"]
    config = compose(overrides)
    assert (config.output, config.checkpoints, config.task.root) == (folder, "null", "1e3")
    path = tmp_path / "mine.yaml"
    path.write_text(written(config))
    return config, path


def test_a_whole_configuration_comes_back(mine):
    config, path = mine
    again = compose_whole(path)
    assert again == config
    assert again.config_hash() == config.config_hash()
    assert again.source is not None
    changed = compose_whole(path, ["stage1.epochs=7", "seed=3", "method.latent_channels=9"])
    assert (changed.stages["stage1"].epochs, changed.seed, changed.method.latent_channels) == (7, 3, 9)
    assert changed.source == config.source
    plain = written(compose(["method=end_to_end", "rate=0.3"]))
    path.write_text(plain.replace("weight: 0.3\n", "weight: ${rate}\n"))
    losses = compose_whole(path, ["rate=0.5"]).stages["stage1"].losses
    assert {name: loss.weight for name, loss in losses.items()} == {"task": 1.0, "rate": 0.5}


def test_members_come_back(tmp_path):
    config = compose(["task=scenes_all", "method=multi_task", "rate=0.03", "mixed_precision=no"])
    path = tmp_path / "all.yaml"
    path.write_text(written(config))
    again = compose_whole(path)
    assert again == config
    assert len(again.members) == 3


def test_every_experiment_of_the_suites_comes_back():
    """What is printed holds everything that a record's name depends on."""
    for name in ("embedded", "embedded_multi_task", "embedded_segmentation"):
        for run in [found[-1] for found in Suite.load(name).experiments.values()]:
            again = from_resolved(parse_yaml(written(run.config), name))
            assert again.config_hash() == run.config.config_hash()


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (None, ["task=fashion_mnist"], "task=: {} is a whole configuration; leave task= or the file out"),
        (None, ["rate=0.1"], "rate=: {} holds what was made of its rate, such as weights of losses"),
        (None, ["stage1.epocs=3"], "unknown key 'stage1.epocs'; did you mean 'stage1.epochs'?"),
        (None, ["method.prior=fp"], "{}: method.prior: unknown prior 'fp'"),
        ("- 1", [], "{} holds no configuration; write one with `sc2bench run ... --print-config`"),
        ("seed: 1", [], "{}: method.name: no method is chosen"),
        ("method: {name: teacher}", [], "{}: task"),
        ("method: {name: teacher}\nsource: {seed: 1}", [], "{}: method.name: no method is chosen"),
        ("method: {name: teacher}\nsource: 3", [], "source: '3' is no list of overrides"),
        ("{", [], "is not valid YAML"),
    ],
)
def test_files_that_hold_no_whole_configuration_are_refused(mine, text, overrides, message):
    _, path = mine
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as error:
        compose_whole(path, overrides)
    assert message.format(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_prints_and_takes_a_configuration(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def printed(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            app(["run", *arguments, "--print-config"])
        assert end.value.code == 0
        return capsys.readouterr().out

    text = printed("method=input_codec", "method.codec=webp", "rate=30")
    assert text.splitlines()[:2] == [
        "# sc2bench run --config FILE runs this; key=value behind it changes it.",
        "rate: 30.0",
    ]
    (tmp_path / "mine.yaml").write_text(text)
    assert printed("--config", "mine.yaml") == text
    assert "codec: avif" in printed("--config", "mine.yaml", "method.codec=avif")
    assert guarded(lambda: app(["run", "--config", "nowhere.yaml"]), debug=False) == 1
    assert "error: nowhere.yaml can't be read" in capsys.readouterr().err
    # Nothing has run.
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_the_version_is_printed_at_once():
    script = (
        "import sys\n"
        "from sc2bench.cli import app\n"
        "try:\n"
        "    app(['--version'])\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0\n"
        "assert not {'torch', 'yaml', 'omegaconf', 'numpy'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"sc2bench {__version__} (Python 3.")
    assert ", torch 2." in done.stdout
