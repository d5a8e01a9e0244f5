"""What the gradients of single examples say, for any loss that is a mean over a batch, as training takes it.

Every function is pure and closed under `jit`, `vmap` and `scan`. The gradient of example b is that of the loss of a batch which holds
it alone, g_b; the gradient of the whole batch is sum_b w_b g_b / sum_b w_b. An example of weight 0 has the gradient 0.
"""

from jaxsci.gradients._examples import per_example_gradients

__all__ = ["per_example_gradients"]
