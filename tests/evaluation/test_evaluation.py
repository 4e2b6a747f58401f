import numpy as np
import pytest
import torch

from sc2bench.evaluation import evaluate, evaluate_all
from sc2bench.tasks.image_classification import Accuracy, ImageClassification
from tests.methods.test_methods import make


@pytest.fixture
def task(test_images):
    return ImageClassification(test_images)


def test_sizes_are_those_of_the_bytes_sent(test_images, task):
    images = test_images.part(60)
    model = make("input_codec", "method.codec=jpeg", "rate=20")
    measured = evaluate(model, images, task, batch_size=25)
    sent = [len(packet.to_bytes(model.session)) for packet in model.encode(images.images)]
    assert measured.bytes.tolist() == sent
    fields = measured.record_fields()
    assert fields["samples"] == 60
    assert fields["bytes_mean"] == pytest.approx(np.mean(sent))
    assert fields["bytes_p95"] == pytest.approx(np.percentile(sent, 95))
    assert fields["payload_bytes_mean"] + fields["framing_bytes_mean"] == pytest.approx(fields["bytes_mean"])
    assert fields["framing_bytes_mean"] == 2  # a length above 127 takes two bytes
    assert fields["session_bytes"] == len(model.session.to_bytes())
    assert fields["estimated_bits_mean"] is None


def test_batches_of_few_pixels_change_nothing(test_images, task):
    images = test_images.part(30)
    model = make("input_codec", "method.codec=jpeg", "rate=20")
    whole, cut = [], []
    measured = evaluate(model, images, task, on_samples=whole.append)
    # The network adds a margin of two pixels at each side.
    bounded = evaluate(model, images, task, batch_pixels=8 * 32 * 32, on_samples=cut.append)
    assert (whole, cut) == ([30], [8, 8, 8, 6])
    assert np.array_equal(measured.sizes, bounded.sizes)
    assert measured.quality == bounded.quality


def test_quality_is_that_of_decoded_packets(test_images, task):
    images = test_images.part(50)
    model = make("input_codec", "method.codec=webp", "rate=5")
    predictions = model.decode(model.encode(images.images))
    correct = (predictions.argmax(1) == images.targets).float().mean().item()
    assert evaluate(model, images, task).quality["top1"] == pytest.approx(100 * correct)


def test_estimate_stands_beside_coded_bytes(test_images, task):
    measured = evaluate(make("entropic_student"), test_images.part(40), task)
    assert measured.estimated_bits is not None
    without = evaluate(make("entropic_student"), test_images.part(40), task, estimate=False)
    assert without.estimated_bits is None
    assert without.record_fields()["estimated_bits_mean"] is None
    assert np.array_equal(without.sizes, measured.sizes)
    payload = measured.sizes[:, 0]
    assert payload == pytest.approx(measured.estimated_bits / 8, rel=0.1, abs=2)
    assert measured.uncoded_bytes == 0


def test_checks_are_side_information_that_no_prior_coded(test_images, task):
    options = ("method.prior=scale_hyperprior", "method.latent_channels=6")
    plain, checked = (make("entropic_student", *options, *more) for more in ((), ("evaluation.checksum=true",)))
    plain, checked = (evaluate(model, test_images.part(5), task) for model in (plain, checked))
    assert (plain.uncoded_bytes, checked.uncoded_bytes) == (0, 4)
    assert (checked.sizes[:, 1] - plain.sizes[:, 1] == 4).all()
    assert checked.record_fields()["uncoded_bytes_mean"] == 4


def test_sweep_equals_single_measurements_and_reads_the_data_once(test_images, task):
    models = [make("input_codec", f"rate={quality}") for quality in (5, 40, 80)]
    reads = []

    class Counted(type(test_images)):
        def __getitems__(self, indices):
            reads.append(len(indices))
            return super().__getitems__(indices)

    counted = Counted(test_images.images[:100], test_images.targets[:100], test_images.classes)
    seen = []
    swept = evaluate_all(models, counted, task, batch_size=40, on_samples=seen.append)
    assert sum(reads) == 100
    assert sum(seen) == 300
    for model, measured in zip(models, swept, strict=True):
        alone = evaluate(model, test_images.part(100), task)
        assert np.array_equal(alone.sizes, measured.sizes)
        assert alone.quality == measured.quality


@pytest.mark.parametrize("prior", ["factorized", "mean_scale_hyperprior", "joint_autoregressive"])
def test_server_in_half_precision_changes_no_byte(test_images, task, prior):
    images = test_images.part(60)
    model = make("entropic_student", f"method.prior={prior}")
    seen = []
    model.server.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    full, half = (evaluate(model, images, task, server_precision=precision) for precision in ("fp32", "bf16"))
    assert np.array_equal(full.sizes, half.sizes)
    assert torch.equal(seen[0], seen[1])
    assert half.quality["top1"] == pytest.approx(full.quality["top1"], abs=5)


def test_accuracy_counts_samples():
    metric = Accuracy(6)
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]])
    metric.update(logits[:2], torch.tensor([0, 0]))
    metric.update(logits[2:], torch.tensor([4]))
    assert metric.compute() == pytest.approx({"top1": 100 / 3, "top5": 200 / 3})
