from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from sc2bench.config import EvaluationConfig, ExperimentConfig, MethodConfig, StageConfig, TaskConfig, TeacherConfig
from sc2bench.config.checks import check
from sc2bench.core.errors import ConfigError
from sc2bench.core.registry import DATASETS
from sc2bench.data import ManyTargets, MemoryImages, load_dataset
from sc2bench.data.layout import held_out
from sc2bench.data.parts import part_of

FASHION = TaskConfig("image_classification", "fashion_mnist")


def sorted_set(counts: list[int]) -> MemoryImages:
    """Images that show their own number, sorted by class."""
    targets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = torch.arange(len(targets), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return MemoryImages(images, targets, [str(label) for label in range(len(counts))])


def test_a_part_of_a_sorted_set_has_its_share_of_each_class():
    images = sorted_set([60, 60, 60, 20])
    for samples, shares in ((10, [3, 3, 3, 1]), (20, [6, 6, 6, 2]), (100, [30, 30, 30, 10]), (4, [1, 1, 1, 1])):
        part = images.part(samples)
        assert torch.bincount(part.targets, minlength=4).tolist() == shares
        assert len(part) == samples
    # Of more classes than samples each has one at most, and they are spread over all.
    few = part_of(100_000, 10, np.repeat(np.arange(1000), 100)) // 100
    assert len(set(few)) == 10
    assert np.bincount(few * 4 // 1000, minlength=4).min() >= 1


def test_a_part_is_fixed_sorted_and_lies_within_a_larger_one():
    strata = np.random.default_rng(0).integers(0, 7, 90)
    for classes in (strata, np.sort(strata), None):
        parts = [part_of(90, samples, classes) for samples in range(91)]
        for samples in range(91):
            assert len(set(parts[samples])) == samples
            assert (np.diff(parts[samples]) > 0).all()
            assert set(parts[samples - 1 if samples else 0]) <= set(parts[samples])
        assert np.array_equal(parts[90], np.arange(90))
    # Committed, for what is trained on a part must stay what it is.
    assert part_of(100, 5).tolist() == [12, 30, 40, 79, 94]
    assert part_of(12, 4, np.arange(12) // 4).tolist() == [1, 3, 5, 11]


def test_a_part_is_spread_evenly_and_keeps_step_with_nothing():
    part = part_of(4096, 128)
    assert np.bincount(part * 128 // 4096).tolist() == [1] * 128
    # Every second image of another camera, every eighth one of a class: a regular stride would miss most of them.
    for period in (2, 3, 4, 8):
        counts = np.bincount(part % period, minlength=period)
        assert counts.min() > 128 / period - 3 * sqrt(128 / period)


def test_a_set_in_random_order_gives_its_first_samples():
    train = load_dataset(FASHION, "train")
    assert train.in_random_order
    assert torch.equal(train.part(2000).images, train.images[:2000])
    assert train.part(2000).images.data_ptr() == train.images.data_ptr()
    assert load_dataset(FASHION, "test", 300).in_random_order
    assert torch.equal(train.sample(5), train.images[:5])
    # That it is in random order: within four deviations of the binomial distribution each class has its tenth.
    for split in ("train", "test"):
        targets = load_dataset(FASHION, split).targets
        for samples in (100, 1000, 5000):
            counts = torch.bincount(targets[:samples], minlength=10)
            assert (counts - samples / 10).abs().max() < 4 * sqrt(samples * 0.09)


def test_sorted_files_of_the_same_format_are_not_taken_for_random_ones(mini_root):
    images = load_dataset(replace(FASHION, root=str(mini_root)), "test")
    assert not images.in_random_order
    shares = torch.bincount(images.targets, minlength=10) / 2
    assert (torch.bincount(images.part(50).targets, minlength=10) - shares).abs().max() <= 0.5


def test_all_tasks_of_a_set_have_the_same_part():
    first = sorted_set([30, 20])
    second = MemoryImages(first.images, 1 - first.targets, ("a", "b"))
    part = ManyTargets({"x": first, "y": second}).part(10)
    images, targets = part[:]
    assert images[:, 0, 0, 0].tolist() == part_of(50, 10, first.targets.numpy()).tolist()
    assert [target["x"] + target["y"] for target in targets] == [1] * 10
    assert sum(target["x"] for target in targets) == 4


def experiment(dataset: str, samples: int | None = None, **stage) -> ExperimentConfig:
    return ExperimentConfig(
        task=TaskConfig("image_classification", dataset),
        teacher=TeacherConfig("fashion_resnet"),
        method=MethodConfig("teacher"),
        stage1=StageConfig(**stage) if stage else None,
        evaluation=EvaluationConfig(samples=samples),
    )


def test_what_was_the_first_samples_and_is_another_part_has_another_hash(monkeypatch):
    """As if every set were in random order, so that its part were the first samples: that was so of all once."""
    cases = [experiment(name, samples) for name in ("fashion_mnist", "scenes", "ilsvrc2012") for samples in (None, 9)]
    cases += [experiment("coco2017", epochs=3)]
    trained = replace(experiment("coco2017"), stage1=StageConfig(samples=99))
    now = [case.config_hash() for case in (*cases, trained)]
    training = [case.training_hash() for case in (*cases, trained)]
    for name in ("ilsvrc2012", "coco2017"):
        monkeypatch.setattr(DATASETS[name], "in_random_order", True, raising=False)
    before = [case.config_hash() for case in (*cases, trained)]
    assert [a == b for a, b in zip(now, before, strict=True)] == [True] * 5 + [False, True, False]
    # What is measured does not decide what is trained.
    same = [case.training_hash() for case in (*cases, trained)]
    assert [a == b for a, b in zip(training, same, strict=True)] == [True] * 7 + [False]


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        # Large: the last one of each hundred.
        ([3000, 3000], None, [30, 30]),
        # Small: fifty, or a fifth, and one of each class where training keeps one.
        ([120, 120], None, [24, 24]),
        ([1000, 1000], None, [25, 25]),
        ([4, 4, 4, 4], None, [1, 1, 1, 1]),
        ([5000, 2, 1], None, [50, 1, 0]),
        ([100, 100], 0.3, [30, 30]),
        ([6000, 6000], 0.001, [6, 6]),
        ([1, 1], None, [0, 1]),
    ],
)
def test_validation_suits_the_size_of_the_data(counts, share, expected):
    targets = np.repeat(np.arange(len(counts)), counts)
    chosen = held_out(replace(FASHION, validation_fraction=share), len(targets), 100, Path("x"), targets)
    assert np.bincount(targets[chosen], minlength=len(counts)).tolist() == expected
    unlabelled = held_out(replace(FASHION, validation_fraction=share), len(targets), 100, Path("x"))
    assert 0 < unlabelled.sum() < len(targets)


def test_the_true_sizes_hold_out_what_they_always_did():
    for count, every, classes in ((1_281_167, 100, 1000), (118_287, 100, None), (1464, 12, None), (60_000, 12, 10)):
        targets = None if classes is None else np.sort(np.arange(count) % classes)
        chosen = held_out(FASHION, count, every, Path("x"), targets)
        assert np.array_equal(chosen, np.arange(count) % every == every - 1)


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_impossible_shares_are_refused(share):
    config = experiment("ilsvrc2012")
    config.task.validation_fraction = share
    with pytest.raises(ConfigError, match=r"task\.validation_fraction: .* must lie between 0 and 1, such as 0\.1"):
        check(config)
