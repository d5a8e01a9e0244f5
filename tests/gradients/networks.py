"""Small random networks in float64, and their per-example gradients by `vmap(grad)` as one matrix."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Batch, WeightedSet
from jaxsci.losses import binary_cross_entropy, cross_entropy, objective, squared_error
from jaxsci.models import convolutional, deep_sets, dense
from jaxsci.ops import conv, conv_transpose

EXAMPLES = 5
WEIGHT = np.array([1.0, 0.5, 0.0, 2.0, 1.0])
WINDOWS = {1: (3,), 2: (3, 2), 3: (2, 2, 2)}


def _random(rng, tree):
    """Parameters of these shapes in float64, biases too."""
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.4), tree)


def _shapes(model):
    return jax.eval_shape(model.init, jax.random.key(0))


def _images(rng, shape, outputs):
    return Batch(rng.normal(size=(EXAMPLES, *shape)), rng.normal(size=(EXAMPLES, outputs)), WEIGHT)


def dense_network(rng):
    model = dense.model(dense.Config(inputs=4, hidden=(7, 6), outputs=3, activation="tanh"))
    batch = Batch(rng.normal(size=(EXAMPLES, 4)), rng.integers(0, 3, EXAMPLES), WEIGHT)
    return objective(model.apply, cross_entropy), _random(rng, _shapes(model)), batch


def set_network(rng):
    model = deep_sets.model(deep_sets.Config(features=3, phi=(9, 8), rho=(6,), activation="tanh"))
    weights = rng.uniform(size=(EXAMPLES, 4)) * (rng.uniform(size=(EXAMPLES, 4)) < 0.7)
    x = WeightedSet(rng.normal(size=(EXAMPLES, 4, 3)), weights)
    loss = objective(lambda params, x: model.apply(params, x)[0], binary_cross_entropy)
    return (
        loss,
        _random(rng, _shapes(model)),
        Batch(x, rng.integers(0, 2, EXAMPLES).astype(np.float64), WEIGHT),
    )


def image_network(rng):
    blocks = (convolutional.Block(3, pool=2), convolutional.Block(4, stride=2))
    model = convolutional.model(
        convolutional.Config((6, 6, 2), outputs=3, blocks=blocks, dense=(5,), activation="tanh")
    )
    return (
        objective(model.apply, squared_error),
        _random(rng, _shapes(model)),
        _images(rng, (6, 6, 2), 3),
    )


def convolution_network(rng, rank=1, strides=1, dilation=1, groups=1):
    """Two convolutions of `rank` dimensions, the second strided, dilated and in groups, and a sum over what comes out."""

    def apply(params, x):
        x = jnp.tanh(conv(x[None], params["first"], padding="SAME"))
        x = conv(x, params["second"], strides=strides, dilation=dilation, groups=groups, padding="SAME")[0]
        return jnp.tanh(x).sum(axis=tuple(range(rank))) @ params["head"]

    window = WINDOWS[rank]
    params = {
        "first": np.zeros((*window, 2, 4)),
        "second": np.zeros((*window, 4 // groups, 6)),
        "head": np.zeros((6, 2)),
    }
    return objective(apply, squared_error), _random(rng, params), _images(rng, (*(5,) * rank, 2), 2)


def tied_network(rng):
    """Parameters used twice: a recurrent matrix, its transpose, a shared bias; and a convolution with its transpose."""

    def apply(params, x):
        w, b = params["w"], params["b"]
        h = jnp.tanh(x @ w + b)
        h = jnp.tanh(h @ w * params["scale"] + b)
        h = h @ w.T.astype(jnp.float64)
        k = params["k"]
        image = conv_transpose(jnp.tanh(conv(h[None, :, None], k)), k)
        return image[0, :, 0] / (1 + params["scale"] ** 2)

    params = {"w": np.zeros((4, 4)), "b": np.zeros(4), "scale": np.zeros(4), "k": np.zeros((3, 1, 3))}
    return objective(apply, squared_error), _random(rng, params), _images(rng, (4,), 4)


def odd_network(rng):
    """An embedding, a slice, a norm of the weights, a scan, what is not known, a matrix for each feature, an unused parameter."""

    def apply(params, x):
        index, x = x[0].astype(jnp.int32), x[1:]
        h = x @ params["w"] / jnp.sqrt(jnp.sum(params["w"] ** 2))
        h = h + params["table"][index] + jnp.einsum("gi,gio->go", h.reshape(3, 1), params["each"])[:, 0]
        h, _ = jax.lax.scan(lambda h, _: (jnp.tanh(h @ params["r"][:3, :3]), None), h, None, length=3)
        return jnp.sort(h * params["r"][3, :3]) + jnp.cumsum(params["c"] * jnp.sin(h) + jnp.logaddexp(h, params["c"]))

    params = {"w": np.zeros((3, 3)), "table": np.zeros((4, 3)), "r": np.zeros((4, 4)), "c": np.zeros(3)}
    params |= {"each": np.zeros((3, 1, 2)), "unused": np.zeros(2)}
    loss, params, batch = objective(apply, squared_error), _random(rng, params), _images(rng, (4,), 3)
    batch.x[:, 0] = rng.integers(0, 4, EXAMPLES)
    return loss, params, batch


def linen_network(rng):
    from flax import linen

    from jaxsci.models.linen import from_linen

    class Network(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.Conv(4, (3, 3), strides=2, param_dtype=jnp.float64, dtype=jnp.float64)(x)
            x = linen.Conv(
                6, (2, 2), kernel_dilation=2, feature_group_count=2, param_dtype=jnp.float64, dtype=jnp.float64
            )(x)
            x = linen.LayerNorm(param_dtype=jnp.float64, dtype=jnp.float64)(jnp.tanh(x)).reshape(-1)
            return linen.Dense(2, param_dtype=jnp.float64, dtype=jnp.float64)(x)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        model = from_linen(Network(), np.zeros((5, 5, 2)))
        params = _shapes(model)

    def apply(params, x):
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return model.apply(params, x)

    return objective(apply, squared_error), _random(rng, params), _images(rng, (5, 5, 2), 2)


NETWORKS = {
    "dense": dense_network,
    "set": set_network,
    "images": image_network,
    "tied": tied_network,
    "odd": odd_network,
    "linen": linen_network,
    "conv1d": lambda rng: convolution_network(rng, 1, strides=2),
    "conv2d": lambda rng: convolution_network(rng, 2, strides=(2, 1), dilation=(1, 2), groups=2),
    "conv3d": lambda rng: convolution_network(rng, 3, groups=2),
}


def random_network(rng):
    """One of seven kinds: dense, sets, weights used twice, flax.linen, convolutions of 1 to 3 dimensions; of random sizes and options."""
    kind = rng.integers(7)
    if kind < 3:
        rank = kind + 1
        groups, strides, dilation = (int(rng.integers(1, 3)) for _ in range(3))
        return convolution_network(rng, int(rank), strides=strides, dilation=dilation, groups=groups)
    if kind == 3:
        return linen_network(rng)
    if kind == 4:
        return tied_network(rng)
    widths = tuple(int(width) for width in rng.integers(1, 12, rng.integers(1, 4)))
    if kind == 5:
        activation = str(rng.choice(["tanh", "gelu", "silu"]))
        model = dense.model(dense.Config(inputs=3, hidden=widths, outputs=4, activation=activation))
        batch = Batch(rng.normal(size=(EXAMPLES, 3)), rng.integers(0, 4, EXAMPLES), WEIGHT)
        return objective(model.apply, cross_entropy), _random(rng, _shapes(model)), batch
    model = deep_sets.model(deep_sets.Config(features=2, phi=widths, rho=(5,), activation="tanh"))
    number = int(rng.integers(1, 9))
    weights = rng.uniform(size=(EXAMPLES, number)) * (rng.uniform(size=(EXAMPLES, number)) < 0.7)
    x = WeightedSet(rng.normal(size=(EXAMPLES, number, 2)), weights)
    y = rng.integers(0, 2, EXAMPLES).astype(np.float64)
    loss = objective(lambda params, x: model.apply(params, x)[0], binary_cross_entropy)
    return loss, _random(rng, _shapes(model)), Batch(x, y, WEIGHT)


def flat(tree):
    """[..., all numbers] of a tree whose leaves are parameters."""
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def matrix(loss, params, batch):
    """[example, all numbers]: the gradients of the losses of single examples, one after another and by no means of this library."""

    def of_example(params, example):
        return loss(params, jax.tree.map(lambda leaf: leaf[None], example))[0]

    found = jax.jit(jax.vmap(jax.grad(of_example), in_axes=(None, 0)))(params, jax.tree.map(jnp.asarray, batch))
    return np.concatenate([np.asarray(leaf).reshape(EXAMPLES, -1) for leaf in jax.tree.leaves(found)], axis=1)
