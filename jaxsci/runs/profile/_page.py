"""The part of a page that says where the time of the trainings of a run went."""

import logging
from pathlib import Path
from typing import Any

from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs.page import Section
from jaxsci.runs.tables import Column, Table
from jaxsci.runs.training import PROFILE, TRACE

_SHOWN = 8  # operations
_STAGES = {
    "compilation": "compilation",
    "input": "waiting for examples, and bringing them to the device",
    "steps": "steps",
    "evaluation": "evaluation on the validation part",
    "trace": "writing the trace",
    "rest": "checkpoints, order of the examples, and all else",
}


def sections(folder: Path) -> list[Section]:
    """Of each training of a run that was profiled: its time by stages and what a step costs, and its longest operations."""
    found = []
    paths = [*folder.glob(PROFILE), *folder.glob(f"*/{PROFILE}")]
    for path in sorted(paths, key=lambda path: (len(path.parent.name), path)):  # fold-2 before fold-10
        of = "" if path.parent == folder else f" ({path.parent.name})"
        try:
            profile = runs.read_json(path, "train again with --profile")
            found += [_times(profile, of), *_operations(profile, of)]
        except (InputError, KeyError, TypeError, ValueError) as error:  # one that is damaged does not stop the page
            logging.getLogger("jaxsci").warning("%s is left out of the page: %s", path, error)
    return found


def _times(profile: dict[str, Any], of: str) -> Section:
    seconds = profile["seconds"]
    whole = seconds["all"]
    rows = [
        [words, seconds[stage], f"{100 * seconds[stage] / whole:.1f} %"]
        for stage, words in _STAGES.items()
        if seconds[stage]
    ]
    since = _since(profile.get("resumed"))
    caption = f"Time of the training{since}, {whole:.3g} s: what was read and prepared before it, and measured after it, is not in it."
    table = Table([Column("stage"), Column("seconds"), Column("of the time")], rows, caption)
    return Section(f"Where the time went{of}", _words(profile), table=table)


def _since(resumed: dict[str, int] | None) -> str:
    if resumed is None:
        return ""
    epochs, steps = resumed["epochs"], resumed["steps"]
    where = f"in epoch {epochs + 1}, after {steps:,} of its steps" if steps else f"after epoch {epochs}"
    return f" since it was resumed {where}"


def _words(profile: dict[str, Any]) -> str:
    """What a step costs, how fast it was, and what it needs."""
    step, product, device = profile["step"], profile["product"], profile["device"]
    steps, members = profile["steps"], profile["steps_of_members"]
    counting, of = (f" ({members:,} counting members)", " of all members") if members != steps else ("", "")
    ms = 1e3 * profile["seconds"]["steps"] / steps
    words = f"{steps:,} steps of {profile['batch_size']:,} examples{counting}, {ms:.3g} ms per step{of}."
    if step["operations"] is None:
        words += f" Its operations are not counted: {step.get('unknown') or 'XLA does not say how many they are'}."
    else:
        words += (
            f" A step has {_scaled(step['operations'])}FLOP, as XLA counts the operations of forward pass, backward pass and update:"
            f" {_scaled(profile['rate'])}FLOP/s, {100 * profile['utilization']:.0f} % of the {_scaled(product['rate'])}FLOP/s that a"
            f" product of {step['products']} matrices of side {product['side']:,} reaches on {device['count']} × {device['kind']}."
        )
    if step["bytes"] is not None:
        least = ("at least ", "at most ") if step["loops"] else ("", "")
        words += f" Its program reads and writes {least[0]}{_scaled(step['bytes'])}B, caches not counted"
        if step["operations"] is not None:
            words += f": {least[1]}{step['operations'] / step['bytes']:.2g} operations for each byte"
        words += ", since it has loops, of which XLA counts one turn." if step["loops"] else "."
    memory = profile["memory"]
    if memory is not None:
        held, between = (f"{_scaled(memory[name])}B" for name in ("arguments", "temporaries"))
        words += f" A device needs {held} of memory for data and state, and {between} for what a step computes between."
    return words


def _operations(profile: dict[str, Any], of: str) -> list[Section]:
    trace = profile["trace"]
    whole = sum(trace["seconds"].values())
    if not whole:
        return []
    shares = ", ".join(f"{kind} {100 * seconds / whole:.0f} %" for kind, seconds in trace["seconds"].items() if seconds)
    steps = "a step" if trace["steps"] == 1 else f"{trace['steps']} steps"
    words = (
        f"From the trace of {steps} in `{TRACE}`, which ui.perfetto.dev shows: {shares} of the time of all operations."
    )
    rows = [
        [
            f"`{operation['name']}`",
            operation["kind"],
            operation["calls"],
            1e3 * operation["seconds"],
            f"{100 * operation['seconds'] / whole:.1f} %",
        ]
        for operation in trace["longest"][:_SHOWN]
    ]
    columns = [Column("operation"), Column("kind"), Column("calls"), Column("ms in all"), Column("of the time")]
    return [Section(f"The longest operations{of}", words, table=Table(columns, rows, "Named as XLA names them."))]


def _scaled(number: float) -> str:
    """Three digits and the prefix of the unit that follows: 12_300_000 is "12.3 M"."""
    for power, prefix in ((15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}"
    return f"{number:.3g} "
