"""One forward and one backward pass that leave, for every use of a parameter, its other operands and the cotangent of its result.

To the result of every step that combines a parameter with something of the example a zero is added. The derivative of the loss by these
zeros, example by example, is one backward pass in which no gradient of a parameter is formed; every quantity of per-example gradients
follows from it. A step that is no known product or sum has the zero added to the parameter itself: its gradient is then stored.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxsci.core import Array, Batch, LossFn, Params
from jaxsci.gradients._capture.factors import Product, product
from jaxsci.gradients._capture.program import DATA, PARAMETER, Program, Step, Values, program, results, run
from jaxsci.gradients._examples import loss_of_example

# Steps whose gradient by a parameter follows from their other operands at the cost of a product.
KNOWN = frozenset(
    [
        *("dot_general", "conv_general_dilated", "convolution_output", "convolution_input", "convolution_kernel"),
        *("add", "add_any", "sub", "mul", "div", "max", "min", "select_n", "gather", "dynamic_slice", "concatenate"),
    ]
)
Arrays = tuple[Array, ...]


class Use(NamedTuple):
    """One step in which parameters meet the example."""

    step: Step
    slots: tuple[int, ...]  # of the values made of parameters
    stored: bool  # the zero is added to these values, not to the result
    product: Product | None


class Records(NamedTuple):
    """What the passes leave, for each use; [batch, ...]."""

    inputs: tuple[Arrays, ...]  # the operands that depend on the example
    cotangents: tuple[Arrays, ...]  # of the result, or of the values made of parameters


class Capture(NamedTuple):
    """A loss at given parameters, ready for its passes over batches."""

    program: Program
    uses: tuple[Use, ...]
    values: Values  # of all slots that depend on no example
    parameters: tuple[Array, ...]
    treedef: Any

    def __call__(self, batch: Batch) -> tuple[Array, Records]:
        """The losses [batch] and the records, by one forward and one backward pass."""
        zeros = tuple(tuple(jnp.zeros(aval.shape, aval.dtype) for aval in self._perturbed(use)) for use in self.uses)

        def of_example(example: Batch) -> tuple[Array, Records]:
            loss, pull, inputs = jax.vjp(lambda zeros: self._forward(zeros, example), zeros, has_aux=True)
            return loss, Records(inputs, *pull(jnp.ones_like(loss)))

        return jax.vmap(of_example)(jax.tree.map(jnp.asarray, batch))

    def _perturbed(self, use: Use) -> list[Any]:
        return [self.program.avals[slot] for slot in (use.slots if use.stored else use.step.outputs)]

    def _forward(self, zeros: tuple[Arrays, ...], example: Batch) -> tuple[Array, tuple[Arrays, ...]]:
        values = self.values | dict(zip(self.program.example, jax.tree.leaves(example), strict=True))
        uses = {use.step.outputs: (use, zero) for use, zero in zip(self.uses, zeros, strict=True)}
        inputs: list[Arrays] = []
        for step in self.program.steps_of(DATA):
            if step.outputs not in uses:
                values = run([step], values)
                continue
            use, zero = uses[step.outputs]
            if use.stored:
                shifted = values | {slot: values[slot] + z for slot, z in zip(use.slots, zero, strict=True)}
                found = results(step, [shifted[slot] for slot in step.inputs])
                values |= dict(zip(step.outputs, found, strict=True))
                inputs.append(())
            else:
                (result,) = results(step, [values[slot] for slot in step.inputs])
                values[step.outputs[0]] = result + zero[0]
                inputs.append(tuple(values[slot] for slot in self.other_operands(use)))
        return values[self.program.output], tuple(inputs)

    def other_operands(self, use: Use) -> list[int]:
        """The slots that the record of a use holds."""
        return [slot for slot in use.step.inputs if self.program.kinds[slot] == DATA]

    def bytes_per_example(self) -> int:
        """What the values that depend on one example take together."""
        avals = [self.program.avals[slot] for step in self.program.steps_of(DATA) for slot in step.outputs]
        return sum(aval.size * aval.dtype.itemsize for aval in avals)

    def uses_of(self, leaf: int) -> list[int]:
        """The numbers of the uses of a parameter."""
        return [i for i, use in enumerate(self.uses) if any(leaf in self.program.leaves[slot] for slot in use.slots)]

    def _operation(self, use: Use, inputs: Arrays, slots: Arrays) -> Array:
        values = self.values | dict(zip(self.other_operands(use), inputs, strict=True))
        values |= dict(zip(use.slots, slots, strict=True))
        return results(use.step, [values[slot] for slot in use.step.inputs])[0]

    def _used(self, which: Sequence[int]) -> list[int]:
        return sorted({slot for i in which for slot in self.uses[i].slots})

    def _pull(self, cotangents: Values, leaves: Sequence[int]) -> list[Array]:
        """Gradients of parameters from those of the values made of them."""

        def derive(chosen: list[Array]) -> list[Array]:
            parameters = list(self.parameters)
            for leaf, value in zip(leaves, chosen, strict=True):
                parameters[leaf] = value
            values = self.program.derive(parameters)
            return [values[slot] for slot in cotangents]

        _, pull = jax.vjp(derive, [self.parameters[leaf] for leaf in leaves])
        (found,) = pull(list(cotangents.values()))
        return list(found)

    def gradients_of_example(self, records: Records, leaves: Sequence[int]) -> list[Array]:
        """The gradients by these parameters of ONE example, from its records."""
        return self._gradients(records, leaves, None)

    def sums_over_examples(self, records: Records, leaves: Sequence[int], coefficients: Array) -> list[Array]:
        """sum_b c_b g_b by these parameters; no gradient of an example is formed."""
        return self._gradients(records, leaves, coefficients)

    def _gradients(self, records: Records, leaves: Sequence[int], coefficients: Array | None) -> list[Array]:
        which = sorted({i for leaf in leaves for i in self.uses_of(leaf)})
        total: Values = {slot: jnp.zeros_like(self.values[slot]) for slot in self._used(which)}
        for i in which:
            use, inputs, cotangents = self.uses[i], records.inputs[i], records.cotangents[i]
            if coefficients is not None:
                cotangents = tuple(_scaled(d, coefficients) for d in cotangents)
            if use.stored:
                found = cotangents if coefficients is None else tuple(jnp.sum(d, 0) for d in cotangents)
            else:
                found = self._transposed(use, inputs, cotangents, batched=coefficients is not None)
            for slot, value in zip(use.slots, found, strict=True):
                total[slot] = total[slot] + value
        return self._pull(total, leaves)

    def _transposed(self, use: Use, inputs: Arrays, cotangents: Arrays, *, batched: bool) -> Arrays:
        def operation(*slots: Array) -> Array:
            if not batched:
                return self._operation(use, inputs, slots)
            batch = cotangents[0].shape[0]
            return jax.vmap(lambda inputs: self._operation(use, inputs, slots), axis_size=batch)(inputs)

        _, pull = jax.vjp(operation, *(self.values[slot] for slot in use.slots))
        return tuple(pull(cotangents[0]))


def _scaled(d: Array, coefficients: Array) -> Array:
    return d * coefficients.astype(d.dtype).reshape(-1, *(1,) * (d.ndim - 1))


def capture(loss: LossFn, params: Params, batch: Batch) -> Capture:
    """Take a loss apart for the gradients of single examples at `params`; of `batch` only shapes and dtypes count."""
    leaves, treedef = jax.tree.flatten(params)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    one = loss_of_example(loss)
    example = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf)), batch)
    steps = program(lambda leaves, example: one(jax.tree.unflatten(treedef, leaves), example), leaves, example)
    uses = [use for step in steps.steps_of(DATA) if (use := _use(steps, step)) is not None]
    return Capture(steps, tuple(uses), steps.derive(leaves), tuple(leaves), treedef)


def _use(steps: Program, step: Step) -> Use | None:
    made = [
        i
        for i, slot in enumerate(step.inputs)
        if steps.kinds[slot] == PARAMETER and jnp.issubdtype(steps.avals[slot].dtype, jnp.floating)
    ]
    if not made:
        return None
    slots = tuple(dict.fromkeys(step.inputs[i] for i in made))
    result = steps.avals[step.outputs[0]]
    if step.primitive.name not in KNOWN or not jnp.issubdtype(result.dtype, jnp.floating):
        return Use(step, slots, True, None)
    shapes = [steps.avals[slot].shape for slot in (*step.inputs, step.outputs[0])]
    return Use(step, slots, False, product(step, made[0], shapes) if len(made) == 1 else None)
