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
# # 1. Top-quark jets
#
# A jet is the spray of particles that a quark or a gluon leaves in a detector. A top quark of high momentum, which
# decays to three quarks before it can do anything else, leaves one jet too, with three cores. This chapter turns jets
# into images and into sets of particles, trains a convolutional network and a Particle Flow Network to tell both
# kinds apart, and asks how much of what they reach is real.
#
# **Time.** Some minutes on one CPU core. With the environment variable `JAXSCI_SMALL=1` the same code runs on few jets
# in less than one; the numbers are then worthless.
#
# **Data.** The 30,000 jets that come with the package are *simulated* (Pythia 8, proton-proton collisions at 14 TeV)
# at *particle level*, that is without a detector. They are selected as in the comparison of top taggers
# [arXiv:1902.09914](https://arxiv.org/abs/1902.09914): anti-$k_T$ jets of radius $R = 0.8$ with $550 < p_T < 650$ GeV
# and $|\eta| < 2$. They are not its data set, which has a detector: **no figure of this notebook may be compared with
# a published one.**
#
# **Intervals** are 68 % throughout.

# %%
import os

SMALL = bool(int(os.environ.get("JAXSCI_SMALL", "0")))

SEED = 1
JETS = 1_500 if SMALL else 30_000  # 40 % for training, 10 % for validation, 50 % for the test
CHANNELS = (4,) if SMALL else (16, 32, 64)  # of the convolutional network, a layer each
CNN_EPOCHS = 1 if SMALL else 6
PFN_EPOCHS = 1 if SMALL else 16
SEEDS = 2 if SMALL else 3  # of the Particle Flow Network, with and without augmentation

import io
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display
from scipy import stats

from jaxsci import metrics
from jaxsci.core import Batch, WeightedSet
from jaxsci.data import jets
from jaxsci.data.jets import features as jet_features
from jaxsci.data.jets import images as jet_images
from jaxsci.data.jets import kinematics
from jaxsci.data.split import split
from jaxsci.losses import binary_cross_entropy, correct, objective
from jaxsci.models import convolutional, deep_sets, heads
from jaxsci.models.convolutional import Block
from jaxsci.plots import classification, style
from jaxsci.plots import jets as jet_plots
from jaxsci.plots.training import learning_curves
from jaxsci.runs import binary_evaluation
from jaxsci.runs.estimate import Estimate, rounded
from jaxsci.tasks.top_tagging import taggers
from jaxsci.training import Recipe, Settings, adamw, fit, fit_ensemble, predict, steps_per_epoch, warmup_cosine


def show(figure):
    """Display a figure as a PNG of moderate size."""
    png = io.BytesIO()
    with style.context():
        figure.savefig(png, dpi=100)
    display(Image(png.getvalue()))


print(f"jax {jax.__version__}, seed {SEED}" + (", SMALL: numbers mean nothing" if SMALL else ""))

# %% [markdown]
# ## Jets
#
# A jet is an array `[constituent, 4]` of energies and momenta $(E, p_x, p_y, p_z)$ in GeV, the hardest particle
# first, padded with zeros to 200 rows. A label says what the simulation began with: 1 for a top quark, 0 for a quark
# or gluon ("QCD"). The mass of a jet is that of the sum of its constituents,
#
# $$m^2 = \Big(\sum_i E_i\Big)^2 - \Big|\sum_i \vec p_i\Big|^2 .$$
#
# The three quarks of a top quark add up to its mass, 172.57 GeV (Particle Data Group 2024, dotted), less what
# neutrinos and particles outside the jet carry away. A QCD jet gets its mass from radiation and has no preferred
# value.

# %%
sample = jets.read(jets.embedded(), limit=JETS)
constituents, labels = sample.constituents, sample.labels
mass = jets.mass(constituents)
by_class = {"QCD": labels == 0, "top": labels == 1}

for name, rows in by_class.items():
    count = np.median((constituents[rows, :, 0] > 0).sum(1))
    low, median, high = np.quantile(mass[rows], (0.16, 0.5, 0.84))
    print(f"{name}: {rows.sum():,} jets; median {count:.0f} constituents, {median:.1f} GeV ({low:.1f} to {high:.1f})")

figure = classification.score_distributions(
    {name: mass[rows] for name, rows in by_class.items()}, label="Jet mass $m$ (GeV)", noun="jets", bins=80
)
figure.axes[0].axvline(taggers.TOP_MASS, color=style.GRAY, linewidth=1, linestyle=":")
show(figure)

# %% [markdown]
# ## From constituents to an image
#
# Directions are given by the pseudorapidity $\eta = \operatorname{arsinh}(p_z / p_T)$ and the azimuth $\phi$. Two jets
# that differ by where they flew, by a turn about their axis or by a mirror image hold the same physics. The
# preprocessing of arXiv:1902.09914 removes these differences before any network sees them:
#
# 1. **center**: the $p_T$-weighted centroid of the angles moves to the origin;
# 2. **rotate**: the principal axis of the $p_T$-weighted second moments becomes vertical;
# 3. **flip**: both reflections, so that the quadrant with most $p_T$ is the upper right one;
# 4. **pixelize**: $p_T$ is summed in $40 \times 40$ pixels;
# 5. **normalize**: the pixels add up to 1.
#
# Each step is a function of arrays over all jets, `[jet, constituent]`. Here it acts on the top jet whose mass is
# nearest to the median; the area of a disc is proportional to $p_T$, the circle has the radius of the jet. The network
# gets $40 \sqrt{\text{pixel}}$, of order 1, in which soft particles count.

# %%
typical = np.flatnonzero(by_class["top"])[np.abs(mass - np.median(mass[by_class["top"]]))[by_class["top"]].argmin()]
jet = kinematics.trim(constituents[typical][None])
pt, axis = kinematics.pt(jet), kinematics.jet_momentum(jet)
eta = kinematics.eta(jet) - kinematics.eta(axis)[:, None]
phi = kinematics.wrap(kinematics.phi(jet) - kinematics.phi(axis)[:, None])
centered = jet_images.center(pt, eta, phi)
rotated = jet_images.rotate(pt, *centered)
flipped = jet_images.flip(pt, *rotated)
image = jet_images.normalize(jet_images.pixelize(pt, *flipped, pixels=40, half_width=jet_images.HALF_WIDTH))[0]

extent = jet_images.HALF_WIDTH * np.array([-1, 1, -1, 1])
angle = np.linspace(0, 2 * np.pi, 200)
stages = {"about the jet axis": (eta, phi), "1. centered": centered, "2. rotated": rotated, "3. flipped": flipped}
with style.context():
    figure = style.figure(4.8)
    panels = figure.subplots(2, 3, sharex=True, sharey=True).ravel()
    for axes, (title, (x, y)) in zip(panels, stages.items(), strict=False):
        axes.scatter(x, y, s=400 * pt / pt.sum(), color=style.color(1), alpha=0.6, linewidth=0.4, edgecolor="black")
        axes.plot(0.8 * np.cos(angle), 0.8 * np.sin(angle), ":", color=style.GRAY, linewidth=1)
        axes.axhline(0, color=style.GRAY, linewidth=0.5)
        axes.axvline(0, color=style.GRAY, linewidth=0.5)
        axes.set_title(title)
    for axes, picture in zip(panels[4:], (image, 40 * np.sqrt(image)), strict=True):
        drawn = axes.imshow(np.ma.masked_equal(picture, 0), extent=extent, cmap="magma_r")
        figure.colorbar(drawn, ax=axes, shrink=0.8)
    panels[4].set_title("4., 5. $p_T$ fractions")
    panels[5].set_title("the network's input")
    for axes in panels:
        axes.set(xlim=extent[:2] * 1.1, ylim=extent[:2] * 1.1, aspect="equal")
    figure.supxlabel(r"$\Delta\eta$; from step 2 on, across the principal axis", fontsize=9.5)
    figure.supylabel(r"$\Delta\phi$ (rad); from step 2 on, along the principal axis", fontsize=9.5)
show(figure)

# %% [markdown]
# What remains should not depend on what was removed. Test it: turn the collision about the beam, mirror it, look at
# it from a frame that moves along the beam. The distance of two images is the fraction of the jet's $p_T$ that has
# moved to another pixel, $\frac12 \sum |\text{difference}|$. The boost is a symmetry for massless particles only: it
# shifts all rapidities alike, but the images are made of pseudorapidities.

# %%
some = constituents[labels == 1][:500].astype(np.float64)
energy, px, py, pz = np.moveaxis(some, -1, 0)
cos, sin, gamma, beta_gamma = np.cos(2.0), np.sin(2.0), np.cosh(0.3), np.sinh(0.3)
changes = {
    "turned by 2 rad about the beam": (energy, cos * px - sin * py, sin * px + cos * py, pz),
    "mirrored along the beam": (energy, px, py, -pz),
    "boosted by 0.3 units of rapidity": (gamma * energy + beta_gamma * pz, px, py, gamma * pz + beta_gamma * energy),
}
for change, momenta in changes.items():
    moved = 0.5 * np.abs(jet_images.images(np.stack(momenta, -1)) - jet_images.images(some)).sum((1, 2))
    print(f"{change:33} mean {moved.mean():.4f}, 95 % of the jets below {np.quantile(moved, 0.95):.4f}")

# %% [markdown]
# A single image is sparse. The average over 10,000 jets of each class shows what a network can learn: the top jet is
# wider, with structure away from the core.

# %%
images = jet_images.images(constituents)
images_by_class = {name: images[rows] for name, rows in by_class.items()}
show(jet_plots.single_images(images_by_class, half_width=jet_images.HALF_WIDTH))
show(jet_plots.average_images(images_by_class, half_width=jet_images.HALF_WIDTH, limit=10_000))

# %% [markdown]
# ## What one number does
#
# Before any network: the score $-|m - m_\text{top}|$. A cut on a score keeps a fraction $\varepsilon_S$ of the signal
# and $\varepsilon_B$ of the background. Physicists quote the **background rejection** $1/\varepsilon_B$ at a given
# $\varepsilon_S$; the area under the curve $\varepsilon_S(\varepsilon_B)$, the AUC, is the probability that a random
# top jet scores above a random QCD jet.
#
# All taggers are measured on the same test part, half of the jets, which is used for nothing else.

# %%
train_rows, validation_rows, test_rows = split(labels, seed=SEED, fractions=(0.4, 0.1, 0.5))
is_top = labels[test_rows].astype(np.int32)
scores = {"mass": taggers.mass_score(constituents[test_rows])}


def table(scores):
    """AUC and background rejections with their intervals, a line a tagger."""
    titles = {"auc": "AUC", "rejection_0.3": "1/ε_B at ε_S = 0.3", "rejection_0.5": "1/ε_B at ε_S = 0.5"}
    print(" " * 16 + "".join(f"{title:>24}" for title in titles.values()))
    for name, values in scores.items():
        measured = binary_evaluation.ranking(values, is_top)
        print(f"{name:16}" + "".join(f"{rounded(Estimate(**measured[key]))!s:>24}" for key in titles))


print(f"{len(train_rows):,} jets to train, {len(validation_rows):,} to validate, {len(test_rows):,} to test")
table(scores)

# %% [markdown]
# ## A convolutional network
#
# A model is a pair of pure functions `(init, apply)`: `init` makes the parameters $a$ from a random key, a nested dict
# of arrays; `apply` computes $f(X, a)$ for **one** example. There is no state: batches, gradients and compilation are
# JAX's own transformations of these functions. The loss is the weighted mean of the negative logarithm of the
# probability given to the right answer,
#
# $$L(a) = \frac{1}{\sum_i w_i} \sum_i w_i \big[ -y_i \ln p_i - (1 - y_i) \ln (1 - p_i) \big], \qquad p_i = \frac{1}{1 + e^{-f(X_i, a)}} .$$
#
# A `Recipe` is all that defines a training besides the data: model, loss, optimizer, and a random change of an
# example that keeps its label (here a shift of the image by up to one pixel). `fit` minimizes the loss, keeps the
# epoch of the smallest validation loss, and draws every random number from the key.


# %%
def batch_of(inputs, rows):
    """These jets as a batch in which each has weight 1; `inputs` is an array or a tree of arrays."""
    x = jax.tree.map(lambda leaf: leaf[rows], inputs)
    return Batch(x, labels[rows].astype(np.float32), np.ones(len(rows), np.float32))


def recipe_of(model, settings, augment):
    """Cross-entropy minimized by Adam with weight decay, warm-up, cosine decay to zero, and clipped gradients."""
    steps = settings.epochs * steps_per_epoch(len(train_rows), settings.batch_size)
    optimizer = adamw(2e-3, weight_decay=1e-2, schedule=warmup_cosine(steps), clip=1.0)
    loss = objective(model.apply, binary_cross_entropy, metrics={"accuracy": correct})
    return Recipe(model, loss, optimizer, augment)


blocks = tuple(Block(channels, pool=2) for channels in CHANNELS)
cnn = heads.scalar(convolutional.model(convolutional.Config((40, 40, 1), blocks=blocks, dense=(64,))))
cnn_inputs = taggers.images_as_inputs(images)
cnn_settings = Settings(epochs=CNN_EPOCHS, batch_size=128)
cnn_fit = fit(
    recipe_of(cnn, cnn_settings, taggers.shift_image),
    batch_of(cnn_inputs, train_rows),
    batch_of(cnn_inputs, validation_rows),
    key=jax.random.key(SEED),
    settings=cnn_settings,
)
scores["CNN"] = predict(cnn.apply, cnn_fit.params, cnn_inputs[test_rows])
print(f"{sum(leaf.size for leaf in jax.tree.leaves(cnn_fit.params)):,} parameters, best epoch {cnn_fit.best_epoch}")
show(learning_curves(cnn_fit.history))

# %% [markdown]
# ## A Particle Flow Network
#
# An image throws the angles of the particles away up to a pixel. A **Deep Set** takes the particles as they are, in
# no order:
#
# $$f(X, a) = \rho\Big( \sum_i w_i\, \varphi(x_i) \Big), \qquad w_i \in \{0, 1\},$$
#
# with dense networks $\varphi$ and $\rho$; for jets it is called Particle Flow Network
# ([arXiv:1810.05165](https://arxiv.org/abs/1810.05165)). Each of the 50 hardest constituents has seven features:
# angles to the axis, logarithms of $p_T$ and $E$, their shares of the jet, and the distance to the axis. $w_i = 0$ is
# padding and must contribute *exactly* nothing, whatever stands there, to the gradient too. So put NaN there.

# %%
pfn_inputs = WeightedSet(*jet_features.features(constituents, max_constituents=50))
pfn = heads.scalar(deep_sets.model(deep_sets.Config(len(jet_features.FEATURES), phi=(64, 64, 64), rho=(64, 64))))

one = jax.tree.map(lambda leaf: leaf[(pfn_inputs.weights == 0).any(1).argmax()], pfn_inputs)
padding = one.weights == 0
others = {
    "as it is": one,
    "in reverse order": jax.tree.map(lambda leaf: leaf[::-1], one),
    "NaN in the padding": one._replace(elements=np.where(padding[:, None], np.nan, one.elements)),
}
value_and_gradient = jax.jit(jax.value_and_grad(pfn.apply))
params = pfn.init(jax.random.key(SEED))
for name, jet in others.items():
    logit, gradient = value_and_gradient(params, jet)
    norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
    print(f"{name:18} logit {logit:.5f}, norm of the gradient {norm:.4f} ({padding.sum()} of 50 rows are padding)")

# %% [markdown]
# One training is one draw: another seed gives other initial parameters, another order of the examples, and another
# result. A difference between two methods means nothing before it is compared with that spread. So train several
# seeds, and ask a question at the same time: what does **augmentation** bring, that is turning each jet by a random
# angle about its axis and reflecting it at random each time it is seen?
#
# `fit_ensemble` is `vmap` of the training: all members are **one** compiled program. What differs between them is an
# array, here the seed (`keys`) and the switch `augment`. The same seeds are used with and without, so the comparison
# is paired.

# %%
pfn_settings = Settings(epochs=PFN_EPOCHS, batch_size=100)
augmented = np.repeat([False, True], SEEDS)


def pfn_recipe(hyper):
    """A member's recipe; `hyper["augment"]` is a traced boolean."""

    def augment(key, jet):
        return jax.tree.map(partial(jnp.where, hyper["augment"]), taggers.turn(key, jet), jet)

    return recipe_of(pfn, pfn_settings, augment)


def all_members(params, jet):
    """The logits of one jet, [member]."""
    return jax.vmap(pfn.apply, in_axes=(0, None))(params, jet)


pfn_fit = fit_ensemble(
    pfn_recipe,
    {"augment": augmented},
    batch_of(pfn_inputs, train_rows),
    batch_of(pfn_inputs, validation_rows),
    keys=jnp.tile(jax.random.split(jax.random.key(SEED), SEEDS), 2),
    settings=pfn_settings,
)
test_jets = jax.tree.map(lambda leaf: leaf[test_rows], pfn_inputs)
member_logits = predict(all_members, pfn_fit.params, test_jets, batch_size=250)
figure = learning_curves(pfn_fit.history)
figure.supxlabel(f"Particle Flow Network, {SEEDS} seeds with and {SEEDS} without augmentation")
show(figure)

# %% [markdown]
# The error of a mean over $n$ seeds is $s / \sqrt{n}$, with Student's factor because $n$ is small; the pairing removes
# what the seeds have in common.

# %%
aucs = np.asarray(jax.jit(jax.vmap(metrics.auc, in_axes=(1, None)))(member_logits, is_top))
without, with_turns = aucs[~augmented], aucs[augmented]


def over_seeds(values):
    """Mean over the seeds and the 68 % interval for that mean, by Student's t."""
    error = stats.t.ppf(0.84, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Estimate(values.mean(), values.mean() - error, values.mean() + error)


print("AUC of each seed without augmentation", without.round(4), "mean", rounded(over_seeds(without)))
print("AUC of each seed with augmentation   ", with_turns.round(4), "mean", rounded(over_seeds(with_turns)))
print("paired difference", rounded(over_seeds(with_turns - without)))

# %% [markdown]
# ## The taggers compared
#
# Now the other error: the test part is finite. The intervals below are statistical, for the networks as they are:
# DeLong's for the AUC, and for $1/\varepsilon_B$ the binomial one of the background that passes, widened by the
# signal that placed the cut. The mean of the members' logits is a tagger too, usually a better one than its members:
# the "ensemble".

# %%
scores["PFN, one seed"] = member_logits[:, augmented][:, 0]
scores["PFN, ensemble"] = member_logits[:, augmented].mean(1)
area, roc_curve = jax.jit(metrics.auc), jax.jit(metrics.roc_curve)
curves = {}
for name, values in scores.items():
    points = roc_curve(values, is_top)
    rates = points.true_positive_rate, points.false_positive_rate
    curves[name] = classification.RocCurve(*rates, (is_top == 0).sum(), float(area(values, is_top)))
table(scores)
show(classification.roc(curves, noun="jets"))

# %% [markdown]
# The intervals of two rows say little about their difference, because all taggers see the same jets: a jet that is
# hard for one is hard for the other. The comparison has to be **paired**. For the AUC the variance of the difference
# is $C_{aa} + C_{bb} - 2 C_{ab}$ with DeLong's covariance $C$; for the ratio of the rejections, resample the jets and
# compute both again each time (bootstrap).

# %%
for a, b in (("CNN", "mass"), ("PFN, ensemble", "mass"), ("PFN, ensemble", "CNN")):
    gain = binary_evaluation.gain(scores[a], scores[b], is_top, jax.random.key(SEED))
    value, error = gain["auc_difference"].values()
    print(f"{a} against {b}: AUC {rounded(Estimate(value, value - error, value + error))}", end=", ")
    print(f"rejection at ε_S = 0.3 times {rounded(Estimate(**gain['rejection_ratio_0.3']))}")

# %% [markdown]
# What may be said? That both networks beat the mass, by many times either error. About *the network against the other
# network* less than the last line seems to say: its error is that of the test jets only. The CNN was trained from one
# seed, and the seeds of the PFN differ by about as much as the two networks do. Both are small, and neither was tuned
# (the PFN sees 50 constituents, the CNN all of them). A claim about architectures needs several seeds of each, at
# equal effort.
#
# ### Confusion matrix
#
# A cut at probability $\frac12$ turns the tagger into a decision. Accuracy is right answers over all, recall right
# answers over the examples of the class, precision right answers over the examples that were given the class.

# %%
logits = jnp.asarray(scores["PFN, ensemble"])
matrix = metrics.confusion_matrix(metrics.predicted_label(logits), is_top, classes=2)
interval = metrics.binomial_interval(jnp.trace(matrix), matrix.sum())
print(f"accuracy {rounded(Estimate(metrics.accuracy(matrix), *interval))}")
for measure in (metrics.recall, metrics.precision, metrics.f1):
    print("{:10} QCD {:.3f}, top {:.3f}".format(measure.__name__, *measure(matrix)))
show(classification.confusion_matrix(matrix, names=["QCD", "top"], noun="jets"))

# %% [markdown]
# Whether a probability means what it says is another question than how well it ranks: of the jets that get $p = 0.8$,
# do 80 % hold a top quark (in a test part with as many top as QCD jets)?

# %%
show(classification.reliability(jax.nn.sigmoid(logits), is_top, noun="jets"))

# %% [markdown]
# ## What to take along
#
# - A model, a loss, a training step are pure functions; the batch, the ensemble and the sweep are transformations of
#   them.
# - Two errors belong to every number: of the finite test part, and of the training. Differences are judged paired.
# - A tagger is worth what it brings beyond the obvious variable; here that is the mass.
# - The jets are simulated without a detector: the taggers are compared with each other, never with published figures.
#
# The command `jaxsci train top-tagging --tagger pfn` does the same with all 30,000 jets and leaves a report. The next
# chapter is about dense networks and autoencoders.
