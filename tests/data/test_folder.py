import io
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from sc2bench.config.checks import check
from sc2bench.config.schemas import ExperimentConfig, MethodConfig, TeacherConfig
from sc2bench.core.errors import ConfigError, DataError
from sc2bench.data import EpochSampler, load_dataset
from sc2bench.data.decoding import ImageError, read_rgb, read_size
from sc2bench.data.ilsvrc2012 import VARIABLE, ilsvrc2012
from sc2bench.data.imagenet_folders import PhotographsConfig
from sc2bench.data.miniature import make_imagenet

SIZES = ((64, 48), (48, 64), (80, 60), (20, 26), (36, 36))
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 12 test images of 4 classes."""
    return make_imagenet(tmp_path_factory.mktemp("imagenet"), sizes=SIZES)


def task(root: Path, **fields) -> PhotographsConfig:
    return PhotographsConfig("image_classification", "ilsvrc2012", str(root), **({"resize": 36, "crop": 32} | fields))


def files(images) -> list[str]:
    return [str(images.path(index).relative_to(images.folder)) for index in range(len(images))]


def gradient() -> Image.Image:
    rows, columns = np.mgrid[:48, :64]
    return Image.fromarray(np.stack([rows * 5, columns * 4, 255 - rows * 3], axis=-1).astype(np.uint8))


def test_splits_hold_every_file_once(mini):
    train, validation, test = (load_dataset(task(mini), split) for split in SPLITS)
    # Of so few images a sixth is held out, one of each class.
    assert (len(train), validation.listing.targets.tolist(), len(test)) == (20, [0, 1, 2, 3], 12)
    found = sorted(str(path.relative_to(mini / "train")) for path in (mini / "train").glob("*/*.JPEG"))
    assert sorted(files(train) + files(validation)) == found
    assert files(test) == sorted(str(path.relative_to(mini / "val")) for path in (mini / "val").glob("*/*.JPEG"))
    assert train.classes == test.classes == ("n01440764", "n01440765", "n01440766", "n01440767")
    assert test.listing.targets.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    images, targets = next(iter(test.loader(5)))
    assert (images.dtype, images.shape, images.is_contiguous()) == (torch.uint8, (5, 3, 32, 32), True)
    assert (targets.dtype, targets.tolist()) == (torch.int64, [0, 0, 0, 1, 1])
    assert len(load_dataset(task(mini), "test", 7)) == 7


def test_every_hundredth_is_held_out(tmp_path):
    for name, count in (("a", 2530), ("b", 2520)):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "train" / name / f"{number:04d}.png").touch()
    train, validation = (ilsvrc2012(task(tmp_path), split) for split in SPLITS[:2])
    assert files(validation) == [f"a/{n:04d}.png" for n in range(99, 2530, 100)] + [
        f"b/{n:04d}.png" for n in range(69, 2520, 100)
    ]
    assert len(train) == 5000
    assert not set(files(train)) & set(files(validation))


def test_what_is_no_image_is_passed_over(mini, tmp_path):
    shutil.copytree(mini, tmp_path, dirs_exist_ok=True)
    for name in ("readme.txt", "._n01440764_0.JPEG", ".DS_Store"):
        (tmp_path / "train" / "n01440764" / name).write_text("not an image")
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "val" / "notes.txt").touch()
    for split in SPLITS:
        assert files(ilsvrc2012(task(tmp_path), split)) == files(ilsvrc2012(task(mini), split))


def test_environment_variable_names_the_root(mini, monkeypatch):
    config = PhotographsConfig("image_classification", "ilsvrc2012")
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(DataError, match=rf"give task.root=FOLDER or set {VARIABLE}"):
        ilsvrc2012(config, "test")
    monkeypatch.setenv(VARIABLE, str(mini))
    images = ilsvrc2012(config, "test")
    assert len(images) == 12
    assert images.sample(1).shape == (1, *images.spec.probe_shape) == (1, 3, 224, 224)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "resized", "corner"),
    [
        # The longer side is rounded down, the corner of the crop to the nearest even number of two.
        ((64, 48), (48, 36), (8, 2)),
        ((48, 67), (36, 50), (2, 9)),
        ((20, 26), (36, 46), (2, 7)),
        ((36, 36), (36, 36), (2, 2)),
    ],
)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_central_crop_is_the_published_one(tmp_path, size, resized, corner, interpolation):
    for folder in ("train/a", "val/a"):
        (tmp_path / folder).mkdir(parents=True)
    image = gradient().resize(size)
    image.save(tmp_path / "val/a/x.png")
    image.save(tmp_path / "train/a/x.png")
    left, top = corner
    by_hand = image.resize(resized, Image.Resampling[interpolation.upper()]).crop((left, top, left + 32, top + 32))
    found, _ = ilsvrc2012(task(tmp_path, interpolation=interpolation), "test")[0]
    assert torch.equal(found, torch.from_numpy(np.array(by_hand)).permute(2, 0, 1))


def epochs(images, seed: int, workers: int, wrap=lambda loader: loader) -> list[torch.Tensor]:
    """All batches of two epochs, each batch with the targets in its first pixels."""
    sampler = EpochSampler(len(images), seed)
    loader = wrap(images.loader(6, sampler=sampler, workers=workers))
    batches = []
    for epoch in range(2):
        sampler.epoch = epoch
        for found, targets in loader:
            found[:, 0, 0, 0] = targets.to(torch.uint8)
            batches.append(found)
    return batches


@pytest.mark.slow
def test_random_crops_depend_on_seed_epoch_and_index_only(mini):
    train = load_dataset(task(mini), "train")
    alone = epochs(train, seed=3, workers=0)
    torch.manual_seed(99)
    assert torch.equal(torch.stack(epochs(train, 3, workers=2)), torch.stack(alone))
    assert torch.equal(torch.stack(epochs(train, 3, 2, Accelerator(cpu=True).prepare)), torch.stack(alone))
    assert not torch.equal(torch.stack(epochs(train, 4, workers=0)), torch.stack(alone))
    assert (len(alone), alone[0].shape) == (6, (6, 3, 32, 32))


def test_a_sample_is_cropped_anew_each_epoch_and_independently_of_the_order(mini):
    train, sampler = load_dataset(task(mini), "train"), EpochSampler(20, 0)
    shown = train.in_training(sampler)
    state = torch.get_rng_state()
    first = shown[5][0]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(shown[:][0][5], first)
    sampler.epoch = 1
    assert not torch.equal(shown[5][0], first)
    # Without a sampler nothing is random, so that a training set can be measured too.
    assert torch.equal(train[5][0], train[5][0])
    assert not torch.equal(train[5][0], first)


def test_random_crops_have_the_published_areas(tmp_path):
    """The image counts its columns and rows, so that the range of values in a crop tells its width and height."""
    rows, columns = np.mgrid[:200, :200]
    image = Image.fromarray(np.stack([rows, columns, rows], axis=-1).astype(np.uint8))
    for number in range(2):
        (tmp_path / "train/a").mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "train/a" / f"{number}.png")
    sampler = EpochSampler(1, 0)
    shown = ilsvrc2012(task(tmp_path, interpolation="nearest"), "train").in_training(sampler)
    areas, ratios = [], []
    for sampler.epoch in range(150):
        height, width = (int(np.ptp(shown[0][0][channel].numpy())) * 32 / 31 for channel in (0, 1))
        areas.append(height * width / 200**2)
        ratios.append(width / height)
    assert 0.06 < min(areas) < 0.15
    assert 0.85 < max(areas) <= 1.03
    assert 0.45 < np.mean(areas) < 0.6
    assert 0.7 < min(ratios) < 0.8
    assert 1.25 < max(ratios) < 1.42


def grey_tiff(values: np.ndarray, bits: int, white_is_zero: bool) -> bytes:
    """A grey TIFF (H, W) with so many bits a sample, its rows padded to bytes; Pillow can't write it."""
    height, width = values.shape
    if bits == 16:
        data = values.astype("<u2").tobytes()
    else:
        spread = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(height, width, 2), axis=-1)
        data = np.packbits(spread[..., 16 - bits :].reshape(height, -1), axis=1).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 0 if white_is_zero else 1, 273: 0, 277: 1, 278: height}
    tags |= {279: len(data)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


@pytest.mark.parametrize(("bits", "white_is_zero"), [(8, False), (8, True), (12, False), (16, False), (16, True)])
def test_grey_of_any_depth_reaches_from_black_to_white(tmp_path, bits, white_is_zero):
    """Pillow takes 12 bits for the lowest of 16, which is nearly black, and 16 bits with white at zero for black."""
    values = np.linspace(0, (1 << bits) - 1, 48).astype(np.uint16).reshape(6, 8)
    path = tmp_path / "grey.tif"
    path.write_bytes(grey_tiff(values, bits, white_is_zero))
    expected = (values >> (bits - 8)).astype(np.uint8)
    found = np.asarray(read_rgb(path))
    assert np.array_equal(found, np.repeat((255 - expected if white_is_zero else expected)[..., None], 3, axis=2))


def png16(values: np.ndarray) -> bytes:
    """A colour PNG with 16 bits a sample, from (H, W, 3) uint16; Pillow can't write it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


WIDE = (np.arange(48 * 64).reshape(48, 64) * 21).astype(np.uint16)
GREY = np.asarray(gradient().convert("L"))
RGB = np.asarray(gradient())
PALETTE = gradient().quantize(64)


@pytest.mark.parametrize(
    ("data", "expected", "tolerance"),
    [
        (saved(gradient(), "PNG"), RGB, 0),
        (saved(gradient(), "JPEG", quality=95), RGB, 8),
        (saved(gradient().convert("L"), "JPEG", quality=98), GREY, 4),
        (saved(gradient().convert("CMYK"), "JPEG", quality=95), RGB, 8),
        (saved(PALETTE, "PNG"), np.asarray(PALETTE.convert("RGB")), 0),
        (saved(PALETTE, "PNG", transparency=bytes(range(64))), np.asarray(PALETTE.convert("RGB")), 0),
        (saved(Image.merge("RGBA", [*gradient().split(), gradient().convert("L")]), "PNG"), RGB, 0),
        (saved(Image.fromarray(GREY > 99), "PNG"), (GREY > 99) * 255, 0),
        (saved(Image.fromarray(WIDE), "PNG"), WIDE // 256, 0),
        (saved(Image.fromarray(WIDE), "TIFF"), WIDE // 256, 0),
        (b"P5 64 48 65535\n" + WIDE.astype(">u2").tobytes(), WIDE // 256, 0),
        (png16(RGB.astype(np.uint16) * 257), RGB, 0),
    ],
    ids=["rgb", "jpeg", "grey", "cmyk", "palette", "alpha", "rgba", "bits", "png16", "tiff16", "pgm16", "rgb16"],
)
@pytest.mark.filterwarnings("error")
def test_every_kind_of_image_becomes_rgb(tmp_path, data, expected, tolerance):
    (tmp_path / "image").write_bytes(data)
    found = read_rgb(tmp_path / "image")
    assert found.mode == "RGB"
    expected = expected if expected.ndim == 3 else expected[..., None].repeat(3, axis=2)
    assert np.abs(np.asarray(found).astype(int) - expected).max() <= tolerance


def test_exif_rotation_is_not_carried_out(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient().save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(np.asarray(read_rgb(tmp_path / "x.png")), RGB)


JPEG = saved(gradient(), "JPEG")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (JPEG[:-60], r"is damaged or of an unknown kind \(image file is truncated .*\); replace or delete"),
        (b"", r"\(no known image format\)"),
        (b"<html>not found</html>", r"\(no known image format\)"),
        (saved(gradient(), "PNG")[:-400], r"is damaged"),
        (saved(Image.fromarray(WIDE.astype(np.float32)), "TIFF"), r"\(mode F, 32 bits a sample; 8 and 16 can be read"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_is_named_in_one_sentence_from_workers_too(mini, tmp_path, data, message, workers):
    shutil.copytree(mini / "train", tmp_path / "train")
    bad = tmp_path / "train" / "n01440765" / "n01440765_7.JPEG"
    bad.write_bytes(data)
    images = ilsvrc2012(task(tmp_path), "train")
    with pytest.raises(DataError, match=message) as error:
        list(images.loader(4, workers=workers))
    assert str(error.value).startswith(f"image {bad} ")
    assert "\n" not in str(error.value)
    # The good ones before it are unharmed.
    assert len(next(iter(images.loader(4, workers=workers)))[0]) == 4


@pytest.mark.parametrize(
    ("size", "shorter", "message"),
    [
        # 138 bytes that would be resized to 4 GB, and a file that says that it has 144 million pixels.
        ((20000, 1), 256, r"has 20000x1 pixels, and with 256 on the shorter side it would have more than 89000000 in"),
        ((12000, 12000), None, r"has 12000x12000 pixels, but 89000000 in all are the most; scale it down or remove it"),
        ((12000, 12000), 256, r"has 12000x12000 pixels, but 89000000 in all are the most"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_sizes_are_checked_before_an_image_is_decoded(tmp_path, size, shorter, message):
    path = tmp_path / "x.png"
    # The header alone: what it announces is not there to be decoded.
    path.write_bytes(saved(Image.new("1", (1, 1)), "PNG").replace(b"\0\0\0\x01\0\0\0\x01", struct.pack(">II", *size)))
    header = path.read_bytes()
    crc = zlib.crc32(header[12:29])
    path.write_bytes(header[:29] + struct.pack(">I", crc) + header[33:])
    assert read_size(path) == size[::-1] if size[0] * size[1] < 89_000_000 else True
    with pytest.raises(ImageError, match=message) as error:
        read_rgb(path, shorter=shorter)
    assert str(error.value).startswith(f"image {path} ")


@pytest.mark.parametrize("size", [(1, 1), (1, 224), (224, 1), (2, 300)])
def test_images_of_one_pixel_in_a_direction_are_cropped(tmp_path, size):
    for name in ("train/a/x.png", "train/a/y.png", "val/a/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (9, 8, 7)).save(tmp_path / name)
    for image in (
        ilsvrc2012(task(tmp_path), "test")[0][0],
        ilsvrc2012(task(tmp_path), "train").in_training(EpochSampler(1, 0))[0][0],
    ):
        assert image.shape == (3, 32, 32)
        assert image.flatten(1).unique(dim=1).T.tolist() == [[9, 8, 7]]


def test_of_several_images_in_a_file_the_first_is_taken(tmp_path):
    others = [Image.new("RGB", (64, 48)) for _ in range(2)]
    for kind in ("GIF", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        (tmp_path / "x").write_bytes(saved(gradient(), kind, save_all=True, append_images=others, **options))
        found = np.asarray(read_rgb(tmp_path / "x")).astype(int)
        assert np.abs(found - RGB).mean() < (12 if kind == "GIF" else 0.1)


def test_formats_that_need_other_programs_are_refused(tmp_path):
    """Pillow would start Ghostscript for what looks like PostScript, whatever the file is called."""
    (tmp_path / "x.jpg").write_bytes(saved(gradient(), "EPS"))
    with pytest.raises(ImageError, match=r"x\.jpg is damaged or of an unknown kind \(no known image format\)"):
        read_rgb(tmp_path / "x.jpg")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_damage_ends_in_another_error(tmp_path):
    random = np.random.default_rng(0)
    path = tmp_path / "image"
    outcomes = {"read": 0, "refused": 0}
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP"):
        whole = saved(gradient(), kind)
        for trial in range(60):
            data = np.frombuffer(whole[: random.integers(1, len(whole))] if trial % 2 else whole, np.uint8).copy()
            data[random.integers(len(data), size=3)] = random.integers(256, size=3)
            path.write_bytes(data.tobytes())
            try:
                assert read_rgb(path).mode == "RGB"
                outcomes["read"] += 1
            except ImageError:
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 30


def test_pipes_and_folders_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    for path in (tmp_path / "x.png", tmp_path):
        with pytest.raises(ImageError, match=r"^image .* is no regular file; replace or remove it$"):
            read_rgb(path)


def test_a_missing_file_is_no_damage(tmp_path):
    with pytest.raises(ImageError, match=r"x\.png can't be read: No such file or directory"):
        read_rgb(tmp_path / "x.png")


def _empty_class(root: Path) -> None:
    (root / "train" / "n09999999").mkdir()
    (root / "train" / "n09999999" / "list.txt").touch()


def _flat_val(root: Path) -> None:
    for path in list((root / "val").glob("*/*.JPEG")):
        path.rename(root / "val" / path.name)
    for folder in (root / "val").iterdir():
        if folder.is_dir():
            folder.rmdir()


def _link_to_nothing(root: Path) -> None:
    (root / "train" / "n2").symlink_to("/not/mounted/n2")


def _loop(root: Path) -> None:
    (root / "train" / "n2").symlink_to(root / "train" / "n2")


def _folder_in_class(root: Path) -> None:
    (root / "train" / "n01440765" / "more").mkdir()
    shutil.copy(root / "train" / "n01440765" / "n01440765_7.JPEG", root / "train" / "n01440765" / "more" / "x.JPEG")


def _linked_folder_in_class(root: Path) -> None:
    (root / "train" / "n01440765" / "more").symlink_to(root / "val" / "n01440765")


def _linked_image_to_nothing(root: Path) -> None:
    (root / "train" / "n01440765" / "x.JPEG").symlink_to("/not/mounted/x.JPEG")


def _pipe(root: Path) -> None:
    os.mkfifo(root / "train" / "n01440765" / "x.JPEG")


def _no_classes(root: Path) -> None:
    shutil.rmtree(root / "train")
    (root / "train").mkdir()


@pytest.mark.parametrize(
    ("damage", "split", "message"),
    [
        (_empty_class, "train", r"class folder .*/train/n09999999 has no image \(\.jpg, .*\); fill it, or remove the"),
        (lambda root: (root / "val" / "n2").mkdir(), "test", r"class folder .*/val/n2 has no counterpart in train/"),
        (lambda root: (root / "train" / "n2").mkdir(), "test", r"class folder .*/train/n2 has no counterpart in val/"),
        (
            lambda root: shutil.rmtree(root / "train"),
            "train",
            r"folder .*/train does not exist; mend task\.root or SC2",
        ),
        (lambda root: shutil.rmtree(root / "val"), "test", r"folder .*/val does not exist; mend task\.root or SC2"),
        (shutil.rmtree, "test", r"folder .*/root does not exist"),
        (_flat_val, "test", r"/val has image files such as ILSVRC.* move each into the folder of its class"),
        (_no_classes, "train", r"/train has no class folders"),
        (
            _link_to_nothing,
            "train",
            r"entry .*/train/n2 leads to /not/mounted/n2, which can't be reached: No such file",
        ),
        (
            _loop,
            "train",
            r"entry .*/train/n2 leads to .*, which can't be reached: Too many levels of symbolic links; m",
        ),
        (_folder_in_class, "train", r"class folder .*/n01440765 holds a folder, more, whose images would be missed"),
        (_linked_folder_in_class, "train", r"class folder .*/n01440765 holds a folder, more, whose images would be"),
        (
            _linked_image_to_nothing,
            "train",
            r"entry .*/n01440765/x\.JPEG leads to /not/mounted/x\.JPEG, which can't be",
        ),
        (
            lambda root: (root / "train" / "n01440765" / "x.AVIF").touch(),
            "train",
            r"image .*/n01440765/x\.AVIF is of a kind that is not read \(\.jpg, .* are\); convert it, or remove it",
        ),
        (_pipe, "train", r"entry .*/n01440765/x\.JPEG is neither a file nor a folder; remove it"),
    ],
)
def test_wrong_folders_are_named(mini, tmp_path, damage, split, message):
    root = tmp_path / "root"
    shutil.copytree(mini, root)
    damage(root)
    with pytest.raises(DataError, match=message) as error:
        ilsvrc2012(task(root), split)
    assert "\n" not in str(error.value)


def test_a_name_that_no_folder_can_have_is_an_error():
    with pytest.raises(DataError, match=r"can't be reached: File name too long; mend its name, place or rights"):
        ilsvrc2012(task(Path("/tmp") / ("x" * 300)), "test")


def test_classes_may_be_links(mini, tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        for folder in (mini / split).iterdir():
            (tmp_path / split / folder.name).symlink_to(folder)
    assert files(ilsvrc2012(task(tmp_path), "test")) == files(ilsvrc2012(task(mini), "test"))


def test_one_image_is_not_enough(tmp_path):
    make_imagenet(tmp_path, classes=1, per_class=1, sizes=SIZES)
    with pytest.raises(DataError, match="has one image, but training and validation need one each"):
        ilsvrc2012(task(tmp_path), "validation")
    assert len(ilsvrc2012(task(tmp_path), "test")) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": 0}, "task.crop: 0 is below the least value, 1"),
        ({"resize": 0}, "task.resize: 0 is below the least value, 1"),
        ({"resize": 31, "crop": 32}, "task.resize: 31 is below the least value, 32"),
        ({"crop": 299}, "task.crop: 299 exceeds task.resize, 256; set both (ilsvrc2012: 256, 224)"),
        ({"interpolation": "bilinaer"}, "task.interpolation: unknown value 'bilinaer'; did you mean 'bilinear'?"),
    ],
)
def test_impossible_sizes_are_refused(fields, message):
    config = ExperimentConfig(
        task=PhotographsConfig("image_classification", "ilsvrc2012", **fields),
        teacher=TeacherConfig("fashion_resnet"),
        method=MethodConfig("teacher"),
    )
    with pytest.raises(ConfigError) as error:
        check(config)
    assert str(error.value) == message


def test_miniature_is_repeatable_and_has_the_rare_kinds(mini, tmp_path):
    again = make_imagenet(tmp_path, sizes=SIZES)
    paths = sorted(path.relative_to(mini) for path in mini.rglob("*.JPEG"))
    assert len(paths) == 36
    assert all((mini / path).read_bytes() == (again / path).read_bytes() for path in paths)
    opened = [Image.open(mini / path) for path in paths if path.parts[0] == "train"]
    assert {image.format for image in opened} == {"JPEG"}
    assert {mode: [image.mode for image in opened].count(mode) for mode in ("L", "CMYK", "RGB")} == {
        "L": 1,
        "CMYK": 1,
        "RGB": 22,
    }
    assert {image.size for image in opened} == set(SIZES)
