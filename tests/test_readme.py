"""What the README shows works as shown: each block by itself, in order, as a reader would paste it."""

import re
from pathlib import Path

import numpy as np
import pytest

from jaxsci.cli.main import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
BASH = re.findall(r"^```bash\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
QUICK = ["--max-jets", "400", "--epochs", "1"]


def test_the_blocks_of_python_run_one_after_another(capsys):
    names = {}
    printed = []
    for number, code in enumerate(PYTHON):
        exec(compile(code, f"README.md, block {number}", "exec"), names)
        printed.append(capsys.readouterr().out.split())
    assert float(printed[0][1]) < 0.3  # of the best epoch; chance is log 2
    assert float(printed[1][1]) < 0.3  # of the best learning rate
    assert names["each"].shape == (16, 3, 3, 8, 32)
    each = names["each"].sum(0)
    whole = names["jax"].grad(names["energy"])(names["kernel"], names["images"])
    np.testing.assert_allclose(each, whole, rtol=1e-4)
    # A sine is drawn well by seven intervals of cubic splines, the coefficients being a smooth function themselves.
    fitted = names["jax"].vmap(names["splines"].apply, (None, 0))(names["line"].params, names["t"])
    np.testing.assert_allclose(fitted.ravel(), np.sin(6 * names["t"]), atol=0.01)


def test_the_commands_run_one_after_another(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    momenta = rng.exponential(20, (50, 30, 3)).astype(np.float32)
    jets = np.concatenate([np.linalg.norm(momenta, axis=-1, keepdims=True) * 1.001, momenta], axis=-1)
    np.savez(tmp_path / "mine.npz", constituents=jets)
    monkeypatch.chdir(tmp_path)
    lines = [line.split("&&")[-1].split() for block in BASH for line in block.splitlines()]
    commands = [words[1:] for words in lines if words[0] == "jaxsci"]
    assert len(commands) >= 5
    for command in commands:
        main([*command, *QUICK] if command[0] == "train" else command)
    assert (tmp_path / "runs" / "top-tagging" / "cnn-1" / "report.html").stat().st_size > 100_000
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 51
    assert "pfn-1" in capsys.readouterr().out


@pytest.mark.parametrize("room", sorted(set(re.findall(r"\bjs\.(\w+)", README))))
def test_every_name_in_the_readme_exists(room):
    import jaxsci

    assert room in jaxsci.__all__
