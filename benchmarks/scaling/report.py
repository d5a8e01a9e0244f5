"""The page and the figure of the results."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scaling import paper
from benchmarks.scaling.measure import BATCH, SHARE
from jaxsci.files import replacing, write_text


def write(folder: Path, results: dict[str, Any]) -> None:
    """Write scaling.md and scaling.png."""
    taggers = results["taggers"]
    text = "\n\n".join(
        [_TITLE, *(section(taggers) for section in (_overheads, _program, _exchange, _checkpoints, _paper))]
    )
    write_text(folder / "scaling.md", text + "\n")
    if any("devices" in own for own in taggers.values()):
        with replacing(folder / "scaling.png") as temporary:
            _figure(taggers).savefig(temporary, format="png", dpi=150)


_TITLE = f"""# Scaling

What splitting a training costs. The devices are those that JAX makes of one processor of two cores, and the processes share it too:
**nothing can become faster here; what is measured is the overhead.** Times are of `fit`, with everything a user waits for, for the better
of two epochs; the table has the median over the rounds. *Strong*: a batch of {BATCH} jets split over the devices; the time of a step over
that on one device, which has both cores. *Weak*: {SHARE} jets for each device; the time of a step divided by the number of devices, against
that of one device. 1.00 is no overhead; below it, the parts of a batch fit the caches better, which on one device is what microbatches are
for. The measurement had priority over the other work that the load in the results counts. Machine and every number:
`benchmarks/results/scaling.json`."""


def _median(values: list[float]) -> float:
    return float(np.median(values))


def _overheads(taggers: dict[str, Any]) -> str:
    rows = ["| tagger | split | a step on 1 | over 2 | 4 | 8 devices | over 2 | 4 processes |", "|" + "---|" * 8]
    for name, own in taggers.items():
        for kind in ("strong", "weak"):
            cells = [name, kind]
            for part in ("devices", "processes"):
                times = own.get(part, {})
                by_number = times.get(kind, {}) if part == "devices" else {n: of[kind] for n, of in times.items()}
                numbers = ("2", "4", "8") if part == "devices" else ("2", "4")
                if part == "devices":
                    cells.append(f"{1e3 * _median(by_number['1']):.2f} ms" if by_number else "")
                cells += [f"{overhead(kind, by_number, n):.2f}" if n in by_number else "" for n in numbers]
            rows.append(f"| {' | '.join(cells)} |")
    return "## Overhead\n\n![Overhead against the number of devices](scaling.png)\n\n" + "\n".join(rows)


def overhead(kind: str, times: dict[str, list[float]], number: str) -> float:
    """The median over the rounds of the time against that of one device in the same round, for the same work."""
    work = int(number) if kind == "weak" else 1
    return _median([many / work / one for many, one in zip(times[number], times["1"], strict=True)])


def _program(taggers: dict[str, Any]) -> str:
    rows = [
        "| tagger | parameters | operations a jet | exchanged a step | least possible | collectives | state | of it written in place |",
        "|" + "---|" * 8,
    ]
    for name, own in taggers.items():
        if "program" not in own:
            continue
        one, split = own["program"]["1"], own["program"]["4"]
        count, size = (sum(of[i] for of in split["exchanged"].values()) for i in (0, 1))
        kinds = ", ".join(f"{of[0]} {kind.replace('_', '-')}" for kind, of in split["exchanged"].items())
        assert count
        cells = [name, f"{one['parameters']:,}", f"{one['operations'] / BATCH / 1e6:.2f} M", f"{size:,} B"]
        cells += [
            f"{4 * one['parameters']:,} B",
            kinds,
            f"{one['state_bytes']:,} B",
            f"{one['written_in_place_bytes'] / one['state_bytes']:.1%}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    words = (
        "From the compiled text of a step that is split over four devices: what is exchanged, against the gradient, which is the"
        " least possible (the rest is the loss, the metrics and the sums of weights). Operations are those of forward, backward and"
        " update as XLA counts them, on one device. The state is that of the training, with the best parameters so far; it is"
        " donated, and the new one takes its place."
    )
    return "## What is exchanged, and what is copied\n\n" + words + "\n\n" + "\n".join(rows)


def _exchange(taggers: dict[str, Any]) -> str:
    rows = ["| numbers | 2 processes | 4 processes |", "|---|---|---|"]
    found = [own["processes"] for own in taggers.values() if "processes" in own]
    sizes = list(found[0]["2"]["exchange"]) if found else []
    for size in sizes:
        cells = [f"{1e3 * _median([of[n]['exchange'][size] for of in found]):.3f} ms" for n in ("2", "4")]
        rows.append(f"| {int(size):,} | {' | '.join(cells)} |")
    return "## A sum over processes alone\n\nOver gloo on one machine, float32, in a compiled loop.\n\n" + "\n".join(
        rows
    )


def _checkpoints(taggers: dict[str, Any]) -> str:
    rows = ["| tagger | an epoch | with a checkpoint after it | the training waits for its copy |", "|---|---|---|---|"]
    for name, own in taggers.items():
        if "checkpoints" not in own:
            continue
        times = own["checkpoints"]
        ratio = _median([a / b for a, b in zip(times["with"], times["without"], strict=True)])
        epoch, waits = _median(times["without"]), _median(times["waits"])
        rows.append(
            f"| {name} | {epoch:.2f} s | {ratio:.3f} x | {1e3 * waits:.1f} ms, {waits / epoch:.2%} of the epoch |"
        )
    words = (
        "The first ratio holds what the writing takes from the two cores on which the training runs, and the noise of both times; on"
        " an accelerator only the last column remains, and the copy to the host instead of one in memory. Of short epochs not every"
        " one gets a checkpoint."
    )
    return "## Checkpoints beside the training\n\n" + words + "\n\n" + "\n".join(rows)


def _paper(taggers: dict[str, Any]) -> str:
    rows = ["| accelerator | tagger | 8 | 64 | 1,024 | jets of a chip for 90 % on 8 | 64 | 1,024 |", "|" + "---|" * 8]
    numbers = (8, 64, 1024)
    for chip in paper.ACCELERATORS:
        for name, own in taggers.items():
            if "program" not in own:
                continue
            one = own["program"]["1"]
            operations, size = one["operations"] / BATCH, 4 * one["parameters"]
            cells = [chip.name, name]
            cells += [f"{paper.efficiency(n, BATCH, operations, size, chip):.1%}" for n in numbers]
            cells += [f"{_rounded(paper.share_for(0.9, n, operations, size, chip)):,}" for n in numbers]
            rows.append(f"| {' | '.join(cells)} |")
    words = (
        f"Not measured. The part of a step in which a chip computes, with {BATCH} jets a chip: operations and bytes are those of the"
        " table above, the peak in bfloat16 and the links are their maker's, of which a step is assumed to reach"
        f" {paper.SHARE:.0%} of the first; a message to the neighbor is assumed to take {1e6 * paper.LATENCY:.0f} microsecond; the sum"
        " goes around a ring, and nothing overlaps. The start of a program and the reading of data are left out. Networks as small as"
        " these are bound by the latency of the ring on many chips: they need the batches of the last columns, or an ensemble, whose"
        " members exchange nothing."
    )
    return "## On paper: 8, 64 and 1,024 accelerators\n\n" + words + "\n\n" + "\n".join(rows)


def _rounded(number: int) -> int:
    """To two digits."""
    scale = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return round(number / scale) * scale


def _figure(taggers: dict[str, Any]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, kind in zip(axes, ("strong", "weak"), strict=True):
        for i, (name, own) in enumerate(taggers.items()):
            if "devices" in own:
                times = own["devices"][kind]
                axis.plot(
                    [int(n) for n in times],
                    [overhead(kind, times, n) for n in times],
                    "o-",
                    color=f"C{i}",
                    label=f"{name}, devices",
                )
            if "processes" in own:
                times = {n: of[kind] for n, of in own["processes"].items()}
                axis.plot(
                    [int(n) for n in times],
                    [overhead(kind, times, n) for n in times],
                    "s--",
                    color=f"C{i}",
                    label=f"{name}, processes",
                )
        axis.axhline(1, color="0.6", linewidth=0.8)
        axis.set_xscale("log", base=2)
        axis.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
        axis.set_xlabel("devices or processes on two cores")
        axis.set_title(f"{kind} scaling: {'one batch, split' if kind == 'strong' else 'a batch each'}", fontsize=10)
    axes[0].set_ylabel("time for the same work, against one device")
    axes[1].legend(fontsize=7)
    return figure
