"""What the command leaves to JAX: the user's settings of its cache, and no program is compiled twice."""

import logging
import subprocess
import sys

import jax
import numpy as np
import pytest

import jaxsci
from jaxsci.cli.main import configure_jax, main

MINIMUM = "jax_persistent_cache_min_compile_time_secs"


@pytest.fixture
def settings():
    """JAX's settings of its cache, restored after the test."""
    before = {name: getattr(jax.config, name) for name in (MINIMUM, "jax_compilation_cache_dir")}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_settings_of_the_user_are_kept(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "7")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    # As JAX reads them when it is imported.
    jax.config.update(MINIMUM, 7.0)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    configure_jax()
    assert getattr(jax.config, MINIMUM) == 7.0
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)


def test_without_settings_programs_are_kept_in_the_users_cache(settings, monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    configure_jax()
    assert getattr(jax.config, MINIMUM) == 0.2
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "jaxsci" / "compiled")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    np.savez(root / "mine.npz", x=rng.random((90, 4, 4), np.float32), y=np.arange(90) % 3)
    options = ["--data", str(root / "mine.npz"), "--model", "dense", "--epochs", "1", "--batch-size", "8"]
    main(["train", "images", *options, "--runs", str(root / "runs")])
    return root / "runs" / "images" / "dense-1"


def compilations(caplog, function):
    """Names of the programs that a call compiles, in their order; what was compiled before counts again."""
    jax.clear_caches()
    caplog.clear()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        function()
    return [record.getMessage().split()[1] for record in caplog.records if record.getMessage().startswith("Compiling")]


def test_programs_do_not_grow_in_number_with_the_images(run_folder, tmp_path, caplog):
    compiled = {}
    for chunks in (1, 3):
        source = tmp_path / f"{chunks}.npz"
        np.savez(source, x=np.zeros((10_000 * chunks, 4, 4), np.float32))
        arguments = ["predict", str(run_folder), str(source), "--out", str(tmp_path / f"scores_{chunks}.npz")]
        compiled[chunks] = compilations(caplog, lambda arguments=arguments: main(arguments))
    assert compiled[1]
    assert compiled[3] == compiled[1]


def test_a_loaded_run_compiles_for_its_first_examples_alone(run_folder, caplog):
    trained = jaxsci.load(run_folder)
    x = np.zeros((5, 4, 4), np.float32)

    def loop():
        for _ in range(3):
            trained.predict(x)

    once, often = compilations(caplog, lambda: trained.predict(x)), compilations(caplog, loop)
    assert once
    assert often == once


HELP = """
import sys
from jaxsci.cli.main import main
from jaxsci.tasks.table import TABLE

for entry in TABLE:
    for words in ([entry.verb, "--help"], [entry.verb, entry.name, "--help"]):
        try:
            main(words)
        except SystemExit as ended:
            assert not ended.code, words
        assert "jax" not in sys.modules, words
"""


def test_help_needs_no_jax():
    ended = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
