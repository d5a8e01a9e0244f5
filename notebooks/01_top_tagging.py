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
# decays to three quarks before it can do anything else, leaves one jet too, with three cores. This chapter looks at
# jets of both kinds, turns them into images and into sets of particles, trains a convolutional network and a Particle
# Flow Network to tell them apart, and asks how much of what they reach is real: against the jet mass alone, over
# several seeds, with and without augmentation.
#
# **Time.** A few minutes on two CPU cores. With the environment variable `JAXSCI_SMALL=1` it runs with fewer jets and
# epochs in less than one minute; the numbers are then worthless, the code is the same.
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
CNN_EPOCHS = 2 if SMALL else 6
PFN_EPOCHS = 2 if SMALL else 16
MEMBERS = 2 if SMALL else 4  # seeds of each kind in the ensemble

import io
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display
from scipy import stats

from jaxsci import metrics
from jaxsci.core import Batch, WeightedSet
from jaxsci.data import jet_features, jet_images, jets, kinematics
from jaxsci.data.split import split
from jaxsci.losses import binary_cross_entropy, correct, objective
from jaxsci.models import convolutional, deep_sets, heads
from jaxsci.models.convolutional import Block
from jaxsci.plots import classification, style
from jaxsci.plots import jets as jet_plots
from jaxsci.plots.estimate import Estimate, rounded
from jaxsci.plots.training import learning_curves
from jaxsci.tasks import binary_evaluation, taggers
from jaxsci.training import Recipe, Settings, fit, fit_ensemble, predict
from jaxsci.training.epoch import steps_per_epoch
from jaxsci.training.optimizers import adamw, warmup_cosine


def show(figure):
    """Display a figure as a PNG of moderate size."""
    png = io.BytesIO()
    with style.context():
        figure.savefig(png, dpi=100)
    display(Image(png.getvalue()))


print(
    f"jax {jax.__version__} on {jax.default_backend()}, seed {SEED}"
    + (", SMALL: numbers mean nothing" if SMALL else "")
)

# %% [markdown]
# ## Jets
#
# A jet is an array `[constituent, 4]` of energies and momenta $(E, p_x, p_y, p_z)$ in GeV, the hardest particle
# first, padded with zeros to 200 rows. A label says what the simulation began with: 1 for a top quark, 0 for a quark
# or gluon ("QCD").

# %%
sample = jets.JetSample(*(None if a is None else a[:JETS] for a in jets.read(jets.embedded())))
constituents, labels = sample.constituents, sample.labels
mass = jets.mass(constituents)
by_class = {"QCD": labels == 0, "top": labels == 1}

print("class    jets  constituents (median)  mass in GeV: 16 %, median, 84 %")
for name, rows in by_class.items():
    count = np.median((constituents[rows, :, 0] > 0).sum(1))
    print(f"{name:5} {rows.sum():7,} {count:22.0f} {np.quantile(mass[rows], (0.16, 0.5, 0.84)).round(1)}")

# %% [markdown]
# Here is one jet of each class. No beauty contest: it is the jet whose mass is nearest to the median of its class.
# Directions are given by the pseudorapidity $\eta = \operatorname{arsinh}(p_z / p_T)$ and the azimuth $\phi$, here
# relative to the axis of the jet; the area of a disc is proportional to the transverse momentum $p_T$.

# %%
typical = {
    name: np.flatnonzero(rows)[np.abs(mass[rows] - np.median(mass[rows])).argmin()] for name, rows in by_class.items()
}


def draw_constituents(axes, pt, x, y, colour):
    """Discs of area proportional to pT at the angles x, y, inside the circle of the jet radius."""
    axes.scatter(x, y, s=400 * pt / pt.sum(), color=colour, alpha=0.5, linewidth=0.5, edgecolor="black")
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(0.8 * np.cos(turn), 0.8 * np.sin(turn), ":", color=style.GREY, linewidth=1)
    axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")


with style.context():
    figure = style.figure(3.6)
    for i, (axes, (name, row)) in enumerate(zip(figure.subplots(1, 2, sharey=True), typical.items(), strict=True)):
        jet = kinematics.trim(constituents[row][None])[0]
        axis = kinematics.jet_momentum(jet)
        eta = kinematics.eta(jet) - kinematics.eta(axis)
        phi = kinematics.wrap(kinematics.phi(jet) - kinematics.phi(axis))
        draw_constituents(axes, kinematics.pt(jet), eta, phi, style.colour(i))
        axes.set(title=f"{name}: {len(jet)} constituents, m = {mass[row]:.0f} GeV", xlabel=r"$\Delta\eta$")
    figure.axes[0].set_ylabel(r"$\Delta\phi$ (rad)")
show(figure)

# %% [markdown]
# The mass of a jet is that of the sum of its constituents,
#
# $$m^2 = \Big(\sum_i E_i\Big)^2 - \Big|\sum_i \vec p_i\Big|^2 .$$
#
# The three quarks of a top quark add up to its mass, 172.57 GeV (Particle Data Group 2024), less what neutrinos and
# particles outside the jet carry away. A QCD jet gets its mass from radiation and has no preferred value.

# %%
figure = classification.score_distributions(
    {name: mass[rows] for name, rows in by_class.items()}, label="Jet mass $m$ (GeV)", bins=80
)
figure.axes[0].axvline(taggers.TOP_MASS, color=style.GREY, linewidth=1, linestyle=":")
show(figure)

# %% [markdown]
# ## From a jet to an image
#
# Two jets that differ by where they flew, by a turn about their axis or by a mirror image hold the same physics. The
# preprocessing of arXiv:1902.09914 removes these differences before any network sees them:
#
# 1. **centre**: the $p_T$-weighted centroid of the angles moves to the origin;
# 2. **rotate**: the principal axis of the $p_T$-weighted second moments becomes vertical;
# 3. **flip**: both reflections, so that the quadrant with most $p_T$ is the upper right one;
# 4. **pixelise**: $p_T$ is summed in $40 \times 40$ pixels;
# 5. **normalise**: the pixels add up to 1.
#
# Each step is a function of arrays over all jets, `[jet, constituent]`. The networks get $40 \sqrt{\text{pixel}}$, of
# order 1, in which soft particles count.

# %%
steps = kinematics.trim(constituents[typical["top"]][None])
pt, eta, phi = kinematics.pt(steps), kinematics.eta(steps), kinematics.phi(steps)
axis = kinematics.jet_momentum(steps)
centred = jet_images.centre(pt, eta, phi)
rotated = jet_images.rotate(pt, *centred)
flipped = jet_images.flip(pt, *rotated)
image = jet_images.normalise(jet_images.pixelise(pt, *flipped, pixels=40, half_width=jet_images.HALF_WIDTH))[0]
stages = {
    "as it flew, about the jet axis": (
        eta - kinematics.eta(axis)[:, None],
        kinematics.wrap(phi - kinematics.phi(axis)[:, None]),
    ),
    "1. centred": centred,
    "2. rotated": rotated,
    "3. flipped": flipped,
}

with style.context():
    figure = style.figure(5.0)
    panels = figure.subplots(2, 3, sharex=True, sharey=True).ravel()
    for axes, (title, (x, y)) in zip(panels, stages.items(), strict=False):
        draw_constituents(axes, pt[0], x[0], y[0], style.colour(1))
        axes.axhline(0, color=style.GREY, linewidth=0.5)
        axes.axvline(0, color=style.GREY, linewidth=0.5)
        axes.set_title(title)
    extent = jet_images.HALF_WIDTH * np.array([-1, 1, -1, 1])
    for axes, picture, title in zip(
        panels[4:], (image, 40 * np.sqrt(image)), ("4. and 5. $p_T$ fractions", "the network's input"), strict=True
    ):
        axes.imshow(np.ma.masked_equal(picture, 0), extent=extent, cmap="magma_r")
        axes.set_title(title)
    for axes in panels[3:]:
        axes.set_xlabel(r"$\Delta\eta$, rotated")
    for axes in panels[::3]:
        axes.set_ylabel(r"$\Delta\phi$ (rad), rotated")
show(figure)

# %% [markdown]
# What remains should not depend on what was removed. Test it: turn the collision about the beam, mirror it, look at
# it from a frame that moves along the beam. The distance of two images is the fraction of the jet's $p_T$ that has
# moved to another pixel, $\frac12 \sum |\text{difference}|$.
#
# The first two changes are symmetries of the preprocessing, up to rounding at the edge of a pixel. The boost is one
# for massless particles only: it shifts all rapidities alike, but the images are made of pseudorapidities.

# %%
some = constituents[labels == 1][:500].astype(np.float64)
energy, px, py, pz = np.moveaxis(some, -1, 0)
cosine, sine, gamma, beta_gamma = np.cos(2.0), np.sin(2.0), np.cosh(0.3), np.sinh(0.3)
changes = {
    "turned by 2 rad about the beam": (energy, cosine * px - sine * py, sine * px + cosine * py, pz),
    "mirrored along the beam": (energy, px, py, -pz),
    "boosted by 0.3 units of rapidity": (gamma * energy + beta_gamma * pz, px, py, gamma * pz + beta_gamma * energy),
}
before = jet_images.images(some)
for change, momenta in changes.items():
    moved = 0.5 * np.abs(jet_images.images(np.stack(momenta, -1)) - before).sum((1, 2))
    print(f"{change:34} median {np.median(moved):.1e}, 95 % of jets below {np.quantile(moved, 0.95):.1e}")

# %% [markdown]
# A single jet image is sparse. The average over 10,000 jets of each class shows what a network can learn: the top jet
# is wider, with structure away from the core.

# %%
images = jet_images.images(constituents)
show(jet_plots.single_images({n: images[rows] for n, rows in by_class.items()}, half_width=jet_images.HALF_WIDTH))
show(jet_plots.average_images({n: images[rows] for n, rows in by_class.items()}, half_width=jet_images.HALF_WIDTH))

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
test_labels = jnp.asarray(labels[test_rows], jnp.int32)
mass_scores = jnp.asarray(taggers.mass_score(constituents[test_rows]))


@jax.jit
def measure(scores, labels):
    """The AUC and the rejection at eps_S = 0.3, each with its interval, and the exact ROC: one compiled program."""
    rejection = metrics.background_rejection(scores, labels, signal_efficiency=0.3)
    rejection_interval = metrics.rejection_interval(scores, labels, signal_efficiency=0.3)
    return (
        Estimate(metrics.auc(scores, labels), *metrics.auc_interval(scores, labels)),
        Estimate(rejection, *rejection_interval),
        metrics.roc_curve(scores, labels),
    )


def roc_of(scores):
    """The exact ROC of some scores of the test jets, ready to draw."""
    area, _, curve = measure(jnp.asarray(scores), test_labels)
    background = int((test_labels == 0).sum())
    return classification.RocCurve(curve.true_positive_rate, curve.false_positive_rate, background, float(area.value))


area, rejection, _ = measure(mass_scores, test_labels)
print(f"{len(train_rows):,} jets to train, {len(validation_rows):,} to validate, {len(test_rows):,} to test")
print(f"mass: AUC {rounded(area)}, 1/eps_B at eps_S = 0.3: {rounded(rejection)}")
show(classification.roc({"mass": roc_of(mass_scores)}))

# %% [markdown]
# ## A network is a pair of pure functions
#
# A model is `(init, apply)`: `init` makes the parameters $a$ from a random key, a nested dict of arrays; `apply`
# computes $f(X, a)$ for **one** example. There is no state and no hidden global: batches, gradients and compilation
# are JAX's own transformations of these functions.

# %%
cnn = heads.scalar(
    convolutional.model(
        convolutional.Config((40, 40, 1), blocks=(Block(16, pool=2), Block(32, pool=2), Block(64, pool=2)), dense=(64,))
    )
)
cnn_inputs = taggers.images_as_inputs(images)
params = jax.jit(cnn.init)(jax.random.key(SEED))

for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    print(f"{jax.tree_util.keystr(path, simple=True, separator='/'):24} {leaf.shape}")
print(f"{sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters")

one = jax.jit(cnn.apply)(params, cnn_inputs[0])
many = jax.jit(jax.vmap(cnn.apply, in_axes=(None, 0)))(params, cnn_inputs[:4])
print(f"the logit of one jet {one:.4f}; of four, by vmap {np.asarray(many).round(4)}")

# %% [markdown]
# A data set is a `Batch` of inputs `x`, answers `y` and weights. The loss is a function of parameters and batch: the
# weighted mean of the negative logarithm of the probability given to the right answer,
#
# $$L(a) = \frac{1}{\sum_i w_i} \sum_i w_i \big[ -y_i \ln p_i - (1 - y_i) \ln (1 - p_i) \big], \qquad p_i = \frac{1}{1 + e^{-f(X_i, a)}} .$$
#
# Weight 0 marks padding. It must contribute *exactly* nothing, whatever stands there. The usual trap is a NaN in the
# padding, because $0 \cdot \mathrm{NaN} = \mathrm{NaN}$ in a gradient too. So put one there and look at every bit.

# %%
cnn_loss = objective(cnn.apply, binary_cross_entropy, measures={"accuracy": correct})
weight = np.array([1, 1, 1, 1, 0, 0], np.float32)
answers = labels[:6].astype(np.float32)
with_zeros = Batch(np.where(weight[:, None, None, None] > 0, cnn_inputs[:6], 0), answers, weight)
with_nan = Batch(np.where(weight[:, None, None, None] > 0, cnn_inputs[:6], np.nan), answers, weight)

value_and_gradient = jax.jit(jax.value_and_grad(cnn_loss, has_aux=True))
(zeros_value, _), zeros_gradient = value_and_gradient(params, with_zeros)
(nan_value, _), nan_gradient = value_and_gradient(params, with_nan)
same = jax.tree.map(np.array_equal, (zeros_value, zeros_gradient), (nan_value, nan_gradient))
assert np.isfinite(nan_value)
assert all(jax.tree.leaves(same))
print(f"loss {nan_value:.6f}; equal bits in the loss and in all {len(jax.tree.leaves(same)) - 1} gradient arrays")

# %% [markdown]
# ## Training a convolutional network
#
# A `Recipe` is all that defines a training besides the data: model, loss, optimiser, and a random change of an
# example that keeps its label (here a shift of the image by up to one pixel). `fit` minimises the loss, keeps the
# epoch of the smallest validation loss, and draws every random number from the key: the same key gives the same
# network.


# %%
def batch_of(inputs, rows):
    """These jets as a batch in which each has weight 1; `inputs` is an array or a tree of arrays."""
    return Batch(
        jax.tree.map(lambda leaf: leaf[rows], inputs),
        labels[rows].astype(np.float32),
        np.ones(len(rows), np.float32),
    )


def optimizer(settings):
    """Adam with weight decay, warm-up, cosine decay to zero over all epochs, and clipped gradients."""
    steps = settings.epochs * steps_per_epoch(len(train_rows), settings.batch_size)
    return adamw(2e-3, weight_decay=1e-2, schedule=warmup_cosine(steps), clip=1.0)


cnn_settings = Settings(epochs=CNN_EPOCHS, batch_size=128)
cnn_fit = fit(
    Recipe(cnn, cnn_loss, optimizer(cnn_settings), taggers.shift_image),
    batch_of(cnn_inputs, train_rows),
    batch_of(cnn_inputs, validation_rows),
    key=jax.random.key(SEED),
    settings=cnn_settings,
)
cnn_logits = predict(cnn.apply, cnn_fit.params, cnn_inputs[test_rows])
print(f"best epoch {cnn_fit.best_epoch} of {CNN_EPOCHS}, validation loss {cnn_fit.best_loss:.4f}")
show(learning_curves(cnn_fit.history))

# %% [markdown]
# ## A Particle Flow Network, eight times
#
# An image throws the angles of the particles away up to a pixel. A **Deep Set** takes the particles as they are, in
# no order:
#
# $$f(X, a) = \rho\Big( \sum_i w_i\, \varphi(x_i) \Big), \qquad w_i \in \{0, 1\},$$
#
# with dense networks $\varphi$ and $\rho$; for jets it is called Particle Flow Network
# ([arXiv:1810.05165](https://arxiv.org/abs/1810.05165)). Each of the 50 hardest constituents has seven features:
# angles to the axis, logarithms of $p_T$ and $E$, their shares of the jet, and the distance to the axis. $w_i = 0$ is
# padding.

# %%
pfn_inputs = WeightedSet(*jet_features.features(constituents, max_constituents=50))
pfn = heads.scalar(deep_sets.model(deep_sets.Config(len(jet_features.FEATURES), phi=(64, 64, 64), rho=(64, 64))))
pfn_loss = objective(pfn.apply, binary_cross_entropy, measures={"accuracy": correct})
params = pfn.init(jax.random.key(SEED))

jet = WeightedSet(*(leaf[test_rows[0]] for leaf in pfn_inputs))
order = np.random.default_rng(SEED).permutation(len(jet.weights))
padded = jet._replace(elements=np.where(jet.weights[:, None] > 0, jet.elements, np.nan))
logits = [pfn.apply(params, x) for x in (jet, WeightedSet(*(leaf[order] for leaf in jet)), padded)]
print("features:", ", ".join(jet_features.FEATURES))
print("logit of a jet: {:.5f}, constituents in another order: {:.5f}, NaN in the padding: {:.5f}".format(*logits))

# %% [markdown]
# One training is one draw. Another seed gives other initial parameters, another order of the examples, and another
# result; a difference between two methods means nothing before it is compared with that spread. So train several
# seeds, and ask a question at the same time: what does **augmentation** bring, that is turning each jet by a random
# angle about its axis and reflecting it at random each time it is seen?
#
# `fit_ensemble` is `vmap` of the training: all members are **one** compiled program. What differs between them is an
# array, here the seed (`keys`) and the switch `augment`. The same seeds are used with and without, so the comparison
# is paired.


# %%
pfn_settings = Settings(epochs=PFN_EPOCHS, batch_size=100)


def pfn_recipe(hyper):
    """A member's recipe; `hyper["augment"]` is a traced boolean."""

    def augment(key, jet):
        return jax.tree.map(partial(jnp.where, hyper["augment"]), taggers.turn(key, jet), jet)

    return Recipe(pfn, pfn_loss, optimizer(pfn_settings), augment)


seeds = jax.random.split(jax.random.key(SEED), MEMBERS)
augmented = np.repeat([False, True], MEMBERS)
pfn_fit = fit_ensemble(
    pfn_recipe,
    {"augment": augmented},
    batch_of(pfn_inputs, train_rows),
    batch_of(pfn_inputs, validation_rows),
    keys=jnp.concatenate([seeds, seeds]),
    settings=pfn_settings,
)

for switch in (False, True):
    rows = np.flatnonzero(augmented == switch)
    history = [
        {name: np.array(value)[rows] if isinstance(value, list) else value for name, value in record.items()}
        for record in pfn_fit.history
    ]
    figure = learning_curves(history)
    figure.suptitle(f"{MEMBERS} seeds {'with' if switch else 'without'} augmentation")
    show(figure)

# %% [markdown]
# ## What augmentation brings
#
# The logits of all members for all test jets are one more `vmap`, and so are their AUCs. The error of a mean over $n$
# seeds is $s / \sqrt{n}$, with Student's factor because $n$ is small; the pairing removes what the seeds have in
# common. How much a network has learned by heart is seen in the difference between the losses of jets it was trained on
# (as they are, not turned) and of test jets.


# %%
def all_members(params, jet):
    """The logits of one jet, [member]."""
    return jax.vmap(pfn.apply, in_axes=(0, None))(params, jet)


test_jets = jax.tree.map(lambda leaf: leaf[test_rows], pfn_inputs)
member_logits = predict(all_members, pfn_fit.params, test_jets, batch_size=256)


def over_seeds(values):
    """Mean over the seeds and the 68 % interval for that mean, by Student's t."""
    values = np.asarray(values, np.float64)
    error = stats.t.ppf(0.84, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Estimate(values.mean(), values.mean() - error, values.mean() + error)


member_aucs = np.asarray(jax.jit(jax.vmap(metrics.auc, in_axes=(1, None)))(member_logits, test_labels))
without, with_turns = member_aucs[~augmented], member_aucs[augmented]
gain = over_seeds(with_turns - without)
print("AUC of the seeds without augmentation", without.round(4))
print("AUC of the seeds with augmentation   ", with_turns.round(4))
print(f"mean without {rounded(over_seeds(without))}, with {rounded(over_seeds(with_turns))}")
print(f"paired difference {rounded(gain)}; augmentation wins with {(with_turns > without).sum()} of {MEMBERS} seeds")

train_jets = jax.tree.map(lambda leaf: leaf[train_rows[:5_000]], pfn_inputs)
train_labels = jnp.asarray(labels[train_rows[:5_000]], jnp.int32)
train_logits = predict(all_members, pfn_fit.params, train_jets, batch_size=256)
losses = jax.jit(jax.vmap(metrics.log_loss, in_axes=(1, None)))
test_losses, train_losses = losses(member_logits, test_labels), losses(train_logits, train_labels)
for name, rows in (("without", ~augmented), ("with", augmented)):
    print(
        f"{name:7} augmentation: loss of training jets {rounded(over_seeds(train_losses[rows]))}, "
        f"of test jets {rounded(over_seeds(test_losses[rows]))}"
    )

# %% [markdown]
# The same as ROC curves: for each signal efficiency the mean of $\ln(1/\varepsilon_B)$ over the seeds, and as a band
# the interval for that mean. This is the spread of *training*; that the test jets are finite comes on top of it.

# %%
efficiencies = jnp.linspace(0.2, 1.0, 161)


def roc_over_seeds(logits):
    """Mean ROC of logits [jet, member] on a grid of signal efficiencies, with the interval over the members."""
    cut = partial(metrics.working_point, signal_efficiency=efficiencies)
    passing = jax.vmap(cut, in_axes=(1, None))(jnp.asarray(logits), test_labels).background_efficiency
    background = int((test_labels == 0).sum())
    # Half a jet where none passes: the logarithm stays finite. The figure leaves that region out.
    ends = [np.exp(over_seeds(column)) for column in -np.log(np.maximum(np.asarray(passing), 0.5 / background)).T]
    rejection, lower, upper = np.transpose(ends)
    area = float(jax.vmap(metrics.auc, in_axes=(1, None))(jnp.asarray(logits), test_labels).mean())
    return classification.RocCurve(efficiencies, 1 / rejection, background, area, lower, upper)


show(
    classification.roc(
        {
            f"PFN, {MEMBERS} seeds, augmented": roc_over_seeds(member_logits[:, augmented]),
            f"PFN, {MEMBERS} seeds, plain": roc_over_seeds(member_logits[:, ~augmented]),
        }
    )
)

# %% [markdown]
# ## The taggers compared
#
# Now the other error: the test part is finite. The intervals below are statistical, for the networks as they are:
# DeLong's for the AUC, and for $1/\varepsilon_B$ the binomial one of the background that passes, widened by the
# signal that placed the cut. The mean of the members' logits is a tagger too, usually a better one than its members:
# the "ensemble".

# %%
median_seed = np.flatnonzero(augmented)[np.argsort(with_turns)[MEMBERS // 2]]
scores = {
    f"PFN, ensemble of {MEMBERS}": member_logits[:, augmented].mean(1),
    "PFN, one seed": member_logits[:, median_seed],
    "CNN": cnn_logits,
    "mass": np.asarray(mass_scores),
}
columns = {"auc": "AUC", "rejection_0.3": "1/eps_B at 0.3", "rejection_0.5": "1/eps_B at 0.5"}
measured = {name: binary_evaluation.ranking(values, np.asarray(test_labels)) for name, values in scores.items()}
print(f"{'':20}" + "".join(f"{title:>22}" for title in columns.values()))
for name, values in measured.items():
    print(f"{name:20}" + "".join(f"{rounded(Estimate(**values[column]))!s:>22}" for column in columns))
show(classification.roc({name: roc_of(values) for name, values in scores.items()}))

# %% [markdown]
# The intervals of two rows overlap more than their difference is uncertain, because all taggers see the same jets: a
# jet that is hard for one is hard for the other. The comparison has to be **paired**. For the AUC the variance of the
# difference is $C_{aa} + C_{bb} - 2 C_{ab}$ with DeLong's covariance $C$; for the ratio of the rejections, resample
# the jets and compute both again each time (bootstrap).

# %%
for a, b in (("CNN", "mass"), (f"PFN, ensemble of {MEMBERS}", "mass"), (f"PFN, ensemble of {MEMBERS}", "CNN")):
    difference = binary_evaluation.gain(scores[a], scores[b], np.asarray(test_labels), jax.random.key(SEED))
    auc, ratio = difference["auc_difference"], Estimate(**difference["rejection_ratio_0.3"])
    ends = Estimate(auc["value"], auc["value"] - auc["error"], auc["value"] + auc["error"])
    print(f"{a} against {b}: AUC {rounded(ends)} ({auc['value'] / auc['error']:+.1f} standard errors)")
    print(f"    rejection at eps_S = 0.3: times {rounded(ratio)}")

# %% [markdown]
# ### Confusion matrix
#
# A cut at probability $\frac12$ turns the tagger into a decision. Accuracy is right answers over all, recall right
# answers over the examples of the class, precision right answers over the examples that were given the class.

# %%
best = scores[f"PFN, ensemble of {MEMBERS}"]
logits = jnp.asarray(best)
matrix = metrics.confusion_matrix(metrics.predicted_yes(logits), test_labels, classes=2)
interval = metrics.binomial_interval(jnp.trace(matrix), matrix.sum())
print(f"accuracy {rounded(Estimate(metrics.accuracy(matrix), *interval))}")
for measure in (metrics.recall, metrics.precision, metrics.f1):
    qcd, top = measure(matrix)
    print(f"{measure.__name__:10} QCD {qcd:.3f}, top {top:.3f}")
show(classification.confusion_matrix(matrix, names=["QCD", "top"]))

# %% [markdown]
# Whether a probability means what it says is another question than how well it ranks. Of the jets that get $p = 0.8$,
# do 80 % hold a top quark (in a test part with as many top as QCD jets)?

# %%
probability = jax.nn.sigmoid(logits)
print(f"expected calibration error {metrics.expected_calibration_error(probability, test_labels):.4f}")
show(classification.score_distributions({n: probability[test_labels == k] for k, n in enumerate(by_class)}, log=True))
show(classification.reliability(probability, test_labels))

# %% [markdown]
# ## Where the network looks
#
# The tagger is a differentiable function of its *input* too. The gradient $\partial f / \partial X$ of the logit by
# the pixels, `jax.grad(..., argnums=1)`, says which pixels would make the jet look more like a top quark (red) or
# less (blue) if they got brighter. Times the pixel, $X\, \partial f / \partial X$, it is the contribution of what
# *is* there, to first order.
#
# Convolution, ReLU and maximum are all positively homogeneous, so Euler's theorem gives a test that is exact: with
# the biases $b$ of all layers,
#
# $$f(X, a) = X \cdot \frac{\partial f}{\partial X} + \sum_b b\, \frac{\partial f}{\partial b} ,$$
#
# the contributions of the pixels add up to the logit, less what the biases bring.


# %%
def contributions_of(params, x):
    """What pixels and biases of one image contribute to its logit, two numbers."""
    by_params, by_input = jax.grad(cnn.apply, argnums=(0, 1))(params, x)
    leaves = jax.tree_util.tree_leaves_with_path(jax.tree.map(jnp.vdot, params, by_params))
    return jnp.vdot(x, by_input), sum(leaf for path, leaf in leaves if path[-1].key == "bias")


few = cnn_inputs[test_rows[:64]]
from_pixels, from_biases = jax.jit(jax.vmap(contributions_of, in_axes=(None, 0)))(cnn_fit.params, few)
rest = cnn_logits[:64] - (from_pixels + from_biases)
print(f"64 jets: pixels and biases add up to the logit within {np.abs(rest).max():.1e}")
print(f"standard deviation of the pixels' part {from_pixels.std():.2f}, of the biases' part {from_biases.std():.2f}")

# %%
saliency = jax.jit(jax.grad(cnn.apply, argnums=1))
some_rows = test_rows[:1_000]
gradients = predict(jax.grad(cnn.apply, argnums=1), cnn_fit.params, cnn_inputs[some_rows], batch_size=250)[..., 0]
contributions = gradients * cnn_inputs[some_rows, ..., 0]


def draw_signed(axes, values, title):
    """A picture whose sign matters: white at zero, the scale symmetric."""
    reach = np.abs(values).max()
    drawn = axes.imshow(values, extent=extent, cmap="RdBu_r", vmin=-reach, vmax=reach)
    axes.set_title(title)
    axes.figure.colorbar(drawn, ax=axes, shrink=0.8)


with style.context():
    figure = style.figure(4.6, width=8.0)
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, (name, jet_row) in zip(panels, typical.items(), strict=True):
        x = cnn_inputs[jet_row]
        drawn = row[0].imshow(np.ma.masked_equal(x[..., 0], 0), extent=extent, cmap="magma_r")
        row[0].set_title(f"{name} jet, $X$")
        figure.colorbar(drawn, ax=row[0], shrink=0.8)
        draw_signed(row[1], np.asarray(saliency(cnn_fit.params, x))[..., 0], r"$\partial f / \partial X$")
        of_class = labels[some_rows] == (name == "top")
        title = rf"mean $X\,\partial f / \partial X$, {of_class.sum()} {name} jets"
        draw_signed(row[2], contributions[of_class].mean(0), title)
        row[0].set_ylabel(r"$\Delta\phi'$ (rad)")
    for axes in panels[1]:
        axes.set_xlabel(r"$\Delta\eta'$")
show(figure)

# %% [markdown]
# The gradient of a single jet is rough: the network is linear only in a small neighbourhood of it. The mean of the
# contributions over many jets is what can be read, with the test above saying how much of the logit it explains.

# %% [markdown]
# ## What to take along
#
# - A model, a loss, a training step are pure functions; the batch, the ensemble, the sweep and the saliency map are
#   transformations of them.
# - Two errors belong to every number: of the finite test part, and of the training. Differences are judged paired.
# - A tagger is worth what it brings beyond the obvious variable; here that is the mass.
# - The jets are simulated without a detector: the taggers are compared with each other, never with published figures.
#
# The command `jaxsci train top-tagging --tagger pfn` does the same with all 30,000 jets and leaves a report. The next
# chapter is about dense networks and autoencoders.
