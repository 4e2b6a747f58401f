"""What the halves of a model cost."""

import pytest
import torch
from torch import nn
from torchvision.ops import DeformConv2d

from sc2bench.evaluation import measure_cost
from sc2bench.evaluation.cost import count_macs, peak_bytes, weight_bits
from tests.methods.test_methods import SPEC, make


def test_costs_are_counted_by_half():
    image = torch.zeros(1, *SPEC.probe_shape, dtype=torch.uint8)
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
    layer = nn.Conv2d(3, 8, 3, padding=1)
    assert count_macs(lambda: layer(torch.zeros(2, 3, 10, 10))) == 2 * 10 * 10 * 8 * 3 * 9


TOKENS = torch.zeros(2, 16, 8)
# Queries, keys, values and the projection behind them; scores, and what they weigh.
ATTENTION = 2 * (16 * 8 * 8 * 4 + 2 * 16 * 16 * 8)


class SelfAttention(nn.MultiheadAttention):
    def forward(self, tokens):
        return super().forward(tokens, tokens, tokens, need_weights=False)[0]


@pytest.mark.parametrize(
    ("layer", "inputs", "macs"),
    [
        (SelfAttention(8, 2, batch_first=True), (TOKENS,), ATTENTION),
        (nn.TransformerEncoderLayer(8, 2, 32, batch_first=True), (TOKENS,), ATTENTION + 2 * 16 * 8 * 32 * 2),
        (nn.LSTM(8, 16, num_layers=2, bidirectional=True), (TOKENS,), 32 * 2 * 64 * (8 + 16 + 32 + 16)),
        (nn.GRU(8, 16), (TOKENS,), 32 * 48 * (8 + 16)),
        (nn.RNN(8, 16), (TOKENS,), 32 * 16 * (8 + 16)),
        (nn.Bilinear(3, 4, 5), (torch.zeros(2, 3), torch.zeros(2, 4)), 2 * 5 * (3 * 4 + 4)),
        (DeformConv2d(4, 6, 3, groups=2), (torch.zeros(2, 4, 5, 7), torch.zeros(2, 18, 3, 5)), 2 * 15 * 6 * 2 * 9),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
@torch.inference_mode()
def test_macs_of_fused_operators_are_those_of_their_products(layer, inputs, macs):
    layer = layer.eval().requires_grad_(False)
    assert count_macs(lambda: layer(*inputs)) == macs


def test_macs_of_products_with_vectors():
    matrix, vector = torch.zeros(5, 7), torch.zeros(7)
    assert count_macs(lambda: matrix @ vector) == count_macs(lambda: nn.functional.linear(vector, matrix)) == 35
    assert count_macs(lambda: torch.addmv(torch.zeros(5), matrix, vector)) == 35
    assert count_macs(lambda: vector @ vector) == 7


def test_bits_of_weights_go_by_their_types():
    half = nn.Sequential(nn.Linear(10, 4).half(), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False).bfloat16())
    # Weight and bias; weight, bias, mean and variance, but not the count of batches; weight.
    assert weight_bits(half) == 16 * (40 + 4) + 32 * 4 * 4 + 16 * 8
    half[2].weight = nn.Parameter(half[0].weight[:2, :4])
    half.again = half[0]
    assert weight_bits(half) == 16 * (40 + 4) + 32 * 4 * 4 + 16 * 8


def test_a_shared_prior_counts_where_it_runs():
    model = make("entropic_student")
    prior, encoder = weight_bits(model.device.prior), weight_bits(model.device.encoder)
    cost = measure_cost(model, torch.zeros(1, *SPEC.probe_shape, dtype=torch.uint8))
    assert cost["device_param_bits"] == prior + encoder
    assert cost["server_param_bits"] == prior + weight_bits(model.server.decoder) + weight_bits(model.server.tail)
    assert cost["device_param_bits"] >= 32 * cost["device_params"]


MAPS, SMALL = 4 * 8 * 8 * 4, 4 * 4 * 4 * 4


@pytest.mark.parametrize(
    ("between", "peak"),
    [
        ([nn.ReLU()], 2 * MAPS),
        ([nn.ReLU(inplace=True)], MAPS + SMALL),
        # Views share the memory of what they show.
        ([nn.Flatten(), nn.Unflatten(1, (4, 8, 8))], MAPS + SMALL),
    ],
)
@torch.inference_mode()
def test_peak_of_activations_is_that_of_what_lives_together(between, peak):
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *between, nn.Conv2d(4, 4, 3, stride=2, padding=1))
    image = torch.zeros(1, 1, 8, 8)
    known = [image, *network.parameters()]
    assert peak_bytes(lambda: network(image), known) == peak
    # What is kept until the end lives together; the image counts unless it is known.
    assert peak_bytes(lambda: [network[0](image) for _ in range(3)], known) == 3 * MAPS
    assert peak_bytes(lambda: network[0](image), known[1:]) == MAPS + 8 * 8 * 4
