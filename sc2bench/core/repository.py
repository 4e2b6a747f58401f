"""What git knows of code: the commit that it lies in, and whether it differs from it."""

import os
import subprocess
from pathlib import Path

_TIMEOUT_S = 10
# Of whoever calls us from within a hook of git's; they would name another repository than the folder's own.
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


def state_of(folder: Path, *options: str) -> tuple[str | None, bool | None]:
    """The commit of the git repository that a folder lies in, and whether it has changes.

    Args:
        folder: any folder of the repository.
        options: of `git status`, which say what counts as a change.

    Returns:
        40 hexadecimal digits and a flag; (None, None) outside of any repository, and where git is missing or fails.
    """
    commit = git(folder, "rev-parse", "HEAD")
    changes = None if commit is None else git(folder, "status", "--porcelain", *options)
    return (None, None) if changes is None else (commit, bool(changes))


def git(folder: Path, *arguments: str) -> str | None:
    """What git says in a folder; `None` if it fails, is missing, or takes longer than 10 s."""
    # Reading the state of a repository must not write into it: others may be at work there.
    environment = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    command = ["git", "--literal-pathspecs", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S, env=environment)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return os.fsdecode(done.stdout).strip()
