"""What every reader shares."""

import gzip
import tracemalloc

import pytest

from jaxsci.data import reading
from jaxsci.errors import InputError


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_asks_for_no_more_memory_than_it_needs(tmp_path, pack):
    """Where a process may have little address space, reading up to a large limit at once would fail for every file."""
    path = tmp_path / "file"
    path.write_bytes(pack(b"x" * 3_000_000))
    tracemalloc.start()
    content = reading.unpacked(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert content == b"x" * 3_000_000
    assert peak < 20_000_000


def test_more_than_the_memory_is_refused_while_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "free_memory", lambda: 4_000_000)
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"x" * 3_000_000))
    with pytest.raises(InputError, match="GiB unpacked, got more"):
        reading.unpacked(path)
