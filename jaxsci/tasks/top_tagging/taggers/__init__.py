"""The taggers: for each its inputs (numpy, from constituents), its network and how it is trained."""

import difflib
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Inputs, Key, Model, StatefulModel, WeightedSet
from jaxsci.data import jets
from jaxsci.data.jets import features as jet_features
from jaxsci.data.jets import images as jet_images
from jaxsci.errors import InputError
from jaxsci.models import convolutional, deep_sets, dense, heads
from jaxsci.models.convolutional import Block
from jaxsci.tasks.top_tagging.options import CLASSES, TAGGERS

TOP_MASS = 172.57  # GeV, Particle Data Group 2024, direct measurements
PIXELS = (40, 40)  # of the images that are made of constituents
LOOKED_AT = 1_000  # jets, for what lies outside the images
MOST_OUTSIDE = 1 / 3  # of the pT


class Spec(NamedTuple):
    """What is known of a tagger before it is built."""

    compute_dtype: Literal["bfloat16"] | None = None  # of the matrix work; None: float32
    pixels: tuple[int, int] = PIXELS  # height and width of the images, for taggers that see them
    classes: tuple[str, ...] = CLASSES  # names of the labels 0, 1, ...
    remat: bool = False  # whether a network of equal blocks computes them again in the backward pass


class TrainingDefaults(NamedTuple):
    """How a tagger is trained unless the user says otherwise."""

    epochs: int
    batch_size: int
    learning_rate: float  # of the peak, after warm-up
    weight_decay: float = 0.0
    microbatches: int = 1  # of a batch: those whose activations fit a processor's cache


@dataclass(frozen=True)
class Tagger:
    """From a jet to the logit of "top", or of more than two classes to a logit for each."""

    inputs: Callable[[np.ndarray], Inputs]  # constituents [jet, constituent, 4] -> inputs, each [jet, ...]
    model: Model | StatefulModel  # one jet's inputs -> logit, or [class]; with state those of a batch
    defaults: TrainingDefaults
    augment: Callable[[Key, Inputs], Inputs] | None = None
    from_images: Callable[[np.ndarray], Inputs] | None = (
        None  # images [jet, height, width] -> inputs, if it sees images
    )
    pixels: tuple[int, int] = PIXELS  # their height and width
    remat: bool = False  # whether its network heeds that of the Spec
    scaled: bool = (
        False  # whether its inputs, a WeightedSet, are brought to order 1 by what the training jets are (`scaling`)
    )
    name: str = ""  # in folders and tables
    classes: tuple[str, ...] = CLASSES  # names of the labels 0, 1, ...


@lru_cache(maxsize=32)
def tagger(name: str, spec: Spec | None = None) -> Tagger:
    """The tagger of that name; the same one each time, so that a process compiles its programs once.

    Raises:
        InputError: there is none.
    """
    if name not in TAGGERS:
        near = difflib.get_close_matches(name, TAGGERS, 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of them"
        raise InputError(f"--tagger: expected one of {', '.join(TAGGERS)}, got {name}; {hint}")
    module, function = TAGGERS[name].split(":")
    spec = spec or Spec()
    found: Tagger = getattr(importlib.import_module(module), function)(spec)
    if spec.remat and not found.remat:
        raise InputError(
            f"--remat: expected a tagger of equal blocks, part or a pelican, got {name}; --device-memory serves any tagger"
        )
    return replace(found, name=name, classes=spec.classes)


def network(module: ModuleType, config: Any, classes: Sequence[str]) -> Model | StatefulModel:
    """A network of `jaxsci.models` with one logit for two classes, and with one for each of more."""
    if len(classes) == 2:
        scalar: Model | StatefulModel = heads.scalar(module.model(config))
        return scalar
    model: Model | StatefulModel = module.model(replace(config, outputs=len(classes)))
    return model


def image_inputs(constituents: np.ndarray) -> np.ndarray:
    """Jet images [jet, 40, 40, 1], square roots of the pT fractions times 40: soft pixels matter, and numbers are of order 1.

    Raises:
        InputError: more than a third of the pT of the jets lies outside the images.
    """
    require_inside(constituents)
    return images_as_inputs(jet_images.images(constituents, pixels=PIXELS[0]))


def require_inside(constituents: np.ndarray) -> None:
    """Refuse jets too wide for images.

    Raises:
        InputError: more than a third of the pT of the jets lies outside the images.
    """
    share = jet_images.outside(constituents[:LOOKED_AT])
    if share > MOST_OUTSIDE:
        raise InputError(
            f"jets: expected constituents within {jet_images.HALF_WIDTH:g} of the axis, for which images are made, got {share:.0%} of the"
            " pT outside; take a tagger that sees constituents, such as pfn"
        )


def images_as_inputs(images: np.ndarray) -> np.ndarray:
    """The same from ready images [jet, height, width] whose pixels add up to 1."""
    inputs = np.sqrt(images[..., None])
    inputs *= math.sqrt(images.shape[1] * images.shape[2])
    return inputs


def cnn(spec: Spec) -> Tagger:
    """A small convolutional network on jet images, chosen to train in minutes on two cores."""
    config = convolutional.Config(
        (*spec.pixels, 1),
        blocks=(Block(16, pool=2), Block(32, pool=2), Block(64, pool=2)),
        dense=(64,),
        compute_dtype=spec.compute_dtype,
    )
    model = network(convolutional, config, spec.classes)
    return Tagger(image_inputs, model, TrainingDefaults(8, 128, 2e-3, 1e-2), shift_image, images_as_inputs, spec.pixels)


def cnn_landscape(spec: Spec) -> Tagger:
    """The 610k-parameter network of the comparison of top taggers (arXiv:1902.09914): 4x4 windows, ADADELTA replaced by Adam."""
    config = convolutional.Config(
        (*spec.pixels, 1),
        blocks=(
            Block(128, window=4, padding="VALID"),
            Block(64, window=4, padding="VALID", pool=2),
            Block(64, window=4),
            Block(64, window=4, pool=2),
        ),
        dense=(64, 256, 256),
        compute_dtype=spec.compute_dtype,
    )
    return Tagger(
        image_inputs,
        network(convolutional, config, spec.classes),
        TrainingDefaults(10, 128, 1e-3),
        shift_image,
        images_as_inputs,
        spec.pixels,
    )


def shift_image(key: Key, image: jax.Array) -> jax.Array:
    """Shift by up to one pixel each way: the image is already centered, rotated and flipped, up to its binning."""
    shift = jax.random.randint(key, (2,), -1, 2)
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    return jax.lax.dynamic_slice(padded, (1 + shift[0], 1 + shift[1], 0), image.shape)


def pfn(spec: Spec, pooling: deep_sets.Pooling = "sum") -> Tagger:
    """A Particle Flow Network (arXiv:1810.05165) on seven features a constituent, with rotations and reflections of the jet."""
    config = _deep_set(len(jet_features.FEATURES), spec, pooling)

    def inputs(constituents: np.ndarray) -> WeightedSet:
        return WeightedSet(*jet_features.features(constituents))  # type: ignore[arg-type]  # numpy until training

    return Tagger(
        inputs,
        network(deep_sets, config, spec.classes),
        TrainingDefaults(20, 200, 1e-3, 1e-2, microbatches=10),
        turn,
        scaled=True,
    )


def turn(key: Key, jet: WeightedSet) -> WeightedSet:
    """Rotate a jet about its axis by a random angle and reflect it: the first two features are the angles to the axis."""
    angle_key, flip_key = jax.random.split(key)
    angle = jax.random.uniform(angle_key, maxval=2 * jnp.pi)
    flip = jnp.where(jax.random.bernoulli(flip_key), 1.0, -1.0)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    rotation = jnp.stack([jnp.stack([cos, -sin * flip]), jnp.stack([sin, cos * flip])])
    return jet._replace(elements=jet.elements.at[:, :2].set(jet.elements[:, :2] @ rotation))


def pfn_attention(spec: Spec) -> Tagger:
    """The Particle Flow Network with a pooling that learns which constituents count, in place of the sum over them."""
    return pfn(spec, "attention")


def _deep_set(features: int, spec: Spec, pooling: deep_sets.Pooling) -> deep_sets.Config:
    phi, rho = (100, 100, 256), (100, 100, 100)
    return deep_sets.Config(features, phi=phi, rho=rho, pooling=pooling, compute_dtype=spec.compute_dtype)


def efn(spec: Spec, pooling: deep_sets.Pooling = "sum") -> Tagger:
    """An Energy Flow Network (arXiv:1810.05165): angles as elements, momentum fractions as weights; infrared and collinear safe."""
    config = _deep_set(2, spec, pooling)

    def inputs(constituents: np.ndarray) -> WeightedSet:
        return WeightedSet(*jet_features.efn_inputs(constituents))  # type: ignore[arg-type]  # numpy until training

    defaults = TrainingDefaults(20, 200, 1e-3, microbatches=10)
    return Tagger(inputs, network(deep_sets, config, spec.classes), defaults, turn, scaled=True)


def efn_attention(spec: Spec) -> Tagger:
    """The Energy Flow Network with a pooling that learns which angles count: momentum fractions weigh them still, so it is as safe."""
    return efn(spec, "attention")


def topodnn(spec: Spec) -> Tagger:
    """The dense network 300-102-12-6-1 on the 30 hardest constituents (pT, eta, phi) of arXiv:1704.02124."""
    config = dense.Config(90, hidden=(300, 102, 12, 6), compute_dtype=spec.compute_dtype)
    model = network(dense, config, spec.classes)
    return Tagger(jet_features.topodnn_inputs, model, TrainingDefaults(20, 128, 1e-3, 1e-2))


def mass(spec: Spec) -> Tagger:
    """The one-number baseline: a logistic regression on |m - m_top|, whose ranking of jets no fit can change."""
    if len(spec.classes) != 2:
        raise InputError(
            f"--tagger: expected one for {len(spec.classes)} classes, got mass, which tells tops from all else; choose another, such as pfn"
        )
    config = dense.Config(1, hidden=(), compute_dtype=spec.compute_dtype)

    def inputs(constituents: np.ndarray) -> np.ndarray:
        return -mass_score(constituents)[:, None] / 10.0

    return Tagger(inputs, heads.scalar(dense.model(config)), TrainingDefaults(5, 128, 0.05))


def mass_score(constituents: np.ndarray) -> np.ndarray:
    """-|m - m_top| in GeV, float32 [jet]: larger for jets that look like a top quark."""
    return -np.abs(jets.mass(constituents) - np.float32(TOP_MASS))
