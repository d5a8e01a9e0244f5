"""The files of an ensemble: plain arrays with a reader in NumPy, and the compiled function of `jax.export`."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from jaxsci.core import Params
from jaxsci.data.materials.compositions import SLOTS
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import SYMBOLS
from jaxsci.errors import InputError
from jaxsci.files import DAMAGED, replacing
from jaxsci.files import arrays as read_arrays
from jaxsci.models import compositional
from jaxsci.tasks.superconductors import gaussian_process
from jaxsci.tasks.superconductors.ensemble import portable, prediction
from jaxsci.tasks.superconductors.ensemble.prediction import ClassCalibration, Ensemble, Predictor, TcCalibration
from jaxsci.tasks.superconductors.networks import UNIT, NetworkName, network

ARRAYS = "ensemble.npz"
READER = "predict_superconductors.py"
COMPILED = "ensemble.jaxexport"
_PLATFORMS = ("cpu", "cuda", "tpu")
_RENAMED = {"noise": "aleatoric", "member_spread": "epistemic", "outside": "out_of_distribution"}  # before 0.1.0


def save(ensemble: Ensemble, folder: Path, model: NetworkName) -> None:
    """Write both forms of the ensemble of a network of this name into a folder, each file whole or not at all."""
    save_arrays(ensemble, folder, model)
    save_compiled(prediction.predictor(ensemble), folder / COMPILED)


def save_arrays(ensemble: Ensemble, folder: Path, model: NetworkName) -> None:
    """Write the ensemble of a network of this name as arrays, and the reader beside them."""
    net, gp = ensemble.network, ensemble.gp
    kind = "elements" if isinstance(net.config, compositional.Config) else "sets"
    header = {
        "format": portable.FORMAT,
        "target": "tc" if isinstance(ensemble.calibration, TcCalibration) else "class",
        "model": model,
        "members": len(jax.tree.leaves(ensemble.params)[0]),
        "symbols": SYMBOLS[:ELEMENTS],
        "network": {"kind": kind, "slots": SLOTS, **asdict(net.config)},
        "gp": None if gp is None else {"materials": gp.materials, **asdict(gp.config)},
        "calibration": ensemble.calibration._asdict(),
        "unit": UNIT,
        "normal_95": prediction.NORMAL_95,
        "narrowest": prediction.NARROWEST,
    }
    arrays: dict[str, Any] = {"header": np.array(json.dumps(header)), "table": ensemble.table, "known": ensemble.known}
    arrays |= _flat("network/", ensemble.params) | _flat("gp/", {} if gp is None else gp.params)
    with replacing(folder / ARRAYS) as temporary:
        np.savez_compressed(temporary, **arrays)
    with replacing(folder / READER) as temporary:
        shutil.copyfile(portable.__file__, temporary)


def save_compiled(predictor: Predictor, path: Path) -> None:
    """Write the function with `jax.export`, for any number of materials and for CPU, CUDA and TPU."""
    materials = export.symbolic_shape("materials")[0]
    shape = jax.ShapeDtypeStruct((materials, ELEMENTS), jnp.float32)
    content = export.export(jax.jit(predictor), platforms=_PLATFORMS)(shape).serialize()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read(path: Path) -> Ensemble:
    """The ensemble of a file of arrays.

    Raises:
        InputError: the file is damaged, or holds another network than this version has.
    """
    try:
        arrays = read_arrays(path)
        header = json.loads(str(arrays.pop("header")))
    except DAMAGED as error:
        raise InputError(f"{path}: expected the arrays of an ensemble, got {error}; train the run again") from error
    net = network(header["model"], header["target"], arrays["table"])
    if (
        header["format"] not in (1, portable.FORMAT)
        or not json.loads(json.dumps(asdict(net.config))).items() <= header["network"].items()
    ):
        raise InputError(f"{path}: expected a network of this version, got another; use {READER} beside it")
    gp, calibration = header["gp"], header["calibration"]
    if gp is not None:
        materials = gp.pop("materials")
        settings: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in gp.items()}
        gp = gaussian_process.GP(gaussian_process.Config(**settings), _nested("gp/", arrays), materials)
    kind = TcCalibration if header["target"] == "tc" else ClassCalibration
    return Ensemble(net, _nested("network/", arrays), arrays["table"], arrays["known"], gp, kind(**calibration))


def load_compiled(path: Path) -> Predictor:
    """The function of a file of `jax.export`; the names that older files gave to predictions are translated.

    Raises:
        InputError: no such file, or another one.
    """
    if not path.exists():
        raise InputError(
            f"{path}: expected the ensemble of a finished run, found none; train with jaxsci train superconductors"
        )
    try:
        exported = export.deserialize(bytearray(path.read_bytes()))
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(
            f"{path}: expected a file of jax.export, but it cannot be read; train the run again"
        ) from error
    return jax.jit(lambda amounts: {_RENAMED.get(k, k): v for k, v in exported.call(amounts).items()})


def _flat(prefix: str, params: Params) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {prefix + jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in leaves}


def _nested(prefix: str, arrays: dict[str, np.ndarray]) -> Params:
    result: dict[str, Any] = {}
    for name, array in arrays.items():
        if name.startswith(prefix):
            *path, leaf = name.removeprefix(prefix).split("/")
            place = result
            for part in path:
                place = place.setdefault(part, {})
            place[leaf] = array
    found: Params = jax.device_put(result)  # at once, where `asarray` compiles a program for every shape
    return found
