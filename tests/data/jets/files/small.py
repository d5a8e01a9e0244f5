"""A few small jets, and files of them in each format."""

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from jaxsci.data.jets.files import jetclass


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


def some_jets(number, room, seed=0):
    rng = np.random.default_rng(seed)
    pt = np.sort(rng.exponential(20, (number, room)), axis=1)[:, ::-1]
    pt[np.arange(room) >= rng.integers(1, room + 1, number)[:, None]] = 0
    phi, eta = rng.uniform(-0.8, 0.8, (2, number, room))
    return np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1).astype(
        np.float32
    )


def write_jetclass(path, constituents, name, **numbers):
    """A file in the layout of JetClass, with a jagged branch for each component; `numbers` are one a jet."""
    present = constituents[..., 0] > 0
    counts = present.sum(axis=1)
    branches = {
        branch: ak.unflatten(constituents[..., place][present], counts)
        for place, branch in enumerate(("part_energy", "part_px", "part_py", "part_pz"))
    }
    labels = {f"label_{other}": np.full(len(counts), other == name, np.float32) for other in jetclass.CLASSES}
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "tree",
            {**dict.fromkeys(branches, "var * float32"), **dict.fromkeys([*labels, "jet_pt", *numbers], "float32")},
        )
        numbers = {"jet_pt": counts.astype(np.float32), **numbers}
        for rows in np.array_split(np.arange(len(counts)), 2):  # two clusters of baskets
            tree.extend({n: v[rows] for n, v in {**branches, **labels, **numbers}.items()})
