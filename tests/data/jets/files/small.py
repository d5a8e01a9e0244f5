"""A few small jets, and files of them in each format."""

import h5py
import numpy as np
import pytest


def sample(n=30, k=6, seed=0):
    """Jets of 1 to k massless constituents, hardest first, as (E, px, py, pz) in float32, and labels of both classes."""
    rng = np.random.default_rng(seed)
    pt = -np.sort(-rng.exponential(50.0, (n, k)) - 1, axis=1) * (np.arange(k) < rng.integers(1, k + 1, n)[:, None])
    eta, phi = rng.normal(0, 1, (2, n, k))
    constituents = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)
    return constituents.astype(np.float32), (np.arange(n) % 2).astype(np.uint8)


def write_h5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return path


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def write_npz_compressed(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


WRITERS = [
    pytest.param(w, s, id=w.__name__)
    for w, s in ((write_h5, ".h5"), (write_npz, ".npz"), (write_npz_compressed, ".npz"))
]
formats = pytest.mark.parametrize(("write", "suffix"), WRITERS)
