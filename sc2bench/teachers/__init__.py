"""Reference models, whose knowledge split models take over: our own, torchvision's and timm's."""

from sc2bench.heads.base import Head, Output, final
from sc2bench.teachers.base import BackboneConfig, Images, Preprocess, Teacher
from sc2bench.teachers.fashion_resnet import fashion_resnet, small_resnet
from sc2bench.teachers.files import TRAINED_PREFIX, read_weights
from sc2bench.teachers.load import WEIGHTS, bare_teacher, load_teacher, published_weights, teacher_downloads
from sc2bench.wire.sizing import Frame, Sizing, image_sizes

__all__ = [
    "TRAINED_PREFIX",
    "WEIGHTS",
    "BackboneConfig",
    "Frame",
    "Head",
    "Images",
    "Output",
    "Preprocess",
    "Sizing",
    "Teacher",
    "bare_teacher",
    "fashion_resnet",
    "final",
    "image_sizes",
    "load_teacher",
    "published_weights",
    "read_weights",
    "small_resnet",
    "teacher_downloads",
]
