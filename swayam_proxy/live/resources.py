"""What a proxy process asks of its operating system at its start: memory habits and descriptors.

Knows the C library and the kernel's limits, nothing of the proxy.
"""

import ctypes
import resource
import sys
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_MMAP_THRESHOLD_BYTES: Final = 4 * 1024 * 1024
_TRIM_THRESHOLD_BYTES: Final = 16 * 1024 * 1024
_DESCRIPTORS_OF_OUR_OWN: Final = 40
"""Listeners, logs, the loop, the admin address with some connections, libraries."""


def keep_freed_memory() -> bool:
    """Let the C library keep freed read buffers rather than give them back; return whether it does.

    The loop reads into buffers of 256 KiB. glibc maps and unmaps what is above 128 KiB each time, which makes
    answers of 1 MB more than twice as expensive. The same could be said in the environment
    (MALLOC_*_THRESHOLD_), but only before the process starts; other C libraries do not have the habit.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    mmap_set = mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
    trim_set = mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)
    return bool(mmap_set and trim_set)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; return the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


def connections_that_fit(descriptors_count: int) -> int:
    """Return how many client connections leave a third as many descriptors for backends, and some for us."""
    return max(8, (descriptors_count - _DESCRIPTORS_OF_OUR_OWN) * 3 // 4)
