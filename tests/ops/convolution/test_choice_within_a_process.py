"""The environment's choice of a convolution holds for programs that were compiled by another."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxsci.ops import conv
from jaxsci.ops.convolution import choice
from jaxsci.runs.folder import of_any_version


def open_run():
    with of_any_version(Path("a-run")):  # as `load`, and each command on a run
        pass


@pytest.mark.parametrize("start", [choice.settle, open_run])
def test_another_choice_compiles_anew(start, monkeypatch):
    traced = []

    @jax.jit
    def apply(x, kernel):
        traced.append(choice.costs())
        return conv(x, kernel)

    x, kernel = jnp.ones((2, 6, 6, 1)), jnp.ones((3, 3, 1, 2))
    for value in ("direct", "direct", "xla"):
        monkeypatch.setenv("JAXSCI_CONVOLUTION", value)
        start()
        apply(x, kernel)
    assert traced == [choice.DIRECT, None]
