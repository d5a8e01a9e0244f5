"""Memory that a process keeps, in a process of its own: the setting cannot be taken back."""

import ctypes
import subprocess
import sys

import pytest

from jaxsci.errors import InputError
from jaxsci.memory import size_in_bytes

PROGRAM = """
import ctypes, resource
from jaxsci.memory import keep_memory

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]

def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

def left_behind():
    before = size()
    library.free(library.malloc(10**8))
    return size() - before

print(left_behind(), int(keep_memory()), left_behind(), left_behind())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="a setting of glibc"
)
def test_freed_arrays_are_kept_for_the_next() -> None:
    out = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    before, possible, first, second = map(int, out.split())
    assert possible
    assert before < 10**6  # returned at once
    assert first >= 10**8  # kept,
    assert second == 0  # and used again


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxsci.memory import keep_memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_memory() is False


@pytest.mark.parametrize(
    ("words", "size"), [("16GB", 16_000_000_000), ("1.5 MB", 1_500_000), ("2GiB", 2**31), ("500kB", 500_000)]
)
def test_sizes_as_users_write_them(words, size):
    assert size_in_bytes(words, "--device-memory") == size


@pytest.mark.parametrize("words", ["16", "GB", "-1GB", "0GB", "16 Gb", "a lot", "1e3MB"])
def test_what_is_no_size_is_said(words):
    with pytest.raises(InputError, match=r"^--device-memory: expected a size such as 16GB, got "):
        size_in_bytes(words, "--device-memory")
