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
# # 4. Superconductors by Deep Sets
#
# A chemical formula is a set of elements with amounts. A Deep Set reads it as such: a network $\varphi$ describes each
# element, a sum pools them, a network $\rho$ answers. This chapter asks two questions of a formula: at which temperature
# $T_c$ does it superconduct, and does it at all? It measures how sure the answers are, paints the periodic table with
# what each element contributes, and ends with materials that were made and tested in the laboratory of H. Hosono.
#
# The model to beat: npj Comput. Mater. 9, 71 (2023). **Data.** `jaxsci data fetch superconductors` and
# `jaxsci data fetch elements`: SuperCon as cleaned by Stanev et al. and as exported, formulas of the Crystallography
# Open Database (COD), Hosono's list as completed by Konno et al., properties of the elements from mendeleev.
#
# **Time.** About a quarter of an hour on two CPU cores. With `JAXSCI_SMALL=1` it does less in less time; its numbers then mean
# nothing.

# %%
import os
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display

from jaxsci.data import download
from jaxsci.data.materials import superconductors as sc
from jaxsci.data.materials.compositions import dense, encode
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.data.materials.formula import FormulaError, parse
from jaxsci.losses import objective
from jaxsci.models import compositional
from jaxsci.plots.materials import learning_by_size
from jaxsci.runs import folder as runs
from jaxsci.runs.task import Session, silent
from jaxsci.tasks.superconductors import gaussian_process, inputs
from jaxsci.tasks.superconductors import networks as superconductor_networks
from jaxsci.tasks.superconductors import task as superconductors
from jaxsci.tasks.superconductors.predict import predict
from jaxsci.training import Recipe, adamw, fit, warmup_cosine

warnings.filterwarnings("ignore", message="IProgress not found")  # the bars of the library that writes checkpoints

SMALL = bool(int(os.environ.get("JAXSCI_SMALL", "0")))
SEED = 42
DATA = Path(os.environ.get("JAXSCI_DATA", download.cache_folder()))
FILES = {name: DATA / "superconductors" / file for name, file in sc.FILES.items()}
RUNS = Path(tempfile.mkdtemp())
if SMALL:
    lines = FILES["cod"].read_text().splitlines()[:5000]
    FILES["cod"] = RUNS / "some_of_the_cod.csv"
    FILES["cod"].write_text("\n".join(lines) + "\n")
    gaussian_process.MAX_MATERIALS = 1000


def find(data_set, file):
    """Where the file of a data set lies, here with a shorter list of presumed negatives where `SMALL` asks for it."""
    return FILES["cod"] if file == sc.FILES["cod"] else DATA / data_set / file


QUICK = {"members": 2, "epochs": 1, "influence": 1, "batch_size": 1024} if SMALL else {"members": 10}

print(
    f"jax {jax.__version__} on {jax.default_backend()}, seed {SEED}"
    + (", SMALL: numbers mean nothing" if SMALL else "")
)

# %% [markdown]
# ## Formulas
#
# Read into amounts of the elements, or refused with the place of the fault. SuperCon is full of amounts that nobody
# measured, such as the oxygen in `YBa2Cu3O7-z`; they are left out, and counted.

# %%
for text in ("YBa2Cu3O6.93", "La(Fe0.9Co0.1)AsO", "CuSO4·5H2O", "YBa2Cu3O7-z"):
    try:
        print(f"{text:20}", parse(text))
    except FormulaError as error:
        print(error)

measured = sc.read_measured("stanev", FILES["stanev"])
scatter, repeated = sc.repeated_measurements(measured)
print(f"\nSuperCon, cleaned: {measured.cleaning}, {len(measured.tc):,} left")
print(
    f"{repeated} rows repeat a composition; their Tc scatter by {scatter:.1f} K: no model of the composition does better on them"
)

# %% [markdown]
# ## What a network has to resolve
#
# The network sees atomic fractions, so that MgB2 and Mg2B4 are one material whatever its weights. But in a cuprate a
# change of a fraction by a hundredth decides between an insulator and a superconductor at 90 K, and networks learn such
# fine functions slowly. The pooled sums therefore hold, beside $\sum_i f_i z_i$ with the latent vectors
# $z_i = \varphi(\mathrm{element}_i)$, *Fourier features*: $\sum_i \sin(2^k \pi f_i)\, z_i$ and
# $\sum_i (1 - \cos 2^k \pi f_i)\, z_i$, which are 0 for an element that is absent. One member with and without them,
# judged on the validation part:

# %%
options = superconductors.Options(more=False, seed=SEED, **QUICK)
files = inputs.find_files(options, find)
job = inputs.prepare(replace(options, members=1), files, silent)
train, validation = (inputs.batch(job, rows) for rows in job.sample.splits[:2])
tc = job.sample.tc[job.sample.splits[1]]
steps = job.network.settings.epochs * -(-len(train.weight) // job.network.settings.batch_size)
levels = len(superconductor_networks.LEVELS)

for name, pooling in (
    ("mean, variance, attention", ("mean", "variance", "attention")),
    ("and waves", ("mean", "variance", "attention", "fourier")),
):
    sizes = {"outputs": levels, "phi": (128, 32), "rho": (384, 384, 192), "embedding": 16}
    config = compositional.Config(job.table.shape[1], ELEMENTS, pooling=pooling, **sizes)
    model = compositional.model(config, jnp.asarray(job.table))
    optimizer = adamw(job.network.learning_rate, weight_decay=0.1, schedule=warmup_cosine(steps), clip=1.0)
    recipe = Recipe(model, objective(model.apply, job.network.loss), optimizer)
    result = fit(recipe, train, validation, key=jax.random.key(SEED), settings=job.network.settings)
    quantiles = jax.jit(jax.vmap(model.apply, in_axes=(None, 0)))(result.params, validation.x)
    error = np.asarray(superconductor_networks.to_kelvin(quantiles[:, levels // 2])) - tc
    print(f"{name:28} RMSE {np.sqrt(np.mean(error**2)):5.2f} K, MAE {np.mean(np.abs(error)):4.2f} K (median, one seed)")

# %% [markdown]
# The loss is that of 19 quantiles of $T_c$, so each member predicts a distribution: its median is the answer, its
# width the aleatoric uncertainty that the member expects in the data.
#
# ## What neighbors say
#
# A Gaussian process predicts from the measured materials themselves, each weighted by its similarity: in its fractions, in
# their square roots, in the properties of its elements. Its covariance was chosen on the validation split. It errs differently
# from the networks, so that a weighted mean of both is better than either; the weight, too, comes from the validation split.
# Conditioned in seconds, it also shows what more data would bring:

# %%
amounts, targets = job.sample.amounts, superconductor_networks.to_units(job.sample.tc)


def error_of_process(rows, asked):
    gp = gaussian_process.conditioned(job.network.gp, amounts[rows], targets[rows], job.table, SEED)
    mean = jax.jit(lambda x: gaussian_process.mean(gp, x, jnp.asarray(job.table)))
    predicted = np.asarray(superconductor_networks.to_kelvin(mean(jnp.asarray(amounts[asked]))))
    return float(np.sqrt(np.mean((predicted - job.sample.tc[asked]) ** 2)))


order = np.random.default_rng(SEED).permutation(job.sample.splits[0])
fractions = (0.1, 0.2, 0.4, 0.7, 1.0)
curve = np.array(
    [
        [error_of_process(order[: round(fraction * len(order))], part) for part in job.sample.splits[1:]]
        for fraction in fractions
    ]
)
figure = learning_by_size([round(fraction * len(order)) for fraction in fractions], curve, scatter)
figure.savefig(RUNS / "learning_by_size.png", dpi=120)
display(Image(RUNS / "learning_by_size.png", width=620))
for fraction, (on_validation, on_test) in zip(fractions, curve, strict=True):
    print(
        f"{100 * fraction:3.0f} % of the training part: RMSE {on_validation:5.2f} K (validation), {on_test:5.2f} K (test)"
    )

# %% [markdown]
# The error still falls with the last materials that are added, and the scatter of repeated measurements lies below it:
# more data would help, down to that floor at best.
#
# ## Critical temperatures
#
# An ensemble blended with the process, which is now conditioned on the training and the validation split; the aleatoric and
# the epistemic uncertainty, added in quadrature, make an interval, which is then scaled by
# the conformal factor with which it holds 90 % of the validation split. The same from the command line: `jaxsci train superconductors`.

# %%
tc_run = superconductors.train(replace(options, more=True), Session(RUNS, find, "tc"))


def result_of(folder):
    return runs.read_json(folder / "evaluation.json", "train again")


def row(name, entry, digits=2):
    lower, upper = entry.get("lower"), entry.get("upper")
    bounds = "" if lower is None else f"  ({lower:.{digits}f} to {upper:.{digits}f})"
    print(f"{name:34} {entry['value']:.{digits}f}{bounds}")


values = result_of(tc_run)["metrics"]
print(f"random split, {result_of(tc_run)['materials']:,} test materials, 68 % intervals")
row("RMSE (K), published 9.52", values["rmse"])
row("MAE (K), published 5.36", values["mae"])
row("R2, published 0.926 (averaged)", values["r2"], 3)
row("RMSE of one member (K)", values["rmse_of_a_member"])
row("coverage of the 90 % interval", values["coverage"], 3)
for name in ("predicted_measured", "coverage"):
    display(Image(tc_run / "figures" / f"{name}.png", width=520))

# %% [markdown]
# **The random split flatters.** Most test materials have a neighbor in the training part with the same elements in
# slightly different amounts. What is left when all materials of the same elements stay on one side:

# %%
if not SMALL:
    system_run = superconductors.train(
        replace(options, split="system", more=True, members=5, influence=0), Session(RUNS, find, "tc-system")
    )
    for name, folder in (("random", tc_run), ("system", system_run)):
        leak = runs.read_config(folder)["data"]["overlap"]["system"]
        found = result_of(folder)["metrics"]
        print(f"{name:8} test materials whose elements were seen together: {100 * leak:3.0f} %;", end=" ")
        print(f"RMSE {found['rmse']['value']:.2f} K, MAE {found['mae']['value']:.2f} K, R2 {found['r2']['value']:.3f}")

# %% [markdown]
# The same for the process alone, with compositions kept together; and with a whole family left out: what is known of the
# others says next to nothing about it.

# %%
for name in ("random", "composition", "system"):
    rows, _, asked = sc.parts(job.sample.compositions, np.zeros(len(targets), int), name, seed=SEED)
    print(f"{name:12} process alone, RMSE {error_of_process(rows, asked):6.2f} K on {len(asked):,}")
families = sc.family(job.sample.compositions)
for i, name in enumerate(sc.FAMILIES):
    asked, rows = np.flatnonzero(families == i), np.flatnonzero(families != i)
    spread = job.sample.tc[asked].std()
    print(
        f"without {name:18} RMSE {error_of_process(rows, asked):6.2f} K on its {len(asked):,}, whose Tc has a spread of {spread:.2f} K"
    )

# %% [markdown]
# ## Which elements carry it
#
# A Deep Set with a latent space of one dimension, $x = \sum_i f_i X_i$, has one number $X$ an element. Trained several
# times, it paints the periodic table: red raises $T_c$, blue lowers it. Calcium, strontium and barium stand out, with copper
# and oxygen: the ingredients of the cuprates. Lowest are potassium and the heavy metals around osmium. The published map has calcium,
# barium and strontium at its top, and praseodymium, platinum and iridium at its bottom.

# %%
display(Image(tc_run / "figures" / "influence.png", width=900))

# %% [markdown]
# ## Superconductor or not
#
# Nobody publishes what does not superconduct. Presumed negatives stand in: inorganic formulas of the COD, and the entries
# of SuperCon without a $T_c$, which look most like superconductors. Whole chemical systems are kept apart, because new
# materials are what such a model is for; the probability is calibrated on the validation part, and the threshold is that of the largest
# expected F1 among those of its materials that were studied as superconductors. The networks are blended with a Gaussian process of the labels +1 and −1: of chemical systems
# left out, it tells those that were studied in vain from superconductors with an area under the ROC curve of 0.81, where networks have 0.74.

# %%
class_options = replace(options, target="class", split="system", more=True, influence=0)
class_run = superconductors.train(class_options, Session(RUNS, find, "class"))
values = result_of(class_run)["metrics"]
print("test part, presumed negatives")
for name in ("accuracy", "precision", "recall", "f1", "auc"):
    row(name, values[name], 3)
display(Image(class_run / "figures" / "precision_recall.png", width=760))
display(Image(class_run / "figures" / "calibration.png", width=420))

# %% [markdown]
# ## Hosono's list
#
# 207 materials that were made and tested; none of their compositions is in any part above. No model, feature or table was
# chosen on the list, and every threshold comes from the validation part.
#
# **How often it was looked at.** For yes or no three times before this page: with the threshold of the largest F1 on the
# whole validation part (precision 0.60, recall 0.83, F1 0.69); then, prompted by that, with the threshold of the largest F1
# among the materials of the validation part that were studied as superconductors, a rule that needs no list, with two
# seeds (F1 0.72 and 0.71). Precision and recall at every threshold had been seen by then, so that the choice of that rule,
# and with it all looks after the first, is not blind. After that superconductors of the export were added. For $T_c$ once, with the splits by
# material and by system (RMSE 9.8 K and 9.4 K); after that the network was changed by what the validation part says.
# A look at both followed (the fourth for yes or no, F1 0.70, the second for $T_c$: 9.0 K); then the Gaussian process was put
# beside the networks for $T_c$, by what the validation part says (8.6 K, as below). Later the published network was trained and
# looked at, $T_c$ only (10 members, 7.3 K): a reproduction, by which nothing was chosen. Then a process was put beside the networks for yes
# or no, by what it says of chemical systems left out, and looked at with 20 members and three seeds (F1 0.76, 0.63 and 0.76)
# and on this page; and both once more with all other materials in the training (F1 0.72; 8.2 K, or 6.3 K with a misprint
# of the list corrected). The threshold of the largest F1 that is counted scatters from seed to seed; that of the largest one expected
# scatters a third as much on systems left out, and was looked at with three seeds (F1 0.74, 0.67 and 0.78), with all other materials in the
# training (0.73), and on this page. Since then the readers of the tables were corrected, and all of it trained and looked at again, with no
# choice changed: what is below (before: F1 0.76, 8.7 K). Look by look: `benchmarks/results/superconductors.md`.

# %%
on_list = result_of(tc_run)["list"]
print("Tc of the superconductors of the list")
row("RMSE (K), published 6.9 ± 1.3", on_list["rmse"])
row("MAE (K)", on_list["mae"])
row("coverage of the 90 % interval", on_list["coverage"], 3)
decided = result_of(class_run)["list"]
print(f"\nsuperconductor or not, threshold {decided['threshold']['value']:.3f} from the validation part")
for name, published in (("accuracy", 0.894), ("precision", 0.730), ("recall", 0.692), ("f1", 0.711)):
    row(f"{name}, published {published} *", decided[name], 3)
print("* vote of 60 at the threshold 0.9, which was picked on the list")
display(Image(tc_run / "figures" / "list.png", width=520))

# %% [markdown]
# ## Ask it
#
# For any formula: the probability, $T_c$ with its interval, and what each element contributes, the prediction with it minus
# the prediction without it. Elements that never occur together in the training split are warned of. From the command line:
# `jaxsci predict superconductors MgB2 --run RUN`.

# %%
found, _ = predict(["MgB2", "YBa2Cu3O7", "LaFeAsO0.9F0.1", "Nb3Sn", "NaCl", "HeNe"], [tc_run, class_run])
for i, text in enumerate(found.formulas):
    prediction = {name: values[i] for name, values in found.values.items()}
    parts = ", ".join(f"{symbol} {value:+.1f}" for symbol, value in found.contributions[i].items())
    print(
        f"{text:15} p = {prediction['probability']:.2f}, Tc = {prediction['tc']:5.1f} K"
        f" ({prediction['tc_lower']:.1f} to {prediction['tc_upper']:.1f}); {parts}{'  ! outside the training data' * bool(prediction['out_of_distribution'])}"
    )

amounts = dense(encode([parse("MgB2"), parse("B2Mg"), parse("Mg4B8")]), ELEMENTS)
print("\nMgB2, B2Mg, Mg4B8:", np.asarray(jax.vmap(job.network.model.apply, (None, 0))(result.params, amounts))[:, 9])
