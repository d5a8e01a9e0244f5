"""What both sides are given: the jets, the inputs, the order, and the settings of the training."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from jaxsci.core import Model, Params, StatefulModel, WeightedSet
from jaxsci.data.jets.features import FEATURES
from jaxsci.models import deep_sets, heads
from jaxsci.models.jets import particlenet
from jaxsci.runs.task import silent
from jaxsci.tasks.top_tagging import jobs, samples
from jaxsci.tasks.top_tagging.options import Options


class Problem(NamedTuple):
    """A network that we and a peer have, and how either trains it: Adam at one learning rate, nothing else."""

    model: Model | StatefulModel  # ours
    peer: str  # the package that has it too
    needs: tuple[str, ...]  # modules of which one is missing where the peer cannot run
    tagger: str  # of `jaxsci train top-tagging`, whose inputs are taken
    microbatches: int  # of ours, as large as those of that tagger
    jets: int  # of the training part
    epochs: int
    batch_size: int
    learning_rate: float = 1e-3
    same_start: bool = False  # whether ours begins with the peer's weights; where the two networks are one


class Data(NamedTuple):
    """Jets of numpy arrays; weights are 1, and 0 for padding."""

    x: WeightedSet  # [jet, particle, feature] and [jet, particle]
    y: np.ndarray  # float32 [jet]
    asked: WeightedSet  # the validation jets and then the test jets, of which both sides give the log odds
    validation: np.ndarray  # their labels
    test: np.ndarray


VALIDATED = 2000  # jets, after every epoch


class Side(NamedTuple):
    """A network in training, ours or a peer's."""

    epoch: Callable[[np.ndarray], float]  # once through the jets in this order -> the mean loss
    logits: Callable[[slice], np.ndarray]  # of these of the jets that are asked, as it is now
    weights: Callable[[], Any]  # as they are now
    restore: Callable[[Any], None]  # such weights
    parameters: int
    as_ours: Callable[[], Params] | None = None  # its weights as those of our network, where the networks are one


PFN = deep_sets.Config(len(FEATURES), initializer="he_uniform")  # sizes and initializer are EnergyFlow's
PARTICLENET = particlenet.Config(len(FEATURES), normalization="batch")

_PFN = Problem(
    heads.scalar(deep_sets.model(PFN)),
    "EnergyFlow",
    ("energyflow", "tensorflow", "tf_keras"),
    "pfn",
    microbatches=5,
    jets=6_000,
    epochs=8,
    batch_size=100,
)

_PARTICLENET = Problem(
    heads.scalar(particlenet.model(PARTICLENET)),
    "weaver",
    ("weaver", "torch"),
    "particlenet-batch",
    microbatches=1,
    jets=3_200,
    epochs=6,
    batch_size=64,
)

PROBLEMS = {
    "pfn": _PFN,
    "pfn-same-start": _PFN._replace(same_start=True),
    "particlenet": _PARTICLENET,
    "particlenet-layer": _PARTICLENET._replace(
        model=heads.scalar(particlenet.model(replace(PARTICLENET, normalization="layer"))),
        tagger="particlenet",
        microbatches=4,
    ),
}


def read(problem: Problem, jets: int | None = None) -> Data:
    """The jets of the package, split as the command splits them, with features of order 1.

    Args:
        problem: whose inputs and number of training jets are taken.
        jets: for a quick look, at most so many to train on, in whole batches, and as many to validate and to test.
    """
    job = jobs.prepare(Options(tagger=problem.tagger), silent)
    train, validation, test = (rows[:jets] for rows in job.splits)
    whole = min(problem.jets, len(train)) // problem.batch_size * problem.batch_size
    train, validation = train[:whole], validation[:VALIDATED]
    rows = np.concatenate([train, validation, test])
    assert job.sample.constituents is not None
    x = job.tagger.inputs(job.sample.constituents[rows])
    assert isinstance(x, WeightedSet)
    present = (np.asarray(x.weights) != 0).astype(np.float32)
    elements = np.asarray(x.elements, np.float32)
    labels = samples.labels_of(job.sample).astype(np.float32)
    number = len(train)
    return Data(
        WeightedSet(elements[:number], present[:number]),  # type: ignore[arg-type]  # numpy until training
        labels[train],
        WeightedSet(elements[number:], present[number:]),  # type: ignore[arg-type]
        labels[validation],
        labels[test],
    )
