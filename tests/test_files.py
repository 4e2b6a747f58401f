import json
import subprocess
import sys

import pytest

from sc2bench.errors import OutputError
from sc2bench.files import write_atomic, write_json, write_text


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


def test_not_finite_numbers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    # The kernel refuses to let files grow beyond 4 KiB, as a full disk would.
    script = (
        "import resource, torch, pathlib, sys\n"
        "from sc2bench.state import save_tensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from sc2bench.errors import OutputError\n"
        "try:\n"
        "    save_tensors({'a': torch.zeros(100_000)}, pathlib.Path(sys.argv[1]) / 'a.safetensors')\n"
        "except OutputError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "can't write" in done.stdout
    assert "File too large" in done.stdout
    assert not list(tmp_path.iterdir())
