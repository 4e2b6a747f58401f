"""Photographs that are decoded once and kept: training reads each of them many times, and so does a suite of codecs."""

import shutil
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from sc2bench.core.errors import DataError, OutputError
from sc2bench.core.files import write_atomic
from sc2bench.core.home import home_folder
from sc2bench.data.base import Batch, EpochSampler, ImageSet
from sc2bench.data.fingerprints import digest
from sc2bench.data.folder import FolderImages
from sc2bench.data.loading import watching
from sc2bench.wire.inputs import ImageSpec

# Up to this many bytes lie in memory; more in a file, which all processes and later runs map into theirs.
MOST_IN_MEMORY = 64 << 20
_BATCH = 64


class KeptImages(ImageSet):
    """Image files, each resized and decoded once; the crops of training and test are cut out of what is kept.

    They equal those that are read from the files. Random parts of any scale can't be cut out of resized images: where
    training sees such ones it reads the files.

    What is kept takes 3 x resize x resize bytes an image. Large sets lie in a file of the cache, named by what the
    image files hold and when they were changed.

    Args:
        files: the images.
    """

    def __init__(self, files: FolderImages):
        super().__init__(files.classes)
        self.files = files
        self.occurring = files.occurring
        # The set that decodes and keeps, and the places of this one's samples in it.
        self._store = _Store(files)
        self._places = np.arange(len(files))
        self._sampler: EpochSampler | None = None

    @property
    def spec(self) -> ImageSpec:
        """That of the files."""
        crops = self.files.crops
        side = crops.crop if self._sampler is None else crops.training_side
        return ImageSpec(3, (side, side))

    def __len__(self) -> int:
        return len(self._places)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Cuts images out of what is kept; raises `DataError` where they can't be decoded or kept."""
        squares, crops = self._store.squares(), self.files.crops
        images = torch.empty((len(indices), *self.spec.probe_shape), dtype=torch.uint8)
        for place, index in enumerate(indices):
            square = squares[self._places[index]]
            if self._sampler is None:
                cut = crops.central_of(square)
            else:
                cut = crops.window_of(square, (self._sampler.seed, self._sampler.epoch, index))
            images[place] = torch.from_numpy(np.array(cut))
        return images, torch.from_numpy(self.files.listing.targets[list(indices)])

    @property
    def fingerprint(self) -> str:
        """That of the files."""
        return self.files.fingerprint

    @property
    def strata(self) -> np.ndarray:
        """The class indices."""
        return self.files.strata

    def loader(self, batch_size: int, *, workers: int | None = 0, **options: Any) -> "DataLoader[Batch]":
        """As that of every set; nobody else need fetch, and processes that do share what is kept."""
        if workers:
            self._store.squares()
        return super().loader(batch_size, workers=workers, **options)

    def path(self, index: int) -> Path:
        """The file of one sample."""
        return self.files.path(index)

    def subset(self, indices: np.ndarray) -> "KeptImages":
        """The samples at `indices`; where the whole is not kept yet, these alone will be decoded."""
        if not self._store.is_there():
            return KeptImages(self.files.subset(indices))
        part = copy(self)
        part.files, part._places = self.files.subset(indices), self._places[indices]
        return part

    def in_training(self, sampler: EpochSampler) -> ImageSet:
        """The same images with random crops."""
        if self.files.crops.window is None:
            return self.files.in_training(sampler)
        part = copy(self)
        part._sampler = sampler
        return part


class _Store:
    """The squares of image files, uint8 (N, 3, resize, resize), in memory or in a file that is mapped into it."""

    def __init__(self, files: FolderImages):
        self._files = files
        self._squares: np.ndarray | None = None

    def is_there(self) -> bool:
        """Whether nothing has to be decoded any more."""
        return self._squares is not None or (self._size > MOST_IN_MEMORY and self._path().is_file())

    def squares(self) -> np.ndarray:
        """All squares; decodes them if need be."""
        if self._squares is None:
            self._squares = self._decoded() if self._size <= MOST_IN_MEMORY else self._mapped()
        return self._squares

    def __getstate__(self) -> dict[str, Any]:
        """Without the squares, which a process that gets a copy maps or decodes itself."""
        return {"_files": self._files, "_squares": None}

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        side = self._files.crops.resize
        return len(self._files), 3, side, side

    @property
    def _size(self) -> int:
        return int(np.prod(self._shape, dtype=np.int64))

    def _decoded(self) -> np.ndarray:
        squares = np.empty(self._shape, np.uint8)
        self._fill(squares)
        return squares

    def _mapped(self) -> np.ndarray:
        path = self._path()
        try:
            if not path.is_file():
                self._require_room(path.parent)
                write_atomic(path, self._write)
            found = np.load(path, mmap_mode="r")
        except (OSError, ValueError, OutputError) as error:
            raise DataError(
                f"decoded images can't be kept in {path} ({error}); free space, remove that file, or set "
                "task.keep_decoded=false"
            ) from error
        if found.shape != self._shape or found.dtype != np.uint8:
            raise DataError(f"decoded images in {path} are damaged; remove that file")
        return found

    def _write(self, path: Path) -> None:
        self._fill(np.lib.format.open_memmap(path, "w+", np.uint8, self._shape))

    def _fill(self, squares: np.ndarray) -> None:
        with watching(self._files.squares().loader(_BATCH, workers=None)) as batches:
            place = 0
            for images, _ in batches:
                squares[place : place + len(images)] = images.numpy()
                place += len(images)

    def _require_room(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if self._size > free:
            raise DataError(
                f"{len(self._files)} decoded images take {self._size / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free "
                f"in {folder}; free space, or set task.keep_decoded=false"
            )

    def _path(self) -> Path:
        files, crops = self._files, self._files.crops
        changed = np.array([_changed(files.path(index)) for index in range(len(files))], np.int64)
        name = digest(str(files.folder), files.fingerprint, changed, str(crops.resize), crops.interpolation)
        return home_folder() / ".cache" / "sc2bench" / "decoded" / f"{name}.npy"


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        # Whoever reads the image says so.
        return -1
