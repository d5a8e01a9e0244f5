"""Taggers side by side on the same simulated jets: how well, how large, how much work a jet, how fast.

    jaxsci bench taggers [--only NAME ...] [--seeds 1 2 3] [--epochs N] [--jets N] [--out benchmarks/results]
    jaxsci bench taggers --logits FOLDER [--fresh FILE]
    jaxsci bench taggers --rates --only pfn part [--cores 1]
    jaxsci bench taggers --bfloat16 --only pfn part --seeds 1 2 --epochs 4 --jets 8000

Each is trained as `jaxsci train top-tagging --tagger NAME` trains it, on the 30,000 jets of the package, on the same split; a seed is that
of the weights and of the order. The epoch is chosen on the validation part, the numbers are those of the test part. The defaults of
the taggers of pairs were found in trials on this same test part, so that their numbers are a little too good. Results are added to those
that the folder holds, a training at a time. The jets are simulated at particle level: compare the taggers with each other, not with
published numbers.
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from benchmarks.arguments import Parser
from benchmarks.tagger_tables import as_markdown
from jaxsci.data.jets import JetSample
from jaxsci.data.jets import read as read_jets
from jaxsci.files import replacing, write_json, write_text
from jaxsci.models.heads import inference
from jaxsci.runs import binary_evaluation, weights
from jaxsci.runs.task import silent
from jaxsci.tasks.top_tagging import jobs, samples
from jaxsci.tasks.top_tagging.options import TAGGERS, Options
from jaxsci.training import EpochProgress, fit, predict

NAME = "taggers"
CHOSEN = (
    "mass",
    "efn",
    "pfn",
    "cnn",
    "particlenet",
    "particlenet-batch",
    "pelican",
    "pelican-10k",
    "pelican-rest",
    "part",
)
PREDICTED = 3000  # jets whose prediction is timed
TIMED_JETS, TIMED_EPOCHS = 6000, 4
DIGEST = "fresh_digest"  # beside log odds of fresh jets: which jets they are of


def measure(
    name: str,
    seed: int,
    epochs: int | None = None,
    jets: int | None = None,
    logits: Path | None = None,
    fresh: Path | None = None,
) -> dict[str, Any]:
    """One training: what it reaches on the test part, its size, its work and its rates.

    With `logits` its log odds of the validation and test jets are kept in that folder, for ensembles, and those of the jets of the file
    `fresh`, for `benchmarks.fresh_jets`.
    """
    job = jobs.prepare(Options(tagger=name, epochs=epochs, max_jets=jets), silent)
    inputs, labels = jobs.make_inputs(job.tagger, job.sample, silent), samples.labels_of(job.sample)
    train, validation, test = (jobs.as_batch(inputs, labels, part) for part in job.splits)
    recipe, settings = jobs.make_recipe(job)
    jax.clear_caches()  # a training of another seed has left its programs; each is measured with its compilation
    began, used = time.perf_counter(), time.process_time()
    result = fit(recipe, train, validation, key=jax.random.key(seed), settings=settings)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    apply = inference(job.tagger.model).apply
    found = {part: predict(apply, result.params, jets.x) for part, jets in (("validation", validation), ("test", test))}
    if fresh is not None:
        sample = read_jets(fresh)
        found["fresh"] = predict(apply, result.params, jobs.make_inputs(job.tagger, sample, silent))
        found[DIGEST] = np.array(digest(sample))
    if logits is not None:
        with replacing(logits / f"{name}-{seed}.npz") as file:
            np.savez(file, **found)
    metrics = binary_evaluation.classification(found["test"], np.asarray(test.y))
    kept = ("auc", "accuracy", "rejection_0.3", "rejection_0.5")
    return {
        "seed": seed,
        "parameters": weights.number(job.tagger.model),
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


def digest(sample: JetSample) -> str:
    """By which jets are known again, in this order."""
    return weights.digest(sample.constituents, sample.images, sample.labels)


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
        logits[precision] = predict(inference(job.tagger.model).apply, result.params, test.x)
        found[precision] = binary_evaluation.ranking(logits[precision], np.asarray(test.y))["auc"]
    gain = binary_evaluation.gain(logits["bfloat16"], logits["float32"], np.asarray(test.y), jax.random.key(0))
    sizes = {"training_jets": len(job.splits[0]), "test_jets": len(job.splits[2]), "epochs": settings.epochs}
    return {"seed": seed, **sizes, **found, "difference": gain["auc_difference"]}


def rates(name: str) -> dict[str, Any]:
    """Jets a second in training, by the median epoch after the first, which compiles, and in prediction: within a minute.

    An epoch of a whole training goes through more jets, of which these are the first, and does nothing else.
    """
    job = jobs.prepare(Options(tagger=name, epochs=TIMED_EPOCHS, max_jets=TIMED_JETS), silent)
    inputs, labels = jobs.make_inputs(job.tagger, job.sample, silent), samples.labels_of(job.sample)
    train, validation, test = (jobs.as_batch(inputs, labels, part) for part in job.splits)
    recipe, settings = jobs.make_recipe(job)
    ends: list[float] = []

    def say(progress: EpochProgress) -> None:
        if progress.record is not None:  # the epoch is complete
            ends.append(time.perf_counter())

    result = fit(recipe, train, validation, key=jax.random.key(1), settings=settings, progress=say)
    predicted = rate(inference(job.tagger.model).apply, result.params, test.x)
    return {
        "trained_per_second": round(float(len(train.y) / np.median(np.diff(ends)))),
        "predicted_per_second": round(predicted),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, and write taggers.json and taggers.md after every training."""
    parser = Parser("taggers", __doc__)
    parser.add_argument("--only", nargs="+", default=list(CHOSEN), choices=list(TAGGERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, help="default: each tagger's own")
    parser.add_argument("--jets", type=int, help="so many jets alone, for a quick look")
    parser.add_argument("--bfloat16", action="store_true", help="train each in float32 and in bfloat16, and compare")
    parser.add_argument("--rates", action="store_true", help="measure the rates alone, of what is held, anew")
    parser.add_argument("--cores", type=int, help="stay on so many cores; default: all")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--logits", type=Path, metavar="FOLDER", help="keep the log odds of every training there")
    parser.add_argument("--fresh", type=Path, metavar="FILE", help="with --logits, also those of these jets")
    options = parser.parse_args(arguments)
    if options.fresh and not options.logits:
        parser.error("--fresh: expected a place for the log odds of these jets, got none; add --logits FOLDER")
    file = options.out / f"{NAME}.json"
    results = json.loads(file.read_text()) if file.is_file() else {"taggers": {}}
    if options.cores is not None:
        machine.limit_cores(options.cores)
    if options.rates:
        for name in options.only:
            results.setdefault("rates", {})[name] = found = rates(name)
            print(name, json.dumps(found), flush=True)
            write_json(file, results)
            write_text(options.out / f"{NAME}.md", as_markdown(results))
        return
    kind = "bfloat16" if options.bfloat16 else "taggers"
    if not options.bfloat16:  # which times nothing
        results["machine"] = machine.describe()
    runs = results.setdefault(kind, {})
    for seed in options.seeds:
        for name in options.only:
            arguments_of_run = name, seed, options.epochs, options.jets
            kept = () if options.bfloat16 else (options.logits, options.fresh)
            run = (bfloat16 if options.bfloat16 else measure)(*arguments_of_run, *kept)
            print(name, json.dumps(run), flush=True)
            before = [other for other in runs.get(name, []) if other["seed"] != seed]
            runs[name] = sorted([*before, run], key=lambda run: run["seed"])
            write_json(file, results)
            write_text(options.out / f"{NAME}.md", as_markdown(results))


if __name__ == "__main__":
    main()
