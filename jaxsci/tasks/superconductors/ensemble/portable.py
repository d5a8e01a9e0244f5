"""Predict superconductors with a trained ensemble, by NumPy alone.

This file stands beside `ensemble.npz` in the folder of a run, and the two can be copied anywhere together: they need Python and NumPy,
nothing else. From a terminal

    python predict_superconductors.py MgB2 YBa2Cu3O7

or in Python

    from predict_superconductors import load
    load("ensemble.npz")(["MgB2", "YBa2Cu3O7"])["tc"]

Temperatures are in K: "tc" with its 90 % interval from "tc_lower" to "tc_upper", "tc_mean", the sources of the interval,
"aleatoric" and "epistemic", and the distance from all known materials, "novelty" (0 to 1). An ensemble for the class gives
"probability", "probability_spread", "votes", "logit" and "superconducts". Do not trust materials that are "out_of_distribution": an
element of theirs, or a pair of elements, occurs in no training material, or, with a Gaussian process, they are far from all of these.

The numbers are those of the library that wrote the file, to the rounding of its single precision. Format 2 of the file: the header is JSON;
arrays of the members begin with `network/` and have the member as first axis, those of the Gaussian process begin with `gp/`. In format 1
intervals did not grow with the distance from the known materials, and none was far; this reader knows both.
"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

FORMAT = 2
Array: TypeAlias = np.ndarray
_EPS = float(np.finfo(np.float32).eps)
_TOKEN = re.compile(r"([A-Z][a-z]?)|([(\[{])|([)\]}])|(\d+\.?\d*|\.\d+)")


def load(path: str | Path = "ensemble.npz") -> Callable[[Sequence[str] | Array], dict[str, Array]]:
    """The function from formulas, or from stoichiometric coefficients [material, element], to predictions.

    Raises:
        ValueError: the file has a format that this reader does not know.
    """
    with np.load(Path(path), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(str(arrays.pop("header")))
    if header["format"] not in (1, FORMAT):
        raise ValueError(
            f"{path}: expected format 1 or {FORMAT}, got {header['format']}; use the reader written beside it"
        )
    header["calibration"] = {"widening": 0.0, "far": 1.0, **header["calibration"]}
    arrays = {name: array if array.dtype == bool else array.astype(np.float64) for name, array in arrays.items()}
    members = [_nested(arrays, "network/", member) for member in range(header["members"])]

    def predict(materials: Sequence[str] | Array) -> dict[str, Array]:
        given = isinstance(materials, np.ndarray)
        amounts: Array = (
            np.asarray(materials, np.float64) if given else coefficients(list(materials), header["symbols"])
        )
        network = _elements if header["network"]["kind"] == "elements" else _sets
        outputs = np.stack([network(params, amounts, arrays["table"], header["network"]) for params in members])
        gp, novelty = (None, None) if header["gp"] is None else _gp(arrays, amounts, header["gp"])
        mask = (amounts > 0).astype(np.float64)
        unknown = np.sum((mask @ ~arrays["known"]) * mask, axis=1) > 0
        if novelty is not None:
            unknown |= novelty > header["calibration"]["far"]
        of_class = header["target"] == "class"
        values = _class(outputs, gp, header) if of_class else _tc(outputs, gp, novelty, header)
        return {**values, "out_of_distribution": unknown}

    return predict


def coefficients(formulas: Sequence[str], symbols: Sequence[str]) -> Array:
    """Stoichiometric coefficients [formula, element] of formulas such as MgB2, La1.85Sr0.15CuO4 or Ca(BC)2.

    Raises:
        ValueError: a formula that cannot be read, or an element that the ensemble does not know.
    """
    amounts = np.zeros((len(formulas), len(symbols)))
    for row, formula in enumerate(formulas):
        for symbol, amount in _parse(formula).items():
            if symbol not in symbols:
                raise ValueError(f"{formula}: expected elements up to {symbols[-1]}, got {symbol}")
            amounts[row, symbols.index(symbol)] = amount
        if not amounts[row].any():
            raise ValueError(f"{formula}: expected at least one element, got none")
    return amounts


def _parse(formula: str) -> dict[str, float]:
    groups: list[dict[str, float]] = [{}]
    position, last = 0, dict[str, float]()
    while position < len(formula):
        token = _TOKEN.match(formula, position)
        if token is None or (token[3] and len(groups) == 1) or (token[4] and not last):
            raise ValueError(f"{formula}: cannot be read at character {position + 1}")
        position = token.end()
        if token[4]:
            last = {symbol: (float(token[4]) - 1) * amount for symbol, amount in last.items()}
        elif token[2]:
            groups.append({})
            last = {}
            continue
        else:
            last = {token[1]: 1.0} if token[1] else groups.pop()
        for symbol, amount in last.items():  # a number after it adds what is missing
            groups[-1][symbol] = groups[-1].get(symbol, 0.0) + amount
        last = {} if token[4] else last
    if len(groups) > 1:
        raise ValueError(f"{formula}: a bracket is not closed")
    return groups[0]


def _nested(arrays: dict[str, Array], prefix: str, member: int) -> dict[str, Any]:
    """The parameters of one member, as nested dicts."""
    result: dict[str, Any] = {}
    for name, array in arrays.items():
        if name.startswith(prefix):
            *path, leaf = name[len(prefix) :].split("/")
            place = result
            for part in path:
                place = place.setdefault(part, {})
            place[leaf] = array[member]
    return result


def _affine(params: dict[str, Array], x: Array) -> Array:
    result: Array = x @ params["kernel"] + params["bias"]
    return result


def _stack(params: dict[str, Any], x: Array, activation: str) -> Array:
    """Affine layers with the activation between them."""
    act = {"relu": lambda z: np.maximum(z, 0), "silu": lambda z: z * _sigmoid(z)}[activation]
    for i in range(len(params)):
        x = _affine(params[f"layer_{i}"], act(x) if i else x)
    return x


def _sigmoid(z: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0, -z)))


def _elements(params: dict[str, Any], amounts: Array, table: Array, config: dict[str, Any]) -> Array:
    """A network that pools latents of the elements by their fractions: [material] or [material, output]."""
    if "embedding" in params:
        table = np.concatenate([table, params["embedding"]["bias"]], axis=1)
    latent = _stack(params["phi"], table, config["activation"])
    fractions = _fractions(amounts)
    mean = fractions @ latent
    pooled = []
    for pooling in config["pooling"]:
        if pooling == "mean":
            pooled.append(mean)
        elif pooling == "variance":
            pooled.append(fractions @ latent**2 - mean**2)
        elif pooling == "attention":
            weights = np.exp(10 * np.tanh(_affine(params["attention"], latent) / 10))  # [element, head]
            heads = latent.reshape(len(table), config["heads"], -1)
            top = fractions @ (weights[..., None] * heads).reshape(len(table), -1)
            pooled.append(top / np.repeat(fractions @ weights, heads.shape[-1], axis=1))
        elif pooling == "fourier":
            angles = np.pi * 2.0 ** np.arange(config["frequencies"])[:, None] * fractions[:, None, :]
            features = np.concatenate([np.sin(angles), 1 - np.cos(angles)], axis=1)
            pooled.append((features @ latent).reshape(len(amounts), -1))
        else:
            raise ValueError(f"pooling: expected one of format {FORMAT}, got {pooling!r}")
    outputs = _stack(params["rho"], np.concatenate(pooled, axis=1), config["activation"])
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs


def _sets(params: dict[str, Any], amounts: Array, table: Array, config: dict[str, Any]) -> Array:
    """A Deep Set whose elements carry their coefficient as a feature: [material]."""
    pooled = []
    for row in amounts:
        which = np.argsort(-row, kind="stable")[: config["slots"]]
        which = which[row[which] > 0]
        features = np.concatenate([table[which], row[which][:, None]], axis=1)
        pooled.append(_stack(params["phi"], features, config["activation"]).sum(axis=0))
    return _stack(params["rho"], np.array(pooled), config["activation"])[:, 0]


def _fractions(amounts: Array) -> Array:
    return amounts / amounts.sum(axis=1, keepdims=True)


def _gp(arrays: dict[str, Array], amounts: Array, config: dict[str, Any]) -> tuple[Array, Array]:
    """The posterior mean of the Gaussian process, and the distance from the nearest known material, each [material]."""
    get = {name[len("gp/") :]: array for name, array in arrays.items() if name.startswith("gp/")}.__getitem__
    table, result = arrays["table"], []
    for fractions in _fractions(amounts):
        which = np.argsort(-fractions, kind="stable")[: config["slots"]]
        which = which[fractions[which] > 0]
        roots = np.sqrt(fractions[which])
        shared = np.minimum(get("roots")[which], roots[:, None])
        mean = fractions @ table
        raw = np.concatenate([mean, fractions @ np.abs(table - mean)])
        statistics = (raw - get("shift")) * get("scale")
        squares = statistics @ statistics + get("squares")
        square = squares - 2 * (statistics @ get("statistics"))
        square[square <= 64 * _EPS * squares] = 0  # the rounding of single precision, as in training
        of_fractions = 2 - 2 * np.sum(shared**2, axis=0)
        of_roots = roots.sum() + get("root_sums") - 2 * shared.sum(axis=0)
        covariance = sum(
            s * np.exp(-np.maximum(distance, 0) / length)
            for s, distance, length in zip(
                config["amplitudes"], (of_fractions, of_roots, np.sqrt(square)), config["lengths"], strict=True
            )
        )
        nearest = np.max(covariance) / sum(config["amplitudes"])
        result.append((get("mean") + covariance @ get("weights"), max(1 - nearest, 0)))
    mean, novelty = np.array(result).T
    return mean, novelty


def _tc(outputs: Array, gp: Array | None, novelty: Array | None, header: dict[str, Any]) -> dict[str, Array]:
    unit, c = header["unit"], header["calibration"]
    factor, weight = (
        c["conformal_factor"] * (1 + c["widening"] * np.sqrt(0 if novelty is None else novelty)),
        c["gp_weight"],
    )

    def kelvin(values: Array) -> Array:
        return np.asarray(unit * np.maximum(values, 0))

    quantiles = outputs if outputs.ndim == 3 else outputs[..., None]
    mean, middle = quantiles.mean(axis=0), quantiles.shape[-1] // 2
    center, epistemic = mean[:, middle], quantiles[..., middle].std(axis=0)
    noise_below, noise_above = np.maximum(center - mean[:, 0], 0), np.maximum(mean[:, -1] - center, 0)
    expected = kelvin(quantiles).mean(axis=(0, 2))
    if gp is not None:
        expected = expected + weight * (kelvin(gp) - expected)
        epistemic = np.hypot((1 - weight) ** 0.5 * epistemic, (weight * (1 - weight)) ** 0.5 * (gp - center))
        center = center + weight * (gp - center)
    between = np.maximum(header["normal_95"] * epistemic, header["narrowest"])
    return {
        "tc": kelvin(center),
        "tc_lower": kelvin(center - factor * np.hypot(noise_below, between)),
        "tc_upper": kelvin(center + factor * np.hypot(noise_above, between)),
        "tc_mean": expected,
        "aleatoric": (kelvin(center + noise_above) - kelvin(center - noise_below)) / 2,
        "epistemic": kelvin(epistemic),
        **({} if novelty is None else {"novelty": novelty}),
    }


def _class(outputs: Array, gp: Array | None, header: dict[str, Any]) -> dict[str, Array]:
    c = header["calibration"]
    logits = c["slope"] * outputs + c["offset"] + (0 if gp is None else c["gp_slope"] * gp)
    logit = logits.mean(axis=0)
    return {
        "probability": _sigmoid(logit),
        "probability_spread": _sigmoid(logits).std(axis=0),
        "votes": np.mean(_sigmoid(logits) > c["threshold"], axis=0),
        "logit": logit,
        "superconducts": _sigmoid(logit) > c["threshold"],
    }


def main(formulas: Sequence[str]) -> None:
    """Print the predictions of formulas by the ensemble beside this file."""
    found = load(Path(__file__).with_name("ensemble.npz"))(formulas)
    for row, formula in enumerate(formulas):
        print(formula, *(f"{name} {values[row]:.4g}" for name, values in found.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
