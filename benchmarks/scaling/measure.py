"""The times of trainings that are split over the CPU devices of a process, or over processes, and of the exchange alone."""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.scaling.collectives import compiled_exchanged
from jaxsci.core import Batch
from jaxsci.runs.task import silent
from jaxsci.tasks.top_tagging import jobs, samples
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.training import Recipe, Settings, device_mesh, fit, fit_programs

BATCH = 128  # split over the devices (strong scaling)
SHARE = 32  # of every device (weak scaling)


class Problem(NamedTuple):
    """A tagger with its jets."""

    recipe: Recipe
    train: Batch
    validation: Batch


def problem(tagger: str, steps: int) -> Problem:
    """A tagger as the command trains it, in one microbatch, with jets for so many steps."""
    job = jobs.prepare(Options(tagger=tagger, max_jets=2000, batch_size=BATCH), silent)
    inputs, labels = jobs.make_inputs(job.tagger, job.sample, silent), samples.labels_of(job.sample)
    rows = np.resize(job.splits[0], BATCH * steps)
    recipe, _ = jobs.make_recipe(job)
    return Problem(
        recipe._replace(microbatches=1),
        jobs.as_batch(inputs, labels, rows),
        jobs.as_batch(inputs, labels, job.splits[1][:BATCH]),
    )


def _first(data: Batch, examples: int) -> Batch:
    return jax.tree.map(lambda leaf: leaf[:examples], data)


def seconds_of_a_step(case: Problem, batch: int, mesh: Mesh | None, steps: int) -> float:
    """The better of two epochs of `fit`, divided by their steps; a first call has compiled."""
    train = _first(case.train, batch * steps)
    settings = Settings(2, batch)
    history = fit(
        case.recipe, train, _first(case.validation, batch), key=jax.random.key(0), settings=settings, mesh=mesh
    ).history
    return min(record["seconds"] for record in history) / steps


def in_one_process(tagger: str, devices: Sequence[int], steps: int, rounds: int) -> dict[str, Any]:
    """Seconds of a step on so many devices, taking turns: of one batch that is split, and of one that grows with them."""
    case = problem(tagger, steps)
    meshes = {number: None if number == 1 else device_mesh(data=number) for number in devices}
    calls = {
        (kind, number): partial(seconds_of_a_step, case, batch * factor, mesh, max(steps // factor, 2))
        for number, mesh in meshes.items()
        for kind, batch, factor in (("strong", BATCH, 1), ("weak", SHARE, number))
    }
    times: dict[str, dict[str, list[float]]] = {"strong": {}, "weak": {}}
    for call in calls.values():
        call()  # compiles
    for _ in range(rounds):
        for (kind, number), call in calls.items():
            times[kind].setdefault(str(number), []).append(call())
    return {"steps": steps, **times}


def program(tagger: str, devices: int) -> dict[str, Any]:
    """What the compiler says of a step split over the devices: work, exchange, and what of the state is copied."""
    case = problem(tagger, 2)
    mesh = device_mesh(data=devices) if devices > 1 else None
    settings = Settings(1, BATCH)
    step, _ = fit_programs(
        case.recipe, case.train, case.validation, key=jax.random.key(0), settings=settings, mesh=mesh
    )
    compiled = step.lower().compile()
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    state = step.arguments[0]
    numbers = jax.tree.leaves(
        state._replace(train=state.train._replace(key=jax.eval_shape(jax.random.key_data, state.train.key)))
    )
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.train.params)),
        "operations": cost.get("flops") if cost else None,
        "state_bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in numbers),
        "written_in_place_bytes": memory.alias_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "exchanged": compiled_exchanged(compiled.as_text()),
    }


def exchange_alone(sizes: Sequence[int], repeats: int = 20) -> dict[str, float]:
    """Seconds of a sum over all devices of as many float32 numbers, in a loop that is compiled, by the number."""
    devices = jax.devices()
    mesh = Mesh(np.array(devices), ("data",))
    found = {}
    for size in sizes:

        def sums(x: jax.Array) -> jax.Array:
            return jax.lax.fori_loop(0, repeats, lambda _, y: jax.lax.psum(y, "data") / len(devices), x)

        place = PartitionSpec("data")
        looped = jax.jit(jax.shard_map(sums, mesh=mesh, in_specs=place, out_specs=place, check_vma=False))
        whole = np.ones(len(devices) * size, np.float32)
        x = jax.make_array_from_callback(
            whole.shape, NamedSharding(mesh, place), lambda index, whole=whole: whole[index]
        )
        jax.block_until_ready(looped(x))
        seconds = []
        for _ in range(5):  # each is waited for: a queue of exchanges may deadlock on processors
            began = time.perf_counter()
            jax.block_until_ready(looped(x))
            seconds.append((time.perf_counter() - began) / repeats)
        found[str(size)] = statistics.median(seconds)
    return found


def in_processes(tagger: str, number: int, steps: int, rounds: int, sizes: Sequence[int]) -> dict[str, Any]:
    """The same, of processes of one device each, which this one starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    task = json.dumps({"tagger": tagger, "steps": steps, "rounds": rounds, "sizes": list(sizes)})
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_NUM_CPU_DEVICES": "1"}
    command = [sys.executable, "-m", "benchmarks.scaling.measure", address, str(number)]
    started = [
        subprocess.Popen([*command, str(i), task], env=environment, stdout=subprocess.PIPE, text=True)
        for i in range(number)
    ]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"{tagger} in {number} processes ended with {[process.returncode for process in started]}")
    answer: dict[str, Any] = json.loads(outputs[0].splitlines()[-1])
    return answer


def _as_one_of_several(address: str, number: int, process: int, task: dict[str, Any]) -> dict[str, Any]:
    mesh = None
    if number > 1:
        jax.distributed.initialize(address, number, process)
        mesh = device_mesh()
    steps = task["steps"]
    case = problem(task["tagger"], steps)
    sizes = {"strong": (BATCH, steps), "weak": (SHARE * number, max(steps // number, 2))}
    times: dict[str, list[float]] = {kind: [] for kind in sizes}
    for i in range(task["rounds"] + 1):
        for kind, (batch, count) in sizes.items():
            seconds = seconds_of_a_step(case, batch, mesh, count)
            if i:
                times[kind].append(seconds)
    return {**times, "exchange": exchange_alone(task["sizes"]) if number > 1 else {}}


def checkpoints(tagger: str, steps: int, rounds: int) -> dict[str, Any]:
    """Seconds of epochs with a checkpoint after each and without, taking turns, and those in which a training waits for the copy."""
    from jaxsci.training import checkpoint

    case = problem(tagger, steps)
    settings = Settings(4, BATCH)
    run = partial(fit, case.recipe, case.train, case.validation, key=jax.random.key(0), settings=settings)
    state = jax.tree.map(jnp.asarray, run().params)  # compiles
    times: dict[str, list[float]] = {"without": [], "with": [], "waits": []}
    folder = Path(tempfile.mkdtemp())
    run(checkpoints=folder)  # imports what writes
    waits = _timed_saves(checkpoint)
    for _ in range(rounds):
        for name, where in (("without", None), ("with", folder)):
            shutil.rmtree(folder, ignore_errors=True)
            began = time.perf_counter()
            run(checkpoints=where)
            times[name].append((time.perf_counter() - began) / settings.epochs)
    shutil.rmtree(folder, ignore_errors=True)
    times["waits"] = waits
    return {"steps": steps, "parameters": sum(leaf.size for leaf in jax.tree.leaves(state)), **times}


def _timed_saves(checkpoint: Any) -> list[float]:
    """From now on, the seconds of every call that begins to write a checkpoint."""
    seconds: list[float] = []
    save = checkpoint.Writer.save

    def timed(*arguments: Any) -> None:
        began = time.perf_counter()
        save(*arguments)
        seconds.append(time.perf_counter() - began)

    checkpoint.Writer.save = timed
    return seconds


if __name__ == "__main__":
    print(json.dumps(_as_one_of_several(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))))
