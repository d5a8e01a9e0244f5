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
# A dense layer connects everything with everything. An image has structure: neighbors belong together, and a pattern
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
from jaxsci.data import jets
from jaxsci.data.jets import images as jet_images
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.models import convolutional, heads
from jaxsci.models.convolutional import Block
from jaxsci.ops import average_pool, conv, conv_output_size, conv_transpose, conv_transpose_output_size, max_pool
from jaxsci.ops.convolution._cpu import winograd as convolution_winograd
from jaxsci.plots import style


def show(figure, dpi=100):
    """Display a figure as a PNG of moderate size."""
    png = io.BytesIO()
    with style.context():
        figure.savefig(png, dpi=dpi)
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


def grid(axes, values, corner=(0, 0), form="{:.3g}", faces="white"):
    """A matrix as a table of squares; `corner` is the row and column of its first element."""
    values = np.asarray(values)
    faces = np.broadcast_to(faces, values.shape)
    for (i, j), value in np.ndenumerate(values):
        axes.add_patch(
            Rectangle((corner[1] + j, corner[0] + i), 1, 1, facecolor=faces[i, j], edgecolor=style.GRAY, linewidth=0.6)
        )
        text = "" if np.isnan(value) else form.format(value)
        axes.text(corner[1] + j + 0.45, corner[0] + i + 0.48, text, ha="center", va="center", fontsize=7)


def canvas(axes, rows, columns, title=""):
    """Axes whose unit is a square, row 0 on top."""
    axes.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal")
    axes.set_title(title, fontsize=8)
    axes.axis("off")


PADDING, WINDOW, RESULT = "#dddddd", "#cfe4f5", "#fdd0a2"


def slide(image, weights, output, *, inserted=None, stride=1, dilation=1, places=9):
    """A window of weights (small numbers) at the first places on an image, and the output found so far.

    `inserted` marks the elements of the image that are zeros put in.
    """
    (rows, columns), (height, width) = image.shape, output.shape
    background = np.where(np.zeros(image.shape, bool) if inserted is None else inserted, PADDING, "white")
    with style.context():
        figure = style.figure(0.42 + 7 / 3 * rows / (columns + 1 + width) * (places // 3))
        for place, axes in enumerate(figure.subplots(places // 3, 3).flat):
            i, j = divmod(place, width)
            canvas(axes, rows, columns + 1 + width)
            faces = background.copy()
            covered = [i * stride + dilation * np.arange(len(weights)), j * stride + dilation * np.arange(len(weights))]
            faces[np.ix_(*covered)] = WINDOW
            grid(axes, image, faces=faces)
            for (a, b), weight in np.ndenumerate(weights):
                corner = (covered[1][b] + 0.96, covered[0][a] + 0.97)
                axes.text(*corner, f"{weight:.0f}", ha="right", va="bottom", fontsize=5, color="#a03000")
            found = np.where(np.arange(output.size).reshape(output.shape) <= place, output, np.nan)
            faces = np.full(output.shape, "white", dtype=object)
            faces[i, j] = RESULT
            grid(axes, found, corner=((rows - height) / 2, columns + 1), faces=faces)
    return figure


show(slide(x, k, y), dpi=160)

# %% [markdown]
# Large numbers: the image, and to its right the output as far as it is known; small numbers: the weights of the window
# where it lies. The first output is $3 \cdot 0 + 3 \cdot 1 + 2 \cdot 2 + 0 \cdot 2 + \dots = 12$.
#
# **Padding** puts zeros around the image (gray), a **stride** $s$ skips places:

# %%
strided = plane(conv, x, kernel, strides=2, padding=1)
assert np.array_equal(strided, [[6, 17, 3], [8, 17, 13], [6, 4, 4]])
border = np.pad(np.zeros((5, 5), bool), 1, constant_values=True)
show(slide(np.pad(x, 1), k, strided, inserted=border, stride=2), dpi=160)

# %% [markdown]
# A **dilation** $d$ spreads the window over a larger part of the image, without more weights:

# %%
dilated = plane(conv, x, kernel, dilation=2, padding=1)
show(slide(np.pad(x, 1), k, dilated, inserted=border, dilation=2, places=3), dpi=160)

# %% [markdown]
# For an input of size $i$, a window $k$ and padding $p$ on either side the output has
#
# $$o = \left\lfloor \frac{i + 2p - k - (k-1)(d-1)}{s} \right\rfloor + 1$$
#
# (relation 15 of the paper).

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
        grid(axes, values, corner=[(5 - len(values)) / 2] * 2, form=form)
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
# The transpose is itself a sliding window: over its input, spread by $s - 1$ zeros between the elements and padded by
# $k - 1 - p$, slides the mirrored window. The 3 x 3 output from above goes back to 5 x 5 (not to the same numbers: a
# transpose is no inverse):

# %%
back = plane(conv_transpose, strided, kernel, strides=2, padding=1)
spread = np.zeros((7, 7), np.float32)
spread[1:6:2, 1:6:2] = strided
inserted = np.ones((7, 7), bool)
inserted[1:6:2, 1:6:2] = False
mirrored = k[::-1, ::-1]
assert np.array_equal(back, plane(conv, spread, jnp.asarray(mirrored)[:, :, None, None], padding="VALID"))
show(slide(spread, mirrored, np.asarray(back), inserted=inserted, places=3), dpi=160)

# %% [markdown]
# All relations of the paper, each on an example, by formula and by the library:

# %%
i, c, s = 5, 3, 2  # input, window, stride
relations = [
    ("no padding: i - k + 1", i - c + 1, conv_output_size(i, c, padding=0)),
    ("padding: i - k + 2p + 1", i - 4 + 2 * 2 + 1, conv_output_size(i, 4, padding=2)),
    ("half: i", i, conv_output_size(i, c, padding="HALF")),
    ("full: i + k - 1", i + c - 1, conv_output_size(i, c, padding="FULL")),
    ("stride: (i - k) // s + 1", (i - c) // s + 1, conv_output_size(i, c, strides=s, padding=0)),
    ("stride, padding: (i + 2p - k) // s + 1", (6 + 2 - c) // s + 1, conv_output_size(6, c, strides=s, padding=1)),
    ("pooling: (i - k) // s + 1", (i - 2) // 2 + 1, len(plane(partial(max_pool, window=2), x))),
    ("transpose of 1: i' + k - 1", i + c - 1, conv_transpose_output_size(i, c, padding=0)),
    ("transpose of 2: i' + k - 1 - 2p", i + 4 - 1 - 4, conv_transpose_output_size(i, 4, padding=2)),
    ("transpose of 3: i'", i, conv_transpose_output_size(i, c, padding="HALF")),
    ("transpose of 4: i' - (k - 1)", i - (c - 1), conv_transpose_output_size(i, c, padding="FULL")),
    ("transpose of 5: s (i' - 1) + k", s * (i - 1) + c, conv_transpose_output_size(i, c, strides=s, padding=0)),
    ("transpose of 6: s (i' - 1) + k - 2p", s * 4 + c - 2, conv_transpose_output_size(i, c, strides=s, padding=1)),
    (
        "any: s (i' - 1) + a + k - 2p, here a = 1",
        s * (i - 1) + 1 + c - 2,
        conv_transpose_output_size(i, c, strides=s, padding=1, output_size=10),
    ),
    ("dilation: (i + 2p - k - (k - 1)(d - 1)) // s + 1", 7 - c - 2 + 1, conv_output_size(7, c, dilation=2, padding=0)),
]
for number, (name, by_formula, by_library) in enumerate(relations, start=1):
    print(f"{number:2} {name:50} {by_formula:2} {by_library:2}")
    assert by_formula == by_library

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
        widths = [medians[name, kind] for kind in kinds]
        bars = axes.barh(np.arange(len(kinds)) + 0.4 * i, widths, 0.38, color=style.color(i), label=name)
        axes.bar_label(bars, fmt=" {:.1f}", fontsize=7.5)
    axes.set_yticks(np.arange(len(kinds)) + 0.2, kinds)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel=f"time (ms), median of {ROUNDS}")
    axes.margins(x=0.1)
    axes.legend(loc="upper right")
    axes.grid(True, axis="x")
show(figure)
for name in ("lax", "jaxsci"):
    ratio = medians[name, "step in a scan"] / medians[name, "step"]
    print(f"{name:7} a step in a scan takes {ratio:.2f} times as long as a step outside")

# %% [markdown]
# ### Fewer products
#
# One reason is that fewer products are needed than one thinks. Four neighboring outputs of a window of three are
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
