"""Trained parameters as one small file: plain arrays with their names, shapes and a checksum, without the state of the training."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

from jaxsci.core import Model, Params, StatefulModel
from jaxsci.errors import InputError
from jaxsci.files import DAMAGED, replacing

__all__ = ["FILE", "digest", "number", "read", "save"]

FILE = "weights.npz"
_HEADER = "header"
_FORMAT = 1
_REMEDY = "copy the run again, or go on with the training to write it anew"


def digest(*arrays: np.ndarray | None) -> str:
    """32 hexadecimal digits that arrays of the same types, shapes and numbers share: of SHA-256.

    None stands for an array that is absent.
    """
    found = hashlib.sha256()
    for array in arrays:
        array = np.asarray(() if array is None else array)
        found.update(f"{array.dtype.str} {array.shape};".encode())
        found.update(np.ascontiguousarray(array).data if array.size else b"")
    return found.hexdigest()[:32]


def number(model: Model | StatefulModel) -> int:
    """How many numbers of a network the gradient moves; the state of its layers, such as running means, is none of them."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    moved = shapes["params"] if isinstance(model, StatefulModel) else shapes
    return sum(leaf.size for leaf in jax.tree.leaves(moved))


def save(path: Path, params: Params) -> None:
    """Write the parameters, whole or not at all.

    Args:
        path: .npz to write. Each array is named by its keys, such as `layer_0/kernel`.
        params: nested dicts of arrays, wherever they lie.
    """
    arrays = _flat(params)
    header = {
        "format": _FORMAT,
        "dtypes": {name: array.dtype.name for name, array in arrays.items()},
        "digest": digest(*(_plain(array) for array in arrays.values())),
    }
    content: dict[str, Any] = {_HEADER: np.array(json.dumps(header)), **{n: _plain(a) for n, a in arrays.items()}}
    with replacing(path) as temporary:
        np.savez(temporary, **content)


def read(path: Path, like: Params) -> Params:
    """Read parameters into the structure of `like`, on the default device.

    Args:
        path: as written by `save`.
        like: the shapes and types to expect, such as `jax.eval_shape(model.init, key)`.

    Raises:
        InputError: the file is missing or damaged (its checksum is compared), or holds the parameters of another model.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            header = json.loads(str(content[_HEADER]))
            stored = {name: content[name] for name in content.files if name != _HEADER}
            dtypes, checksum = header["dtypes"], header["digest"]
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected the weights of a trained run, got no such file; {_REMEDY}") from error
    except DAMAGED as error:
        raise InputError(f"{path}: expected a file of weights, got one that is damaged ({error}); {_REMEDY}") from error
    if list(stored) != list(dtypes) or digest(*stored.values()) != checksum:
        raise InputError(f"{path}: expected weights of checksum {checksum}, got another; {_REMEDY}")
    expected = {name: (leaf.shape, np.dtype(leaf.dtype).name) for name, leaf in _leaves(like).items()}
    got = {name: (array.shape, dtypes[name]) for name, array in stored.items()}
    if got != expected:
        name = next(iter(sorted(set(got.items()) ^ set(expected.items()))))[0]
        raise InputError(
            f"{path}: expected {name} to be {_words(expected.get(name))} as in the run's model, got {_words(got.get(name))}; "
            "use the version of jaxsci that wrote it"
        )
    arrays = [_typed(stored[name], dtype) for name, (_, dtype) in expected.items()]
    # At once, where `asarray` compiles a program for every shape.
    found: Params = jax.device_put(jax.tree.unflatten(jax.tree.structure(like), arrays))
    return found


def _leaves(params: Params) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _flat(params: Params) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in _leaves(params).items()}


def _plain(array: np.ndarray) -> np.ndarray:
    """bfloat16 and its like, which the file format does not know, as the whole numbers with the same bits."""
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" else array


def _typed(array: np.ndarray, dtype: str) -> np.ndarray:
    known = getattr(ml_dtypes, dtype, None)
    return array if known is None else array.view(known)


def _words(leaf: tuple[tuple[int, ...], str] | None) -> str:
    return "absent" if leaf is None else f"{leaf[1]}{list(leaf[0])}"
