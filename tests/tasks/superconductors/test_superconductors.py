"""Superconductors from the command: training, report, evaluation, prediction and bad input, on a small simulated set of tables."""

import csv
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
from jaxsci.cli.main import main
from jaxsci.data.materials.compositions import dense, encode
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import parse
from jaxsci.errors import InputError
from jaxsci.tasks.superconductors import gaussian_process, samples
from jaxsci.tasks.superconductors.ensemble import files, portable, prediction
from jaxsci.tasks.superconductors.networks import network
from jaxsci.tasks.superconductors.predict import predict
from tests.command import refused, requests_of
from tests.tasks.superconductors.superconductor_files import BAD_TABLES, QUICK


@pytest.fixture(autouse=True)
def elsewhere(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXSCI_DATA", str(root / "data"))


def test_both_runs_are_complete(tc_run, class_run):
    for folder in (tc_run, class_run):
        page = (folder / "report.html").read_text()
        assert page.count("data:image/png;base64") == 2 * len(list((folder / "figures").iterdir())) == 12
        assert "jaxsci train superconductors" in page
        assert not requests_of(page)
    tc = json.loads((tc_run / "evaluation.json").read_text())
    assert tc["materials"] == 32  # a fifth of 160
    data = json.loads((tc_run / "config.json").read_text())["data"]
    assert data["cleaning"]["more for training"]["in the other table"] == 9
    assert data["materials"] == 160 + 1
    assert tc["metrics"]["rmse"]["lower"] <= tc["metrics"]["rmse"]["value"] <= tc["metrics"]["rmse"]["upper"]
    assert set(tc["list"]) == set(tc["metrics"])
    found = json.loads((class_run / "evaluation.json").read_text())
    assert np.sum(found["list"]["confusion_matrix"]) == 20
    cleaning = json.loads((class_run / "config.json").read_text())["data"]["cleaning"]
    assert cleaning["superconductors"]["Tc not reported"] == 20
    assert cleaning["more superconductors"]["left"] == 1
    assert cleaning["COD"]["carbon with hydrogen"] == 10
    assert cleaning["SuperCon without Tc"]["left"] <= 20


def test_evaluating_again_gives_the_same_numbers(tc_run, capsys):
    before = (tc_run / "evaluation.json").read_text()
    main(["evaluate", str(tc_run)])
    assert (tc_run / "evaluation.json").read_text() == before
    main(["compare", str(tc_run)])
    assert "rmse" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["tc", "class"])
def test_another_table_is_evaluated_and_what_of_it_was_trained_on_is_said(target, tc_run, class_run, capsys):
    run = tc_run if target == "tc" else class_run
    own = ["Nb0.41Sn", "Nb0.42Sn", "Cu3Ba2O0.4Y", "Cu3Ba2O0.5Y"]
    text = "compound;critical_temp_K\n" + "".join(
        f"{x};{t}\n" for x, t in zip(own, ("9,5", "7", "0", "80"), strict=True)
    )
    Path("more.csv").write_text(text)
    main(["evaluate", str(run), "--data", "more.csv"])
    out = run / "evaluations" / "more"
    found, page = json.loads((out / "evaluation.json").read_text()), (out / "report.html").read_text()
    assert found["part"] == "more.csv"
    assert "None of the" in page
    assert "test split" not in page.partition("How to repeat")[0]
    assert not requests_of(page)
    expected, _ = predict(own, [run])
    if target == "class":
        right = np.mean(expected.values["superconducts"] == [True, True, False, True])
        assert found["metrics"]["accuracy"]["value"] == pytest.approx(right)
    else:  # Tc = 0 is no temperature
        error = (expected.values["tc"] - [9.5, 7, 0, 80])[[0, 1, 3]]
        assert found["metrics"]["rmse"]["value"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)
        assert found["materials"] == 3
        assert "1 of 4 rows left out (Tc not reported 1)" in capsys.readouterr().err
    Path("all.csv").write_text(
        (Path(os.environ["JAXSCI_DATA"]) / "superconductors" / samples.sc.FILES["stanev"]).read_text()
    )
    main(["evaluate", str(run), "--data", "all.csv"])
    known = json.loads((run / "evaluations" / "all" / "evaluation.json").read_text())["known"]
    if target == "tc":  # four fifths of 160 rows, and those of the others whose composition is among them
        assert 128 <= known < 150
    else:
        assert known > 0
    assert f"Warning: {known:,} of the" in (run / "evaluations" / "all" / "report.html").read_text()
    Path("one.csv").write_text("formula,Tc\nNb3Sn,18\nNb3Ge,18\n")
    assert "of one kind" in refused(capsys, "evaluate", run, "--data", "one.csv")
    Path("other.csv").write_text("formula,T\nNb3Sn,18\n")
    assert "--tc-column" not in refused(capsys, "evaluate", run, "--data", "other.csv")
    shutil.rmtree(run / "evaluations")


def test_formulas_on_the_command_line(tc_run, class_run, capsys):
    main(["predict", "superconductors", "Nb1.5Sn", "HeNa", "Nb30Sn", "--run", str(tc_run), str(class_run)])
    printed = capsys.readouterr().out
    assert "Nb1.5Sn" in printed
    assert "probability" in printed
    assert "warning: HeNa" in printed
    assert "warning: Nb30Sn: far from all materials" in printed
    assert "warning: Nb1.5Sn" not in printed


def test_formulas_and_tables_of_them_are_answered_as_json_and_csv(tc_run, capsys):
    Path("some.csv").write_text("formula\nNb1.5Sn\nNbx\nHeNa\n")
    for words in (["Nb1.5Sn", "HeNa"], ["some.csv", "--skip-bad", "--contributions"]):
        command = ["predict", "superconductors", *words, "--run", str(tc_run)]
        capsys.readouterr()
        main([*command, "--json"])
        out, said = capsys.readouterr()
        assert ("1 left out: formula not readable" in said) == ("some.csv" in words)
        assert "warning: HeNa" in said
        found = json.loads(out)["predictions"]
        assert [entry["formula"] for entry in found] == ["Nb1.5Sn", "HeNa"]
        assert [entry["out_of_distribution"] for entry in found] == [False, True]
        main([*command, "--csv"])
        rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        assert [float(row["tc"]) for row in rows] == [entry["tc"] for entry in found]
        parts = {k: float(v) for k, v in (part.split(":") for part in rows[0]["contributions"].split())}
        assert parts == pytest.approx(found[0]["contributions"], rel=1e-3)
    assert "got both" in refused(capsys, *command, "--json", "--out", "x.csv")
    assert "expected a table of formulas" in refused(
        capsys, "predict", "superconductors", "Nb", "--run", tc_run, "--out", "x.csv"
    )


def test_an_answer_depends_on_the_composition_alone(tc_run):
    found, _ = predict(["Nb3Sn", "SnNb3", "Sn2Nb6", "(Nb3Sn)4"], [tc_run])
    for values in found.values.values():
        # Amounts become fractions in float32: one rounding.
        np.testing.assert_allclose(values.astype(float), float(values[0]), rtol=1e-5)
    (whole, *_), first = found.values["tc"], found.contributions[0]
    alone, _ = predict(["Nb", "Sn"], [tc_run])
    assert first["Nb"] == pytest.approx(whole - alone.values["tc"][1], rel=1e-4, abs=1e-4)
    assert first["Sn"] == pytest.approx(whole - alone.values["tc"][0], rel=1e-4, abs=1e-4)


def test_a_table_is_predicted_as_its_formulas_are(tc_run):
    Path("some.csv").write_text("formula\nNb3Sn\nCu3Ba2O7Y\n")
    main(["predict", "superconductors", "some.csv", "--run", str(tc_run), "--out", "a.csv", "--contributions"])
    main(["predict", str(tc_run), "some.csv", "--out", "b.h5"])
    lines = Path("a.csv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("row,formula,tc,tc_lower,tc_upper")
    found, _ = predict(["Nb3Sn", "Cu3Ba2O7Y"], [tc_run])
    np.testing.assert_allclose([float(line.split(",")[2]) for line in lines[1:]], found.values["tc"], rtol=1e-5)
    import h5py

    with h5py.File("b.h5") as file:
        assert file["formula"].asstr()[:].tolist() == ["Nb3Sn", "Cu3Ba2O7Y"]
        np.testing.assert_allclose(file["tc"], found.values["tc"], rtol=1e-5)


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_are_refused_with_row_and_reason_and_leave_nothing(name, tc_run, capsys):
    content, words = BAD_TABLES[name]
    Path("bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(capsys, "predict", "superconductors", "bad.csv", "--run", tc_run, "--out", "out.csv")
    assert all(word in line for word in ("bad.csv", *words)), line
    assert not Path("out.csv").exists()


def test_bad_rows_can_be_skipped_and_are_counted(tc_run, capsys):
    Path("bad.csv").write_bytes(b"formula\nNb3Sn\nNbx\nFmO2\nNb\xb3\nNbx2\nNbTi\n")
    main(["predict", "superconductors", "bad.csv", "--run", str(tc_run), "--out", "out.csv", "--skip-bad"])
    assert [line.split(",")[:2] for line in Path("out.csv").read_text().splitlines()[1:]] == [
        ["2", "Nb3Sn"],
        ["7", "NbTi"],
    ]
    printed = capsys.readouterr().out
    assert "2 left out: formula not readable" in printed
    assert "1 left out: element beyond the table" in printed
    assert "1 left out: not UTF-8" in printed


def test_what_else_cannot_be_used(tc_run, capsys):
    assert "character 3" in refused(capsys, "predict", "superconductors", "Nbx", "--run", tc_run)
    assert "at most one run of each target" in refused(
        capsys, "predict", "superconductors", "Nb", "--run", tc_run, tc_run
    )
    assert "nothing" in refused(capsys, "predict", "superconductors", "Nb", "--run", "nothing")
    Path("own.csv").write_text("formula,Tc\nNb3Sn,18 K\n")
    arguments = ("train", "superconductors", "--data", "own.csv", *QUICK)
    assert "0 can be used" in refused(capsys, *arguments)
    assert "--members" in refused(capsys, *arguments[:4], "--members", "0")
    assert "has no probability" in refused(capsys, *arguments, "--prior", "0.2")
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_long_table_is_predicted_in_bounded_memory(tc_run):
    """Ten times as many rows need no more memory: nothing is kept but the chunk at hand."""
    import tracemalloc

    def peak(rows):
        Path("long.csv").write_text("formula\n" + "".join(f"Nb{1 + i % 97}Sn\n" for i in range(rows)))
        tracemalloc.start()
        main(["predict", "superconductors", "long.csv", "--run", str(tc_run), "--out", "long_out.csv"])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert Path("long_out.csv").read_bytes().count(b"\n") == rows + 1
        return found

    few = peak(8_200)  # one whole chunk
    assert peak(24_000) < 1.3 * few


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
