"""What users may not read or write; root may everything, so these tests become somebody else."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sc2bench.cli import app
from sc2bench.config import compose
from sc2bench.core.errors import CheckpointError, ConfigError, DataError, OutputError
from sc2bench.records import load_records
from sc2bench.runs.claims import Claims, holder
from sc2bench.runs.experiment import Experiment, has_weights
from sc2bench.runs.run import run_experiments
from tests.conftest import TINY_STUDENT

NOBODY = 65534
SMALL = ["stage1.epochs=1", "stage2.epochs=1", "stage1.samples=100", "stage2.samples=100", "evaluation.samples=20"]

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


@contextmanager
def nobody() -> Iterator[None]:
    """The process without root's rights."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def folder(tmp_path: Path, mini_root: Path) -> Path:
    """Which anybody may reach and write to."""
    # Tests beside each other have one folder more above them.
    made = {place for leaf in (tmp_path, mini_root) for place in (leaf, *leaf.parents) if place.owner() == "root"}
    for place in sorted(made - {Path("/"), Path("/tmp"), Path(tempfile.gettempdir())}):
        place.chmod(place.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    tmp_path.chmod(0o777)
    return tmp_path


@pytest.mark.slow
def test_finished_weights_are_measured_where_nothing_can_be_written(folder, tiny):
    chosen = [*tiny, *TINY_STUDENT, *SMALL]
    run = Experiment(compose(chosen))
    (record,) = run_experiments([run], quiet=True)
    record.unlink()
    with nobody():
        elsewhere = Experiment(compose([*chosen, f"output={folder}/others"]))
        assert run_experiments([elsewhere], quiet=True) == [elsewhere.record_path]
        assert elsewhere.checkpoint_folder == run.checkpoint_folder
        assert list(run.checkpoint_folder.parent.glob("*.claim-*")) == []
        # What is to be trained wants a place.
        with pytest.raises(OutputError, match=r"can't write to .*checkpoints: Permission denied.*checkpoints="):
            run_experiments([Experiment(compose([*chosen, f"output={folder}/others", "seed=1"]))], quiet=True)
        assert not list((folder / "others").rglob(".*"))


def test_folders_that_can_not_be_read_are_named(folder, tiny):
    suite = folder / "small.yaml"
    suite.write_text("curves:\n  - {label: WebP, overrides: [method=input_codec, rate=30]}\n")
    closed = folder / "closed"
    record = Experiment(compose([*tiny, "method=input_codec", "rate=30", f"output={closed}"]))
    (closed / "image_classification").mkdir(parents=True)
    record.record_path.parent.mkdir()
    closed.chmod(0)
    student = Experiment(compose([*tiny, *TINY_STUDENT, f"checkpoints={closed}"]))
    circle = folder / "circle"
    circle.symlink_to(circle)
    for option in ("--config-dir", "--plugin"):
        result = CliRunner().invoke(app, ["list", option, str(circle)])
        assert isinstance(result.exception, ConfigError), result.exception
    with nobody():
        with pytest.raises(DataError, match=r"record .*closed.* can't be looked for: Permission denied"):
            _ = record.done
        with pytest.raises(DataError, match=r".*closed.* can't be looked for: Permission denied"):
            _ = student.trained
        with pytest.raises(CheckpointError, match=r"weights .*closed.* can't be looked for: Permission denied"):
            has_weights(closed)
        with pytest.raises(OutputError, match=r"can't look for claims on .*: Permission denied"):
            holder(closed / "record.json")
        with Claims() as claims, pytest.raises(OutputError, match=r"can't claim .*: Permission denied"):
            claims.take(closed / "record.json")
        for command in (["suite", "status"], ["report"], ["suite", "run"]):
            result = CliRunner().invoke(app, [*command, str(suite), *tiny, f"output={closed}"])
            assert isinstance(result.exception, DataError), result.exception
    # One of several folders: what is in it would be missing without a word.
    closed.chmod(0o755)
    record.record_path.parent.chmod(0)
    with nobody(), pytest.raises(DataError, match=rf"folder {record.record_path.parent} can't be read"):
        load_records(closed)


def test_a_claim_of_another_user_counts_and_may_stay(folder):
    path = folder / "record.json"
    folder.chmod(0o1777)
    mine = folder / "record.json.claim-1"
    mine.write_text("")
    mine.chmod(0)
    with nobody(), Claims() as claims:
        assert not claims.take(path)
        os.seteuid(0)
        os.utime(mine, (1, 1))
        os.seteuid(NOBODY)
        # In a folder like /tmp only its owner may remove it.
        assert claims.take(path)
        claims.confirm(path)
        assert sorted(file.name for file in folder.iterdir()) == ["record.json.claim-1", "record.json.claim-2"]
