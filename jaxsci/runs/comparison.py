"""Runs side by side: a table of their evaluations, the best of each column marked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs.estimate import rounded
from jaxsci.runs.figures import estimate

__all__ = ["best", "named", "rows", "text"]


def rows(folders: Sequence[Path]) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """Metric names and, for each run, its estimates {"value", "lower", "upper"} by name.

    Raises:
        InputError: not a run folder or not evaluated, runs of different tasks, or runs evaluated on different examples.
    """
    if not folders:
        raise InputError("expected at least one run folder, got none; give folders such as runs/top-tagging/cnn-1")
    evaluations = {}
    for folder in folders:
        config = runs.read_config(folder)
        remedy = f"evaluate the run first: jaxsci evaluate {folder}"
        evaluations[folder] = (config, runs.read_json(folder / "evaluation.json", remedy))
        _require_whole(folder, *evaluations[folder])
        if "metrics" not in evaluations[folder][1]:
            raise InputError(
                f"{folder}: expected a trained run with metrics, got a fit of {config['task']}; its results are in "
                f"{folder / 'report.html'}"
            )
    digests = {folder: str(config["data"]["digest"]) for folder, (config, _) in evaluations.items()}
    if len({len(found) for found in digests.values()}) > 1:
        older = min(digests, key=lambda folder: len(digests[folder]))
        raise InputError(
            f"{older}: expected runs of one version, got one whose digest covers less of its data; train it again to compare it"
        )
    for what, of in (
        ("task", lambda c: c["task"]),
        ("data and split", lambda c: (c["data"]["digest"], c["data"]["split"])),
    ):
        seen = {str(of(config)) for config, _ in evaluations.values()}
        if len(seen) > 1:
            raise InputError(f"expected runs of one {what}, got {', '.join(sorted(seen))}; compare those of a kind")
    names: list[str] = []
    table = []
    same_names = len({folder.name for folder in folders}) < len(folders)
    for folder, (_, evaluation) in evaluations.items():
        values = {
            name: entry for name, entry in evaluation["metrics"].items() if isinstance(entry, dict) and "value" in entry
        }
        names += [name for name in values if name not in names]
        table.append((named(str(folder) if same_names else folder.name, evaluation), values))
    return names, table


def named(run: str, evaluation: Mapping[str, Any]) -> str:
    """The name of a run, with the number of its members where it is an ensemble."""
    members = evaluation.get("members")
    return f"{run} × {members} members" if isinstance(members, int) and members > 1 else run


def _require_whole(folder: Path, config: dict[str, Any], evaluation: Any) -> None:
    """Raise InputError where a run is damaged: what is compared is not there, or not numbers."""
    data = config.get("data", {})
    if not {"digest", "split"} <= set(data) and isinstance(evaluation, dict) and "metrics" in evaluation:
        raise InputError(
            f"{folder / 'config.json'}: expected data.digest and data.split, got {', '.join(data) or 'none'}; copy the run again"
        )
    metrics = evaluation.get("metrics", {}) if isinstance(evaluation, dict) else None
    entries = [e for e in metrics.values() if isinstance(e, dict) and "value" in e] if isinstance(metrics, dict) else []
    numbers = [number for entry in entries for number in entry.values()]
    if not isinstance(metrics, dict) or not all(number is None or type(number) in (int, float) for number in numbers):
        raise InputError(
            f"{folder / 'evaluation.json'}: expected metrics as an object of numbers, got others; evaluate the run again: "
            f"jaxsci evaluate {folder}"
        )


def best(name: str, table: list[tuple[str, dict[str, Any]]], lower_is_better: Sequence[str] = ()) -> list[int]:
    """Rows with the best value of a metric, the smallest of those in `lower_is_better`; none where fewer than two rows have one."""
    known = {
        i: entry[name]["value"] for i, (_, entry) in enumerate(table) if entry.get(name, {}).get("value") is not None
    }
    if len(known) < 2:
        return []
    wanted = (min if name in lower_is_better else max)(known.values())
    return [i for i, value in known.items() if value == wanted]


def text(entry: dict[str, Any] | None) -> str:
    """An estimate as text, with its uncertainty where there is one."""
    return str(rounded(estimate(entry)))
