"""How well a tagger does against the number of jets it was trained on, and against its own size.

    jaxsci bench learning-curves [--only NAME ...] [--jets N ...] [--seeds 1 2 3] [--out benchmarks/results]
    jaxsci bench learning-curves --jets 200000 --more 'generated_*.h5'

Trained on 300 to 24,000 jets of the training part, as `jaxsci train top-tagging --tagger NAME` trains, with as many epochs more as 2,000
jets would have given steps. Trainings on more than 24,000 jets take them from the training part and from files of the same generator with
other seeds (`jaxsci data generate jets --seed 21 --n 180000 --compact --out generated_1.h5`) together. A seed is that of the jets that are
taken, of the weights and of the order; the 1,500 jets of the validation part, which choose the epoch, and the 4,500 of the test part are
the same for all. Results are added to those that the folder holds, a training at a time, and what it holds is not trained again: after an
interruption the same command goes on. A training of another number of epochs is refused beside them. The jets are simulated at particle
level: compare the taggers with each other, not with published numbers.
"""

import json
import math
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from benchmarks import fresh_jets, machine
from benchmarks.arguments import Parser
from jaxsci.core import Inputs, WeightedSet
from jaxsci.data import jets
from jaxsci.data.split import split
from jaxsci.errors import InputError
from jaxsci.files import replacing, write_json, write_text
from jaxsci.models.heads import inference
from jaxsci.plots import style
from jaxsci.runs import binary_evaluation, weights
from jaxsci.runs.task import silent
from jaxsci.tasks.top_tagging import jobs, taggers
from jaxsci.tasks.top_tagging.options import TAGGERS, Options
from jaxsci.tasks.top_tagging.taggers import Tagger, scaling
from jaxsci.training import fit, predict

NAME = "learning_curves"
CHOSEN = ("topodnn", "pfn", "cnn", "pelican")
SIZES = (300, 1000, 3000, 10_000, 24_000)  # of the training part
MOST = 200_000  # with the jets of other files
FRACTIONS = (0.8, 0.05, 0.15)  # training, validation, test
LEAST = 2000  # jets: fewer are passed through so often that there are as many steps as of these
METRICS = ("auc", "accuracy", "rejection_0.3")


def measure(
    name: str, size: int, seed: int, epochs: int | None = None, more: str | Path | None = None
) -> dict[str, Any]:
    """One training on so many jets: what it reaches on the test part.

    Args:
        name: of the tagger.
        size: number of training jets.
        seed: of the choice of the jets, of the weights and of the order.
        epochs: of the training; None: the tagger's own, and more for few jets.
        more: file or pattern of files with jets beside those of the training part, for trainings on more than it has.
    """
    more = more if size > SIZES[-1] else None
    sample, (train, validation, test) = _jets(more)
    if len(train) < size:
        raise InputError(f"{more}: expected at least {size - SIZES[-1]:,} jets, got {len(train) - SIZES[-1]:,}")
    labels = jobs.labels_of(sample)
    tagger, inputs = _inputs(name, more)
    taken = np.random.default_rng(seed).permutation(train)[:size]
    if tagger.scaled:
        assert sample.constituents is not None
        assert isinstance(inputs, WeightedSet)
        inputs = scaling.measure(tagger, sample.constituents[taken])(inputs)
    options = Options(tagger=name, epochs=passes(name, size, epochs))
    job = jobs.Job(options, tagger, sample, (taken, validation, test))
    batches = [jobs.as_batch(inputs, labels, rows) for rows in job.splits]
    recipe, settings = jobs.make_recipe(job)
    began = time.process_time()
    result = fit(recipe, *batches[:2], key=jax.random.key(seed), settings=settings)
    seconds = time.process_time() - began
    found = binary_evaluation.classification(
        predict(inference(tagger.model).apply, result.params, batches[2].x), labels[test]
    )
    return {
        "jets": size,
        "seed": seed,
        "parameters": weights.number(tagger.model),
        "epochs": settings.epochs,
        "best_epoch": int(result.best_epoch),
        "processor_seconds": round(seconds, 1),
        **{metric: found[metric] for metric in METRICS},
    }


def passes(name: str, size: int, epochs: int | None) -> int:
    """Through so many jets: what was asked for, or the tagger's own number, and more where the jets are few."""
    return epochs or math.ceil(taggers.tagger(name, taggers.Spec()).defaults.epochs * max(1.0, LEAST / size))


@lru_cache(maxsize=2)
def _jets(more: str | Path | None) -> tuple[jets.JetSample, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The jets of the package, then those of other files, and which are for training, validation and test."""
    sample = jets.read(jets.embedded())
    train, validation, test = split(jobs.labels_of(sample), seed=1, fractions=FRACTIONS)
    if more is None:
        return sample, (train, validation, test)
    others = jets.read(more)
    if known := fresh_jets.agreement(others, sample)["shared"]:
        raise InputError(
            f"{more}: expected other jets than those of the package, got {known:,} of them; take another --seed"
        )
    assert sample.constituents is not None
    assert others.constituents is not None
    width = max(of.constituents.shape[1] for of in (sample, others) if of.constituents is not None)
    both = np.zeros((len(sample.constituents) + len(others.constituents), width, 4), np.float32)
    both[: len(sample.constituents), : sample.constituents.shape[1]] = sample.constituents
    both[len(sample.constituents) :, : others.constituents.shape[1]] = others.constituents
    added = np.arange(len(sample.constituents), len(both))
    joined = jets.JetSample(both, None, np.concatenate([jobs.labels_of(of) for of in (sample, others)]))
    return joined, (np.concatenate([train, added]), validation, test)


@lru_cache(maxsize=1)
def _inputs(name: str, more: str | Path | None) -> tuple[Tagger, Inputs]:
    sample, _ = _jets(more)
    tagger = jobs.make_tagger(Options(tagger=name), *jobs.shapes(sample))
    return tagger, jobs.make_inputs(tagger, sample, silent)


def means(runs: list[dict[str, Any]], metric: str) -> dict[int, tuple[float, float, float]]:
    """For each number of jets: mean over the seeds, standard deviation between them, half the mean 68 % interval of the test part.

    The deviation of a single seed is NaN; a rejection of which a run has none is NaN altogether.
    """
    found = {}
    for size in sorted({run["jets"] for run in runs}):
        estimates = [run[metric] for run in runs if run["jets"] == size]
        values = np.array(
            [[np.nan if e[key] is None else e[key] for key in ("value", "lower", "upper")] for e in estimates]
        )
        spread = np.std(values[:, 0], ddof=1) if len(values) > 1 else np.nan
        found[size] = (float(values[:, 0].mean()), float(spread), float((values[:, 2] - values[:, 1]).mean() / 2))
    return found


def as_markdown(results: dict[str, Any]) -> str:
    """A row a tagger, a column a number of jets: AUC and its errors, then the rejection."""
    lines = ["# Learning curves", "", f"{_WORDS} {_seeds(results)} {_machines(results)}", ""]
    for metric, title, digits in (("auc", "AUC", 4), ("rejection_0.3", "1/eps_B(0.3)", 0)):
        sizes = sorted({run["jets"] for runs in results["taggers"].values() for run in runs})
        lines += [
            f"| {title} | parameters | {' | '.join(f'{size:,} jets' for size in sizes)} |",
            "|---" * (2 + len(sizes)) + "|",
        ]
        for name, runs in results["taggers"].items():
            found = means(runs, metric)
            cells = [_cell(*found[size], digits) if size in found else "" for size in sizes]
            lines.append(f"| {name} | {runs[0]['parameters']:,} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, "![AUC against the number of training jets](learning_curves.png)", ""])


_WORDS = (
    "Each tagger trained on so many of the 24,000 jets of the training part, simulated at particle level, or, where they are more, of these"
    " and of jets of the same generator with other seeds. A value is the mean over the"
    " seeds (of the jets taken, the weights and the order), ± their standard deviation where there are several, in brackets half the"
    " 68 % interval that the size of the test part, 4,500 jets, gives. The epoch is chosen on 1,500 jets beside the training jets, also"
    " where those are fewer; where they are fewer than 2,000 there are as many steps as of 2,000. The defaults of pelican were found in"
    " trials with all jets, some of which are test jets here. With seed 1 many jets share the largest log odds that topodnn gives, since"
    " the few units of its last layers are off for them; its rejection at 0.3 is that of them all. An empty cell was not measured. These"
    " numbers are not to be compared with published ones. Every training: `benchmarks/results/learning_curves.json`."
)


def _seeds(results: dict[str, Any]) -> str:
    """How many trainings stand behind a value."""
    every = [run["jets"] for runs in results["taggers"].values() for run in runs]
    sizes: dict[str, list[str]] = {}
    for size in sorted(set(every)):
        counts = {sum(run["jets"] == size for run in runs) for runs in results["taggers"].values()} - {0}
        sizes.setdefault(" or ".join(map(str, sorted(counts))), []).append(f"{size:,}")
    if list(sizes) == ["1"]:
        return "One seed: a value is that of one training."
    said = (f"{counts} with {', '.join(of)} jets" for counts, of in sizes.items())
    return f"Number of seeds: {'; '.join(said)}."


def _machines(results: dict[str, Any]) -> str:
    """On what was trained."""
    every = [run["machine"] for runs in results["taggers"].values() for run in runs]
    said = {f"{of['processor']}, jax {of['versions']['jax']}" for of in every}
    return f"Trained on {'; '.join(sorted(said))}."


def _cell(mean: float, spread: float, half: float, digits: int) -> str:
    if math.isnan(mean):
        return "no background passes in a run"
    between = "" if math.isnan(spread) else f" ± {spread:.{digits}f}"
    return f"{mean:.{digits}f}{between} ({half:.{digits}f})"


@style.context()
def draw(results: dict[str, Any]) -> Figure:
    """What is missing to an AUC of 1 against the number of training jets, on logarithmic axes."""
    figure = style.figure(3.6)
    axes = figure.subplots()
    several = False  # seeds
    for i, (name, runs) in enumerate(results["taggers"].items()):
        found = means(runs, "auc")
        sizes = np.array(list(found)) * 1.03 ** (i - 1.5)  # side by side
        mean, spread, half = np.array(list(found.values())).T
        several |= bool(np.isfinite(spread).any())
        axes.errorbar(
            sizes,
            1 - mean,
            np.where(np.isnan(spread), half, np.hypot(half, spread)),
            label=f"{name}, {runs[0]['parameters']:,} parameters",
            color=style.color(i),
            marker="os^D"[i % 4],
            capsize=2,
        )
    axes.set(xscale="log", yscale="log", xlabel="training jets", ylabel="1 - AUC on the test part")
    measured = sorted({run["jets"] for runs in results["taggers"].values() for run in runs})
    axes.set_xticks(measured, [f"{size:,}" for size in measured])
    axes.set_xticks([], minor=True)
    ticks = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.grid(True, axis="y")
    between = " and the standard deviation between the seeds" if several else ", one seed"
    axes.set_title(f"bars: 68 % interval of the test part{between}", fontsize="small", loc="left")
    axes.legend()
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, and write learning_curves.json, .md and .png after every training."""
    parser = Parser("learning_curves", __doc__)
    parser.add_argument("--only", nargs="+", default=list(CHOSEN), choices=list(TAGGERS))
    parser.add_argument("--jets", nargs="+", type=int, default=list(SIZES), help="numbers of training jets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, help="default: each tagger's own, more for few jets")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument(
        "--more", metavar="FILE", help="jets for trainings on more than the training part; a pattern, too"
    )
    options = parser.parse_args(arguments)
    most = MOST if options.more else SIZES[-1]
    if not all(10 <= size <= most for size in options.jets):
        parser.error(
            f"--jets: expected numbers from 10 to {most:,}{'' if options.more else '; for more, give jets by --more'}"
        )
    file = options.out / f"{NAME}.json"
    results = json.loads(file.read_text()) if file.is_file() else {"taggers": {}}
    for name in options.only:
        for other in results["taggers"].get(name, []):
            asked = passes(name, other["jets"], options.epochs)
            if other["seed"] in options.seeds and other["jets"] in options.jets and other["epochs"] != asked:
                parser.error(
                    f"{file}: expected trainings of {name} on {other['jets']:,} jets of {asked} epochs, got one of"
                    f" {other['epochs']}; give another --out"
                )
    for seed in options.seeds:
        for name in options.only:
            for size in options.jets:
                held = results["taggers"].get(name, [])
                if (seed, size) in [(other["seed"], other["jets"]) for other in held]:
                    print(f"{name}, {size:,} jets, seed {seed}: kept", flush=True)
                    continue
                run = {**measure(name, size, seed, options.epochs, options.more), "machine": machine.describe()}
                print(name, json.dumps(run), flush=True)
                runs = [*held, run]
                results["taggers"][name] = sorted(runs, key=lambda run: (run["seed"], run["jets"]))
                write_json(file, results)
                write_text(options.out / f"{NAME}.md", as_markdown(results))
                with replacing(options.out / f"{NAME}.png") as picture:
                    draw(results).savefig(picture, dpi=150)


if __name__ == "__main__":
    main()
