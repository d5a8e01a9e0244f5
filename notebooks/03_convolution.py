# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. Convolution
#
# A dense layer connects everything with everything. An image has structure: neighbours belong together, and a pattern
# means the same wherever it lies. A convolution has both built in: a small **window** (or kernel) of weights slides
# over the image, the same weights everywhere. This chapter follows the arithmetic of
# [arXiv:1603.07285](https://arxiv.org/abs/1603.07285) with its own example, puts filters on real jet images, and then
# looks at what training needs: three derivatives that are again convolutions, and how fast they are.
#
# **Time.** About a minute on two CPU cores; less with the environment variable `JAXSCI_SMALL=1`.

# %%
import os

SMALL = bool(int(os.environ.get("JAXSCI_SMALL", "0")))

SEED = 1
JETS = 200 if SMALL else 10_000
BATCH, ROUNDS = (4, 2) if SMALL else (64, 15)

import io
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display
from jax import lax
from matplotlib.patches import Rectangle

from jaxsci.core import Batch
from jaxsci.data import jet_images, jets
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.models import convolutional, heads
from jaxsci.models.convolutional import Block
from jaxsci.ops import (
    average_pool,
    conv,
    conv_output_size,
    conv_transpose,
    conv_transpose_output_size,
    convolution_winograd,
    max_pool,
)
from jaxsci.plots import style


def show(figure):
    """Display a figure as a PNG of moderate size."""
    png = io.BytesIO()
    with style.context():
        figure.savefig(png, dpi=100)
    display(Image(png.getvalue()))


print(f"jax {jax.__version__} on {jax.default_backend()}" + (", SMALL: numbers mean nothing" if SMALL else ""))

# %% [markdown]
# ## A window slides
#
# At each place the window's weights are multiplied with the numbers below them and added up:
#
# $$y_{t} = \sum_w x_{t + w}\, k_w$$
#
# in each dimension. (Strictly this is a cross-correlation; a convolution in the sense of mathematics mirrors the
# kernel first. Networks learn the kernel, so it does not matter to them, and the name has stuck.) Arrays have a batch
# axis first and a channel axis last, `[batch, height, width, channel]`.

# %%
x = np.array([[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]], np.float32)
k = np.array([[0, 1, 2], [2, 2, 0], [0, 1, 2]], np.float32)


def plane(function, image, *kernels, **options):
    """A function of batches with channels, applied to one image with one channel."""
    return function(jnp.asarray(image)[None, :, :, None], *kernels, **options)[0, :, :, 0]


kernel = jnp.asarray(k)[:, :, None, None]  # [height, width, in, out]
y = plane(conv, x, kernel, padding="VALID")
print(np.asarray(y))
assert np.array_equal(y, [[12, 12, 17], [10, 17, 19], [9, 6, 14]])


def grid(axes, values, corner=(0, 0), form="{:.0f}", face="white"):
    """A matrix as a table of squares; `corner` is the row and column of its first element."""
    for (i, j), value in np.ndenumerate(np.asarray(values)):
        axes.add_patch(
            Rectangle((corner[1] + j, corner[0] + i), 1, 1, facecolor=face, edgecolor=style.GREY, linewidth=0.6)
        )
        axes.text(corner[1] + j + 0.5, corner[0] + i + 0.5, form.format(value), ha="center", va="center", fontsize=8)


def frame(axes, corner, size, colour):
    """An outline of `size` rows and columns."""
    axes.add_patch(Rectangle(corner[::-1], *size[::-1], fill=False, edgecolor=colour, linewidth=2))


def canvas(axes, rows, columns, title=""):
    """Axes whose unit is a square, row 0 on top."""
    axes.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal")
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def slide(image, output, window, stride=1, title=""):
    """The first steps of a window over an image (padding included), and the output it leaves."""
    rows, columns = image.shape
    with style.context():
        figure = style.figure(2.3)
        panels = figure.subplots(1, 4, width_ratios=(1, 1, 1, 0.8))
        for number, axes in enumerate(panels[:3]):
            i, j = divmod(number, output.shape[1])
            canvas(axes, rows, columns, f"y[{i}, {j}] = {float(output[i, j]):.3g}")
            grid(axes, image)
            frame(axes, (i * stride, j * stride), window, style.colour(1))
        canvas(panels[3], rows, columns * 0.8, title)
        grid(panels[3], output, form="{:.3g}", face="#eaf3fa")
    return figure


show(slide(x, y, (3, 3), title="y"))

# %% [markdown]
# **Padding** puts zeros around the image, a **stride** $s$ skips places, a **dilation** $d$ spreads the window. For an
# input of size $i$, a window $k$ and padding $p$ on either side the output has
#
# $$o = \left\lfloor \frac{i + 2p - k - (k-1)(d-1)}{s} \right\rfloor + 1$$
#
# (relation 15; the relations 1 to 6 are its cases).

# %%
strided = plane(conv, x, kernel, strides=2, padding=1)
assert np.array_equal(strided, [[6, 17, 3], [8, 17, 13], [6, 4, 4]])
show(slide(np.pad(x, 1), strided, (3, 3), stride=2, title="stride 2, padding 1"))

cases = {
    "no padding": {"padding": 0},
    "half (SAME)": {"padding": "HALF"},
    "full": {"padding": "FULL"},
    "stride 2": {"strides": 2, "padding": 0},
    "stride 2, padding 1": {"strides": 2, "padding": 1},
    "dilation 2": {"dilation": 2, "padding": 0},
}
for name, options in cases.items():
    size = conv_output_size(5, 3, **options)
    assert plane(conv, x, kernel, **options).shape == (size, size)
    print(f"{name:20} 5 -> {size}")

# %% [markdown]
# **Pooling** slides a window without weights: the maximum or the mean of what it sees (relation 7).

# %%
largest = plane(partial(max_pool, window=3, strides=1), x)
mean = plane(partial(average_pool, window=3, strides=1), x)
assert np.array_equal(largest, [[3, 3, 3], [3, 3, 3], [3, 2, 3]])
with style.context():
    figure = style.figure(2.0, width=5.5)
    pooled = [("x", x, "{:.0f}"), ("maximum, 3x3", largest, "{:.0f}"), ("mean, 3x3", mean, "{:.1f}")]
    for axes, (title, values, form) in zip(figure.subplots(1, 3), pooled, strict=True):
        canvas(axes, 5, 5, title)
        grid(axes, values, form=form)
show(figure)

# %% [markdown]
# ## The transpose
#
# A convolution is linear in the image, so it is a matrix, sparse and with repeated entries. Its **transpose** goes
# from the output's shape back to the input's: it is what carries gradients down, and what a decoder uses to enlarge an
# image. It is defined by
#
# $$\langle k * x,\; y \rangle = \langle x,\; k *^T y \rangle .$$
#
# With a stride several input sizes have the same output size; the transpose must be told which one,
# $o' = s(i'-1) + a + k - 2p$ with $0 \le a < s$ (relation 14).

# %%
rng = np.random.default_rng(SEED)
with jax.enable_x64(True):
    wide, weights = rng.normal(size=(1, 6, 6, 1)), rng.normal(size=(3, 3, 1, 1))
    down = conv(wide, weights, strides=2, padding=1)
    other = rng.normal(size=down.shape)
    up = conv_transpose(other, weights, strides=2, padding=1, output_size=6)
    print(f"<k*x, y> = {jnp.vdot(down, other):.12f}, <x, k*^T y> = {jnp.vdot(wide, up):.12f}")
    columns = jax.jacobian(lambda image: conv(image, weights, strides=2, padding=1))(wide).reshape(9, 36)
sizes = [conv_transpose_output_size(3, 3, strides=2, padding=1, output_size=size) for size in (5, 6)]
print(f"inputs whose stride-2 output has size 3: {sizes}")

with style.context():
    figure = style.figure(2.4)
    axes = figure.subplots()
    shown = axes.imshow(columns, cmap="RdBu_r", vmin=-2.5, vmax=2.5)
    axes.set(
        xlabel="pixel of the input (6 x 6)", ylabel="pixel of the output (3 x 3)", title="the convolution as a matrix"
    )
    figure.colorbar(shown, label="weight")
show(figure)

# %% [markdown]
# ## Filters on a jet
#
# Some kernels have names. On a top-quark jet (simulated, at particle level; chapter 1) and on the average of many the
# gradients respond to the edges of the three cores, the Laplacian to points, and the mean over a window smears.

# %%
sample = jets.JetSample(*(None if a is None else a[:JETS] for a in jets.read(jets.embedded())))
tops = np.flatnonzero(sample.labels == 1)
images = jet_images.images(sample.constituents)
mass = jets.mass(sample.constituents)
one = images[tops[np.abs(mass[tops] - np.median(mass[tops])).argmin()]]
average = images[tops].mean(0)

smooth = np.outer([1, 2, 1], [1, 2, 1]) / 16
filters = {
    "horizontal gradient": np.outer([1, 2, 1], [-1, 0, 1]) / 8,
    "vertical gradient": np.outer([-1, 0, 1], [1, 2, 1]) / 8,
    "Laplacian": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "smoothing": smooth,
}
bank = jnp.asarray(np.stack(list(filters.values()), -1)[:, :, None, :], jnp.float32)  # [3, 3, 1, 4]
pictures = {"one top jet": 40 * np.sqrt(one), f"average of {len(tops):,}": 1000 * average}
responses = conv(jnp.asarray(np.stack(list(pictures.values())), jnp.float32)[..., None], bank)

with style.context():
    figure = style.figure(3.4)
    for row, (name, picture), maps in zip(figure.subplots(2, 5), pictures.items(), responses, strict=True):
        for axes, title, values in zip(row, ["image", *filters], [picture, *jnp.moveaxis(maps, -1, 0)], strict=True):
            limit = float(np.abs(values).max())
            signed = title not in ("image", "smoothing")
            low = -limit if signed else 0
            axes.imshow(values, origin="lower", cmap="RdBu_r" if signed else "magma_r", vmin=low, vmax=limit)
            axes.set(xticks=[], yticks=[])
            axes.set_title(title if name == "one top jet" else "", fontsize=8)
        row[0].set_ylabel(name, fontsize=8)
    style.footnote(
        figure, "40 x 40 pixels of the preprocessed jet; each picture on its own scale, blue negative, red positive."
    )
show(figure)

# %% [markdown]
# ## Three convolutions in one
#
# The number $\langle y, k * x \rangle$ is linear in each of its three arrays. Leaving one out gives three operations:
# the **output** from $x$ and $k$, the gradient by the **input** from $k$ and $y$, the gradient by the **kernel** from
# $x$ and $y$. Each is the derivative of the others, so no derivative, of any order, leads out of the three. The
# library's primitives are exactly these. Here is what the gradient of a gradient consists of:


# %%
def energy(image, weights):
    """Some nonlinear number that depends on a convolution."""
    return jnp.sum(jnp.tanh(conv(image, weights)))


def primitives(jaxpr):
    """Names of the convolution primitives in a program, in order."""
    return [equation.primitive.name for equation in jaxpr.eqns if "convolution" in equation.primitive.name]


image, weights = jnp.ones((1, 8, 8, 2)), jnp.ones((3, 3, 2, 4))
gradient = jax.grad(energy, argnums=(0, 1))
print("value:   ", *primitives(jax.make_jaxpr(energy)(image, weights).jaxpr))
print("gradient:", *primitives(jax.make_jaxpr(gradient)(image, weights).jaxpr))
hessian_vector = jax.make_jaxpr(lambda *a: jax.jvp(gradient, a, a)[1])(image, weights)
print("Hessian: ", *primitives(hessian_vector.jaxpr))

# %% [markdown]
# ## Why the kernel gradient matters
#
# All three need the same number of products. They are far from equally fast: frameworks tune the forward pass. The
# gradient by the kernel sums over all images and pixels, an odd shape for a convolution; and in a compiled loop (the
# epoch of a training) XLA's CPU compiler no longer finds its fast kernels. Measure it here and now: a layer of 32
# channels, 3 x 3, in `lax` and in this library, the calls in turn; and eight training steps in a `scan` against eight
# steps outside.


# %%
def lax_conv(image, weights):
    return lax.conv_general_dilated(image, weights, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def loss(convolution, weights, image):
    return jnp.sum(convolution(image, weights) ** 2)


def step(convolution, weights, image):
    return weights - 1e-6 * jax.grad(partial(loss, convolution))(weights, image), None


image = jnp.asarray(rng.normal(size=(BATCH, 20, 20, 32)), jnp.float32)
weights = jnp.asarray(rng.normal(size=(3, 3, 32, 32)) / 17, jnp.float32)
cotangent = conv(image, weights)
many = jnp.tile(image, (8, 1, 1, 1, 1))

calls = {}
for name, convolution in {"lax": lax_conv, "jaxsci": conv}.items():

    def by_input(w, c, f=convolution):
        return jax.linear_transpose(lambda i: f(i, w), image)(c)[0]

    def by_kernel(i, c, f=convolution):
        return jax.linear_transpose(lambda w: f(i, w), weights)(c)[0]

    calls[name, "output"] = partial(jax.jit(convolution), image, weights)
    calls[name, "input gradient"] = partial(jax.jit(by_input), weights, cotangent)
    calls[name, "kernel gradient"] = partial(jax.jit(by_kernel), image, cotangent)
    calls[name, "step"] = partial(jax.jit(partial(step, convolution)), weights, image)
    calls[name, "step in a scan"] = partial(jax.jit(partial(lax.scan, partial(step, convolution))), weights, many)

seconds = {key: [] for key in calls}
for _ in range(ROUNDS + 1):
    for key, call in calls.items():
        began = time.perf_counter()
        jax.block_until_ready(call())
        seconds[key].append((time.perf_counter() - began) / (8 if "scan" in key[1] else 1))
medians = {key: 1e3 * np.median(times[1:]) for key, times in seconds.items()}  # the first call compiles

with style.context():
    figure = style.figure(3.0, width=6)
    axes = figure.subplots()
    kinds = list(dict.fromkeys(kind for _, kind in medians))
    for i, name in enumerate(("lax", "jaxsci")):
        axes.barh(
            np.arange(len(kinds)) + 0.4 * i,
            [medians[name, kind] for kind in kinds],
            0.38,
            color=style.colour(i),
            label=name,
        )
    axes.set_yticks(np.arange(len(kinds)) + 0.2, kinds)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel=f"time (ms), median of {ROUNDS}")
    axes.legend()
    axes.grid(True, axis="x", which="both")
show(figure)
for name in ("lax", "jaxsci"):
    ratio = medians[name, "step in a scan"] / medians[name, "step"]
    print(f"{name:7} a step in a scan takes {ratio:.2f} times as long as a step outside")

# %% [markdown]
# ### Fewer products
#
# One reason is that fewer products are needed than one thinks. Four neighbouring outputs of a window of three are
# twelve products by the formula; six are enough, at the price of some additions: transform six inputs and the window,
# multiply element by element, transform back (minimal filtering: Winograd 1980; Lavin and Gray,
# [arXiv:1509.09308](https://arxiv.org/abs/1509.09308)). In two dimensions 36 products do the work of 144.

# %%
matrices = convolution_winograd.matrices(3)
data, window = rng.normal(size=6), rng.normal(size=3)
few = matrices.output @ ((matrices.kernel @ window) * (matrices.input @ data))
direct = np.array([data[t : t + 3] @ window for t in range(4)])
print(f"6 products: {few}")
print(f"12 products: {direct}, largest difference {np.abs(few - direct).max():.0e}")

# %% [markdown]
# ## Second order
#
# Curvature needs derivatives of derivatives: the product of the Hessian with a vector is the directional derivative of
# the gradient (`jvp` of `grad`), that of the Gauss-Newton matrix $J^T H_L J$ is a push forward and a pull back (`vjp`
# of `jvp`). Both go through the convolutions as through anything else. A small network on jets, in float64, against
# finite differences of the gradient. (Its activation is smooth and it does not pool by maxima: at a kink there is no
# second derivative.)

# %%
with jax.enable_x64(True):
    config = convolutional.Config(
        (40, 40, 1), blocks=(Block(4, stride=2), Block(8, stride=2)), dense=(16,), activation="gelu"
    )
    network = heads.scalar(convolutional.model(config))
    rows = slice(0, 64)
    inputs = jnp.asarray(40 * np.sqrt(images[rows, ..., None]), jnp.float64)
    batch = Batch(inputs, jnp.asarray(sample.labels[rows], jnp.float64), jnp.ones(64, jnp.float64))
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), network.init(jax.random.key(SEED)))
    mean_loss = objective(network.apply, binary_cross_entropy)
    gradient = jax.jit(jax.grad(lambda p: mean_loss(p, batch)[0]))
    keys = jax.random.split(jax.random.key(2), len(jax.tree.leaves(params)))
    shapes, structure = jax.tree.flatten(params)
    direction = structure.unflatten(
        [jax.random.normal(key, leaf.shape, jnp.float64) for key, leaf in zip(keys, shapes, strict=True)]
    )
    exact = jax.jit(lambda p, v: jax.jvp(gradient, (p,), (v,))[1])(params, direction)


def finite_difference(h):
    """(gradient(a + h v) - gradient(a - h v)) / 2h"""
    up, down = (gradient(jax.tree.map(lambda a, v, s=s: a + s * h * v, params, direction)) for s in (1, -1))
    return jax.tree.map(lambda a, b: (a - b) / (2 * h), up, down)


with jax.enable_x64(True):
    size = np.sqrt(sum(float(jnp.vdot(leaf, leaf)) for leaf in jax.tree.leaves(exact)))
    for h in (1e-2, 1e-3, 1e-4, 1e-5):
        error = jax.tree.map(jnp.subtract, finite_difference(h), exact)
        norm = np.sqrt(sum(float(jnp.vdot(leaf, leaf)) for leaf in jax.tree.leaves(error)))
        print(f"h = {h:.0e}: finite difference - Hessian v, relative {norm / size:.1e}")

# %% [markdown]
# The Gauss-Newton matrix is never written down, but its largest eigenvalue, the sharpest direction of the loss, is a
# few products away (power iteration). The learning rate of plain gradient descent must stay below two over it.

# %%
with jax.enable_x64(True):

    def logits(p):
        """Of all jets of the batch."""
        return jax.vmap(network.apply, in_axes=(None, 0))(p, batch.x)

    @jax.jit
    def gauss_newton(p, v):
        """J^T H_L J v, with the second derivative p (1 - p) / N of the mean loss by each logit."""
        outputs, pushed = jax.jvp(logits, (p,), (v,))
        probability = jax.nn.sigmoid(outputs)
        return jax.vjp(logits, p)[1](probability * (1 - probability) * pushed / len(outputs))[0]

    vector = direction
    for _ in range(60):
        vector = gauss_newton(params, vector)
        norm = jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(vector)))
        vector = jax.tree.map(lambda leaf, n=norm: leaf / n, vector)
    print(f"largest eigenvalue {norm:.3f}: plain gradient descent needs a learning rate below {2 / norm:.3f}")
