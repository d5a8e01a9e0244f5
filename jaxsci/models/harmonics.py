"""Real spherical harmonics as a model that is linear in its coefficients, f(theta, phi) = sum_lm a_lm Y_lm(theta, phi).

Its `Config` is a basis like those of `jaxsci.models.basis`, and is fitted by the same calls.
"""

from dataclasses import dataclass

from jaxsci._shapes import expect_example
from jaxsci.core import Array, Key, Model, Params
from jaxsci.models import basis
from jaxsci.ops.sphere import ORTHONORMAL, Convention, real_harmonics

__all__ = ["Config", "apply", "init", "model"]


@dataclass(frozen=True)
class Config:
    """The largest degree, and the convention of the harmonics."""

    lmax: int
    convention: Convention = ORTHONORMAL

    @property
    def size(self) -> int:
        """The number of harmonics, (lmax + 1)^2."""
        return (self.lmax + 1) ** 2

    def values(self, x: Array) -> Array:
        """All harmonics at one direction x [2], its colatitude and longitude in radians: [harmonic], smooth at the poles too."""
        expect_example("x [2]", x)
        return real_harmonics(x[0], x[1], self.lmax, self.convention)


def init(key: Key, config: Config) -> Params:
    """`coefficients` [(lmax + 1)^2] in the order of `jaxsci.ops.sphere.real_degrees`, zeros."""
    return basis.init(key, config)


def apply(params: Params, x: Array, config: Config) -> Array:
    """The sum at one direction x [2], its colatitude and longitude in radians; scalar."""
    return basis.apply(params, x, config)


def model(config: Config) -> Model:
    """The pair (init, apply) of this configuration."""
    return basis.model(config)
