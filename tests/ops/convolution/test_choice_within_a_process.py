"""The environment's choice of a convolution holds for programs that were compiled by another."""

import jax
import jax.numpy as jnp

from jaxsci.ops import conv
from jaxsci.ops.convolution import choice


def test_another_choice_compiles_anew(monkeypatch):
    traced = []

    @jax.jit
    def apply(x, kernel):
        traced.append(choice.costs())
        return conv(x, kernel)

    x, kernel = jnp.ones((2, 6, 6, 1)), jnp.ones((3, 3, 1, 2))
    for value in ("direct", "direct", "xla"):
        monkeypatch.setenv("JAXSCI_CONVOLUTION", value)
        choice.settle()
        apply(x, kernel)
    assert traced == [choice.DIRECT, None]
