"""The normalized autoencoders: of substructure by either loss, of smoothed jet images, and of the constituents themselves.

Each is a dense autoencoder of what it sees of a jet, in units of the spread of the jets that it learned; its energy is the squared error
of the reconstruction, which is the score. See `energy` for how it is trained.

The pT of a jet is smoothed by a Gaussian about each constituent, as in arXiv:2206.14225, and read off at 20 x 20 angles: without pixels of
its own the smoothed image is a smooth function of the constituents. It does not depend on their order, on padding, or on how one of them is
split into collinear ones. Walks of `images` move these values, walks of `constituents` the particles of a jet of 16.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Key, LossFn, Model, Params
from jaxsci.data.jets.images import HALF_WIDTH, align
from jaxsci.models import dense
from jaxsci.tasks.anomalies.detectors import LARGEST, Detector, in_units, standardized, substructure
from jaxsci.tasks.anomalies.energy import Walks, augment, contrastive, transport
from jaxsci.tasks.top_tagging.taggers import require_inside

WIDTH = 0.08  # deviation of the Gaussian in angle: two pixels of the images of taggers
POINTS = 20  # along each side, as far apart as WIDTH
LEADING = 64  # constituents of largest pT that are read
PARTICLES = 16  # of the jets that walks draw
STEPS = 10  # of walks there
_UNIT = 0.033  # of the smoothed pT, about the deviation of its values, in the peak of one particle
_OBSERVABLES = 8
_CHUNK = 500  # jets smoothed at once


def of_observables() -> Detector:
    """A normalized autoencoder of eight observables, by the gradient of -log p."""
    walks = _in_box(steps=40, temperature=0.1)
    config = dense.Config(_OBSERVABLES, _OBSERVABLES, hidden=(64, 64, 3, 64, 64), activation="gelu")

    def make_model(examples: np.ndarray) -> Model:
        network = standardized(dense.model(config), examples)

        def energy(params: Params, x: Array) -> Array:
            return jnp.sum((network.apply(params, x) - in_units(params, x)) ** 2)

        return Model(network.init, energy)

    def make_loss(model: Model) -> LossFn:
        return contrastive(model, walks, balance=0.1)

    return Detector(substructure, make_model, _score, make_loss, 40, 256, 1e-3, augment(walks))


def of_observables_by_transport() -> Detector:
    """A normalized autoencoder of eight observables in its Wasserstein form (arXiv:2510.02168)."""
    walks = _in_box(steps=20, temperature=0.8)
    network = _Autoencoder(_OBSERVABLES, (64, 64), 3)

    def energy(params: Params, x: Array) -> Array:
        return jnp.sum(network.error(params, in_units(params, x)))

    def make_model(examples: np.ndarray) -> Model:
        scale = {"mean": examples.mean(axis=0), "deviation": _or_one(examples.std(axis=0))}
        return Model(network.init_with(scale), energy)

    def make_loss(model: Model) -> LossFn:
        return transport(model, walks, in_units)

    return Detector(substructure, make_model, _score, make_loss, 8, 128, 1e-3, augment(walks))


def _in_box(steps: int, temperature: float) -> Walks:
    def begin(key: Key) -> Array:
        return 2 * jax.random.normal(key, (_OBSERVABLES,))

    return Walks(begin, _out_of_units, steps, 0.05, temperature, low=-LARGEST, high=LARGEST)


def _out_of_units(params: Params, units: Array) -> Array:
    fixed = jax.lax.stop_gradient(params["scale"])
    return fixed["mean"] + fixed["deviation"] * units


def of_images() -> Detector:
    """A normalized autoencoder of smoothed jet images."""
    return _of_angles(lambda constituents: images(points(constituents)), lambda x: x, walks_of_images())


def walks_of_images() -> Walks:
    """They move the values at the 20 x 20 angles, and begin at a smoothed jet of particles anywhere."""

    def begin(key: Key) -> Array:
        return smoothed(_particles(_any_jet(key)))

    # The energy is a mean over POINTS^2 values, each of which has its coordinate.
    return Walks(begin, lambda params, x: x, STEPS, 0.2 * POINTS**2, 1e-3, 0.0, 1.0, _UNIT)


def of_constituents() -> Detector:
    """A normalized autoencoder of constituents."""
    return _of_angles(points, smoothed, walks_of_constituents())


def walks_of_constituents() -> Walks:
    """They move the particles of a jet, begun anywhere."""
    return Walks(
        _any_jet,
        lambda params, places: _particles(places),
        STEPS,
        step=1.0,
        temperature=1e-2,
        low=np.array([[-8.0, -HALF_WIDTH, -HALF_WIDTH]]),
        high=np.array([[8.0, HALF_WIDTH, HALF_WIDTH]]),
        scale=np.array([[1.0, 0.1, 0.1]]),
    )


def _of_angles(
    inputs: Callable[[np.ndarray], np.ndarray], describe: Callable[[Array], Array], walks: Walks
) -> Detector:
    """That of jets of which `describe` gives the smoothed image."""
    network = _Autoencoder(POINTS**2, (64,), 8)

    def energy(params: Params, x: Array) -> Array:
        scale = jax.lax.stop_gradient(params["scale"])
        return jnp.mean(network.error(params, (describe(x) - scale["mean"]) / scale["deviation"]))

    def make_model(examples: np.ndarray) -> Model:
        seen = examples if examples.ndim == 2 else images(examples)
        scale = {"mean": seen.mean(axis=0), "deviation": _or_one(np.sqrt(seen.var(axis=0).mean()))}
        return Model(network.init_with(scale), energy)

    return Detector(
        inputs,
        make_model,
        _score,
        lambda model: contrastive(model, walks, balance=1.0),
        epochs=20,
        batch_size=128,
        learning_rate=1e-3,
        augment=augment(walks),
    )


class _Autoencoder(NamedTuple):
    """A dense autoencoder whose code is on the unit sphere, where no code is far from those of jets."""

    inputs: int
    hidden: tuple[int, ...]
    code: int

    def parts(self) -> tuple[dense.Config, dense.Config]:
        """Encoder and decoder."""
        return (
            dense.Config(self.inputs, self.code, self.hidden, "gelu"),
            dense.Config(self.code, self.inputs, self.hidden[::-1], "gelu"),
        )

    def init_with(self, scale: dict[str, np.ndarray]) -> Callable[[Key], Params]:
        """The initial weights, and beside them the units of the inputs, which no gradient reaches."""
        encoder, decoder = self.parts()

        def init(key: Key) -> Params:
            keys = jax.random.split(key)
            fixed = {name: jnp.asarray(value, jnp.float32) for name, value in scale.items()}
            return {"scale": fixed, "encoder": dense.init(keys[0], encoder), "decoder": dense.init(keys[1], decoder)}

        return init

    def error(self, params: Params, seen: Array) -> Array:
        """Squared errors of the reconstruction of one vector."""
        encoder, decoder = self.parts()
        code = dense.apply(params["encoder"], seen, encoder)
        on_sphere = code * jax.lax.rsqrt(jnp.sum(code**2) + 1e-6)
        return (dense.apply(params["decoder"], on_sphere, decoder) - seen) ** 2


def _or_one(deviation: np.ndarray) -> np.ndarray:
    return np.where(deviation > 0, deviation, 1)


def _score(model: Model, params: Params, x: Array) -> Array:
    return model.apply(params, x)


def points(constituents: np.ndarray) -> np.ndarray:
    """The leading constituents after centering, rotation and flips: (pT fraction, x, y), float32 [jet, 64, 3], padded with zeros.

    Args:
        constituents: [jet, constituent, 4], (E, px, py, pz) in GeV, padded with zeros.

    Raises:
        InputError: more than a third of the pT of the jets lies outside the images.
    """
    require_inside(constituents)
    pt, x, y = align(constituents)
    fraction = pt / np.maximum(pt.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    leading = np.argsort(-pt, axis=1, kind="stable")[:, :LEADING]
    found = np.take_along_axis(np.stack([fraction, x, y], axis=2), leading[:, :, None], axis=1)
    return np.pad(found, ((0, 0), (0, LEADING - found.shape[1]), (0, 0))).astype(np.float32)


def images(particles: np.ndarray) -> np.ndarray:
    """`smoothed` of many jets [jet, particle, 3]: float32 [jet, 400]."""
    blocks = [jax.vmap(smoothed)(jnp.asarray(particles[i : i + _CHUNK])) for i in range(0, len(particles), _CHUNK)]
    return np.concatenate([np.asarray(block) for block in blocks])


def smoothed(particles: Array) -> Array:
    """The smoothed pT of a jet at 20 x 20 angles, rows from the bottom up: [400], in units of the peak of one particle.

    Args:
        particles: (pT fraction, x, y) [particle, 3]; those of fraction 0 add nothing.
    """
    angles = jnp.asarray((np.arange(POINTS) - (POINTS - 1) / 2) * (2 * HALF_WIDTH / POINTS), particles.dtype)
    along = jnp.exp(-((particles[:, 1:, None] - angles[None, None, :]) ** 2) / (2 * WIDTH**2))
    return jnp.einsum("n,ny,nx->yx", particles[:, 0], along[:, 1], along[:, 0]).reshape(-1)


def _any_jet(key: Key) -> Array:
    """A jet that knows nothing of jets: (logit of the pT fraction, x, y) [particle, 3], of a random width."""
    of_width, of_places = jax.random.split(key)
    width = 0.2 * jnp.exp(0.7 * jax.random.normal(of_width))
    return jax.random.normal(of_places, (PARTICLES, 3)) * jnp.stack([jnp.full_like(width, 2.0), width, width])[None, :]


def _particles(places: Array) -> Array:
    return jnp.concatenate([jax.nn.softmax(places[:, :1], axis=0), places[:, 1:]], axis=1)
