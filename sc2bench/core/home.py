"""The user's home folder, also where there is none, as in containers that run under a bare number."""

import os
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

# Of users without a home by convention: nothing can be written there, and libraries do without.
_NOWHERE = Path("/nonexistent")


@cache
def home_folder() -> Path:
    """The home folder; where neither HOME nor passwd names one, a private folder beside temporary files."""
    home = os.path.expanduser("~")  # noqa: PTH111 - pathlib's raises where there is none
    if not home.startswith("~") and os.environ.get("HOME") != "":
        return Path(home)
    return _made_up()


def ensure_home() -> None:
    """Gives HOME to libraries that look for it; without one some would make a folder called "~" where they are."""
    home = home_folder()
    if not os.environ.get("HOME"):
        os.environ["HOME"] = str(home)


def _made_up() -> Path:
    try:
        folder = Path(tempfile.gettempdir()) / f"sc2bench-home-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
                # Anybody may make a folder of this name, and fill it with weights of their own.
                return Path(tempfile.mkdtemp(prefix="sc2bench-home-"))
        else:
            if sys.stderr is not None:
                print(f"there is no home folder; caches lie in {folder}, set HOME to choose a place", file=sys.stderr)
        return folder
    except OSError:
        return _NOWHERE
