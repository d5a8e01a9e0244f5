"""A normal posterior of the parameters around a trained network: its evidence, and what it says of predictions."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from jaxsci.core import Array, ExampleLoss, Inputs, Key, Params
from jaxsci.errors import InputError
from jaxsci.gradients._curvature.operators import Apply
from jaxsci.losses import squared_error


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "eigenvalues", "basis", "loss", "targets", "prior_precision", "noise"],
    meta_fields=["apply", "example_loss", "chosen"],
)
@dataclass(frozen=True, eq=False)
class Laplace:
    """A normal posterior N(params, (H / noise^2 + prior_precision I)^-1), as `laplace` makes it; a tree of arrays, ready for `jit`.

    Fields:
        params: its mean, the trained parameters.
        eigenvalues: [rank], of the curvature H of the data at noise 1; along what is orthogonal to the basis it is 0.
        basis: its eigenvectors: an array [rank, parameter], in the order of `jax.flatten_util.ravel_pytree`; a list of Kronecker
            products, one for each leaf; None: the unit vectors.
        loss: minus the log-likelihood of the training targets at noise 1, up to a constant.
        targets: how many numbers were measured, counted by weight; 0 for labels.
        prior_precision: inverse variance of the prior of every parameter, whose mean is 0.
        noise: standard deviation of the targets of a regression; 1 for a classification.
        apply: the model of one example.
        example_loss: the negative log-likelihood.
        chosen: which leaves have a posterior; the others are held fixed.
    """

    params: Params
    eigenvalues: Array
    basis: Array | list[Any] | None
    loss: Array
    targets: Array
    prior_precision: Array
    noise: Array
    apply: Apply
    example_loss: ExampleLoss
    chosen: tuple[bool, ...]

    def at(self, *, prior_precision: ArrayLike | None = None, noise: ArrayLike | None = None) -> "Laplace":
        """The posterior with another prior or noise, around the same parameters; both may be traced.

        Raises:
            InputError: one that is not positive, or a noise for a classification.
        """
        if noise is not None and self.example_loss is not squared_error:
            raise InputError(
                "noise: expected none for a classification, got one; labels have no noise beside their logits"
            )
        changes = {"prior_precision": prior_precision, "noise": noise}
        given: dict[str, Any] = {
            name: positive(name, value, self.loss.dtype) for name, value in changes.items() if value is not None
        }
        return dataclasses.replace(self, **given)

    def log_marginal_likelihood(self) -> Array:
        """The logarithm of the probability of the training targets, the parameters integrated out: what prior and noise are chosen by.

            log p(y) = log p(y | params) - prior_precision |params|^2 / 2 - sum_k log(1 + h_k / (noise^2 prior_precision)) / 2

        with the eigenvalues h_k of H; exact for a linear model at its best parameters. The slope is `jax.grad` of
        lambda p, s: posterior.at(prior_precision=p, noise=s).log_marginal_likelihood(). Source: MacKay 1992, Neural Computation 4, 448;
        Immer et al. 2021, arXiv:2104.04975.
        """
        mean = ravel_pytree(split(self.params, self.chosen))[0].astype(self.loss.dtype)
        variance = self.noise**2
        fit = self.loss / variance + self.targets / 2 * jnp.log(2 * jnp.pi * variance)
        penalty = self.prior_precision * jnp.sum(mean**2) / 2
        volume = jnp.sum(jnp.log1p(self.eigenvalues / (variance * self.prior_precision))) / 2
        return -fit - penalty - volume

    def outputs(self, x: Inputs) -> tuple[Array, Array]:
        """Mean and covariance of the outputs, of the model linearized in its parameters.

            mean = apply(params, x),     covariance = J (H / noise^2 + prior_precision I)^-1 J^T,     J = d apply / d params.

        The noise of the targets is not in it: a new measurement has the variance covariance + noise^2. Source: Immer, Korzepa and
        Bauer 2021, arXiv:2008.08400.

        Args:
            x: [example, ...].

        Returns:
            Mean [example, *output] and covariance [example, *output, *output], output being the shape of a single one.
        """
        return _outputs(self, x)

    def probabilities(self, x: Inputs, *, key: Key | None = None, samples: int = 1000) -> Array:
        """Probabilities of the classes, the uncertainty of the logits integrated out.

        Without a key by the probit approximation, softmax(z / sqrt(1 + pi v / 8)) with the mean z and the variance v of each logit (the
        sigmoid, for a yes/no answer); with one as the mean over normal samples of the logits. Source: MacKay 1992, Neural
        Computation 4, 720.

        Args:
            x: [example, ...].
            key: of the samples; none: probit.
            samples: how many.

        Returns:
            [example, class]; [example], of "yes", for scalar logits.

        Raises:
            InputError: the posterior is of a regression.
        """
        if self.example_loss is squared_error:
            raise InputError("probabilities: expected a classification, got a regression; use outputs")
        return _probabilities(self, x, key, samples)

    def sample(self, key: Key, count: int) -> Params:
        """Parameters drawn from the posterior: a tree as `params`, each leaf [draw, ...]; leaves without a posterior are repeated."""
        return _sample(self, key, count)


@dataclass(frozen=True)
class Free:
    """The model as a function of the leaves that have a posterior."""

    apply: Apply
    chosen: tuple[bool, ...]

    def __call__(self, free: list[Array], x: Inputs, *, fixed: Params) -> Array:
        return self.apply(merge(free, fixed, self.chosen), x)


def split(params: Params, chosen: tuple[bool, ...]) -> list[Array]:
    """The leaves that have a posterior."""
    return [leaf for leaf, free in zip(jax.tree.leaves(params), chosen, strict=True) if free]


def merge(free: list[Array], params: Params, chosen: tuple[bool, ...]) -> Params:
    """The parameters with these in the place of the leaves that have a posterior."""
    leaves, structure = jax.tree.flatten(params)
    rest = iter(free)
    return jax.tree.unflatten(
        structure, [next(rest) if use else leaf for leaf, use in zip(leaves, chosen, strict=True)]
    )


def positive(name: str, value: ArrayLike, dtype: Any) -> Array:
    """The value, which must be positive where it is known."""
    if not isinstance(value, jax.core.Tracer) and not np.all(np.asarray(value) > 0):
        raise InputError(f"{name}: expected a positive number, got {value}; the curvature alone may be singular")
    return jnp.asarray(value).astype(dtype)


def output_and_jacobian(function: Callable[[Array], Array], vector: Array) -> tuple[Array, Array]:
    """Output, and Jacobian [output raveled, parameter] by one backward pass an output."""
    output, pull = jax.vjp(function, vector)
    unit = jnp.eye(output.size, dtype=output.dtype).reshape(output.size, *output.shape)
    return output, jax.vmap(lambda cotangent: pull(cotangent)[0])(unit)


def _coordinates(basis: Array | list[Any] | None, vector: Array) -> Array:
    """[rank], of a vector [parameter] in the basis."""
    if basis is None:
        return vector
    if not isinstance(basis, list):
        return basis @ vector
    parts, first = [], 0
    for block in basis:
        part = jnp.einsum("gik,gio,gol->gkl", block.inputs, vector[first + block.order], block.outputs)
        parts.append(part.reshape(-1))
        first += block.order.size
    return jnp.concatenate(parts)


def _vector(basis: Array | list[Any] | None, coordinates: Array) -> Array:
    """[parameter], the vector of these coordinates [rank]."""
    if basis is None:
        return coordinates
    if not isinstance(basis, list):
        return coordinates @ basis
    vector, first = jnp.zeros_like(coordinates), 0
    for block in basis:
        part = coordinates[first : first + block.order.size].reshape(block.order.shape)
        part = jnp.einsum("gik,gkl,gol->gio", block.inputs, part, block.outputs)
        vector = vector.at[first + block.order].set(part)
        first += block.order.size
    return vector


@jax.jit
def _outputs(posterior: Laplace, x: Inputs) -> tuple[Array, Array]:
    model = Free(posterior.apply, posterior.chosen)
    vector, unravel = ravel_pytree(split(posterior.params, posterior.chosen))
    precision = posterior.eigenvalues / posterior.noise**2 + posterior.prior_precision

    def one(x: Inputs) -> tuple[Array, Array]:
        output, jacobian = output_and_jacobian(lambda v: model(unravel(v), x, fixed=posterior.params), vector)
        jacobian = jacobian.astype(precision.dtype)
        along = jax.vmap(lambda row: _coordinates(posterior.basis, row))(jacobian)
        covariance = (along / jnp.broadcast_to(precision, along.shape)) @ along.T
        if precision.size < vector.size:  # what is orthogonal to the basis has the prior's variance
            covariance += (jacobian @ jacobian.T - along @ along.T) / posterior.prior_precision
        return output, covariance.reshape(*output.shape, *output.shape)

    return jax.lax.map(one, x, batch_size=32)


@partial(jax.jit, static_argnums=3)
def _probabilities(posterior: Laplace, x: Inputs, key: Key | None, samples: int) -> Array:
    mean, covariance = _outputs(posterior, x)
    mean = mean.astype(covariance.dtype)
    link = jax.nn.sigmoid if mean.ndim == 1 else jax.nn.softmax
    if key is None:
        variance = covariance if mean.ndim == 1 else jnp.diagonal(covariance, axis1=1, axis2=2)
        return link(mean / jnp.sqrt(1 + jnp.pi / 8 * variance))
    size = mean[0].size
    values, vectors = jnp.linalg.eigh(covariance.reshape(-1, size, size))
    root = (
        vectors * jnp.sqrt(jnp.maximum(values, 0))[:, None, :]
    )  # of a covariance that rounding may leave without a Cholesky factor
    normal = jax.random.normal(key, (samples, len(mean), size), mean.dtype)
    drawn = mean[None] + jnp.einsum("eij,sej->sei", root, normal).reshape(samples, *mean.shape)
    return jnp.mean(link(drawn), axis=0)


@partial(jax.jit, static_argnums=2)
def _sample(posterior: Laplace, key: Key, count: int) -> Params:
    vector, unravel = ravel_pytree(split(posterior.params, posterior.chosen))
    basis, prior = posterior.basis, posterior.prior_precision
    deviation = 1 / jnp.sqrt(posterior.eigenvalues / posterior.noise**2 + prior)

    def draw(key: Key) -> Params:
        normal = jax.random.normal(key, vector.shape, deviation.dtype)
        along = _coordinates(basis, normal)
        shift = _vector(basis, deviation * along)
        if deviation.size < normal.size:
            shift += (normal - _vector(basis, along)) / jnp.sqrt(prior)
        return merge(unravel(vector + shift.astype(vector.dtype)), posterior.params, posterior.chosen)

    return jax.vmap(draw)(jax.random.split(key, count))
