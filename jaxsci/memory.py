"""Memory that a process keeps for its next arrays, where the C library gives that of large ones back to the operating system."""

import ctypes
import re
import sys

from jaxsci.errors import InputError

__all__ = ["keep_memory", "size_in_bytes"]

UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

# Of mallopt(3): never trim the heap, let it grow by 64 MiB at a time, map no array apart from it, one heap for all threads.
SETTINGS = {"M_TRIM_THRESHOLD": (-1, -1), "M_TOP_PAD": (-2, 2**26), "M_MMAP_MAX": (-4, 0), "M_ARENA_MAX": (-8, 1)}


def keep_memory() -> bool:
    """Let this process keep the memory of the arrays that it frees; returns whether the C library can (glibc: Linux).

    glibc returns an array of more than 32 MB to the operating system as soon as it is freed. The next one gets new pages, which takes
    about 12 ms for 50 MB: as long as a convolution that writes them. Programs that call a compiled function again and again on large
    arrays gain most; those that loop inside (`lax.scan`), as the training of this library does, allocate once and gain little.

    Call it once, before the first large arrays. The process stays as large as it has ever been until it ends.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all(library.mallopt(option, value) == 1 for option, value in SETTINGS.values())


def size_in_bytes(words: str, option: str) -> int:
    """The number of bytes that a user means by "16GB" or "500 MiB".

    Raises:
        InputError: it is no size; the message names the `option`.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKMGT]i?B)\s*", words)
    unit = "" if found is None else found[2].replace("KB", "kB").replace("kiB", "KiB")
    size = 0 if found is None else int(float(found[1]) * UNITS[unit])
    if not size:
        raise InputError(
            f"{option}: expected a size such as 16GB, got {words!r}; give a number above 0 with kB, MB, GB or TB"
        )
    return size
