"""How a training process deals with its memory."""

import ctypes
import sys

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, in place of giving it back to the system.

    Every step of a training on a CPU asks for the same large tensors again, and the system hands
    out each of their pages zeroed: on two cores that took a quarter of the time. It holds for the
    whole process and its whole life, so it is for commands that train, and for nothing else.

    Returns:
        Whether it could be had: glibc can, musl, macOS and Windows cannot.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))
