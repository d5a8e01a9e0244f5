"""What it costs to split a training over devices and over processes, what they exchange, and what that means for many accelerators.

    python -m benchmarks.scaling [--parts devices processes checkpoints] [--taggers topodnn pfn cnn] [--rounds 5] [--out benchmarks/results]

The devices are those that one processor plays, and share its cores: a split can only cost here, and how much is what is measured. The
results of parts that are not run again are kept.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arguments import Parser

TAGGERS = ("topodnn", "pfn", "cnn")
DEVICES, PROCESSES = (1, 2, 4, 8), (1, 2, 4)
SIZES = (1, 1_000, 100_000, 1_000_000)  # numbers in an exchange
STEPS = {"topodnn": 200, "pfn": 20, "cnn": 16}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write scaling.json, scaling.md and scaling.png after every part."""
    parser = Parser("scaling", __doc__)
    parts = ("devices", "processes", "checkpoints")
    parser.add_argument("--parts", nargs="*", default=list(parts), choices=parts)
    parser.add_argument("--taggers", nargs="+", default=list(TAGGERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of an epoch; default: such that it takes about a second")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(max(DEVICES)))  # before JAX starts

    from benchmarks import machine
    from benchmarks.scaling import measure, report
    from jaxsci.files import write_json

    file = options.out / "scaling.json"
    results = json.loads(file.read_text()) if file.is_file() else {}
    for part in options.parts:
        results.setdefault("machine", {})[part] = machine.describe()
        for tagger in options.taggers:
            own = results.setdefault("taggers", {}).setdefault(tagger, {})
            steps = options.steps or STEPS.get(tagger, 10)
            if part == "devices":
                own["program"] = {str(n): measure.program(tagger, n) for n in (1, 4)}
                own["devices"] = measure.in_one_process(tagger, DEVICES, steps, options.rounds)
            elif part == "processes":
                own["processes"] = {
                    str(n): measure.in_processes(tagger, n, steps, options.rounds, SIZES) for n in PROCESSES
                }
            else:
                own["checkpoints"] = measure.checkpoints(tagger, 4 * steps, options.rounds)
            print(part, tagger, flush=True)
            write_json(file, results)
        report.write(options.out, results)


if __name__ == "__main__":
    main()
