"""The clock of a training: compilation, input, steps, evaluation; a trace of a few steps."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsci.core import Array, Key
from jaxsci.errors import InputError
from jaxsci.training._mesh import to_host
from jaxsci.training._programs import Plan, Programs, Recipes
from jaxsci.training.profile import _cost as cost
from jaxsci.training.profile import _trace as traces

_LONGEST = 20  # operations in the summary
STAGES = ("compilation", "input", "steps", "evaluation", "trace")


class _Begun(NamedTuple):
    """What the cost of a step is computed of, once the training is over."""

    recipe: Recipes
    hyper: Mapping[str, Array]
    key: Key
    plan: Plan


class Profile:
    """Measures the one training it is given to: `fit(..., profile=profile)`, then `profile.summary()`.

    Every program is compiled and waited for by itself, so that their times can be told apart; on an accelerator, which is otherwise
    never left waiting, the training takes a little longer. The second call of the steps, of eight at most, is traced.
    """

    def __init__(self, trace: Path | None = None) -> None:
        self.seconds = dict.fromkeys((*STAGES, "all"), 0.0)
        self.steps = 0
        self.resumed: tuple[int, int] | None = None  # epochs, and steps of the next, that were done before
        self._trace = trace  # where to write that of a few steps, for ui.perfetto.dev; None writes none
        self._traced: tuple[int, list[traces.Operation]] = 0, []  # the number of these steps, and their operations
        self._calls = 0  # of the program of the steps
        self._work = 0  # steps times the members that still trained
        self._begun: _Begun | None = None
        self._program: Any = None  # of the steps
        self._data: Any = None  # shapes of the training part

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time within to that of a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - began

    def watched(
        self, programs: Programs, recipe: Recipes, hyper: Mapping[str, Array], key: Key, plan: Plan
    ) -> Programs:
        """The programs of a training, which from now on are timed."""
        self._begun = _Begun(recipe, hyper, key, plan)
        return programs._replace(
            init=self._first(programs.init, lambda *_: ()),
            order=self._first(programs.order, lambda state, index, *sizes: sizes),
            active=self._first(programs.active, lambda *_: ()),
            train=self._stage("steps", programs.train),
            close=self._stage("evaluation", programs.close),
        )

    def _first(self, function: Callable[..., Any], kind: Callable[..., Any]) -> Callable[..., Any]:
        """A short function, of which the first call of every kind counts as compilation."""
        seen: set[Any] = set()

        def call(*arguments: Any) -> Any:
            if kind(*arguments) in seen:
                return function(*arguments)
            seen.add(kind(*arguments))
            with self.timed("compilation"):
                return jax.block_until_ready(function(*arguments))

        return call

    def _stage(self, stage: str, function: Any) -> Callable[..., Any]:
        """A program that is compiled by itself and waited for."""
        compiled: Any = None

        def call(*arguments: Any) -> Any:
            nonlocal compiled
            if compiled is None:  # all calls of a training have the same shapes
                with self.timed("compilation"):
                    compiled = function.lower(*arguments).compile()
            with (
                self._observed(compiled, *arguments) if stage == "steps" else contextlib.nullcontext(),
                self.timed(stage),
            ):
                return jax.block_until_ready(compiled(*arguments))

        return call

    @contextlib.contextmanager
    def _observed(self, compiled: Any, *arguments: Any) -> Iterator[None]:
        """Takes note of the steps that are done within; the second time, when what the first one alone needs is over, it traces them."""
        _, _, active, _, data, (first, end) = arguments
        self._work += (int(end) - int(first)) * int(np.sum(to_host(active)))
        self._calls += 1
        self.steps += int(end) - int(first)
        self._program, self._data = compiled, jax.tree.map(lambda leaf: jax.typeof(leaf), data)
        if self._trace is None or self._calls != 2:
            yield
            return
        before = self.seconds["steps"]
        with self.timed("trace"):
            with traces.traced(self._trace, compiled.as_text()) as operations:
                yield
            self._traced = int(end) - int(first), operations
        self.seconds["trace"] -= self.seconds["steps"] - before

    def summary(self, side: int | None = None) -> dict[str, Any]:
        """What was found, as JSON: rates in operations a second, all times in seconds.

        It counts the operations of a step and measures the rate of a matrix product of this side, for which it compiles and computes for
        some seconds.

        Raises:
            InputError: no training was given it, or one that did no step.
        """
        if self._begun is None or not self.steps:
            raise InputError(
                "profile: expected one with which steps were done, got none; give it to fit or fit_ensemble, of a training that is not over"
            )
        recipe, hyper, key, plan = self._begun
        devices = [jax.devices()[0]] if plan.layout is None else list(plan.layout.mesh.devices.flat)
        batch = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((plan.batch_size, *leaf.shape[1:]), leaf.dtype), self._data
        )
        hyper, key = _of_member((hyper, key), plan.ensemble)
        one = cost.of_step(recipe, hyper, key, batch)
        side = side or cost.side_for(devices[0])
        product = cost.product_rate(devices, side, one.products)
        rate = None if one.operations is None else one.operations * self._work / self.seconds["steps"]
        steps, found = self._traced
        return {
            "device": {"kind": devices[0].device_kind, "count": len(devices)},
            "resumed": None if self.resumed is None else dict(zip(("epochs", "steps"), self.resumed, strict=True)),
            "seconds": {**self.seconds, "rest": self.seconds["all"] - sum(self.seconds[stage] for stage in STAGES)},
            "steps": self.steps,
            "batch_size": plan.batch_size,
            "steps_of_members": self._work,
            "step": one._asdict(),
            "rate": rate,
            "product": {"side": side, "dtype": one.products, "rate": product},
            "utilization": None if rate is None else rate / product,
            "memory": _memory(self._program),
            "trace": {
                "steps": steps,
                "seconds": traces.by_kind(found),
                "longest": [operation._asdict() for operation in found[:_LONGEST]],
            },
        }


def _of_member(arrays: Any, ensemble: bool) -> Any:
    """The shapes of these arrays, of an ensemble those of one member."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:] if ensemble else leaf.shape, leaf.dtype), arrays
    )


def _memory(program: Any) -> dict[str, int] | None:
    """Bytes of a device that the steps need, as their compiler says; None where it does not."""
    found = program.memory_analysis()
    if found is None:
        return None
    return {"arguments": found.argument_size_in_bytes, "temporaries": found.temp_size_in_bytes}
