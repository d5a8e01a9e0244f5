"""The command `jaxsci`: the only place that touches jax.config, the environment and default paths."""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import tyro

import jaxsci
from jaxsci.cli.arguments import (
    Command,
    Compare,
    Data,
    DataFetch,
    DataGenerate,
    DataList,
    Evaluate,
    Fit,
    FitCmb,
    FitDimuon,
    FitEarth,
    Predict,
    PredictSuperconductors,
    Train,
    TrainImages,
    TrainSuperconductors,
    TrainTopTagging,
)
from jaxsci.errors import InputError

FITS = ("cmb", "earth", "dimuon")  # tasks of `jaxsci fit`

# Tasks import jax and a plotting library: only once the arguments are known to be good, so that --help is quick.


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, with 2 and one line on what to do, or with 130 when interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if arguments[:2] == ["predict", "superconductors"]:
        arguments = ["predict-superconductors", *arguments[2:]]
    if arguments == ["--version"]:
        print(f"jaxsci {jaxsci.__version__}")
        return
    benchmark = arguments[:1] == ["bench"] and arguments[1:2] not in ([], ["--help"], ["-h"])
    command: Any = partial(_bench, *arguments[1:]) if benchmark else partial(run, _parse(arguments))
    try:
        if not benchmark:  # which times compilation
            configure_jax()
        command()
    except KeyboardInterrupt:
        _fail(
            "interrupted; what was finished is kept, go on with --resume (training) or the same command (generation)",
            130,
        )
    except (InputError, ArithmeticError, OSError) as error:
        if debug:
            raise
        _fail(_one_line(error), 2)


def _parse(arguments: list[str]) -> Any:
    return tyro.cli(
        Command,
        prog="jaxsci",
        description="Machine learning for the natural sciences in JAX. Add --debug to any command for full tracebacks.",
        args=arguments or ["--help"],
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )


def configure_jax() -> None:
    """Keep compiled programs between commands, in $JAX_COMPILATION_CACHE_DIR or the user's cache."""
    import jax
    import pooch

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(Path(pooch.os_cache("jaxsci")) / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def run(command: Any) -> None:
    """Carry out a parsed command."""
    match command:
        case Train(task=options):
            _train(options)
        case Fit(task=options):
            _fit(options)
        case Evaluate():
            with _progress() as progress:
                print(_task_of(command.run).evaluate(command.run, command.data, progress))
        case Predict():
            with _progress() as progress:
                _task_of(command.run).predict(command.run, command.file, command.out, progress)
            print(command.out)
        case PredictSuperconductors():
            _predict_superconductors(command)
        case Compare():
            from jaxsci.runs import comparison

            comparison.show(command.runs)
        case Data(action=action):
            _data(action)


def _bench(name: str, *arguments: str) -> None:
    """Hand over to a benchmark, which lies beside the package in a checkout."""
    import importlib

    root = Path(jaxsci.__file__).resolve().parents[1]
    known = ("convolution", "training", "sphere")
    if name not in known:
        raise InputError(f"bench: expected one of {', '.join(known)}, got {name}; see jaxsci bench --help")
    if not (root / "benchmarks" / "machine.py").is_file():
        raise InputError(
            f"{root}: expected the folder benchmarks beside the package, as in a checkout of the source; "
            "install from one with pip install -e ."
        )
    import jax

    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured
    sys.path.insert(0, str(root))
    package = root / "benchmarks" / name
    module = f"benchmarks.{name}.main" if package.is_dir() else f"benchmarks.{name}"
    raise SystemExit(importlib.import_module(module).main(arguments))


def _train(options: TrainTopTagging | TrainImages | TrainSuperconductors) -> None:
    import dataclasses

    from jaxsci.tasks.images import task as images
    from jaxsci.tasks.superconductors import task as superconductors
    from jaxsci.tasks.top_tagging import task as top_tagging

    place = options.place
    task: Any = {TrainTopTagging: top_tagging, TrainImages: images, TrainSuperconductors: superconductors}[
        type(options)
    ]
    if task is superconductors:
        _use_all_cores()
    with _progress() as progress:
        if place.resume is not None:
            folder = task.resume(place.resume, progress)
        else:
            values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name != "place"}
            if isinstance(options, TrainSuperconductors):
                values |= _superconductor_files(options)
                del values["data"]
            folder = task.train(task.Options(**values), place.runs, place.name, progress)
    print(folder / "report.html")


def _use_all_cores() -> None:
    """A device for each core, over which the members of an ensemble are split; too late where JAX has already started."""
    import contextlib

    import jax

    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def _superconductor_files(options: TrainSuperconductors) -> dict[str, Any]:
    from jaxsci.data.materials.superconductors import FILES

    fetched = {name: partial(_fetched, "superconductors", file) for name, file in FILES.items()}
    with_more = options.more and options.model == "best"
    files: dict[str, Any] = {
        "more": fetched["nims"]() if with_more and options.data is None and options.table == "stanev" else None,
        "measured": options.data or fetched[options.table](),
        "elements": _fetched("elements", "mendeleev_v0.6.0_elements.db"),
        "tested": fetched["hosono"](),
    }
    if options.data is not None:
        files["table"] = "own"
    if options.target == "class":
        files |= {"presumed": fetched["cod"](), "unreported": fetched["stanev"]()}
    return files


def _predict_superconductors(command: PredictSuperconductors) -> None:
    from jaxsci.tasks.superconductors import predict as prediction

    tables = [text for text in command.formulas if text.endswith(prediction.TABLES)]
    if not tables:
        prediction.show(*prediction.predict(command.formulas, command.run, skip_bad=command.skip_bad))
        return
    if len(command.formulas) > 1 or command.out is None:
        raise InputError(
            f"{tables[0]}: expected one table and --out, got {len(command.formulas)} names; give --out FILE.csv"
        )
    with _progress() as progress:
        bad = prediction.predict_table(
            Path(tables[0]),
            command.run,
            command.out,
            progress,
            skip_bad=command.skip_bad,
            explain=command.contributions,
        )
    print(command.out, prediction.reasons(bad))


def _fit(options: FitCmb | FitEarth | FitDimuon) -> None:
    import dataclasses

    from jaxsci.tasks.cmb import task as cmb
    from jaxsci.tasks.dimuon import task as dimuon
    from jaxsci.tasks.earth import task as earth

    task: Any = {FitCmb: cmb, FitEarth: earth, FitDimuon: dimuon}[type(options)]
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name != "place"}
    with _progress() as progress:
        folder = task.fit(task.Options(**values | _files(options)), options.place.runs, options.place.name, progress)
    print(folder / "report.html")


def _files(options: FitCmb | FitEarth | FitDimuon) -> dict[str, Any]:
    """The files of a fit: the user's own, or those of the data sets."""
    match options:
        case FitCmb():
            planck = "COM_PowerSpect_CMB-{}_R3.01.txt".format
            theory = _fetched("sphere", planck("base-plikHM-TTTEEE-lowl-lowE-lensing-minimum-theory"))
            files: dict[str, Any] = {"theory": theory, "planck": _fetched("sphere", planck("TT-full"))}
            if options.data is None:
                files["data"] = _fetched("sphere", "wmap_band_iqumap_r9_7yr_W_v4_udgraded32.fits")
                files["mask"] = options.mask or _fetched(
                    "sphere", "wmap_temperature_analysis_mask_r9_7yr_v4_udgraded32.fits"
                )
                files["unit"] = "mK"  # which the file does not say
            return files
        case FitEarth() if options.data is None:
            grid = options.grid or _fetched("sphere", "earth_topo_180x360.dat.gz")
            return {"data": _fetched("sphere", "earth_srtmp300.msl"), "grid": grid}
        case FitDimuon() if options.data is None:
            return {"data": _fetched("collider", "uproot-Zmumu.root")}
    return {}


def _fetched(name: str, file: str) -> Path:
    from jaxsci.data import download

    return download.find(name, file, folder=_data_folder())


def _data_folder() -> Path | None:
    return Path(os.environ["JAXSCI_DATA"]) if "JAXSCI_DATA" in os.environ else None


def _task_of(folder: Path) -> Any:
    from jaxsci.runs import folder as runs
    from jaxsci.tasks.images import task as images
    from jaxsci.tasks.superconductors import task as superconductors
    from jaxsci.tasks.top_tagging import task as top_tagging

    task = runs.read_config(folder)["task"]
    known = {top_tagging.TASK: top_tagging, images.TASK: images, superconductors.TASK: superconductors}
    if task in FITS:
        raise InputError(
            f"{folder}: expected a trained run, got a fit of {task}, which has no test part; its results are in "
            f"{folder / 'report.html'}, and jaxsci fit {task} --data FILE fits other data"
        )
    if task not in known:
        raise InputError(
            f"{folder}: expected a run of {' or '.join(known)}, got one of {task}; use the version that made it"
        )
    return known[task]


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

            generate_jets(
                action.out,
                n=action.n,
                seed=action.seed,
                detector=action.detector,
                processes=action.processes,
                compact=action.compact,
            )
            print(action.out)


@contextmanager
def _progress() -> Iterator[Callable[[str, float, str], None]]:
    """A bar a stage on the error stream, with the time it took or still takes."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        stages: dict[str, Any] = {}

        def progress(stage: str, fraction: float, words: str) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=1.0, words=words)
            bars.update(stages[stage], completed=fraction, words=words)

        yield progress


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        remedy = {
            errno.ENOSPC: "free some disk space and run the command again; nothing was left half-written",
            errno.EACCES: "choose a place you may write to and files you may read",
            errno.ENOENT: "check the path",
        }.get(error.errno, "see --debug for details")
        return f"{where}{os.strerror(error.errno)}; {remedy}"
    return " ".join(str(error).split())


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
