import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

from sc2bench.core.errors import DataError
from sc2bench.data import EpochSampler, PixelLimit, load_dataset
from sc2bench.data.crops import SizesConfig
from sc2bench.data.decoding import ImageError, read_indices
from sc2bench.data.miniature import make_voc
from sc2bench.data.voc import VARIABLE, MaskPresentation, palette, pascal_voc2012
from sc2bench.wire.inputs import ImageSpec

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 8 test images."""
    return make_voc(tmp_path_factory.mktemp("voc"))


def task(root: Path, **fields) -> SizesConfig:
    return SizesConfig("semantic_segmentation", "pascal_voc2012", str(root), **fields)


def names(images) -> list[str]:
    return [name.decode() for name in images.source.names]


def test_splits_hold_every_image_once(mini):
    train, validation, test = (load_dataset(task(mini), split) for split in SPLITS)
    assert (len(train), len(validation), len(test)) == (20, 4, 8)
    assert sorted(names(train) + names(validation)) == [f"2007_{number:06d}" for number in range(24)]
    assert train.classes == tuple(DeepLabV3_ResNet50_Weights.DEFAULT.meta["categories"])
    assert test.spec == ImageSpec(3)
    # The root may be either folder.
    for root in (mini / "VOCdevkit", mini / "VOCdevkit" / "VOC2012"):
        assert names(pascal_voc2012(task(root), "test")) == names(test)


def test_masks_hold_class_indices(mini):
    root = mini / "VOCdevkit" / "VOC2012"
    images, masks = load_dataset(task(mini), "test")[:3]
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        stored = Image.open(root / "SegmentationClass" / f"2008_{number:06d}.png")
        assert stored.mode == "P"
        assert np.array_equal(mask, np.asarray(stored))
        assert (image.dtype, mask.dtype, mask.shape) == (torch.uint8, torch.uint8, image.shape[1:])
        assert {0, 255} < set(mask.unique().tolist()) <= {*range(21), 255}
    assert palette()[: 3 * 4] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    assert palette()[-3:] == [224, 224, 192]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_shorter_side_is_resized_as_pillow_does(mini, interpolation):
    root = mini / "VOCdevkit" / "VOC2012"
    # 200 x 330.
    image, mask = load_dataset(task(mini, resize=130, crop=96, interpolation=interpolation), "test")[3]
    by_hand = Image.open(root / "JPEGImages" / "2008_000003.jpg").resize(
        (130, 214), Image.Resampling[interpolation.upper()]
    )
    nearest = Image.open(root / "SegmentationClass" / "2008_000003.png").resize((130, 214), Image.Resampling.NEAREST)
    assert torch.equal(image, torch.from_numpy(np.array(by_hand)).permute(2, 0, 1))
    assert np.array_equal(mask, np.asarray(nearest))


def marked(width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """An image whose red counts columns, green rows, and a mask that repeats the red."""
    rows, columns = np.mgrid[1 : height + 1, 1 : width + 1].astype(np.uint8)
    return Image.fromarray(np.stack([columns, rows, rows], axis=-1)), Image.fromarray(columns)


def test_training_mirrors_and_cuts_image_and_mask_together():
    image, mask = marked(60, 40)
    present = MaskPresentation(resize=40, crop=48)
    lefts, mirrored = set(), 0
    for seed in range(200):
        pixels, found = present(image, mask, np.random.default_rng(seed))
        assert (pixels.shape, found.shape) == ((3, 48, 48), (48, 48))
        # Eight rows below the image are black, to be ignored.
        assert pixels[:, 40:].sum() == 0
        assert torch.equal(found[40:], torch.full((8, 48), 255, dtype=torch.uint8))
        assert torch.equal(found[:40], pixels[0, :40])
        assert pixels[1, :40, 0].tolist() == list(range(1, 41))
        steps = pixels[0, 0].long().diff().unique().tolist()
        mirrored += steps == [-1]
        assert steps in ([1], [-1])
        lefts.add(int(pixels[0, 0].min()))
    assert lefts == set(range(1, 14))
    assert 75 < mirrored < 125


def test_training_scales_by_half_to_double():
    image, mask = marked(60, 40)
    present = MaskPresentation(resize=30, scales=(0.5, 2.0))
    sides = [present(image, mask, np.random.default_rng(seed))[0].shape for seed in range(400)]
    assert {height for _, height, _ in sides} == set(range(15, 61))
    assert all(abs(width - 1.5 * height) < 1 for _, height, width in sides)
    assert present(image, mask, None)[0].shape == (3, 30, 45)


@pytest.mark.slow
def test_random_crops_depend_on_seed_epoch_and_index_only(mini):
    train = load_dataset(task(mini, resize=64, crop=56), "train")
    sampler = EpochSampler(20, 3)
    alone, shared = (list(train.loader(5, sampler=sampler, workers=workers)) for workers in (0, 2))
    for batch, other in zip(alone, shared, strict=True):
        for mine, theirs in zip(batch, other, strict=True):
            assert all(map(torch.equal, mine, theirs))
    assert alone[0][0][0].shape == (3, 56, 56)
    shown = train.in_training(sampler)
    first = shown[5][0]
    sampler.epoch = 1
    assert not torch.equal(shown[5][0], first)


def _paint(root: Path, value: int) -> None:
    path = root / "SegmentationClass" / "2008_000000.png"
    mask = Image.open(path)
    mask.putpixel((3, 4), value)
    mask.save(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: _paint(root, 21), r"2008_000000\.png has the value 21, but classes are 0 \.\.\. 20, and 255 is"),
        (
            lambda root: Image.new("P", (32, 24)).save(root / "SegmentationClass/2008_000000.png"),
            r"mask .*2008_000000\.png has 32x24 pixels, but its image 320x240",
        ),
        (
            lambda root: Image.new("RGB", (320, 240)).save(root / "SegmentationClass/2008_000000.png"),
            r"2008_000000\.png is damaged or of an unknown kind \(mode RGB, where class indices belong",
        ),
        (lambda root: (root / "JPEGImages/2008_000000.jpg").unlink(), r"2008_000000\.jpg can't be read: No such"),
        (
            lambda root: Image.new("L", (9, 8193)).save(root / "JPEGImages/2008_000000.jpg"),
            r"2008_000000\.jpg has 9x8193 pixels, but 8192 a side are the most",
        ),
        (lambda root: (root / "ImageSets/Segmentation/val.txt").unlink(), r"list .*val\.txt can't be read: No such"),
        (lambda root: (root / "ImageSets/Segmentation/val.txt").write_text("\n"), r"list .*val\.txt is empty"),
        (
            lambda root: (root / "ImageSets/Segmentation/val.txt").write_text("2008_000000\n\n2008_000000\n"),
            r"list .*val\.txt names 2008_000000 in line 3 as in line 1; remove one of them",
        ),
        (
            lambda root: (root / "ImageSets/Segmentation/val.txt").write_bytes(b"2008_000000\0\n"),
            r"list .*val\.txt has a zero byte in line 1",
        ),
        (
            lambda root: Image.fromarray(np.full((240, 320), 256, np.uint16)).save(
                root / "SegmentationClass/2008_000000.png"
            ),
            r"2008_000000\.png is damaged or of an unknown kind \(the value 256, where class indices end with 255\)",
        ),
        (lambda root: shutil.rmtree(root / "SegmentationClass"), r"folder .*/SegmentationClass does not exist; mend"),
    ],
)
def test_wrong_files_are_named(mini, tmp_path, damage, message):
    shutil.copytree(mini, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / "VOCdevkit" / "VOC2012")
    with pytest.raises(DataError, match=message) as error:
        pascal_voc2012(task(tmp_path), "test")[0]
    assert "\n" not in str(error.value)


def test_names_may_have_spaces(mini, tmp_path):
    shutil.copytree(mini, tmp_path, dirs_exist_ok=True)
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder, suffix in (("JPEGImages", ".jpg"), ("SegmentationClass", ".png")):
        (root / folder / f"2008_000001{suffix}").rename(root / folder / f"a photo (2)\u00e9{suffix}")
    (root / "ImageSets/Segmentation/val.txt").write_bytes("2008_000000 \r\na photo (2)\u00e9\r\n".encode())
    test = pascal_voc2012(task(tmp_path), "test")
    assert names(test) == ["2008_000000", "a photo (2)\u00e9"]
    assert torch.equal(test[1][1], pascal_voc2012(task(mini), "test")[1][1])


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG with so few bits a pixel, which Pillow can't write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    spread = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
    lines = b"".join(b"\0" + np.packbits(line.ravel()).tobytes() for line in spread)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["grey", "palette"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_masks_of_any_depth_hold_their_indices(tmp_path, kind, bits):
    """Pillow reads grey of few bits as brightness, so that class 1 of 15 would be class 17."""
    indices = (np.arange(5 * 7).reshape(5, 7) % min(1 << bits, 21)).astype(np.uint8)
    path = tmp_path / "mask.png"
    if kind == "palette":
        mask = Image.fromarray(indices)
        mask.putpalette(palette())
        mask.save(path, bits=min(bits, 8))
    elif bits == 16:
        Image.fromarray(indices.astype(np.uint16)).save(path)
    elif bits == 8:
        Image.fromarray(indices).save(path)
    else:
        path.write_bytes(grey_png(indices, bits))
    assert np.array_equal(np.asarray(read_indices(path)), indices)


@pytest.mark.parametrize("kind", ["JPEG", "binary", "plain"])
def test_masks_whose_values_would_change_are_refused(tmp_path, kind):
    """A mask is called .png whatever it is; JPEG has changed its indices, and Pillow stretches 20 of 20 to 255."""
    indices, path = np.arange(21, dtype=np.uint8).reshape(3, 7), tmp_path / "mask.png"

    def portable(top: int) -> bytes:
        pixels = indices.tobytes() if kind == "binary" else " ".join(map(str, indices.ravel())).encode()
        return b"%s 7 3 %d\n%s" % (b"P5" if kind == "binary" else b"P2", top, pixels)

    if kind == "JPEG":
        Image.fromarray(indices).save(path, "JPEG")
    else:
        path.write_bytes(portable(255))
        assert np.array_equal(np.asarray(read_indices(path)), indices)
        path.write_bytes(portable(20))
    with pytest.raises(ImageError, match="where class indices belong"):
        read_indices(path)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1)])
def test_images_of_one_pixel_in_a_direction_are_presented(size):
    image, mask = Image.new("RGB", size, (1, 2, 3)), Image.new("L", size, 4)
    present = MaskPresentation(resize=20, crop=16, scales=(0.1, 2.0))
    pixels, found = present(image, mask, None)
    assert pixels.shape[1:] == found.shape == present.image_size(size[::-1])
    for seed in range(20):
        pixels, found = present(image, mask, np.random.default_rng(seed))
        assert (pixels.shape, found.shape) == ((3, 16, 16), (16, 16))
        assert set(found.unique().tolist()) <= {4, 255}


def test_batches_are_bounded_before_images_are_decoded(mini):
    test = load_dataset(task(mini, resize=130), "test")
    assert [test.image_size(index) for index in range(8)] == [tuple(image.shape[1:]) for image in test[:][0]]
    # Of 173 x 130, 130 x 173, 130 x 130 and 214 x 130 in turn; padded to one size they are larger.
    limit = PixelLimit(3 * 173 * 173)
    assert [len(images) for images, _ in test.loader(250, limit=limit)] == [3, 2, 3]
    with pytest.raises(ImageError, match="with 2000000 on the shorter side it would have more than 89000000 in all"):
        load_dataset(task(mini, resize=1_000_000), "test")[0]


def test_environment_variable_names_the_root(mini, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    unrooted = SizesConfig("semantic_segmentation", "pascal_voc2012")
    with pytest.raises(DataError, match=rf"give task.root=FOLDER or set {VARIABLE}"):
        pascal_voc2012(unrooted, "test")
    monkeypatch.setenv(VARIABLE, str(mini))
    assert len(pascal_voc2012(unrooted, "test")) == 8
