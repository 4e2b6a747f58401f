"""How the process keeps its memory: on processors, large tensors cost more to get than to fill."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_PAD_BYTES = 64 << 20
_NEVER = (1 << 31) - 1


def keep_memory() -> bool:
    """Lets the process keep what it frees, so that the next large tensor finds pages that are there already.

    glibc gives every block above 32 MB back to the system when it is freed, and the system clears each page before
    it hands it out again. Networks at 224x224 allocate such blocks all the time. No result changes; the process
    stays as large as it was at its peak.

    Returns:
        Whether the C library knows how; others than glibc are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _PAD_BYTES))
    outcomes = [mallopt(name, value) for name, value in settings]
    return all(outcomes)
