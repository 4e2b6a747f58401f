"""The packaged teachers of the embedded scenes: small models of each task on one kind of backbone."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

from sc2bench.chain import Chain
from sc2bench.core.registry import TEACHERS, configured
from sc2bench.heads.base import Head
from sc2bench.heads.detection import DetectionHead
from sc2bench.heads.segmentation import SkipHead
from sc2bench.teachers.base import BackboneConfig, Preprocess, Teacher
from sc2bench.teachers.fashion_resnet import residual_layer, small_resnet

GARMENTS = 10
_WIDTHS = (32, 64, 96)
_STAGES = tuple(f"layer{number}" for number in range(1, len(_WIDTHS) + 1))
_CONTEXT_CHANNELS = 128
_PYRAMID_CHANNELS = 64
# An anchor a level, in pixels, of three shapes; garments have 20 to 90.
_ANCHORS = ((28,), (48,), (80,))
_SHAPES = ((0.5, 1.0, 2.0),)
_ROI_PIXELS = 5
_BOX_FEATURES = 128


@TEACHERS.register("scenes_classifier")
def scenes_classifier() -> Teacher:
    """Tells the garment that covers most of a scene, of ten."""
    return _teacher(small_resnet(3, GARMENTS, _WIDTHS, pooled=True), None)


@TEACHERS.register("scenes_segmenter")
@configured(BackboneConfig)
def scenes_segmenter(config: BackboneConfig) -> Teacher:
    """A fully convolutional network with skips (Long et al. 2015), for ten garments and background."""
    channels = dict(zip(_STAGES, _WIDTHS, strict=True))
    # Coarse enough that one position sees a garment as a whole.
    context = residual_layer(_WIDTHS[-1], _CONTEXT_CHANNELS, blocks=2, stride=2)
    head = SkipHead(channels, context, _CONTEXT_CHANNELS, width=64, classes=GARMENTS + 1)
    return _teacher(_backbone(), head)


@TEACHERS.register("scenes_detector")
@configured(BackboneConfig)
def scenes_detector(config: BackboneConfig) -> Teacher:
    """A Faster R-CNN with a feature pyramid over three layers, for ten garments."""
    return _teacher(_backbone(), _detection_head(_STAGES, _WIDTHS, GARMENTS + 1))


def _teacher(chain: Chain, head: Head | None) -> Teacher:
    return Teacher(Preprocess([0.45] * 3, [0.25] * 3), chain, head=head)


def _backbone() -> Chain:
    """The layers of the classifier up to the last feature map."""
    layers = small_resnet(3, GARMENTS, _WIDTHS, pooled=True).named_children()
    return Chain(OrderedDict((name, layer) for name, layer in layers if name not in ("avgpool", "flatten", "fc")))


def _detection_head(layers: Sequence[str], widths: Sequence[int], classes: int) -> DetectionHead:
    anchors = AnchorGenerator(_ANCHORS, _SHAPES * len(_ANCHORS))
    levels = [str(level) for level in range(len(layers))]
    # Torchvision's class knows how to put the parts together; of its backbone it wants but the channels.
    backbone = nn.Identity()
    backbone.out_channels = _PYRAMID_CHANNELS  # type: ignore[assignment]
    model = FasterRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(_PYRAMID_CHANNELS, anchors.num_anchors_per_location()[0]),
        rpn_pre_nms_top_n_train=600,
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_train=200,
        rpn_post_nms_top_n_test=100,
        rpn_batch_size_per_image=64,
        box_roi_pool=MultiScaleRoIAlign(levels, output_size=_ROI_PIXELS, sampling_ratio=2),
        box_head=TwoMLPHead(_PYRAMID_CHANNELS * _ROI_PIXELS**2, _BOX_FEATURES),
        box_predictor=FastRCNNPredictor(_BOX_FEATURES, classes),
        box_batch_size_per_image=64,
        box_detections_per_img=50,
    )
    pyramid = FeaturePyramidNetwork(list(widths), _PYRAMID_CHANNELS)
    return DetectionHead(pyramid, model.rpn, model.roi_heads, layers, classes)
