"""Taggers that see pairs of particles: the Lorentz-invariant one, ParticleNet, and the particle transformer."""

from dataclasses import replace
from typing import Literal

import numpy as np

from jaxsci.core import WeightedSet
from jaxsci.data.jets import features as jet_features
from jaxsci.data.jets import kinematics
from jaxsci.data.jets.kinematics import merge_soft
from jaxsci.models.jets import particle_transformer, particlenet
from jaxsci.models.jets import pelican as invariant
from jaxsci.models.jets.particle_transformer import Particles
from jaxsci.tasks.top_tagging.taggers import Spec, Tagger, TrainingDefaults, network, turn

HARDEST = 30  # particles that the others are merged into: with the two beams 32, and pairs cost the square
PARTICLES = 40  # of the transformer


def pelican(spec: Spec) -> Tagger:
    """A Lorentz-invariant network of 2,942 parameters after PELICAN (arXiv:2211.00454).

    Each jet is put into the frame along the beam in which its rapidity is 0: then, besides rotations about the beam, boosts along it change
    nothing either.
    """
    return _invariant(invariant.PARAMETERS_3K, spec)


def pelican_10k(spec: Spec) -> Tagger:
    """The same with 9,277 parameters."""
    return _invariant(invariant.PARAMETERS_10K, spec)


def _invariant(config: invariant.Config, spec: Spec) -> Tagger:
    model = network(invariant, replace(config, compute_dtype=spec.compute_dtype, remat=spec.remat), spec.classes)
    return Tagger(invariant_inputs, model, TrainingDefaults(12, 64, 3e-3, 1e-2, microbatches=4), remat=True)


def invariant_inputs(constituents: np.ndarray) -> WeightedSet:
    """Four-momenta in GeV at rapidity 0, as float32 and what that leaves out [jet, 30, 8], and weights 1 and 0 [jet, 30]."""
    merged = merge_soft(constituents, HARDEST)
    jet = kinematics.rapidity(kinematics.jet_momentum(constituents))[:, None]
    cosh, sinh = np.cosh(jet), np.sinh(jet)
    energy, px, py, pz = np.moveaxis(merged, -1, 0)
    momenta = np.stack([cosh * energy - sinh * pz, px, py, cosh * pz - sinh * energy], axis=-1)
    rounded = momenta.astype(np.float32)
    elements = np.concatenate([rounded, (momenta - rounded).astype(np.float32)], axis=-1)
    return WeightedSet(elements, (energy > 0).astype(np.float32))  # type: ignore[arg-type]  # numpy until training


def particle_net(spec: Spec) -> Tagger:
    """ParticleNet (arXiv:1902.08570), in the size of its light version, on the 30 hardest particles; each vector normalized by itself."""
    return _edges("layer", TrainingDefaults(15, 64, 2e-3, 1e-2, microbatches=4), spec)


def particle_net_batch(spec: Spec) -> Tagger:
    """The same with batch normalization, as it was published: a model with state, whose jets have no loss of their own in training."""
    return _edges("batch", TrainingDefaults(15, 64, 2e-3, 1e-2), spec)


def _edges(normalization: Literal["layer", "batch"], defaults: TrainingDefaults, spec: Spec) -> Tagger:
    config = particlenet.Config(
        len(jet_features.FEATURES), normalization=normalization, compute_dtype=spec.compute_dtype
    )

    def inputs(constituents: np.ndarray) -> WeightedSet:
        x = jet_features.features(merge_soft(constituents, HARDEST), max_constituents=HARDEST)
        return WeightedSet(*x)  # type: ignore[arg-type]  # numpy until training

    model = network(particlenet, config, spec.classes)
    return Tagger(inputs, model, defaults, turn)


def part(spec: Spec) -> Tagger:
    """A particle transformer with a bias of pairs (ParT, arXiv:2202.03772), small enough for a processor."""
    config = particle_transformer.Config(len(jet_features.FEATURES), compute_dtype=spec.compute_dtype, remat=spec.remat)

    def inputs(constituents: np.ndarray) -> Particles:
        merged = merge_soft(constituents, PARTICLES)
        elements, weights = jet_features.features(merged, max_constituents=PARTICLES)
        return Particles(elements, weights, merged.astype(np.float32))  # type: ignore[arg-type]  # numpy until training

    model = network(particle_transformer, config, spec.classes)
    return Tagger(inputs, model, TrainingDefaults(20, 64, 2e-3, 1e-2, microbatches=4), turn, remat=True)
