import pytest

from sc2bench.cli import app, guarded
from sc2bench.runs.suite import Suite
from sc2bench.runs.validation import validate
from tests.conftest import TINY_STUDENT

SUITE = """\
overrides: [{task}]
curves:
  - {{label: WebP, overrides: [method=input_codec, method.codec=webp], rates: [10, 20]}}
  - label: BPG
    overrides: [method=input_codec, method.codec=bpg, method.options.program=/nowhere/bpgenc]
    rates: [10]
  - {{label: Student, overrides: [{student}], rates: [0.1, 3]}}
"""
# A small teacher in place of ImageNet's, and a bottleneck for its first stage.
SMALL = "teacher.name=resnet18"


@pytest.fixture
def suite_file(tmp_path):
    def write(task: str, student: list[str]) -> str:
        path = tmp_path / "tried.yaml"
        path.write_text(SUITE.format(task=task, student=", ".join(f'"{word}"' for word in student)))
        return str(path)

    return write


@pytest.mark.slow
def test_every_curve_is_tried_in_the_format_of_imagenet(suite_file, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    student = ["method=entropic_student", "method.latent_channels=4", "method.prior=mean_scale_hyperprior"]
    suite = Suite.load(suite_file("task=ilsvrc2012", student), [SMALL, "task.crop=64", "task.resize=72"])
    told = []
    trials = validate(suite, on_trial=told.append)
    assert told == trials
    assert [trial.label for trial in trials] == ["WebP", "BPG", "Student"]
    webp, bpg, learned = trials
    assert webp.problem is None
    assert webp.bytes_mean > 0
    assert "'/nowhere/bpgenc'" in bpg.problem
    assert learned.problem is None
    assert learned.stages == ("stage1", "stage2")
    assert all(trial.downloads == ("https://download.pytorch.org/models/resnet18-f37072fd.pth",) for trial in trials)
    assert not (tmp_path / "cache").exists()


def test_mistake_that_shows_in_training_alone_is_found_and_nothing_is_left(suite_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    student = [word for word in TINY_STUDENT if not word.startswith("rate")]
    path = suite_file("task=fashion_mnist", [*student, "stage2.trainable=[server.decoderr]"])
    before = set(tmp_path.iterdir())
    assert guarded(lambda: app(["validate", path]), debug=False) == 1
    captured = capsys.readouterr()
    assert "1 of 3 work" in captured.out
    assert "Student: stage2.trainable: the model has no module 'server.decoderr'; did you mean" in captured.err
    assert set(tmp_path.iterdir()) == before
