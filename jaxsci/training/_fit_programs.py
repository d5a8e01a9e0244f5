"""The compiled steps of a training without training: what they need, cost and exchange."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsci.core import Batch, Key
from jaxsci.errors import InputError
from jaxsci.training import _mesh as meshes
from jaxsci.training._epoch import steps_per_epoch
from jaxsci.training._fit import Settings
from jaxsci.training._programs import Always, Plan, programs
from jaxsci.training._step import Recipe


class Program(NamedTuple):
    """A compiled function of a training, and the shapes it is called with."""

    function: Any  # as from `jax.jit`
    arguments: tuple[Any, ...]  # trees of `jax.ShapeDtypeStruct`

    def lower(self) -> jax.stages.Lowered:
        """The program for the devices at hand: `.compile()` has its text, `cost_analysis()` and `memory_analysis()`."""
        lowered: jax.stages.Lowered = self.function.lower(*self.arguments)
        return lowered

    def bytes(self) -> int:
        """What a device needs to run it: arguments, results and temporaries, those that share their place counted once."""
        memory = self.lower().compile().memory_analysis()
        if memory is None:
            raise InputError(
                "memory: expected a device whose compiler says what a program needs, got one that does not"
            )
        needed = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        return int(needed - memory.alias_size_in_bytes)


class FitPrograms(NamedTuple):
    """The two programs in which a training spends its time."""

    train: Program  # any number of steps; compilers count the work of one
    evaluate: Program  # the validation part, and what early stopping makes of it


def fit_programs(
    recipe: Recipe, train: Batch, validation: Batch, *, key: Key, settings: Settings, mesh: Mesh | None = None
) -> FitPrograms:
    """The programs that `fit` with these arguments runs; nothing is computed, and arrays of the data may be `jax.ShapeDtypeStruct`.

    To export the steps for other devices: `jax.export.export(program.function, platforms=("cuda",))(*program.arguments)`.
    """
    layout = meshes.layout(mesh, key, train, settings.batch_size)
    plan = Plan(settings.batch_size, settings.patience, settings.split_data, layout)
    compiled = programs(Always(recipe), plan)

    def on_devices(tree: Any, spec: PartitionSpec) -> Any:
        place = None if layout is None else NamedSharding(layout.mesh, spec)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=place), tree)

    def data(part: Batch) -> Batch:
        batches = settings.batch_size * steps_per_epoch(np.shape(part.weight)[0], settings.batch_size)
        padded = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((batches, *np.shape(leaf)[1:]), leaf.dtype), part)
        placed: Batch = on_devices(padded if settings.split_data else part, plan.data)
        return placed

    state = on_devices(jax.eval_shape(compiled.init, key, {}), plan.members)
    active = on_devices(jax.eval_shape(lambda: jnp.ones((), bool)), plan.members)
    own = data(train)
    order = on_devices(jax.eval_shape(lambda s: compiled.order(s, 0, own.weight.shape[0], None), state), plan.members)
    number = jax.ShapeDtypeStruct((), np.int32)
    return FitPrograms(
        Program(compiled.train, (state, {}, active, order, own, (number, number))),
        Program(compiled.close, (state, {}, active, data(validation))),
    )


def microbatches_for(
    memory: int,
    recipe: Recipe,
    train: Batch,
    validation: Batch,
    *,
    key: Key,
    settings: Settings,
    mesh: Mesh | None = None,
) -> int:
    """The fewest microbatches, not below those of the recipe, with which a training fits into `memory` bytes of every device.

    What a training needs is what the compiler says of its programs, with the data and the state; it is compiled about as often as the
    number of divisors of a batch has binary digits.

    Raises:
        InputError: it does not fit however small the microbatches, or the evaluation does not.
    """
    layout = meshes.layout(mesh, key, train, settings.batch_size)
    share = settings.batch_size // (1 if layout is None else layout.shards)
    choices = [m for m in range(1, share + 1) if share % m == 0 and m >= recipe.microbatches]
    choices = choices or [recipe.microbatches]  # which is refused with its own message
    options: dict[str, Any] = {"key": key, "settings": settings, "mesh": mesh}

    def needed(microbatches: int) -> int:
        made = fit_programs(recipe._replace(microbatches=microbatches), train, validation, **options)
        return max(made.train.bytes() + beside, made.evaluate.bytes() + other)

    made = fit_programs(recipe._replace(microbatches=choices[-1]), train, validation, **options)
    # While the steps run the validation part lies on the device as well, and the training part while it is evaluated.
    beside, other = (_bytes(program.arguments[i]) for program, i in ((made.evaluate, 3), (made.train, 4)))
    least = max(made.train.bytes() + beside, made.evaluate.bytes() + other)
    if least > memory:
        raise InputError(
            f"memory: expected a training that fits into {memory / 1e6:,.1f} MB of a device, got one that needs {least / 1e6:,.1f} MB "
            f"with {choices[-1]} microbatches; choose fewer examples or a smaller network, or split the data over devices"
        )
    low, high = 0, len(choices) - 1  # the last one fits
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if needed(choices[middle]) <= memory else (middle + 1, high)
    return choices[high]


def _bytes(tree: Any) -> int:
    def one(leaf: Any) -> int:
        shape = leaf.shape if leaf.sharding is None else leaf.sharding.shard_shape(leaf.shape)
        return int(np.prod(shape, dtype=np.int64)) * leaf.dtype.itemsize

    return sum(one(leaf) for leaf in jax.tree.leaves(tree))
