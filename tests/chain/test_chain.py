from copy import deepcopy

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision import models

from sc2bench.chain import Chain, as_chain, cut, named_layers, register_chain
from sc2bench.core.errors import ConfigError
from sc2bench.core.state import unique_state
from sc2bench.teachers import fashion_resnet

# Small members of every family: how to build one, and the height and width of an image.
TORCHVISION = {
    "resnet18": 64,
    "resnext50_32x4d": 32,
    "densenet121": 32,
    "inception_v3": 80,
    "regnet_y_400mf": 32,
    "convnext_tiny": 32,
    "mobilenet_v3_small": 32,
    "efficientnet_b0": 32,
    "swin_t": 32,
    "swin_v2_t": 32,
}
TIMM = {
    "resnet18": (32, {"drop_rate": 0.1}),
    "resnest14d": (32, {}),
    "resnetv2_50": (32, {"layers": [1, 1, 1, 1]}),
    "regnety_002": (32, {}),
    "regnetz_b16": (32, {}),
    "tf_efficientnet_b0": (32, {"drop_rate": 0.1}),
    "mobilenetv3_small_050": (32, {}),
    "mobilenetv4_conv_small_035": (32, {}),
    "convnext_atto": (32, {"head_norm_first": True}),
    "swin_tiny_patch4_window7_224": (64, {"img_size": 64, "embed_dim": 24}),
    "swinv2_tiny_window8_256": (64, {"img_size": 64, "embed_dim": 24}),
    "vit_tiny_patch16_224": (32, {"img_size": 32, "depth": 2}),
    "vit_small_r26_s32_224": (64, {"img_size": 64, "depth": 2}),
    "vit_tiny_r_s16_p8_224": (64, {"img_size": 64, "depth": 1}),
    # On another backbone, with registers and no class embedding, pooled by attention, and pooled by averaging.
    "vit_small_resnet26d_224": (64, {"img_size": 64, "depth": 1}),
    "vit_small_patch14_reg4_dinov2": (28, {"img_size": 28, "depth": 1, "num_classes": 7}),
    "vit_base_patch16_siglip_224": (32, {"img_size": 32, "depth": 1}),
    "vit_tiny_patch16_224 avg": (32, {"img_size": 32, "depth": 1, "global_pool": "avg"}),
}


def torchvision_model(name: str) -> tuple[nn.Module, int]:
    inception = {"transform_input": True, "init_weights": True} if name == "inception_v3" else {}
    return models.get_model(name, **inception), TORCHVISION[name]


def timm_model(name: str) -> tuple[nn.Module, int]:
    size, options = TIMM[name]
    return timm.create_model(name.split()[0], **options), size


def randomized(model: nn.Module) -> nn.Module:
    """In evaluation mode, no weight at a value that hides what it does, such as the zeros of fresh last layers."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return model.eval()


def assert_equals_its_chain(model: nn.Module, size: int) -> None:
    randomized(model)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = model(images)
        chain = as_chain(model)
        assert torch.equal(chain(images), expected)
        assert not torch.equal(expected[0], expected[1])
        # As teachers are laid out in memory.
        model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
        expected = model(images)
        assert torch.equal(chain(images), expected)
        layers = chain.names()
        front, tail = cut(chain, layers[len(layers) // 2])
        assert torch.equal(deepcopy(tail)(front(images)), expected)
        result, kept = chain.outputs(images, layers)
        assert torch.equal(result, expected)
        # Nothing was overwritten by a later layer that works in place.
        for layer in layers[:-1]:
            assert torch.equal(cut(chain, layer)[1](kept[layer].clone()), expected), layer
    # Every parameter is there once, and shared with the model.
    shared = [id(parameter) for parameter in chain.parameters()]
    used = [id(parameter) for name, parameter in model.named_parameters() if not name.startswith("AuxLogits")]
    assert len(shared) == len(set(shared))
    assert set(shared) == set(used)
    assert unique_state(chain).keys() == chain.state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_model_equals_its_chain_bit_for_bit(name):
    assert_equals_its_chain(*torchvision_model(name))


def test_torchvision_vision_transformer_equals_its_chain_bit_for_bit():
    model = models.VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64)
    assert_equals_its_chain(model, 32)
    assert as_chain(model).names() == ["patch_embed", "tokens", "blocks0", "blocks1", "norm", "pool", "head"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_timm_model_equals_its_chain_bit_for_bit(name):
    assert_equals_its_chain(*timm_model(name))


def test_stages_of_resnets_have_the_published_names_and_keys():
    model = models.resnet18()
    chain = as_chain(model)
    layers = ["layer1", "layer2", "layer3", "layer4"]
    assert chain.names() == ["conv1", "bn1", "relu", "maxpool", *layers, "avgpool", "flatten", "fc"]
    assert chain.state_dict().keys() == model.state_dict().keys()
    assert as_chain(timm.create_model("resnest14d")).names() == [
        *("conv1", "bn1", "act1", "maxpool", *layers, "avgpool", "flatten", "fc")
    ]


def test_stages_of_regnets_have_the_published_names():
    assert as_chain(models.regnet_y_400mf()).names() == [
        *("stem", "block1", "block2", "block3", "block4", "avgpool", "flatten", "fc")
    ]
    model = timm.create_model("regnety_002")
    assert as_chain(model).names() == ["stem", "s1", "s2", "s3", "s4", "head"]
    assert as_chain(model).state_dict().keys() == model.state_dict().keys()


def test_a_bottleneck_can_replace_stem_and_first_stage_of_the_hybrid_transformer():
    model = timm.create_model("vit_small_r26_s32_224", img_size=64, depth=2)
    chain = as_chain(model.eval())
    blocks = ["patch_embed", "tokens", "blocks0", "blocks1", "norm", "pool", "head"]
    assert chain.names() == ["stem", "stage1", "stage2", "stage3", "stage4", *blocks]
    with torch.no_grad():
        _, kept = chain.outputs(torch.randn(1, 3, 64, 64), chain.names())
    assert kept["stage1"].shape == (1, 256, 16, 16)
    assert kept["stage4"].shape == (1, 2048, 2, 2)
    assert kept["patch_embed"].shape == (1, 4, 384)
    assert kept["tokens"].shape == kept["blocks1"].shape == (1, 5, 384)


def test_outputs_of_named_layers_are_the_intermediate_values():
    model = models.resnet18().eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        result, kept = as_chain(model).outputs(images, ["bn1", "layer1", "fc"])
        stem = model.bn1(model.conv1(images))
        # The activation behind it works in place and must not change what was kept.
        assert torch.equal(kept["bn1"], stem)
        assert torch.equal(kept["layer1"], model.layer1(model.maxpool(model.relu(stem))))
        assert torch.equal(kept["fc"], result)
    assert set(kept) == {"bn1", "layer1", "fc"}


def test_dropout_in_place_does_not_change_what_views_are_kept():
    chain = as_chain(models.efficientnet_b0(dropout=0.9))
    for module in chain.children():
        module.train(module is chain.get_submodule("classifier"))
    with torch.no_grad():
        _, kept = chain.outputs(torch.randn(2, 3, 32, 32), ["avgpool", "flatten"])
    assert (kept["flatten"] != 0).float().mean() > 0.5
    assert torch.equal(kept["avgpool"].flatten(1), kept["flatten"])


def test_teacher_is_its_chain():
    teacher = fashion_resnet().eval()
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    with torch.no_grad():
        front, tail = cut(as_chain(teacher.chain), "layer1")
        assert torch.equal(tail(front(teacher.preprocess(images))), teacher(images))
        assert front(teacher.preprocess(images)).shape == (2, 24, 16, 16)


def test_unknown_stage_and_unknown_family():
    chain = as_chain(models.resnet18())
    with pytest.raises(ConfigError, match=r"no layer 'layer10'; did you mean 'layer1'\?"):
        cut(chain, "layer10")
    with pytest.raises(ConfigError, match=r"no chain is known for Linear \(known: timm ByobNet, .* torchvision ResNet"):
        as_chain(nn.Linear(1, 1))
    with pytest.raises(ConfigError, match="dynamic_img_size: its position embeddings follow the image"):
        as_chain(timm.create_model("vit_tiny_patch16_224", depth=1, dynamic_img_size=True))


def test_a_subclass_that_computes_something_else_is_refused():
    model = timm.create_model("deit_tiny_distilled_patch16_224", depth=1)
    with pytest.raises(ConfigError, match="VisionTransformerDistilled: it is a VisionTransformer with its own"):
        as_chain(model)


def test_what_a_chain_adds_is_in_the_mode_of_the_model():
    model = timm.create_model("regnety_002", drop_rate=0.5).eval()
    assert not any(module.training for module in as_chain(model).modules())
    assert all(module.training for module in as_chain(model.train()).modules())
    frozen = timm.create_model("resnet18", drop_rate=0.5)
    frozen.bn1.eval()
    chain = as_chain(frozen)
    assert chain.get_submodule("dropout").training
    assert not chain.get_submodule("bn1").training


def test_a_family_of_a_users_own():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.layer(self.layer(inputs))

    register_chain(Twice)(lambda model: named_layers(("all", model), ("none", nn.Identity())))
    chain = as_chain(Twice())
    assert isinstance(chain, Chain)
    assert chain.names() == ["all"]


def test_a_family_has_one_chain():
    # Whoever comes first: the library's own modules are imported before.
    with pytest.raises(ConfigError, match="the chain of VisionTransformer is registered twice"):
        register_chain(models.VisionTransformer)(named_layers)
