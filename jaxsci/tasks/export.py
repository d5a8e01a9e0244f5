"""A trained network as one file: a compiled program by `jax.export`, operations and arrays for NumPy, or ONNX."""

from pathlib import Path
from typing import Any, Literal, TypeAlias

import jax
import jax.export
import numpy as np

from jaxsci.core import Array
from jaxsci.errors import InputError
from jaxsci.files import replacing
from jaxsci.runs.task import Trained
from jaxsci.tasks import onnx_file, portable

__all__ = ["write"]

Format: TypeAlias = Literal["jax", "npz", "onnx"]
PLATFORMS = ("cpu", "cuda", "tpu")


def write(trained: Trained, path: Path, *, batch_size: int | None = None, form: Format = "jax") -> list[str]:
    """Write the network of a run with its weights, for processors, CUDA and TPU, or for NumPy.

    What is written is a function of the prepared inputs, one array [batch, ...] for each, that returns the outputs [batch, ...]
    of the network before any softmax; those of an ensemble [batch, member, ...].

        call = jax.export.deserialize(bytearray(path.read_bytes())).call

    Args:
        trained: from `load`.
        path: file to write, whole or not at all.
        batch_size: of the only batch it then takes; None: any.
        form: "jax" for a program of `jax.export`; "npz" for arrays and operations, with a reader beside them that needs NumPy alone;
            "onnx" for a file of ONNX, by the package jax2onnx.

    Returns:
        The inputs and the output in words, such as "float32[batch, 40, 40, 1]".

    Raises:
        InputError: a run whose inputs have no fixed form, a batch size below 1, a network that JAX can only export for one batch size,
            or one with operations that the reader in NumPy, or jax2onnx, does not know.
    """
    if trained.example is None:
        raise InputError(
            f"{trained.config['task']}: expected a run of one network on inputs of a fixed form, got another; superconductors write "
            "files of their own when they are trained: see the how-to page on export"
        )
    if batch_size is not None and batch_size < 1:
        raise InputError(f"--batch-size: expected at least 1, got {batch_size}; leave it out for any")
    leaves, tree = jax.tree.flatten(trained.prepare(trained.example))
    shapes = jax.eval_shape(trained.model.init, jax.random.key(0))
    ensemble = jax.tree.leaves(shapes)[0].ndim < np.ndim(jax.tree.leaves(trained.params)[0])

    def one(params: Any, *x: Array) -> Any:
        return trained.model.apply(params, jax.tree.unflatten(tree, x))

    members = jax.vmap(one, in_axes=(0, *(None for _ in leaves))) if ensemble else one

    def program(*x: Array) -> Any:
        return jax.vmap(lambda *row: members(trained.params, *row))(*x)

    if form != "jax":
        return _write_arrays(path, program, leaves, batch_size, form)
    batch: Any = batch_size if batch_size is not None else jax.export.symbolic_shape("batch")[0]
    inputs = [jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
    try:
        exported = jax.export.export(jax.jit(program), platforms=PLATFORMS)(*inputs)
    except (ValueError, TypeError, NotImplementedError) as error:
        if batch_size is not None:
            raise
        raise InputError(
            f"expected a network that JAX can export for any batch size, got one that it cannot ({str(error).splitlines()[0][:120]}); "
            "give --batch-size"
        ) from error
    with replacing(path) as temporary:
        temporary.write_bytes(exported.serialize())
    return [_words(array) for array in (*exported.in_avals, *exported.out_avals)]


def _write_arrays(path: Path, program: Any, leaves: list[Any], batch_size: int | None, form: Format) -> list[str]:
    if path.suffix != f".{form}" or batch_size is not None:
        raise InputError(
            f"--format {form}: expected a name that ends in .{form} and no --batch-size, got {path.name}; its reader takes any number of"
            " examples"
        )
    save = portable.save if form == "npz" else onnx_file.save
    save(path, program, [_different(np.asarray(leaves[0])), *(np.repeat(leaf, 3, axis=0) for leaf in leaves[1:])])
    output = jax.eval_shape(program, *leaves)
    return [f"{leaf.dtype}[{', '.join(map(str, ('batch', *leaf.shape[1:])))}]" for leaf in (*leaves, output)]


def _different(example: np.ndarray) -> np.ndarray:
    """Three examples [3, ...] of one [1, ...], not alike, so that a mix-up of them is seen; by powers of 2, which round nothing."""
    scales = np.reshape(np.asarray([1, 0.5, 2], example.dtype), (3, *(1 for _ in example.shape[1:])))
    return example * scales if example.dtype.kind == "f" else np.repeat(example, 3, axis=0)


def _words(array: Any) -> str:
    return f"{array.dtype}[{', '.join(str(size) for size in array.shape)}]"
