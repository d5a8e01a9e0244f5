"""Superconductors: an ensemble that says at which temperature a composition superconducts, or whether it does, and how sure it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsci.core import Batch, Key, Params
from jaxsci.data.materials import elements
from jaxsci.data.materials import superconductors as sc
from jaxsci.data.materials.compositions import dense
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.errors import InputError
from jaxsci.files import write_json
from jaxsci.runs import folder as runs
from jaxsci.runs.folder import Training
from jaxsci.runs.task import Find, OnProgress, Session, Task, silent
from jaxsci.tasks.superconductors import ensemble as predictors
from jaxsci.tasks.superconductors import evaluation as superconductor_evaluation
from jaxsci.tasks.superconductors import influence as influences
from jaxsci.tasks.superconductors import predict as superconductor_prediction
from jaxsci.tasks.superconductors import report as superconductor_report
from jaxsci.tasks.superconductors.calibration import calibrated, outputs_of
from jaxsci.tasks.superconductors.networks import (
    TABLES,
    Network,
    make_recipe,
    network,
    to_kelvin,
    to_units,
)
from jaxsci.tasks.superconductors.options import Options, Questions
from jaxsci.tasks.superconductors.predict import TASK as NAME
from jaxsci.tasks.superconductors.samples import Sample, Sources, describe, read_class, read_tc
from jaxsci.training import EpochProgress, Recipe

INFLUENCE_FILE = "influence.json"
CALIBRATION_FILE = "calibration.json"


class Files(NamedTuple):
    """What is read: the user's own table or SuperCon, and the data sets beside it."""

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


def train(options: Options, session: Session) -> Path:
    """Train an ensemble in a new run folder, calibrate it on the validation part, evaluate it and write the report.

    Returns:
        The run folder.

    Raises:
        InputError: a file or an option cannot be used; no run folder is left behind.
    """
    files = find_files(options, session.find)
    job = prepare(options, files, session.progress)
    folder = runs.new_folder(session, NAME, f"{options.target}-{options.split}")
    data = describe(job.sample, files.sources, options.split, options.seed)
    data["files"]["elements"] = str(files.elements)
    runs.write_config(folder, NAME, options, data)
    return _train(folder, job, session.progress, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped."""
    return _train(folder, prepare(*read_run(folder), session.progress), session.progress, resume=True)


def prepare(options: Options, files: Files, progress: OnProgress) -> Job:
    """Read the tables and build the network."""
    if options.influence < 0:
        raise InputError(f"--influence: expected a number of trainings, got {options.influence}; 0 leaves the map out")
    runs.require_positive(options, "members", "epochs", "batch_size", "prior")
    if options.prior is not None and options.prior >= 1:
        raise InputError(
            f"--prior: expected a share between 0 and 1, got {options.prior}; leave it out for the default"
        )
    if options.prior is not None and options.target == "tc":
        raise InputError(
            "--prior: expected with --target class, got --target tc, which has no probability; leave it out"
        )
    progress("reading materials", 0.0, "")
    if options.target == "tc":
        sample = read_tc(files.sources, options.split, options.seed)
    else:
        sample = read_class(files.sources, options.split, options.seed, published=options.model == "published")
    table = elements.standardized(elements.table(TABLES[options.model], files.elements))
    net = network(options.model, options.target, table)
    settings = replace(
        net.settings,
        epochs=options.epochs or net.settings.epochs,
        batch_size=min(options.batch_size or net.settings.batch_size, len(sample.parts[0])),
    )
    progress("reading materials", 1.0, f"{len(sample.tc):,} materials")
    keys = jax.random.split(jax.random.key(options.seed), options.members)
    return Job(options, files, sample, table, net._replace(settings=settings), over_devices(keys))


def over_devices(keys: Key) -> Key:
    """The keys split over as many devices as divide their number, so that each device trains its share of the members."""
    devices = jax.devices()
    number = max(n for n in range(1, len(devices) + 1) if len(keys) % n == 0)
    if number == 1:
        return keys
    return jax.device_put(keys, NamedSharding(Mesh(np.array(devices[:number]), ("member",)), PartitionSpec("member")))


def batch(job: Job, rows: np.ndarray) -> Batch:
    """These materials with their targets: Tc in the network's units, or 1 for a superconductor."""
    sample = job.sample
    target = to_units(sample.tc) if job.options.target == "tc" else sample.superconducting
    return Batch(
        jnp.asarray(sample.amounts[rows]), jnp.asarray(target[rows], jnp.float32), jnp.ones(len(rows), jnp.float32)
    )


def _train(folder: Path, job: Job, progress: OnProgress, *, resume: bool) -> Path:
    parts = (batch(job, job.sample.parts[0]), batch(job, job.sample.parts[1]))
    recipe = make_recipe(job.network, job.options.target, len(parts[0].weight))
    settings = job.network.settings
    result = runs.train(folder, Training(recipe, settings, job.keys), parts, resume=resume, progress=progress)
    params = _here(result.params)
    progress("calibrating", 0.0, "")
    options = job.options
    predictor, calibration = calibrated(
        job.network, params, job.sample, job.table, target=options.target, prior=options.prior, seed=options.seed
    )
    write_json(folder / CALIBRATION_FILE, calibration)
    predictors.save(predictor, folder / predictors.FILE)
    progress("calibrating", 1.0, "")
    if job.options.influence:
        write_json(folder / INFLUENCE_FILE, influences.as_record(_influence(job, parts, progress)))
    _evaluate(folder, job, params, result.history, progress)
    return folder


def _influence(job: Job, parts: tuple[Batch, Batch], progress: OnProgress) -> influences.Influence:
    """X of the elements, by networks that see fractions: of the amounts as written, large formulas would count more."""

    def on_progress(now: EpochProgress) -> None:
        done = (now.epoch - 1 + now.fraction) / last
        progress("influence of elements", 0.99 * min(done, 1), f"epoch {now.epoch} of {last}")

    train, validation = (part._replace(x=part.x / jnp.sum(part.x, axis=1, keepdims=True)) for part in parts)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(job.options.seed), 2), job.options.influence)
    table = elements.standardized(elements.table(TABLES["influence"], job.files.elements))
    last = min(job.options.epochs or influences.EPOCHS, influences.EPOCHS)
    found = influences.influence(
        train, validation, job.options.target, table, keys=over_devices(keys), epochs=last, progress=on_progress
    )
    progress("influence of elements", 1.0, "")
    return found


def trained(folder: Path) -> tuple[Job, Params, list[dict[str, Any]]]:
    """The job of a run, the parameters of its members' best epochs, and its history."""
    job = prepare(*read_run(folder), silent)

    def recipe() -> Recipe:
        return make_recipe(job.network, job.options.target, len(job.sample.parts[0]))

    return job, *runs.trained(folder, job.network.model, recipe, job.keys)


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


def predict(folder: Path, source: Path, out: Path, session: Session) -> None:
    """Write the predictions for every formula of a table."""
    superconductor_prediction.predict_table(source, [folder], out, session.progress)


def ask(questions: Questions, session: Session) -> str:
    """Answer `jaxsci predict superconductors`: print a table of formulas, or write the predictions for a file of them.

    Returns:
        What to print at the end.
    """
    prediction = superconductor_prediction
    tables = [text for text in questions.formulas if text.endswith(prediction.TABLES)]
    if not tables:
        prediction.show(*prediction.predict(questions.formulas, questions.run, skip_bad=questions.skip_bad))
        return ""
    if len(questions.formulas) > 1 or questions.out is None:
        raise InputError(
            f"{tables[0]}: expected one table and --out, got {len(questions.formulas)} names; give --out FILE.csv"
        )
    bad = prediction.predict_table(
        Path(tables[0]),
        questions.run,
        questions.out,
        session.progress,
        skip_bad=questions.skip_bad,
        explain=questions.contributions,
    )
    return f"{questions.out} {prediction.reasons(bad)}".rstrip()


def evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    """Evaluate a trained run again on its test part and on Hosono's list.

    Returns:
        The path of the report.

    Raises:
        InputError: another file is given; a table of formulas is predicted with `jaxsci predict superconductors`.
    """
    if data is not None:
        raise InputError(
            f"{data}: expected no other file for a run of {NAME}, got one; use jaxsci predict superconductors {data} --run {folder}"
        )
    job, params, history = trained(folder)
    _evaluate(folder, job, params, history, session.progress)
    return folder / "report.html"


def _evaluate(folder: Path, job: Job, params: Params, history: list[dict[str, Any]], progress: OnProgress) -> None:
    """Write evaluation.json, the figures and the report."""
    progress("evaluating", 0.0, "")
    predictor = predictors.load(folder / predictors.FILE)
    calibration = runs.read_json(folder / CALIBRATION_FILE, "train the run again")
    test = job.sample.parts[2]
    amounts, tc = job.sample.amounts[test], job.sample.tc[test]
    answers = predictors.answer(predictor, amounts)
    seed = job.options.seed
    result: dict[str, Any] = {
        "task": NAME,
        "target": job.options.target,
        "model": job.options.model,
        "members": job.options.members,
        "part": "test",
        "materials": len(test),
    }
    tested = job.sample.tested
    on_list = None if tested is None else predictors.answer(predictor, dense(tested.compositions, ELEMENTS))
    if job.options.target == "tc":
        result["metrics"] = superconductor_evaluation.of_tc(answers, _members_tc(job, params, amounts), tc, seed)
        if tested is not None and on_list is not None:
            rows = tested.tc > 0
            listed = dense(tested.compositions, ELEMENTS)[rows]
            found = {name: values[rows] for name, values in on_list.items()}
            result["list"] = superconductor_evaluation.of_tc(
                found, _members_tc(job, params, listed), tested.tc[rows], seed
            )
    else:
        threshold = calibration["threshold"]
        truth = job.sample.superconducting[test]
        result["metrics"] = superconductor_evaluation.of_class(answers, truth, threshold, seed)
        if tested is not None and on_list is not None:
            result["list"] = superconductor_evaluation.of_class(on_list, tested.tc > 0, threshold, seed)
    write_json(folder / "evaluation.json", result)
    progress("evaluating", 0.5, "figures")
    latent = _latent(job, params, amounts)
    influence = None
    if job.options.influence:
        influence = influences.from_record(runs.read_json(folder / INFLUENCE_FILE, "train the run again"))
    shown = superconductor_report.Shown(answers, on_list, latent, influence)
    superconductor_report.write(folder, result, job.sample, shown, history)
    progress("evaluating", 1.0, "")


def _members_tc(job: Job, params: Params, amounts: np.ndarray) -> np.ndarray:
    """Tc in K of each member alone, [member, material]."""
    outputs = outputs_of(job.network, params, amounts)
    middle = outputs if outputs.ndim == 2 else outputs[..., outputs.shape[-1] // 2]
    return np.asarray(to_kelvin(jnp.asarray(middle)))


def _latent(job: Job, params: Params, amounts: np.ndarray) -> np.ndarray:
    """The latent space of the first member, [material, latent]."""
    first = jax.tree.map(lambda leaf: leaf[0], params)
    return np.asarray(jax.jit(jax.vmap(job.network.embed, in_axes=(None, 0)))(first, jnp.asarray(amounts)))


def _here(params: Params) -> Params:
    """The parameters of all members on one device."""
    return jax.device_put(jax.tree.map(np.asarray, params))


TASK = Task(
    NAME,
    train,
    resume=resume,
    evaluate=evaluate,
    predict=predict,
    ask=ask,
    headline=("metrics/rmse", "metrics/r2", "metrics/accuracy", "metrics/f1", "metrics/auc"),
    lower_is_better=("rmse", "mae", "interval_width", "log_loss", "calibration_error"),
    splits_over_cores=True,
)
