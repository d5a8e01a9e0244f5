"""The results as a page of Markdown tables."""

from typing import Any

OURS = "jaxsci"


def markdown(results: dict[str, Any]) -> str:
    """The page of `results/training.md` from what `training.json` holds."""
    parts = [_machine(results)]
    if results["networks"]:
        parts += [_networks(results), _compilation(results)]
    if "ensemble" in results:
        parts.append(_ensemble(results["ensemble"]))
    return "\n\n".join(parts) + "\n"


def _machine(results: dict[str, Any]) -> str:
    machine, options = results["machine"], results["options"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    product = machine["matrix_product"]
    load = machine["load_average"]
    lines = [
        f"# Training, measured on {options['threads']} cores",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {machine['system']}; "
        f"Python {machine['python']}, {versions}.",
        f"A {product['dtype']} matrix product of side {product['size']}: {product['gflops']} GFLOP/s. "
        f"Load average at the start: {'unknown' if load is None else load[0]}. "
        f"{options['repeats']} rounds, seed {options['seed']}, {results['minutes']} minutes.",
        "Medians over the rounds, in brackets the range of their middle half.",
    ]
    return "\n\n".join(lines)


def _networks(results: dict[str, Any]) -> str:
    peers = _peers(results)
    header = ["network", "batch", "portions", "jaxsci, examples/s", "share of the matrix product"]
    header += [f"{peer}, examples/s" for peer in peers] + [f"jaxsci / {peer}" for peer in peers]
    rows = []
    for name, network in results["networks"].items():
        timings, speedup = network["timings"], network["speedup"]
        gflops = timings[OURS]["rate"]["median"] * network["gflop_an_example"]
        share = gflops / results["machine"]["matrix_product"]["gflops"]
        row = [name, network["batch_size"], network["portions"], _rate(timings[OURS]), f"{share:.0%}"]
        row += [_rate(timings[peer]) if peer in timings else "" for peer in peers]
        row += [_ratio(speedup[peer]) if peer in speedup else "" for peer in peers]
        rows.append(row)
    return "## Networks\n\n" + _table(header, rows)


def _compilation(results: dict[str, Any]) -> str:
    names = [OURS, *_peers(results)]
    rows = []
    for name, network in results["networks"].items():
        timings = network["timings"]
        rows.append([name, *(f"{timings[n]['compilation_seconds']:.1f}" if n in timings else "" for n in names)])
    return "## First call less a usual one (compilation), seconds\n\n" + _table(["network", *names], rows)


def _ensemble(ensemble: dict[str, Any]) -> str:
    title = f"## An ensemble of {ensemble['members']} small Deep Sets, batches of {ensemble['batch_size']}"
    header = ["", "examples of all members/s", "compilation, s", "times as fast as one after another"]
    epochs = [
        [name, _rate(t), f"{t['compilation_seconds']:.1f}", _ratio(ensemble["speedup"][name])]
        if name in ensemble["speedup"]
        else [name, _rate(t), f"{t['compilation_seconds']:.1f}", ""]
        for name, t in ensemble["epochs"].items()
    ]
    whole = [
        f"{name}: {sorted(t['seconds'])[len(t['seconds']) // 2]:.1f} s" for name, t in ensemble["whole"].items()
    ]
    sentence = (
        f"Whole trainings of {ensemble['whole_epochs']} epochs of {ensemble['examples']} examples, compilation and validation "
        f"included: {'; '.join(whole)}; {_ratio(ensemble['whole_speedup'])} times as fast."
    )
    return f"{title}\n\n{_table(header, epochs)}\n\n{sentence}"


def _peers(results: dict[str, Any]) -> list[str]:
    """In the order of their first appearance."""
    names = (name for network in results["networks"].values() for name in network["timings"])
    return [name for name in dict.fromkeys(names) if name != OURS]


def _rate(timing: dict[str, Any]) -> str:
    rate = timing["rate"]
    return f"{rate['median']:,.0f} [{rate['low']:,.0f}, {rate['high']:,.0f}]"


def _ratio(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"


def _table(header: list[Any], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
