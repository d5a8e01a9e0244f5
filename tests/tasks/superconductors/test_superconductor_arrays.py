"""The files of an ensemble of superconductors predict without the library, and a run without its tables."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsci
from jaxsci.data.materials.compositions import dense, encode
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import parse
from jaxsci.errors import InputError
from jaxsci.tasks.superconductors import gaussian_process, samples
from jaxsci.tasks.superconductors.ensemble import files, portable, prediction
from jaxsci.tasks.superconductors.networks import network
from jaxsci.tasks.superconductors.predict import predict


@pytest.fixture(autouse=True)
def elsewhere(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXSCI_DATA", str(root / "data"))


def test_the_compiled_file_predicts_without_this_library(tc_run):
    """In a process that cannot import jaxsci; for one material and for several."""
    code = (
        "import sys, jax, numpy as np\nsys.modules['jaxsci'] = None\n"
        "call = jax.export.deserialize(bytearray(open(sys.argv[1], 'rb').read())).call\n"
        "x = np.zeros((3, 96), np.float32); x[:, 40] = 3; x[:, 49] = 1\n"
        "print(*(float(call(x[:n])['tc'][0]) for n in (1, 3)))"
    )
    command = [sys.executable, "-c", "from jax import export\n" + code, str(tc_run / files.COMPILED)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stderr
    found, _ = predict(["Nb3Sn"], [tc_run])
    np.testing.assert_allclose(np.array(result.stdout.split(), float), found.values["tc"][0], rtol=1e-5)


FORMULAS = ("Nb3Sn", "Cu3Ba2O6.9Y", "Nb0.25Ti(GeSn)2", "HeNa", "Nb")


@pytest.mark.parametrize("kind", ["tc", "class", "tc without process", "class without process", "published"])
def test_the_arrays_predict_by_numpy_alone_as_the_library_does(kind, tc_run, class_run):
    """In a process that can import neither jax nor jaxsci."""
    folder = class_run if kind.startswith("class") else tc_run
    ensemble = files.read(folder / files.ARRAYS)
    if kind == "published":
        net = network("published", "tc", ensemble.table)
        keys = jax.random.split(jax.random.key(3), 2)
        ensemble = ensemble._replace(network=net, params=jax.jit(jax.vmap(net.model.init))(keys), gp=None)
    if "without" in kind:
        ensemble = ensemble._replace(gp=None)
    folder = Path.cwd()
    files.save_arrays(ensemble, folder, "published" if kind == "published" else "best")
    code = (
        "import sys, json\nsys.modules.update(dict.fromkeys(('jax', 'jaxsci', 'scipy')))\n"
        "from predict_superconductors import load\n"
        "print(json.dumps({k: v.tolist() for k, v in load()(sys.argv[1:]).items()}))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", code, *FORMULAS], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    amounts = dense(encode([parse(text) for text in FORMULAS]), ELEMENTS)
    expected = prediction.predict(jax.jit(prediction.predictor(ensemble)), amounts)
    found = json.loads(result.stdout)
    assert set(found) == set(expected)
    far = np.zeros(len(FORMULAS), bool)
    if ensemble.gp is not None:
        novelty = gaussian_process.posterior(ensemble.gp, jnp.asarray(amounts), jnp.asarray(ensemble.table))[1]
        far = np.asarray(novelty) > ensemble.calibration.far
        assert 0 < ensemble.calibration.far < 1
    assert expected["out_of_distribution"].tolist() == (far | [False, False, True, True, False]).tolist()
    for name, values in expected.items():
        # Single precision, of sums of some hundred numbers; the weights of a process are up to 1 / noise, 67.
        np.testing.assert_allclose(found[name], values, rtol=3e-4, atol=3e-3, err_msg=name)
    assert {"gp", "network"} & {name.split("/")[0] for name in np.load(files.ARRAYS).files} == (
        {"network"} if ensemble.gp is None else {"gp", "network"}
    )


def test_a_run_is_loaded_without_its_tables(tc_run, tmp_path, monkeypatch):
    """Of an older version too, whose files are the compiled function, with other names, and the checkpoints."""
    monkeypatch.setenv("JAXSCI_DATA", str(tmp_path / "nothing"))
    for module in (samples.sc, samples):
        monkeypatch.setattr(module, "read_measured" if module is samples.sc else "read_tc", None)
    run = jaxsci.load(tc_run)
    expected = run.predict(["Nb3Sn", "Nb3Ge"])
    older = tmp_path / "older"
    shutil.copytree(tc_run, older)
    for name in (files.ARRAYS, "weights.npz"):
        (older / name).unlink()
    old = {"aleatoric": "noise", "epistemic": "member_spread", "out_of_distribution": "outside"}
    ensemble = files.read(tc_run / files.ARRAYS)
    predict_all = prediction.predictor(ensemble)
    files.save_compiled(lambda x: {old.get(k, k): v for k, v in predict_all(x).items()}, older / files.COMPILED)
    again = jaxsci.load(older)
    jax.tree.map(np.testing.assert_array_equal, again.params, run.params)
    found = again.predict(["Nb3Sn", "Nb3Ge"])
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5)
    outputs = jax.vmap(run.model.apply, in_axes=(0, None))(run.params, jnp.asarray(run.prepare(["Nb3Sn"])[0]))
    assert outputs.shape == (2, 19)


def test_a_damaged_or_foreign_file_of_arrays_is_refused(tc_run):
    Path("damaged.npz").write_bytes((tc_run / files.ARRAYS).read_bytes()[:5000])
    with pytest.raises(InputError, match=r"damaged.npz: expected the arrays"):
        files.read(Path("damaged.npz"))
    arrays = dict(np.load(tc_run / files.ARRAYS))
    header = json.loads(str(arrays["header"]))
    for name, value in (("format", 99), ("network", {**header["network"], "heads": 4})):
        np.savez("other.npz", **{**arrays, "header": np.array(json.dumps({**header, name: value}))})
        with pytest.raises(InputError, match=r"other.npz: expected a network of this version"):
            files.read(Path("other.npz"))
    np.savez("other.npz", **{**arrays, "header": np.array(json.dumps({**header, "format": 99}))})
    with pytest.raises(ValueError, match="expected format 1 or 2, got 99"):
        portable.load("other.npz")
    old = {k: v for k, v in header["calibration"].items() if k not in ("widening", "far")}  # as in format 1
    np.savez("old.npz", **{**arrays, "header": np.array(json.dumps({**header, "format": 1, "calibration": old}))})
    assert (header["format"], *files.read(Path("old.npz")).calibration) == (2, *old.values(), 0, 1)
    now, before = (portable.load(path)(FORMULAS) for path in (tc_run / files.ARRAYS, "old.npz"))
    np.testing.assert_array_equal(before["tc"], now["tc"])
    assert before["out_of_distribution"].tolist() == [False, False, True, True, False]
