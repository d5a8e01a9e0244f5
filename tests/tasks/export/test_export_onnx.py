"""Networks as ONNX files: onnxruntime gives the logits of the run, for any number of examples."""

import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.core import Model
from jaxsci.data import jets
from jaxsci.errors import InputError
from jaxsci.runs.task import Trained
from jaxsci.tasks import export
from jaxsci.tasks.top_tagging.taggers import tagger
from jaxsci.training import predict


def trained(model, prepare, example):
    return Trained(model, jax.jit(model.init)(jax.random.key(3)), prepare, prepare, {"task": "top-tagging"}, example)


@pytest.mark.parametrize("name", ["cnn", "pfn", "pelican", pytest.param("pelican-rest", marks=pytest.mark.slow)])
def test_logits_are_those_of_the_network(name, tmp_path):
    pytest.importorskip("jax2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    constituents = jets.read(jets.embedded(), limit=7).constituents
    found = tagger(name)
    run = trained(found.model, found.inputs, constituents[:1])
    export.write(run, tmp_path / "network.onnx", form="onnx")
    reader = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found.inputs(constituents))]
    wanted = predict(found.model.apply, run.params, found.inputs(constituents), batch_size=7)
    scale = max(1.0, float(np.abs(wanted).max()))
    for number in (1, 7):
        names = [entry.name for entry in reader.get_inputs()]
        (logits,) = reader.run(None, dict(zip(names, (leaf[:number] for leaf in leaves), strict=True)))
        np.testing.assert_allclose(
            logits, wanted[:number], rtol=0, atol=1e-5 * scale
        )  # sums in another order, in float32


def test_what_cannot_be_converted_is_refused_and_leaves_nothing(tmp_path):
    pytest.importorskip("jax2onnx")
    model = Model(lambda key: {"w": jnp.eye(3)}, lambda params, x: jax.scipy.linalg.expm(params["w"] * x)[0])
    run = trained(model, np.asarray, np.ones((1, 3), np.float32))
    with pytest.raises(InputError, match="--format onnx: expected a network that jax2onnx converts"):
        export.write(run, tmp_path / "n.onnx", form="onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_package_one_line_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **others):
        if name in ("jax2onnx", "onnxruntime"):
            raise ImportError(f"No module named '{name}'")
        return real(name, *arguments, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    model = Model(lambda key: {"w": jnp.ones(3)}, lambda params, x: jnp.sum(x * params["w"]))
    run = trained(model, np.asarray, np.ones((1, 3), np.float32))
    with pytest.raises(InputError, match=r"pip install 'jaxsci\[onnx\]'"):
        export.write(run, tmp_path / "n.onnx", form="onnx")
    with pytest.raises(InputError, match=r"a name that ends in \.onnx"):
        export.write(run, tmp_path / "n.npz", form="onnx")
    assert not list(tmp_path.iterdir())
