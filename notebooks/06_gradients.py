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
# # 6. What gradients say
#
# A training uses the gradient of its loss to take a step, and forgets it. This chapter asks a trained network five
# questions that only derivatives answer: how much of a gradient is noise, what the loss looks like around the weights,
# which labels are probably wrong, how sure a prediction is, and in which direction the learning rate should change. Each
# answer is a claim that can be tested, and is.
#
# **Time.** Some minutes on one CPU core. With the environment variable `JAXSCI_SMALL=1` the same code runs on few examples
# in about one; the numbers are then worthless.
#
# **Data.** Some thousands of the *simulated* jets that come with the package (Pythia 8, particle level, no detector): **no figure
# of jets in this notebook may be compared with a published one.** And SuperCon as cleaned by Stanev et al.:
# `jaxsci data fetch superconductors` and `jaxsci data fetch elements`. Intervals are 68 %.

# %%
import io
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from IPython.display import Image, display

import jaxsci as js
from jaxsci import gradients
from jaxsci.data import download, jets
from jaxsci.data.jets import images as jet_images
from jaxsci.data.jets.features import topodnn_inputs
from jaxsci.data.split import split
from jaxsci.losses import binary_cross_entropy, correct
from jaxsci.metrics import binomial_interval
from jaxsci.models import convolutional, dense, heads
from jaxsci.plots import curvature, style
from jaxsci.plots import jets as jet_plots
from jaxsci.runs.task import silent
from jaxsci.tasks.superconductors import gaussian_process, inputs
from jaxsci.tasks.superconductors.ensemble import prediction
from jaxsci.tasks.superconductors.ensemble.calibration import calibrated
from jaxsci.tasks.superconductors.networks import make_recipe
from jaxsci.tasks.superconductors.options import Options
from jaxsci.tasks.superconductors.study import intervals
from jaxsci.tasks.top_tagging.taggers import images_as_inputs

SMALL = bool(int(os.environ.get("JAXSCI_SMALL", "0")))
SEED = 1
JETS = 500 if SMALL else 4_000
EPOCHS = 1 if SMALL else 8
DATA = Path(os.environ.get("JAXSCI_DATA", download.cache_folder()))


def show(figure):
    """Display a figure as a PNG of moderate size."""
    png = io.BytesIO()
    with style.context():
        figure.savefig(png, dpi=100)
    display(Image(png.getvalue()))


print(f"jax {jax.__version__}, seed {SEED}" + (", SMALL: numbers mean nothing" if SMALL else ""))

# %% [markdown]
# ## Noise
#
# The gradient of a batch of $B$ examples is the gradient $G$ of the whole loss plus noise of the variance
# $\operatorname{tr}\Sigma / B$, with the covariance $\Sigma$ of the gradients of single examples. Signal and noise are
# equal at the **noise scale** $B = \operatorname{tr}\Sigma / |G|^2$: smaller batches mostly spend their steps on noise,
# larger ones repeat what is known. Both are estimated without storing the gradient of any single example, from one forward
# and one backward pass. Here it is recorded after every epoch of a small convolutional tagger on images of 20 x 20 pixels.

# %%
sample = jets.read(jets.embedded(), limit=JETS)
labels = sample.labels.astype(np.float32)
pictures = jet_images.images(sample.constituents, pixels=20)
parts = split(sample.labels, seed=SEED)
x = images_as_inputs(pictures)
train, validation, test = (js.Batch(x[rows], labels[rows], np.ones(len(rows), np.float32)) for rows in parts)

blocks = tuple(convolutional.Block(channels, pool=2) for channels in (16, 32))
tagger = heads.scalar(convolutional.model(convolutional.Config((20, 20, 1), blocks=blocks, dense=(32,))))
loss = js.losses.objective(tagger.apply, binary_cross_entropy, metrics={"accuracy": correct})


def noise(params, batch):
    """The noise scale with the ends of its interval."""
    found = gradients.noise_scale(loss, params, batch)
    return {"scale": found.scale, "low": found.low, "high": found.high}


recipe = js.Recipe(tagger, loss, js.training.adamw(2e-3, weight_decay=1e-2), measure=noise)
settings = js.Settings(epochs=EPOCHS, batch_size=64)
trained = js.fit(recipe, train, validation, key=jax.random.key(SEED), settings=settings)
epochs = np.array([record["epoch"] for record in trained.history])
scale, low, high = (
    np.array([record[f"validation_{name}"] or np.inf for record in trained.history], float)
    for name in ("scale", "low", "high")
)
for record in trained.history:
    print(
        f"epoch {record['epoch']:2}: validation loss {record['validation_loss']:.3f}, accuracy {record['validation_accuracy']:.3f}"
    )

with style.context():
    figure = style.figure(2.8)
    axes = figure.subplots()
    known = np.isfinite(scale)
    top = 3 * max(scale[known].max(initial=1), settings.batch_size)
    ends = np.stack([scale - low, np.minimum(high, top) - scale])[:, known]
    axes.errorbar(epochs[known], scale[known], ends, fmt="o", color=style.color(0), capsize=3, label="noise scale")
    axes.axhline(settings.batch_size, color=style.color(1), linestyle="--", label="batch size of this training")
    axes.set(yscale="log", xlabel="Epoch", ylabel="Jets")
    axes.set_xticks(epochs)
    axes.legend()
show(figure)

# %% [markdown]
# From some hundred validation jets the noise scale is known to a factor of a few at best, and in some epochs from below alone: a bar that
# goes to the top is open upwards, and where no point is drawn, noise hides the mean gradient and the library says "unknown" rather than
# a number. Nearly everywhere it lies above the batch size of this training, which could have been larger.
#
# ## Curvature
#
# The Hessian of this network has the square of its number of parameters as entries, but its product with a vector costs about two
# gradients, and Lanczos' method needs nothing else: a few dozen products give the largest eigenvalues with a bound on their
# error, and, from random vectors, the density of all of them.

# %%
some = jax.tree.map(lambda leaf: leaf[: 100 if SMALL else 600], train)
hessian = gradients.hessian(loss, trained.params, some)
keys = jax.random.split(jax.random.key(SEED), 3)
largest, vectors = gradients.top_eigenpairs(hessian, 5, key=keys[0], steps=25)
lowest, _ = gradients.top_eigenpairs(-1.0 * hessian, 1, key=keys[1], steps=25)
print(f"{hessian.size:,} parameters; the largest eigenvalues with the bounds on their errors:")
for value, error in zip(*largest, strict=True):
    print(f"{value:8.3f} ± {error:.1g}")
print(f"the smallest: {-float(lowest.value[0]):.3f}")

width = float(largest.value[0] + lowest.value[0]) / 100
grid = jnp.linspace(-float(lowest.value[0]) - 5 * width, float(largest.value[0]) + 5 * width, 400)
density = gradients.spectral_density(hessian, grid, width=width, key=keys[2], probes=4, steps=25)
show(curvature.spectrum(grid, density.value, density.error, largest.value))

# %% [markdown]
# Nearly all eigenvalues are 0 next to the few largest: to the loss, most directions are flat, and a training happens in few of them.
# The band is the standard error of four random vectors, the ticks are the five largest eigenvalues.
#
# Is it true? A gradient step diverges along an eigenvector where the learning rate exceeds 2 / eigenvalue. So a step along the
# first eigenvector must bend the loss as the eigenvalue says:

# %%
first = jax.tree.map(lambda leaf: leaf[0], vectors)


@jax.jit
def along(t, params, batch):
    """The loss at a distance t along the first eigenvector."""
    return loss(jax.tree.map(lambda leaf, v: leaf + t * v, params, first), batch)[0]


here, forward, back = (float(along(jnp.float32(t), trained.params, some)) for t in (0, 0.01, -0.01))
print(f"eigenvalue {largest.value[0]:.3f}, second difference of the loss {(forward - 2 * here + back) / 0.01**2:.3f}")

# %% [markdown]
# ## Wrong labels
#
# Of the training labels 5 % are now changed on purpose. A network that is trained on them may learn them by heart; its own loss is then no
# witness. Five trainings, each without another fifth of the jets, one program for all of them, say of every jet what a
# network thinks of its label that was never told it. Two such rounds are averaged. The tagger is a dense network of the thirty
# hardest constituents, which trains in seconds.

# %%
rows, count = parts[0], round(0.05 * len(parts[0]))
changed = np.random.default_rng(SEED).permutation(len(rows))[:count]
told = labels[rows].copy()
told[changed] = 1 - told[changed]
wrong = js.Batch(topodnn_inputs(sample.constituents[rows]), told, np.ones(len(rows), np.float32))

reader = heads.scalar(dense.model(dense.Config(90, hidden=(300, 102, 12, 6))))
given = js.losses.objective(reader.apply, binary_cross_entropy)
steps = 20 * js.training.steps_per_epoch(len(rows), 128)
adamw = js.training.adamw(1e-3, weight_decay=1e-2, schedule=js.training.warmup_cosine(steps), clip=1.0)
FOLDS, ROUNDS = 5, 1 if SMALL else 2
fold = np.stack([np.random.default_rng([SEED, r]).permutation(len(rows)) % FOLDS for r in range(ROUNDS)])
kept = (fold[:, None] != np.arange(FOLDS)[:, None]).reshape(-1, len(rows)).astype(np.float32)


def without(hyper):
    """A training that gives the jets it must not see the weight 0; the number of a jet is carried beside its input."""

    def weighted(params, batch):
        x, number = batch.x
        return given(params, js.Batch(x, batch.y, batch.weight * hyper["kept"][number]))

    return js.Recipe(reader, weighted, adamw)


numbered = wrong._replace(x=(wrong.x, np.arange(len(rows), dtype=np.int32)))
fits = js.fit_ensemble(
    without,
    {"kept": jnp.asarray(kept)},
    numbered,
    numbered,
    keys=jax.random.split(jax.random.key(SEED), len(kept)),
    settings=js.Settings(epochs=1 if SMALL else 20, batch_size=128),
    sequential=True,
)
logits = np.asarray(
    jax.jit(jax.vmap(lambda params, x: jax.vmap(lambda x: reader.apply(params, x))(x), (0, None)))(
        fits.last_params, wrong.x
    )
)
against = (1 - 2 * told) * logits  # log odds against the label that was given
scores = {
    "jets that the trainings have not seen": (against * (1 - kept)).sum(0) / (1 - kept).sum(0),
    "the same jets, by trainings that have": (against * kept).sum(0) / kept.sum(0),
}

with style.context():
    figure = style.figure(3.0)
    axes = figure.subplots()
    inspected = np.arange(1, len(rows) + 1)
    for i, (name, score) in enumerate(scores.items()):
        found = np.isin(np.argsort(-score), changed).cumsum()
        axes.plot(inspected / len(rows), found / count, color=style.color(i), linestyle=("-", "--")[i], label=name)
        low, high = binomial_interval(int(found[count - 1]), count)
        print(
            f"{name}: {found[count - 1] / count:.2f} ({low:.2f} to {high:.2f}) of the changed labels among the {count} most suspicious"
        )
    axes.plot([0, 1], [0, 1], color="0.5", linestyle=":", label="chance")
    axes.axvline(0.05, color="0.7", linewidth=0.8)
    axes.set(
        xlim=(0, 0.5), ylim=(0, 1), xlabel="Share of the jets inspected", ylabel="Share of the changed labels found"
    )
    axes.legend(loc="lower right")
show(figure)

# %% [markdown]
# Where both curves lie together, little was learned by heart, and the loss of the network itself is as good a witness: that is the order
# in which `jaxsci study` names suspects. The most suspicious jets, those whose label was changed and the others. What looks suspicious and was not changed is a jet that by
# its nature looks like the other kind: no score can tell it from a wrong label.

# %%
suspects = np.argsort(-scores["jets that the trainings have not seen"])[: 2 * count]
shown = {
    name: pictures[rows[suspects[np.isin(suspects, changed) == kind]]]
    for name, kind in (("label changed", True), ("label as it was", False))
}
show(jet_plots.single_images({name: of for name, of in shown.items() if len(of)}, half_width=jet_images.HALF_WIDTH))

# %% [markdown]
# ## How sure
#
# Laplace's approximation takes the curvature at the weights for the inverse covariance of a normal posterior. For the last layer of
# a network it is exact, given the features below it. Beside it stand an ensemble, which was calibrated on the
# validation part to hold 90 %, and a Gaussian process: 90 % intervals of critical temperatures that none of them has seen.

# %%
members, epochs_of_tc = (2, 1) if SMALL else (3, 4)
if SMALL:
    gaussian_process.MAX_MATERIALS = 1000
options = Options(members=members, epochs=epochs_of_tc, influence=0, more=False, seed=42)
job = inputs.prepare(options, inputs.find_files(options, lambda data_set, file: DATA / data_set / file), silent)
known, chosen, asked = job.sample.splits
asked = asked[: 300 if SMALL else None]
of_tc = make_recipe(job.network, "tc", len(known))
fitted = js.fit_ensemble(
    lambda hyper: of_tc,
    {},
    inputs.batch(job, known),
    inputs.batch(job, chosen),
    keys=job.keys,
    settings=job.network.settings,
    sequential=True,
)
predictor = jax.jit(prediction.predictor(calibrated(job.network, fitted.params, job.sample, job.table, options)))
found = intervals.side_by_side(
    job,
    jax.tree.map(lambda leaf: leaf[0], fitted.params),
    lambda amounts: prediction.predict(predictor, amounts),
    asked,
    silent,
)
tc = job.sample.tc[asked]

with style.context():
    figure = style.figure(2.9)
    panels = figure.subplots(1, 3, sharey=True)
    for i, (axes, (name, of)) in enumerate(zip(panels, found.items(), strict=True)):
        axes.plot(
            (of.upper - of.lower) / 2, np.abs(tc - of.center), ".", markersize=2, color=style.color(i), rasterized=True
        )
        axes.plot([0.3, 100], [0.3, 100], color="0.3", linewidth=0.8)
        axes.set(
            xscale="log", yscale="log", xlim=(0.3, 100), ylim=(0.02, 150), title=name, xlabel="Half of the interval (K)"
        )
    panels[0].set_ylabel(r"|$T_c$ - prediction| (K)")
show(figure)
for name, of in found.items():
    entry = intervals.measured(of, tc)
    inside = entry["coverage"]
    print(
        f"{name:17} {inside['value']:.3f} ({inside['lower']:.3f} to {inside['upper']:.3f}) inside, mean width {entry['width']:4.1f} K, RMSE {entry['rmse']:.1f} K"
    )

# %% [markdown]
# Points below the line are inside. Laplace knows one noise for all materials: its intervals are nearly equally wide, narrower only where
# they end at 0 K, and so too wide for most materials and too narrow for some. Those of the ensemble grow where its errors do. The share
# that is inside is about the same, which is why it alone is no proof. How all three do on chemical systems that were never seen is
# measured in `benchmarks/results/gradient_claims.md`, as is how exact everything else in this chapter is.
#
# ## A learning rate by its derivative
#
# A training of 60 steps is a function like any other: its result can be differentiated with respect to the learning rate, in the memory of
# one training. Descend along that derivative, by steps of a bound that shrinks, and the learning rate is found by its own gradient. The
# dots are the steps, the line is a scan, which costs a training for each of its points. The network is a small dense one on the images.

# %%
pupil = heads.scalar(dense.model(dense.Config(400, hidden=(32,), activation="tanh")))
goal = js.losses.objective(pupil.apply, binary_cross_entropy)
part, judge = (
    js.Batch(jnp.asarray(x[some].reshape(len(some), -1)), jnp.asarray(labels[some]), jnp.ones(len(some)))
    for some in (parts[0][:1000], parts[1])
)


def after(log_rate, part, judge):
    """The validation loss after 60 steps of gradient descent."""
    recipe = js.Recipe(pupil, goal, optax.sgd(jnp.exp(log_rate), momentum=0.9))
    state = js.training.init_state(recipe, jax.random.key(SEED))
    return goal(js.training.unroll(recipe, state, part, steps=60, batch_size=100).params, judge)[0]


slope = jax.jit(lambda t, *data: jax.jvp(lambda t: after(t, *data), (t,), (jnp.ones_like(t),)))
rate, path = jnp.float32(np.log(1e-4)), []
for number in range(3 if SMALL else 18):
    value, derivative = slope(rate, part, judge)
    path.append((float(jnp.exp(rate)), float(value)))
    rate = rate - 0.7 * 0.93**number * jnp.clip(100 * derivative, -1, 1)
scan = np.geomspace(3e-5, 0.5, 4 if SMALL else 18).astype(np.float32)
losses = np.asarray(jax.jit(lambda t, *data: jax.lax.map(lambda t: after(t, *data), t))(jnp.log(scan), part, judge))
print(f"from {path[0][0]:.4f} to {path[-1][0]:.4f}: validation loss {path[0][1]:.3f} to {path[-1][1]:.3f}")
print(f"the best of the scan: {scan[np.nanargmin(losses)]:.4f}, {np.nanmin(losses):.3f}")

with style.context():
    figure = style.figure(2.8)
    axes = figure.subplots()
    axes.plot(scan, losses, color=style.color(0), label="scan")
    axes.plot(*np.array(path).T, "o", color=style.color(1), label="steps along the derivative")
    axes.set(xscale="log", ylim=(0.25, 0.9), xlabel="Learning rate", ylabel="Validation loss after 60 steps")
    axes.legend()
show(figure)

# %% [markdown]
# The same derivative goes through weight decay, the weights of the examples and the initial parameters, in forward mode
# for few numbers and in reverse mode for many. Close to the rate at which the training diverges it becomes large and says little, one
# more reason to bound the steps.
#
# From the command line: `jaxsci train top-tagging --gradient-noise` records the noise, `jaxsci study RUN` writes a page with the
# spectrum, the most influential jets and those that are expected least.
