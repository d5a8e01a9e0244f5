"""Time implementations alternately, so that whatever else the machine does meanwhile affects all of them alike."""

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)
PATIENCE = 10  # budgets
LEAST = 3  # calls that make a median


class Timing(NamedTuple):
    """One implementation's calls, in seconds."""

    first: float  # compilation, where there is any, and one call; NaN where every call compiles
    calls: list[float]
    result: float  # of the last call

    @property
    def compilation(self) -> float:
        """What the first call took beyond a usual one."""
        return max(0.0, self.first - float(np.median(self.calls)))


Progress = Callable[[str], None]


def alternate(
    implementations: Mapping[str, Callable[[], float]],
    repeats: int,
    progress: Progress = lambda line: None,
    *,
    warm_up: bool = True,
) -> dict[str, Timing]:
    """Call each once to compile (`warm_up`) and then alternately, A B C A B C, `repeats` times each.

    An implementation does the same amount of work at every call. It returns a number that depends on this work, such as the loss, so
    that none of it can be left undone or still be under way.
    """
    first = {name: _timed(call)[0] if warm_up else math.nan for name, call in implementations.items()}
    calls: dict[str, list[float]] = {name: [] for name in implementations}
    results = {}
    for _ in range(repeats):
        for name, call in implementations.items():
            seconds, results[name] = _timed(call)
            calls[name].append(seconds)
    timings = {name: Timing(first[name], calls[name], results[name]) for name in implementations}
    for name, timing in timings.items():
        progress(f"  {name:24s} {np.median(timing.calls):8.3f} s  ({timing.compilation:.1f} s to compile)")
    return timings


def visits(implementations: Mapping[Name, Callable[[], Any]], repeats: int, budget: float) -> dict[Name, list[float]]:
    """Seconds of calls, in rounds: each implementation is called twice in a row and the second call counts.

    The first one meets the caches, and the spinning threads, that another implementation has left behind; next to a call longer than the
    `budget` of seconds they are nothing, so that such a call counts by itself. Whoever has used up its budget after three rounds sits out
    the rest, and whoever needs ten budgets for the very first call, which may do what later ones need not, is judged by that one.
    """
    calls: dict[Name, list[float]] = {name: [] for name in implementations}
    spent = dict.fromkeys(implementations, 0.0)
    quick = {}
    for name, call in implementations.items():
        seconds = _seconds(call)
        if seconds > PATIENCE * budget:
            calls[name] = [seconds]
        else:
            quick[name] = call
    for _ in range(repeats):
        for name, call in quick.items():
            if spent[name] > budget and len(calls[name]) >= LEAST:
                continue
            first = _seconds(call)
            second = first if first > budget else _seconds(call)
            calls[name].append(second)
            spent[name] += first + second
    return calls


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _timed(call: Callable[[], float]) -> tuple[float, float]:
    began = time.perf_counter()
    result = float(call())
    return time.perf_counter() - began, result


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Median and the interquartile range, as JSON."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {"median": float(median), "low": float(low), "high": float(high)}


def speedups(timings: Mapping[str, Timing], name: str, than: str) -> list[float]:
    """How many times faster `name` was `than` another, in each round: neighbors in time are compared with each other."""
    return [theirs / ours for ours, theirs in zip(timings[name].calls, timings[than].calls, strict=True)]


def as_json(timings: Mapping[str, Timing], examples: int) -> dict[str, Any]:
    """Every timing, and the rates in examples a second."""
    return {
        name: {
            "compilation_seconds": timing.compilation,
            "seconds": timing.calls,
            "rate": quartiles([examples / seconds for seconds in timing.calls]),
            "loss": timing.result,
        }
        for name, timing in timings.items()
    }
