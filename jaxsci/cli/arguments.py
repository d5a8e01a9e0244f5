"""What a user writes after `jaxsci`: a class for each command, whose fields are its options and whose docstrings are its help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg, subcommand


@dataclass(frozen=True)
class NewRun:
    """Where a run goes."""

    runs: Path = Path("runs")
    """Folder of all runs."""
    name: str | None = None
    """Name of the run; without one a free one is chosen."""


@dataclass(frozen=True)
class Place(NewRun):
    """Where a run goes, or which one goes on."""

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
class TrainSuperconductors:
    """Critical temperatures of compositions, or whether they superconduct (`jaxsci data fetch superconductors`, `elements`)."""

    target: Literal["tc", "class"] = "tc"
    """tc: the temperature; class: superconductor or not."""
    split: Literal["random", "composition", "system"] = "random"
    """How the test part is drawn: material by material as published; compositions together; all materials of the same elements together."""
    model: Literal["best", "published"] = "best"
    """published: the Deep Set of npj Comput. Mater. 9, 71, with its training; a member takes a minute an epoch on a slow machine."""
    members: int = 20
    """Trainings with different seeds, whose answers are averaged."""
    influence: int = 10
    """Trainings of the small network whose latent numbers paint the periodic table; 0 leaves the map out."""
    table: Literal["stanev", "nims"] = "stanev"
    """SuperCon as cleaned by Stanev et al., or as exported."""
    more: bool = True
    """Use the compositions that only the export has, too: for Tc in the training part alone, and not with --model published."""
    data: Path | None = None
    """Your own table of measured superconductors in place of SuperCon: columns such as `formula` and `Tc` in K."""
    epochs: Annotated[int | None, arg(metavar="N")] = None
    """Passes over the training materials at most; default: the model's own."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """Materials a step; default: the model's own."""
    prior: Annotated[float | None, arg(metavar="SHARE")] = None
    """Share of superconductors among the materials you will ask for, which sets probabilities and threshold; default: that of the data."""
    seed: int = 42
    """Of the split, the initial weights and the order."""
    place: Place = Place()


@dataclass(frozen=True)
class Train:
    """Train a model and write its run folder with a report."""

    task: (
        Annotated[TrainTopTagging, subcommand("top-tagging")]
        | Annotated[TrainImages, subcommand("images")]
        | Annotated[TrainSuperconductors, subcommand("superconductors")]
    )


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
class PredictSuperconductors:
    """Tc or probability of formulas, with interval and the contribution of each element; also written `predict superconductors`."""

    formulas: tyro.conf.Positional[tuple[str, ...]]
    """Formulas such as MgB2 YBa2Cu3O7, or one table of them (.csv, .tsv, .txt)."""
    run: tuple[Path, ...]
    """Run folder; two to have Tc and probability together."""
    out: Path | None = None
    """.csv, .npz or .h5 to write, for a table."""
    skip_bad: bool = False
    """Go on without formulas that cannot be read, and count them."""
    contributions: bool = False
    """Contributions of the elements for a table too, which takes several times as long."""


@dataclass(frozen=True)
class Compare:
    """A table of runs, the best of each column marked."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders."""


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
    """Noise of a pixel in μK at nside 32 or the map's, if coarser; the default is that of WMAP's W band, from its polarization."""
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
    """Your coefficients, 4 pi normalized without Condon-Shortley phase: rows l m C S (.msl, .txt, .csv), or .npz with C and S [l, m]."""
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
    """Write quantized constituents, about 400 bytes a jet."""


@dataclass(frozen=True)
class Data:
    """List, fetch or generate data."""

    action: (
        Annotated[DataList, subcommand("list")]
        | Annotated[DataFetch, subcommand("fetch")]
        | Annotated[DataGenerate, subcommand("generate")]
    )


Command = (
    Annotated[Train, subcommand("train")]
    | Annotated[Fit, subcommand("fit")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Predict, subcommand("predict")]
    | Annotated[PredictSuperconductors, subcommand("predict-superconductors")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Bench, subcommand("bench")]
)
