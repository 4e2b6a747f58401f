"""Errors that a user can mend: each is one sentence that names the thing, the value and the way out."""

from collections.abc import Iterable
from difflib import get_close_matches


class Sc2benchError(Exception):
    """Base of all errors that are shown without a traceback."""


class ConfigError(Sc2benchError):
    """A configuration names something unknown, or gives a value of the wrong type or range."""


class DataError(Sc2benchError):
    """A data set is missing, damaged or of another shape than expected."""


class InputError(DataError, ValueError):
    """Images or latents that are given to a model or codec are not such as it takes."""


class CheckpointError(Sc2benchError):
    """A checkpoint is missing, unreadable or belongs to another configuration."""


class OutputError(Sc2benchError):
    """A result could not be written."""


class TrainingError(Sc2benchError):
    """Training can't go on, for instance because the loss is not finite."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Says which known names are like `name`, as the tail of an error's sentence.

    >>> nearest("jpg", ["jpeg", "webp"])
    "did you mean 'jpeg'?"
    >>> nearest("zzz", ["jpeg", "webp"])
    'known: jpeg, webp'
    """
    known = sorted(known)
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known) or 'none'}"
