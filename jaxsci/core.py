"""The vocabulary: what a model, a batch and a loss are. Everything else in the library is a function of these."""

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import numpy as np

__all__ = [
    "Array",
    "Batch",
    "ExampleLoss",
    "Inputs",
    "Key",
    "LossFn",
    "Mask",
    "Metrics",
    "Model",
    "Params",
    "Penalty",
    "StatefulLossFn",
    "StatefulModel",
    "Stream",
    "WeightedSet",
]

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array  # a scalar from jax.random.key
Params: TypeAlias = Mapping[str, Any]  # a nested dict of arrays
Inputs: TypeAlias = Any  # an array, or a tuple of arrays such as WeightedSet
Mask: TypeAlias = Params | Callable[[Params], Params] | None  # which parameters a penalty or a weight decay acts on


class WeightedSet(NamedTuple):
    """A set of elements with weights; an element of weight 0 is padding and contributes exactly nothing.

    A boolean mask is the special case of weights 0 and 1. In an infrared- and collinear-safe jet network the weight is the
    momentum fraction, in a chemical formula it is the amount of the element.
    """

    elements: Array  # [element, feature]
    weights: Array  # [element]


class Model(NamedTuple):
    """A pure model of ONE example; `jax.vmap` gives the batch."""

    init: Callable[[Key], Params]
    apply: Callable[[Params, Inputs], Array]  # linear outputs: predictions, logits or a reconstruction


class StatefulModel(NamedTuple):
    """A pure model of a BATCH whose layers keep a state, such as running means, or draw random numbers, such as dropout.

    It sees the batch because the statistics of its layers are those of the batch. Its variables are {"params": ..., "state": ...}; only
    the first are moved along the gradient. Wherever a `Model` is trained, it can be; `models.heads.inference` makes it a `Model`.
    """

    init: Callable[[Key], Params]  # -> {"params": ..., "state": ...}, each a nested dict of arrays
    # (variables, x, mask, key) -> (outputs, state). x is [batch, ...]; examples whose mask is False leave no trace in the state nor in
    # the outputs of others. The key means training; without it (None) no output depends on another example.
    apply: Callable[[Params, Inputs, Array, Key | None], tuple[Array, Params]]


class Batch(NamedTuple):
    """Examples along the leading axis. A whole data set is one large batch."""

    x: Inputs  # each leaf [batch, ...]
    y: Array | np.ndarray  # [batch, ...]
    weight: Array | np.ndarray  # [batch]; 0 for a padded example, which then contributes exactly nothing


class Shares(NamedTuple):
    """Equal parts into which every batch is split, one for each device, and which of them are needed here."""

    parts: int
    own: tuple[int, ...]
    batch_size: int

    def rows(self, part: int, examples: int) -> tuple[int, int]:
        """The first row of a part among so many examples that are trained on in whole batches, and the one after its last."""
        size = -(-examples // self.batch_size) * self.batch_size // self.parts
        return min(part * size, examples), min((part + 1) * size, examples)


class Stream(Protocol):
    """Examples that come in blocks, where all of them would not fit into memory; `jaxsci.data.streaming.Stream` is one."""

    @property
    def examples(self) -> int:
        """How many there are."""

    @property
    def block(self) -> int:
        """How many a block has; the last is filled up with examples of weight 0, so that all have one shape."""

    def head(self, examples: int) -> Any:
        """The first few as a `Batch`, in the order they are stored in."""

    def blocks(
        self, epoch: int, first: int, place: Callable[[Any], Batch], shares: Shares | None = None
    ) -> Generator[Batch, None, None]:
        """The blocks of an epoch from the one numbered `first` on, each given to `place`, which puts it on the devices.

        Which examples a block has is a pure function of the epoch, however many were read before. With `shares` `place` is given those
        parts of the block that are needed here, by their numbers, each filled up to an equal part of the whole block.
        """


# Weighted means over a batch, and under "weight" the sum of its weights, so that means over many batches are exact.
Metrics: TypeAlias = Mapping[str, Array]
LossFn: TypeAlias = Callable[[Params, Batch], tuple[Array, Metrics]]
# As a LossFn, of the variables of a StatefulModel and of the key of the step (None in evaluation); the state comes back beside the metrics.
StatefulLossFn: TypeAlias = Callable[[Params, Batch, Key | None], tuple[Array, tuple[Metrics, Params]]]
ExampleLoss: TypeAlias = Callable[[Array, Array], Array]  # (output, target) of one example -> scalar
Penalty: TypeAlias = Callable[[Params], Array]  # J(a)
