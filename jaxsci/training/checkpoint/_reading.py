"""Reading the newest checkpoint, if it is whole and fits."""

import contextlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsci.core import Key
from jaxsci.errors import InputError
from jaxsci.training import _early_stopping as early_stopping
from jaxsci.training._step import Recipe
from jaxsci.training.checkpoint import _content as content
from jaxsci.training.checkpoint._content import FILES, Begun, Restored


def _check_files(checkpoint: Path) -> None:
    """Raise ValueError where a file is not as it was written. The storage library would find out late, with files half read."""
    if not (checkpoint / FILES).exists():  # of an earlier version, or the process was killed before it was written
        return
    wanted = json.loads((checkpoint / FILES).read_text(encoding="utf-8"))
    found = content.files(checkpoint)
    for name, file in wanted.items():
        if found.get(name) != file:
            raise ValueError(f"{name} is not as it was written" if name in found else f"{name} is missing")


def clear(folder: Path) -> None:
    """Remove all checkpoints in the folder, of which a new training is not the continuation."""
    if folder.is_dir() and jax.process_index() == 0:
        with content.uninterrupted(), content.manager(folder) as manager:
            for step in manager.all_steps():
                manager.delete(step)


def latest(folder: Path) -> int | None:
    """The number of the newest checkpoint; None where there is none."""
    if not folder.is_dir():
        return None
    with content.manager(folder) as manager:
        return manager.latest_step()


def abstract_state(recipe: Recipe, key: Key) -> early_stopping.FitState:
    """Shapes and dtypes of the state that a run's checkpoints hold; nothing is computed."""
    init = partial(early_stopping.init, recipe)
    return jax.eval_shape(jax.vmap(init) if key.ndim else init, key)


def restore(folder: Path, like: Any) -> Restored:
    """The newest checkpoint.

    Args:
        folder: as given to `save`.
        like: a state of the same shapes and dtypes; its values are not used.

    Raises:
        InputError: there is no checkpoint, it is damaged, or it was written by another model or optimizer.
    """
    import orbax.checkpoint as ocp

    number = latest(folder)
    if number is None:
        raise InputError(f"{folder}: expected a checkpoint, found none; train again without --resume")
    # Read as numpy arrays, which lie on no device: those that wrote the checkpoint may not be there.
    target = jax.tree.map(
        lambda x: np.broadcast_to(np.zeros((), x.dtype), x.shape), jax.eval_shape(content.without_keys, like)
    )
    with _whole(folder / str(number)):
        _check_files(folder / str(number))
    with _whole(folder / str(number)), content.manager(folder) as manager:
        record = manager.restore(number, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
        history, arrays = list(record["history"]), dict(record["arrays"])
        begun = record.get("begun")  # which those of earlier versions lack
        if begun is not None:
            metrics = {name: np.array(values, dtype) for name, (dtype, values) in begun["metrics"].items()}
            begun = Begun(**{**begun, "metrics": metrics})
    wrong = set(content.shapes(like).items()) ^ set(arrays.items())
    if wrong:
        raise InputError(
            f"{folder}: expected a checkpoint of the same model and optimizer, but {len(wrong)} arrays differ, such as "
            f"{' '.join(min(wrong))}; use the settings of the run's config.json, or another run name"
        )
    with _whole(folder / str(number)), content.manager(folder) as manager:
        state = manager.restore(number, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))["state"]
        if record.get("sums") not in (None, content.sums(state)):
            raise ValueError("its arrays are not those that were written")
    return Restored(content.with_keys(state, like), history, begun, number)


@contextlib.contextmanager
def _whole(checkpoint: Path) -> Iterator[None]:
    """Say of a checkpoint that cannot be read which it is, and what to do; the storage library raises all kinds of errors."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"{checkpoint}: expected a whole checkpoint, got a damaged one ({content.words(error)}); remove this folder to go on from "
            "the one before it, or train anew where there is none"
        ) from error
