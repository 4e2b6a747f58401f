import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from sc2bench.cli import app, guarded
from sc2bench.core.errors import ConfigError
from sc2bench.core.signals import heeding_interrupts
from tests import REPOSITORY
from tests.conftest import TINY_STUDENT

SCRIPT = REPOSITORY / "benchmarks" / "image_classification.py"


def call(*arguments: str, program: tuple[str, ...] = ("-m", "sc2bench"), **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *program, *arguments], capture_output=True, text=True, **options)


def test_help_and_errors_of_usage_do_not_import_torch():
    script = (
        "import sys\n"
        "from sc2bench.cli import app\n"
        "try:\n"
        "    app(['--help'])\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0\n"
        "assert not {'torch', 'hydra', 'pandas', 'matplotlib'} & sys.modules.keys()\n"
    )
    done = call(script, program=("-c",), check=True)
    assert "sc2bench run task=fashion_mnist method=entropic_student rate=0.16" in done.stdout


def test_every_command_has_examples_that_it_takes():
    program = typer.main.get_command(app)

    def commands(group: Any) -> Iterator[Any]:
        for command in group.commands.values():
            yield command
            yield from commands(command) if hasattr(command, "commands") else ()

    tried = 0
    for command in (program, *commands(program)):
        title, *lines = command.epilog.split("\n\n")
        assert title == "Examples:"
        for line in lines:
            name, *words = shlex.split(line.partition(" > ")[0])
            assert name == "sc2bench"
            reached: Any = program
            while hasattr(reached, "commands"):
                reached = reached.commands[words.pop(0)]
            # Arguments and options are parsed; nothing runs.
            reached.make_context(reached.name, words)
            tried += 1
        if command is not program:
            assert lines[0].startswith("sc2bench ")
            assert command.name in lines[0].split()
    assert tried > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "method=entropic_studnet"], "did you mean 'entropic_student'?"),
        (["run", "stage1.epocs=1"], "unknown key 'stage1.epocs'; did you mean 'stage1.epochs'?"),
        (["run", "method=input_codec", "rate=101"], "codec 'jpeg' can't code at quality 101"),
        (["run", "task.root=/nowhere"], "Fashion-MNIST folder /nowhere does not exist"),
        (["run", "method=teacher", "teacher.weights=/nowhere.pth"], "weights /nowhere.pth are missing"),
        (
            ["run", "method=teacher", f"teacher.weights={__file__}"],
            "are of no known format; give a file that ends in .safetensors",
        ),
        (["run", "method=teacher", "output=/proc/results"], "can't write to /proc/results"),
        (["suite", "run", "embeded"], "unknown suite 'embeded'; did you mean 'embedded'?"),
        (["report", "quickstart", "output=none"], "there are no records"),
        (["list", "methodd"], "unknown kind 'methodd'; did you mean 'method'?"),
        (["run", "--plugin", "nowhere.py"], "plugin 'nowhere.py' is not a Python file"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert guarded(lambda: app(arguments), debug=False) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("error: ")
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.slow
def test_mistake_ends_the_process_with_an_exit_code(tmp_path):
    done = call("run", "seed=-1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: seed: -1 is not in 0 ... 2047"]


def test_debug_lets_the_error_through():
    with pytest.raises(ConfigError, match="seed: -1 is not in 0"):
        guarded(lambda: app(["--debug", "run", "seed=-1"]), debug=True)


@pytest.mark.slow
def test_script_of_a_task_is_the_same_run(tiny, tmp_path):
    done = call("--quiet", *tiny, "method=teacher", program=(str(SCRIPT),), check=True)
    assert done.stdout.strip().startswith(str(tmp_path / "results" / "image_classification" / "teacher"))
    assert Path(done.stdout.strip()).exists()


def test_list_names_what_there_is(capsys):
    for arguments, expected in (
        (
            ["list", "method"],
            "method: channel_reduction, end_to_end, entropic_student, entropy_bottleneck, feature_codec, input_codec, "
            "multi_task, neural_input_codec, teacher\n",
        ),
        (
            ["list", "task="],
            "task=: coco2017, fashion_mnist, ilsvrc2012, image_folder, imagenette, pascal_voc2012, "
            "scenes_all, scenes_classification, scenes_detection, scenes_segmentation\n",
        ),
        (
            ["suite", "list"],
            "embedded\nembedded_detection\nembedded_multi_task\nembedded_segmentation\npaper\nquickstart\n",
        ),
    ):
        with pytest.raises(SystemExit):
            app(arguments)
        assert capsys.readouterr().out == expected


@pytest.mark.slow
def test_interrupt_leaves_nothing_half_written_and_the_run_goes_on(tiny, tmp_path):
    command = [sys.executable, "-m", "sc2bench", "run", *tiny, *TINY_STUDENT, "stage1.epochs=200"]
    with heeding_interrupts():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("checkpoints/*/progress.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; the same command goes on where this one stopped" in errors
    assert "Traceback" not in errors
    assert not [path.name for path in tmp_path.rglob("*") if path.name.startswith(".") or ".claim-" in path.name]
    assert not list((tmp_path / "results").rglob("*.json"))
    assert list(tmp_path.rglob("progress.json"))
