"""Networks of the user's own: found by name, built and checked, kept in the run folder, and run only where someone agreed.

A run of such a network carries a copy of its file, so that it can be read later. A run folder may come from anywhere, and to build
its network is to execute that file: it is done for files that were trained with on this account, whose digests are noted, and for those
whose user says `--trust`.
"""

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import platformdirs

from jaxsci.core import Inputs, Model, StatefulModel
from jaxsci.errors import InputError
from jaxsci.files import replacing, write_text
from jaxsci.models import heads
from jaxsci.models.linen import stateful_from_linen

__all__ = ["GROUP", "agree", "build", "describe", "keep", "kept", "name", "require_agreed", "require_same"]

GROUP = "jaxsci.models"  # of the entry points by which an installed package offers networks
_FUNCTION = "build"
_agreed: set[str] = set()  # digests, in this process


class _Place(NamedTuple):
    """What a reference names."""

    file: Path | None  # a file of the user's; None: something installed
    module: str  # empty for an entry point
    function: str


def _parse(reference: str) -> _Place:
    head, _, function = reference.rpartition(":")
    if reference.endswith(".py"):
        head, function = reference, _FUNCTION
    if head.endswith(".py"):
        return _Place(Path(head), "", function)
    return _Place(None, head, function)


def name(reference: str) -> str:
    """What the network is called in folders and tables: the name of its file, module or entry point."""
    place = _parse(reference)
    return place.file.stem if place.file is not None else (place.module.rpartition(".")[2] or place.function)


def build(
    reference: str, example: Inputs, outputs: tuple[int, ...], options: Sequence[str] = ()
) -> Model | StatefulModel:
    """The network of this name for these inputs, checked: it is traced in training and in evaluation, nothing is computed.

    Args:
        reference: "FILE.py:FUNCTION", "package.module:FUNCTION", or the name of an entry point of the group `jaxsci.models`. The function
            takes the shape of one example, with `options` as keywords, and returns a `Model`, a `StatefulModel` or a flax.linen module,
            which is called with a batch; a class of linen modules is given the options alone. Where it has a parameter `outputs`, it is
            told how many numbers the output has.
        example: arrays like those of one example; their shapes and types count, their values do not.
        outputs: the shape of the output for one example; for () one number in a vector is taken too.
        options: "name=value"; values are read as JSON, and as text where they are none.

    Raises:
        InputError: there is no such network, its code fails, or it is of another form.
    """
    with _theirs(reference):
        made = _call(reference, example, outputs, _keywords(options))
    if not isinstance(made, Model | StatefulModel):
        raise InputError(
            f"{reference}: expected a Model, a StatefulModel or a linen module, got {type(made).__name__}; return one of these"
        )
    with _theirs(reference):
        shape = _traced(made, example)
    if shape == (1,) and outputs == ():
        return heads.scalar(made)
    if shape != outputs:
        raise InputError(
            f"{reference}: expected an output of shape {list(outputs)} for one example, got {list(shape)}; a flax module is called with "
            "a batch, a Model with one example"
        )
    return made


def _call(reference: str, example: Inputs, outputs: tuple[int, ...], keywords: dict[str, Any]) -> Any:
    from flax import linen

    function: Any = _find(reference)
    if "outputs" in inspect.signature(function).parameters:
        keywords.setdefault("outputs", math.prod(outputs))
    made: Any
    if isinstance(function, type) and issubclass(function, linen.Module):
        made = function(**keywords)
    else:
        made = function(jax.tree.map(lambda leaf: tuple(leaf.shape), example), **keywords)
    return stateful_from_linen(made, example) if isinstance(made, linen.Module) else made


def _traced(model: Model | StatefulModel, example: Inputs) -> tuple[int, ...]:
    """The shape of the output for one example, after the model was traced in training and in evaluation; all numbers are real ones."""
    params = jax.eval_shape(model.init, jax.random.key(0))
    if isinstance(model, Model):
        output = jax.eval_shape(model.apply, params, example)
        _require_real(params, output)
        return tuple(output.shape)
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((3, *leaf.shape), leaf.dtype), example)
    for key in (jax.random.key(0), None):
        output, _ = jax.eval_shape(lambda p, x, key=key: model.apply(p, x, jnp.ones(3, bool), key), params, batch)
        _require_real(params["params"], output)
    return tuple(output.shape[1:]) if output.shape[:1] == (3,) else (0, *output.shape)


def _require_real(params: Any, output: Any) -> None:
    leaves = jax.tree.leaves(params)
    kinds = {str(leaf.dtype) for leaf in (output, *leaves) if not jnp.issubdtype(leaf.dtype, jnp.floating)}
    if kinds or not leaves:
        got = ", ".join(sorted(kinds)) or "no parameters"
        raise TypeError(f"expected parameters and outputs of real numbers, got {got}")


def _keywords(options: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in options:
        key, mark, text = option.partition("=")
        if not (mark and key.isidentifier()) or key in found:
            raise InputError(f"--model-options: expected name=value, each name once, got {option!r}; as in width=64")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


def _find(reference: str) -> Callable[..., Any]:
    place = _parse(reference)
    if place.file is not None:
        if not place.file.is_file():
            raise InputError(f"{place.file}: no such file; expected one that defines {place.function}")
        # One of its own name, so that it hides no module
        spec = importlib.util.spec_from_file_location(f"jaxsci_own_{place.file.stem}", place.file)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        # Not by the loader: it believes bytecode beside the file, which may be of an edit before, or of another's making.
        exec(compile(place.file.read_bytes(), place.file, "exec", dont_inherit=True), vars(module))
    elif place.module:
        module = importlib.import_module(place.module)
    else:
        found: Callable[..., Any] = _installed(place.function).load()
        return found
    function = getattr(module, place.function, None)
    if not callable(function):
        raise InputError(
            f"{place.file or place.module}: expected a function {place.function}(example_shape, **options), got none; define it, or name "
            f"another after a colon"
        )
    return function


def _installed(entry: str) -> importlib.metadata.EntryPoint:
    entries = {found.name: found for found in importlib.metadata.entry_points(group=GROUP)}
    if entry not in entries:
        known = f" ({', '.join(sorted(entries))})" if entries else ", of which there is none"
        raise InputError(
            f"expected a network by the library's name, FILE.py:FUNCTION, package.module:FUNCTION, or the name of an installed one{known}, "
            f"got {entry!r}; check the name"
        )
    return entries[entry]


@contextlib.contextmanager
def _theirs(reference: str) -> Iterator[None]:
    """Whatever the user's code raises becomes an InputError of one line that names the last line of the file which was under way."""
    file = _parse(reference).file
    try:
        yield
    except InputError as error:
        raise InputError(f"--model {reference}: {error}") from error
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if file and Path(frame.filename).resolve() == file.resolve()]
        if isinstance(error, SyntaxError) and error.lineno:
            lines.append(error.lineno)
        where = f"{file}:{lines[-1]}" if lines else reference
        words = error.msg if isinstance(error, SyntaxError) else (str(error).strip().splitlines() or ["no words"])[0]
        what = f"{type(error).__name__}: {words}"
        raise InputError(f"{where}: {what}; mend it, or see the whole with --debug") from error


def describe(reference: str) -> dict[str, str]:
    """What config.json says of the network: its file or module, and a digest."""
    return {"reference": reference, "digest": _digest(reference)}


def _digest(reference: str) -> str:
    """SHA-256 of the file, or of the name of what is installed."""
    file = _parse(reference).file
    return hashlib.sha256(reference.encode() if file is None else file.read_bytes()).hexdigest()


def keep(folder: Path, reference: str) -> None:
    """Copy the file of the network into the folder of its run, and note that its user ran it."""
    file = _parse(reference).file
    if file is not None:
        with replacing(folder / file.name) as copy:
            copy.write_bytes(file.read_bytes())
    digest = _digest(reference)
    _agreed.add(digest)
    with contextlib.suppress(OSError):  # a home that cannot be written: the user is asked again
        noted = _noted()
        if digest not in noted:
            write_text(_notes(), "".join(f"{line}\n" for line in [*noted, digest]))


def _notes() -> Path:
    return platformdirs.user_state_path("jaxsci") / "own_networks"


def _noted() -> list[str]:
    return _notes().read_text(encoding="utf-8").split() if _notes().is_file() else []


def agree(folder: Path) -> None:
    """Let this process run the network that comes with a run; for one that has none nothing happens."""
    from jaxsci.runs.folder import read_config

    data = read_config(folder).get("data", {})
    if "network" in data:
        _agreed.add(_digest(_copy(folder, data["network"]["reference"])))


def kept(folder: Path, network: dict[str, str]) -> str:
    """The name under which the network of a run is found: the copy in its folder, or what is installed.

    Args:
        folder: of the run.
        network: what `describe` gave, from its config.json.

    Raises:
        InputError: nobody agreed to run it, the copy is missing, or it is no longer what was trained.
    """
    reference = _copy(folder, network["reference"])
    place = _parse(reference)
    if place.file is not None and not place.file.is_file():
        raise InputError(f"{place.file}: expected the copy of the run's network, found none; copy the run again")
    digest = _digest(reference)
    if digest != network["digest"]:
        raise InputError(
            f"{place.file}: expected the network that was trained (SHA-256 {network['digest'][:12]}), got another ({digest[:12]}); "
            "put back the original, or train again"
        )
    if (place.file is not None or place.module) and digest not in _agreed and digest not in _noted():
        what = place.file or reference
        raise InputError(
            f"{folder}: to load this run is to execute {what}, which was never trained with here; read it, and then add --trust, or in "
            "a program load(..., trust=True)"
        )
    return reference


def require_agreed(reference: str) -> None:
    """Raise InputError where a network of the user's own, as it is now, was never trained with on this account."""
    place = _parse(reference)
    if place.file is not None and not place.file.is_file():
        raise InputError(f"{place.file}: expected the network that the training began with, found none; put it back")
    if (place.file is not None or place.module) and not {_digest(reference)} & {*_agreed, *_noted()}:
        raise InputError(
            f"{place.file or reference}: expected the network that the training began with, got one that was never trained with here; "
            "put it back, or begin anew"
        )


def require_same(network: Mapping[str, str]) -> None:
    """Raise InputError where a network is no longer what `describe` said of it; where it lies, not in a run's copy."""
    reference = network["reference"]
    if (digest := _digest(reference)) != network["digest"]:
        raise InputError(
            f"{_parse(reference).file or reference}: expected the network that the training began with (SHA-256 {network['digest'][:12]}), "
            f"got another ({digest[:12]}); put it back, or begin anew"
        )


def _copy(folder: Path, reference: str) -> str:
    """The reference with the copy in the run folder for the file; a path of elsewhere is not followed."""
    place = _parse(reference)
    return reference if place.file is None else f"{folder / place.file.name}:{place.function}"
