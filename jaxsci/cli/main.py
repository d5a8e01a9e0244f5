"""The command `jaxsci`: the only place that touches jax.config, the environment and default paths."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jaxsci
from jaxsci.cli import batch, benchmarks, configuration, mistakes, processes
from jaxsci.cli.arguments import (
    Compare,
    Completion,
    Data,
    DataFetch,
    DataGenerate,
    DataList,
    Evaluate,
    Export,
    Form,
    NewRun,
    Place,
    Predict,
    Runs,
    Study,
    SweepPlace,
)
from jaxsci.cli.commands import Chosen, completion, parse
from jaxsci.cli.progress import shown_progress
from jaxsci.errors import InputError, StopTraining
from jaxsci.memory import keep_memory, size_in_bytes
from jaxsci.runs.task import Execution, OnProgress, Session, Task

# Tasks import jax and a plotting library: only once the arguments are known to be good, so that --help is quick.


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, with 2 (of several processes 78) and one line on what to do, with 130 or, after SIGTERM, 75."""
    if arguments is None:  # the process is the command's own
        keep_memory()
        batch.allow_any_text()
        arguments = sys.argv[1:]
    arguments = list(arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if arguments == ["--version"]:
        print(f"jaxsci {jaxsci.__version__}")
        return
    benchmark = arguments[:1] == ["bench"] and arguments[1:2] not in ([], ["--help"], ["-h"])
    try:
        command: Any = partial(_bench, arguments[1], arguments[2:]) if benchmark else partial(run, parse(arguments))
        with batch.termination():
            if not benchmark:  # which times compilation
                configure_jax()
            command()
        sys.stdout.flush()  # a pipe that was closed shows here, not when Python ends
    except BrokenPipeError:
        batch.pipe_closed()
    except StopTraining:
        print(batch.STOPPED, file=sys.stderr)
        raise SystemExit(batch.REQUEUE) from None
    except KeyboardInterrupt:
        _fail(
            "interrupted; what was finished is kept, go on with --resume (training) or the same command (generation)",
            130,
        )
    except Exception as error:
        line = mistakes.of_user(error)
        if debug or line is None:
            processes.leave_with_traceback()
            raise
        _fail(line, 2)


def configure_jax() -> None:
    """Keep compiled programs between commands, in $JAX_COMPILATION_CACHE_DIR or the user's cache."""
    import jax
    import platformdirs

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(platformdirs.user_cache_path("jaxsci") / "compiled"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def run(command: Any) -> None:
    """Carry out a parsed command."""
    match command:
        case Chosen(place=SweepPlace() as place):
            _sweep(command, place)
        case Chosen():
            _start(command)
        case Evaluate():
            _agree(command.run, command.trust)
            _say_unfinished(command.run)
            with shown_progress() as progress:
                print(_trained(command.run, "evaluate")(command.run, command.data, _session(progress)))
        case Predict():
            _agree(command.run, command.trust)
            _predict(command)
        case Study():
            _say_unfinished(command.run)
            with shown_progress() as progress:
                page = _trained(command.run, "study")(command.run, command.max_examples, _session(progress))
            print(
                page.with_suffix(".json").read_text(encoding="utf-8") if command.json else page,
                end="" if command.json else "\n",
            )
        case Export():
            from jaxsci.tasks import export, table

            _say_unfinished(command.run)
            trained = table.load(command.run, trust=command.trust)
            *inputs, output = export.write(trained, command.out, batch_size=command.batch_size, form=command.format)
            print(f"{command.out}: {', '.join(inputs)} -> {output}")
        case Compare():
            from jaxsci.cli import tables

            tables.compare(command.runs, _task_of(command.runs[0]).lower_is_better if command.runs else (), command)
        case Runs():
            from jaxsci.cli import tables

            tables.history(command.runs, command)
        case Data(action=action):
            _data(action)
        case Completion(shell=shell):
            print(completion(shell), end="")


def _session(progress: OnProgress, runs: Path = Path("runs"), name: str | None = None) -> Session:
    return Session(runs, _fetched, name, progress)


def _agree(folder: Path, trust: bool) -> None:
    """Let the network that comes with a run be executed, if the user says so."""
    if trust:
        from jaxsci.tasks import own_network

        own_network.agree(folder)


def _say_unfinished(folder: Path) -> None:
    """Say on the terminal where a training has not come to its end: what it knows so far still answers."""
    task = _task_of(folder)
    if task.resume is not None and not (folder / "evaluation.json").exists():
        remedy = f"jaxsci train {task.name} --resume {folder} goes on with it"
        print(
            f"note: {folder}: this training has not come to its end: its best epoch so far answers; {remedy}",
            file=sys.stderr,
        )


def _start(command: Chosen) -> None:
    """Train, fit or ask a task that was named."""
    task, place = command.entry.task, command.place
    if isinstance(place, Form):
        from jaxsci.cli import printing

        printing.ask(task, command.options, place, _session)
        return
    if not isinstance(place, Place) or not processes.several(place):
        if task.splits_over_cores and isinstance(place, NewRun):
            _use_all_cores()
        _carry_out(command, place)
        return
    if task.splits_over_cores:
        raise InputError(
            f"--distributed: expected a task that trains one network, got {task.name}, whose ensemble is split over the devices of one "
            "process; leave it out"
        )
    with processes.joined(place) as place:
        _carry_out(command, place)


def _predict(command: Predict) -> None:
    from jaxsci.cli import printing

    def write(out: Path) -> None:
        with shown_progress() as progress:
            _trained(command.run, "predict")(command.run, command.file, out, _session(progress))

    printing.require_one(command, command.out)
    _say_unfinished(command.run)
    if command.out is None:
        printing.predictions(write, command, _task_of(command.run).name)
    else:
        write(command.out)
        print(command.out)


def _carry_out(command: Chosen, place: NewRun) -> None:
    task = command.entry.task
    if place.save_config is not None:
        if isinstance(place, Place) and place.resume is not None:
            raise InputError("--save-config: expected a new run, got --resume; its options are in its config.json")
        configuration.save(place.save_config, command.entry.name, command.options, place)
    mistakes.require_seed(getattr(command.options, "seed", 0))
    mistakes.require_heeded(command.typed, place)
    with shown_progress() as progress:
        session = _session(progress, place.runs, place.name)
        if isinstance(place, Place):
            memory = None if place.device_memory is None else size_in_bytes(place.device_memory, "--device-memory")
            session = session._replace(
                execution=Execution(place.checkpoint_minutes, place.devices, memory, place.profile)
            )
        if isinstance(place, Place) and place.resume is not None:
            assert task.resume is not None, command.entry
            mistakes.require_no_options(command.options, place.resume, command.typed)
            _agree(place.resume, place.trust)
            folder = _of_any_version(place.resume)(task.resume)(place.resume, session)
        else:
            mistakes.require_heeded(command.typed, command.options)
            folder = task.start(command.options, session)
    print(folder / "report.html")


def _use_all_cores() -> None:
    """A device for each core, over which the members of an ensemble are split; too late where JAX has already started."""
    import contextlib

    import jax

    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def _sweep(command: Chosen, place: SweepPlace) -> None:
    from jaxsci.cli import sweep

    with shown_progress() as progress:
        folder = sweep.run(command, place, _session(progress, place.runs, place.name))
    sweep.show(folder, place)


def _task_of(folder: Path) -> Task:
    from jaxsci.runs import folder as runs
    from jaxsci.tasks import table

    return table.task(runs.read_config(folder)["task"])


def _trained(folder: Path, function: Literal["evaluate", "predict", "study"]) -> Callable[..., Any]:
    """A function of the task of a run.

    Raises:
        InputError: the run is a fit, which has nothing to evaluate or predict.
    """
    task = _task_of(folder)
    found: Callable[..., Any] | None = getattr(task, function)
    if found is None and function == "study":
        raise InputError(
            f"{folder}: expected a run of a task that can be studied, got one of {task.name}; give one of "
            "top-tagging, images, superconductors or table"
        )
    if found is None:
        raise InputError(
            f"{folder}: expected a trained run, got a fit of {task.name}, which has no test part; its results are in "
            f"{folder / 'report.html'}, and jaxsci fit {task.name} --data FILE fits other data"
        )
    return _of_any_version(folder)(found)


def _of_any_version(folder: Path) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    from jaxsci.runs import folder as runs

    return runs.of_any_version(folder)


def _bench(name: str, arguments: Sequence[str]) -> None:
    raise SystemExit(benchmarks.run(name, arguments))


def _fetched(data_set: str, file: str) -> Path:
    from jaxsci.data import download

    return download.find(data_set, file, folder=_data_folder())


def _data_folder() -> Path | None:
    return Path(os.environ["JAXSCI_DATA"]) if "JAXSCI_DATA" in os.environ else None


def _data(action: DataList | DataFetch | DataGenerate) -> None:
    from jaxsci.data import download

    match action:
        case DataList():
            download.show(_data_folder())
        case DataFetch():
            for path in download.fetch(action.name, folder=action.folder or _data_folder()):
                print(path)
        case DataGenerate():
            from jaxsci.data.jets.generate import generate_jets

            mistakes.require_seed(action.seed)

            generate_jets(
                action.out,
                n=action.n,
                seed=action.seed,
                detector=action.detector,
                processes=action.processes,
                compact=action.compact,
            )
            print(action.out)


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    processes.leave(code)


if __name__ == "__main__":
    main()
