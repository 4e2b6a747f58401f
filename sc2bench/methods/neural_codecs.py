"""Neural image codecs: CompressAI's models as transforms and priors of ours, and small ones for small images.

Ballé et al. 2018 (factorized prior, scale hyperprior); Minnen et al. 2018 (mean-scale hyperprior, joint
autoregressive).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from compressai.entropy_models import EntropyModel
from compressai.layers import GDN
from compressai.models import CompressionModel
from compressai.models.utils import conv, deconv
from compressai.zoo.image import cfgs, model_architectures, model_urls
from compressai.zoo.pretrained import load_pretrained
from torch import Tensor, nn

from sc2bench.bottlenecks.entropic import small_hyper
from sc2bench.core.errors import CheckpointError, ConfigError, nearest
from sc2bench.core.registry import PRIORS
from sc2bench.core.state import refuse
from sc2bench.entropy import FactorizedPrior, Hyperprior, HyperpriorDecoder, LatentCodec
from sc2bench.entropy.autoregressive import AutoregressiveDecoder
from sc2bench.entropy.base import check_tables
from sc2bench.teachers.files import SUFFIXES, read_weights

# Our name of the prior to CompressAI's of the model.
ZOO = {
    "factorized": "bmshj2018-factorized",
    "scale_hyperprior": "bmshj2018-hyperprior",
    "mean_scale_hyperprior": "mbt2018-mean",
    "joint_autoregressive": "mbt2018",
}
QUALITIES = range(1, 9)
# CompressAI's own files are called so.
_SUFFIXES = (*SUFFIXES, ".tar")
_SMALL_CHANNELS = (24, 32, 6)


@dataclass
class NeuralCodec:
    """An image codec as a split model is made of.

    Attributes:
        encoder: images in 0..1, (N, C, H, W), to latents.
        decoder: quantized latents to images.
        prior: of the latents.
        image_channels: what the encoder takes: 1 or 3.
        stride: heights and widths must be multiples of it.
    """

    encoder: nn.Module
    decoder: nn.Module
    prior: LatentCodec
    image_channels: int
    stride: int


def zoo_codec(prior: str, quality: int, weights: str) -> NeuralCodec:
    """One of CompressAI's models, optimized for the mean squared error.

    Args:
        prior: a key of `ZOO`.
        quality: 1 ... 8, which also chooses the numbers of channels.
        weights: "pretrained" downloads CompressAI's; "random"; or the path of a state dict, whose shapes then choose
            the numbers of channels.

    Raises:
        ConfigError: unknown prior or quality.
        CheckpointError: weights that can't be downloaded, read or fitted.
    """
    name = _zoo_name(prior, quality)
    if weights == "random":
        model = model_architectures[name](*cfgs[name][quality])
    else:
        pretrained = weights == "pretrained"
        state = _downloaded(zoo_url(prior, quality)) if pretrained else read_weights(Path(weights), _SUFFIXES)
        try:
            model = model_architectures[name].from_state_dict(load_pretrained(state))
        except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(f"weights {weights} don't fit CompressAI's {name}: {error}") from error
        _check(model, weights)
    return from_compressai(model)


def zoo_url(prior: str, quality: int) -> str:
    """Where CompressAI's weights lie; raises `ConfigError` for an unknown prior or quality."""
    return model_urls[_zoo_name(prior, quality)]["mse"][quality]


def is_downloaded(url: str) -> bool:
    """Whether PyTorch's cache has the file."""
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file()


def _zoo_name(prior: str, quality: int) -> str:
    if prior not in ZOO:
        raise ConfigError(f"method.prior: no neural image codec has the prior '{prior}'; {nearest(prior, ZOO)}")
    if quality not in QUALITIES:
        raise ConfigError(f"rate: {quality} is no quality of a pretrained codec; give a whole number from 1 to 8")
    return ZOO[prior]


def from_compressai(model: CompressionModel) -> NeuralCodec:
    """Takes over the modules of a model with g_a, g_s and one of the four priors."""
    side = FactorizedPrior(model.entropy_bottleneck.channels, model.entropy_bottleneck)
    prior: LatentCodec = side
    if hasattr(model, "h_a"):
        if hasattr(model, "context_prediction"):
            shared: HyperpriorDecoder = AutoregressiveDecoder(
                side, model.h_s, model.context_prediction, model.entropy_parameters
            )
        else:
            has_means = model.h_s[-1].out_channels == 2 * model.g_a[-1].out_channels if _last_is_conv(model) else False
            shared = HyperpriorDecoder(side, model.h_s, has_means)
        shared.gaussian = model.gaussian_conditional
        prior = Hyperprior(model.h_a, shared, absolute=not shared.has_means)
    return NeuralCodec(model.g_a, model.g_s, prior, 3, model.downsampling_factor)


def small_codec(prior: str, image_channels: int, channels: Sequence[int]) -> NeuralCodec:
    """A codec of three halvings for images of some tens of pixels.

    Args:
        prior: a registered prior.
        image_channels: of the images.
        channels: of hidden layers, latents and side latents; empty for 24, 32, 6.

    Raises:
        ConfigError: unknown prior, or another number of channels.
    """
    if channels and len(channels) != len(_SMALL_CHANNELS):
        raise ConfigError(f"method.channels: {list(channels)} must be those of hidden layers, latents, side latents")
    hidden, latent, side = channels or _SMALL_CHANNELS
    encoder = nn.Sequential(
        conv(image_channels, hidden), GDN(hidden), conv(hidden, hidden), GDN(hidden), conv(hidden, latent)
    )
    decoder = nn.Sequential(
        deconv(latent, hidden),
        GDN(hidden, inverse=True),
        deconv(hidden, hidden),
        GDN(hidden, inverse=True),
        deconv(hidden, image_channels),
    )
    made: LatentCodec = PRIORS[prior](latent, side, small_hyper(latent))
    # Side latents have half of the latents' size.
    stride = 8 if isinstance(made, FactorizedPrior) else 16
    return NeuralCodec(encoder, decoder, made, image_channels, stride)


def _last_is_conv(model: CompressionModel) -> bool:
    """Whether hyper-synthesis and analysis end in convolutions, as those that give means do."""
    return isinstance(model.h_s[-1], nn.Conv2d) and isinstance(model.g_a[-1], nn.Conv2d)


def _downloaded(url: str) -> dict[str, Tensor]:
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file of an earlier download raises errors of many unrelated classes
        raise CheckpointError(
            f"{url} can't be downloaded ({error}); fetch it by hand and give method.weights=FILE"
        ) from error


def _check(model: CompressionModel, weights: str) -> None:
    """Raises `CheckpointError` for numbers that are not finite, and for damaged entropy tables."""
    state = model.state_dict()
    refuse(model, [f"{key} is not finite" for key, tensor in state.items() if not tensor.isfinite().all()], weights)
    for name, part in model.named_modules():
        if isinstance(part, EntropyModel):
            try:
                check_tables(part, dict(part.named_buffers(recurse=False)))
            except CheckpointError as error:
                refuse(model, [f"{name}: {error}"], weights)
