"""Handling of external programs, with small executables that stand in for them."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sc2bench.codecs.bpg import file_size
from sc2bench.codecs.programs import Program, ProgramError, run, workspace
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import IMAGE_CODECS
from sc2bench.core.signals import heeding_interrupts
from sc2bench.wire.packet import PacketError

# Copies its input to its output, as its arguments name them, and keeps a list of the arguments beside itself.
COPY = """#!{python}
import os, struct, sys
words = sys.argv[1:]
if words == [{ask!r}]:
    print({banner!r})
    sys.exit({status})
with open(__file__ + ".log", "a") as log:
    print(" ".join(words), file=log)
data = open(words[words.index({source!r}) + 1] if {source!r} else words[-1], "rb").read()
"""
WRITE = 'open(words[words.index({target!r}) + 1], "wb").write(data)\n'
# A BPG file with the whole PNG file in the place of its picture; numbers below 128 are one byte.
WRAP = 'data = b"BPG\\xfb\\0\\0" + bytes(struct.unpack(">II", data[16:24])) + data\n'
UNWRAP = "data = data[8:]\n"


def executable(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def copier(
    path: Path, banner: str, source: str, target: str, ask: str = "--version", status: int = 0, change: str = ""
) -> str:
    head = COPY.format(python=sys.executable, ask=ask, banner=banner, status=status, source=source)
    return executable(path, head + change + WRITE.format(target=target))


def arguments(program: str) -> str:
    return Path(program + ".log").read_text()


@pytest.fixture
def vvenc(tmp_path: Path) -> dict[str, str]:
    return {
        "program": copier(tmp_path / "vvencapp", "vvencapp: Fraunhofer VVC Encoder ver. 1.7.0 [Linux]", "-i", "-o"),
        "decoder": copier(tmp_path / "vvdecapp", "vvdecapp version 2.1.3", "-b", "-o"),
    }


@pytest.fixture
def vtm(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "cfg").mkdir()
    (tmp_path / "cfg" / "encoder_intra_vtm.cfg").touch()
    banner = "\nVVCSoftware: VTM {} Version 23.4 [Linux][GCC 12.2.0][64 bit]"
    return {
        "program": copier(tmp_path / "bin/EncoderApp", banner.format("Encoder"), "-i", "-b", "--help", 1),
        "decoder": copier(tmp_path / "bin/DecoderApp", banner.format("Decoder"), "-b", "-o", "--help", 1),
    }


@pytest.fixture
def bpg(tmp_path: Path) -> dict[str, str]:
    banner = "BPG Image {} version 0.9.8\nusage: ..."
    return {
        "program": copier(tmp_path / "bpgenc", banner.format("Encoder"), "", "-o", "-h", 1, WRAP),
        "decoder": copier(tmp_path / "bpgdec", banner.format("Decoder"), "", "-o", "-h", 1, UNWRAP),
    }


def colourful(height: int = 27, width: int = 35) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([6 * x, 255 - 7 * y, 128 + 3 * x - y]).astype(np.uint8)


@pytest.mark.parametrize("name", ["bpg", "vtm", "vvenc"])
def test_images_pass_the_programs_unharmed(name, request, test_images):
    codec = IMAGE_CODECS[name](32, **request.getfixturevalue(name))
    grey = test_images.images[:2].numpy()
    assert np.array_equal(codec.decode(codec.encode(grey), (1, 28, 28)), grey)
    image = colourful()
    decoded = codec.decode_image(codec.encode_image(image), image.shape)
    # VVenC has chroma of half the size, the others what they got.
    assert np.abs(decoded.astype(int) - image)[:, 2:-2, 2:-2].max() <= (3 if name == "vvenc" else 0)
    with workspace() as folder:
        assert list(folder.parent.iterdir()) == [folder]


def test_arguments_name_size_format_and_quality(vtm, vvenc, bpg):
    image = colourful()
    IMAGE_CODECS["vtm"](37, **vtm).encode_image(image[:1])
    assert "-wdt 40 -hgt 32 -fr 1 -f 1 -q 37" in arguments(vtm["program"])
    assert "--InputBitDepth=10 --InternalBitDepth=10 --InputChromaFormat=400" in arguments(vtm["program"])
    assert "cfg/encoder_intra_vtm.cfg" in arguments(vtm["program"])
    IMAGE_CODECS["vvenc"](22, preset="slow", **vvenc).encode_image(image)
    assert "-s 40x32 -c yuv420_10 -r 1 -f 1 -t 1 -q 22 --preset slow --qpa 0" in arguments(vvenc["program"])
    IMAGE_CODECS["bpg"](28, chroma="444", **bpg).encode_image(image)
    assert arguments(bpg["program"]).strip() == "-q 28 -f 444 -m 8 -o out.bpg in.png"


@pytest.mark.parametrize(
    ("name", "program", "source"),
    [
        ("bpg", "bpgenc", "https://bellard.org/bpg/"),
        ("vtm", "EncoderApp", "https://vcgit.hhi.fraunhofer.de"),
        ("vvenc", "vvencapp", "https://github.com/fraunhoferhhi/vvenc"),
    ],
)
def test_missing_program_says_where_to_get_it(name, program, source, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sc2bench.codecs.vvc._packaged_ffmpeg", lambda: "")
    with pytest.raises(
        ConfigError, match=f"codec '{name}' needs the program '{program}', but none is on PATH; .*{source}"
    ):
        IMAGE_CODECS[name](30)
    with pytest.raises(ConfigError, match=r"none is at '/nowhere/it'.*method\.options.program=PATH"):
        IMAGE_CODECS[name](30, program="/nowhere/it")


def test_programs_are_found_on_path(vvenc, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(vvenc["program"]).parent), prepend=os.pathsep)
    codec = IMAGE_CODECS["vvenc"](30)
    assert [codec.encoder, codec.decoder] == [str(Path(path).resolve()) for path in vvenc.values()]
    assert IMAGE_CODECS["vvenc"](30, **vvenc).variant == {}


def test_versions_are_checked(vvenc, tmp_path):
    old = copier(tmp_path / "old", "vvencapp: Fraunhofer VVC Encoder ver. 0.3.1.0", "-i", "-o")
    with pytest.raises(ConfigError, match=r"old is version 0\.3\.1\.0, but 1\.0 or newer is needed; get it from"):
        IMAGE_CODECS["vvenc"](30, **(vvenc | {"program": old}))
    with pytest.raises(ConfigError, match="is no 'vvdecapp', for it says 'vvencapp: Fraunhofer"):
        IMAGE_CODECS["vvenc"](30, **(vvenc | {"decoder": vvenc["program"]}))


def test_bad_settings_are_refused(vtm, vvenc):
    with pytest.raises(ConfigError, match=r"codec 'vtm' can't code at quality 64; give rate=0 \.\.\. 63"):
        IMAGE_CODECS["vtm"](64, **vtm)
    with pytest.raises(ConfigError, match=r"takes whole numbers, not quality 30\.5"):
        IMAGE_CODECS["vvenc"](30.5, **vvenc)
    with pytest.raises(ConfigError, match=r"method.options.timeout: 'soon' is no number of seconds"):
        IMAGE_CODECS["vvenc"](30, timeout="soon", **vvenc)
    with pytest.raises(ConfigError, match=r"needs VTM's encoder_intra_vtm.cfg, but /nowhere is no file"):
        IMAGE_CODECS["vtm"](30, config="/nowhere", **vtm)


def test_damaged_images_raise(vvenc, bpg):
    codec = IMAGE_CODECS["vvenc"](30, **vvenc)
    with pytest.raises(PacketError, match="the VVC picture has 3 bytes instead of 3072; it is damaged"):
        codec.decode_image(b"abc", (1, 28, 28))
    codec = IMAGE_CODECS["bpg"](30, **bpg)
    good = codec.encode_image(colourful())
    assert file_size(good) == (35, 27)
    for damaged in (b"", b"abc", good[:7], good[:-50], b"BPG\xfb\0\0" + b"\xff" * 20):
        with pytest.raises(PacketError, match="damaged"):
            codec.decode_image(damaged, (3, 27, 35))
    with pytest.raises(PacketError, match=r"has size \(35, 27\) instead of \(28, 28\)"):
        codec.decode_image(good, (3, 28, 28))


def test_failing_program_is_quoted(tmp_path):
    failing = executable(tmp_path / "failing", "#!/bin/sh\necho first >&2\necho 'the reason' >&2\nexit 3\n")
    with pytest.raises(ProgramError, match="failing' failed with status 3: the reason"):
        run([failing], tmp_path, seconds=10)


def test_slow_program_is_killed_with_its_children(tmp_path):
    slow = executable(tmp_path / "slow", "#!/bin/sh\nsleep 60 &\necho $! $$ > pids\nwait\n")
    started = time.monotonic()
    with pytest.raises(ProgramError, match=r"did not finish within 0\.5 s and was killed; give it more with"):
        run([slow], tmp_path, seconds=0.5)
    assert time.monotonic() - started < 10
    assert_dead(map(int, (tmp_path / "pids").read_text().split()))


SLOW_RUN = """
import sys
import numpy as np
from sc2bench.core.registry import IMAGE_CODECS
codec = IMAGE_CODECS["vvenc"](30, program=sys.argv[1], decoder=sys.argv[2])
codec.encode(np.zeros((6, 1, 28, 28), np.uint8))
"""


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_an_interrupted_process(by, vvenc, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    slow = executable(
        tmp_path / "slow",
        '#!/bin/sh\n[ "$1" = --version ] && echo vvenc version 1.9 && exit\n'
        f"echo $$ >> {tmp_path}/pids\nexec sleep 60\n",
    )
    # A bare interpreter, for importing the networks' libraries takes seconds.
    with heeding_interrupts():
        process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, slow, vvenc["decoder"]], stderr=subprocess.DEVNULL)
    pids = tmp_path / "pids"
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == min(os.cpu_count() or 1, 6))
    assert list((tmp_path / "tmp").glob("sc2bench-codec-*/*/in.yuv"))
    process.send_signal(by)
    process.wait(20)
    assert_dead(map(int, pids.read_text().split()))
    # Killed, it could not clean up; the next process that uses programs does.
    left = list((tmp_path / "tmp").glob("sc2bench-*"))
    assert len(left) == (by == signal.SIGKILL)
    subprocess.run(
        [sys.executable, "-c", "from sc2bench.codecs.programs import workspace\nwith workspace(): pass"], check=True
    )
    assert list((tmp_path / "tmp").iterdir()) == []


def test_folders_of_living_processes_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    hold = "from sc2bench.codecs.programs import workspace\nwith workspace() as folder: {}"
    process = subprocess.Popen([sys.executable, "-c", hold.format("input()")], stdin=subprocess.PIPE)
    wait_for(lambda: len(list(tmp_path.glob("sc2bench-codec-*/*"))) == 1)
    subprocess.run([sys.executable, "-c", hold.format("pass")], check=True)
    (folder,) = tmp_path.glob("sc2bench-codec-*/*")
    assert folder.stat().st_mode & 0o777 == 0o700
    process.communicate(b"\n", timeout=20)
    assert list(tmp_path.iterdir()) == []


def test_workspaces_are_removed_after_errors():
    folders = []

    def fail() -> None:
        with workspace() as folder:
            folders.append(folder)
            (folder / "file").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not folders[0].exists()


def test_version_is_asked_with_its_own_arguments(tmp_path):
    program = copier(tmp_path / "tool", "Tool version 2.5", "", "", "about", 1)
    known = Program("tool", (2, 5), ("about",), "tool", "https://example.org")
    assert known.find("codec", "program", program) == program
    with pytest.raises(ConfigError, match=r"is version 2\.5, but 2\.6 or newer"):
        Program("tool", (2, 6), ("about",), "tool", "https://example.org").find("codec", "program", program)


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def assert_dead(pids) -> None:
    for pid in pids:
        # The kernel may take a moment to bury it; a zombie that nobody waits for counts as dead.
        wait_for(
            lambda pid=pid: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text(), 10
        )
