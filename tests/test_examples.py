"""The example of a plugin: built, installed into a folder of its own, and used from another one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sc2bench.data import MemoryImages
from tests import REPOSITORY

PLUGIN = REPOSITORY / "examples" / "plugin"
CHECKS = """
from sc2bench.testing import check_bottleneck, check_codec, check_dataset, check_loss, check_method, check_prior

check_codec("bit_planes", 4)
check_prior("laplace")
check_bottleneck("thin", input_shape=(1, 32, 32), target_shape=(24, 16, 16))
check_loss("feature_cosine", layers=["layer1", "fc"], power=1.5)
check_dataset("npz", "task.root={root}")
check_method(["task=fashion_mnist", "method=half_size", "rate=40"])
check_method(["task=npz", "task.root={root}", "method=entropic_student", "rate=1"])
check_method(["task=npz", "task.root={root}", "method=input_codec", "method.codec=bit_planes", "rate=3"])
check_method(["task=npz", "task.root={root}", "method=teacher", "teacher.name=tiny_net", "teacher.weights=random"])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, test_images: MemoryImages) -> tuple[Path, dict[str, str]]:
    """A folder elsewhere with data in it, and the environment of a user who has installed the plugin's wheel."""
    place = tmp_path_factory.mktemp("elsewhere")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    # Building leaves files where the sources are.
    source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("source") / "plugin")
    subprocess.run([*command, "--target", str(place / "packages"), str(source)], check=True)
    images, labels = test_images.images.numpy(), test_images.targets.numpy()
    for split, part in {"train": slice(0, 60), "validation": slice(60, 80), "test": slice(80, 100)}.items():
        np.savez(place / f"{split}.npz", images=images[part], labels=labels[part])
    path = os.pathsep.join([str(place / "packages"), str(REPOSITORY)])
    return place, os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_checks_pass(installed: tuple[Path, dict[str, str]]):
    place, environment = installed
    program = CHECKS.format(root=place)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=place, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_everything_together_is_trained_and_measured(installed: tuple[Path, dict[str, str]]):
    place, environment = installed
    command = [sys.executable, "-m", "sc2bench", "run", "--quiet", "task=npz", f"task.root={place}", "rate=0.1"]
    command += ["method=entropic_student", "evaluation.latency_repeats=1", "mixed_precision=no"]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads((place / done.stdout.strip()).read_text())
    assert (record["prior"], record["samples"], record["dataset"]) == ("laplace", 20, "npz")
    assert record["bytes_mean"] > 0
    names = [name for plugin in record["environment"]["plugins"] for name in plugin.get("name", "").split()]
    assert any("sc2bench-example" in name or "sc2bench_example" in name for name in names)
