"""Programs that are told to end, that have no home, or whose output goes nowhere."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sc2bench.cli import app, guarded
from sc2bench.cli.common import INTERRUPTED
from sc2bench.core import home
from sc2bench.core.signals import Stopped, end_in_order, heeding_interrupts, undisturbed
from tests.conftest import TINY_STUDENT

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@pytest.fixture
def handlers():
    """Signals end this process's work in order, as far as the test goes."""
    before = {number: signal.getsignal(number) for number in ENDING}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ENDING[:2]:
        signal.signal(number, signal.SIG_DFL)
    end_in_order()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_run_that_is_told_to_end_gives_its_claims_back(handlers, tiny, tmp_path, capsys):
    by = signal.SIGTERM

    def send() -> None:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("checkpoints/*/progress.json")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(list(tmp_path.rglob("*.claim-1"))) == 2
        # Schedulers may send it more than once.
        os.kill(os.getpid(), by)
        os.kill(os.getpid(), by)

    sender = threading.Thread(target=send)
    sender.start()
    arguments = ["run", "--quiet", *tiny, *TINY_STUDENT, "stage1.epochs=500", "stage1.samples=100"]
    assert guarded(lambda: app(arguments), debug=False) == 128 + by
    sender.join()
    assert capsys.readouterr().err == "error: ended by SIGTERM; the same command goes on where this one stopped\n"
    assert list(tmp_path.rglob("progress.json"))
    assert not [path.name for path in tmp_path.rglob("*") if path.name.startswith(".") or ".claim-" in path.name]


def test_signals_wait_for_what_must_not_be_disturbed(handlers):
    done = []

    def work(number: int) -> None:
        with undisturbed():
            signal.raise_signal(number)
            done.append(number)

    for number, error in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGHUP, Stopped)):
        with pytest.raises(error):
            work(number)
    assert done == [signal.SIGINT, signal.SIGHUP]


def test_ignored_signals_stay_ignored_but_not_in_children(handlers):
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    end_in_order()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    with heeding_interrupts():
        child = subprocess.Popen(["sleep", "60"])
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == -signal.SIGINT
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_interruption_outside_of_commands_is_a_sentence(capsys):
    def command() -> None:
        raise KeyboardInterrupt

    assert guarded(command, debug=False) == INTERRUPTED
    assert capsys.readouterr().err.startswith("error: interrupted; ")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device", "/full"), "the operating system refuses: /full: No space left on de"),
        (MemoryError(), "there is not enough memory"),
    ],
)
def test_what_no_place_has_words_for_is_a_sentence_too(error, sentence, capsys):
    def command() -> None:
        raise error

    assert guarded(command, debug=False) == 1
    assert capsys.readouterr().err.startswith(f"error: {sentence}")
    with pytest.raises(type(error)):
        guarded(command, debug=True)


def test_without_a_home_there_is_a_private_one(tmp_path, monkeypatch, capsys):
    def nobody(number: int) -> None:
        raise KeyError(number)

    # What no user may count on: a folder of this name that somebody else has made.
    planted = tmp_path / f"sc2bench-home-{os.getuid()}"
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    home.home_folder.cache_clear()
    assert home.home_folder() == planted
    assert f"caches lie in {planted}" in capsys.readouterr().err
    planted.chmod(0o777)
    home.home_folder.cache_clear()
    other = home.home_folder()
    assert other != planted
    assert other.stat().st_mode & 0o777 == 0o700
    home.ensure_home()
    assert Path(os.environ["HOME"]) == other
    home.home_folder.cache_clear()


# Root without a name: a number that no user has, and nothing but the right to read what is installed for root.
NAMELESS = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"]
NAMELESS += [f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
SUITE = "curves:\n  - {label: WebP, overrides: [method=input_codec, method.codec=webp, rate=30]}\n"
COMMANDS = """
import os, sys
from sc2bench.cli import app, guarded, prepare
prepare()
for command in sys.argv[1].splitlines():
    try:
        code = guarded(lambda: app(command.split()), False)
    except SystemExit as end:
        code = end.code
    print("code", code or 0, flush=True)
"""


def can_be_nameless() -> bool:
    return os.getuid() == 0 and bool(shutil.which("setpriv")) and not subprocess.run([*NAMELESS, "true"]).returncode


@pytest.mark.slow
@pytest.mark.skipif(not can_be_nameless(), reason="only root can become a user without a name")
def test_a_user_without_name_and_home_works(tiny, tmp_path):
    folder = tmp_path / "work"
    for place in (folder, folder / "tmp"):
        place.mkdir()
        place.chmod(0o777)
    suite = folder / "small.yaml"
    suite.write_text(SUITE)
    chosen = " ".join([*tiny, f"output={folder}/results", f"checkpoints={folder}/checkpoints"])
    few = f"{chosen} evaluation.samples=10 evaluation.latency_repeats=1"
    # The first draws the report, too.
    commands = [f"suite run {suite} {few} --quiet", "list method", f"suite status {suite} {few}"]
    # In the C locale and a terminal of one column, with which nothing else is wrong either.
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "USER", "LOGNAME")}
    environment |= {"TMPDIR": str(folder / "tmp"), "LC_ALL": "C", "PYTHONUTF8": "0", "COLUMNS": "1"}
    python = [*NAMELESS, sys.executable, "-c", COMMANDS, "\n".join(commands)]
    done = subprocess.run(python, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.stdout.count("code 0") == len(commands), done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["results", "small.yaml", "tmp"]
    assert (folder / "results" / "rate_accuracy.png").exists()


def test_output_that_goes_nowhere_is_a_sentence():
    script = "import sys\nfrom sc2bench.cli import main\nsys.argv = ['sc2bench', *sys.argv[1:]]\nmain()"
    python = [sys.executable, "-c", script, "suite", "list"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(python, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert (done.returncode, done.stderr) == (1, "error: can't write to standard output: No space left on device\n")
    # Nobody reads on, as after `| head`.
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(python, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
