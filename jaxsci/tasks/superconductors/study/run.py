"""The first network of a trained ensemble of superconductors as the subject of a study."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Params
from jaxsci.plots import materials
from jaxsci.runs.page import Drawing
from jaxsci.runs.task import OnProgress, Session
from jaxsci.tasks.study import subject, write
from jaxsci.tasks.study.subject import Entry, Rows, Subject
from jaxsci.tasks.superconductors.ensemble import prediction
from jaxsci.tasks.superconductors.inputs import NAME, Job, batch, read_again
from jaxsci.tasks.superconductors.networks import make_recipe, to_kelvin
from jaxsci.tasks.superconductors.predict import load, predictor_of
from jaxsci.tasks.superconductors.study import intervals

_ABOUT = (
    "Intervals of Tc on materials of the test part, which no method has seen. Laplace: the posterior of the last layer of one network, with"
    " prior precision and noise of the largest marginal likelihood. Process: a Gaussian process conditioned on {number:,} training"
    " materials. Ensemble: what the run predicts, {members} networks blended with a process and calibrated on the validation part. Only the"
    " last was adjusted to hold 90 %."
)


def study(folder: Path, max_examples: int, session: Session) -> Path:
    """Write study.json, its figures and study.html into the folder of a trained run.

    Args:
        folder: of the run.
        max_examples: training materials, and as many of the validation and of the test part at most, that everything is computed on.
        session: for its progress.

    Returns:
        The path of the page.
    """
    trained, job = load(folder), read_again(folder, session.progress)
    parts = [subject.some(part, max_examples, job.options.seed) for part in job.sample.splits]
    params = subject.first_member(trained.params)
    of_tc = job.options.target == "tc"
    numbers, sample = parts[0], job.sample

    def entries(rows: np.ndarray, outputs: np.ndarray) -> list[Entry]:
        answers = _answers(outputs, of_tc)
        found: list[Entry] = []
        for i, answer in zip(numbers[rows], answers, strict=True):
            tc = float(sample.tc[i])
            words: Entry = {"T_c (K)": tc, "predicted (K)": float(answer)}
            if not of_tc:
                words = {"T_c (K)": tc if np.isfinite(tc) else "none", "probability": float(answer)}
            found.append({"formula": str(sample.formulas[i]), **words})
        return found

    members = job.options.members
    about = f"Studied is the first of the {members} networks of the ensemble." if members > 1 else ""
    return write.write(
        folder,
        Subject(
            NAME,
            "network for T_c" if of_tc else "network for superconductors",
            "materials",
            job.network.model.apply,
            job.network.loss,
            params,
            subject.other_weights(folder, make_recipe(job.network, job.options.target, examples=1), job.keys),
            batch(job, numbers),
            batch(job, parts[1]),
            _kinds(sample.tc[numbers], of_tc),
            entries,
            (lambda rows, outputs: [_figure(sample.tc[numbers], _answers(outputs, True), rows)])
            if of_tc
            else (lambda rows, outputs: []),
            job.options.seed,
            convex=np.ndim(jax.eval_shape(job.network.model.apply, params, sample.amounts[0])) == 0,
            about=about,
            intervals=(lambda progress: _intervals(folder, job, params, parts[2], progress)) if of_tc else None,
        ),
        session,
    )


def _answers(outputs: np.ndarray, of_tc: bool) -> np.ndarray:
    """Tc in K, or the probability of a superconductor."""
    middle = outputs if outputs.ndim == 1 else outputs[:, outputs.shape[1] // 2]
    return np.asarray(to_kelvin(jnp.asarray(middle)) if of_tc else jax.nn.sigmoid(middle), np.float64)


def _kinds(tc: np.ndarray, of_tc: bool) -> dict[str, np.ndarray]:
    """Superconductors below 10 K, up to and from 77 K, at which nitrogen boils; or superconductors and others."""
    if not of_tc:
        return {"superconductors": np.isfinite(tc), "others": ~np.isfinite(tc)}
    return {"below 10 K": tc < 10, "10 to 77 K": (tc >= 10) & (tc < 77), "from 77 K": tc >= 77}


def _figure(tc: np.ndarray, predicted: np.ndarray, rows: Rows) -> Drawing:
    # A material may be of two kinds, such as harmful and least expected: it then has a color of its own.
    of = [" and ".join(kind for kind, numbers in rows.items() if i in numbers) or "others" for i in range(len(tc))]
    names = list(dict.fromkeys(["others", *rows, *of]))
    return Drawing(
        "study_materials",
        "Training materials as the network predicts them, with those that harm and help most and those that it expects least.",
        materials.predicted_against_measured(tc, predicted, np.array([names.index(name) for name in of]), names),
        f"Predicted against measured temperature of {len(tc):,} training materials.",
    )


def _intervals(folder: Path, job: Job, params: Params, test: np.ndarray, progress: OnProgress) -> dict[str, Any]:
    def ensemble(asked: np.ndarray) -> dict[str, np.ndarray]:
        return prediction.predict(predictor_of(folder), asked)

    found = intervals.side_by_side(job, params, ensemble, test, progress)
    number = min(intervals.PROCESS, len(job.sample.splits[0]))
    return {
        "about": _ABOUT.format(number=number, members=job.options.members),
        "unit": "K",
        "number": len(test),
        "methods": {name: intervals.measured(of, job.sample.tc[test]) for name, of in found.items()},
    }
