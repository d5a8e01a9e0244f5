"""What the devices exchange in a program, read from its text."""

import re

import numpy as np

KINDS = ("all_reduce", "all_gather", "all_to_all", "collective_permute", "reduce_scatter", "collective_broadcast")
_BITS = {"i1": 8, "ui32": 32, "i32": 32, "bf16": 16, "f16": 16, "f32": 32, "f64": 64, "ui64": 64, "i64": 64}
_STABLEHLO = re.compile(rf'"stablehlo\.({"|".join(KINDS)})"')
_RESULT = re.compile(r"-> \(?(tensor<[^()]*>)")
_HLO = re.compile(rf"= (.*?) ({'|'.join(kind.replace('_', '-') for kind in KINDS)})(?:-start)?\(")


def exchanged(text: str) -> dict[str, tuple[int, int]]:
    """The number of the collectives of each kind in a StableHLO module (`jax.export`), and the bytes that they give every device."""
    found: dict[str, tuple[int, int]] = {}
    lines = iter(text.splitlines())
    for line in lines:
        started = _STABLEHLO.search(line)
        if started is None:
            continue
        if line.endswith("({"):  # goes on after the region that adds two numbers
            line = next(line for line in lines if line.lstrip().startswith("})"))
        count, size = found.get(started[1], (0, 0))
        result = _RESULT.search(line)
        assert result is not None, line
        sizes = [_bytes(shape) for shape in re.findall(r"tensor<([^>]*)>", result[1])]
        found[started[1]] = count + 1, size + sum(sizes)
    return found


def _bytes(shape: str) -> int:
    *sides, kind = shape.split("x")
    return int(np.prod([int(side) for side in sides], dtype=int)) * _BITS[kind] // 8


def compiled_exchanged(text: str) -> dict[str, tuple[int, int]]:
    """The same of the compiled text of XLA, where small collectives may have been joined."""
    sizes = {"f64": 8, "s64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1}
    found: dict[str, tuple[int, int]] = {}
    for result, name in _HLO.findall(text):
        kind = name.replace("-", "_")
        shapes = re.findall(r"(\w+)\[([\d,]*)\]", result)
        size = sum(sizes[k] * int(np.prod([int(n) for n in shape.split(",") if n], dtype=int)) for k, shape in shapes)
        count, before = found.get(kind, (0, 0))
        found[kind] = count + 1, before + size
    return found
