"""The page: accuracy side by side with the difference and its errors, rates with their ratios, and what differs."""

from typing import Any

import numpy as np

from benchmarks import timing
from benchmarks.tagger_tables import mean

Runs = list[dict[str, Any]]
KINDS = ("training", "prediction")
CLOCKS = ("clock", "processor")


def as_markdown(results: dict[str, Any]) -> str:
    """Two tables, a row a network and a side."""
    networks = results["networks"]
    lines = ["# Taggers against their peers", "", _WORDS, ""]
    lines += [
        "| network | | parameters | AUC | 1/eps_B(0.3) | ours − theirs, AUC | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in networks.items():
        runs = found["runs"]
        for side in ("ours", "theirs"):
            each = [run[side] for run in runs]
            of = [mean(each, *metric) for metric in (("auc", 4), ("rejection_0.3", 0))]
            cells = [name, _title(side, found), f"{each[0]['parameters']:,}", *of]
            cells += [difference_in_words(runs), str(len(runs))] if side == "ours" else ["", ""]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", _RATES, ""]
    lines += [
        "| network | | threads | ours | theirs | ratio | ratio of processor time |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in networks.items():
        for kind in KINDS:
            cells = [str(found["threads"]), *(f"{rate(found['runs'], side, kind):,.0f}" for side in ("ours", "theirs"))]
            cells += [_quartiles(found["runs"], kind, clock) for clock in CLOCKS]
            lines.append(f"| {name} | {kind} | {' | '.join(cells)} |")
    returned = [name for name, found in networks.items() if not found["memory_kept"]]
    if returned:
        lines += ["", _RETURNED.format(names=" and ".join(returned))]
    lines += ["", "## What is the same, and what is not", ""]
    lines += [
        f"**{name}**: {_settings(found)} {_DIFFERS[name]}{_same(found['runs'])}\n" for name, found in networks.items()
    ]
    return "\n".join([*lines, _machine(results), ""])


def difference(runs: Runs) -> tuple[float, float, float]:
    """The mean over the seeds of our AUC minus theirs, its standard error between the seeds (NaN of one), and DeLong's mean error."""
    values = [run["difference"]["value"] for run in runs]
    between = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(between), float(np.mean([run["difference"]["error"] for run in runs]))


def difference_in_words(runs: Runs) -> str:
    """The difference with both of its errors."""
    value, between, jets = difference(runs)
    seeds = "" if np.isnan(between) else f" ± {between:.4f} (seeds)"
    return f"{value:+.4f}{seeds} ± {jets:.4f} (jets)".replace("-", "−")


def seconds(runs: Runs, side: str, kind: str, clock: str) -> list[float]:
    """Of every epoch but the first of each training, which compiles."""
    return [times[CLOCKS.index(clock)] for run in runs for times in run[side]["seconds"][kind][1:]]


def rate(runs: Runs, side: str, kind: str) -> float:
    """Jets a second of the clock, by the median epoch."""
    jets = runs[0]["training_jets"] if kind == "training" else runs[0]["validation_jets"]
    return float(jets / np.median(seconds(runs, side, kind, "clock")))


def ratio(runs: Runs, kind: str, clock: str) -> dict[str, float]:
    """Of theirs to our seconds in the same epoch: median and middle half."""
    pairs = zip(seconds(runs, "theirs", kind, clock), seconds(runs, "ours", kind, clock), strict=True)
    return timing.quartiles([theirs / ours for theirs, ours in pairs])


def _quartiles(runs: Runs, kind: str, clock: str) -> str:
    found = ratio(runs, kind, clock)
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _title(side: str, found: dict[str, Any]) -> str:
    return side if side == "ours" else f"theirs, {found['peer']}"


def _settings(found: dict[str, Any]) -> str:
    run, settings = found["runs"][0], found["settings"]
    flags = f" Ours with XLA_FLAGS={found['xla_flags']}." if found["xla_flags"] else ""
    loads = [run["load_average"] for run in found["runs"] if run["load_average"] is not None]
    load = f" Load of the machine after a training {min(loads)} to {max(loads)}." if loads else ""
    return (
        f"{run['training_jets']:,} jets to train on, {run['test_jets']:,} to test, {run['epochs']} epochs in batches of"
        f" {settings['batch_size']}, Adam at {settings['learning_rate']:g}.{flags}{load}"
    )


def _same(runs: Runs) -> str:
    values = [run["apart"] for run in runs if run["apart"] is not None]
    if not values:
        return ""
    return f" With the weights theirs begin with, the log odds of the two differ by at most {max(values):.0e} of their spread."


def _machine(results: dict[str, Any]) -> str:
    about = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    return f"{about['processor']}. {versions}."


_WORDS = (
    "Our networks beside those of EnergyFlow (TensorFlow) and weaver (PyTorch), whose own code is run: the same simulated jets, split and"
    " inputs, sizes of the network, loss, optimizer, batches in the same order, number of epochs, and the epoch with the least loss on"
    " the validation part. Each draws its own weights, but for pfn-same-start, where ours begins with theirs. A value is that of the test"
    " part, the mean over the seeds, ± their standard deviation (seeds) and half the 68 % interval of that many test jets (jets); the"
    " difference is that on the same test jets, ± the standard error of its mean between the seeds and DeLong's error of one training. The"
    " trainings are short: they tell the two sides apart, not what either reaches. The jets are simulated at particle level: these numbers"
    " are not to be compared with published ones."
)
_RATES = (
    "Jets a second by the clock, of the median epoch after the first, which compiles; both sides train and predict in turn in one process."
    " The ratio is that of theirs to our seconds in the same epoch, in brackets the range of the middle half. Where the machine was"
    " busy, as its load says, only the ratio of the processor time is to be trusted."
)
_RETURNED = (
    "With {names} the memory of arrays was not kept from call to call (`jaxsci.memory`), as the command keeps it: predictions pay for"
    " new pages, now and then twice their time."
)
_DIFFERS = {
    "pfn": "The two are one function: an affine stack on each particle, a sum over those that are not padding, and another stack.",
    "pfn-same-start": "As pfn, and the first weights are the same.",
    "particlenet": (
        "Neighbors in the angles and then in the features, a particle not among its own, means over neighbors and over particles,"
        " shortcuts, batch normalization and widths are the same; theirs is without fusion, normalization of the inputs, dropout and"
        " trimming at random. Where there is no padding the two are one function, in training too (a test). Theirs counts padding in its"
        " statistics, ours what exists; where a jet has"
        " fewer particles than neighbors, theirs averages over padding too; theirs draws weights of a variance of 1 / (3 n) for n inputs,"
        " ours of 2 / n."
    ),
    "particlenet-layer": (
        "As particlenet, but ours normalizes each vector by itself, with a bias before it, so that every jet has a gradient of its own."
    ),
}
