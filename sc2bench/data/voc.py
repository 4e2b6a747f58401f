"""Pascal VOC 2012 (Everingham et al. 2010), and other data sets for semantic segmentation in its folders."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, functional

from sc2bench.core.errors import DataError
from sc2bench.core.registry import DATASETS, configured
from sc2bench.data.crops import SizesConfig
from sc2bench.data.decoding import ImageError, read_indices, read_rgb, read_size
from sc2bench.data.fingerprints import digest, digest_files, located
from sc2bench.data.layout import check_folders, find_root, held_out, is_folder, specified
from sc2bench.data.varied import MAX_SIDE, VariedImages
from sc2bench.wire.inputs import ImageSpec

VARIABLE = "SC2BENCH_VOC2012"
CLASSES = (
    "__background__",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
# The value of pixels on outlines, which belong to no class.
IGNORED = 255
# Of each 12 training images the last one is for validation: 122 of the 1,464.
VALIDATION_EVERY = 12
# In training the shorter side is that of evaluation times a factor in this range.
SCALES = (0.5, 2.0)


@DATASETS.register("pascal_voc2012")
@configured(SizesConfig)
@specified(lambda task: ImageSpec(3))
@located(VARIABLE)
def pascal_voc2012(task: SizesConfig, split: str) -> VariedImages:
    """Opens a split of Pascal VOC 2012 for segmentation, or of any data set in the same folders.

    Args:
        task: its `root` holds `JPEGImages/`, `SegmentationClass/` and `ImageSets/Segmentation/{train,val}.txt`, or
            `VOCdevkit/VOC2012/` with them; `None`: the folder that the environment variable `SC2BENCH_VOC2012` names.
            The shorter side of image and mask is resized to `resize`; `crop` is for training only.
        split: "train" (11 of each 12 images of `train.txt`), "validation" (the others; more of a small data set, see
            `held_out`) or "test" (`val.txt`).

    Raises:
        DataError: a folder or list is missing or empty.
    """
    root = _inner(find_root(task, VARIABLE, "VOCdevkit/VOC2012/"))
    images, masks, lists = (root / name for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"))
    check_folders(task, VARIABLE, (root, images, masks, lists))
    listed = lists / ("val.txt" if split == "test" else "train.txt")
    names = read_names(listed)
    if split != "test":
        chosen = held_out(task, len(names), VALIDATION_EVERY, listed)
        names = names[chosen if split == "validation" else ~chosen]
    largest = None if task.resize is None else int(SCALES[1] * task.resize)
    source = VocSource(images, ".jpg", masks, names, len(CLASSES), largest)
    return VariedImages(CLASSES, source, MaskPresentation(task.resize, task.crop, SCALES, task.interpolation))


def read_names(path: Path) -> np.ndarray:
    """The names of samples in a list, one a line, with what spaces they have inside; bytes, (N,).

    Raises:
        DataError: the list is missing or empty, names a sample twice, or is no text.
    """
    try:
        lines = path.read_bytes().replace(b"\r\n", b"\n").split(b"\n")
    except OSError as error:
        raise DataError(f"list {path} can't be read: {error.strerror}; unpack it there") from error
    seen: dict[bytes, int] = {}
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if b"\0" in name:
            raise DataError(f"list {path} has a zero byte in line {number}, so it is no list of names; replace it")
        if name in seen:
            raise DataError(
                f"list {path} names {os.fsdecode(name)} in line {number} as in line {seen[name]}; remove one of them"
            )
        if name:
            seen[name] = number
    if not seen:
        raise DataError(f"list {path} is empty; it must name one image a line")
    return np.array(list(seen))


def palette() -> list[int]:
    """The colours of masks: the bits of an index, from the lowest, are spread over the high bits of the channels."""
    indices = np.arange(256)
    channels = [sum(((indices >> 3 * bit + channel) & 1) << 7 - bit for bit in range(3)) for channel in range(3)]
    return np.stack(channels, axis=1).ravel().tolist()


class VocSource:
    """Image files with masks of the same names.

    Args:
        images: folder of the images.
        suffix: of their names.
        masks: folder of the masks, PNG files whose pixels are class indices.
        names: bytes, (N,), without suffixes.
        classes: number of classes; other values than theirs and 255 are refused.
        shorter: pixels that the shorter side is resized to at the most; `None`: images stay as they are.
    """

    def __init__(
        self, images: Path, suffix: str, masks: Path, names: np.ndarray, classes: int, shorter: int | None = None
    ):
        self.images = images
        self.masks = masks
        self.names = names
        self._suffix = suffix
        self._classes = classes
        self._shorter = shorter

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Image.Image, Image.Image]:
        """Reads an image and its mask, 8-bit grey.

        Raises:
            ImageError: a file is missing, damaged or too large, their sizes differ, or the mask has an unknown class.
        """
        mask_path = self.masks / f"{os.fsdecode(self.names[index])}.png"
        image = read_rgb(self.path(index), MAX_SIDE, self._shorter)
        mask = read_indices(mask_path, MAX_SIDE)
        if mask.size != image.size:
            raise ImageError(
                f"mask {mask_path} has {mask.width}x{mask.height} pixels, but its image {image.width}x{image.height}; "
                "unpack both again"
            )
        used = [value for value, count in enumerate(mask.histogram()) if count]
        unknown = [value for value in used if value >= self._classes and value != IGNORED]
        if unknown:
            raise ImageError(
                f"mask {mask_path} has the value {unknown[0]}, but classes are 0 ... {self._classes - 1}, and "
                f"{IGNORED} is what is ignored; replace it"
            )
        return image, mask

    def path(self, index: int) -> Path:
        """The image file of one sample."""
        return self.images / f"{os.fsdecode(self.names[index])}{self._suffix}"

    @property
    def fingerprint(self) -> str:
        """Of names, of sizes of images and masks, and of the contents of some."""
        masks = digest_files(len(self), lambda index: self.masks / f"{os.fsdecode(self.names[index])}.png")
        return digest(self.names, *digest_files(len(self), self.path), *masks)

    def image_size(self, index: int) -> tuple[int, int]:
        """(H, W) of an image, as its file says; raises `ImageError`."""
        return read_size(self.path(index))


@dataclass(frozen=True)
class MaskPresentation:
    """An image and its mask for a segmenter, as torchvision's reference script prepares them.

    In training the shorter side is scaled at random, both are mirrored with probability one half, and a square is cut
    out at random; where it is larger than the image there is black to the right and below, to be ignored.

    Attributes:
        resize: length of the shorter side; `None`: as it is.
        crop: side of the square; `None`: no cut.
        scales: range of the random factor of the shorter side.
        interpolation: of Pillow's filters the one for images; masks get the nearest pixel.
    """

    resize: int | None = None
    crop: int | None = None
    scales: tuple[float, float] = (1.0, 1.0)
    interpolation: str = "bilinear"

    def __call__(
        self, image: Image.Image, annotation: Image.Image, random: np.random.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Prepares one sample.

        Returns:
            The image, uint8 (3, H, W), and the mask, uint8 (H, W).
        """
        side = self.resize or min(image.size)
        if random is not None:
            low, high = (max(int(scale * side), 1) for scale in self.scales)
            side = int(random.integers(low, high, endpoint=True))
        if side != min(image.size):
            image = functional.resize(image, [side], InterpolationMode(self.interpolation))
            annotation = functional.resize(annotation, [side], InterpolationMode.NEAREST)
        pixels, mask = functional.pil_to_tensor(image), functional.pil_to_tensor(annotation)
        if random is not None:
            pixels, mask = self._vary(pixels, mask, random)
        return pixels, mask[0]

    def image_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) that an image of this size is presented in, outside of training."""
        if self.resize is None:
            return size
        height, width = (int(self.resize * side / min(size)) for side in size)
        return height, width

    def _vary(self, pixels: Tensor, mask: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        if random.random() < 0.5:
            pixels, mask = pixels.flip(-1), mask.flip(-1)
        if self.crop is None:
            return pixels, mask
        height, width = pixels.shape[1:]
        margins = (0, max(self.crop - width, 0), 0, max(self.crop - height, 0))
        pixels = torch.nn.functional.pad(pixels, margins, value=0)
        mask = torch.nn.functional.pad(mask, margins, value=IGNORED)
        top, left = (int(random.integers(max(size - self.crop, 0), endpoint=True)) for size in (height, width))
        place = (..., slice(top, top + self.crop), slice(left, left + self.crop))
        return pixels[place].contiguous(), mask[place].contiguous()


def _inner(root: Path) -> Path:
    """The folder with `JPEGImages/`, when the root is one or two levels above it."""
    for folder in (root / "VOCdevkit" / "VOC2012", root / "VOC2012"):
        if is_folder(folder):
            return folder
    return root
