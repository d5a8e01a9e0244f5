"""A network of ours and a peer's trained side by side: epochs in turn, the same jets in the same order, the same choice of the epoch."""

import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.tagger_peers import ours, theirs
from benchmarks.tagger_peers.problems import Data, Problem, Side
from jaxsci.models.heads import inference
from jaxsci.runs import binary_evaluation
from jaxsci.training import predict

SIDES = ("ours", "theirs")
SOME = 1000  # jets by which two networks are told to be one
KEPT = ("auc", "rejection_0.3", "rejection_0.5")


def measure(problem: Problem, data: Data, seed: int, threads: int) -> dict[str, Any]:
    """One training of each: what either reaches on the test part at its best validation epoch, their difference, and all times.

    Both are given the jets in one order, drawn anew for every epoch from the seed; each draws its own weights, unless the problem has them
    begin with the same. Who goes first alternates.
    """
    sides = {"ours": ours.side(problem, data, seed), "theirs": theirs.PEERS[problem.peer](problem, data, seed, threads)}
    apart = largest_difference(problem, data, sides["theirs"])
    if problem.same_start:
        assert sides["theirs"].as_ours is not None
        sides["ours"].restore(sides["theirs"].as_ours())
    orders = np.random.default_rng(seed)
    seconds: dict[str, Any] = {name: {"training": [], "prediction": []} for name in SIDES}
    losses: dict[str, list[float]] = {name: [] for name in SIDES}
    best: dict[str, Any] = {}  # weights
    validation, test = slice(0, len(data.validation)), slice(len(data.validation), None)
    for epoch in range(problem.epochs):
        order = orders.permutation(len(data.y))
        for name in SIDES if epoch % 2 == 0 else SIDES[::-1]:
            _timed(lambda name=name, order=order: sides[name].epoch(order), seconds[name]["training"])
            logits = _timed(lambda name=name: sides[name].logits(validation), seconds[name]["prediction"])
            losses[name].append(cross_entropy(logits, data.validation))
            if np.argmin(losses[name]) == epoch:
                best[name] = sides[name].weights()
    tested = {}
    for name in SIDES:
        sides[name].restore(best[name])
        tested[name] = sides[name].logits(test)
    found = {
        name: {
            "parameters": sides[name].parameters,
            "best_epoch": int(np.argmin(losses[name])) + 1,
            "validation_losses": losses[name],
            "seconds": seconds[name],
            **{key: binary_evaluation.ranking(tested[name], data.test)[key] for key in KEPT},
        }
        for name in SIDES
    }
    gain = binary_evaluation.gain(tested["ours"], tested["theirs"], data.test, jax.random.key(seed))
    return {
        "seed": seed,
        "training_jets": len(data.y),
        "test_jets": len(data.test),
        "epochs": problem.epochs,
        "validation_jets": len(data.validation),
        "difference": gain["auc_difference"],
        "apart": apart,
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        **found,
    }


def largest_difference(problem: Problem, data: Data, peer: Side) -> float | None:
    """Of the log odds of our network with the peer's first weights from the peer's, in units of their spread; None for other networks."""
    if peer.as_ours is None:
        return None
    some = slice(0, SOME)
    expected = peer.logits(some)
    found = predict(inference(problem.model).apply, peer.as_ours(), jax.tree.map(lambda leaf: leaf[some], data.asked))
    return float(np.max(np.abs(found - expected)) / np.std(expected))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean negative log-likelihood."""
    return float(np.mean(np.logaddexp(0, logits) - labels * logits, dtype=np.float64))


def _timed(call: Callable[[], Any], seconds: list[tuple[float, float]]) -> Any:
    """Its result; seconds of the clock and of the processor are appended."""
    clock, processor = time.perf_counter(), time.process_time()
    result = call()
    seconds.append((round(time.perf_counter() - clock, 4), round(time.process_time() - processor, 4)))
    return result
