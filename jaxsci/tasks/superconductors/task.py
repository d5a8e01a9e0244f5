"""Superconductors: the critical temperature of a composition, or whether it superconducts, with calibrated uncertainty."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Batch, Params
from jaxsci.data.materials import elements
from jaxsci.data.materials.compositions import dense, identities, taken
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import seen
from jaxsci.runs.folder import Training
from jaxsci.runs.task import Answer, OnProgress, Session, Task, silent
from jaxsci.runs.training import refuse_devices
from jaxsci.tasks.superconductors import evaluation as superconductor_evaluation
from jaxsci.tasks.superconductors import influence as influences
from jaxsci.tasks.superconductors import predict as superconductor_prediction
from jaxsci.tasks.superconductors import report as superconductor_report
from jaxsci.tasks.superconductors.ensemble import answer, nearest, prediction
from jaxsci.tasks.superconductors.ensemble import files as ensemble_files
from jaxsci.tasks.superconductors.ensemble.calibration import calibrated
from jaxsci.tasks.superconductors.inputs import (
    NAME,
    Job,
    batch,
    described,
    find_files,
    over_devices,
    prepare,
    read_again,
    read_run,
)
from jaxsci.tasks.superconductors.networks import TABLES, Network, make_recipe, to_kelvin
from jaxsci.tasks.superconductors.options import Options, Questions
from jaxsci.tasks.superconductors.predict import load
from jaxsci.tasks.superconductors.samples import Sample, left_out, read_asked
from jaxsci.tasks.superconductors.study.run import study
from jaxsci.training import EpochProgress

INFLUENCE_FILE = "influence.json"
CALIBRATION_FILE = "calibration.json"


def train(options: Options, session: Session) -> Path:
    """Train an ensemble in a new run folder, calibrate it on the validation split, evaluate it and write the report.

    Returns:
        The run folder.

    Raises:
        InputError: a file or an option cannot be used; no run folder is left behind.
    """
    refuse_devices(session.execution)
    job = prepare(options, find_files(options, session.find), session.progress)
    with runs.whole_folder(session, NAME, f"{options.target}-{options.split}") as folder:
        params = jax.eval_shape(job.network.model.init, jax.random.key(0))
        chosen = {"parameters": sum(leaf.size for leaf in jax.tree.leaves(params)), "members": options.members}
        runs.write_config(folder, NAME, options, described(job), chosen)
        known = np.concatenate(job.sample.splits[:2])
        seen.save(folder, identities(taken(job.sample.compositions, known)))
    return _train(folder, job, session, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped."""
    return _train(folder, read_again(folder, session.progress), session, resume=True)


def _train(folder: Path, job: Job, session: Session, *, resume: bool) -> Path:
    progress = session.progress
    splits = (batch(job, job.sample.splits[0]), batch(job, job.sample.splits[1]))
    recipe = make_recipe(job.network, job.options.target, len(splits[0].weight))
    settings = job.network.settings
    result = runs.train(
        folder,
        Training(recipe, settings, job.keys),
        splits,
        resume=resume,
        progress=progress,
        execution=session.execution,
    )
    params = _here(result.params)
    progress("calibrating", 0.0, "")
    ensemble = calibrated(job.network, params, job.sample, job.table, job.options)
    runs.write_record(folder / CALIBRATION_FILE, _record(ensemble))
    ensemble_files.save(ensemble, folder, job.options.model)
    nearest.save(folder, job.sample)
    progress("calibrating", 1.0, "")
    if job.options.influence:
        runs.write_record(folder / INFLUENCE_FILE, influences.as_record(_influence(job, splits, progress)))
    _evaluate(_Part(folder, folder), job.options, job.sample, job.network, params, progress)
    return folder


def _influence(job: Job, splits: tuple[Batch, Batch], progress: OnProgress) -> influences.Influence:
    """X of the elements, by networks that see atomic fractions, so that the size of the formula unit does not matter."""

    def on_progress(now: EpochProgress) -> None:
        done = (now.epoch - 1 + now.fraction) / last
        progress("influence of elements", 0.99 * min(done, 1), f"epoch {now.epoch} of {last}")

    train, validation = (part._replace(x=part.x / jnp.sum(part.x, axis=1, keepdims=True)) for part in splits)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(job.options.seed), 2), job.options.influence)
    table = elements.standardized(elements.table(TABLES["influence"], job.files.elements))
    last = min(job.options.epochs or influences.EPOCHS, influences.EPOCHS)
    found = influences.influence(
        train, validation, job.options.target, table, keys=over_devices(keys), epochs=last, progress=on_progress
    )
    progress("influence of elements", 1.0, "")
    return found


def predict(folder: Path, source: Path, out: Path, session: Session) -> None:
    """Write the predictions for every formula of a table."""
    superconductor_prediction.predict_table(source, [folder], out, session.progress)


def ask(questions: Questions, session: Session) -> Answer | str:
    """Do `jaxsci predict superconductors`: answer for formulas or a file of them, or write the predictions for a file.

    Returns:
        The predictions, or what to say of the file that was written.
    """
    tables = [text for text in questions.formulas if text.endswith(superconductor_prediction.TABLES)]
    if tables and len(questions.formulas) > 1:
        raise InputError(f"{tables[0]}: expected one table, got {len(questions.formulas)} names; give one at a time")
    if questions.out is None:
        if tables:
            found, bad = superconductor_prediction.predict_rows(
                Path(tables[0]),
                questions.run,
                session.progress,
                skip_bad=questions.skip_bad,
                explain=questions.contributions,
            )
            return answer.answer(found, answer.reasons(bad), questions.run)
        found, refused = superconductor_prediction.predict(
            questions.formulas, questions.run, skip_bad=questions.skip_bad
        )
        return answer.answer(found, refused, questions.run)
    if not tables:
        endings = ", ".join(superconductor_prediction.TABLES)
        raise InputError(
            f"--out {questions.out}: expected a table of formulas ({endings}), got formulas; leave it out, or print them with --csv"
        )
    bad = superconductor_prediction.predict_table(
        Path(tables[0]),
        questions.run,
        questions.out,
        session.progress,
        skip_bad=questions.skip_bad,
        explain=questions.contributions,
    )
    return f"{questions.out} {', '.join(answer.reasons(bad))}".rstrip()


def evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    """Evaluate a trained run again on its test split and on Hosono's list, or on all materials of another table with Tc.

    Returns:
        The path of the report.
    """
    if data is None:
        job = read_again(folder, silent)
        part, params = _Part(folder, folder), load(folder).params
        _evaluate(part, job.options, job.sample, job.network, params, session.progress)
        return folder / "report.html"
    options, _ = read_run(folder)
    sample = read_asked(data, of_class=options.target == "class")
    for line in left_out(sample.cleaning):
        session.progress("reading materials", 1.0, f"note: {line}")
    known = seen.overlap(folder, identities(sample.compositions))
    if known:
        session.progress("reading materials", 1.0, f"warning: {known:,} of these compositions were used in training")
    ensemble = ensemble_files.read(folder / ensemble_files.ARRAYS)
    part = _Part(folder, folder / "evaluations" / data.stem, data.name, known)
    _evaluate(part, options, sample, ensemble.network, ensemble.params, session.progress)
    return part.target / "report.html"


class _Part(NamedTuple):
    """What a run is evaluated on."""

    run: Path
    target: Path  # where results go
    name: str = "test"  # or that of another table
    known: int | None = None  # materials of it whose composition the run was trained or chosen on; None: not known


def _evaluate(
    part: _Part, options: Options, sample: Sample, network: Network, params: Params, progress: OnProgress
) -> None:
    """Write evaluation.json, the figures and the report."""
    folder = part.run
    progress("evaluating", 0.0, "")
    predictor = superconductor_prediction.predictor_of(folder)
    calibration = runs.read_json(folder / CALIBRATION_FILE, "train the run again")
    test = sample.splits[2]
    amounts, of_tc = sample.amounts[test], options.target == "tc"

    def measured(found: dict[str, np.ndarray], amounts: np.ndarray, tc: np.ndarray) -> dict[str, Any]:
        if of_tc:
            return superconductor_evaluation.of_tc(found, _members_tc(network, params, amounts), tc, options.seed)
        return superconductor_evaluation.of_class(found, tc > 0, calibration["threshold"], options.seed)

    predictions = prediction.predict(predictor, amounts)
    result: dict[str, Any] = {
        "task": NAME,
        "target": options.target,
        "model": options.model,
        "members": options.members,
        "part": part.name,
        "known": part.known,
        "materials": len(test),
        "metrics": measured(predictions, amounts, sample.tc[test]),
    }
    on_list = None
    if sample.tested is not None:
        listed, tc = dense(sample.tested.compositions, ELEMENTS), sample.tested.tc
        on_list = prediction.predict(predictor, listed)
        rows = tc > 0 if of_tc else np.ones(len(tc), bool)  # of temperatures those of superconductors
        result["list"] = measured({name: of[rows] for name, of in on_list.items()}, listed[rows], tc[rows])
    runs.write_record(part.target / "evaluation.json", result)
    progress("evaluating", 0.5, "figures")
    influence, latent = None, _latent(network, params, amounts)
    if options.influence and part.name == "test":
        influence = influences.from_record(runs.read_json(folder / INFLUENCE_FILE, "train the run again"))
    shown = superconductor_report.Shown(predictions, on_list, latent, influence)
    superconductor_report.write(part.target, result, sample, shown)
    progress("evaluating", 1.0, "")


def _record(ensemble: prediction.Ensemble) -> dict[str, float]:
    """What was chosen on the validation split, ready for JSON."""
    gp = ensemble.gp
    return ensemble.calibration._asdict() | ({} if gp is None else {"gp_materials": gp.materials})


def _members_tc(network: Network, params: Params, amounts: np.ndarray) -> np.ndarray:
    """Tc in K of each member alone, [member, material]."""
    outputs = prediction.outputs_of(network, params, amounts)
    middle = outputs if outputs.ndim == 2 else outputs[..., outputs.shape[-1] // 2]
    return np.asarray(to_kelvin(jnp.asarray(middle)))


def _latent(network: Network, params: Params, amounts: np.ndarray) -> np.ndarray:
    """The latent space of the first member, [material, latent]."""

    @jax.jit
    def embed(params: Params, amounts: Array) -> Array:
        first = jax.tree.map(lambda leaf: leaf[0], params)
        return jax.vmap(network.embed, in_axes=(None, 0))(first, amounts)

    return np.asarray(embed(params, amounts))


def _here(params: Params) -> Params:
    """The parameters of all members on one device."""
    return jax.device_put(jax.tree.map(np.asarray, params))


TASK = Task(
    NAME,
    train,
    resume=resume,
    evaluate=evaluate,
    load=load,
    predict=predict,
    study=study,
    ask=ask,
    headline=("members", "metrics/rmse", "metrics/r2", "metrics/accuracy", "metrics/f1", "metrics/auc"),
    lower_is_better=("rmse", "mae", "interval_width", "log_loss", "calibration_error"),
    splits_over_cores=True,
)
