"""A trace of a program for ui.perfetto.dev, and which of its operations take the time."""

import contextlib
import gzip
import json
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxsci import files

PRODUCT, EXCHANGE, OTHER = "products", "exchange", "other"
_CONTAINERS = {"while", "call", "conditional", "async-start", "async-done"}  # their time is that of what they hold
_PRODUCTS = {"dot", "convolution", "ragged-dot"}
_LIBRARIES = re.compile(r'custom_call_target="[^"]*(?:gemm|matmul|conv|cublas|cudnn)', re.IGNORECASE)
_EXCHANGES = re.compile(r"all-|reduce-scatter|collective-|send|recv")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = .*? ([a-z][\w\-]*)\(")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
_CALLED = re.compile(r"(?:calls|to_apply)=%?([\w.\-]+)")


class Operation(NamedTuple):
    """One of a program, as the compiler named it, with what it took in all."""

    name: str
    kind: str  # PRODUCT, of matrices and convolutions; EXCHANGE between devices; OTHER
    seconds: float
    calls: int


@contextlib.contextmanager
def traced(file: Path, text: str) -> Iterator[list[Operation]]:
    """Writes a trace of what runs within to `file`, a .json.gz; afterwards the list holds its operations, the longest first.

    `text` is that of the compiled program, from which is read what an operation is.
    """
    found: list[Operation] = []
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # every call of a Python function otherwise
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True, profiler_options=options):
            yield found
        written = next(Path(folder).rglob("perfetto_trace.json.gz"), None)
        if written is None:  # the profiler gives up by a line of its own, and a training goes on without a trace
            return
        with gzip.open(written) as content:
            found += operations(json.load(content)["traceEvents"], kinds(text))
        with files.replacing(file) as temporary:
            shutil.copyfile(written, temporary)


def operations(events: Iterable[Mapping[str, Any]], kinds: Mapping[str, str]) -> list[Operation]:
    """The operations among the events of a trace, the longest first; `kinds` by their names, without those that hold others."""
    total: dict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
    for event in events:
        name = event.get("args", {}).get("hlo_op")
        if event.get("ph") == "X" and name in kinds:
            seconds, calls = total[name]
            total[name] = seconds + 1e-6 * event["dur"], calls + 1
    found = [Operation(name, kinds[name], *of) for name, of in total.items()]
    return sorted(found, key=lambda operation: -operation.seconds)


def by_kind(found: Sequence[Operation]) -> dict[str, float]:
    """The seconds of the operations of each kind."""
    return {
        kind: sum(operation.seconds for operation in found if operation.kind == kind)
        for kind in (PRODUCT, EXCHANGE, OTHER)
    }


def kinds(text: str) -> dict[str, str]:
    """The kind of each operation in the text of a compiled program; what holds others, such as a loop, is left out."""
    computation = ""
    of_computation: dict[str, str] = defaultdict(lambda: OTHER)
    found: dict[str, tuple[str, str | None]] = {}  # kind, and the computation that a fusion is made of
    for line in text.splitlines():
        if begins := _COMPUTATION.match(line):
            computation = begins[1]
        elif instruction := _INSTRUCTION.match(line):
            name, operation = instruction.groups()
            called = _CALLED.search(line)
            kind = _kind(operation, line)
            if kind != OTHER:
                of_computation[computation] = kind
            if operation not in _CONTAINERS:
                found[name] = kind, called[1] if called and operation == "fusion" else None
    return {name: of_computation[called] if called else kind for name, (kind, called) in found.items()}


def _kind(operation: str, line: str) -> str:
    if operation in _PRODUCTS or (operation == "custom-call" and _LIBRARIES.search(line)):
        return PRODUCT
    return EXCHANGE if _EXCHANGES.match(operation) else OTHER
