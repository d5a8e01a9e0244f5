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
# # 8. Anomalies
#
# A tagger is told what a signal looks like. Who looks for something new cannot tell. An anomaly detector learns jets of
# one kind alone, without labels, and says of any other jet how unlike them it is. This chapter builds three, asks them in
# both directions (QCD jets learned and top jets found; top jets learned and QCD jets found), and asks the question that
# most claims do not survive: is it more than the mass of the jet?
#
# **Time.** Some minutes on one CPU core. With the environment variable `JAXSCI_SMALL=1` the same code runs on few jets
# in less than one; the numbers are then worthless.
#
# **Data.** 10,000 of the 30,000 *simulated* jets that come with the package (Pythia 8, particle level, no detector), those
# of [chapter 1](01_top_tagging.ipynb): **no figure of this notebook may be compared with a published one.** Intervals are
# 68 %.

# %%
import io
import os

import jax
import numpy as np
from IPython.display import Image, display

import jaxsci as js
from jaxsci.data import jets
from jaxsci.data.jets import images as jet_images
from jaxsci.data.jets.observables import NAMES, observables
from jaxsci.data.split import split
from jaxsci.plots import anomalies, classification, style
from jaxsci.plots import jets as jet_plots
from jaxsci.runs.estimate import Estimate, rounded
from jaxsci.tasks.anomalies import baselines, detectors, evaluation
from jaxsci.training import adamw, steps_per_epoch, warmup_cosine

SMALL = bool(int(os.environ.get("JAXSCI_SMALL", "0")))
SEED = 1
JETS = 1_000 if SMALL else 10_000
EPOCHS = {"mixture": 1, "autoencoder": 1} if SMALL else {"mixture": 40, "autoencoder": 6}
KINDS = ("QCD", "top")  # of the labels 0 and 1


def show(figure):
    """Display a figure as a PNG of moderate size."""
    png = io.BytesIO()
    with style.context():
        figure.savefig(png, dpi=100)
    display(Image(png.getvalue()))


print(f"jax {jax.__version__}, seed {SEED}" + (", SMALL: numbers mean nothing" if SMALL else ""))

# %% [markdown]
# ## Numbers that describe a jet
#
# Eight observables: the mass, the number of constituents, how unevenly they share the momentum, how wide they lie, and
# ratios that ask for two or three cores (C2, D2, N-subjettiness). A top jet has three.

# %%
sample = jets.read(jets.embedded(), limit=JETS)
constituents, labels = sample.constituents, sample.labels
observed = observables(constituents)
train, validation, test = split(labels, seed=SEED)
mass = observed["mass"]

with style.context():
    figure = style.figure(3.4)
    panels = figure.subplots(2, 4).ravel()
    for axes, name in zip(panels, NAMES, strict=True):
        edges = np.linspace(*np.quantile(observed[name], (0.002, 0.998)), 50)
        for label, kind in enumerate(KINDS):
            axes.hist(
                observed[name][labels == label],
                edges,
                histtype="step",
                density=True,
                color=style.color(label),
                label=kind,
            )
        axes.set_title({"mass": "mass (GeV)"}.get(name, name.replace("_", " ")))
        axes.set_yticks([])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
show(figure)

# %% [markdown]
# ## Three detectors
#
# - **mixture**: the density $p(x)$ of the observables as a sum of 16 Gaussians, by maximum likelihood; the score of a jet
#   is $-\ln p$. The definition of an anomaly, as far as these observables see it.
# - **isolation forest**: cut the observables at random until a jet is alone; the score is large for those that few cuts
#   set apart ([Liu, Ting and Zhou 2008](https://doi.org/10.1109/ICDM.2008.17)).
# - **autoencoder**: a convolutional network that squeezes jet images through eight numbers; the score is the error of what
#   comes out. The most popular one.
#
# And two that nobody would publish: how rare the **mass** of a jet is among those learned, and how rare their **number** of
# constituents.


# %%
def learn(name, normal):
    """Scores of the test jets by the detector of this name, having learned the jets of one label alone."""
    detector = detectors.detector(name)
    rows = [part[labels[part] == normal] for part in (train, validation)]
    seen = [detector.inputs(constituents[part]) for part in rows]
    model = detector.make_model(seen[0])
    settings = js.Settings(epochs=EPOCHS[name], batch_size=detector.batch_size)
    steps = settings.epochs * steps_per_epoch(len(seen[0]), settings.batch_size)
    optimizer = adamw(detector.learning_rate, weight_decay=0.0, schedule=warmup_cosine(steps), clip=1.0)
    recipe = js.Recipe(model, detector.make_loss(model), optimizer, detector.augment)
    batches = [js.Batch(x, np.zeros(len(x), np.float32), np.ones(len(x), np.float32)) for x in seen]
    found = js.fit(recipe, *batches, key=jax.random.key(SEED), settings=settings)

    def score(params, x):
        return detector.score(model, params, x)

    return [js.predict(score, found.params, detector.inputs(constituents[part])) for part in (rows[1], test)]


scores, calibration = {}, {}  # by the label that was learned, then by detector
for normal in (0, 1):
    known = baselines.learn(constituents[train[labels[train] == normal]], seed=SEED)
    quiet = validation[labels[validation] == normal]
    simple = [baselines.scores(known, constituents[rows]) for rows in (quiet, test)]
    learned = {name: learn(name, normal) for name in EPOCHS}
    calibration[normal] = {name: found[0] for name, found in learned.items()} | simple[0]
    scores[normal] = {name: found[1] for name, found in learned.items()} | simple[1]
print(", ".join(scores[0]))

# %% [markdown]
# ## Both directions
#
# The area under the ROC, the kind that was not learned being the signal: 1 where every anomaly scores above every normal
# jet, 1/2 for a score that knows nothing, *below* 1/2 where anomalies look more normal than what was learned.


# %%
def table(scores):
    """AUC over all jets and at equal mass, a line a detector."""
    for normal, kind in enumerate(KINDS):
        rows = evaluation.measure(
            evaluation.Direction(kind, next(iter(scores[normal].values())), scores[normal]),
            labels[test] != normal,
            mass[test],
        )
        print(f"{kind} learned" + " " * 16 + f"{'AUC':>18}{'AUC at equal mass':>24}")
        for name in scores[normal]:
            areas = [rounded(Estimate(**rows[name][key])) for key in ("auc", "auc_at_equal_mass")]
            print(f"  {name:24}{areas[0]!s:>18}{areas[1]!s:>24}")


table(scores)

# %% [markdown]
# Two things to see in the first column. The autoencoder finds top jets among QCD jets, which is what it is usually asked,
# and is far worse the other way round: a simple jet is rebuilt well, learned or not, so that its score measures how
# *complex* a jet is, not how unusual ([arXiv:2104.09051](https://arxiv.org/abs/2104.09051)). And the mass alone is a
# rival to all of them.
#
# ## More than the mass?
#
# The second column compares jets of equal mass only: the mean of the areas in 16 narrow bins of it. The mass itself falls
# towards 1/2 there. What remains is what a detector knows beyond it. The figure shows where it comes from: each score
# against the mass, the median of each kind with the band of 68 %.

# %%
kinds = {kind: labels[test] == label for label, kind in enumerate(KINDS)}
for normal, kind in enumerate(KINDS):
    drawn = {
        f"{name}, {kind} learned": np.minimum(s, np.quantile(s, 0.995))
        for name, s in scores[normal].items()
        if name in EPOCHS
    }
    show(anomalies.score_against(mass[test], drawn, kinds, label="Jet mass (GeV)"))

# %% [markdown]
# ## Without the mass
#
# A search that cuts on a score which follows the mass carves a bump out of the background, where it looks for one. So
# take the mass out: replace a score by its rank among the *normal* jets of the validation part that have nearly the same
# mass, the 150 nearest. Where normal jets are many, they then have ranks that are uniform from 0 to 1 whatever their
# mass; no label of an anomaly is needed.

# %%
NEAREST = 20 if SMALL else 150


def rank_at_equal_mass(score, asked, normal_scores, normal_mass):
    """The share of the normal jets of nearly the same mass whose score is smaller."""
    order = np.argsort(normal_mass)
    first = np.clip(np.searchsorted(normal_mass[order], asked) - NEAREST // 2, 0, len(order) - NEAREST)
    neighbors = normal_scores[order][first[:, None] + np.arange(NEAREST)]
    return np.mean(neighbors < score[:, None], axis=1)


ranks = {}
for normal in (0, 1):
    quiet = validation[labels[validation] == normal]
    ranks[normal] = {
        name: rank_at_equal_mass(scores[normal][name], mass[test], calibration[normal][name], mass[quiet])
        for name in scores[normal]
    }
table(ranks)
show(
    anomalies.score_against(
        mass[test],
        {f"mixture, {kind} learned": ranks[normal]["mixture"] for normal, kind in enumerate(KINDS)},
        kinds,
        label="Jet mass (GeV)",
    )
)

# %% [markdown]
# With QCD learned the blue band is nearly flat, and top jets lie above it: what the mixture knows beyond the mass. With top
# learned it fails, and the figure says so: 150 of 750 top jets reach over much of their narrow peak, so that the orange
# band is not flat, and QCD jets lighter than any top jet have no neighbors of their mass. Their rank is the mass again,
# and the area of the mass alone stays where it was. A rank at equal mass needs normal jets at that mass; elsewhere only the
# column at equal mass, which leaves such jets out, can be trusted.
#
# ## The most anomalous jets
#
# Look at them. An anomaly detector that is never looked at finds the faults of the data first.

# %%
drawn = {}
for normal, kind in enumerate(KINDS):
    rows = np.argsort(-scores[normal]["mixture"], kind="stable")[:4]
    true = ", ".join(KINDS[labels[test][row]] for row in rows)
    drawn[f"least like {kind}: {true}"] = jet_images.images(constituents[test][rows])
show(jet_plots.single_images(drawn, half_width=jet_images.HALF_WIDTH))
both = {
    kind: np.minimum(scores[0]["mixture"], np.quantile(scores[0]["mixture"], 0.995))[rows]
    for kind, rows in kinds.items()
}
show(classification.score_distributions(both, label="score of the mixture, QCD learned", noun="jets"))

# %% [markdown]
# ## What to take along
#
# - Ask in both directions. A detector that works in one may measure complexity.
# - Put the trivial detectors in the same table: the mass, the number of constituents, a forest of random cuts.
# - Compare at equal mass, or take the mass out, with normal jets alone, and look whether it is out.
# - One direction and one kind of signal say little about the next: these numbers are of two kinds of simulated jets.
#
# The command `jaxsci train anomalies` does this with all 30,000 jets and leaves a report; `--detector nae` trains a
# normalized autoencoder, `wnae` its Wasserstein form, `nae-images` and `nae-constituents` those of smoothed jets.
