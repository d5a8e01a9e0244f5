"""Laplace's approximation: exact for linear models, and consistent between its structures for networks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.gradients import gauss_newton, kfac, laplace
from jaxsci.losses import binary_cross_entropy, cross_entropy, focal, squared_error
from jaxsci.models import dense, heads
from jaxsci.ops import conv

pytestmark = pytest.mark.usefixtures("x64")

N, PRIOR, NOISE = 30, 0.7, 0.3
KEY = jax.random.key(0)


def line(params, x):
    """A model of one example that is linear in its parameters."""
    return params["offset"] + x @ params["slopes"]


def linear_problem(prior=PRIOR, noise=NOISE):
    """Data, the design in the order of the parameters, and the exact posterior at its mean."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3))
    design = np.concatenate([np.ones((N, 1)), x], axis=1)
    y = design @ [0.5, 1.0, -2.0, 0.3] + NOISE * rng.normal(size=N)
    covariance = np.linalg.inv(design.T @ design / noise**2 + prior * np.eye(4))
    mean = covariance @ design.T @ y / noise**2
    params = {"offset": jnp.asarray(mean[0]), "slopes": jnp.asarray(mean[1:])}
    return Batch(*map(jnp.asarray, (x, y, np.ones(N)))), design, params, covariance


def evidence(y, design, prior, noise):
    """log N(y; 0, F F^T / prior + noise^2), the marginal likelihood of a linear model."""
    return multivariate_normal(np.zeros(N), design @ design.T / prior + noise**2 * np.eye(N)).logpdf(y)


@pytest.mark.parametrize("structure", ["full", "low_rank"])
def test_the_posterior_of_a_linear_model_is_exact(structure):
    data, design, params, covariance = linear_problem()
    key = KEY if structure == "low_rank" else None
    posterior = laplace(
        line, squared_error, params, data, prior_precision=PRIOR, noise=NOISE, structure=structure, key=key
    )
    mean, variance = posterior.outputs(data.x)
    np.testing.assert_allclose(mean, design @ [params["offset"], *params["slopes"]], rtol=1e-12)
    np.testing.assert_allclose(variance, np.einsum("ni,ij,nj->n", design, covariance, design), rtol=1e-8)
    found, slopes = jax.value_and_grad(
        lambda p, s: posterior.at(prior_precision=p, noise=s).log_marginal_likelihood(), argnums=(0, 1)
    )(PRIOR, NOISE)
    np.testing.assert_allclose(found, evidence(data.y, design, PRIOR, NOISE), rtol=1e-8)
    # The parameters are the best ones for this prior and noise, so that their own change is of second order.
    step = 1e-5
    exact = [
        (evidence(data.y, design, PRIOR + a, NOISE + b) - evidence(data.y, design, PRIOR - a, NOISE - b)) / (2 * step)
        for a, b in ((step, 0), (0, step))
    ]
    np.testing.assert_allclose(slopes, exact, rtol=1e-6)  # of the central difference


@pytest.mark.slow
def test_draws_have_the_covariance_of_the_posterior():
    data, _, params, _ = linear_problem()
    posterior = laplace(
        line, squared_error, params, data, prior_precision=PRIOR, noise=NOISE, structure="low_rank", rank=2, key=KEY
    )
    drawn = posterior.sample(KEY, 20000)
    vectors = np.concatenate([np.asarray(drawn["offset"])[:, None], np.asarray(drawn["slopes"])], axis=1)
    basis, values = np.asarray(posterior.basis), np.asarray(posterior.eigenvalues)
    kept = basis.T @ np.diag(values) @ basis / NOISE**2
    exact = np.linalg.inv(kept + PRIOR * np.eye(4))  # what is left out has the variance of the prior
    error = np.sqrt((exact**2 + np.outer(np.diag(exact), np.diag(exact))) / 20000)
    assert (np.abs(np.cov(vectors.T) - exact) < 5 * error).all()
    pulls = (vectors.mean(0) - np.array([params["offset"], *params["slopes"]])) / np.sqrt(np.diag(exact) / 20000)
    assert (np.abs(pulls) < 5).all()


MODEL = dense.model(dense.Config(2, hidden=(3,), outputs=3, activation="tanh"))


def network_problem(loss):
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), jax.eval_shape(MODEL.init, KEY))
    x, weight = rng.normal(size=(N, 2)), rng.uniform(0.5, 2, N)
    x[3], weight[3] = np.nan, 0
    y = rng.normal(size=(N, 3)) if loss is squared_error else rng.integers(0, 3, N)
    return params, Batch(*map(jnp.asarray, (x, y, weight)))


@pytest.mark.parametrize(
    ("loss", "noise"), [(cross_entropy, None), pytest.param(squared_error, 0.5, marks=pytest.mark.slow)]
)
def test_the_structures_of_a_network_are_those_of_its_curvature(loss, noise):
    params, data = network_problem(loss)
    make = partial(laplace, MODEL.apply, loss, params, data, noise=noise, prior_precision=2.0, batch_size=7)
    weight = np.asarray(data.weight).sum()
    # squared_error is a mean over 3 outputs, and twice minus the log-likelihood at noise 1.
    unit = 1.5 if loss is squared_error else 1
    curvature = weight * unit * np.asarray(gauss_newton(MODEL.apply, loss, params, data).dense())
    full = make()
    rebuilt = full.basis.T @ jnp.diag(full.eigenvalues) @ full.basis
    np.testing.assert_allclose(rebuilt, curvature, atol=1e-10 * curvature.max())
    np.testing.assert_allclose(make(structure="diagonal").eigenvalues, np.diag(curvature), rtol=1e-10)
    factors = kfac(MODEL.apply, loss, params, data)
    kronecker = make(structure="kronecker")

    x = data.x[5:9]
    vector, unravel = jax.flatten_util.ravel_pytree(params)
    j = np.asarray(jax.jit(jax.jacrev(lambda v: jax.vmap(partial(MODEL.apply, unravel(v)))(x)))(vector))
    precision = curvature / (noise or 1) ** 2 + 2 * np.eye(len(vector))
    exact = np.einsum("nap,pq,nbq->nab", j, np.linalg.inv(precision), j)
    np.testing.assert_allclose(full.outputs(x)[1], exact, rtol=1e-8)
    # The blocks of the layers as a matrix: (weight unit F / noise^2 + 2)^-1.
    scale = weight * unit / (noise or 1) ** 2
    inverse = np.asarray(factors.power(-1, 2.0 / scale).dense()) / scale
    np.testing.assert_allclose(
        kronecker.outputs(x)[1], np.einsum("nap,pq,nbq->nab", j, inverse, j), rtol=1e-8, atol=1e-15
    )
    draws = kronecker.sample(KEY, 4000)
    drawn = np.concatenate([np.reshape(leaf, (4000, -1)) for leaf in jax.tree.leaves(draws)], axis=1) - np.asarray(
        vector
    )
    spread = np.sqrt((inverse**2 + np.outer(np.diag(inverse), np.diag(inverse))) / 4000)
    assert (np.abs(drawn.T @ drawn / 4000 - inverse) < 6 * spread).all()
    low = make(structure="low_rank", rank=vector.size, key=KEY)
    np.testing.assert_allclose(low.outputs(x)[1], exact, rtol=1e-8)
    np.testing.assert_allclose(low.log_marginal_likelihood(), full.log_marginal_likelihood(), rtol=1e-10)
    some = make(structure="low_rank", rank=4, key=KEY).outputs(x)[1]
    assert (np.linalg.eigvalsh(np.asarray(some) - exact) > -1e-12).all()  # a curvature left out can only widen

    last = make(mask={f"layer_{i}": {"kernel": i == 1, "bias": i == 1} for i in (0, 1)})
    block = slice(sum(leaf.size for leaf in params["layer_0"].values()), None)
    exact = np.einsum("nap,pq,nbq->nab", j[..., block], np.linalg.inv(precision[block, block]), j[..., block])
    np.testing.assert_allclose(last.outputs(x)[1], exact, rtol=1e-8, atol=1e-15)
    drawn = last.sample(KEY, 3)
    np.testing.assert_array_equal(drawn["layer_0"]["kernel"], np.stack([params["layer_0"]["kernel"]] * 3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of PyTorch
def test_posteriors_of_a_convolutional_network_are_those_of_laplace_torch(request):
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("laplace")
    torch.set_default_dtype(torch.float64)  # theirs makes numbers of this type
    request.addfinalizer(lambda: torch.set_default_dtype(torch.float32))
    nn = torch.nn

    def both(structure, name, bias):
        """Covariances of the outputs and log marginal likelihoods, theirs and ours, of one network of two convolutions."""
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 3, padding=1, bias=bias), nn.Conv2d(4, 3, 3, stride=2, bias=bias), nn.Linear(48, 3)]
        first, second, last = layers
        model = nn.Sequential(first, nn.Sigmoid(), second, nn.Sigmoid(), nn.Flatten(), last)
        x, y = torch.randn(8, 1, 10, 10), torch.randint(0, 3, (8,))
        peer = theirs.Laplace(
            model,
            "classification",
            subset_of_weights="all",
            hessian_structure=structure,
            prior_precision=0.7,
            backend=theirs.curvature.CurvlinopsGGN,
        )
        peer.fit(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8))
        numbers = [[jnp.asarray(leaf.detach().numpy()) for leaf in layer.parameters()] for layer in layers]
        params = {"kernels": [kernel.T for kernel, *_ in numbers], "biases": [bias for _, *bias in numbers]}

        def apply(params, x):
            (a, b, c), biases = params["kernels"], params["biases"]
            y = x[None]
            for kernel, bias, strides, padding in ((a, biases[0], 1, "SAME"), (b, biases[1], 2, "VALID")):
                y = conv(y, kernel.swapaxes(0, 1), strides=strides, padding=padding)
                y = jax.nn.sigmoid(y + bias[0][None, None, None] if bias else y)
            return jnp.moveaxis(y[0], -1, 0).reshape(-1) @ c + biases[2][0]

        images = jnp.asarray(np.moveaxis(x.numpy(), 1, -1))
        data = Batch(images, jnp.asarray(y.numpy()), jnp.ones(8))
        ours = laplace(apply, cross_entropy, params, data, structure=name, prior_precision=0.7)
        pairs = [(peer._glm_predictive_distribution(x)[1], ours.outputs(images)[1])]
        pairs.append((peer.log_marginal_likelihood(), ours.log_marginal_likelihood()))
        return [(theirs.detach().numpy(), ours) for theirs, ours in pairs]

    # Without the biases of the convolutions: these have their exact block here, there the factor of the outputs, so that variances differ
    # by some tenths of a percent.
    for case in (("full", "full", True), ("diag", "diagonal", True), ("kron", "kronecker", False)):
        for expected, found in both(*case):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_probabilities_integrate_over_the_logits():
    params, data = network_problem(cross_entropy)
    posterior = laplace(MODEL.apply, cross_entropy, params, data, prior_precision=5.0, batch_size=7)
    x = data.x[5:9]
    mean, covariance = map(np.asarray, posterior.outputs(x))
    drawn = np.stack(
        [np.random.default_rng(0).multivariate_normal(m, c, 20000) for m, c in zip(mean, covariance, strict=True)]
    )
    softmax = np.exp(drawn) / np.exp(drawn).sum(-1, keepdims=True)
    sampled = posterior.probabilities(x, key=KEY, samples=20000)
    np.testing.assert_allclose(sampled, softmax.mean(1), atol=0.02)  # 5 errors of 20,000 draws
    np.testing.assert_allclose(posterior.probabilities(x), softmax.mean(1), atol=0.1)  # an approximation
    np.testing.assert_allclose(posterior.probabilities(x).sum(-1), 1, rtol=1e-12)


def test_a_yes_or_no_answer_has_the_probit_of_its_logit():
    model = heads.scalar(dense.model(dense.Config(2, hidden=())))
    params, data = network_problem(cross_entropy)
    params = {"layer_0": {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}}
    data = data._replace(y=(data.y > 1).astype(float))
    posterior = laplace(model.apply, binary_cross_entropy, params, data)
    design = np.concatenate([np.ones((N, 1)), np.asarray(data.x)], axis=1)
    keep = np.asarray(data.weight) > 0
    p = 1 / (1 + np.exp(-design[:, 1:].sum(1)))
    weight = (np.asarray(data.weight) * p * (1 - p))[keep]
    covariance = np.linalg.inv(design[keep].T @ (weight[:, None] * design[keep]) + np.eye(3))
    variance = np.einsum("ni,ij,nj->n", design, covariance, design)[keep]
    exact = 1 / (1 + np.exp(-design[keep, 1:].sum(1) / np.sqrt(1 + np.pi / 8 * variance)))
    np.testing.assert_allclose(posterior.probabilities(data.x[keep]), exact, rtol=1e-10)


def test_what_has_no_posterior_is_refused():
    data, _, params, _ = linear_problem()
    with pytest.raises(InputError, match="noise: expected a number for squared_error"):
        laplace(line, squared_error, params, data)
    with pytest.raises(InputError, match=r"prior_precision: expected a positive number, got 0.*singular"):
        laplace(line, squared_error, params, data, noise=1.0, prior_precision=0)
    with pytest.raises(InputError, match="expected a likelihood"):
        laplace(line, focal, params, data)
    posterior = laplace(line, squared_error, params, data, noise=1.0)
    with pytest.raises(InputError, match="use outputs"):
        posterior.probabilities(data.x)
    with pytest.raises(InputError, match="noise: expected a positive"):
        posterior.at(noise=-1.0)
