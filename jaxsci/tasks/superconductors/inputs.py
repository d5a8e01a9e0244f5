"""What a training of superconductors reads: its files, its materials and its network, from the options of a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsci.core import Batch, Key
from jaxsci.data.materials import elements
from jaxsci.data.materials import superconductors as sc
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import seen, weights
from jaxsci.runs.task import Find, OnProgress
from jaxsci.tasks.superconductors.networks import TABLES, Network, network, to_units
from jaxsci.tasks.superconductors.options import Options
from jaxsci.tasks.superconductors.samples import Sample, Sources, left_out, overlap, read_class, read_tc

NAME = "superconductors"


class Files(NamedTuple):
    """The files of a training: the user's own table or SuperCon, and the data sets that accompany it."""

    sources: Sources
    elements: Path


def find_files(options: Options, find: Find) -> Files:
    """The user's own table of superconductors, or those of the data sets.

    Raises:
        InputError: a file of a data set is missing; the message names the command that fetches it.
    """

    def table(name: str) -> Path:
        return find("superconductors", sc.FILES[name])

    own, with_more = options.data is not None, options.more and options.model == "best"
    classes = options.target == "class"
    sources = Sources(
        measured=options.data or table(options.table),
        table="own" if own else options.table,
        presumed=table("cod") if classes else None,
        more=table("nims") if with_more and not own and options.table == "stanev" else None,
        unreported=table("stanev") if classes else None,
        tested=table("hosono"),
    )
    return Files(sources, find("elements", "mendeleev_v0.6.0_elements.db"))


class Job(NamedTuple):
    """All that training and evaluation need."""

    options: Options
    files: Files
    sample: Sample
    table: np.ndarray  # standardized features of the elements
    network: Network
    keys: Key  # [member]


def prepare(options: Options, files: Files, progress: OnProgress) -> Job:
    """Read the tables and build the network."""
    if options.influence < 0:
        raise InputError(f"--influence: expected a number of trainings, got {options.influence}; 0 leaves the map out")
    runs.require_positive(options, "members", "epochs", "batch_size", "prior")
    if options.prior is not None and options.prior >= 1:
        raise InputError(
            f"--prior: expected a fraction between 0 and 1, got {options.prior}; leave it out for the default"
        )
    if options.prior is not None and options.target == "tc":
        raise InputError(
            "--prior: expected with --target class, got --target tc, which has no probability; leave it out"
        )
    columns = (options.formula_column, options.tc_column)
    if columns != (None, None) and options.data is None:
        raise InputError(
            "--formula-column, --tc-column: expected with --data, got no table of your own; leave them out"
        )
    progress("reading materials", 0.0, "")
    if options.target == "tc":
        sample = read_tc(files.sources, options.split, options.seed, columns)
    else:
        published = options.model == "published"
        sample = read_class(files.sources, options.split, options.seed, columns, published=published)
    for line in left_out(sample.cleaning):
        progress("reading materials", 0.9, f"note: {line}")
    table = elements.standardized(elements.table(TABLES[options.model], files.elements))
    net = network(options.model, options.target, table)
    settings = replace(
        net.settings,
        epochs=options.epochs or net.settings.epochs,
        batch_size=min(options.batch_size or net.settings.batch_size, len(sample.splits[0])),
    )
    progress("reading materials", 1.0, f"{len(sample.tc):,} materials")
    keys = jax.random.split(jax.random.key(options.seed), options.members)
    return Job(options, files, sample, table, net._replace(settings=settings), over_devices(keys))


def described(job: Job) -> dict[str, Any]:
    """What the materials of a run are: files, numbers, the rules of cleaning, and a digest that identifies the data."""
    sample, files = job.sample, {**job.files.sources._asdict(), "elements": job.files.elements}
    return {
        "files": {name: None if value is None else str(value) for name, value in files.items()},
        "materials": len(sample.tc),
        "superconductors": int(sample.superconducting.sum()),
        "cleaning": sample.cleaning,
        "repeatability": sample.repeatability,
        "overlap": overlap(sample),
        "digest": weights.digest(sample.amounts, sample.tc),
        "split": {"name": job.options.split, "fractions": sc.FRACTIONS, "seed": job.options.seed},
    }


def over_devices(keys: Key) -> Key:
    """The keys split over as many devices as divide their number, so that each device trains as many members."""
    devices = jax.devices()
    number = max(n for n in range(1, len(devices) + 1) if len(keys) % n == 0)
    if number == 1:
        return keys
    return jax.device_put(keys, NamedSharding(Mesh(np.array(devices[:number]), ("member",)), PartitionSpec("member")))


def batch(job: Job, indices: np.ndarray) -> Batch:
    """These materials with their targets: Tc in the network's units, or 1 for a superconductor."""
    sample = job.sample
    target = to_units(sample.tc) if job.options.target == "tc" else sample.superconducting
    found = Batch(sample.amounts[indices], target[indices].astype(np.float32), np.ones(len(indices), np.float32))
    return jax.device_put(found)


def read_again(folder: Path, progress: OnProgress) -> Job:
    """What a run was trained with; InputError where its tables no longer hold what they did."""
    job = prepare(*read_run(folder), progress)
    seen.require_same(folder, weights.digest(job.sample.amounts, job.sample.tc))
    return job


def read_run(folder: Path) -> tuple[Options, Files]:
    """The options and the files a run was started with."""
    config = runs.read_config(folder, NAME)
    values, paths = dict(config["options"]), dict(config["data"]["files"])
    if "measured" in values:  # written before the files had a place of their own
        paths["elements"] = values["elements"]
        values = {name: value for name, value in values.items() if name not in (*Sources._fields, "elements")}
        values |= {"table": "stanev" if paths["table"] == "own" else paths["table"], "more": paths["more"] is not None}
        values["data"] = paths["measured"] if paths["table"] == "own" else None
    options = runs.options_of(folder, values, Options, ("data",))
    table = paths.pop("table")
    known: dict[str, Any] = {name: None if path is None else Path(path) for name, path in paths.items()}
    found = known.pop("elements")
    if found is None or known.get("measured") is None:
        raise InputError(f"{folder / 'config.json'}: expected the files of the run, got none; train it again")
    return options, Files(Sources(table=table, **known), found)
