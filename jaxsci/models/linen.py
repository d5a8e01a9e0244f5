"""A door for flax: any linen module without mutable state becomes a `Model`."""

from typing import TYPE_CHECKING, Any

from jaxsci.core import Array, Inputs, Key, Model, Params
from jaxsci.errors import InputError

if TYPE_CHECKING:
    from flax import linen

__all__ = ["from_linen"]


def from_linen(module: "linen.Module", example: Inputs) -> Model:
    """Wrap a flax.linen module of one example as a Model.

    Args:
        module: called as `module(x)`; its only variable collection is "params" (no batch statistics, no dropout).
        example: the input of one example (shapes and dtypes count, values do not).

    Raises:
        ValueError: at `init`, where the module has other variable collections than "params".
    """

    def init(key: Key) -> Params:
        variables = module.init(key, example)
        if set(variables) - {"params"}:
            raise InputError(
                f"module: expected one with parameters only, got the collections {sorted(variables)}; "
                "replace batch statistics by a stateless normalization such as LayerNorm"
            )
        return dict(variables.get("params", {}))

    def apply(params: Params, x: Inputs) -> Array:
        outputs: Any = module.apply({"params": params}, x)
        return outputs

    return Model(init, apply)
