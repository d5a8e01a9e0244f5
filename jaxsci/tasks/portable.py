"""A network as a list of operations and arrays, which `read_network` runs with NumPy alone."""

import inspect
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from jaxsci.errors import InputError
from jaxsci.files import replacing, write_text
from jaxsci.tasks import read_network

__all__ = ["READER", "save"]

READER = "read_network.py"  # beside the file
BATCH = 64  # examples at once
_INSIDE = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where an operation holds others
_LEFT_OUT = {"sharding", "out_sharding", "weak_type", "accuracy", "precision", "preferred_element_type", "out_dtype"}
_TOLERANCE = 1e-3  # of the outputs, by which a rounding is told from another operation


def save(path: Path, program: Callable[..., Any], example: list[np.ndarray]) -> None:
    """Write a program with its weights, whole or not at all, and its reader beside it.

    Args:
        path: .npz to write.
        program: a function of arrays [batch, ...] that gives an array [batch, ...].
        example: arrays [example, ...] like its inputs, not alike, on which the written form is compared.

    Raises:
        InputError: an operation or a number format that the reader does not know, or another result on the example.
    """
    shapes = [jax.ShapeDtypeStruct((BATCH, *leaf.shape[1:]), leaf.dtype) for leaf in example]
    traced = jax.make_jaxpr(program)(*shapes)
    writer = _Writer()
    inputs = [writer.new() for _ in shapes]
    (output,) = writer.add(traced, inputs)
    header = {
        "format": read_network.FORMAT,
        "batch": BATCH,
        "inputs": [
            {"number": number, "shape": list(leaf.shape[1:]), "dtype": leaf.dtype.name}
            for number, leaf in zip(inputs, example, strict=True)
        ],
        "output": output,
        "operations": writer.operations,
    }
    content: dict[str, Any] = {f"c{number}": array for number, array in writer.constants.items()}
    with replacing(path) as temporary:
        np.savez(temporary, header=np.array(json.dumps(header, default=int)), **content)
        found, wanted = read_network.load(temporary)(*example), np.asarray(jax.jit(program)(*example))
        if not np.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE):
            differ = np.max(np.abs(found - wanted))
            raise InputError(
                f"{path}: expected the outputs of the run of the written network, got others, by up to {differ:.3g}; use --format jax"
            )
    write_text(path.parent / READER, inspect.getsource(read_network))


class _Writer:
    """Numbers the arrays of a program, and lists what is done with them."""

    def __init__(self) -> None:
        self.constants: dict[int, np.ndarray] = {}
        self.operations: list[list[Any]] = []
        self._numbers: Iterator[int] = itertools.count()

    def new(self, value: Any = None) -> int:
        """The number of a further array; of a constant where there is a value."""
        number = next(self._numbers)
        if value is not None:
            array = np.asarray(value)
            if array.dtype.kind == "V":
                raise InputError(f"--format npz: expected float32, got {array.dtype}; use --format jax")
            self.constants[number] = array
        return number

    def add(self, program: ClosedJaxpr, inputs: list[int]) -> list[int]:
        """The operations of a program with these arrays; the numbers of its results."""
        jaxpr = program.jaxpr
        known: dict[Any, int] = dict(zip(jaxpr.invars, inputs, strict=True))
        known |= {var: self.new(value) for var, value in zip(jaxpr.constvars, program.consts, strict=True)}

        def number(atom: Any) -> int:
            return self.new(_number(atom)) if isinstance(atom, Literal) else known[atom]

        for equation in jaxpr.eqns:
            operands = [number(atom) for atom in equation.invars]
            inside = next((equation.params[name] for name in _INSIDE if name in equation.params), None)
            if inside is not None:
                known |= dict(zip(equation.outvars, self.add(inside, operands), strict=True))
                continue
            name = equation.primitive.name
            if name not in read_network.OPERATIONS or equation.params.get("batch_group_count", 1) != 1:
                raise InputError(
                    f"--format npz: expected operations that its reader knows, got {name}; use --format jax for this network"
                )
            (result,) = equation.outvars
            known[result] = self.new()
            self.operations.append([name, operands, known[result], _parameters(name, equation.params)])
        return [number(atom) for atom in jaxpr.outvars]


def _number(literal: Literal) -> np.ndarray:
    aval: Any = literal.aval
    return np.asarray(literal.val, aval.dtype)


def _parameters(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """What an operation is told besides its arrays, as JSON has it."""
    if name == "convolution_output":
        return dict(given["geometry"]._asdict())
    if name == "reshape":
        return {
            "new_sizes": list(given["new_sizes"]),
            **({"dimensions": order} if (order := given["dimensions"]) else {}),
        }
    return {
        key: np.dtype(value).name if key in ("dtype", "new_dtype") else value
        for key, value in given.items()
        if key not in _LEFT_OUT
    }
