"""A linear tagger that can be read: logistic regression on energy-flow polynomials, and what it adds to two networks.

    jaxsci bench polynomials [--beta 0.5] [--degree 5] [--jets N] [--logits FOLDER] [--out benchmarks/results]

The 101 polynomials of up to five edges (arXiv:1712.07124), standardized on the training part, enter a logistic regression by
`jaxsci.fitting`, whose coefficients have errors. The strength of its prior is chosen on the validation part. With a FOLDER of log odds
that `jaxsci bench taggers --logits FOLDER` kept of the same split, a second regression, on the validation part, weights polynomials and
networks. The numbers, of the test part, join those of the other taggers. The jets are simulated at particle level.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine, tagger_tables, taggers
from benchmarks.arguments import Parser
from jaxsci import fitting
from jaxsci.core import Array, WeightedSet
from jaxsci.data import jets
from jaxsci.data.jets import features
from jaxsci.data.split import split
from jaxsci.files import replacing, write_json, write_text
from jaxsci.models.jets import energy_flow
from jaxsci.plots import jets as jet_plots
from jaxsci.runs import binary_evaluation
from jaxsci.tasks.top_tagging import samples
from jaxsci.training import predict

NAME = "polynomials"
PARTICLES = 60  # the hardest; all pairs of them are looked at
STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-8, 5))  # of the prior, to choose from
SHOWN = 12  # coefficients
JOINED = ("pelican-10k", "cnn")  # networks that the polynomials are weighted with


class Regression(NamedTuple):
    """A logistic regression on standardized inputs."""

    mean: np.ndarray  # [input]
    deviation: np.ndarray  # [input]
    coefficients: np.ndarray  # [input], of the log odds per standard deviation
    errors: np.ndarray  # [input]
    constant: float


def make_polynomials(constituents: np.ndarray, config: energy_flow.Config) -> np.ndarray:
    """The polynomials of each jet [jet, polynomial].

    Args:
        constituents: [jet, constituent, 4], hardest first, padded with zeros.
        config: which polynomials.
    """
    particles = WeightedSet(*features.efn_inputs(constituents, max_constituents=PARTICLES))  # type: ignore[arg-type]
    return np.asarray(predict(lambda _, jet: energy_flow.polynomials(jet, config), {}, particles, batch_size=200))


def regress(x: np.ndarray, labels: np.ndarray, strength: float) -> Regression:
    """By `jaxsci.fitting.logistic_regression` in float64, with a prior of this strength for standardized inputs."""
    x = np.asarray(x, np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    with jax.enable_x64(True):
        found = _fit(jnp.asarray((x - mean) / deviation), jnp.asarray(labels, jnp.float64), jnp.asarray(strength))
        fitting.require_minimum(found)
        errors = fitting.errors(found.covariance, found.params)
        values, constant = (np.asarray(found.params[name]) for name in ("coefficients", "constant"))
        return Regression(mean, deviation, values, np.asarray(errors["coefficients"]), float(constant))


@jax.jit
def _fit(x: Array, labels: Array, strength: Array) -> fitting.LikelihoodFit:
    return fitting.logistic_regression(x, labels, strength=strength)


def log_odds(found: Regression, x: np.ndarray) -> np.ndarray:
    """Of top, for inputs [jet, input] as given to `regress`."""
    result: np.ndarray = (x - found.mean) / found.deviation @ found.coefficients + found.constant
    return result


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross entropy."""
    return float(np.mean(np.logaddexp(0, logits) - labels * logits))


def choose(x: np.ndarray, labels: np.ndarray, parts: Sequence[np.ndarray]) -> tuple[Regression, float]:
    """The regression on the first part whose strength is the best on the second, and that strength."""
    train, validation = parts[:2]
    found = {strength: regress(x[train], labels[train], strength) for strength in STRENGTHS}
    losses = {strength: log_loss(log_odds(one, x[validation]), labels[validation]) for strength, one in found.items()}
    best = min(losses, key=lambda strength: losses[strength])
    return found[best], best


def join(columns: dict[str, dict[str, np.ndarray]], labels: dict[str, np.ndarray]) -> tuple[Regression, np.ndarray]:
    """Log odds of several taggers weighted by a regression on the validation part; with the log odds of the test part.

    Args:
        columns: for each tagger its log odds of "validation" and "test".
        labels: of the same parts.
    """
    x = {part: np.stack([values[part] for values in columns.values()], axis=1).astype(np.float64) for part in labels}
    found = regress(x["validation"], labels["validation"], 1.0)
    return found, log_odds(found, x["test"])


def as_markdown(results: dict[str, Any]) -> str:
    """The largest coefficients with their errors."""
    auc = results["metrics"]["auc"]
    edge = ", the weakest that was tried" if results["strength"] == min(STRENGTHS) else ""
    lines = [
        "# Energy-flow polynomials",
        "",
        f"{_WORDS} Distances enter as their power {results['beta']:g}; the strength of the prior, chosen on the validation part, is"
        f" {results['strength']:.2g}{edge}. AUC {auc['value']:.4f}, 68 % interval {auc['lower']:.4f} to {auc['upper']:.4f} (test part).",
        "",
        "| graph (edges) | coefficient | AUC of the polynomial alone |",
        "|---|---|---|",
    ]
    for row in results["coefficients"][:SHOWN]:
        edges = " ".join(f"{i}-{j}" for i, j in row["graph"])
        lines.append(f"| {edges} | {row['value']:.2f} ± {row['error']:.2f} | {row['auc']:.3f} |")
    return "\n".join([*lines, "", "![The largest coefficients with their errors and graphs](polynomials.png)", ""])


_WORDS = (
    "Logistic regression on the 101 energy-flow polynomials of up to five edges (arXiv:1712.07124) of the 60 hardest particles, trained on"
    " 18,000 of the 30,000 simulated jets of the package. A coefficient is the change of the log odds of top per standard deviation of its"
    " polynomial, all others kept; its error is that of the Hessian of likelihood and prior (`jaxsci.fitting`). Polynomials are correlated:"
    " a coefficient says what one adds to all others, not what it knows; for that see its AUC alone, below 1/2 where it is larger for QCD"
    " jets. The largest are shown."
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, measure, and write polynomials.json, .md and .png, and the rows of taggers.json and taggers.md."""
    parser = Parser("polynomials", __doc__)
    parser.add_argument("--degree", type=int, default=5, help="most edges of a graph")
    parser.add_argument("--beta", type=float, default=0.5, help="power of the distances")
    parser.add_argument("--jets", type=int, help="so many jets alone, for a quick look")
    parser.add_argument("--logits", type=Path, metavar="FOLDER", help="log odds kept by `jaxsci bench taggers`")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    if options.jets and options.logits:
        parser.error("--logits: expected all jets, of which they are, got --jets; leave one out")
    sample = jets.read(jets.embedded(), limit=options.jets)
    labels = samples.labels_of(sample)
    assert sample.constituents is not None
    parts = split(labels, seed=1, fractions=samples.FRACTIONS)
    began = time.process_time()
    config = energy_flow.Config(options.degree, options.beta)
    x, graphs = make_polynomials(sample.constituents, config), config.graphs
    prepared = time.process_time() - began
    found, strength = choose(x, labels, parts)
    alone = {part: log_odds(found, x[rows]) for part, rows in zip(("validation", "test"), parts[1:], strict=True)}
    order = np.argsort(-np.abs(found.coefficients))
    areas = [binary_evaluation.ranking(x[parts[2], i], labels[parts[2]])["auc"]["value"] for i in order[:SHOWN]]
    results = {
        "machine": machine.describe(),
        "beta": options.beta,
        "strength": strength,
        "training_jets": len(parts[0]),
        "processor_seconds": {"polynomials": round(prepared, 1), "all": round(time.process_time() - began, 1)},
        "validation_log_loss": log_loss(alone["validation"], labels[parts[1]]),
        "metrics": binary_evaluation.classification(alone["test"], labels[parts[2]]),
        "coefficients": [
            {"graph": graphs[i], "value": found.coefficients[i], "error": found.errors[i], "auc": area}
            for i, area in zip(order, [*areas, *[None] * (len(order) - len(areas))], strict=True)
        ],
    }
    write_json(options.out / f"{NAME}.json", results)
    write_text(options.out / f"{NAME}.md", as_markdown(results))
    shown = order[:SHOWN]
    figure = jet_plots.flow_coefficients(
        [graphs[i] for i in shown],
        found.coefficients[shown],
        found.errors[shown],
        label="log odds of top per standard deviation of the polynomial",
    )
    with replacing(options.out / f"{NAME}.png") as picture:
        figure.savefig(picture, dpi=150)
    rows = {"efp": {"parameters": len(graphs) + 1, **results["metrics"]}}
    if options.logits is not None:
        rows |= _joined(options.logits, alone, {"validation": labels[parts[1]], "test": labels[parts[2]]})
    for name, row in rows.items():
        print(name, json.dumps(row["auc"]), json.dumps(row["rejection_0.3"]), row.get("weights", ""), flush=True)
    file = options.out / f"{taggers.NAME}.json"
    others = json.loads(file.read_text()) if file.is_file() else {"taggers": {}}
    others["linear"] = others.get("linear", {}) | rows
    write_json(file, others)
    write_text(options.out / f"{taggers.NAME}.md", tagger_tables.as_markdown(others))


def _joined(folder: Path, alone: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    columns = {"efp": alone}
    for name in JOINED:
        with np.load(folder / f"{name}-1.npz") as file:
            columns[name] = {part: file[part] for part in labels}
    found, logits = join(columns, labels)
    weights = {
        name: {"value": value, "error": error}
        for name, value, error in zip(
            columns, found.coefficients / found.deviation, found.errors / found.deviation, strict=True
        )
    }
    return {" + ".join(columns): {"weights": weights, **binary_evaluation.classification(logits, labels["test"])}}


if __name__ == "__main__":
    main()
