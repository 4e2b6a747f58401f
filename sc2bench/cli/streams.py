"""Standard output and error: of any encoding, full, or closed by who reads them."""

import codecs
import errno
import io
import os
import sys
from contextlib import suppress

_HANDLER = "sc2bench"


def _encodable(error: UnicodeError) -> tuple[str | bytes, int]:
    """File names come out as the bytes that they are; of other characters what can't be shown is spelled out."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    parts = [
        bytes([ord(character) & 0xFF])
        if 0xDC80 <= ord(character) <= 0xDCFF
        else character.encode("ascii", "backslashreplace")
        for character in text
    ]
    return b"".join(parts), error.end


def take_any_text() -> None:
    """Lets both streams take what their encoding can't, as in the C locale."""
    codecs.register_error(_HANDLER, _encodable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def say_error(text: str) -> None:
    """Writes a line to standard error, if anybody is there to read it."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


def finish_output() -> int:
    """Writes what is still to be written to standard output; returns the exit code, 0 if all went well."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        return 0
    except (OSError, ValueError) as error:
        # Python flushes it again when it ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A reader that wants no more, such as `head`, needs no word.
        if isinstance(error, OSError) and error.errno != errno.EPIPE:
            say_error(f"error: can't write to standard output: {error.strerror or error}")
        return 1
