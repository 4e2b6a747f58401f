import numpy as np
import pytest
import torch
from torch import nn

from sc2bench.evaluation import evaluate, evaluate_all, measure_cost
from sc2bench.tasks.image_classification import Accuracy, ImageClassification
from tests.test_methods import SHAPE, make


@pytest.fixture
def task(test_images):
    return ImageClassification(test_images)


def test_sizes_are_those_of_the_bytes_sent(test_images, task):
    images = test_images.first(60)
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


def test_quality_is_that_of_decoded_packets(test_images, task):
    images = test_images.first(50)
    model = make("input_codec", "method.codec=webp", "rate=5")
    predictions = model.decode(model.encode(images.images))
    correct = (predictions.argmax(1) == images.targets).float().mean().item()
    assert evaluate(model, images, task).quality["top1"] == pytest.approx(100 * correct)


def test_estimate_stands_beside_coded_bytes(test_images, task):
    measured = evaluate(make("entropic_student"), test_images.first(40), task)
    assert measured.estimated_bits is not None
    without = evaluate(make("entropic_student"), test_images.first(40), task, estimate=False)
    assert without.estimated_bits is None
    assert without.record_fields()["estimated_bits_mean"] is None
    assert np.array_equal(without.sizes, measured.sizes)
    payload = measured.sizes[:, 0]
    assert payload == pytest.approx(measured.estimated_bits / 8, rel=0.1, abs=2)


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
        alone = evaluate(model, test_images.first(100), task)
        assert np.array_equal(alone.sizes, measured.sizes)
        assert alone.quality == measured.quality


@pytest.mark.parametrize("prior", ["factorized", "mean_scale_hyperprior", "joint_autoregressive"])
def test_server_in_half_precision_changes_no_byte(test_images, task, prior):
    images = test_images.first(60)
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


def test_costs_are_counted_by_half():
    image = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    teacher = measure_cost(make("teacher"), image)
    assert teacher["device_params"] == 0
    assert teacher["device_macs"] == 0
    model = make("entropic_student", "method.latent_channels=6", "method.widths=[8,10,12]")
    student = measure_cost(model, image)
    encoder_macs = 16 * 16 * (25 * 8 + 8 * 8) + 8 * 8 * (25 * 8 * 10 + 10 * 10) + 4 * 4 * 25 * 10 * 6
    assert student["device_macs"] == encoder_macs
    # The prior is needed on both sides, so it counts on both.
    prior = sum(parameter.numel() for parameter in model.device.prior.parameters())
    encoder = sum(parameter.numel() for parameter in model.device.encoder.parameters())
    assert student["device_params"] == encoder + prior
    decoder = sum(p.numel() for part in (model.server.decoder, model.server.tail) for p in part.parameters())
    assert student["server_params"] == decoder + prior
    assert student["server_macs"] < teacher["server_macs"]


def test_macs_follow_the_stated_convention():
    from sc2bench.evaluation.cost import count_macs

    layer = nn.Conv2d(3, 8, 3, padding=1)
    assert count_macs(lambda: layer(torch.zeros(2, 3, 10, 10))) == 2 * 10 * 10 * 8 * 3 * 9
