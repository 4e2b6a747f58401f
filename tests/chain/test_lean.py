from collections import OrderedDict

import pytest
import torch
from torch import nn

from sc2bench.chain import Chain, as_chain, cut, lean

FAMILIES = ["timm:tf_efficientnet_lite0", "timm:resnet18", "torchvision:mobilenet_v3_small"]


def chain_of(name: str) -> Chain:
    """A model with random weights whose normalizations are no identities."""
    library, _, model_name = name.partition(":")
    if library == "timm":
        import timm

        model = timm.create_model(model_name, pretrained=False)
    else:
        import torchvision

        model = getattr(torchvision.models, model_name)(weights=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return as_chain(model.eval().requires_grad_(False))


@pytest.mark.parametrize("name", FAMILIES)
def test_lean_chain_computes_the_same_and_leaves_it_as_it_was(name: str):
    chain = chain_of(name)
    images = torch.randn(3, 3, 64, 64)
    layer = chain.names()[3]
    expected, kept = chain.outputs(images, [layer])
    before = {key: tensor.clone() for key, tensor in chain.state_dict().items()}
    run = []
    for module in chain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda *_: run.append(1))
    with lean(nn.ModuleList([chain])):
        outputs, features = chain.outputs(images, [layer])
        first = len(run)
        chain.outputs(images)
    # Those that are layers of their own stay, for their inputs may be wanted.
    assert len(run) - first == sum(isinstance(layer, nn.BatchNorm2d) for layer in chain.children())
    assert outputs.dtype == features[layer].dtype == torch.bfloat16
    for own, wanted in ((outputs, expected), (features[layer], kept[layer])):
        assert (own.float() - wanted).norm() < 0.05 * wanted.norm()
    assert torch.equal(chain.outputs(images)[0], expected)
    assert all(torch.equal(tensor, before[key]) for key, tensor in chain.state_dict().items())


def test_normalizations_are_folded_only_into_what_they_follow():
    """A convolution whose output is used twice keeps its own."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, inputs):
            seen = self.conv(inputs)
            return self.norm(seen) + seen

    layer = Twice().eval().requires_grad_(False)
    layer.norm.running_mean.fill_(3.0)
    layer.norm.running_var.fill_(9.0)
    chain = Chain(OrderedDict(twice=layer))
    images = torch.randn(2, 3, 8, 8)
    expected = chain.outputs(images)[0]
    with lean(chain):
        assert (chain.outputs(images)[0].float() - expected).abs().max() < 0.05 * expected.abs().max()


def test_gradients_pass_and_chains_that_learn_are_left():
    chain = chain_of("timm:resnet18")
    front, tail = cut(chain, "layer1")
    images = torch.randn(2, 3, 64, 64)
    features = front.outputs(images)[0].requires_grad_()
    tail.outputs(features)[0].square().sum().backward()
    expected, features.grad = features.grad, None
    next(front.parameters()).requires_grad_(True)
    with lean(nn.ModuleList([front, tail])):
        assert front.outputs(images)[0].dtype == torch.float32
        tail.outputs(features)[0].float().square().sum().backward()
    assert expected is not None
    assert features.grad is not None
    assert nn.functional.cosine_similarity(expected.flatten(), features.grad.flatten(), 0) > 0.99
