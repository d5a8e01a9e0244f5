"""The page and the figure of the benchmark of anomaly detectors."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxsci.plots import style

LEARNED = {"qcd": "QCD", "top": "top"}  # by the class that was learned, its name
AREAS = {"auc": "over all jets", "auc_at_equal_mass": "at equal mass"}
ALONE = ("mass", "number")
DASHES: dict[str, Any] = dict(zip(ALONE, ("--", ":"), strict=True))  # of their lines in the figure
Runs = list[dict[str, Any]]


def estimate(runs: Runs, normal: str, area: str) -> tuple[float, float, float]:
    """Mean over the seeds, their standard deviation (NaN of one), and half the mean 68 % interval of the test part."""
    found = [run[normal][area] for run in runs]
    values = [np.nan if of["value"] is None else of["value"] for of in found]
    half = np.mean([np.nan if of["value"] is None else (of["upper"] - of["lower"]) / 2 for of in found])
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else np.nan, float(half)


def gains(methods: dict[str, Runs], method: str, normal: str, area: str) -> np.ndarray:
    """For each seed the area of a method less the larger of those of mass alone and number alone on the same test jets."""
    alone = [{run["seed"]: run[normal][area]["value"] for run in methods[name]} for name in ALONE]
    found = [(run[normal][area]["value"], *(of[run["seed"]] for of in alone)) for run in methods[method]]
    return np.array([np.nan if None in values else values[0] - max(values[1:]) for values in found])


def as_markdown(results: dict[str, Any]) -> str:
    """A row a method: areas in both directions, then what they are above mass and number."""
    methods: dict[str, Runs] = results["methods"]
    places = [(area, normal) for area in AREAS for normal in LEARNED]
    heads = [f"{words}, {name} learned" for words in AREAS.values() for name in LEARNED.values()]
    lines = [f"| AUC | seeds | {' | '.join(heads)} | epochs | processor time |", "|---" * 8 + "|"]
    for method, runs in methods.items():
        cells = [_cell(*estimate(runs, normal, area)) for area, normal in places]
        cost = ["", ""]
        if "epochs" in runs[0]:
            seconds = [run["processor_seconds"] for run in runs]
            cost = [str(runs[0]["epochs"]), f"{min(seconds):.0f} s"]
        lines.append(f"| {' | '.join([_name(method), str(len(runs)), *cells, *cost])} |")
    lines += ["", _MORE, "", f"| AUC above both | {' | '.join(heads)} |", "|---" * 5 + "|"]
    for method in methods:
        if method not in ALONE:
            cells = [_gain(gains(methods, method, normal, area)) for area, normal in places]
            lines.append(f"| {' | '.join([_name(method), *cells])} |")
    first = next(iter(methods.values()))[0]
    words = _WORDS.format(jets=f"{first['jets']:,}", test=f"{first['test_jets']:,}", machines=_machines(methods))
    figure = "![AUC of every method in both directions, over all jets and at equal mass](anomalies.png)"
    return "\n".join(["# Anomalies", "", words, "", *lines, "", figure, ""])


_WORDS = (
    "Each detector as `jaxsci train anomalies --detector NAME` trains it on {jets} jets, simulated at particle level: it learns jets of "
    "one class alone, without labels, and the {test} jets of the test part ask whether jets of the other class score higher. AUC is 1 "
    "where every anomaly does, 1/2 for a score that knows nothing; below 1/2 anomalies look more usual than what was learned, and the "
    "opposite score would have 1 less the area, but which sign is right a detector that has seen no anomaly cannot know. *At equal "
    "mass* is the mean of the areas in 16 narrow bins of the mass. *mass alone* and *number alone* are how rare the mass, and the "
    "number of constituents, of a jet is among those learned; *isolation forest* cuts the observables of the mixture at random. A value "
    "is the mean over the seeds (of split, weights and order), with the standard deviation between them (seeds) and half the mean 68 % "
    "interval that the size of the test part gives (jets). The test parts of the seeds overlap. Processor time is that of both "
    "trainings with compilation, the fastest of the seeds. These numbers are of two kinds of simulated jets and not to be compared with "
    "published ones. Trained on {machines}; every training: `benchmarks/results/anomalies.json`."
)
_MORE = (
    "The same less the larger of mass alone and number alone in the same direction, on the same test jets: the mean over the seeds with "
    "the standard deviation between them, and the least of them in brackets. Positive: more than either tells by itself."
)


def _name(method: str) -> str:
    return f"{method} alone" if method in ALONE else method


def _cell(mean: float, spread: float, half: float) -> str:
    if np.isnan(mean):
        return "too few jets"
    between = "" if np.isnan(spread) else f" ± {spread:.3f} (seeds)"
    return f"{mean:.3f}{between} ± {half:.3f} (jets)"


def _gain(found: np.ndarray) -> str:
    if np.isnan(found).any():
        return "too few jets"
    if len(found) == 1:
        return style.minus(f"{found[0]:+.3f}")
    return style.minus(f"{found.mean():+.3f} ± {found.std(ddof=1):.3f} ({found.min():+.3f})")


def _machines(methods: dict[str, Runs]) -> str:
    every = [run["machine"] for runs in methods.values() for run in runs if "machine" in run]
    return "; ".join(sorted({f"{of['processor']}, jax {of['versions']['jax']}" for of in every}))


@style.context()
def draw(results: dict[str, Any]) -> Figure:
    """Areas of every method in both directions, a panel over all jets and one at equal mass; as wide as a phone shows it."""
    methods: dict[str, Runs] = results["methods"]
    figure = style.figure(1.6 + 0.66 * len(methods), width=4.2)
    panels = figure.subplots(2, 1, sharex=True)
    for axes, (area, words) in zip(panels, AREAS.items(), strict=True):
        _panel(axes, methods, area)
        axes.set_title(f"AUC {words}", loc="left")
    panels[-1].set_xlabel("AUC; bars: the larger error, of seeds or jets")
    handles, labels = panels[0].get_legend_handles_labels()
    lines = [Line2D([], [], color=style.GRAY, linestyle=dash, linewidth=1) for dash in DASHES.values()]
    figure.legend([*handles, *lines], [*labels, *map(_name, DASHES)], loc="outside upper center", ncols=2)
    return figure


def _panel(axes: Axes, methods: dict[str, Runs], area: str) -> None:
    rows = np.arange(len(methods))
    axes.axvline(0.5, color=style.GRAY, linewidth=1)
    for i, (normal, name) in enumerate(LEARNED.items()):
        found = np.array([estimate(runs, normal, area) for runs in methods.values()])
        axes.errorbar(
            found[:, 0],
            rows + (0.14 if i else -0.14),
            xerr=np.fmax(found[:, 1], found[:, 2]),
            label=f"{name} learned",
            color=style.color(i),
            marker=style.marker(0) if i == 0 else "^",
            markersize=6,
            linestyle="none",
            capsize=2,
        )
        for alone, dash in DASHES.items():
            axes.axvline(found[list(methods).index(alone), 0], color=style.color(i), linestyle=dash, linewidth=1)
    axes.set_yticks(rows, [_name(method) for method in methods])
    axes.invert_yaxis()
    axes.grid(True, axis="x")
