"""Figures and pages of a run folder: drawn once, saved as PNG and put into the report."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsci.files import replacing, write_text
from jaxsci.plots import png
from jaxsci.runs import folder as runs
from jaxsci.runs import profile
from jaxsci.runs.estimate import Estimate
from jaxsci.runs.page import Drawing, Section, page

__all__ = ["duration", "estimate", "facts", "learning", "provenance", "write", "write_page"]


def learning(history: list[dict[str, Any]], caption: str = "", name: str = "learning_curves") -> Drawing:
    """The learning curves of a training."""
    from jaxsci.plots import training

    losses = [float(np.median(record["validation_loss"])) for record in history]
    best = int(np.nanargmin(losses)) if np.isfinite(losses).any() else 0
    alt = (
        f"Training and validation loss over {_epochs([history])}; the validation loss goes from {losses[0]:.3g} to its lowest, "
        f"{losses[best]:.3g}."
    )
    shown = caption or ("Loss and accuracy per epoch." if "validation_accuracy" in history[-1] else "Loss per epoch.")
    return Drawing(name, shown, training.learning_curves(history), alt)


def estimate(entry: dict[str, Any] | None) -> Estimate:
    """An entry of evaluation.json as an estimate; an unknown one where there is none."""
    entry = entry or {}
    return Estimate(entry.get("value"), entry.get("lower"), entry.get("upper"))


def write_page(folder: Path, title: str, summary: dict[str, str], sections: Sequence[Section]) -> None:
    """Write report.html, whole; what every page says of its run is added to the summary and the end."""
    whole = [*sections, *profile.sections(folder), provenance(folder)]
    write(folder / "report.html", title, {**summary, **facts(folder)}, whole)


def write(path: Path, title: str, summary: Mapping[str, str], sections: Sequence[Section]) -> None:
    """Write a page, whole, and each of its figures as figures/NAME.png beside it."""
    drawn = [section._replace(figures=[_saved(path.parent, each) for each in section.figures]) for section in sections]
    write_text(path, page(title, summary, drawn))


def _saved(folder: Path, drawing: Drawing) -> Drawing:
    """The figure as the bytes of its file."""
    assert not isinstance(drawing.figure, bytes)
    content, dark = png.encode_both(drawing.figure)
    with replacing(folder / "figures" / f"{drawing.name}.png") as path:
        path.write_bytes(content)
    return drawing._replace(figure=content, dark=dark)


def facts(folder: Path) -> dict[str, str]:
    """What every page says of its run: the number of its parameters, how long it took, and on which device."""
    run = runs.run_of(folder)
    config = runs.read_config(run)
    chosen = config.get("training") or {}
    found = {}
    if "parameters" in chosen:
        members = chosen.get("members", 1)
        found["Parameters"] = f"{chosen['parameters']:,}" + (f" × {members} members" if members > 1 else "")
    histories = [runs.read_metrics(path.parent) for path in _metrics(run)]
    if histories:
        found["Training"] = f"{_epochs(histories)}, {duration(_seconds(histories))}"
    elif "seconds" in chosen:
        found["Fit"] = duration(chosen["seconds"])
    device = config["device"]
    kind = device["kind"] + f" ({device['backend']})" * (device["kind"] != device["backend"])
    found["Device"] = f"{device['count']} × {kind}"
    return found


def _metrics(run: Path) -> list[Path]:
    return sorted([*run.glob("metrics.jsonl"), *run.glob("*/metrics.jsonl")])


def _epochs(histories: list[list[dict[str, Any]]]) -> str:
    counts = sorted({len(history) for history in histories})
    return " and ".join(map(str, counts)) + (" epoch" if counts == [1] else " epochs")


def _seconds(histories: list[list[dict[str, Any]]]) -> float:
    return float(sum(record["seconds"] for history in histories for record in history))


def duration(seconds: float) -> str:
    """A time in words of two significant digits or more: "4.2 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def provenance(folder: Path) -> Section:
    """How the run can be repeated: the command, what it chose by itself, interruptions, versions and device, from config.json."""
    run = runs.run_of(folder)
    config = runs.read_config(run)
    repeated = f"`{command(config, trained=bool(_metrics(run)))}`"  # by itself, so that it can be pasted
    words = []
    chosen = {name: value for name, value in (config.get("training") or {}).items() if name != "seconds"}
    if chosen:
        words.append(", ".join(f"{name} {value:,}" for name, value in chosen.items()))
    if config.get("created"):
        words.append(f"Begun {config['created']}")
    for again in config.get("resumed", []):
        after = f"after epoch {again['epochs']}" if again["epochs"] else "before its first checkpoint"
        of = f" of {again['training']}" if "training" in again else ""  # one of several trainings
        before, now = (of_run.get("convolution") or "auto" for of_run in (config, again))
        changed = f" with JAXSCI_CONVOLUTION={now}" if "convolution" in again and now != before else ""
        words.append(f"Interrupted {after}{of} and resumed {again['date']} on {again['device']}{changed}")
    if config.get("commit"):
        words.append(f"Commit {config['commit'][:12]}")
    words.append("Versions: " + ", ".join(f"{name} {version}" for name, version in config["versions"].items()))
    words.append(f"Device: {facts(folder)['Device']}")
    if (
        config.get("convolution", "auto") != "auto"
    ):  # which decides how sums are rounded; runs of earlier versions lack it
        words.append(f"JAXSCI_CONVOLUTION={config['convolution']}")
    return Section("How to repeat this", repeated + "\n\n" + ".\n\n".join(words) + ".")


def command(config: dict[str, Any], *, trained: bool) -> str:
    """The command that repeats a run, a training or a fit; of files the name alone, since a page is mailed to others.

    Options that mean nothing for the run are left out.
    """
    verb = "train" if trained else "fit"
    words = ["jaxsci", verb, config["task"]]
    for name, value in config["options"].items():
        option = "--" + name.replace("_", "-")
        if value is None or value == [] or name in config.get("unused", ()):
            continue
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, list):
            words += [option, *(shlex.quote(str(entry)) for entry in value)]
        else:
            text = str(value)
            words += [option, shlex.quote(Path(text).name if "/" in text or "\\" in text else text)]
    return " ".join(words)
