"""The results as a page of Markdown tables."""

from typing import Any

OURS = "jaxsci"


def markdown(results: dict[str, Any]) -> str:
    """The page of `results/training.md` from what `training.json` holds."""
    parts = [_machine(results)]
    if results["networks"]:
        parts.append(_networks(results))
    if "ensemble" in results:
        parts.append(_ensemble(results["ensemble"]))
    return "\n\n".join(parts) + "\n"


def _machine(results: dict[str, Any]) -> str:
    machine, options = results["machine"], results["options"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    product, load = machine["matrix_product"], machine["load_average"]
    lines = [
        f"# Training, measured on {options['threads']} cores",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {machine['system']}; "
        f"Python {machine['python']}, {versions}.",
        f"A {product['dtype']} matrix product of side {product['size']}: {product['gflops']:.0f} GFLOP/s. "
        f"Load average at the start: {'unknown' if load is None else load[0]}. "
        f"{options['repeats']} rounds, seed {options['seed']}, {results['minutes']} minutes.",
        "Medians over the rounds; in brackets the range of their middle half.",
    ]
    return "\n\n".join(lines)


def _networks(results: dict[str, Any]) -> str:
    header = ["network", "batch", "", "examples/s", "of the matrix product", "compilation, s", "jaxsci is faster by"]
    peak = results["machine"]["matrix_product"]["gflops"]
    rows = []
    for name, network in results["networks"].items():
        for implementation, timing in network["timings"].items():
            share = timing["rate"]["median"] * network["gflop_an_example"] / peak
            label = implementation
            if network["microbatches"] > 1 and (implementation == OURS or implementation.endswith("microbatches")):
                label = f"{implementation.removesuffix(', microbatches')}, {network['microbatches']} microbatches"
            speedup = "" if implementation == OURS else _ratio(network["speedup"][implementation])
            first = [name, network["batch_size"]] if implementation == OURS else ["", ""]
            rows.append([*first, label, _rate(timing), f"{share:.0%}", _seconds(timing), speedup])
    return "## Networks\n\n" + _table(header, rows)


def _ensemble(ensemble: dict[str, Any]) -> str:
    title = f"## An ensemble of {ensemble['members']} small Deep Sets, batches of {ensemble['batch_size']}"
    header = ["", "examples of all members/s", "compilation, s", "times as fast as one after another"]
    rows = [
        [
            name,
            _rate(timing),
            _seconds(timing),
            _ratio(ensemble["speedup"][name]) if name in ensemble["speedup"] else "",
        ]
        for name, timing in ensemble["epochs"].items()
    ]
    whole = "; ".join(
        f"`{name}` {sorted(timing['seconds'])[len(timing['seconds']) // 2]:.1f} s"
        for name, timing in ensemble["whole"].items()
    )
    sentence = (
        f"Whole trainings of {ensemble['whole_epochs']} epochs of {ensemble['examples']} examples, compilation and "
        f"validation included: {whole}; together {_ratio(ensemble['whole_speedup'])} times as fast."
    )
    return f"{title}\n\n{_table(header, rows)}\n\n{sentence}"


def _rate(timing: dict[str, Any]) -> str:
    rate = timing["rate"]
    return f"{rate['median']:,.0f} [{rate['low']:,.0f}, {rate['high']:,.0f}]"


def _seconds(timing: dict[str, Any]) -> str:
    return f"{timing['compilation_seconds']:.1f}"


def _ratio(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def _table(header: list[Any], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
