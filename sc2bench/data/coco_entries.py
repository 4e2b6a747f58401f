"""The entries of an annotation file in COCO's format (Lin et al. 2014), each looked at before it is believed.

What is wrong in such a file changes what is measured without a sign: of two annotations with one id the last one would
stay, and objects of two images with one id would be those of one.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sc2bench.core.errors import DataError

# Ids are indices of classes here, so one stray id would make the list of classes, and every model, that long.
MAX_CATEGORY = 9999
# Integers that are kept in arrays.
_LARGEST = 2**63 - 1
# A box may reach over the edge of its image, and by rounding lie beside it.
_TOLERANCE = 1.0
# The characters of compressed run lengths: six bits each, of which the highest says that the number goes on.
_RUN_CHARACTERS = "".join(map(chr, range(48, 112)))


@dataclass(frozen=True)
class Entries:
    """What an annotation file lists, as in the file.

    Attributes:
        images: with `id`, `file_name`, `width` and `height`.
        annotations: with `id`, `image_id`, `category_id`, `bbox`, and perhaps `area`, `iscrowd` and `segmentation`.
        categories: with `id` and `name`.
    """

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]


def read_entries(path: Path) -> Entries:
    """Reads an annotation file and checks every entry.

    Of outlines no more is checked than that run lengths fit their image, for nothing here uses them.

    Raises:
        DataError: the file is missing or damaged; an id, or an image's file, is there twice; an image or a category is
            named that is not listed; a size is not positive; a box or an area is negative, not finite, or a pixel or
            more outside of its image; or a field is missing or of another kind. It names the file and the entry.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"annotation file {path} can't be read: {error.strerror}; unpack it there") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"annotation file {path} is damaged: {reason}; replace it") from error
    try:
        entries = Entries(*(_listed(content, key) for key in ("images", "annotations", "categories")))
        _check_categories(entries.categories)
        _check_images(entries.images)
        _check_annotations(entries)
    except _WrongError as error:
        raise DataError(f"annotation file {path}: {error}; mend or replace the file") from None
    return entries


class _WrongError(Exception):
    """What is wrong with an entry."""


def _listed(content: Any, key: str) -> list[Any]:
    if not isinstance(content, dict):
        raise _WrongError("it holds no object with images, annotations and categories")
    found = content.get(key)
    if not isinstance(found, list):
        raise _WrongError(f"it has no list of {key}")
    if not found and key != "annotations":
        raise _WrongError(f"it lists no {key}")
    return found


def _check_categories(categories: list[Any]) -> None:
    seen: set[int] = set()
    for number, category in enumerate(categories):
        key = _own_id("category", number, category, seen)
        what = f"category {key}"
        if not isinstance(_field(what, category, "name"), str):
            raise _WrongError(f"{what} has the name {category['name']!r}, which is no text")
        if not 1 <= key <= MAX_CATEGORY:
            raise _WrongError(
                f"category '{category['name']}' has the id {key}, but ids are class indices here, 1 ... {MAX_CATEGORY} "
                "(0 is the background)"
            )


def _check_images(images: list[Any]) -> None:
    seen: set[int] = set()
    files: dict[str, int] = {}
    for number, image in enumerate(images):
        key = _own_id("image", number, image, seen)
        what = f"image {key}"
        name = _field(what, image, "file_name")
        if not isinstance(name, str) or not name or "\0" in name or not _encodes(name):
            raise _WrongError(f"{what} has the file_name {name!r}, which no file can have")
        if name in files:
            raise _WrongError(f"{what} has the file_name {name}, which image {files[name]} has, too")
        files[name] = key
        for field in ("width", "height"):
            side = _field(what, image, field)
            if not _is_integer(side) or side < 1:
                raise _WrongError(f"{what} has the {field} {side!r}, which is no positive integer")


def _check_annotations(entries: Entries) -> None:
    images = {image["id"]: image for image in entries.images}
    categories = {category["id"] for category in entries.categories}
    seen: set[int] = set()
    for number, annotation in enumerate(entries.annotations):
        what = f"annotation {_own_id('annotation', number, annotation, seen)}"
        image = images[_known(what, annotation, "image", images)]
        _known(what, annotation, "category", categories)
        _check_box(what, _field(what, annotation, "bbox"), image)
        if "area" in annotation and not _is_amount(annotation["area"]):
            raise _WrongError(f"{what} has the area {annotation['area']!r}, which is no number from 0")
        crowd = annotation.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise _WrongError(f"{what} has iscrowd {crowd!r}, which is neither 0 nor 1")
        outline = annotation.get("segmentation")
        if isinstance(outline, dict) and not _fits(outline, image):
            raise _WrongError(f"{what} has a segmentation whose run lengths are not those of its image, {image['id']}")


def _own_id(kind: str, number: int, entry: Any, seen: set[int]) -> int:
    """The id of an entry, which no other one may have."""
    if not isinstance(entry, dict):
        raise _WrongError(f"entry {number} of its list of {kind} entries is no object")
    key = _field(f"entry {number} of its list of {kind} entries", entry, "id")
    if not _is_integer(key):
        raise _WrongError(f"entry {number} of its list of {kind} entries has the id {key!r}, which is no integer")
    if key in seen:
        raise _WrongError(f"{kind} {key} is there twice")
    seen.add(key)
    return key


def _field(what: str, entry: dict[str, Any], name: str) -> Any:
    if name not in entry:
        raise _WrongError(f"{what} has no '{name}'")
    return entry[name]


def _known(what: str, annotation: dict[str, Any], kind: str, known: Collection[int]) -> int:
    key = _field(what, annotation, f"{kind}_id")
    if not _is_integer(key) or key not in known:
        raise _WrongError(f"{what} names {kind} {key!r}, which is not listed")
    return key


def _check_box(what: str, box: Any, image: Mapping[str, Any]) -> None:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise _WrongError(f"{what} has the bbox {box!r}, which is not four finite numbers")
    left, top, width, height = box
    if width < 0 or height < 0:
        raise _WrongError(f"{what} has the bbox {box}, whose width or height is negative")
    for start, length, edge in ((left, width, image["width"]), (top, height, image["height"])):
        if start > edge + _TOLERANCE or start + length < -_TOLERANCE:
            raise _WrongError(f"{what} has the bbox {box}, which lies outside of image {image['id']}")


def _fits(outline: dict[str, Any], image: Mapping[str, Any]) -> bool:
    """Whether run lengths are those of an image's pixels, as far as that can be seen without decoding them."""
    counts = outline.get("counts")
    if outline.get("size") != [image["height"], image["width"]]:
        return False
    if isinstance(counts, list):
        return all(_is_integer(run) and run >= 0 for run in counts) and sum(counts) == image["height"] * image["width"]
    # The last character ends a number, so its sixth bit is not set.
    return isinstance(counts, str) and bool(counts) and not counts.strip(_RUN_CHARACTERS) and counts[-1] < "P"


def _is_integer(value: Any) -> bool:
    return type(value) is int and -_LARGEST <= value <= _LARGEST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _LARGEST and math.isfinite(value)


def _is_amount(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _encodes(name: str) -> bool:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
