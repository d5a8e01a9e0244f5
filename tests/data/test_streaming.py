"""Blocks of examples: every one once an epoch, in an order that is a function of the seed and the epoch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxsci.core import Shares
from jaxsci.data import sources, streaming
from jaxsci.data.sources import Column, Reader
from jaxsci.errors import InputError


def numbered(path):
    """A file of ten rows in chunks of three, none of which is on the disk."""
    start = 10 * int(Path(path).stem)
    return Reader(10, 3, {"x": Column((), "<i8")}, lambda first, last: {"x": np.arange(start + first, start + last)})


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    for number in range(4):
        (folder / f"{number}.rows").write_text("ten")
    return folder


def x(rows):
    return rows["x"]


def negative(rows):
    return {"a": -rows["x"], "b": (np.outer(rows["x"], [1.0, 2.0]),)}


@pytest.fixture
def source(numbers, monkeypatch):
    monkeypatch.setattr(sources, "_BYTES", 24)
    found = sources.source(numbers / "*.rows", numbered)
    assert len(found.chunks) == 4 * 4 + 1
    return found


@settings(deadline=None)
@given(block=st.integers(1, 50), seed=st.integers(0, 5), epoch=st.integers(1, 5), data=st.data())
def test_each_example_once_whatever_the_blocks(numbers, block, seed, epoch, data):
    found = sources.source(numbers / "*.rows", numbered)
    found.__dict__["chunks"] = np.concatenate([[0], *(10 * i + np.array([3, 6, 9, 10]) for i in range(4))])
    chosen = np.sort(np.array(sorted(data.draw(st.sets(st.integers(0, 39), min_size=1)))))
    stream = streaming.Stream(found, x, block, chosen, seed)
    blocks = list(stream.blocks(epoch))
    assert len(blocks) == -(-len(chosen) // block)
    assert all(b.shape == (block,) for b in blocks)
    flat = np.concatenate(blocks)
    order, padding = flat[: len(chosen)], flat[len(chosen) :]
    np.testing.assert_array_equal(np.sort(order), chosen)
    assert not padding.any()
    # The same from any block on, and the same rows whatever the size of the blocks
    first = data.draw(st.integers(0, len(blocks) - 1))
    for here, there in zip(stream.blocks(epoch, first), blocks[first:], strict=True):
        np.testing.assert_array_equal(here, there)
    one = next(streaming.Stream(found, x, 40, chosen, seed).blocks(epoch))
    np.testing.assert_array_equal(one[: len(chosen)], order)


@settings(deadline=None)
@given(
    parts=st.sampled_from([1, 2, 4]), batches=st.integers(1, 6), examples=st.integers(1, 40), epoch=st.integers(1, 3)
)
def test_shares_of_a_block_are_read_alone_and_together_are_the_block(numbers, parts, batches, examples, epoch):
    read = []

    def noted(rows):
        read.extend(rows["x"].tolist())
        return rows["x"] + 1  # 0 is padding

    stream = streaming.Stream(sources.source(numbers / "*.rows", numbered), noted, 8 * batches, np.arange(examples))
    whole = [block[block > 0] for block in stream.blocks(epoch)]
    shared = [[] for _ in whole]
    for own in range(parts):
        shares = Shares(parts, (own,), batch_size=8)
        read.clear()
        found = [share[own] for share in stream.blocks(epoch, shares=shares)]
        assert all(share.shape == (8 * batches // parts,) for share in found)
        kept = [share[share > 0] for share in found]
        assert sorted(read) in (sorted(np.concatenate(kept) - 1), sorted([0, *(np.concatenate(kept) - 1)]))
        for all_of_them, share in zip(shared, kept, strict=True):
            all_of_them.extend(share.tolist())
    for here, there in zip(shared, whole, strict=True):
        np.testing.assert_array_equal(here, there)


def test_epochs_and_seeds_differ(source):
    def order(seed, epoch):
        return np.concatenate(list(streaming.Stream(source, x, 8, seed=seed).blocks(epoch))).tolist()

    orders = [order(seed, epoch) for seed in (0, 1) for epoch in (1, 2)]
    assert len({tuple(one) for one in orders}) == 4


def test_processes_give_what_the_caller_gives(source):
    alone = list(streaming.Stream(source, negative, 16).blocks(1))
    with streaming.Workers(2) as workers:
        stream = streaming.Stream(source, negative, 16, workers=workers)
        for here, there in zip(stream.blocks(1), alone, strict=True):
            np.testing.assert_array_equal(here["a"], there["a"])
            np.testing.assert_array_equal(here["b"][0], there["b"][0])
        np.testing.assert_array_equal(np.concatenate([part["a"] for part in stream.in_order()]), -np.arange(40))
        left = stream.blocks(2)
        next(left)
        left.close()  # in the midst of an epoch
        with pytest.raises(ValueError, match="none of these"):
            list(streaming.Stream(source, _raising, 16, workers=workers).blocks(1))


def _raising(rows):
    raise ValueError("none of these")


def test_numbers_that_are_not_finite_are_named_by_file_and_row(tmp_path):
    values = np.ones((20, 2), np.float32)
    values[13, 1] = np.nan
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = values
    with pytest.raises(InputError, match=r"a\.h5: expected examples of finite numbers, got NaN or infinity in row 13"):
        list(streaming.Stream(sources.source(tmp_path / "a.h5"), x, 8).blocks(1))


ENDLESS = """
import os, sys, time
from jaxsci.data.streaming import Workers
if __name__ == "__main__":
    with Workers(1) as workers:
        print(next(workers.map(abs, [-1])), *[p for p in workers._pool._processes], flush=True)
        time.sleep(60)
"""


def test_processes_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    with subprocess.Popen([sys.executable, tmp_path / "endless.py"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline().split()[1])
        os.kill(child, 0)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for _ in range(200):
            try:
                os.kill(child, 0)
                ended = "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]
            except (ProcessLookupError, FileNotFoundError):
                ended = True
            if ended:
                return
            time.sleep(0.05)
    pytest.fail("the process goes on alone")
