"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 28x28 grey images of garments in ten classes, in IDX files."""

import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from sc2bench.config import TaskConfig
from sc2bench.core.errors import DataError
from sc2bench.core.files import at_home
from sc2bench.core.home import home_folder
from sc2bench.core.registry import DATASETS
from sc2bench.data.base import MemoryImages
from sc2bench.data.fingerprints import located
from sc2bench.data.layout import held_out, is_folder, specified
from sc2bench.data.parts import in_random_order
from sc2bench.wire.inputs import ImageSpec

VARIABLE = "SC2BENCH_FASHION_MNIST"
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CACHE_FOLDER = home_folder() / ".cache" / "sc2bench"
REMEDY = f"install Debian's dataset-fashion-mnist, set {VARIABLE} or give task.root=FOLDER"
SIZE = (28, 28)
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
# Of each 12 training samples the last one is for validation: 5,000 of the 60,000.
VALIDATION_EVERY = 12
# BLAKE2b of the published labels, which are in random order; files of another data set may be sorted.
_PUBLISHED = ("5a94272eea281cb1", "91602d8c52e4381e")
_PIECE = 1 << 20


@DATASETS.register("fashion_mnist")
@specified(lambda task: ImageSpec(1, SIZE))
@located(VARIABLE, train="c066feed225f879d", validation="07f32aa937939940", test="8484f885a564a587")
@in_random_order
def fashion_mnist(task: TaskConfig, split: str) -> MemoryImages:
    """Loads a split of Fashion-MNIST.

    Args:
        task: its `root` is the folder of the four IDX files, gzipped or not; `None`: the folder that the environment
            variable `SC2BENCH_FASHION_MNIST` names, else the Debian package's, else torchvision's download.
        split: "train" (55,000), "validation" (5,000 of the published training set) or "test" (10,000). Other files in
            the same format may hold out a share of their own; see `held_out`.

    Raises:
        DataError: a file is missing or damaged.
    """
    folder = _folder(task.root)
    prefix = "t10k" if split == "test" else "train"
    images = _read_idx(folder / f"{prefix}-images-idx3-ubyte", dimensions=3)
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte", dimensions=1)
    if len(images) != len(labels) or images.shape[1:] != SIZE or labels.max(initial=0) >= len(CLASSES):
        raise DataError(f"{folder}: {prefix} images {images.shape} and labels {labels.shape} don't fit; {REMEDY}")
    shuffled = hashlib.blake2b(labels.tobytes(), digest_size=8).hexdigest() in _PUBLISHED
    targets = labels.astype(np.int64)
    if split != "test":
        chosen = held_out(task, len(images), VALIDATION_EVERY, folder, targets)
        kept = chosen if split == "validation" else ~chosen
        images, targets = images[kept], targets[kept]
    return MemoryImages(torch.from_numpy(images.copy())[:, None], torch.from_numpy(targets), CLASSES, shuffled)


def _folder(root: str | None) -> Path:
    named = root or os.environ.get(VARIABLE)
    if named:
        folder = Path(at_home(named))
        if not is_folder(folder):
            raise DataError(f"Fashion-MNIST folder {folder} does not exist; {REMEDY}")
        return folder
    if SYSTEM_FOLDER.is_dir():
        return SYSTEM_FOLDER
    return _download()


def _download() -> Path:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(CACHE_FOLDER), download=True)
    except (RuntimeError, OSError) as error:
        raise DataError(f"Fashion-MNIST can't be downloaded ({error}); {REMEDY}") from error
    return CACHE_FOLDER / "FashionMNIST" / "raw"


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, `path` or `path` with `.gz`."""
    packed = path.with_name(path.name + ".gz")
    file = packed
    try:
        file = path if path.is_file() else packed
        with gzip.open(file) if file is packed else file.open("rb") as stream:
            return _idx(stream, file, dimensions)
    except FileNotFoundError:
        raise DataError(f"{path} (or {packed.name}) is missing; {REMEDY}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} is damaged: {error}; {REMEDY}") from error


def _idx(stream: BinaryIO | gzip.GzipFile, file: Path, dimensions: int) -> np.ndarray:
    header = 4 + 4 * dimensions
    data = stream.read(header)
    # Magic number: two zero bytes, 8 for unsigned bytes, the number of dimensions.
    if len(data) < header or data[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{file} is not an IDX file of {dimensions}-dimensional bytes; {REMEDY}")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, offset=4))
    expected = math.prod(shape)
    # Piece by piece, for neither what the header says nor what a packed file unpacks to need be there to be had.
    pieces, found = [], 0
    while found <= expected and (piece := stream.read(min(_PIECE, expected + 1 - found))):
        pieces.append(piece)
        found += len(piece)
    if found != expected:
        amount = f"{found} bytes" if found < expected else "more bytes"
        raise DataError(f"{file} is damaged: {amount} of data where {expected} belong; {REMEDY}")
    return np.frombuffer(b"".join(pieces), np.uint8).reshape(shape)
