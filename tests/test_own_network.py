"""A network of the user's own through the command: trained, resumed, loaded, trusted; whatever is wrong with it in one line."""

import importlib.util
import json
import py_compile
import re
import shutil
from pathlib import Path

import h5py
import jax
import jax.export
import numpy as np
import pytest

import jaxsci
from jaxsci.cli.main import main
from jaxsci.data import jets
from jaxsci.errors import InputError
from jaxsci.tasks import own_network
from jaxsci.tasks.top_tagging import own
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.tasks.top_tagging.taggers import Spec
from tests.command import refused

PAGE = Path(jaxsci.__file__).parents[1] / "docs" / "how-to" / "own-network.md"
SHOWN = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[1]
QUICK = ["--max-jets", "400", "--batch-size", "64"]
DENSE = """
import jax.numpy as jnp
from jaxsci.models import dense

def build(example_shape, outputs):
    network = dense.model(dense.Config(inputs={inputs}, outputs=outputs, hidden=()))
    return network._replace(apply=lambda params, x: network.apply(params, {x}))
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder, with notes of its own on what was trained with."""
    monkeypatch.chdir(tmp_path)
    home(tmp_path / "home", monkeypatch)


def home(folder, monkeypatch):
    monkeypatch.setattr(own_network.platformdirs, "user_state_path", lambda name: folder)
    monkeypatch.setattr(own_network, "_agreed", set())


def test_the_network_of_the_page_is_trained_resumed_and_asked(tmp_path, monkeypatch, capsys):
    Path("my_network.py").write_text(SHOWN)
    command = ["train", "top-tagging", "--model", "my_network.py:build", "--model-options", "width=4", *QUICK]
    main([*command, "--epochs", "2"])
    folder = tmp_path / "runs" / "top-tagging" / "my_network-1"
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["tagger"] == "my_network"
    assert "my_network.py" in (folder / "report.html").read_text()
    assert (folder / "my_network.py").read_text() == SHOWN

    # Exported, with its running means, for any number of jets.
    main(["export", str(folder), "--out", "tagger.jaxexport"])
    assert "float32[batch, 40, 40, 1] -> float32[batch]" in capsys.readouterr().out
    tagger, sample = jaxsci.load(folder), jets.read(jets.embedded(), limit=7)
    call = jax.export.deserialize(bytearray(Path("tagger.jaxexport").read_bytes())).call
    logits = call(tagger.prepare(sample.constituents))
    np.testing.assert_allclose(logits, tagger.predict(sample.constituents)["logit"], rtol=1e-5, atol=1e-5)

    assert "expected a network without state" in refused(capsys, "study", folder)

    # Stopped after its first epoch, it ends with the same numbers; the run has its copy of the file.
    stopped = Path(shutil.copytree(folder, folder.with_name("stopped")))
    for name in ("weights.npz", "evaluation.json", "report.html"):
        (stopped / name).unlink()
    newest = max((stopped / "checkpoints").glob("[0-9]*"), key=lambda path: int(path.name))
    shutil.rmtree(newest)
    Path("my_network.py").unlink()
    main(["train", "top-tagging", "--resume", str(stopped)])
    assert json.loads((stopped / "evaluation.json").read_text()) == evaluation
    with np.load(folder / "weights.npz") as whole, np.load(stopped / "weights.npz") as resumed:
        assert any("batch_stats" in name for name in whole.files)
        for name in set(whole.files) - {"header"}:
            np.testing.assert_array_equal(whole[name], resumed[name])

    # From elsewhere it is executed only for who says so.
    sent = Path(shutil.copytree(folder, tmp_path / "sent"))
    sample = jets.read(jets.embedded(), limit=20)
    with h5py.File("jets.h5", "w") as file:
        file["constituents"] = sample.constituents
    home(tmp_path / "colleague", monkeypatch)
    predict = ["predict", str(sent), "jets.h5", "--out", "scores.npz"]
    assert "to load this run is to execute" in refused(capsys, *predict)
    with pytest.raises(InputError, match=r"load\(\.\.\., trust=True\)"):
        jaxsci.load(sent)
    assert not Path("scores.npz").exists()
    main([*predict, "--trust"])
    answers = jaxsci.load(sent).predict(sample.constituents)["probability"]
    with np.load("scores.npz") as scores:
        np.testing.assert_allclose(scores["probability"], answers, rtol=1e-6)
    (sent / "my_network.py").write_text(SHOWN + "\nprint('changed')\n")
    assert "expected the network that was trained" in refused(capsys, *predict, "--trust")


@pytest.mark.parametrize(
    ("kind", "inputs", "x"),
    [("features", 7, "jnp.mean(x.elements, 0)"), ("constituents", 4, "jnp.mean(x, 0) / 100")],
)
def test_a_network_may_see_features_or_constituents(kind, inputs, x):
    Path("linear.py").write_text(DENSE.format(inputs=inputs, x=x))
    sample = jets.read(jets.embedded(), limit=5)
    room = sample.constituents.shape[1]
    options = Options(model="linear.py", input=kind)
    tagger = own.tagger(options, Spec(), room)
    params = jax.jit(tagger.model.init)(jax.random.key(0))
    apply = jax.jit(jax.vmap(tagger.model.apply, in_axes=(None, 0)))
    logits = apply(params, tagger.inputs(sample.constituents))
    assert logits.shape == (5,)
    if kind == "constituents":  # as many as in training, whatever the file has room for
        wider = np.pad(sample.constituents, ((0, 0), (0, 5), (0, 0)))
        np.testing.assert_array_equal(apply(params, tagger.inputs(wider)), logits)
        wider[:, -1] = 1
        with pytest.raises(InputError, match="constituents a jet as in training, got more"):
            tagger.inputs(wider)
    with pytest.raises(InputError, match="--input: expected images"):
        own.tagger(options, Spec(), None)


@pytest.mark.slow
def test_images_of_your_own_are_told_the_number_of_classes(tmp_path):
    Path("linear.py").write_text(DENSE.format(inputs=36, x="x.reshape(-1)"))
    y = np.arange(60) % 3
    np.savez("mine.npz", x=np.random.default_rng(0).random((60, 6, 6)) + y[:, None, None], y=y)
    main(["train", "images", "--data", "mine.npz", "--model", "linear.py:build", "--epochs", "1"])
    answers = jaxsci.load("runs/images/linear-1").predict(np.zeros((2, 6, 6)))
    assert set(answers) == {"class", "probability_0", "probability_1", "probability_2"}
    config = json.loads((tmp_path / "runs/images/linear-1/config.json").read_text())
    assert config["data"]["network"]["reference"] == "linear.py:build"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "my.py: no such file"),
        ("1 +", "my.py:1: SyntaxError: invalid syntax; mend it"),
        ("x = 1\ny = 1 / 0", "my.py:2: ZeroDivisionError: division by zero; mend it"),
        ("import sys\nsys.exit(3)", "my.py:2: SystemExit: 3; mend it"),
        ("def other(shape): ...", "expected a function build(example_shape, **options), got none"),
        ("def build(shape): return 3", "expected a Model, a StatefulModel or a linen module, got int"),
        ("def build(shape, width): ...", "TypeError: build() missing 1 required positional argument: 'width'"),
        (DENSE.format(inputs=3, x="x").replace("outputs)", "o=0)").replace("outputs=outputs", "outputs=1"), "my.py:"),
        *(
            (
                "import jax.numpy as jnp, jaxsci as js\n"
                f"def build(shape): return js.Model(lambda key: {params}, lambda p, x: {output})",
                f"TypeError: expected parameters and outputs of real numbers, got {got}",
            )
            for params, output, got in [
                ("{'w': jnp.zeros(1, int)}", "p['w'].astype(float)", "int32"),
                ("{'w': jnp.zeros(1, complex)}", "p['w'].real", "complex64"),
                ("{'w': jnp.zeros(1)}", "jnp.zeros(1, int)", "int32"),
                ("{}", "jnp.zeros(1)", "no parameters"),
            ]
        ),
        *(
            (
                "import jax.numpy as jnp\nfrom jaxsci.core import StatefulModel\n"
                f"def build(shape): return StatefulModel(lambda key: {{'params': {params}, 'state': {{}}}}, "
                f"lambda p, x, mask, key: (jnp.zeros({shape}), {{}}))",
                f"TypeError: expected parameters and outputs of real numbers, got {got}",
            )
            for params, shape, got in [
                ("{'w': jnp.zeros(1, complex)}", "3", "complex64"),
                ("{'w': jnp.zeros(1)}", "3, int", "int32"),
                ("{}", "3", "no parameters"),
            ]
        ),
        (
            DENSE.format(inputs=1600, x="x.reshape(-1)").replace("outputs)", "o=0)").replace("=outputs", "=2"),
            "expected an output of shape [] for one example, got [2]",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(content, words, tmp_path, capsys):
    if content is not None:
        Path("my.py").write_text(content)
    line = refused(capsys, "train", "top-tagging", "--model", "my.py:build", *QUICK)
    assert words in line
    assert not (tmp_path / "runs").exists()


def test_slips_of_the_pen_are_named(tmp_path, capsys):
    np.savez("mine.npz", x=np.random.default_rng(0).random((60, 6, 6)), y=np.arange(60) % 3)
    line = refused(capsys, "train", "images", "--data", "mine.npz", "--model", "cnnn")
    assert "expected a network by the library's name" in line
    line = refused(capsys, "train", "images", "--data", "mine.npz", "--model-options", "width=3")
    assert "--model-options: expected none for cnn" in line
    Path("my.py").write_text("def build(shape): ...")
    line = refused(capsys, "train", "top-tagging", "--model", "my.py", "--model-options", "width", *QUICK)
    assert "--model-options: expected name=value, each name once, got 'width'" in line
    assert not (tmp_path / "runs").exists()


def test_bytecode_beside_a_file_is_neither_believed_nor_written(tmp_path):
    file, other = Path("own.py"), Path("other.py")
    file.write_text(DENSE.format(inputs=2, x="x"))
    other.write_text("raise SystemExit")
    example, reference = np.zeros(2, np.float32), str(file)
    own_network.build(reference, example, (1,))
    assert not Path("__pycache__").exists()
    # Python would take it without a look at the source, whose digest is what was agreed to.
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(other), importlib.util.cache_from_source(reference), invalidation_mode=unchecked)
    own_network.build(reference, example, (1,))


def test_an_installed_network_is_found_by_its_module_or_entry_point(monkeypatch):
    example = np.zeros(3, np.float32)
    with pytest.raises(InputError, match="ModuleNotFoundError"):
        own_network.build("jaxsci_nowhere.module:build", example, ())

    class Entry:
        name = "nice"

        def load(self):
            return lambda shape, outputs: jaxsci.models.dense.model(jaxsci.models.dense.Config(*shape, outputs=outputs))

    monkeypatch.setattr(own_network.importlib.metadata, "entry_points", lambda group: [Entry()])
    assert own_network.build("nice", example, (2,)).init is not None
    with pytest.raises(InputError, match=r"installed one \(nice\), got 'nise'"):
        own_network.build("nise", example, (2,))


@pytest.mark.parametrize("words", [["--tagger", "cnn"], ["--precision", "float32"], ["--tagger", "pfn"]])
def test_a_tagger_beside_a_network_of_ones_own_is_refused_though_it_is_the_default(words, tmp_path, capsys):
    (tmp_path / "net.py").write_text("def build(shape): ...")
    line = refused(capsys, "train", "top-tagging", "--model", f"{tmp_path / 'net.py'}:build", *words)
    assert f"{words[0]}: expected none beside --model" in line
    assert f"got {words[1]}" in line
