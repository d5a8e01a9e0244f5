"""The page of the benchmark of taggers, from what `benchmarks.taggers`, `polynomials` and `fresh_jets` have measured."""

from typing import Any

import numpy as np

_METRICS = (("auc", 4), ("rejection_0.3", 0), ("rejection_0.5", 0))


def as_markdown(results: dict[str, Any]) -> str:
    """A row a tagger: means over the seeds."""
    lines = [
        "| tagger | parameters | operations a jet | AUC | 1/eps_B(0.3) | 1/eps_B(0.5) | accuracy | seeds | epochs |"
        " processor time of a training | jets a second, training | prediction |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in results["taggers"].items():
        first = runs[0]
        cells = [name, f"{first['parameters']:,}", short(first["operations"])]
        cells += [mean(runs, *of) for of in (*_METRICS, ("accuracy", 4))]
        best = min(runs, key=lambda run: run["processor_seconds"])
        anew = results.get("rates", {}).get(name)  # measured by themselves
        trained = best["training_jets"] * best["epochs"] / best["processor_seconds"]
        predicted = max(run["predicted_per_second"] for run in runs)
        if anew is not None:
            trained, predicted = anew["trained_per_second"], anew["predicted_per_second"]
        cells += [str(len(runs)), str(best["epochs"]), f"{best['processor_seconds'] / 60:.1f} min"]
        cells += [f"{trained:,.0f}", f"{predicted:,}"]
        lines.append(f"| {' | '.join(cells)} |")
    if results.get("rates"):
        lines += ["", _ANEW.format(names=", ".join(results["rates"]), cores=_cores(results["rates"]))]
    further = [
        *_linear(results.get("linear", {})),
        *_fresh(results.get("fresh", {})),
        *_half(results.get("bfloat16", {})),
    ]
    return "\n".join(["# Taggers", "", _WORDS, "", *lines, *further, ""])


def _cores(rates: dict[str, Any]) -> str:
    numbers = sorted({rate["cores"] for rate in rates.values()})
    return f"{' or '.join(map(str, numbers))} core{'s' * (numbers[-1] > 1)}"


_ANEW = (
    "The rates of {names} were measured by themselves, later than their trainings and with a version that may be faster, by the clock on"
    " {cores} without other work: of three epochs on 3,600 jets, evaluation included (`python -m benchmarks.taggers --rates`)."
)


def _linear(rows: dict[str, Any]) -> list[str]:
    """A table of what `benchmarks.polynomials` has measured on the same jets."""
    if not rows:
        return []
    metrics = (*_METRICS, ("accuracy", 4))
    lines = ["", _LINEAR, "", "| | AUC | 1/eps_B(0.3) | 1/eps_B(0.5) | accuracy |", "|---|---|---|---|---|"]
    return lines + [f"| {name} | {' | '.join(mean([row], *of) for of in metrics)} |" for name, row in rows.items()]


_LINEAR = (
    "Logistic regression on 101 [energy-flow polynomials](polynomials.md) (efp), a linear tagger whose coefficients have errors, on the"
    " same jets and split; and, where named, weighted with the log odds of networks (their first seeds), by a second regression on the"
    " validation part alone (`python -m benchmarks.polynomials`)."
)


def _fresh(found: dict[str, Any]) -> list[str]:
    """A table of what `benchmarks.fresh_jets` has measured on jets of another seed."""
    if not found:
        return []
    against = found["against"]
    p_values = [(p, f"{name} of {kind}") for kind, tests in found["p_values"].items() for name, p in tests.items()]
    least, where = min(p_values)
    words = _FRESH.format(
        **found,
        tests=len(p_values),
        least=f"{least:.2g}",
        where=where,
        jets_=f"{found['jets']:,}",
        background_=f"{found['background']:,}",
    )
    titles = ["tagger", "trainings", "AUC", "1/eps_B(0.3)", "1/eps_B(0.5)"]
    titles += [f"rejection at {efficiency} / {against}'s" for efficiency in ("0.3", "0.5")]
    lines = ["", "## Fresh jets", "", words, "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name, runs in found["taggers"].items():
        cells = [name, str(len(runs)), *(mean(runs, *of) for of in _METRICS)]
        cells += [_ratio(one) for one in found["ratios"].get(name, [])] or ["1", "1"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _ratio(one: dict[str, Any]) -> str:
    ends = [f"{_finite(one[level][0])} to {_finite(one[level][1])}" for level in ("0.68", "0.95")]
    value = "unknown, both let nothing pass" if one.get("unknown") else _finite(one["value"])
    return f"{value} ({ends[0]}; 95 %: {ends[1]})"


def _finite(value: float | None) -> str:
    return "infinity" if value is None else f"{value:.2f}"


_FRESH = (
    "The same trainings, on {jets_} jets of the same generator with another seed, {background_} of them background, by which nothing was"
    " chosen (`python -m benchmarks.fresh_jets`). {shared} of them are among the jets of the package; of {tests} Kolmogorov-Smirnov tests"
    " of mass, pT, eta and number of constituents against those the least p value is {least} ({where}). A value is the mean over the"
    " trainings, ± as above. The ratios are those of 1 over the mean background efficiency of the trainings, with intervals of"
    " {resamples:,} bootstrap samples: of the jets, the same for both taggers, and of the trainings of each; several trainings"
    " together are one row, of which no trainings are drawn. Of three trainings a bootstrap"
    " underrates their scatter by a fifth. Several trainings together answer with the mean of their log odds."
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
    "Each tagger as `jaxsci train top-tagging --tagger NAME` trains it, on 18,000 of the 30,000 simulated jets of the package; numbers "
    "of the 7,500 of the test part, epochs chosen on the 4,500 of the validation part. The defaults of pelican, particlenet and part "
    "were found in trials on this same test part, and so were those that particlenet-batch, pelican-10k and pelican-rest take over: "
    "their numbers are a little too good. A value is the mean over the seeds of the weights, with the standard deviation between them "
    "(seeds) where there are several, and with half the mean 68 % interval that the size of the test part gives (jets). At 1/eps_B of "
    "1,000 four of the 3,750 background jets of the test part are left: differences there are noise. Operations are those of one "
    "prediction as XLA counts them. The time of a training (with compilation) and its rate are those of the processor, not of the "
    "clock; the rate of prediction is the best of three by the clock, in batches of 100. The jets are simulated at particle level: "
    "these numbers are not to be compared with published ones. Machine and every training, with the load of the machine: "
    "`benchmarks/results/taggers.json`. Those of pfn, particlenet-batch and pelican-10k were made on one core, those of efn, cnn, "
    "pfn-attention and efn-attention and the later seeds of the others on a busy machine, in pieces: their accuracies do not depend "
    "on it, their times and rates are upper and lower bounds."
)


def mean(runs: list[dict[str, Any]], metric: str, digits: int) -> str:
    """The mean over the trainings, their standard deviation, and half the mean interval that the number of jets gives."""
    values = [run[metric]["value"] for run in runs]
    if None in values:
        return "no background passes in a run"
    half = np.mean([run[metric]["upper"] - run[metric]["lower"] for run in runs]) / 2
    spread = f" ± {np.std(values, ddof=1):.{digits}f} (seeds)" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread} ± {half:.{digits}f} (jets)"


def short(operations: float | None) -> str:
    """In millions; empty where they are not known."""
    return "" if operations is None else f"{operations / 1e6:.2f} M"
