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
# is given (polynomials), shows what losses and penalties do to it, trains it to tell top-quark jets from QCD jets,
# and then takes the labels away: an autoencoder that has only seen one kind of jet is asked to notice the other, in
# both directions. On the way three statements are tested to many digits: a penalised linear fit against its closed
# form, a linear autoencoder against principal components, and the mean of the gradients of single examples against
# the gradient of the mean.
#
# **Time.** A few minutes on two CPU cores. With the environment variable `JAXSCI_SMALL=1` it runs with fewer jets and
# epochs in less than one minute; the numbers are then worthless, the code is the same.
#
# **Data.** The jets are simulated (Pythia 8, particle level, no detector; see chapter 1): no figure of this notebook
# may be compared with a published one. **Intervals** are 68 % throughout.

# %%
import os

SMALL = bool(int(os.environ.get("JAXSCI_SMALL", "0")))

SEED = 1
SEEDS = 2 if SMALL else 4
WIDTHS = (4, 16) if SMALL else (4, 16, 64, 256)  # of the dense networks on one variable
CURVE_EPOCHS = 20 if SMALL else 400
LATENTS = (1, 4) if SMALL else (1, 2, 4, 8)  # of the linear autoencoders
JETS = 1_500 if SMALL else 30_000  # 40 % for training, 10 % for validation, 50 % for the test
JET_EPOCHS = 2 if SMALL else 5
FEW_JETS = 100 if SMALL else 500  # to train the classifiers of the penalty's path
PATH_EPOCHS = 4 if SMALL else 60

import io
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display
from numpy.polynomial import Chebyshev, legendre

from jaxsci import metrics
from jaxsci.core import Batch
from jaxsci.data import jet_images, jets
from jaxsci.data.split import split
from jaxsci.losses import (
    absolute_error,
    binary_cross_entropy,
    correct,
    huber,
    l2,
    objective,
    regularised,
    squared_error,
)
from jaxsci.models import autoencoder, convolutional_autoencoder, dense, heads
from jaxsci.models.convolutional import Block
from jaxsci.plots import classification, style
from jaxsci.plots.estimate import Estimate, rounded
from jaxsci.plots.reconstruction import latent_space, reconstructions
from jaxsci.plots.training import learning_curves
from jaxsci.tasks import taggers
from jaxsci.training import Recipe, Settings, fit, fit_ensemble, init_state, make_step, predict
from jaxsci.training.epoch import steps_per_epoch
from jaxsci.training.optimizers import adamw, warmup_cosine

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


print(
    f"jax {jax.__version__} on {jax.default_backend()}, seed {SEED}"
    + (", SMALL: numbers mean nothing" if SMALL else "")
)

# %% [markdown]
# ## A basis that adapts
#
# An explicit basis is chosen before the data are seen, $f(x, a) = \sum_k a_k\, T_k(x)$ with, say, Chebyshev
# polynomials $T_k$. A dense network with one hidden layer looks the same,
#
# $$f(x, a) = c_0 + \sum_{k=1}^{K} c_k\, s(w_k x + b_k), \qquad s(z) = \max(0, z),$$
#
# but its basis functions $s(w_k x + b_k)$ have parameters of their own. Both are fitted by least squares to 400 noisy
# points of
#
# - a **wave**, $\sin \pi x$, as smooth as a function can be;
# - a **resonance**, $1 / (1 + (x - 0.3)^2 / 0.1^2)$, a narrow peak on flat ground.
#
# For each width $K$ both functions and all seeds are trained at once: which of the two targets a member of the
# ensemble sees is one more array to map over.

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


def network(width):
    """The dense network with one hidden layer of this width, from a number to a number."""
    return heads.scalar(dense.model(dense.Config(1, hidden=(width,))))


def curve_recipe(model, hyper):
    """Least squares on the function with the (traced) number `hyper["target"]`."""
    loss = objective(model.apply, lambda output, both: squared_error(output, both[hyper["target"]]))
    return Recipe(model, loss, optimizer(2e-2, curve_settings, 400))


def rms(predicted, target):
    """Root of the mean squared distance from the true functions on the grid, over the first axis."""
    return np.sqrt(np.mean((predicted - target) ** 2, axis=0))


keys = jax.random.split(jax.random.key(SEED), SEEDS)
target = np.repeat([0, 1], SEEDS)
fits, network_errors = {}, {}
for width in WIDTHS:
    model = network(width)
    fits[width] = fit_ensemble(
        partial(curve_recipe, model),
        {"target": target},
        points,
        points,
        keys=jnp.concatenate([keys, keys]),
        settings=curve_settings,
    ).params
    curves = predict(jax.vmap(model.apply, in_axes=(0, None)), fits[width], grid[:, None].astype(np.float32))
    network_errors[width] = rms(curves, truths(grid)[:, target]).reshape(2, SEEDS)

degrees = np.unique(np.geomspace(2, 60, 24).round().astype(int))
polynomials = {d: [Chebyshev.fit(x, y[:, k], d, domain=[-1, 1]) for k in (0, 1)] for d in degrees}
polynomial_errors = np.array(
    [rms(np.stack([p(grid) for p in both], axis=1), truths(grid)) for both in polynomials.values()]
).T

# %%
with style.context():
    figure = style.figure(3.4)
    panels = figure.subplots(1, 2, sharey=True)
    for k, axes in enumerate(panels):
        axes.plot(degrees + 1, polynomial_errors[k], ".-", color=style.GREY, label="polynomial")
        parameters = [3 * width + 1 for width in WIDTHS]
        median = [np.median(network_errors[width][k]) for width in WIDTHS]
        axes.plot(parameters, median, "o-", color=style.colour(k), label=f"network, median of {SEEDS} seeds")
        for count, width in zip(parameters, WIDTHS, strict=True):
            axes.plot([count] * SEEDS, network_errors[width][k], "_", markersize=9, color=style.colour(k))
        axes.axhline(NOISE, color=style.GREY, linewidth=0.7, linestyle=":")
        axes.set(title=NAMES[k], xscale="log", yscale="log", ylim=(2e-3, 2), xlabel="Parameters")
        axes.legend(loc="upper right")
        axes.grid(True)
    panels[0].set_ylabel("RMS distance from the truth")
    style.footnote(
        figure, f"Dotted: the noise of a single point, {NOISE}. Polynomials that leave the picture are worse than 2."
    )
show(figure)

for k, name in enumerate(NAMES):
    best = polynomial_errors[k].argmin()
    print(
        f"{name:10} best polynomial {polynomial_errors[k][best]:.4f} (degree {degrees[best]}); degree {degrees[-1]}: "
        f"{polynomial_errors[k][-1]:.2g}; networks, medians: "
        + ", ".join(f"K = {width}: {np.median(network_errors[width][k]):.4f}" for width in WIDTHS)
    )

# %% [markdown]
# Read it with the right expectations. In one dimension a well-chosen basis is hard to beat on a smooth function, and
# its fit is solved exactly in one step. A polynomial pays for a narrow feature anywhere with a high degree
# everywhere, and with too high a degree it runs away between the points. The network puts its basis functions where
# they are needed, and a wide one does not run away, though it has many more parameters than needed. What it costs: a
# training that starts at random and may stop at a poor fit (the spread of the seeds).
#
# In many dimensions there is no choice: polynomials of degree $d$ in $n$ variables have $\binom{n + d}{d}$
# coefficients, for the 1,600 pixels of a jet image and $d = 3$ some $7 \cdot 10^8$.

# %%
width = WIDTHS[-2]
seed = int(np.argsort(network_errors[width][1])[SEEDS // 2])
member = jax.tree.map(lambda leaf: leaf[SEEDS + seed], fits[width])
model = network(width)
hidden, output = member["layer_0"], member["layer_1"]
basis = np.maximum(0, grid[:, None] * np.asarray(hidden["kernel"]) + np.asarray(hidden["bias"])) * np.asarray(
    output["kernel"][:, 0]
)
kinks = -np.asarray(hidden["bias"]) / np.asarray(hidden["kernel"][0])
in_step = np.abs(kinks) < 1
strength = np.abs(np.asarray(hidden["kernel"][0]) * np.asarray(output["kernel"][:, 0]))

with style.context():
    figure = style.figure(4.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    upper.plot(x, y[:, 1], ".", color=style.GREY, alpha=0.4, markersize=3, label="400 points")
    upper.plot(grid, truths(grid)[:, 1], color="black", linewidth=1, label="truth")
    fitted = predict(model.apply, member, grid[:, None].astype(np.float32))
    upper.plot(grid, fitted, color=style.colour(1), label=f"network, K = {width}, median seed")
    best = polynomial_errors[1].argmin()
    upper.plot(
        grid,
        polynomials[degrees[best]][1](grid),
        "--",
        color=style.colour(0),
        label=f"best polynomial, degree {degrees[best]}",
    )
    upper.plot(
        grid, polynomials[degrees[-1]][1](grid), ":", color=style.colour(2), label=f"polynomial, degree {degrees[-1]}"
    )
    upper.set(ylim=(-0.4, 1.3), ylabel="f(x)")
    upper.legend(loc="upper left", ncols=1)
    lower.vlines(kinks[in_step], 0, strength[in_step], color=style.colour(1), linewidth=1.5)
    lower.set(xlabel="x", ylabel=r"change of slope $|c_k w_k|$", xlim=(-1, 1), ylim=(0, None))
show(figure)
print(
    f"{in_step.sum()} of {width} kinks lie inside [-1, 1], {(np.abs(kinks - 0.3) < 0.3).sum()} within 0.3 of the peak"
)
assert np.allclose(basis.sum(1) + np.asarray(output["bias"]), fitted, atol=1e-4)

# %% [markdown]
# Below the fit stand the kinks of the basis functions, each at $x = -b_k / w_k$ with the change of slope it makes:
# they began at $x = 0$, all of them, and training has moved them.
#
# ## Losses
#
# What "near" means is the loss of one example. For numbers: squared, absolute, or Huber's, which is squared near zero
# and linear far away. The derivative by the output is how strongly an example pulls, and it comes from `jax.grad`;
# that of the squared error grows without bound, so a few wild points decide the fit.

# %%
residuals = jnp.linspace(-3, 3, 241)
candidates = {"squared": squared_error, "absolute": absolute_error, "Huber, δ = 1": partial(huber, delta=1.0)}
with style.context():
    figure = style.figure(2.9)
    for axes, wanted, title in zip(
        figure.subplots(1, 2), (False, True), ("loss", "derivative by the output"), strict=True
    ):
        for i, (name, loss) in enumerate(candidates.items()):
            function = jax.grad(loss) if wanted else loss
            values = jax.vmap(function, in_axes=(0, None))(residuals, jnp.zeros(()))
            axes.plot(residuals, values, color=style.colour(i), label=name)
        axes.set(xlabel="output − answer", title=title)
        axes.grid(True)
    figure.axes[0].legend(loc="upper center")
show(figure)

# %% [markdown]
# For a yes or no the loss is the negative logarithm of the probability $p = 1 / (1 + e^{-z})$ given to the right
# answer. Its derivative by the logit $z$ is simply $p - y$: bounded, and zero only for the right answer given with
# certainty.

# %%
z = jnp.linspace(-8, 8, 9)
for answer in (0.0, 1.0):
    slope = jax.vmap(jax.grad(binary_cross_entropy), in_axes=(0, None))(z, jnp.asarray(answer))
    print(
        f"y = {answer:.0f}: largest difference between the gradient and p - y: {jnp.abs(slope - (jax.nn.sigmoid(z) - answer)).max():.0e}"
    )

# %% [markdown]
# ## Penalties
#
# A penalty $J(a)$ states what we expect of the parameters before we see data; the training minimises
#
# $$L(a) = \frac1N \sum_i \ell\big(f(X_i, a), Y_i\big) + \lambda J(a), \qquad J(a) = \sum w^2 \text{ over all weights, not biases.}$$
#
# Which $\lambda$? Train with all of them. A loss is a pure function, so $\lambda$ may be a traced number, and the
# sweep is `vmap`.
#
# ### The exact test
#
# For a linear model (here 15 Legendre polynomials on 60 points of the resonance) the minimum is known in closed form,
# with centred features $\Phi$ and answers $y$,
#
# $$a(\lambda) = \Big(\tfrac1N \Phi^\top \Phi + \lambda\Big)^{-1} \tfrac1N \Phi^\top y .$$
#
# The step `(state, batch) -> (state, metrics)` is the body of a `scan`, the scan a function of $\lambda$, and its
# `vmap` the whole path.


# %%
def minimise(recipe, batch, steps):
    """The parameters after so many steps on the whole batch, and the loss at each step."""
    batch = jax.tree.map(jnp.asarray, batch)
    step = make_step(recipe)
    state, reported = jax.lax.scan(
        lambda state, _: step(state, batch), init_state(recipe, jax.random.key(SEED)), length=steps
    )
    return state.params, reported["loss"]


STEPS = 4_000
abscissae = np.linspace(-1, 1, 60)
order = np.arange(1, 16)
features = (legendre.legvander(abscissae, 15)[:, 1:] * np.sqrt(2 * order + 1)).astype(np.float32)
answers = (truths(abscissae)[:, 1] + NOISE * rng.normal(size=60)).astype(np.float32)
linear = heads.scalar(dense.model(dense.Config(15, hidden=())))
strengths = np.geomspace(1e-4, 1e1, 16).astype(np.float32)


def ridge(strength):
    """The coefficients at this strength of the penalty."""
    loss = regularised(objective(linear.apply, squared_error), l2, strength)
    recipe = Recipe(linear, loss, adamw(0.1, schedule=warmup_cosine(STEPS)))
    return minimise(recipe, Batch(features, answers, np.ones(60, np.float32)), STEPS)[0]["layer_0"]["kernel"][:, 0]


trained = np.asarray(jax.jit(jax.vmap(ridge))(strengths))
phi, centred = features - features.mean(0, dtype=float), answers - answers.mean(dtype=float)
exact = np.stack(
    [np.linalg.solve(phi.T @ phi / 60 + s * np.eye(15), phi.T @ centred / 60) for s in strengths.astype(float)]
)
print(f"largest difference of {exact.size} coefficients from the closed form: {np.abs(trained - exact).max():.1e}")
print(f"largest coefficient: {np.abs(exact).max():.3f}")

with style.context():
    figure = style.figure(3.2, width=5.5)
    axes = figure.subplots()
    for k in range(0, 15, 2):
        axes.plot(strengths, exact[:, k], color=style.colour(k // 2), linewidth=1)
        axes.plot(strengths, trained[:, k], "o", color=style.colour(k // 2), markersize=3, label=f"$a_{{{k + 1}}}$")
    axes.set(
        xscale="log", xlabel=r"strength $\lambda$", ylabel="coefficient", title="lines: closed form; points: trained"
    )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(True)
show(figure)

# %% [markdown]
# ### A network on few jets
#
# Now the case that penalties are for: a dense network with far more parameters than examples. Its input are the 30
# hardest constituents of a jet, for each the momentum fraction and two angles, centred, rotated and flipped (TopoDNN,
# [arXiv:1704.02124](https://arxiv.org/abs/1704.02124)). All strengths times all seeds are one `fit_ensemble`. Each
# member is trained to the minimum of its own objective: the training jets stand in for the validation, so that
# nothing stops early and the penalty alone works against overfitting.

# %%
sample = jets.JetSample(*(None if a is None else a[:JETS] for a in jets.read(jets.embedded())))
labels = sample.labels
train_rows, validation_rows, test_rows = split(labels, seed=SEED, fractions=(0.4, 0.1, 0.5))
hardest = taggers.topodnn().inputs(sample.constituents)


def batch_of(inputs, rows, answers=None):
    """These jets as a batch in which each has weight 1; the answers are the labels unless others are given."""
    y = labels[rows].astype(np.float32) if answers is None else answers[rows]
    return Batch(inputs[rows], y, np.ones(len(rows), np.float32))


classifier = heads.scalar(dense.model(dense.Config(90, hidden=(64, 64))))
few = batch_of(hardest, train_rows[:FEW_JETS])
path_settings = Settings(epochs=PATH_EPOCHS, batch_size=50)
path_strengths = np.geomspace(1e-6, 1e-1, 11).astype(np.float32)


def penalised(hyper):
    """A member's recipe; `hyper["strength"]` is lambda."""
    loss = regularised(objective(classifier.apply, binary_cross_entropy), l2, hyper["strength"])
    return Recipe(classifier, loss, optimizer(3e-3, path_settings, FEW_JETS))


path = fit_ensemble(
    penalised,
    {"strength": np.repeat(path_strengths, SEEDS)},
    few,
    few,
    keys=jnp.tile(jax.random.split(jax.random.key(SEED), SEEDS), len(path_strengths)),
    settings=path_settings,
).params


def all_members(params, jet):
    """The logits of one jet, [member]."""
    return jax.vmap(classifier.apply, in_axes=(0, None))(params, jet)


def losses_of(rows):
    """Mean negative log-likelihood of these jets, without the penalty: [strength, seed]."""
    logits = jnp.asarray(predict(all_members, path, hardest[rows]))
    losses = jax.vmap(metrics.log_loss, in_axes=(1, None))(logits, jnp.asarray(labels[rows], jnp.int32))
    return np.asarray(losses).reshape(-1, SEEDS)


training_loss, validation_loss = losses_of(train_rows[:FEW_JETS]), losses_of(validation_rows)
penalty = np.asarray(jax.vmap(l2)(path)).reshape(-1, SEEDS)
best = np.median(validation_loss, axis=1).argmin()

with style.context():
    figure = style.figure(3.2)
    left, right = figure.subplots(1, 2)
    for i, (name, values) in enumerate((("training", training_loss), ("validation", validation_loss))):
        left.plot(path_strengths, np.median(values, axis=1), "o-", color=style.colour(i), label=name)
        left.fill_between(path_strengths, values.min(1), values.max(1), color=style.colour(i), alpha=0.2, linewidth=0)
    left.axvline(path_strengths[best], color=style.GREY, linewidth=1, linestyle="--", label="best validation")
    left.set(xscale="log", yscale="log", xlabel=r"strength $\lambda$", ylabel="loss without penalty")
    left.legend()
    right.plot(path_strengths, np.median(penalty, axis=1), "o-", color=style.colour(2))
    right.set(xscale="log", yscale="log", xlabel=r"strength $\lambda$", ylabel=r"$J(a) = \sum w^2$")
    for axes in (left, right):
        axes.grid(True)
    style.footnote(figure, f"Median of {SEEDS} seeds; bands: from the lowest to the highest.")
show(figure)
parameters = sum(leaf[0].size for leaf in jax.tree.leaves(path))
print(f"{parameters:,} parameters, {FEW_JETS} training jets, {len(validation_rows):,} validation jets")
medians = np.median(validation_loss, axis=1)
print(f"median validation loss: lowest {medians[best]:.3f} at lambda = {path_strengths[best]:.0e}")
for k in (0, -1):
    print(f"{'':24}{medians[k]:6.3f} at lambda = {path_strengths[k]:.0e}")

# %% [markdown]
# ## A dense classifier of jets
#
# The best penalty is more data. Here is the dense network of the comparison of top taggers, 300-102-12-6-1, on all
# training jets, with early stopping on the validation part, judged on the test part against the jet mass.
#
# Its last hidden layer has six units. With ReLU, a unit whose input is negative has no output and no gradient; where
# all six are silent, every jet gets the same score, and no cut can tell such jets apart. The share of the validation
# jets with the most common score shows it. A smooth activation (GELU) has no dead half; the validation part decides
# between the two.

# %%
topodnn_settings = Settings(epochs=2 * JET_EPOCHS, batch_size=100, patience=4)
candidates = {}
for activation in ("relu", "gelu"):
    topodnn = heads.scalar(dense.model(dense.Config(90, hidden=(300, 102, 12, 6), activation=activation)))
    topodnn_fit = fit(
        Recipe(
            topodnn,
            objective(topodnn.apply, binary_cross_entropy, measures={"accuracy": correct}),
            optimizer(2e-3, topodnn_settings, len(train_rows)),
        ),
        batch_of(hardest, train_rows),
        batch_of(hardest, validation_rows),
        key=jax.random.key(SEED),
        settings=topodnn_settings,
    )
    scores = predict(topodnn.apply, topodnn_fit.params, hardest[validation_rows])
    ties = np.unique(scores, return_counts=True)[1].max() / len(scores)
    candidates[float(topodnn_fit.best_loss)] = topodnn, topodnn_fit
    print(f"{activation}: validation loss {topodnn_fit.best_loss:.4f}, {ties:.0%} of the jets share one score")
topodnn, topodnn_fit = candidates[min(candidates)]
show(learning_curves(topodnn_fit.history))

# %%
is_top = labels[test_rows].astype(np.int32)


@jax.jit
def measure(scores, signal):
    """AUC and rejection at eps_S = 0.3 with their intervals, and the exact ROC; `signal` is 1 for what is to be found."""
    rejection = metrics.background_rejection(scores, signal, signal_efficiency=0.3)
    return (
        Estimate(metrics.auc(scores, signal), *metrics.auc_interval(scores, signal)),
        Estimate(rejection, *metrics.rejection_interval(scores, signal, signal_efficiency=0.3)),
        metrics.roc_curve(scores, signal),
    )


def roc_of(scores, signal):
    """The exact ROC, ready to draw."""
    area, _, curve = measure(scores, signal)
    background = int((signal == 0).sum())
    return classification.RocCurve(curve.true_positive_rate, curve.false_positive_rate, background, float(area.value))


logits = predict(topodnn.apply, topodnn_fit.params, hardest[test_rows])
mass_scores = taggers.mass_score(sample.constituents[test_rows])
for name, scores in (("dense network", logits), ("mass", mass_scores)):
    area, rejection, _ = measure(scores, is_top)
    print(f"{name:14} AUC {rounded(area)}, 1/eps_B at eps_S = 0.3: {rounded(rejection)}")
covariance = jax.jit(metrics.auc_covariance)(jnp.stack([logits, mass_scores]), is_top)
difference = measure(logits, is_top)[0].value - measure(mass_scores, is_top)[0].value
error = jnp.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
print(f"paired difference of the AUCs {rounded(Estimate(difference, difference - error, difference + error))} (DeLong)")
show(classification.roc({"dense network": roc_of(logits, is_top), "mass": roc_of(mass_scores, is_top)}))

# %% [markdown]
# ### Every example has its gradient
#
# The gradient that training follows is a mean. Its terms are one `vmap` away: `vmap(grad(loss))` over the examples.
# That the mean of the terms is the gradient of the mean is the third exact test. The norms say which jets pull
# hardest: those about which the network is wrong and sure of it.


# %%
def example_loss(params, jet, label):
    """The loss of one jet."""
    return binary_cross_entropy(topodnn.apply(params, jet), label)


per_example = jax.vmap(jax.grad(example_loss), in_axes=(None, 0, 0))
probe = jax.tree.map(jnp.asarray, batch_of(hardest, train_rows[:256]))
terms = jax.jit(per_example)(topodnn_fit.params, probe.x, probe.y)
together = jax.jit(jax.grad(objective(topodnn.apply, binary_cross_entropy), has_aux=True))(topodnn_fit.params, probe)[0]
difference = jax.tree.map(lambda each, whole: jnp.abs(each.mean(0) - whole).max(), terms, together)
largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(together))
print(
    f"mean of 256 gradients - gradient of the mean: {max(map(float, jax.tree.leaves(difference))):.1e}, largest entry {largest:.1e}"
)


@jax.jit
def gradient_norms(params, x, y):
    """Norm of the gradient of each example, [example], in portions of bounded memory."""

    def norm(example):
        squares = jax.tree.map(lambda leaf: jnp.sum(leaf**2), jax.grad(example_loss)(params, *example))
        return jnp.sqrt(sum(jax.tree.leaves(squares)))

    return jax.lax.map(norm, (x, y), batch_size=250)


rows = test_rows[:2_000]
norms = np.asarray(gradient_norms(topodnn_fit.params, hardest[rows], labels[rows].astype(np.float32)))
right = np.asarray(jax.nn.sigmoid(np.where(labels[rows] == 1, 1, -1) * logits[:2_000]))
with style.context():
    figure = style.figure(3.4, width=5.5)
    axes = figure.subplots()
    for k, name in enumerate(("QCD", "top")):
        of_class = labels[rows] == k
        axes.plot(
            right[of_class],
            norms[of_class],
            style.marker(k),
            color=style.colour(k),
            alpha=0.4,
            markersize=3,
            label=f"{name}, {of_class.sum()} jets",
        )
    axes.set(
        yscale="log",
        ylim=(max(norms.min(), 1e-6), None),
        xlabel="probability given to the right class",
        ylabel="norm of the gradient",
    )
    axes.legend()
show(figure)
heaviest = norms >= np.quantile(norms, 0.9)
share, wrong = norms[heaviest].sum() / norms.sum(), np.mean(right[heaviest] < 0.5)
print(f"a tenth of the jets brings {share:.0%} of the sum of the norms; {wrong:.0%} of that tenth are misclassified")

# %% [markdown]
# ## Autoencoders
#
# An autoencoder learns to copy its input through a narrow place: an encoder to a few numbers, the *code* or *latent
# space*, and a decoder back,
#
# $$L(a) = \frac1N \sum_i \big\| X_i - g(h(X_i)) \big\|^2 .$$
#
# ### The linear one is PCA
#
# If $h$ and $g$ are affine, the best possible error with $k$ latent numbers is that of the $k$ leading principal
# components (Eckart and Young 1936; Baldi and Hornik 1989), and the decoder spans the same space. Trained by gradient
# descent on jet images of $16 \times 16$ pixels: does it get there, and never below?

# %%
pixels = 16
some = train_rows[:2_000]
small = pixels * np.sqrt(jet_images.images(sample.constituents[some], pixels=pixels))
small = (small - small.mean(0)).reshape(len(some), -1).astype(np.float32)
_, singular, components = np.linalg.svd(small.astype(np.float64), full_matrices=False)
AUTOENCODER_STEPS = 200 if SMALL else 2_000

for latent in LATENTS:
    model = autoencoder.model(autoencoder.Config((pixels**2,), latent=latent, hidden=(), initializer="glorot_normal"))
    recipe = Recipe(
        model, objective(model.apply, squared_error), adamw(3e-2, schedule=warmup_cosine(AUTOENCODER_STEPS))
    )
    batch = Batch(small, small, np.ones(len(small), np.float32))
    params, reported = jax.jit(partial(minimise, recipe, steps=AUTOENCODER_STEPS))(batch)
    reached, pca = float(reported[-1]), np.sum(singular[latent:] ** 2) / small.size
    decoder = np.asarray(params["decoder"]["layer_0"]["kernel"], np.float64)
    cosines = np.linalg.svd(np.linalg.qr(decoder.T)[0].T @ components[:latent].T, compute_uv=False)
    angle = np.degrees(np.arccos(np.clip(cosines.min(), 0, 1)))
    print(
        f"{latent} latent: autoencoder {reached:.6f}, PCA {pca:.6f}, excess {reached / pca - 1:+.0e}; "
        f"largest angle between the two spaces {angle:.1e} degrees"
    )
    assert reached > pca * (1 - 1e-5)  # nothing of rank k is better; the margin is for sums in float32

# %% [markdown]
# ### Nonlinear ones, as anomaly taggers
#
# An autoencoder that has only seen QCD jets should copy QCD jets well, and other jets badly: then the reconstruction
# error finds top quarks *without knowing what a top quark is*. That is the hope. If it is justified, the same must
# work the other way round, trained on top jets and looking for QCD jets. Such networks have been reported to find
# tops among QCD jets and to fail in the other direction ([arXiv:2104.09051](https://arxiv.org/abs/2104.09051)), so
# report both.
#
# Four ways to copy an image of $40 \times 40$ pixels (square roots of the $p_T$ fractions):
#
# - the **mean image** of the training jets: no code at all;
# - **PCA** with 6 components;
# - a **dense** autoencoder, 1600-128-32-6 and back;
# - a **convolutional** autoencoder, also with 6 latent numbers.
#
# Both directions and both seeds of a network are once more one compiled program: an example is a *pair*, a QCD jet
# and a top jet, and a member learns to copy the one with its (traced) number.

# %%
images = taggers.image_inputs(sample.constituents)
LATENT = 6
dense_copier = autoencoder.model(autoencoder.Config((40, 40, 1), latent=LATENT, hidden=(128, 32)))
convolutional_config = convolutional_autoencoder.Config((40, 40, 1), latent=LATENT, blocks=BLOCKS, hidden=(64,))
convolutional_copier = convolutional_autoencoder.model(convolutional_config)
copy_settings = Settings(epochs=JET_EPOCHS, batch_size=100)
DIRECTIONS = ("trained on QCD, find top", "trained on top, find QCD")
trained_on = np.array([0, 0, 1, 1])  # the class each member sees: two seeds a direction


def pairs(rows):
    """A QCD image beside a top image, [pair, class, row, column, 1], as inputs and as answers."""
    members = [rows[labels[rows] == label] for label in (0, 1)]
    both = np.stack([images[of_class[: min(map(len, members))]] for of_class in members], axis=1)
    return Batch(both, both, np.ones(len(both), np.float32))


def copy_recipe(model, hyper):
    """Copy the image of the class `hyper["label"]`."""
    loss = objective(
        lambda params, pair: model.apply(params, pair[hyper["label"]]),
        lambda copied, pair: squared_error(copied, pair[hyper["label"]]),
    )
    return Recipe(model, loss, optimizer(2e-3, copy_settings, len(train_rows) // 2))


def trained_copiers(model):
    """Parameters of the four members, [member] leading."""
    two = jax.random.split(jax.random.key(SEED), 2)
    return fit_ensemble(
        partial(copy_recipe, model),
        {"label": trained_on},
        pairs(train_rows),
        pairs(validation_rows),
        keys=jnp.concatenate([two, two]),
        settings=copy_settings,
    ).params


def principal_components(label):
    """Mean image of the training jets of one class, and the leading components, [1600, LATENT]."""
    flat = images[train_rows[labels[train_rows] == label]].reshape(-1, 1600).astype(np.float64)
    mean = flat.mean(0)
    return mean, np.linalg.eigh((flat - mean).T @ (flat - mean))[1][:, -LATENT:]


test_images = images[test_rows]
flat_images = test_images.reshape(-1, 1600)
copies = {"mean image": [], f"PCA, {LATENT} components": [], "dense": [], "convolutional": []}
for label in (0, 1):
    mean, basis = principal_components(label)
    copies["mean image"].append(np.broadcast_to(mean.reshape(40, 40, 1), test_images.shape))
    projected = mean + (flat_images - mean) @ basis @ basis.T
    copies[f"PCA, {LATENT} components"].append(projected.reshape(test_images.shape))
copier_params = {}
for name, model in (("dense", dense_copier), ("convolutional", convolutional_copier)):
    copier_params[name] = trained_copiers(model)
    for member in range(4):
        params = jax.tree.map(lambda leaf, member=member: leaf[member], copier_params[name])
        copies[name].append(predict(model.apply, params, test_images))


def errors_of(copied):
    """Mean squared error per pixel of each test jet."""
    return np.mean((copied - test_images) ** 2, axis=(1, 2, 3), dtype=np.float32)


# [direction][seed]: where there is no training there is one "seed"
errors = {name: np.array_split([errors_of(copied) for copied in made], 2) for name, made in copies.items()}

# %%
anomaly = (is_top, 1 - is_top)  # 1 for what is to be found in each direction
print(f"{'AUC of the reconstruction error':32}" + "".join(f"{direction:>44}" for direction in DIRECTIONS))
for name, both in errors.items():
    areas = [", ".join(str(rounded(measure(e, anomaly[k])[0])) for e in both[k]) for k in (0, 1)]
    print(f"{name:32}" + "".join(f"{area:>44}" for area in areas))
print("Two numbers: two seeds. 0.5 is chance; below it the jets that were trained on are copied worse than the others.")

for k, direction in enumerate(DIRECTIONS):
    figure = classification.roc(
        {name: roc_of(both[k][0], anomaly[k]) for name, both in errors.items()}, baseline="mean image"
    )
    figure.suptitle(direction)
    show(figure)

# %% [markdown]
# Look at the first row before admiring the others. The mean image knows nothing about any jet, its "reconstruction
# error" is only how far a jet is from the average, and that alone makes a good part of the result in one direction.
# The reconstruction error measures two things at once: how *strange* an image is to the network, and how *complex* it
# is. A top jet with its three cores is harder to copy than a QCD jet with one, for whatever network. In one direction
# both effects add, in the other they work against each other.
#
# The distributions of the error show it: how do the two classes lie to each other when the network was trained on
# one, and on the other?

# %%
for k, direction in enumerate(DIRECTIONS):
    by_class = {name: errors["convolutional"][k][0][is_top == label] for label, name in enumerate(("QCD", "top"))}
    figure = classification.score_distributions(
        by_class, label="mean squared error per pixel, convolutional", noun="jets"
    )
    figure.suptitle(direction)
    show(figure)
    medians = {name: float(np.median(values)) for name, values in by_class.items()}
    print(f"{direction}: median error " + ", ".join(f"{name} {value:.3f}" for name, value in medians.items()))

# %% [markdown]
# ### What is kept
#
# Originals and copies of the convolutional autoencoder that was trained on QCD jets: four QCD jets, then four top
# jets. Six numbers hold the main axis and the places of the cores; the soft particles between them are noise to the
# network, and are averaged away.

# %%
shown = np.concatenate([np.flatnonzero(is_top == label)[:4] for label in (0, 1)])
show(reconstructions(test_images[shown], copies["convolutional"][0][shown]))

# %% [markdown]
# The latent space of the same network. It was trained without labels and without top jets; colours are put on
# afterwards.

# %%
encode = partial(convolutional_autoencoder.encode, config=convolutional_config)
params = jax.tree.map(lambda leaf: leaf[0], copier_params["convolutional"])
codes = predict(encode, params, test_images)
show(latent_space(codes, is_top, ["QCD", "top"], limit=3_000))

# %% [markdown]
# ## What to take along
#
# - A dense network is a basis that is fitted too. Where a good basis is known, use it; the network is for where none
#   is.
# - Every claim of the kind "is the minimum of" can be tested where theory knows the answer: a penalised linear model,
#   a linear autoencoder.
# - A penalty, a seed, a target are arrays, and a sweep over them is one compiled program.
# - An anomaly score has to be tried in both directions, and against a baseline that has learned nothing.
