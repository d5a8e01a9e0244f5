"""The command `jaxsci`: the only place that touches jax.config, the environment and default paths."""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import arg, subcommand

import jaxsci
from jaxsci.errors import InputError

# Tasks import jax and a plotting library: only once the arguments are known to be good, so that --help is quick.


@dataclass(frozen=True)
class Place:
    """Where a run goes."""

    runs: Path = Path("runs")
    """Folder of all runs."""
    name: str | None = None
    """Name of the run; without one a free one is chosen, such as cnn-1."""
    resume: Path | None = None
    """Go on with this run folder where it was stopped; all other options are those it was started with."""


@dataclass(frozen=True)
class TrainTopTagging:
    """Tag top quarks among jets; without --data on 30,000 simulated jets that come with the package."""

    tagger: Literal["cnn", "cnn-landscape", "pfn", "efn", "topodnn", "mass"] = "cnn"
    """Which tagger."""
    data: Path | None = None
    """Your jets: .h5 or .npz with `constituents` [jet, constituent, 4] (E, px, py, pz in GeV) or `images`, and `labels` (1 top, 0 QCD)."""
    epochs: Annotated[int | None, arg(metavar="N")] = None
    """Passes over the training jets at most; default: the tagger's own."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """Jets a step; default: the tagger's own."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """Peak learning rate of AdamW; default: the tagger's own."""
    patience: Annotated[int | None, arg(metavar="N")] = None
    """Stop after so many epochs without a lower validation loss; default: train all epochs."""
    max_jets: Annotated[int | None, arg(metavar="N")] = None
    """Use only the first N jets, for a quick look."""
    augment: bool = True
    """Change training jets at random in ways that keep their label."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the matrix products."""
    seed: int = 1
    """Of the split, the initial weights, the order and the augmentation."""
    place: Place = Place()


@dataclass(frozen=True)
class TrainImages:
    """Classify images of your own, or compress them with an autoencoder."""

    data: Annotated[Path | None, arg(metavar="FILE")] = None
    """.npz with `x` [image, height, width(, channel)] and `y` [image], or gzipped IDX images."""
    labels: Path | None = None
    """IDX labels; default: the file beside the images with `labels-idx1` in its name."""
    model: Literal["dense", "cnn", "autoencoder"] = "cnn"
    """Which network."""
    latent: int = 8
    """Numbers in the autoencoder's code."""
    epochs: int = 10
    """Passes over the training images at most."""
    batch_size: int = 128
    """Images a step."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    patience: Annotated[int | None, arg(metavar="N")] = None
    """Stop after so many epochs without a lower validation loss; default: train all epochs."""
    seed: int = 1
    """Of the split, the initial weights and the order."""
    place: Place = Place()


@dataclass(frozen=True)
class Train:
    """Train a model and write its run folder with a report."""

    task: Annotated[TrainTopTagging, subcommand("top-tagging")] | Annotated[TrainImages, subcommand("images")]


@dataclass(frozen=True)
class Bench:
    """Measure how fast the library is on this machine; each benchmark has options of its own, see jaxsci bench convolution --help."""

    what: tyro.conf.Positional[Literal["convolution", "training", "sphere"]]
    """Which benchmark; they come with the source, not with the installed package."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a trained run again, on its own test part or on another file."""

    run: tyro.conf.Positional[Path]
    """Run folder."""
    data: Path | None = None
    """Another file with labels; all of it is used. Its results go to RUN/evaluations/."""


@dataclass(frozen=True)
class Predict:
    """Scores of a trained run for every example of a file, streamed."""

    run: tyro.conf.Positional[Path]
    """Run folder."""
    file: tyro.conf.Positional[Path]
    """Examples, as for training; labels are not needed."""
    out: Path
    """.csv, .npz or .h5 to write."""


@dataclass(frozen=True)
class Compare:
    """A table of runs, the best of each column marked."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders."""


@dataclass(frozen=True)
class NewRun:
    """Where a fit goes."""

    runs: Path = Path("runs")
    """Folder of all runs."""
    name: str | None = None
    """Name of the run; without one a free one is chosen."""


@dataclass(frozen=True)
class FitDimuon:
    """Mass and width of the Z boson from muon pairs; without --data on 500 collisions of CMS (`jaxsci data fetch collider`)."""

    data: Path | None = None
    """Your muon pairs: .root, .csv or .npz with `M` in GeV, or E1, px1, py1, pz1, E2, ...; `Q1`, `Q2`, `Run`, `Event`, `Type` are used."""
    tree: str | None = None
    """Name of the tree in a ROOT file with several."""
    window: tuple[float, float] = (60.0, 120.0)
    """Range of masses in GeV."""
    radiation: bool = True
    """Let the muons radiate photons, as quantum electrodynamics predicts; the other shape is fitted for comparison."""
    scale: float = 1.0
    """Momentum scale of the detector, by which the masses are divided."""
    scale_error: float = 0.002
    """Its relative error; the default is that of CMS in 2010 (JINST 7, P10002)."""
    simulations: int = 200
    """Simulated samples to fit, which test the errors."""
    seed: int = 1
    """Of the simulated samples."""
    place: NewRun = NewRun()


@dataclass(frozen=True)
class FitCmb:
    """The microwave sky in spherical harmonics, its spectrum and peaks; without --data that of WMAP (`jaxsci data fetch sphere`)."""

    data: Path | None = None
    """Your HEALPix map: .fits, or .npz with `map` [pixel]."""
    mask: Path | None = None
    """Mask of the same nside, 1 where the map is used; default: that of WMAP for its map, none for yours."""
    unit: Literal["uK", "mK", "K"] | None = None
    """Unit of a map that does not say it."""
    noise: float = 6.0
    """Noise of a pixel in μK at nside 32 or the map's, if coarser; the default is that of WMAP's W band, from its polarisation."""
    lmax: int = 48
    """Highest degree of the coefficients."""
    free: int = 4
    """Degrees up to this one have no prior."""
    simulations: int = 200
    """Simulated skies, for the errors of the spectrum."""
    model: Literal["harmonics", "dense"] = "harmonics"
    """dense: fit a dense network to the same sky as well, and compare."""
    epochs: int = 300
    """Of the network."""
    seed: int = 1
    """Of the simulated skies, the split of the pixels and the network."""
    place: NewRun = NewRun()


@dataclass(frozen=True)
class FitEarth:
    """The relief of the Earth in spherical harmonics; without --data to degree 300 (`jaxsci data fetch sphere`)."""

    data: Path | None = None
    """Your coefficients, 4 pi normalised without Condon-Shortley phase: rows l m C S (.msl, .txt, .csv), or .npz with C and S [l, m]."""
    grid: Path | None = None
    """Heights in km of 180 x 360 cells, north first, from 180 degrees west, to be fitted; default: that of the data set, without --data."""
    lmax: int = 300
    """Highest degree to use."""
    grid_lmax: int = 120
    """Highest degree of the fit to the grid."""
    place: NewRun = NewRun()


@dataclass(frozen=True)
class Fit:
    """Fit explicit bases and shapes, with error bars, and write a run folder with a report."""

    task: (
        Annotated[FitCmb, subcommand("cmb")]
        | Annotated[FitEarth, subcommand("earth")]
        | Annotated[FitDimuon, subcommand("dimuon")]
    )


@dataclass(frozen=True)
class DataList:
    """Data sets that can be fetched, and those that come with the package."""


@dataclass(frozen=True)
class DataFetch:
    """Download a data set, checked and resumable."""

    name: tyro.conf.Positional[str]
    """Such as top-tagging."""
    folder: Path | None = None
    """Where to; default: $JAXSCI_DATA, else the user's cache."""


@dataclass(frozen=True)
class DataGenerate:
    """Simulate data."""

    what: tyro.conf.Positional[Literal["jets"]]
    """jets: top quarks and QCD by Pythia 8 and fastjet (needs the extra `hep`)."""
    n: int = 200_000
    """Jets in total, half of each class."""
    seed: int = 1
    """The same jets for the same seed, whatever the number of processes."""
    out: Path = Path("jets.h5")
    """File to write; an interrupted generation goes on from the chunks beside it."""
    detector: bool = False
    """Pass the particles through a fast ATLAS-like detector."""
    processes: Annotated[int | None, arg(metavar="N")] = None
    """Default: one a core."""
    compact: bool = False
    """Write quantised constituents, about 400 bytes a jet."""


@dataclass(frozen=True)
class Data:
    """List, fetch or generate data."""

    action: (
        Annotated[DataList, subcommand("list")]
        | Annotated[DataFetch, subcommand("fetch")]
        | Annotated[DataGenerate, subcommand("generate")]
    )


FITS = ("cmb", "earth", "dimuon")  # tasks of `jaxsci fit`

Command = (
    Annotated[Train, subcommand("train")]
    | Annotated[Fit, subcommand("fit")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Predict, subcommand("predict")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Bench, subcommand("bench")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, with 2 and one line on what to do, or with 130 when interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
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
            with _progress() as report:
                print(_task_of(command.run).evaluate(command.run, command.data, report))
        case Predict():
            with _progress() as report:
                _task_of(command.run).predict(command.run, command.file, command.out, report)
            print(command.out)
        case Compare():
            from jaxsci.tasks import comparison

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
    if not (root / "benchmarks" / f"{name}.py").is_file():
        raise InputError(
            f"{root}: expected the folder benchmarks beside the package, as in a checkout of the source; "
            "install from one with pip install -e ."
        )
    import jax

    jax.config.update("jax_enable_compilation_cache", False)  # compile times are measured
    sys.path.insert(0, str(root))
    raise SystemExit(importlib.import_module(f"benchmarks.{name}").main(arguments))


def _train(options: TrainTopTagging | TrainImages) -> None:
    import dataclasses

    from jaxsci.tasks import images, top_tagging

    place = options.place
    task: Any = top_tagging if isinstance(options, TrainTopTagging) else images
    with _progress() as report:
        if place.resume is not None:
            folder = task.resume(place.resume, report)
        else:
            values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name != "place"}
            folder = task.train(task.Options(**values), place.runs, place.name, report)
    print(folder / "report.html")


def _fit(options: FitCmb | FitEarth | FitDimuon) -> None:
    import dataclasses

    from jaxsci.tasks import cmb, dimuon, earth

    task: Any = {FitCmb: cmb, FitEarth: earth, FitDimuon: dimuon}[type(options)]
    values = {f.name: getattr(options, f.name) for f in dataclasses.fields(options) if f.name != "place"}
    with _progress() as report:
        folder = task.fit(task.Options(**values | _files(options)), options.place.runs, options.place.name, report)
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
    from jaxsci.tasks import images, runs, top_tagging

    task = runs.read_config(folder)["task"]
    known = {top_tagging.TASK: top_tagging, images.TASK: images}
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
            from jaxsci.data.generate import generate_jets

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

        def report(stage: str, fraction: float, words: str) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=1.0, words=words)
            bars.update(stages[stage], completed=fraction, words=words)

        yield report


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
