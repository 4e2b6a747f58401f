"""A data set: images and labels in files of NumPy."""

from pathlib import Path

import numpy as np
import torch

from sc2bench import DATASETS, DataError, MemoryImages, TaskConfig


@DATASETS.register("npz")
def npz(task: TaskConfig, split: str) -> MemoryImages:
    """Opens train.npz, validation.npz or test.npz in `task.root`.

    Each has images, uint8 (N, C, H, W), and labels, (N,); classes.txt beside them names a class a line.

    Raises:
        DataError: a file is missing, or holds something else.
    """
    if task.root is None:
        raise DataError("task.root: npz needs a folder with train.npz, validation.npz, test.npz and classes.txt")
    file = Path(task.root) / f"{split}.npz"
    try:
        classes = file.with_name("classes.txt").read_text(encoding="utf-8").split("\n")
        with np.load(file) as arrays:
            images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{file} can't be read ({error}); save it with numpy.savez(FILE, images=, labels=)") from error
    classes = [name for name in classes if name]
    if len(images) != len(labels) or labels.max(initial=0) >= len(classes):
        raise DataError(f"{file}: {len(images)} images, {len(labels)} labels and {len(classes)} classes don't fit")
    return MemoryImages(torch.from_numpy(images), torch.from_numpy(labels), classes)
