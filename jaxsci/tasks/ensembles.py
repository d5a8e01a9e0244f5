"""Ensembles of the network of a task: networks that differ by their seeds, the mean of their probabilities, and what single ones say.

The mean is that of the probabilities, p = (1/M) sum_m p_m: each member is a network that the training might have given, and p is the
probability under the mixture of them. It is less sure where members contradict each other, and its log loss is at most the mean of
theirs (Jensen's inequality).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from jaxsci.core import Array, Inputs, Key, Model, Params
from jaxsci.errors import InputError
from jaxsci.plots import training as plots
from jaxsci.runs import figures
from jaxsci.runs.estimate import Estimate
from jaxsci.runs.page import Drawing, Section
from jaxsci.runs.tables import Cell, Column, Table
from jaxsci.runs.task import Execution
from jaxsci.training import predict

__all__ = [
    "WORDS",
    "Answers",
    "answering",
    "combined",
    "drawing",
    "first_key",
    "keys",
    "measured",
    "probabilities",
    "require",
    "section",
]

WORDS = (
    "Networks that differ by their initial weights and by the order and the random changes of what they are trained on. The answer is "
    "the mean of their probabilities: the probability under a mixture of them, whose log loss is at most the mean of theirs."
)


class Answers(NamedTuple):
    """What a network, or an ensemble of them, says of examples."""

    outputs: np.ndarray  # [example, ...]; of an ensemble the logits of the mean of the probabilities
    members: np.ndarray | None = (
        None  # [example, member] or [example, member, class], the logits of each; None for one network
    )
    spread: np.ndarray | None = (
        None  # [example], the standard deviation over the members of the probability of the answer
    )

    def spreads(self) -> dict[str, np.ndarray]:
        """The spread as a column of predictions; none for one network."""
        return {} if self.spread is None else {"spread": self.spread}


def require(members: int, execution: Execution) -> None:
    """Raise InputError unless so many networks can be trained, and in this way."""
    if members < 1:
        raise InputError(
            f"--members: expected a number of networks of at least 1, got {members}; leave it out for the default"
        )
    split = execution.devices is not None or execution.device_memory is not None or jax.process_count() > 1
    if members > 1 and split:
        raise InputError(
            f"--members: expected one network with --devices, --device-memory or --distributed, which split its batches, got {members}; "
            "leave one of them out"
        )


def keys(seed: int, members: int) -> Key:
    """The random key of a training, or those of the members of an ensemble [member]: initial weights, order, random changes."""
    key = jax.random.key(seed)
    return key if members == 1 else jax.random.split(key, members)


def first_key(seed: int, members: int) -> Key:
    """The random key of a training, or of the first member of an ensemble."""
    key = keys(seed, members)
    return key[0] if key.ndim else key


def answering(model: Model, params: Params, members: int, batch_size: int = 1024) -> Callable[[Inputs], Answers]:
    """The function that answers for prepared inputs, each [example, ...]; made once, it compiles once.

    Args:
        model: of one example; of an ensemble one member.
        params: of the network; of an ensemble each [member, ...].
        members: how many there are.
        batch_size: examples at a time.
    """
    if members == 1:
        return lambda x: Answers(predict(model.apply, params, x, batch_size=batch_size))

    return lambda x: combined(predict(_each(model.apply), params, x, batch_size=batch_size))


@lru_cache(maxsize=32)  # of one network one function, which is compiled once
def _each(apply: Callable[[Params, Inputs], Array]) -> Callable[[Params, Inputs], Array]:
    # One after another: a batch of examples fills a device, and all members at once would take their number in memory.
    return lambda params, x: jax.lax.map(lambda one: apply(one, x), params)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """exp(z_k) / sum_j exp(z_j) over the last axis, in float64."""
    z = np.asarray(logits, np.float64)
    likely = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(likely / likely.sum(-1, keepdims=True))


def combined(logits: np.ndarray) -> Answers:
    """The mean of the probabilities as logits: log odds, or the logarithms of the probabilities of the classes.

    Args:
        logits: [example, member] of yes, or [example, member, class].
    """
    z = np.asarray(logits, np.float64)
    if z.ndim == 2:
        yes, no = -np.logaddexp(0, -z), -np.logaddexp(0, z)  # logarithms of p and of 1 - p, exact for sure answers
        mean = np.logaddexp.reduce(yes, axis=1) - np.logaddexp.reduce(no, axis=1)
        return Answers(mean.astype(logits.dtype), logits, np.exp(yes).std(1).astype(logits.dtype))
    logs = z - np.logaddexp.reduce(z, axis=-1, keepdims=True)
    mean = np.logaddexp.reduce(logs, axis=1) - np.log(z.shape[1])
    best = mean.argmax(-1)
    spread = np.exp(logs).std(1)[np.arange(len(best)), best]
    return Answers(mean.astype(logits.dtype), logits, spread.astype(logits.dtype))


Measure: TypeAlias = Callable[[Any], Mapping[str, Any]]  # what a member says -> {"auc": {"value": ...}, ...}


def measured(measure: Measure, members: np.ndarray, spread: np.ndarray) -> dict[str, Any]:
    """What evaluation.json says of the members: their number, and for each metric the values of all, their mean and their spread.

    Args:
        measure: the metrics of one network.
        members: [example, member, ...], what `measure` takes of each.
        spread: [example], of the predictions.
    """
    found = [measure(members[:, m]) for m in range(members.shape[1])]
    names = [name for name, entry in found[0].items() if isinstance(entry, Mapping) and "value" in entry]
    return {
        "members": len(found),
        "disagreement": {"value": float(np.mean(spread, dtype=np.float64))},
        "of_members": {name: _summary([of[name]["value"] for of in found]) for name in names},
    }


def _summary(values: Sequence[float | None]) -> dict[str, Any]:
    """The values with their mean and standard deviation (of M - 1 degrees of freedom), where all are finite."""
    known = [value for value in values if value is not None]
    if len(known) < max(len(values), 2):
        return {"value": None, "deviation": None, "each": list(values)}
    return {"value": float(np.mean(known)), "deviation": float(np.std(known, ddof=1)), "each": list(values)}


def section(
    result: Mapping[str, Any],
    titles: Mapping[str, str],
    drawings: Sequence[Drawing] = (),
    words: str = WORDS,
) -> Section:
    """The part of a report that puts the ensemble beside its members.

    Args:
        result: the content of evaluation.json, with what `measured` gave.
        titles: of the metrics to show, by their names.
        drawings: figures that belong to it.
        words: what the members are, and what is made of them.
    """
    single, names = result["of_members"], [name for name in titles if name in result["of_members"]]
    rows: list[list[Cell]] = [
        ["mean of the members", *(figures.estimate(result["metrics"].get(name)) for name in names)],
        ["one member", *(_single(single[name]) for name in names)],
        ["lowest of a member", *(_end(single[name]["each"], min) for name in names)],
        ["highest of a member", *(_end(single[name]["each"], max) for name in names)],
    ]
    notes = [
        "Of the mean, intervals are 68 % and count the examples; of one member it is the standard deviation over the members.",
        f"Their answers differ by {result['disagreement']['value']:.4g} on average over the examples (standard deviation over "
        "the members).",
    ]
    caption = f"The ensemble of {result['members']} beside its members, on the same examples."
    table = Table([Column(""), *(Column(titles[name]) for name in names)], rows, caption, notes)
    return Section("The members", words, table=table, figures=drawings)


def drawing(answers: Answers, labels: np.ndarray, noun: str) -> Drawing:
    """The calibration of the mean against that of the members: of the probability of yes, or of the class that is answered.

    Args:
        answers: of an ensemble.
        labels: [example], 1 for yes and 0 for no, or the class.
        noun: what the examples are, in the plural.
    """
    assert answers.members is not None
    mean, *members = (_stated(z, labels) for z in (answers.outputs, *np.moveaxis(answers.members, 1, 0)))
    return Drawing(
        "members_calibration",
        "Observed frequency minus predicted probability, of the mean of the members and of each member.",
        plots.members_calibration(mean, members, noun=noun),
        f"Points with errors for the mean and {len(members)} thin lines for the members about a line at zero, perfect calibration.",
    )


def _stated(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a network states with which probability, and whether it is so."""
    if logits.ndim == 1:
        return 1 / (1 + np.exp(-logits.astype(np.float64))), labels
    likely = probabilities(logits)
    return likely.max(-1), (likely.argmax(-1) == labels).astype(np.int64)


def _single(entry: Mapping[str, Any]) -> Estimate:
    value, deviation = entry["value"], entry["deviation"]
    return Estimate(None) if value is None else Estimate(value, value - deviation, value + deviation)


def _end(values: Sequence[float | None], of: Callable[..., float]) -> float | None:
    known = [value for value in values if value is not None]
    return of(known) if len(known) == len(values) else None
