"""A data set with an option: images and labels in files of NumPy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_doc import Doc

from sc2bench import DATASETS, DataError, MemoryImages, TaskConfig, configured


@dataclass
class NpzConfig(TaskConfig):
    """What the labels mean."""

    class_names: Annotated[list[str], Doc("Names of the classes, in the order of the labels.")] = field(
        default_factory=list
    )


@DATASETS.register("npz")
@configured(NpzConfig)
def npz(task: NpzConfig, split: str) -> MemoryImages:
    """Opens train.npz, validation.npz or test.npz in `task.root`: images, uint8 (N, C, H, W), and labels, (N,).

    Raises:
        DataError: a file is missing, or holds something else.
    """
    if task.root is None:
        raise DataError("task.root: npz needs a folder with train.npz, validation.npz and test.npz; name it")
    file = Path(task.root) / f"{split}.npz"
    try:
        with np.load(file) as arrays:
            images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{file} can't be read ({error}); save it with numpy.savez(FILE, images=, labels=)") from error
    classes = task.class_names or [str(label) for label in range(int(labels.max(initial=0)) + 1)]
    if len(images) != len(labels) or labels.max(initial=0) >= len(classes):
        raise DataError(f"{file}: {len(images)} images, {len(labels)} labels and {len(classes)} classes don't fit")
    return MemoryImages(torch.from_numpy(images), torch.from_numpy(labels), classes)
