"""A study from its subject to study.json and study.html."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.runs.folder import write_record
from jaxsci.runs.task import Session
from jaxsci.tasks.study import kept, page, parts
from jaxsci.tasks.study.subject import Rows, Subject
from jaxsci.training import predict

NAMED = 8  # examples that harm, that help, and that are expected least
QUANTILES = (0.16, 0.5, 0.84, 0.99)


def write(folder: Path, subject: Subject, session: Session) -> Path:
    """Compute what is not kept from a study that was stopped, and write study.json, its figures and study.html.

    Returns:
        The path of the page.
    """
    loss = parts.loss_of(subject)
    mark = kept.mark(subject.params, dict(subject.others), subject.train, subject.validation)
    computed: dict[str, Callable[..., Any]] = {
        "gradients": parts.pulls,
        "hessian": parts.spectrum,
        "sharpness": parts.sharpness,
        "influence": parts.influences,
    }
    whole: dict[str, Any] = {
        name: kept.part(folder, mark, name, partial(compute, subject, loss, session.progress))
        for name, compute in computed.items()
    }
    if subject.intervals is not None:
        whole["intervals"] = kept.part(folder, mark, "intervals", partial(subject.intervals, session.progress))
    outputs = predict(subject.apply, subject.params, subject.train.x, batch_size=parts.BATCH)
    norms, found = (np.array(values) for values in (whole["gradients"].pop("norms"), whole.pop("influence")))
    order = np.argsort(found, kind="stable")
    losses = np.asarray(jax.vmap(subject.example_loss)(outputs, jnp.asarray(subject.train.y)), np.float64)
    suspects = np.argsort(np.where(np.asarray(subject.train.weight) > 0, -losses, np.inf), kind="stable")[:NAMED]
    rows: Rows = {"harmful": order[:NAMED], "helpful": order[::-1][:NAMED]}

    def entries(numbers: np.ndarray) -> list[dict[str, Any]]:
        named = subject.entries(numbers, outputs[numbers])
        return [{**entry, "gradient norm": float(norms[i])} for i, entry in zip(numbers, named, strict=True)]

    pulls = whole.pop("gradients")
    result: dict[str, Any] = {
        "task": subject.task,
        "network": subject.name,
        "training examples": len(norms),
        "validation examples": len(np.asarray(subject.validation.weight)),
        **whole,
        "noise scale": pulls["noise scale"],
        "gradient norms": {
            name: {f"{q:.0%}": float(np.quantile(norms[of], q)) for q in QUANTILES}
            for name, of in subject.classes.items()
            if of.any()
        },
        "gradient norms by layer": pulls["layers"],
        "influence": {
            kind: [{**entry, "influence": float(found[i])} for i, entry in zip(numbers, entries(numbers), strict=True)]
            for kind, numbers in rows.items()
        },
        "suspects": [{**entry, "loss": float(losses[i])} for i, entry in zip(suspects, entries(suspects), strict=True)],
    }
    write_record(folder / "study.json", result)
    path = page.write(folder, result, subject, norms, subject.draw({**rows, "least expected": suspects}, outputs))
    kept.drop(folder)
    return path
