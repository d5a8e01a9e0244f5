"""A tagger for which no frame of reference exists: what is merged is chosen in the rest frame of the jet, and the beams are not seen."""

from dataclasses import replace

import numpy as np

from jaxsci.core import WeightedSet
from jaxsci.data.jets.kinematics import merge_at_rest
from jaxsci.models.jets import pelican
from jaxsci.tasks.top_tagging.taggers import Spec, Tagger, TrainingDefaults, network

PARTICLES = 30  # that are left of a jet; pairs cost the square
CONFIG = replace(pelican.PARAMETERS_10K, beams=False, number=float(PARTICLES))


def pelican_rest(spec: Spec) -> Tagger:
    """The network of `pelican-10k` without beams, on particles merged in the rest frame of the jet.

    Neither the particles nor their products depend on the frame: no Lorentz transformation of the jet changes the answer.
    """
    config = replace(CONFIG, compute_dtype=spec.compute_dtype, remat=spec.remat)
    model = network(pelican, config, spec.classes)
    return Tagger(inputs, model, TrainingDefaults(12, 64, 3e-3, 1e-2, microbatches=4), remat=True)


def inputs(constituents: np.ndarray) -> WeightedSet:
    """Four-momenta in GeV, as float32 and what that leaves out [jet, 30, 8], and weights 1 and 0 [jet, 30]."""
    momenta = merge_at_rest(constituents, PARTICLES)
    rounded = momenta.astype(np.float32)
    elements = np.concatenate([rounded, (momenta - rounded).astype(np.float32)], axis=-1)
    return WeightedSet(elements, (momenta[..., 0] > 0).astype(np.float32))  # type: ignore[arg-type]  # numpy until training
