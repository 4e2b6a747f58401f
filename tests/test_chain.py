import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50

from sc2bench.chain import as_chain, cut
from sc2bench.errors import ConfigError
from sc2bench.teachers import fashion_resnet


@pytest.mark.parametrize("make", [resnet18, resnet50])
def test_torchvision_resnet_equals_its_chain_bit_for_bit(make):
    model = make(weights=None).eval()
    images = torch.randn(2, 3, 64, 64)
    chain = as_chain(model)
    with torch.no_grad():
        assert torch.equal(chain(images), model(images))
        for stage in chain.names():
            head, tail = cut(chain, stage)
            assert torch.equal(tail(head(images)), model(images)), stage
    assert chain.names()[:6] == ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2"]
    # The chain shares the model's modules under the model's own keys.
    assert chain.state_dict().keys() == model.state_dict().keys()


def test_outputs_of_named_stages_are_the_intermediate_values():
    model = resnet18(weights=None).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        result, kept = as_chain(model).outputs(images, ["bn1", "layer1", "fc"])
        stem = model.bn1(model.conv1(images))
        # The activation behind it works in place and must not change what was kept.
        assert torch.equal(kept["bn1"], stem)
        assert torch.equal(kept["layer1"], model.layer1(model.maxpool(model.relu(stem))))
        assert torch.equal(kept["fc"], result)
    assert set(kept) == {"bn1", "layer1", "fc"}


def test_teacher_is_its_chain():
    teacher = fashion_resnet().eval()
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    with torch.no_grad():
        head, tail = cut(as_chain(teacher.chain), "layer1")
        assert torch.equal(tail(head(teacher.preprocess(images))), teacher(images))
        assert head(teacher.preprocess(images)).shape == (2, 24, 16, 16)


def test_unknown_stage_and_unknown_family():
    chain = as_chain(resnet18(weights=None))
    with pytest.raises(ConfigError, match=r"no stage 'layer10'; did you mean 'layer1'\?"):
        cut(chain, "layer10")
    with pytest.raises(ConfigError, match="no chain is known for Linear"):
        as_chain(nn.Linear(1, 1))
