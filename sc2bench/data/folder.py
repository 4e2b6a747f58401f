"""Image files in class folders: `folder/<class>/<image>`, read when they are needed."""

import os
import stat
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sc2bench.core.errors import DataError
from sc2bench.data.base import Batch, EpochSampler, ImageSet
from sc2bench.data.crops import Crops
from sc2bench.data.decoding import EXTENSIONS, OTHER_EXTENSIONS, read_rgb
from sc2bench.data.fingerprints import digest, digest_files
from sc2bench.wire.inputs import ImageSpec


@dataclass(frozen=True)
class Listing:
    """The samples of a folder, sorted by class and file name.

    Attributes:
        names: bytes, (N,), file names within the class folders. An array, for a list of a million strings is slow to
            hand to workers and fills their memory.
        targets: int64, (N,), class indices.
    """

    names: np.ndarray
    targets: np.ndarray

    def __getitem__(self, chosen: slice | np.ndarray) -> "Listing":
        return Listing(self.names[chosen], self.targets[chosen])

    def __len__(self) -> int:
        return len(self.names)


class FolderImages(ImageSet):
    """Image files in class folders, cut to squares of one size.

    In training (a loader with a sampler) the crops are random, else central. A random crop depends only on the
    sampler's seed and epoch and on the sample's index, so that neither workers nor resuming change it.

    Args:
        folder: holds the class folders.
        classes: their names.
        listing: the samples.
        crops: cuts the squares.
        folders: by the index of a class the name of its folder; `None`: that of the class.
    """

    reads_files = True

    def __init__(
        self,
        folder: Path,
        classes: Sequence[str],
        listing: Listing,
        crops: Crops,
        folders: Mapping[int, str] | None = None,
    ):
        super().__init__(classes)
        self.folder = folder
        self.listing = listing
        self.crops = crops
        self._folders = dict(enumerate(classes)) if folders is None else folders
        if folders is not None and len(folders) < len(classes):
            self.occurring = tuple(sorted(folders))
        self._sampler: EpochSampler | None = None

    @property
    def spec(self) -> ImageSpec:
        """Colour, (crop, crop), or what training sees."""
        side = self.crops.crop if self._sampler is None else self.crops.training_side
        return ImageSpec(3, (side, side))

    def __len__(self) -> int:
        return len(self.listing)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Reads files; raises `ImageError` that names a damaged one."""
        images = torch.empty((len(indices), *self.spec.probe_shape), dtype=torch.uint8)
        for place, index in enumerate(indices):
            images[place] = self._image(index)
        return images, torch.from_numpy(self.listing.targets[list(indices)])

    @property
    def fingerprint(self) -> str:
        """Of classes, file names and sizes, and of the contents of some files."""
        listing = self.listing
        return digest(*self.classes, listing.names, listing.targets, *digest_files(len(listing), self.path))

    @property
    def strata(self) -> np.ndarray:
        """The class indices."""
        return self.listing.targets

    def subset(self, indices: np.ndarray) -> "FolderImages":
        """The samples at `indices`; no file is read."""
        part = copy(self)
        part.listing = self.listing[indices]
        return part

    def in_training(self, sampler: EpochSampler) -> "FolderImages":
        """The same files with random crops."""
        part = copy(self)
        part._sampler = sampler
        return part

    def path(self, index: int) -> Path:
        """The file of one sample."""
        return self.folder / self._folders[int(self.listing.targets[index])] / os.fsdecode(self.listing.names[index])

    def squares(self) -> "FolderImages":
        """The same files with what all crops are cut out of, where their scale is fixed; see `Crops.square`."""
        part = copy(self)
        part.crops = Crops(self.crops.resize, self.crops.resize, self.crops.interpolation)
        return part

    def _image(self, index: int) -> Tensor:
        # A random part of any scale is cut out before it is resized.
        resized_first = self._sampler is None or self.crops.window is not None
        image = read_rgb(self.path(index), shorter=self.crops.resize if resized_first else None)
        if self._sampler is None:
            return self.crops.central(image)
        return self.crops.random(image, (self._sampler.seed, self._sampler.epoch, index))


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of a folder's class folders, sorted.

    Raises:
        DataError: the folder is missing or unreadable, has no class folders, has images beside them, or has an entry
            that can't be told, such as a link to what is not there.
    """
    names = []
    for entry in _entries(folder, "; it must hold one folder of images a class"):
        if entry.name.startswith("."):
            continue
        if _leads_to_folder(entry):
            names.append(entry.name)
        elif entry.name.lower().endswith(EXTENSIONS):
            raise DataError(
                f"{folder} has image files such as {entry.name} beside or instead of class folders; move each into the "
                f"folder of its class, {folder.name}/<class>/{entry.name}, as PyTorch's extract_ILSVRC.sh does"
            )
    if not names:
        raise DataError(f"{folder} has no class folders; unpack the images so that it holds one folder a class")
    return tuple(sorted(names))


@cache
def list_images(folder: Path, classes: tuple[str, ...]) -> Listing:
    """Lists the image files of class folders; once a process, for it takes seconds where there are a million.

    What is no image by its extension, and hidden files, are passed over.

    Raises:
        DataError: a class folder is missing or has no image, or holds what would be missed: folders, images of other
            kinds, or links to what is not there.
    """
    names: list[bytes] = []
    counts = []
    for name in classes:
        entries = [entry for entry in _entries(folder / name, "") if not entry.name.startswith(".")]
        for entry in entries:
            # What kind an entry is, the folder says; only of links it has to be looked up.
            if not entry.is_file(follow_symlinks=False) and _leads_to_folder(entry):
                raise DataError(
                    f"class folder {folder / name} holds a folder, {entry.name}, whose images would be missed; move "
                    "them up, or remove it"
                )
            if entry.name.lower().endswith(OTHER_EXTENSIONS):
                raise DataError(
                    f"image {entry.path} is of a kind that is not read ({', '.join(EXTENSIONS)} are); convert it, or "
                    "remove it"
                )
        files = [entry.name for entry in entries if entry.name.lower().endswith(EXTENSIONS)]
        if not files:
            raise DataError(
                f"class folder {folder / name} has no image ({', '.join(EXTENSIONS)}); fill it, or remove the class"
            )
        names += map(os.fsencode, sorted(files))
        counts.append(len(files))
    return Listing(np.array(names), np.repeat(np.arange(len(classes), dtype=np.int64), counts))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; raises `DataError` if it is neither that nor a file."""
    try:
        if entry.is_dir():
            return True
        kind = entry.stat().st_mode
    except OSError as error:
        what = f"leads to {Path(entry).readlink()}, which" if entry.is_symlink() else "which"
        raise DataError(
            f"entry {entry.path} {what} can't be reached: {error.strerror}; mount or mend it, or remove the entry"
        ) from error
    if not stat.S_ISREG(kind):
        raise DataError(f"entry {entry.path} is neither a file nor a folder; remove it")
    return False


def _entries(folder: Path, hint: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"folder {folder} can't be read: {error.strerror}{hint}") from error
