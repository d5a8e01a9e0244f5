"""Figures and pages of a run folder: drawn once, saved as PNG and put into the report."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxsci.files import replacing, write_text
from jaxsci.plots import png
from jaxsci.runs import folder as runs
from jaxsci.runs import page as report
from jaxsci.runs.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawing", "estimate", "pictures", "provenance", "write_page"]


class Drawing(NamedTuple):
    """A figure on its way to a file and to the report."""

    name: str  # of the file, without its suffix
    caption: str
    figure: "Figure"


def pictures(folder: Path, drawings: Sequence[Drawing]) -> list[report.Picture]:
    """Save each figure as figures/<name>.png and return it for the report."""
    result = []
    for drawing in drawings:
        content = png.encode(drawing.figure)
        with replacing(folder / "figures" / f"{drawing.name}.png") as path:
            path.write_bytes(content)
        result.append(report.Picture(drawing.caption, content))
    return result


def estimate(entry: dict[str, Any] | None) -> Estimate:
    """An entry of evaluation.json as an estimate; an unknown one where there is none."""
    entry = entry or {}
    return Estimate(entry.get("value"), entry.get("lower"), entry.get("upper"))


def write_page(folder: Path, title: str, summary: dict[str, str], sections: Sequence[report.Section]) -> None:
    """Write report.html, whole."""
    write_text(folder / "report.html", report.page(title, summary, sections))


def provenance(folder: Path) -> report.Section:
    """How the run can be repeated: the command, what it chose by itself, versions and device, from config.json."""
    run = runs.run_of(folder)
    config = runs.read_config(run)
    words = [f"`{command(config)}`"]
    if config.get("training"):
        words.append(", ".join(f"{name} {value:,}" for name, value in config["training"].items()))
    if (run / "metrics.jsonl").exists():
        history = runs.read_metrics(run)
        seconds = sum(record["seconds"] for record in history)
        words.append(f"{len(history)} epochs in {seconds:,.0f} s of training")
    if config.get("created"):
        words.append(f"Begun {config['created']}")
    if config.get("commit"):
        words.append(f"Commit {config['commit'][:12]}")
    versions = ", ".join(f"{name} {version}" for name, version in config["versions"].items())
    device = config["device"]
    words += [f"Versions: {versions}", f"Device: {device['count']} × {device['kind']} ({device['backend']})"]
    return report.Section("How to repeat this", ".\n\n".join(words) + ".")


def command(config: dict[str, Any]) -> str:
    """The command that repeats a run; of files the name alone, since a page is mailed to others."""
    verb = "train" if config.get("training") else "fit"
    words = ["jaxsci", verb, config["task"]]
    for name, value in config["options"].items():
        option = "--" + name.replace("_", "-")
        if value is None or value == []:
            continue
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, list):
            words += [option, *map(str, value)]
        else:
            text = str(value)
            words += [option, shlex.quote(Path(text).name if "/" in text or "\\" in text else text)]
    return " ".join(words)
