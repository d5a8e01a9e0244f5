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
# # 2. Dense networks and autoencoders
#
# A dense network is an expansion in a basis that is not given but learned. This chapter compares it with a basis that
# is given (polynomials), shows what a penalty does to it, trains it to tell top-quark jets from QCD jets, and then
# takes the labels away: an autoencoder that has only seen one kind of jet is asked to notice the other, in both
# directions. On the way three statements are tested to many digits: a penalized linear fit against its closed form, a
# linear autoencoder against principal components, and the mean of the gradients of single examples against the
# gradient of the mean.
#
# **Time.** Some minutes on one CPU core. With the environment variable `JAXSCI_SMALL=1` the same code runs on few jets
# in less than one; the numbers are then worthless.
#
# **Data.** The jets are simulated (Pythia 8, particle level, no detector; see chapter 1): no figure of this notebook
# may be compared with a published one. **Intervals** are 68 % throughout.

# %%
import os

SMALL = bool(int(os.environ.get("JAXSCI_SMALL", "0")))

SEED = 1
SEEDS = 2 if SMALL else 4
WIDTHS = (16,) if SMALL else (4, 16, 64, 256)  # of the dense networks on one variable
CURVE_EPOCHS = 10 if SMALL else 400
JETS = 1_500 if SMALL else 30_000  # 40 % for training, 10 % for validation, 50 % for the test
JET_EPOCHS = 1 if SMALL else 5
FEW_JETS = 100 if SMALL else 500  # to train the classifiers of the penalty's path
PATH_EPOCHS = 2 if SMALL else 60
LATENTS = (2,) if SMALL else (1, 2, 4, 8)  # of the linear autoencoders

import io
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display
from numpy.polynomial import Chebyshev, legendre

from jaxsci import metrics
from jaxsci.core import Batch
from jaxsci.data import jets
from jaxsci.data.jets import images as jet_images
from jaxsci.data.split import split
from jaxsci.losses import binary_cross_entropy, correct, l2, objective, regularized, squared_error
from jaxsci.models import autoencoder, convolutional_autoencoder, dense, heads
from jaxsci.models.convolutional import Block
from jaxsci.plots import classification, style
from jaxsci.plots.reconstruction import latent_space, reconstructions
from jaxsci.runs import binary_evaluation
from jaxsci.runs.estimate import Estimate, rounded
from jaxsci.tasks.top_tagging import taggers
from jaxsci.training import (
    Recipe,
    Settings,
    adamw,
    fit,
    fit_ensemble,
    init_state,
    make_step,
    predict,
    steps_per_epoch,
    warmup_cosine,
)

BLOCKS = (Block(4, pool=4),) if SMALL else (Block(8, pool=2), Block(16, pool=2))  # of the convolutional autoencoder


def show(figure):
    """Display a figure as a PNG of moderate size."""
    png = io.BytesIO()
    with style.context():
        figure.savefig(png, dpi=100)
    display(Image(png.getvalue()))


def optimizer(learning_rate, settings, examples):
    """Adam with warm-up, cosine decay to zero over all epochs, and clipped gradients."""
    steps = settings.epochs * steps_per_epoch(examples, settings.batch_size)
    return adamw(learning_rate, schedule=warmup_cosine(steps), clip=1.0)


print(f"jax {jax.__version__}, seed {SEED}" + (", SMALL: numbers mean nothing" if SMALL else ""))

# %% [markdown]
# ## A basis that adapts
#
# An explicit basis is chosen before the data are seen, $f(x, a) = \sum_k a_k\, T_k(x)$ with, say, Chebyshev
# polynomials $T_k$. A dense network with one hidden layer looks the same,
#
# $$f(x, a) = c_0 + \sum_{k=1}^{K} c_k\, s(w_k x + b_k), \qquad s(z) = \max(0, z),$$
#
# but its basis functions $s(w_k x + b_k)$ have parameters of their own. Both are fitted by least squares to 400 noisy
# points of a **wave**, $\sin \pi x$, and of a **resonance**, $1 / (1 + (x - 0.3)^2 / 0.1^2)$, a narrow peak on flat
# ground. For each width $K$ both functions and all seeds are trained at once: `fit_ensemble` is `vmap` of the
# training, and which of the two targets a member sees is one more array to map over.

# %%
NAMES = ("wave", "resonance")
NOISE = 0.05


def truths(x):
    """Both functions, [point, function]."""
    return np.stack([np.sin(np.pi * x), 1 / (1 + ((x - 0.3) / 0.1) ** 2)], axis=1)


rng = np.random.default_rng(SEED)
x = rng.uniform(-1, 1, 400)
y = truths(x) + NOISE * rng.normal(size=(400, 2))
grid = np.linspace(-1, 1, 501)
points = Batch(x[:, None].astype(np.float32), y.astype(np.float32), np.ones(400, np.float32))
curve_settings = Settings(epochs=CURVE_EPOCHS, batch_size=50)
keys = jax.random.split(jax.random.key(SEED), SEEDS)
target = np.repeat([0, 1], SEEDS)


def curve_recipe(model, hyper):
    """Least squares on the function with the (traced) number `hyper["target"]`."""
    loss = objective(model.apply, lambda output, both: squared_error(output, both[hyper["target"]]))
    return Recipe(model, loss, optimizer(2e-2, curve_settings, 400))


def distance(curves, truth):
    """Root of the mean squared distance on the grid, the first axis."""
    return np.sqrt(np.mean((curves - truth) ** 2, axis=0))


fits, fitted, errors = {}, {}, {}
for width in WIDTHS:
    model = heads.scalar(dense.model(dense.Config(1, hidden=(width,))))
    recipe = partial(curve_recipe, model)
    keys_of_both = jnp.tile(keys, 2)
    made = fit_ensemble(recipe, {"target": target}, points, points, keys=keys_of_both, settings=curve_settings)
    fits[width] = made.params
    fitted[width] = predict(jax.vmap(model.apply, in_axes=(0, None)), made.params, grid[:, None].astype(np.float32))
    errors[width] = distance(fitted[width], truths(grid)[:, target]).reshape(2, SEEDS)

degrees = np.unique(np.geomspace(2, 50, 20).round().astype(int))
polynomials = {d: [Chebyshev.fit(x, y[:, k], d, domain=[-1, 1])(grid) for k in (0, 1)] for d in degrees}
polynomial_errors = np.array([distance(np.stack(both, axis=1), truths(grid)) for both in polynomials.values()]).T
best = polynomial_errors.argmin(axis=1)

with style.context():
    figure = style.figure(3.3)
    for k, axes in enumerate(figure.subplots(1, 2, sharey=True)):
        axes.plot(degrees + 1, polynomial_errors[k], ".-", color=style.GRAY, label="polynomial")
        parameters = [3 * width + 1 for width in WIDTHS]
        label = f"network, median of {SEEDS} seeds (dashes)"
        axes.plot(parameters, [np.median(errors[w][k]) for w in WIDTHS], "o-", color=style.color(k), label=label)
        axes.plot(parameters, [errors[w][k] for w in WIDTHS], "_", markersize=9, color=style.color(k))
        axes.axhline(NOISE, color=style.GRAY, linewidth=0.7, linestyle=":")
        axes.set(title=NAMES[k], xscale="log", yscale="log", ylim=(2e-3, 2), xlabel="parameters")
        axes.legend(loc="lower left")
        axes.grid(True)
    figure.axes[0].set_ylabel("RMS distance from the truth")
    style.footnote(figure, f"Dotted: the noise of a single point, {NOISE}.")
show(figure)

# %% [markdown]
# In one dimension a well-chosen basis is hard to beat on a smooth function, and its fit is solved exactly in one step.
# But a polynomial pays for a narrow feature anywhere with a high degree everywhere, and with too high a degree it runs
# away at the ends. A wide network does not, though it has more parameters than points. What it costs: a training that
# starts at random and may stop at a poor fit (the spread of the seeds). In many dimensions there is no choice:
# polynomials of degree $d$ in $n$ variables have $\binom{n + d}{d}$ coefficients, for the 1,600 pixels of a jet image
# and $d = 3$ some $7 \cdot 10^8$.
#
# Below, the fit to the resonance stands over the kinks of its basis functions, each at $x = -b_k / w_k$ with the
# change of slope that it makes. All began at $x = 0$; training has moved them to where the curve bends.

# %%
width = WIDTHS[len(WIDTHS) // 2]
member = SEEDS + int(np.argsort(errors[width][1])[SEEDS // 2])
hidden, output = (jax.tree.map(lambda leaf: np.asarray(leaf[member]), fits[width][f"layer_{i}"]) for i in (0, 1))
kinks = -hidden["bias"] / hidden["kernel"][0]
inside = np.abs(kinks) < 1
with style.context():
    figure = style.figure(4.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    upper.plot(x, y[:, 1], ".", color=style.GRAY, alpha=0.4, markersize=3, label="400 points")
    upper.plot(grid, truths(grid)[:, 1], color="black", linewidth=1, label="truth")
    upper.plot(grid, fitted[width][:, member], color=style.color(1), label=f"network, K = {width}, median seed")
    label = f"best polynomial, degree {degrees[best[1]]}"
    upper.plot(grid, polynomials[degrees[best[1]]][1], "--", color=style.color(0), label=label)
    upper.set(ylim=(-0.2, 1.3), ylabel="f(x)")
    upper.legend(loc="upper left")
    lower.vlines(kinks[inside], 0, np.abs(hidden["kernel"][0] * output["kernel"][:, 0])[inside], color=style.color(1))
    lower.set(xlabel="x", ylabel=r"change of slope $|c_k w_k|$", xlim=(-1, 1), ylim=(0, None))
show(figure)

# %% [markdown]
# ## Training as minimization, with a penalty
#
# A penalty $J(a)$ states what we expect of the parameters before we see data; the training minimizes
#
# $$L(a) = \frac1N \sum_i \ell\big(f(X_i, a), Y_i\big) + \lambda J(a), \qquad J(a) = \sum w^2 \text{ over all weights, not biases.}$$
#
# For a linear model (here 15 Legendre polynomials on 60 points of the resonance) the minimum is known in closed form,
# with centered features $\Phi$ and answers $y$: $a(\lambda) = (\tfrac1N \Phi^\top \Phi + \lambda)^{-1} \tfrac1N
# \Phi^\top y$. Does training get there? The step `(state, batch) -> (state, metrics)` is the body of a `scan`, the
# scan a function of $\lambda$, and its `vmap` the whole path.


# %%
def minimize(recipe, batch, steps):
    """The parameters after so many steps on the whole batch, and the loss at each step."""
    step, batch = make_step(recipe), jax.tree.map(jnp.asarray, batch)
    start = init_state(recipe, jax.random.key(SEED))
    state, reported = jax.lax.scan(lambda state, _: step(state, batch), start, length=steps)
    return state.params, reported["loss"]


STEPS = 4_000
abscissae = np.linspace(-1, 1, 60)
features = (legendre.legvander(abscissae, 15)[:, 1:] * np.sqrt(2 * np.arange(1, 16) + 1)).astype(np.float32)
answers = (truths(abscissae)[:, 1] + NOISE * rng.normal(size=60)).astype(np.float32)
linear = heads.scalar(dense.model(dense.Config(15, hidden=())))
strengths = np.geomspace(1e-4, 1e1, 16).astype(np.float32)


def ridge(strength):
    """The coefficients at this strength of the penalty."""
    loss = regularized(objective(linear.apply, squared_error), l2, strength)
    recipe = Recipe(linear, loss, adamw(0.1, schedule=warmup_cosine(STEPS)))
    return minimize(recipe, Batch(features, answers, np.ones(60, np.float32)), STEPS)[0]["layer_0"]["kernel"][:, 0]


trained = np.asarray(jax.jit(jax.vmap(ridge))(strengths))
phi, centered = features - features.mean(0, dtype=float), answers - answers.mean(dtype=float)
exact = np.stack([np.linalg.solve(phi.T @ phi / 60 + s * np.eye(15), phi.T @ centered / 60) for s in strengths])
print(f"largest difference of {exact.size} coefficients from the closed form: {np.abs(trained - exact).max():.1e}")

with style.context():
    figure = style.figure(2.9, width=5.5)
    axes = figure.subplots()
    for i, k in enumerate((0, 2, 4, 6, 8, 12)):
        axes.plot(strengths, exact[:, k], color=style.color(i), linewidth=1)
        axes.plot(strengths, trained[:, k], style.marker(0), color=style.color(i), label=f"$a_{{{k + 1}}}$")
    title = "lines: closed form; points: trained"
    axes.set(xscale="log", xlabel=r"strength $\lambda$", ylabel="coefficient", title=title)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(True)
show(figure)

# %% [markdown]
# Now the case that penalties are for: a network with far more parameters than examples. Its input are the 30 hardest
# constituents of a jet, for each the momentum fraction and two angles, centered, rotated and flipped (TopoDNN,
# [arXiv:1704.02124](https://arxiv.org/abs/1704.02124)). All strengths times all seeds are one `fit_ensemble`. Each
# member is trained to the minimum of its own objective: the training jets stand in for the validation, so that
# nothing stops early and the penalty alone works against overfitting.

# %%
sample = jets.read(jets.embedded(), limit=JETS)
constituents, labels = sample.constituents, sample.labels
labels = labels.astype(np.int32)
train_rows, validation_rows, test_rows = split(labels, seed=SEED, fractions=(0.4, 0.1, 0.5))
hardest = taggers.tagger("topodnn").inputs(constituents)


def batch_of(rows):
    """These jets as a batch in which each has weight 1."""
    return Batch(hardest[rows], labels[rows].astype(np.float32), np.ones(len(rows), np.float32))


classifier = heads.scalar(dense.model(dense.Config(90, hidden=(64, 64))))
few = batch_of(train_rows[:FEW_JETS])
path_settings = Settings(epochs=PATH_EPOCHS, batch_size=50)
path_strengths = np.geomspace(1e-6, 1e-1, 11).astype(np.float32)


def penalized(hyper):
    """A member's recipe; `hyper["strength"]` is lambda."""
    loss = regularized(objective(classifier.apply, binary_cross_entropy), l2, hyper["strength"])
    return Recipe(classifier, loss, optimizer(3e-3, path_settings, FEW_JETS))


path = fit_ensemble(
    penalized,
    {"strength": np.repeat(path_strengths, SEEDS)},
    few,
    few,
    keys=jnp.tile(keys, len(path_strengths)),
    settings=path_settings,
).params


@jax.jit
def losses_of(jets, labels):
    """Mean negative log-likelihood of these jets, without the penalty: [member]."""
    logits = jax.vmap(jax.vmap(classifier.apply, in_axes=(None, 0)), in_axes=(0, None))(path, jets)
    return jax.vmap(metrics.log_loss, in_axes=(0, None))(logits, labels)


with style.context():
    figure = style.figure(3.0, width=5.5)
    axes = figure.subplots()
    for i, (name, rows) in enumerate((("training", train_rows[:FEW_JETS]), ("validation", validation_rows))):
        loss = np.asarray(losses_of(hardest[rows], labels[rows])).reshape(-1, SEEDS)
        label = f"{style.counted(len(rows), name + ' jets')}"
        axes.plot(path_strengths, np.median(loss, axis=1), "o-", color=style.color(i), label=label)
        axes.fill_between(path_strengths, loss.min(1), loss.max(1), color=style.color(i), alpha=0.2, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel=r"strength $\lambda$", ylabel="loss without penalty")
    axes.legend(loc="lower right")
    axes.grid(True)
    style.footnote(figure, f"Median of {SEEDS} seeds; bands: from the lowest to the highest.")
show(figure)
parameters = sum(leaf[0].size for leaf in jax.tree.leaves(path))
medians = np.median(loss, axis=1)
print(f"{parameters:,} parameters; median validation loss {medians[0]:.3f} at the weakest penalty,")
print(f"{medians.min():.3f} at λ = {path_strengths[medians.argmin()]:.0e}, {medians[-1]:.3f} at the strongest")

# %% [markdown]
# ## A dense classifier of jets
#
# The best penalty is more data. Here is the dense network of the comparison of top taggers, 300-102-12-6-1, on all
# training jets, with early stopping on the validation part. Its last hidden layer has six units. With ReLU, a unit
# whose input is negative has no output and no gradient; where all six are silent, every jet gets the same score, and
# no cut can tell such jets apart. The share of the validation jets with the most common score shows it. A smooth
# activation (GELU) has no dead half; the validation part decides between the two, and only the choice is judged on
# the test part, against the jet mass.

# %%
topodnn_settings = Settings(epochs=2 * JET_EPOCHS, batch_size=100, patience=4)
candidates = {}
for activation in ("relu", "gelu"):
    model = heads.scalar(dense.model(dense.Config(90, hidden=(300, 102, 12, 6), activation=activation)))
    loss = objective(model.apply, binary_cross_entropy, metrics={"accuracy": correct})
    recipe = Recipe(model, loss, optimizer(2e-3, topodnn_settings, len(train_rows)))
    parts = batch_of(train_rows), batch_of(validation_rows)
    made = fit(recipe, *parts, key=jax.random.key(SEED), settings=topodnn_settings)
    candidates[activation] = model, made
    validation_scores = predict(model.apply, made.params, hardest[validation_rows])
    same = np.unique(validation_scores, return_counts=True)[1].max() / len(validation_rows)
    print(f"{activation}: validation loss {made.best_loss:.4f}, {same:.0%} of the jets share one score")
topodnn, topodnn_fit = min(candidates.values(), key=lambda candidate: candidate[1].best_loss)

is_top = labels[test_rows]
logits = predict(topodnn.apply, topodnn_fit.params, hardest[test_rows])
scores = {"dense network": logits, "mass": taggers.mass_score(constituents[test_rows])}
for name, values in scores.items():
    auc, rejection, _ = (rounded(Estimate(**found)) for found in binary_evaluation.ranking(values, is_top).values())
    print(f"{name:14} AUC {auc}, 1/ε_B at ε_S = 0.3: {rejection}")

# %% [markdown]
# ### Every example has its gradient
#
# The gradient that training follows is a mean. Its terms are one `vmap` away: `vmap(grad(loss))` over the examples.
# The mean of the terms must be the gradient of the mean. The norms say which jets pull hardest: those about which the
# network is wrong and sure of it.


# %%
def example_loss(params, jet, label):
    """The loss of one jet."""
    return binary_cross_entropy(topodnn.apply(params, jet), label)


per_example = jax.jit(jax.vmap(jax.grad(example_loss), in_axes=(None, 0, 0)))
probe = jax.tree.map(jnp.asarray, batch_of(test_rows[:500]))
terms = per_example(topodnn_fit.params, probe.x, probe.y)  # each leaf [jet, ...]
whole, _ = jax.jit(jax.grad(objective(topodnn.apply, binary_cross_entropy), has_aux=True))(topodnn_fit.params, probe)
difference = max(jax.tree.leaves(jax.tree.map(lambda each, mean: jnp.abs(each.mean(0) - mean).max(), terms, whole)))
largest = max(jnp.abs(leaf).max() for leaf in jax.tree.leaves(whole))
print(f"mean of {len(probe.y)} gradients - gradient of the mean: {difference:.0e}, largest entry {largest:.0e}")

norms = np.sqrt(sum((leaf**2).reshape(len(leaf), -1).sum(1) for leaf in jax.tree.leaves(terms)))
right = np.asarray(jax.nn.sigmoid(np.where(is_top == 1, 1, -1) * logits))[: len(norms)]
with style.context():
    figure = style.figure(3.0, width=5.5)
    axes = figure.subplots()
    for k, name in enumerate(("QCD", "top")):
        rows = is_top[: len(norms)] == k
        look = {"color": style.color(k), "alpha": 0.5, "markersize": 3}
        axes.plot(right[rows], norms[rows], style.marker(k), label=style.counted(rows.sum(), f"{name} jets"), **look)
    axes.set(yscale="log", xlabel="probability given to the right class", ylabel="norm of the gradient")
    axes.legend()
show(figure)
heaviest = norms >= np.quantile(norms, 0.9)
share, wrong = norms[heaviest].sum() / norms.sum(), np.mean(right[heaviest] < 0.5)
print(f"a tenth of the jets brings {share:.0%} of the sum of the norms; {wrong:.0%} of that tenth are misclassified")

# %% [markdown]
# ## Autoencoders
#
# An autoencoder learns to copy its input through a narrow place: an encoder $h$ to a few numbers, the *code* or
# *latent space*, and a decoder $g$ back, $L(a) = \frac1N \sum_i \| X_i - g(h(X_i)) \|^2$.
#
# ### The linear one is PCA
#
# If $h$ and $g$ are affine, the best possible error with $k$ latent numbers is that of the $k$ leading principal
# components (Eckart and Young 1936; Baldi and Hornik 1989), and the decoder spans the same space. Trained by gradient
# descent on jet images of $16 \times 16$ pixels: does it get there, and never below?

# %%
pixels = 16
AUTOENCODER_STEPS = 100 if SMALL else 2_000
small = pixels * np.sqrt(jet_images.images(constituents[train_rows[:2_000]], pixels=pixels))
small = (small - small.mean(0)).reshape(len(small), -1).astype(np.float32)
batch = Batch(small, small, np.ones(len(small), np.float32))
_, singular, components = np.linalg.svd(small.astype(np.float64), full_matrices=False)

for latent in LATENTS:
    model = autoencoder.model(autoencoder.Config((pixels**2,), latent=latent, hidden=(), initializer="glorot_normal"))
    schedule = warmup_cosine(AUTOENCODER_STEPS)
    recipe = Recipe(model, objective(model.apply, squared_error), adamw(3e-2, schedule=schedule))
    params, reported = jax.jit(partial(minimize, recipe, steps=AUTOENCODER_STEPS))(batch)
    reached, pca = float(reported[-1]), np.sum(singular[latent:] ** 2) / small.size
    decoder = np.linalg.qr(np.asarray(params["decoder"]["layer_0"]["kernel"], np.float64).T)[0]
    sine = np.linalg.norm(decoder - components[:latent].T @ (components[:latent] @ decoder), 2)
    print(f"{latent} latent: error {reached:.6f}, PCA {pca:.6f}; sine of the angle between the spaces {sine:.0e}")
    assert reached > pca * (1 - 1e-5)  # nothing of rank k is better; the margin is for sums in float32

# %% [markdown]
# ### Deep ones, as anomaly taggers
#
# An autoencoder that has only seen QCD jets should copy QCD jets well, and other jets badly: then the reconstruction
# error finds top quarks *without knowing what a top quark is*. That is the hope. If it is justified, the same must
# work the other way round, trained on top jets and looking for QCD jets. Such networks have been reported to find
# tops among QCD jets and to fail in the other direction ([arXiv:2104.09051](https://arxiv.org/abs/2104.09051)), so
# report both. Four ways to copy an image of $40 \times 40$ pixels (square roots of the $p_T$ fractions):
#
# - the **mean image** of the training jets: no code at all;
# - **PCA** with 6 components;
# - a **dense** autoencoder, 1600-128-32-6 and back;
# - a **convolutional** autoencoder, also with 6 latent numbers.
#
# Both directions and two seeds of a network are once more one compiled program: an example is a *pair*, a QCD jet
# and a top jet, and a member learns to copy the one with its (traced) number.

# %%
images = taggers.image_inputs(constituents)
LATENT = 6
convolutional_config = convolutional_autoencoder.Config((40, 40, 1), latent=LATENT, blocks=BLOCKS, hidden=(64,))
copiers = {
    "dense": autoencoder.model(autoencoder.Config((40, 40, 1), latent=LATENT, hidden=(128, 32))),
    "convolutional": convolutional_autoencoder.model(convolutional_config),
}
copy_settings = Settings(epochs=JET_EPOCHS, batch_size=100)
DIRECTIONS = ("trained on QCD, find top", "trained on top, find QCD")
trained_on = np.array([0, 0, 1, 1])  # the class that each member sees: two seeds a direction


def pairs(rows):
    """A QCD image beside a top image, [pair, class, row, column, 1], as inputs and as answers."""
    of_class = [rows[labels[rows] == label] for label in (0, 1)]
    both = np.stack([images[found[: min(map(len, of_class))]] for found in of_class], axis=1)
    return Batch(both, both, np.ones(len(both), np.float32))


def copy_recipe(model, hyper):
    """Copy the image of the class `hyper["label"]`."""
    loss = objective(
        lambda params, pair: model.apply(params, pair[hyper["label"]]),
        lambda copied, pair: squared_error(copied, pair[hyper["label"]]),
    )
    return Recipe(model, loss, optimizer(2e-3, copy_settings, len(train_rows) // 2))


test_images = images[test_rows]
copies = {"mean image": [], "PCA": [], "dense": [], "convolutional": []}  # [member][jet, row, column, 1]
for label in (0, 1):
    flat = images[train_rows[labels[train_rows] == label]].reshape(-1, 1600)
    mean = flat.mean(0)
    basis = np.linalg.eigh((flat - mean).T @ (flat - mean))[1][:, -LATENT:]
    copies["mean image"].append(np.broadcast_to(mean.reshape(40, 40, 1), test_images.shape))
    projected = mean + (test_images.reshape(-1, 1600) - mean) @ basis @ basis.T
    copies["PCA"].append(projected.reshape(test_images.shape))
copier_params = {}
for name, model in copiers.items():
    copier_params[name] = fit_ensemble(
        partial(copy_recipe, model),
        {"label": trained_on},
        pairs(train_rows),
        pairs(validation_rows),
        keys=jnp.tile(keys[:2], 2),
        settings=copy_settings,
    ).params
    for member in range(4):
        params = jax.tree.map(lambda leaf, member=member: leaf[member], copier_params[name])
        copies[name].append(predict(model.apply, params, test_images))

# The error of each test jet, [direction][seed]; where nothing is trained there is one "seed".
errors = {
    name: np.array_split([np.mean((copied - test_images) ** 2, axis=(1, 2, 3)) for copied in made], 2)
    for name, made in copies.items()
}
anomaly = (is_top, 1 - is_top)  # 1 for what is to be found in each direction
print("AUC of the reconstruction error; 0.5 is chance, below it the jets that were trained on are copied worse")
for k, direction in enumerate(DIRECTIONS):
    print(direction)
    for name, both in errors.items():
        found = [binary_evaluation.ranking(error, anomaly[k])["auc"] for error in both[k]]
        print(f"    {name:14}" + "".join(f"{rounded(Estimate(**area))!s:>24}" for area in found))

# %% [markdown]
# Look at the mean image before admiring the others. It knows nothing about any jet, its "reconstruction error" is only
# how far a jet is from the average, and that alone makes a good part of the result in one direction. The
# reconstruction error measures two things at once: how *strange* an image is to the network, and how *complex* it is.
# A top jet with its three cores is harder to copy than a QCD jet with one, for whatever network. In one direction both
# effects add, in the other they work against each other. Two seeds of the same network may differ by much more than
# the interval of each, which is that of the test jets: such a training is not under control.

# %%
roc_curve = jax.jit(metrics.roc_curve)
for k, direction in enumerate(DIRECTIONS):
    curves = {}
    for name, both in errors.items():
        curve = roc_curve(both[k][0], anomaly[k])
        rates = curve.true_positive_rate, curve.false_positive_rate
        curves[name] = classification.RocCurve(*rates, (anomaly[k] == 0).sum())
    figure = classification.roc(curves, baseline="mean image", noun="jets")
    figure.suptitle(direction)
    show(figure)

# %% [markdown]
# The distributions of the error show the same: how do the two classes lie to each other when the network was trained
# on one, and on the other?

# %%
for k, direction in enumerate(DIRECTIONS):
    by_class = {name: errors["convolutional"][k][0][is_top == label] for label, name in enumerate(("QCD", "top"))}
    label = "mean squared error per pixel, convolutional autoencoder"
    figure = classification.score_distributions(by_class, label=label, noun="jets")
    figure.axes[0].set_title(direction)
    show(figure)

# %% [markdown]
# What is kept? Originals and copies of the convolutional autoencoder that was trained on QCD jets: four QCD jets, then
# four top jets. Six numbers hold the main axis and the places of the cores; the soft particles between them are noise
# to the network, and are averaged away. Below, its latent space. It was trained without labels and without top jets;
# colors are put on afterwards.

# %%
shown = np.concatenate([np.flatnonzero(is_top == label)[:4] for label in (0, 1)])
show(reconstructions(test_images[shown], copies["convolutional"][0][shown]))

params = jax.tree.map(lambda leaf: leaf[0], copier_params["convolutional"])
codes = predict(partial(convolutional_autoencoder.encode, config=convolutional_config), params, test_images)
show(latent_space(codes, is_top, ["QCD", "top"], limit=3_000))

# %% [markdown]
# ## What to take along
#
# - A dense network is a basis that is fitted too. Where a good basis is known, use it; the network is for where none
#   is.
# - Every claim of the kind "is the minimum of" can be tested where theory knows the answer: a penalized linear model,
#   a linear autoencoder.
# - A penalty, a seed, a target are arrays, and a sweep over them is one compiled program.
# - An anomaly score has to be tried in both directions, and against a baseline that has learned nothing.
