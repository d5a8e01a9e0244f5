"""What a user writes after `jaxsci`: a class for each command, whose fields are its options and whose docstrings are its help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg, subcommand


@dataclass(frozen=True, kw_only=True)
class Form:
    """In which form results are printed: JSON, CSV, or by default a table."""

    json: bool = False
    """Print JSON."""
    csv: bool = False
    """Print CSV."""


@dataclass(frozen=True)
class NewRun:
    """Where a run goes."""

    runs: Path = Path("runs")
    """Folder of all runs."""
    name: str | None = None
    """Name of the run; without one a free one is chosen."""
    config: Annotated[Path | None, arg(metavar="FILE.toml")] = None
    """Options in a file; those on the command line go first."""
    save_config: Annotated[Path | None, arg(metavar="FILE.toml")] = None
    """Write all options to this file, for --config, before the run begins."""


@dataclass(frozen=True)
class Place(NewRun):
    """Where a run goes, or which one goes on."""

    resume: Path | None = None
    """Go on with this run folder where it was stopped; all other options are those it was started with."""
    checkpoint_minutes: float | None = None
    """Minutes between checkpoints, also within long epochs; without it one after every epoch, as long as that takes little time."""
    devices: int | None = None
    """Split every batch over so many devices; by default one, or all where there are several processes."""
    device_memory: Annotated[str | None, arg(metavar="SIZE")] = None
    """Split every batch into as many microbatches as a device of this memory asks for, such as 16GB."""
    profile: bool = False
    """Say on the page where the time of the training went, and write a trace of a few steps, trace.json.gz, for ui.perfetto.dev."""
    distributed: bool = False
    """This is one of several processes of a batch system: SLURM, Open MPI, a TPU pod."""
    coordinator: str | None = None
    """HOST:PORT of process 0, where no batch system says it; needs --processes and --process."""
    processes: int | None = None
    """How many processes there are."""
    process: int | None = None
    """Which of them this is, from 0."""
    coordinator_timeout: int = 120
    """Seconds to wait for the other processes."""
    trust: bool = False
    """With --resume: execute the network that comes with the run, though it was never trained with here."""

    @property
    def unused(self) -> dict[str, str]:
        """Options that have no effect beside the others, by the names of their fields, and with or without what."""
        alone = not self.distributed and self.coordinator is None
        return {
            **(
                {"trust": "without --resume"}
                if self.resume is None
                else dict.fromkeys(("name", "runs"), "with --resume")
            ),
            **({"coordinator_timeout": "without --distributed or --coordinator"} if alone else {}),
        }


@dataclass(frozen=True)
class SweepPlace(Form):
    """How the trials are drawn and where they go."""

    trials: Annotated[int, arg(metavar="N")] = 16
    """Trainings; fewer where lists have no more combinations. Ranges LOW:HIGH are drawn evenly in the logarithm."""
    halving: bool = True
    """After 1/8, 1/4 and 1/2 of the epochs, or as many such rungs as the trials last, the better half goes on; otherwise all to the end."""
    runs: Path = Path("runs")
    """Folder of all runs; the sweep goes to its folder `sweeps`."""
    name: str | None = None
    """Name of the sweep; without one a free one is chosen."""
    config: Annotated[Path | None, arg(metavar="FILE.toml")] = None
    """Options in a file; those on the command line go first."""
    resume: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Go on with this sweep where it was stopped; all other options are those it was started with."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a trained run again, on its own test part or on another file.

    Example: jaxsci evaluate runs/top-tagging/pfn-1 --data mine.npz
    """

    run: Annotated[tyro.conf.Positional[Path], arg(metavar="RUN")]
    """Run folder."""
    data: Path | None = None
    """Another file with labels; all of it is used. Its results go to RUN/evaluations/."""
    trust: bool = False
    """Execute the network that comes with the run, though it was never trained with here."""


@dataclass(frozen=True)
class Predict(Form):
    """Scores of a trained run for every example of a file, streamed to a file or printed.

    Example: jaxsci predict runs/top-tagging/pfn-1 mine.npz --out scores.csv
    """

    run: Annotated[tyro.conf.Positional[Path], arg(metavar="RUN")]
    """Run folder."""
    file: Annotated[tyro.conf.Positional[Path], arg(metavar="FILE")]
    """Examples, as for training; labels are not needed."""
    out: Path | None = None
    """.csv, .npz or .h5 to write; without it the predictions are printed."""
    trust: bool = False
    """Execute the network that comes with the run, though it was never trained with here."""


@dataclass(frozen=True)
class Study:
    """What the gradients of a trained run say: curvature, noise, and the training examples that help and harm it most.

    Example: jaxsci study runs/images/cnn-1 --json
    """

    run: Annotated[tyro.conf.Positional[Path], arg(metavar="RUN")]
    """Run folder. Its study.html and study.json are written anew; a study that was stopped goes on where it was."""
    max_examples: Annotated[int, arg(metavar="N")] = 1000
    """Training examples, and validation examples, to compute everything on; the time grows with them."""
    json: bool = False
    """Print what study.json holds instead of the path of the page."""


@dataclass(frozen=True)
class Export:
    """Write the network of a trained run as one file that is read without this library.

    Example: jaxsci export runs/top-tagging/pfn-1 --out pfn.npz --format npz
    """

    run: Annotated[tyro.conf.Positional[Path], arg(metavar="RUN")]
    """Run folder."""
    out: Path
    """File to write."""
    format: Literal["jax", "npz", "onnx"] = "jax"
    """jax: a program that needs JAX alone (jax.export); npz: operations and arrays, with a reader beside them that needs NumPy alone; onnx:
    a file of ONNX, which needs the extra [onnx] to be written."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """The only batch size it then takes; default: any."""
    trust: bool = False
    """Execute the network that comes with the run, though it was never trained with here."""


@dataclass(frozen=True)
class Compare(Form):
    """A table of runs, the best of each column marked.

    Example: jaxsci compare runs/top-tagging/cnn-1 runs/top-tagging/pfn-1
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], arg(metavar="RUN ...", help_behavior_hint="")]
    """Run folders."""


@dataclass(frozen=True)
class Runs(Form):
    """A table of what was run, newest first, with its main figures.

    Example: jaxsci runs --csv
    """

    runs: Path = Path("runs")
    """Folder of all runs."""


@dataclass(frozen=True)
class Completion:
    """Print what a shell needs to complete the words of this command, such as: jaxsci completion bash >> ~/.bash_completion"""

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """Which shell."""


@dataclass(frozen=True)
class DataList:
    """Data sets that can be fetched, and those that come with the package."""


@dataclass(frozen=True)
class DataFetch:
    """Download a data set, checked and resumable.

    Example: jaxsci data fetch sphere
    """

    name: Annotated[tyro.conf.Positional[str], arg(metavar="NAME")]
    """Such as top-tagging."""
    folder: Path | None = None
    """Where to; default: $JAXSCI_DATA, else the user's cache."""


@dataclass(frozen=True)
class DataGenerate:
    """Simulate data.

    Example: jaxsci data generate jets --n 10000 --out mine.h5
    """

    what: tyro.conf.Positional[Literal["jets"]]
    """jets: top quarks and QCD by Pythia 8 and fastjet (needs the extra `hep`)."""
    n: int = 200_000
    """Jets in total, half of each class."""
    seed: int = 2
    """The same jets for the same seed, whatever the number of processes; the sample that comes with the package has seed 1."""
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
