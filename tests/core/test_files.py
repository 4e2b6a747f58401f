import json
import os
import signal
import subprocess
import sys
import time

import pytest

from sc2bench.codecs import programs
from sc2bench.codecs.programs import ProgramError
from sc2bench.core import files
from sc2bench.core.errors import OutputError
from sc2bench.core.files import remove_leftovers, scratch_folder, visible_files, write_atomic, write_json, write_text


def test_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "new" / "a.json"
    write_json(path, {"a": 1})
    write_json(path, {"b": [2, 3]})
    assert json.loads(path.read_text()) == {"b": [2, 3]}
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"can't write .*a.txt: No space left on device"):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_leftovers_are_removed_once_their_maker_is_dead(tmp_path):
    # Killed while it writes, as is a library that makes a temporary file of its own beside the one it shall write.
    script = (
        "import os, pathlib, sys\n"
        "from sc2bench.core.files import write_atomic, write_folder_atomic\n"
        "def die(path):\n"
        "    (path.parent / '.tmpAbCdEf').write_text('half')\n"
        "    path.write_text('half') if path.suffix else None\n"
        "    print(flush=True)\n"
        "    sys.stdin.read()\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "os.fork() and write_folder_atomic(path / 'new', lambda folder: die(folder / 'a'))\n"
        "write_atomic(path / 'a.json', die)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=-1, stdout=-1, start_new_session=True
    )
    assert [writer.stdout.readline() for _ in range(2)] == [b"\n"] * 2
    kinds = sorted(path.name.partition("-")[0] for path in tmp_path.iterdir())
    assert kinds == [".making", ".writing"]
    assert visible_files(tmp_path, ".json") == []
    own = files._temporary_folder(tmp_path, "writing")
    # Of other machines, of older versions and of the library itself only the age is known.
    young, old = ".writing-0a1b2c3d-77-123-abcdefgh", ".making-0a1b2c3d-77-123-abcdefgh"
    for name in (young, old):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.json").write_text("half")
    for name in (".tmpAbCdEf", ".writing-abcdefgh.json", ".tmp-of-a-user"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 8
    os.killpg(writer.pid, signal.SIGKILL)
    writer.communicate()
    for path in tmp_path.rglob("*"):
        if young not in str(path):
            os.utime(path, (1, 1))
    deadline = time.monotonic() + 10
    while len(left := {path.name for path in tmp_path.iterdir()}) > 3 and time.monotonic() < deadline:
        remove_leftovers(tmp_path)
    assert left == {own.name, young, ".tmp-of-a-user"}


def test_not_finite_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    # The kernel refuses to let files grow beyond 4 KiB, as a full disk would.
    script = (
        "import resource, torch, pathlib, sys\n"
        "from sc2bench.core.state import save_tensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from sc2bench.core.errors import OutputError\n"
        "try:\n"
        "    save_tensors({'a': torch.zeros(100_000)}, pathlib.Path(sys.argv[1]) / 'a.safetensors')\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "can't write" in done.stdout
    assert "File too large" in done.stdout
    assert not list(tmp_path.iterdir())


def test_temporary_folders_that_can_not_be_made_or_filled_are_named(tmp_path, monkeypatch):
    def fill() -> None:
        with scratch_folder("sc2bench-test-") as folder:
            assert folder.parent == tmp_path
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(OutputError, match=r"temporary folder .*sc2bench-test-.* No space left .* set TMPDIR"):
        fill()
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(OutputError, match=r"no temporary folder can be made: .* set TMPDIR"):
        fill()
    # A process makes its folder once.
    programs._process_folder.cache_clear()
    with pytest.raises(ProgramError, match=r"can't be written or read: .*none.* set TMPDIR"), programs.workspace():
        pass


def test_visible_files_are_all_that_can_be_seen(tmp_path, monkeypatch):
    for name in ("b/c/1.json", "a/2.json", "a/3.txt", "a/.4.json", ".writing-x/5.json"):
        write_text(tmp_path / name, "")
    assert [str(path.relative_to(tmp_path)) for path in visible_files(tmp_path, ".json")] == ["a/2.json", "b/c/1.json"]
    # What another runner removes while folders are looked into is no error.
    real = os.scandir

    def vanishing(place):
        if str(place).endswith("/c"):
            (tmp_path / "b" / "c" / "1.json").unlink()
            (tmp_path / "b" / "c").rmdir()
        return real(place)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert [path.name for path in visible_files(tmp_path, ".json")] == ["2.json"]
