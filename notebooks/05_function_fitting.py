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
# # 5. Function fitting: explicit bases
#
# Data $X$, answers $Y$, sought: a function $f(X, a)$. The first choice of $f$ is an expansion in a basis that is given,
# $f(X, a) = \sum_k a_k\, e_k(X)$. It is linear in $a$, and that alone buys three things no network has: an exact
# solution, an error bar for every coefficient, and coefficients that mean something. This chapter fits such functions,
# and functions of a few physical parameters, to a line, to the microwave sky and to the Z boson, each beside what a
# dense network makes of the same data, and with the same calls:
#
# | | basis | network |
# |---|---|---|
# | the function | `model.apply(params, x)` | `model.apply(params, x)` |
# | its parameters | `least_squares(...).params` | `fit(...).params` |
# | its values | `predict(model.apply, params, x)` | `predict(model.apply, params, x)` |
#
# **Data.** `jaxsci data fetch sphere` and `jaxsci data fetch collider`: the W band of WMAP's seven years, Planck's 2018
# spectrum, 500 collisions recorded by CMS in 2010. What is simulated is called so.
#
# **Time.** About two minutes on two CPU cores. With `JAXSCI_SMALL=1` it does less in less time; its numbers then mean
# nothing.

# %%
import io
import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Image, display

jax.config.update("jax_enable_x64", True)  # least squares wants the digits

from jaxsci.core import Batch, Model
from jaxsci.data import dimuons, download
from jaxsci.fitting import errors, gaussian, least_squares, minimize, predictions, profiles, total
from jaxsci.losses import objective, squared_error
from jaxsci.models import dense, heads
from jaxsci.ops.sphere import real_degrees
from jaxsci.plots import fit as fit_plots
from jaxsci.plots import sphere, style
from jaxsci.runs.task import silent
from jaxsci.tasks.cmb import report as cmb_report
from jaxsci.tasks.cmb import sky_fit
from jaxsci.tasks.cmb import task as cmb
from jaxsci.tasks.dimuon import line_shape as shapes
from jaxsci.tasks.dimuon import task as dimuon
from jaxsci.training import Recipe, Settings, adamw, fit, predict, warmup_cosine

SMALL = bool(int(os.environ.get("JAXSCI_SMALL", "0")))
SEED = 1
EPOCHS = 20 if SMALL else 400
SIMULATIONS = 50 if SMALL else 1000
LMAX = 16 if SMALL else 48
DATA = Path(os.environ.get("JAXSCI_DATA", download.cache_folder()))


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
# ## A line of points, twice
#
# Forty simulated points of $\sin 4x$ with noise 0.1. The basis: Legendre polynomials to degree 7. The network: two
# hidden layers of 32.

# %%
DEGREE, SIGMA = 7, 0.1
rng = np.random.default_rng(SEED)
x = np.sort(rng.uniform(-1, 1, 40))
y = np.sin(4 * x) + SIGMA * rng.normal(size=40)
grid = np.linspace(-1, 1, 401)


def legendre(params, x):
    """Sum of Legendre polynomials, by the recursion (k + 1) P_(k+1) = (2k + 1) x P_k - k P_(k-1)."""
    values = [jnp.ones_like(x), x]
    for k in range(1, DEGREE):
        values.append(((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1))
    return params["coefficients"] @ jnp.stack(values)


basis = Model(lambda key: {"coefficients": jnp.zeros(DEGREE + 1)}, legendre)
weight = jnp.full(40, SIGMA**-2)
solved = least_squares(
    predictions(basis.apply, jnp.asarray(x)), jnp.asarray(y), weight, like=basis.init(jax.random.key(0))
)

network = heads.scalar(dense.model(dense.Config(inputs=1, hidden=(32, 32), activation="tanh")))
points = Batch(jnp.asarray(x[:, None]), jnp.asarray(y), jnp.ones(40))
recipe = Recipe(network, objective(network.apply, squared_error), adamw(1e-2, schedule=warmup_cosine(EPOCHS)))
trained = fit(recipe, points, points, key=jax.random.key(SEED), settings=Settings(epochs=EPOCHS, batch_size=40))

by_basis = predict(basis.apply, solved.params, grid)
by_network = predict(network.apply, trained.params, grid[:, None])
spread = np.sqrt(
    np.einsum(
        "xi,ij,xj->x",
        *(lambda e: (e, np.asarray(solved.covariance), e))(
            np.asarray(
                jax.vmap(jax.grad(legendre), in_axes=(None, 0))(solved.params, jnp.asarray(grid))["coefficients"]
            )
        ),
    )
)
show(
    fit_plots.measured(
        fit_plots.Points(x, y, np.full(40, SIGMA), label="simulated points"),
        {
            "polynomials, with their error": fit_plots.Curve(grid, by_basis, by_basis - spread, by_basis + spread),
            "dense network": fit_plots.Curve(grid, by_network),
        },
        pulls=np.asarray(solved.pulls),
        xlabel="x",
        ylabel="y",
    )
)
print(f"χ² = {float(solved.chi2):.1f} for {float(solved.dof):.0f} degrees of freedom")
for k, (a, error) in enumerate(
    zip(solved.params["coefficients"], errors(solved.covariance, solved.params)["coefficients"], strict=True)
):
    print(f"a_{k} = {float(a):+.3f} ± {float(error):.3f}")

# %% [markdown]
# Even coefficients are zero within their errors: the data say that the function is odd. The network says nothing of
# the kind, and its curve has no error bar.
#
# ## Are the error bars right?
#
# A thousand simulated measurements of the same function, fitted as one program under `vmap`; the design is decomposed
# once for all of them. The pulls (fitted − true) / error must have mean 0 and width 1. The truth is a polynomial of
# degree 7, so that nothing but noise is in the way.

# %%
truth = solved.params
simulated = np.asarray(predictions(basis.apply, jnp.asarray(x))(truth)) + SIGMA * rng.normal(size=(SIMULATIONS, 40))
solve = partial(least_squares, predictions(basis.apply, jnp.asarray(x)), weight=weight, like=truth)
many = jax.jit(jax.vmap(lambda y: solve(y=y)))(jnp.asarray(simulated))
pulls = (many.params["coefficients"] - truth["coefficients"]) / errors(many.covariance[0], truth)["coefficients"]
show(fit_plots.pull_distributions({f"a_{k}": pulls[:, k] for k in range(4)}))

# %% [markdown]
# The solution is a differentiable function of the data, to any order, by implicit differentiation of the equation it
# solves. Which point has most to say about the slope at the right end?


# %%
def slope_at_end(y):
    """df / dx at x = 1 of the fit to y."""
    return jax.grad(legendre, argnums=1)(solve(y=y).params, jnp.asarray(1.0))


influence = jax.jit(jax.grad(slope_at_end))(jnp.asarray(y))
print(f"the point at x = {x[int(np.abs(influence).argmax())]:.2f}: {float(np.abs(influence).max()):.0f} a unit of y")

# %% [markdown]
# ## The sky
#
# $T(\theta, \phi) = \sum_{lm} a_{lm} Y_{lm}(\theta, \phi)$, from the pixels that the Galaxy leaves free. Degrees up to 4
# are free, the others have the prior variance $C_l$ of Planck's best fit: without it the hidden part of the sky would
# leave some combinations of coefficients undetermined, and the fit says which.

# %%
options = cmb.Options(lmax=LMAX, epochs=EPOCHS, seed=SEED)
files = cmb.find_files(options, lambda data_set, file: DATA / data_set / file)
sky = cmb.read(options, files)
theory = cmb.prior(files.theory, sky.nside)
rivals = cmb.compare(options, sky, theory, silent)
show(
    sphere.globes(
        [sphere.Globe(cmb_report.globe_grid(r.map - r.map.mean()), name, 200.0) for name, r in rivals.items()],
        label="temperature [μK]",
        columns=2,
    )
)
for name, rival in rivals.items():
    print(
        f"{name}: {rival.test_error:.1f} ± {rival.test_error_error:.1f} μK on pixels it did not see, {rival.parameters:,} parameters"
    )

# %% [markdown]
# Both saw the same pixels and are tested on the same others. The harmonics are given one more fact, the power spectrum;
# in return every coefficient is an amplitude with an error. The quadrupole, from a fit to all pixels:

# %%
fitted = sky_fit.coefficients(sky, theory, LMAX, 4)
error = np.sqrt(np.diagonal(np.asarray(fitted.covariance)))
degree, order = real_degrees(LMAX)
for i in np.flatnonzero(degree == 2):
    print(f"a_2,{order[i]:+d} = {float(fitted.params['coefficients'][i]):+6.1f} ± {error[i]:.1f} μK")
print(f"χ² / degrees of freedom = {float(fitted.chi2 / fitted.dof):.2f}")

# %% [markdown]
# The weights of the network have no such reading: any of its layers can be permuted without a change of the function.
#
# ## A mass peak
#
# Not every explicit function is linear. The mass of 500 muon pairs: a Breit-Wigner convolved with the resolution and
# with the photons that muons radiate, over an exponential. Five parameters, an unbinned likelihood, Newton's method;
# errors from the Hessian, and from profile scans.
#
# The file has 2,304 rows, four and more for every collision, one for each way to measure the two muons. Counted as
# independent they would halve every error, and the answer would look twice as good as it is.

# %%
sample = dimuons.read(DATA / "collider" / "uproot-Zmumu.root")
shape = shapes.Config(window=(60.0, 120.0), radiation=True)
inside = sample.mass[(sample.mass > 60) & (sample.mass < 120)]
function = dimuon.negative_log_likelihood(shapes.model(shape), jnp.asarray(inside))
peak = jax.jit(partial(minimize, function))(dimuon.starting_point(shape, inside))
scans = jax.jit(partial(profiles, function, scanned=("mass", "width")))(peak)
print(f"{sample.rows:,} rows, {len(sample.mass)} collisions")
for name, e in errors(peak.covariance, peak.params).items():
    print(f"{name} = {float(peak.params[name]):.3f} ± {float(e):.3f}")
for name, scan in scans.items():
    print(f"{name}: 68 % interval {float(scan.lower):.2f} to {float(scan.upper):.2f} GeV")

counts, edges = np.histogram(inside, bins=60, range=(60, 120))
masses = np.linspace(60, 120, 601)
density = np.exp(predict(shapes.model(shape).apply, peak.params, masses))
show(
    fit_plots.measured(
        fit_plots.Points((edges[1:] + edges[:-1]) / 2, counts, np.sqrt(counts), label=f"{len(inside)} collisions"),
        {"fit": fit_plots.Curve(masses, len(inside) * density)},
        pulls=None,
        xlabel="mass of the muon pair / GeV",
        ylabel="events / (1 GeV)",
    )
)

# %% [markdown]
# The same fit in bins, with Gaussian errors and the same shape: `minimize(total(objective(...)))` with another term of one
# measurement. Bins without events have no error to speak of; they are given that of one event, which is the usual and not
# a good reason to prefer the likelihood of the events themselves.


# %%
def expected(params, mass):
    """Events in a bin of 1 GeV."""
    return len(inside) * jnp.exp(shapes.model(shape).apply(params, mass))


centers = jnp.asarray((edges[1:] + edges[:-1]) / 2)
binned = Batch(centers, jnp.asarray(counts, jnp.float64), jnp.asarray(1 / np.maximum(counts, 1.0)))
coarse = jax.jit(partial(minimize, total(objective(expected, gaussian), binned)))(peak.params)
print(
    f"mass = {float(coarse.params['mass']):.2f} ± {float(errors(coarse.covariance, coarse.params)['mass']):.2f} GeV in bins"
)
