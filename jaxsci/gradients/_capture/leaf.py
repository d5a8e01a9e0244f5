"""How the gradients by one parameter leaf follow from the records."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsci._numerics import accumulator
from jaxsci.core import Array, Batch, LossFn, Params
from jaxsci.gradients._capture.capture import Capture, Records, capture


class LeafProduct(NamedTuple):
    """A leaf that only enters products of one arrangement: its gradient is M = sum_t A_t D_t, over the positions of all of them."""

    positions: int  # of all uses together: a parameter used twice has one gradient
    sizes: tuple[int, int, int]  # groups, inputs, outputs
    factors: Callable[[Records], tuple[Array, Array]]  # of ONE example: A [g, t, i], D [g, t, o]
    restore: Callable[[Array], Array]  # M [g, i, o] -> the leaf's shape
    arrange: Callable[[Array], Array]  # the leaf's shape -> [g, i, o]
    # (records of examples, coefficients c) -> sum_b c_b sum_t A_t A_t^T [g, i, i], where that needs no A
    second_moment: Callable[[Records, Array], Array] | None
    matrix: bool  # whether its products are of matrices; else of convolutions
    whole: bool  # whether every number of the leaf is in M

    @property
    def ghost(self) -> bool:
        """Whether products of positions are fewer than the numbers of the gradient: 2 T^2 <= in x out."""
        _, i, o = self.sizes
        return self.positions == 1 or 2 * self.positions**2 <= i * o


def product_of(passes: Capture, leaf: int) -> LeafProduct | None:
    """The product form of a leaf; None where it has none."""
    found, layouts = [], set()
    for number in passes.uses_of(leaf):
        use = passes.uses[number]
        view = passes.program.views.get(use.slots[0])
        if use.product is None or view is None:
            return None
        found.append((number, use.product))
        layouts.add((view.chain, use.product.layout))
    if len(layouts) != 1:
        return None
    first = found[0][1]
    slot = passes.uses[found[0][0]].slots[0]
    dtype = accumulator(passes.parameters[leaf].dtype)

    def factors(records: Records) -> tuple[Array, Array]:
        pairs = [product.factors(*records.inputs[number], *records.cotangents[number]) for number, product in found]
        a, d = (jnp.concatenate(each, axis=1).astype(dtype) for each in zip(*pairs, strict=True))
        return a, d

    def second_moment(records: Records, c: Array) -> Array:
        each = []
        for number, moment in moments:
            (other,), (d,) = records.inputs[number], records.cotangents[number]
            each.append(moment(other.astype(dtype), d.astype(dtype), c))
        return sum(each[1:], each[0])

    moments = [(number, product.second_moment) for number, product in found if product.second_moment is not None]

    def arranged_like(value: Array) -> Array:
        parameters = list(passes.parameters)
        parameters[leaf] = value
        made: Array = passes.program.derive(parameters)[slot]
        return made

    def viewed(value: Array) -> Array:
        return arranged_like(value.astype(passes.parameters[leaf].dtype)).astype(dtype)

    def restore(m: Array) -> Array:
        (result,) = jax.linear_transpose(viewed, jax.ShapeDtypeStruct(passes.parameters[leaf].shape, dtype))(
            first.arrange(m)
        )
        return jnp.asarray(result)

    def arrange(value: Array) -> Array:
        shape = jax.ShapeDtypeStruct((*first.sizes,), dtype)
        (result,) = jax.linear_transpose(first.arrange, shape)(viewed(value))
        return jnp.asarray(result)

    g, i, o = first.sizes
    return LeafProduct(
        sum(product.positions for _, product in found),
        first.sizes,
        factors,
        restore,
        arrange,
        second_moment if len(moments) == len(found) else None,
        first.layout[0] == "matrix",
        g * i * o == passes.parameters[leaf].size,
    )


def weighted_sum(
    passes: Capture, records: Records, coefficients: Array, formed: Mapping[int, Array] | None = None
) -> Params:
    """sum_b c_b g_b at the cost of the gradient of the batch; of leaves whose gradients [batch, ...] are there already, from these."""
    found: dict[int, Array] = {}
    for leaf, parameter in enumerate(passes.parameters):
        if formed is not None and leaf in formed:
            gradients = formed[leaf]
            found[leaf] = jnp.tensordot(coefficients.astype(gradients.dtype), gradients, 1)
            continue
        product = product_of(passes, leaf)
        if product is not None and product.matrix:
            a, d = jax.vmap(product.factors)(records)
            d = d * coefficients.astype(d.dtype)[:, None, None, None]
            # One matrix product over examples and positions together, which compilers do not find by themselves.
            a, d = (jnp.moveaxis(each, 1, 0).reshape(each.shape[1], -1, each.shape[-1]) for each in (a, d))
            found[leaf] = product.restore(jnp.einsum("gti,gto->gio", a, d)).astype(parameter.dtype)
    rest = [leaf for leaf in range(len(passes.parameters)) if leaf not in found]
    found |= dict(zip(rest, passes.sums_over_examples(records, rest, coefficients), strict=True))
    tree: Params = jax.tree.unflatten(passes.treedef, [found[leaf] for leaf in range(len(passes.parameters))])
    return tree


def explain(loss: LossFn, params: Params, batch: Batch) -> dict[str, str]:
    """How the squared norms of per-example gradients are found, in words, for every parameter.

    "ghost form": from products of layer inputs and cotangents; no gradient of an example is formed. "formed": the gradients of a block of
    examples at a time. "stored": through a step that is not known, named here, the gradient of every example.

    Args:
        loss: a mean over the batch, as for `per_example_gradients`.
        params: the parameters.
        batch: of which only shapes and dtypes count.
    """
    passes = capture(loss, params, batch)
    names = [f"params{jax.tree_util.keystr(path)}" for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    return {name: _words(passes, leaf) for leaf, name in enumerate(names)}


def _words(passes: Capture, leaf: int) -> str:
    uses = [passes.uses[i] for i in passes.uses_of(leaf)]
    if not uses:
        return "unused: the loss does not depend on it"
    through = ", ".join(dict.fromkeys(use.step.primitive.name for use in uses))
    stored = [use.step.primitive.name for use in uses if use.stored]
    product = product_of(passes, leaf)
    if stored:
        return f"stored, through {', '.join(dict.fromkeys(stored))}"
    if product is not None and product.ghost:
        return f"ghost form, {product.positions} position{'s' * (product.positions > 1)}, through {through}"
    return f"formed, through {through}"
