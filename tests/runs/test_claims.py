import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sc2bench.core.errors import OutputError
from sc2bench.runs import claims
from sc2bench.runs.claims import ClaimLost, Claims, holder

# Claims at a common moment, says whether it succeeded, and holds on until its input ends.
RACER = """
import sys, time
from pathlib import Path
from sc2bench.runs.claims import Claims
with Claims() as held:
    time.sleep(max(float(sys.argv[2]) - time.time(), 0))
    print(int(held.take(Path(sys.argv[1]))), flush=True)
    sys.stdin.read()
"""


def racer(path: Path, start: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RACER, str(path), str(start)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_claim_is_held_by_one_until_it_is_released(tmp_path):
    path = tmp_path / "new" / "record.json"
    with Claims() as first, Claims() as second:
        assert first.take(path)
        assert not second.take(path)
        owner = holder(path)
        assert owner is not None
        assert (owner.pid, owner.host) == (os.getpid(), os.uname().nodename)
        assert abs(owner.since - time.time()) < 60
        first.release(path)
        assert holder(path) is None
        assert second.take(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("left_by_a_dead_one", [False, True])
def test_of_many_that_claim_at_once_one_succeeds(tmp_path, left_by_a_dead_one):
    path = tmp_path / "record.json"
    if left_by_a_dead_one:
        dead = racer(path, 0)
        assert dead.stdout.readline() == "1\n"
        dead.send_signal(signal.SIGKILL)
        # Not waited for, so that it is a zombie: as dead as one that is gone.
        time.sleep(0.1)
        assert [file.name for file in tmp_path.iterdir()] == ["record.json.claim-1"]
    start = time.time() + 1.5
    racers = [racer(path, start) for _ in range(8)]
    won = [int(process.stdout.readline()) for process in racers]
    assert sum(won) <= 1
    survivors = list(tmp_path.glob("record.json.claim-*"))
    assert len(survivors) == sum(won)
    for process in racers:
        process.communicate("")
    with Claims() as late:
        assert late.take(path)


def test_a_claim_of_another_machine_counts_while_it_is_renewed(tmp_path):
    path = tmp_path / "record.json"
    file = tmp_path / "record.json.claim-1"
    file.write_text(json.dumps({"host": "far", "pid": 1, "since": 0.0, "machine": "another", "started": "1"}))
    with Claims() as here:
        assert not here.take(path)
        assert holder(path).host == "far"
        old = time.time() - claims.STALE_SECONDS - 60
        os.utime(file, (old, old))
        assert holder(path) is None
        # The clock of the file system was set back since it was renewed: it would never grow old.
        ahead = time.time() + claims.STALE_SECONDS + 60
        os.utime(file, (ahead, ahead))
        assert holder(path) is None
        assert here.take(path)
        assert [found.name for found in tmp_path.iterdir()] == ["record.json.claim-2"]
        here.confirm(path)
        # It slept, and another took over.
        (tmp_path / "record.json.claim-3").write_text("")
        with pytest.raises(ClaimLost, match="another runner has taken it over"):
            here.confirm(path)


def test_a_claim_that_is_being_written_counts(tmp_path):
    (tmp_path / "record.json.claim-1").write_text("")
    with Claims() as here:
        assert not here.take(tmp_path / "record.json")


def test_a_full_disk_is_a_sentence_and_leaves_no_claim(tmp_path):
    # A file can still be made there, but not filled: the state in which a full disk is found mostly.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Claims() as here:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            with pytest.raises(OutputError, match=r"can't claim .*record.json: File too large; free space"):
                here.take(tmp_path / "record.json")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert list(tmp_path.iterdir()) == []
        assert here.take(tmp_path / "record.json")


def test_damaged_claims_are_nobodys(tmp_path):
    path = tmp_path / "record.json"
    file = tmp_path / "record.json.claim-1"
    good = {"host": "far", "pid": 1, "since": 0.0, "machine": "another", "started": "1"}
    for damage in ({"pid": "1"}, {"since": "now"}, {"since": 1e300}, {"host": None}, {"host": "\ud800"}, {"more": 1}):
        file.write_text(json.dumps(good | damage))
        assert holder(path) is None
    # Its number is another's by now.
    with Claims() as here:
        file.unlink()
        assert here.take(path)
        file.write_text(json.dumps(good))
        with pytest.raises(ClaimLost):
            here.confirm(path)
    assert file.exists()


def test_dead_claims_are_removed_and_living_ones_are_not(tmp_path):
    dead = racer(tmp_path / "dead", 0)
    assert dead.stdout.readline() == "1\n"
    dead.kill()
    dead.wait()
    for name in ("fresh.claim-3", "old.claim-7", "old.claim-x", "record.json"):
        (tmp_path / name).write_text("")
    os.utime(tmp_path / "old.claim-7", (1, 1))
    with Claims() as here:
        assert here.take(tmp_path / "mine")
        claims.remove_dead(tmp_path)
        claims.remove_dead(tmp_path / "nowhere")
        left = sorted(path.name for path in tmp_path.iterdir())
        assert left == ["fresh.claim-3", "mine.claim-1", "old.claim-x", "record.json"]


def test_claims_are_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "REFRESH_SECONDS", 0.05)
    with Claims() as here:
        assert here.take(tmp_path / "record.json")
        file = tmp_path / "record.json.claim-1"
        os.utime(file, (1, 1))
        deadline = time.monotonic() + 10
        while file.stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert time.time() - file.stat().st_mtime < 60


def test_a_reused_process_number_is_no_owner(tmp_path):
    path = tmp_path / "record.json"
    with Claims() as here:
        assert here.take(path)
        file = tmp_path / "record.json.claim-1"
        owner = json.loads(file.read_text())
        file.write_text(json.dumps(owner | {"started": "0"}))
        assert holder(path) is None


def test_a_folder_that_can_not_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with Claims() as here, pytest.raises(OutputError, match=r"can't claim .*record.json"):
        here.take(tmp_path / "file" / "record.json")
