"""A function of parameters and one example, taken apart: what depends on parameters alone, and what on the example.

A jaxpr is flattened into steps on numbered slots. Calls are opened only where a value made of parameters enters them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from jaxsci.core import Array

CONSTANT, PARAMETER, DATA = range(3)  # what a slot depends on: nothing, parameters alone, the example
Values = dict[int, Any]  # of slots


class Step(NamedTuple):
    """One operation."""

    primitive: Any
    params: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class View(NamedTuple):
    """A slot that holds the numbers of one parameter leaf, each at most once, in another arrangement."""

    leaf: int
    chain: tuple[str, ...]  # the rearrangements on the way


class Program(NamedTuple):
    """The steps of a function (parameters, example) -> number."""

    parameters: tuple[int, ...]  # slots of its inputs
    example: tuple[int, ...]
    output: int
    constants: Values
    steps: tuple[Step, ...]
    kinds: tuple[int, ...]  # of each slot
    avals: tuple[Any, ...]
    views: Mapping[int, View]
    leaves: tuple[frozenset[int], ...]  # the parameters on which each slot depends

    def steps_of(self, *kinds: int) -> list[Step]:
        """The steps whose results are of these kinds, in order."""
        return [step for step in self.steps if self.kinds[step.outputs[0]] in kinds]

    def derive(self, parameters: Sequence[Array]) -> Values:
        """Every value that depends on no example."""
        values = self.constants | dict(zip(self.parameters, parameters, strict=True))
        return run(self.steps_of(CONSTANT, PARAMETER), values)


def run(steps: Iterable[Step], values: Values) -> Values:
    """The values with those of these steps added."""
    values = dict(values)
    for step in steps:
        values.update(zip(step.outputs, results(step, [values[slot] for slot in step.inputs]), strict=True))
    return values


def results(step: Step, inputs: Sequence[Any]) -> list[Any]:
    """What one step makes of its inputs."""
    found = step.primitive.bind(*inputs, **step.primitive.get_bind_params(step.params))
    return list(found) if step.primitive.multiple_results else [found]


def program(function: Callable[..., Array], parameters: Sequence[Array], example: Any) -> Program:
    """Trace `function(parameters, example)`; of `example` only shapes and dtypes count."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), parameters)
    closed = jax.make_jaxpr(function)(shapes, example)
    builder = _Builder()
    number = len(parameters)
    inputs = [builder.slot(var.aval, PARAMETER if i < number else DATA) for i, var in enumerate(closed.jaxpr.invars)]
    for leaf, slot in enumerate(inputs[:number]):
        builder.leaves[slot] = frozenset({leaf})
        builder.views[slot] = View(leaf, ())
    (output,) = builder.inline(closed.jaxpr, closed.consts, inputs)
    return Program(
        tuple(inputs[:number]),
        tuple(inputs[number:]),
        output,
        builder.constants,
        tuple(builder.steps),
        tuple(builder.kinds),
        tuple(builder.avals),
        builder.views,
        tuple(builder.leaves),
    )


class _Builder:
    """What is known while a jaxpr is flattened."""

    def __init__(self) -> None:
        self.constants: Values = {}
        self.steps: list[Step] = []
        self.kinds: list[int] = []
        self.avals: list[Any] = []
        self.leaves: list[frozenset[int]] = []
        self.views: dict[int, View] = {}

    def slot(self, aval: Any, kind: int, leaves: frozenset[int] = frozenset()) -> int:
        self.kinds.append(kind)
        self.avals.append(aval)
        self.leaves.append(leaves)
        return len(self.kinds) - 1

    def constant(self, value: Any, aval: Any) -> int:
        slot = self.slot(aval, CONSTANT)
        self.constants[slot] = value
        return slot

    def inline(self, jaxpr: Jaxpr, constants: Sequence[Any], inputs: Sequence[int]) -> list[int]:
        """Add the steps of a jaxpr; returns the slots of its results."""
        slots: dict[Any, int] = dict(zip(jaxpr.invars, inputs, strict=True))
        slots |= {var: self.constant(value, var.aval) for var, value in zip(jaxpr.constvars, constants, strict=True)}

        def read(atom: Any) -> int:
            return self.constant(atom.val, atom.aval) if isinstance(atom, Literal) else slots[atom]

        for equation in jaxpr.eqns:
            found = self.add(equation, [read(atom) for atom in equation.invars])
            slots |= dict(zip(equation.outvars, found, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def add(self, equation: Any, inputs: list[int]) -> list[int]:
        body = _body(equation)
        if body is not None and any(self.kinds[slot] == PARAMETER for slot in inputs):
            return self.inline(body.jaxpr, body.consts, inputs)
        kind = max((self.kinds[slot] for slot in inputs), default=CONSTANT)
        leaves = frozenset[int]().union(*(self.leaves[slot] for slot in inputs))
        outputs = [self.slot(var.aval, kind, leaves) for var in equation.outvars]
        self.steps.append(Step(equation.primitive, equation.params, tuple(inputs), tuple(outputs)))
        if kind == PARAMETER and inputs[0] in self.views and _rearranges(equation):
            leaf, chain = self.views[inputs[0]]
            self.views[outputs[0]] = View(
                leaf, (*chain, f"{equation.primitive.name} {sorted(equation.params.items())}")
            )
        return outputs


def _body(equation: Any) -> ClosedJaxpr | None:
    """What a call calls; None for anything else, and for calls with derivatives of their own."""
    if equation.primitive.name in ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"):
        body = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        return body if isinstance(body, ClosedJaxpr) else ClosedJaxpr(body, ())
    return None


def _rearranges(equation: Any) -> bool:
    """Whether the numbers of the first input come out in another arrangement or number format, each at most once."""
    name, (first, *more) = equation.primitive.name, equation.invars
    if more or not jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.floating):
        return False
    if name == "broadcast_in_dim":
        return bool(equation.outvars[0].aval.size == first.aval.size)
    return name in ("reshape", "transpose", "squeeze", "expand_dims", "convert_element_type", "copy", "rev", "slice")
