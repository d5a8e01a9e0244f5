"""Taggers side by side on the same simulated jets: how well, how large, how much work a jet, how fast.

    jaxsci bench taggers [--only NAME ...] [--seeds 1 2 3] [--epochs N] [--jets N] [--out benchmarks/results] [--logits FOLDER]
    jaxsci bench taggers --bfloat16 --only pfn part --seeds 1 2 --epochs 4 --jets 8000

Each is trained as `jaxsci train top-tagging --tagger NAME` trains it, on the 30,000 jets of the package, on the same split; a seed is that
of the weights and of the order. The epoch is chosen on the validation part, the numbers are those of the test part. The defaults of
the taggers of pairs were found in trials on this same test part, so that their numbers are a little too good. Results are added to those
that the folder holds, a training at a time. The jets are simulated at particle level: compare the taggers with each other, not with
published numbers.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from jaxsci.files import replacing, write_json, write_text
from jaxsci.runs import binary_evaluation
from jaxsci.runs.task import silent
from jaxsci.tasks.top_tagging import jobs, samples
from jaxsci.tasks.top_tagging.options import TAGGERS, Options
from jaxsci.training import fit, predict

NAME = "taggers"
CHOSEN = ("mass", "efn", "pfn", "cnn", "particlenet", "pelican", "pelican-10k", "part")
PREDICTED = 3000  # jets whose prediction is timed


def measure(
    name: str, seed: int, epochs: int | None = None, jets: int | None = None, logits: Path | None = None
) -> dict[str, Any]:
    """One training: what it reaches on the test part, its size, its work and its rates.

    With `logits` its log odds of the validation and test jets are kept in that folder, for ensembles.
    """
    job = jobs.prepare(Options(tagger=name, epochs=epochs, max_jets=jets), silent)
    inputs, labels = jobs.make_inputs(job.tagger, job.sample, silent), samples.labels_of(job.sample)
    train, validation, test = (jobs.as_batch(inputs, labels, part) for part in job.splits)
    recipe, settings = jobs.make_recipe(job)
    began, used = time.perf_counter(), time.process_time()
    result = fit(recipe, train, validation, key=jax.random.key(seed), settings=settings)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    apply = job.tagger.model.apply
    found = {part: predict(apply, result.params, jets.x) for part, jets in (("validation", validation), ("test", test))}
    if logits is not None:
        with replacing(logits / f"{name}-{seed}.npz") as file:
            np.savez(file, **found)
    metrics = binary_evaluation.classification(found["test"], np.asarray(test.y))
    kept = ("auc", "accuracy", "rejection_0.3", "rejection_0.5")
    return {
        "seed": seed,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(result.params)),
        "operations": operations(apply, result.params, test.x),
        "training_jets": len(job.splits[0]),
        "epochs": settings.epochs,
        "best_epoch": int(result.best_epoch),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "predicted_per_second": round(rate(apply, result.params, test.x)),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        **{metric: metrics[metric] for metric in kept},
    }


def bfloat16(name: str, seed: int, epochs: int | None = None, jets: int | None = None) -> dict[str, Any]:
    """The same training twice, with products in float32 and in bfloat16: the AUCs on the test part, and their difference with its error.

    The error is DeLong's for two rankings of the same jets. Weights, sums and the loss are float32 in both.
    """
    found: dict[str, Any] = {}
    logits = {}
    for precision in ("float32", "bfloat16"):
        job = jobs.prepare(Options(tagger=name, epochs=epochs, max_jets=jets, precision=precision), silent)
        inputs, labels = jobs.make_inputs(job.tagger, job.sample, silent), samples.labels_of(job.sample)
        train, validation, test = (jobs.as_batch(inputs, labels, part) for part in job.splits)
        recipe, settings = jobs.make_recipe(job)
        result = fit(recipe, train, validation, key=jax.random.key(seed), settings=settings)
        formats = {str(leaf.dtype) for leaf in jax.tree.leaves((result.params, result.opt_state)) if leaf.ndim}
        if formats != {"float32"}:
            raise ValueError(f"{name}: expected weights and their moments in float32, got {sorted(formats)}")
        logits[precision] = predict(job.tagger.model.apply, result.params, test.x)
        found[precision] = binary_evaluation.ranking(logits[precision], np.asarray(test.y))["auc"]
    gain = binary_evaluation.gain(logits["bfloat16"], logits["float32"], np.asarray(test.y), jax.random.key(0))
    sizes = {"training_jets": len(job.splits[0]), "test_jets": len(job.splits[2]), "epochs": settings.epochs}
    return {"seed": seed, **sizes, **found, "difference": gain["auc_difference"]}


def operations(apply: Any, params: Any, x: Any) -> float | None:
    """Floating-point operations of the prediction for one jet, as XLA counts those of the program; None where it does not say."""
    one = jax.tree.map(lambda leaf: leaf[0], x)
    counted = jax.jit(apply).lower(params, one).compile().cost_analysis()
    counted = counted[0] if isinstance(counted, list) else counted
    return None if not counted else counted.get("flops")


def rate(apply: Any, params: Any, x: Any) -> float:
    """Jets a second of `predict` in batches of 100, the best of three."""
    some = jax.tree.map(lambda leaf: np.asarray(leaf[:PREDICTED]), x)
    seconds = []
    for _ in range(4):  # the first compiles
        began = time.perf_counter()
        predict(apply, params, some, batch_size=100)
        seconds.append(time.perf_counter() - began)
    return len(jax.tree.leaves(some)[0]) / min(seconds[1:])


def as_markdown(results: dict[str, Any]) -> str:
    """A row a tagger: means over the seeds."""
    lines = [
        "| tagger | parameters | operations a jet | AUC | 1/eps_B(0.3) | 1/eps_B(0.5) | accuracy | seeds | epochs |"
        " processor time of a training | jets a second, training | prediction |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in results["taggers"].items():
        first = runs[0]
        cells = [name, f"{first['parameters']:,}", _short(first["operations"])]
        cells += [_mean(runs, *of) for of in (("auc", 4), ("rejection_0.3", 0), ("rejection_0.5", 0), ("accuracy", 4))]
        best = min(runs, key=lambda run: run["processor_seconds"])
        rate = best["training_jets"] * best["epochs"] / best["processor_seconds"]
        cells += [str(len(runs)), str(best["epochs"]), f"{best['processor_seconds'] / 60:.1f} min", f"{rate:,.0f}"]
        cells.append(f"{max(run['predicted_per_second'] for run in runs):,}")
        lines.append(f"| {' | '.join(cells)} |")
    further = [*_linear(results.get("linear", {})), *_half(results.get("bfloat16", {}))]
    return "\n".join(["# Taggers", "", _WORDS, "", *lines, *further, ""])


def _linear(rows: dict[str, Any]) -> list[str]:
    """A table of what `benchmarks.polynomials` has measured on the same jets."""
    if not rows:
        return []
    metrics = ("auc", 4), ("rejection_0.3", 0), ("rejection_0.5", 0), ("accuracy", 4)
    lines = ["", _LINEAR, "", "| | AUC | 1/eps_B(0.3) | 1/eps_B(0.5) | accuracy |", "|---|---|---|---|---|"]
    return lines + [f"| {name} | {' | '.join(_mean([row], *of) for of in metrics)} |" for name, row in rows.items()]


_LINEAR = (
    "Logistic regression on 101 [energy-flow polynomials](polynomials.md) (efp), a linear tagger whose coefficients have errors, on the"
    " same jets and split; and, where named, weighted with the log odds of networks (their first seeds), by a second regression on the"
    " validation part alone (`python -m benchmarks.polynomials`)."
)


def _half(taggers: dict[str, Any]) -> list[str]:
    """A table of trainings in both formats, a row for each seed."""
    if not taggers:
        return []
    head = "| tagger | seed | training jets | epochs | test jets | AUC, float32 | AUC, bfloat16 | difference |"
    lines = ["", "## Products in bfloat16", "", _HALF, "", head, "|---|---|---|---|---|---|---|---|"]
    for name, runs in taggers.items():
        for run in runs:
            sizes = [f"{run[key]:,}" for key in ("training_jets", "epochs", "test_jets")]
            areas = [f"{run[key]['value']:.4f}" for key in ("float32", "bfloat16")]
            difference = f"{run['difference']['value']:+.4f} ± {run['difference']['error']:.4f}".replace("-", "−")
            lines.append(f"| {' | '.join([name, str(run['seed']), *sizes, *areas, difference])} |")
    return lines


_HALF = (
    "Taggers trained twice from the same seed on the same few jets, for a few epochs: with products in float32, and with"
    " `--precision bfloat16`, whose weights, moments of the optimizer, sums and loss are float32 all the same. The difference of the"
    " AUCs has DeLong's error for two rankings of the same test jets, at 68 %; it does not hold the scatter of trainings, which"
    " another rounding sets off like another seed. These trainings are short: compare the two columns, not the taggers."
)


_WORDS = (
    "Each tagger as `jaxsci train top-tagging --tagger NAME` trains it, on 18,000 of the 30,000 simulated jets of the package; numbers of"
    " the 7,500 of the test part, epochs chosen on the 4,500 of the validation part. The defaults of pelican, particlenet and part were"
    " found in trials on this same test part: their numbers are a little too good. A value is the mean over the seeds of the weights,"
    " with the standard deviation between them (seeds) where there are several, and with half the mean 68 % interval that the size of the"
    " test part gives (jets). At 1/eps_B of 1,000 four of the 3,750 background jets of the test part are left: differences there are noise."
    " Operations are those of one prediction as XLA counts them. The time of a training (with"
    " compilation) and its rate are those of the processor, not of the clock; the rate of prediction is the best of three by the clock, in"
    " batches of 100. The jets are simulated at particle level: these numbers are not to be compared with published ones. Machine and every"
    " training, with the load of the machine: `benchmarks/results/taggers.json`. Those of efn and cnn and the later seeds were made on"
    " a busy machine, in pieces: their accuracies do not depend on it, their times and rates are upper and lower bounds."
)


def _mean(runs: list[dict[str, Any]], metric: str, digits: int) -> str:
    values = [run[metric]["value"] for run in runs]
    if None in values:
        return "no background passes in a run"
    half = np.mean([run[metric]["upper"] - run[metric]["lower"] for run in runs]) / 2
    spread = f" ± {np.std(values, ddof=1):.{digits}f} (seeds)" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread} ± {half:.{digits}f} (jets)"


def _short(operations: float | None) -> str:
    return "" if operations is None else f"{operations / 1e6:.2f} M"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, and write taggers.json and taggers.md after every training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(CHOSEN), choices=list(TAGGERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, help="default: each tagger's own")
    parser.add_argument("--jets", type=int, help="so many jets alone, for a quick look")
    parser.add_argument("--bfloat16", action="store_true", help="train each in float32 and in bfloat16, and compare")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--logits", type=Path, metavar="FOLDER", help="keep the log odds of every training there")
    options = parser.parse_args(arguments)
    file = options.out / f"{NAME}.json"
    results = json.loads(file.read_text()) if file.is_file() else {"taggers": {}}
    kind = "bfloat16" if options.bfloat16 else "taggers"
    if not options.bfloat16:  # which times nothing
        results["machine"] = machine.describe()
    runs = results.setdefault(kind, {})
    for seed in options.seeds:
        for name in options.only:
            arguments_of_run = name, seed, options.epochs, options.jets
            run = bfloat16(*arguments_of_run) if options.bfloat16 else measure(*arguments_of_run, options.logits)
            print(name, json.dumps(run), flush=True)
            before = [other for other in runs.get(name, []) if other["seed"] != seed]
            runs[name] = sorted([*before, run], key=lambda run: run["seed"])
            write_json(file, results)
            write_text(options.out / f"{NAME}.md", as_markdown(results))


if __name__ == "__main__":
    main()
