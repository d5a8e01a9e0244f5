"""Arguments of the wrong shape or dtype are refused by name, wherever they are given."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci import fitting, losses, metrics, ops
from jaxsci._shapes import expect_dtype, expect_example, expect_shapes
from jaxsci.core import Batch, WeightedSet
from jaxsci.errors import InputError
from jaxsci.models import (
    autoencoder,
    basis,
    compositional,
    convolutional,
    convolutional_autoencoder,
    deep_sets,
    dense,
    harmonics,
    mixture,
)
from jaxsci.models.jets import particle_transformer, particlenet, pelican
from jaxsci.ops import sphere

VECTOR, MATRIX, STACK = (np.ones((3, 4, 5)[:rank], np.float32) for rank in (1, 2, 3))
YES = np.ones(3, np.int32)


@pytest.mark.parametrize(
    ("form", "shapes", "sizes"),
    [
        ("a [x], b [x]", [(3,), (3,)], {}),
        ("a [x, y], b [y]", [(3, 2), (2,)], {"x": 3}),
        ("a [2], b [4|8]", [(2,), (8,)], {}),
        ("a [x?], b [x?]", [(), (5,)], {}),
        ("a [x, y?]", [(5,)], {"y": 2}),
        ("a [x, ...], b [x, ...]", [(3,), (3, 2, 2)], {}),
        ("a [x, *rest], b [*rest]", [(3, 2, 1), (2, 1)], {"rest": (2, 1)}),
        ("a [*shape], b [*shape]", [(), ()], {}),
        ("a [*shape]", [(2, 3)], {"shape": [2, 3]}),  # as JSON has it
        ('batch["a"] [x], x.y [x], c[0] [x]', [(1,)] * 3, {}),
        ("a [n, n]", [(0, 0)], {}),
    ],
)
def test_shapes_that_agree(form, shapes, sizes):
    expect_shapes(form, *(np.zeros(shape) for shape in shapes), **sizes)
    expect_shapes(form, *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes), **sizes)
    jax.eval_shape(partial(expect_shapes, form, **sizes), *(jnp.zeros(shape) for shape in shapes))


BATCH = "; apply it to one example, or jax.vmap it over a batch"


@pytest.mark.parametrize(
    ("check", "form", "shapes", "sizes", "message"),
    [
        (expect_shapes, "a [x], b [x]", [(3, 2), (3,)], {}, "a: expected [x], got shape (3, 2)"),
        (expect_shapes, "a [x], b [x, y]", [(3,), (2, 3)], {}, "b: expected [x=3, y] as in a, got shape (2, 3)"),
        (expect_shapes, "a [x, y]", [(3, 2)], {"y": 4}, "a: expected [x, y=4], got shape (3, 2)"),
        (expect_shapes, "a [n, n]", [(3, 2)], {}, "a: expected [n, n], got shape (3, 2)"),
        (expect_shapes, "a [2]", [(3,)], {}, "a: expected [2], got shape (3,)"),
        (expect_shapes, "a [x, 4|8]", [(3, 6)], {}, "a: expected [x, 4|8], got shape (3, 6)"),
        (expect_shapes, "a [x?]", [(3, 6)], {}, "a: expected a scalar or [x], got shape (3, 6)"),
        (expect_shapes, "a [x, y, ...]", [(3,)], {}, "a: expected [x, y, ...], got shape (3,)"),
        (expect_shapes, "a [*s], b [x, *s]", [(2,), (1, 3)], {}, "b: expected [x, 2] as in a, got shape (1, 3)"),
        (
            expect_shapes,
            "a [x], b [y], c [x, y]",
            [(1,), (2,), (2, 2)],
            {},
            "c: expected [x=1, y=2] as in a and b, got shape (2, 2)",
        ),
        (expect_shapes, "a [x]", [(2, 3)], {}, "a: expected [x], got shape (2, 3)"),
        (expect_example, "a [x]", [(2, 3)], {}, "a: expected [x], got shape (2, 3)" + BATCH),
        (expect_example, "a [x]", [(2, 3)], {"x": 2}, "a: expected [x=2], got shape (2, 3)"),
        (expect_example, "a [x], b []", [(2,), (2,)], {}, "b: expected a scalar, got shape (2,)" + BATCH),
        (expect_example, "a [*s]", [(7, 2, 3)], {"s": (2, 3)}, "a: expected [2, 3], got shape (7, 2, 3)" + BATCH),
        (
            expect_example,
            "a [x], b [x]",
            [(2,), ()],
            {},
            "b: expected [x=2] as in a, got a scalar",
        ),
        (
            expect_example,
            "a []",
            [(1,)],
            {},
            "a: expected a scalar, got shape (1,); take its one number by .reshape(()), that of a model by models.heads.scalar",
        ),
    ],
)
def test_shapes_that_do_not(check, form, shapes, sizes, message):
    for make in (np.zeros, partial(jax.ShapeDtypeStruct, dtype=jnp.float32)):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            check(form, *map(make, shapes), **sizes)


def test_plain_numbers_are_scalars_and_lists_no_arrays():
    for number in (1, 2.0, True, 1j, np.float32(3)):
        expect_shapes("a []", number)
    for value, kind in (([1.0], "list"), (None, "NoneType"), ("text", "str")):
        with pytest.raises(InputError, match=f"^a: expected \\[x\\], got a {kind}; make it an array$"):
            expect_shapes("a [x]", value)


def test_a_form_has_as_many_arguments_as_there_are_arrays():
    with pytest.raises(ValueError, match="zip"):
        expect_shapes("a [x]", VECTOR, VECTOR)


def test_symbolic_sizes_are_only_compared():
    b, c = jax.export.symbolic_shape("b, c")
    of = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    expect_shapes("x [example, 3], y [example], z [*shape]", of((b, 3)), of((b,)), of((b, c)), shape=(b, c))
    expect_shapes("x [example]", of((2 * b + 1,)), example=b + 1 + b)
    with pytest.raises(InputError, match=r"^y: expected \[example=b\] as in x, got shape \(c,\)$"):
        expect_shapes("x [example], y [example]", of((b,)), of((c,)))
    with pytest.raises(InputError, match=r"^x: expected \[example, 3\], got shape \(b, c\)$"):
        expect_shapes("x [example, 3]", of((b, c)))


def test_dtypes():
    for whole in (1, np.int8(1), jnp.zeros(2, jnp.uint8)):
        expect_dtype("a", whole, "integer")
    for real in (1.0, np.float64(1), jnp.zeros(2, jnp.bfloat16)):
        expect_dtype("a", real, "floating")
    with pytest.raises(
        InputError, match=r"^a: expected integer numbers, got float32; give whole numbers in an integer array$"
    ):
        expect_dtype("a", VECTOR, "integer")
    for wrong in (1, True, YES, jnp.zeros((), jnp.complex64)):
        with pytest.raises(
            InputError, match=r"^a: expected floating numbers, got .*; convert them with \.astype\(float"
        ):
            expect_dtype("a", wrong, "floating")


def case(argument, function, *args, **kwargs):
    """A call that is refused because of this argument."""
    return pytest.param(argument, partial(function, *args, **kwargs), id=f"{function.__qualname__}-{argument}")


LOSSES = [
    *(case("output", loss, VECTOR, VECTOR[:2]) for loss in (losses.squared_error, losses.absolute_error, losses.huber)),
    case("output", losses.quantile, MATRIX, VECTOR, levels=VECTOR),
    case("levels", losses.quantile, VECTOR, VECTOR[0], levels=VECTOR[:2]),
    *(case("logit", loss, VECTOR, YES) for loss in (losses.binary_cross_entropy, losses.binary_focal)),
    case("class_weights", losses.binary_cross_entropy, VECTOR[0], YES[0], class_weights=VECTOR),
    *(case("logits", loss, MATRIX, YES) for loss in (losses.cross_entropy, losses.focal, losses.correct)),
    *(case("label", loss, VECTOR, YES) for loss in (losses.cross_entropy, losses.focal, losses.correct)),
    case("label", losses.cross_entropy, VECTOR, VECTOR[0]),
    case("class_weights", losses.cross_entropy, VECTOR, YES[0], class_weights=VECTOR[:2]),
    case("batch.weight", losses.objective(None, None), None, Batch(VECTOR, VECTOR, MATRIX)),
    case("batch.x['E [GeV]']", losses.objective(None, None), None, Batch({"E [GeV]": VECTOR[:2]}, VECTOR, VECTOR)),
]
SCORES = (metrics.auc, metrics.auc_interval, metrics.average_precision, metrics.placements, metrics.roc_curve)
CUTS = (metrics.background_rejection, metrics.rejection_interval, metrics.working_point)
PROBABILITIES = (metrics.brier_score, metrics.calibration_curve, metrics.expected_calibration_error)
METRICS = [
    *(case("scores", metric, MATRIX, YES) for metric in SCORES),
    *(case("labels", metric, VECTOR, YES[:2]) for metric in SCORES),
    *(case("weight", metric, VECTOR, YES, VECTOR[:2]) for metric in SCORES),
    *(case("scores", metric, MATRIX, YES, signal_efficiency=0.5) for metric in CUTS),
    *(case("labels", metric, VECTOR, YES[:2], signal_efficiency=0.5) for metric in CUTS),
    case("scores", metrics.auc, YES, YES),
    case("scores", metrics.auc_covariance, VECTOR, YES),
    case("labels", metrics.auc_covariance, MATRIX, YES),
    case("trials", metrics.binomial_interval, VECTOR, VECTOR[:2]),
    *(case("arrays[1]", f, metrics.auc, None, VECTOR, YES[:2]) for f in (metrics.bootstrap, metrics.resample)),
    *(case("probability", metric, MATRIX, YES) for metric in PROBABILITIES),
    *(case("outcome", metric, VECTOR, MATRIX) for metric in PROBABILITIES),
    *(case("weight", metric, VECTOR, YES, YES[:2]) for metric in PROBABILITIES),
    case("logits", metrics.log_loss, STACK, YES),
    case("labels", metrics.log_loss, MATRIX, YES[:2]),
    case("logits", metrics.predicted_class, VECTOR),
    case("scores", metrics.predicted_label, MATRIX),
    case("predicted", metrics.confusion_matrix, MATRIX, YES, classes=2),
    case("predicted", metrics.confusion_matrix, VECTOR, YES, classes=2),
    case("labels", metrics.confusion_matrix, YES, YES[:2], classes=2),
    case("weight", metrics.confusion_matrix, YES, YES, YES[:2], classes=2),
    *(case("matrix", m, MATRIX) for m in (metrics.accuracy, metrics.recall, metrics.precision, metrics.f1)),
    *(case("predicted", metric, MATRIX, VECTOR) for metric in (metrics.rmse, metrics.mae, metrics.r2)),
    *(case("target", metric, VECTOR, YES) for metric in (metrics.rmse, metrics.mae, metrics.r2)),
    *(case("weight", metric, VECTOR, VECTOR, MATRIX) for metric in (metrics.rmse, metrics.mae, metrics.r2)),
]


SIX = np.ones(6, np.float32)
ANGLES = (sphere.real_harmonics, sphere.complex_harmonics, sphere.harmonic_gradients)
GRID = sphere.Healpix(2)
OPS = [
    case("weights", ops.energy_flow_polynomials, MATRIX, MATRIX, ()),
    case("distances", ops.energy_flow_polynomials, VECTOR, MATRIX, ()),
    case("momenta", ops.lorentz_products, VECTOR),
    case("remainder", ops.lorentz_products, MATRIX, VECTOR),
    case("momenta", ops.pair_features, VECTOR, YES),
    case("mask", ops.pair_features, MATRIX, YES[:2]),
    *(case("x", f, STACK, 9.0) for f in (ops.pair_maps, ops.pair_means)),
    case("x", ops.apply_pair_maps, STACK, STACK, 9.0),
    case("kernel", ops.apply_pair_maps, STACK[:, :3], STACK, 9.0),
    case("points", ops.nearest_neighbors, VECTOR, YES, 2),
    case("mask", ops.nearest_neighbors, MATRIX, YES[:2], 2),
    *(case("phi", f, VECTOR, VECTOR[:2], 1) for f in ANGLES),
    case("coefficients", sphere.evaluate, MATRIX, VECTOR, VECTOR),
    case("phi", sphere.evaluate, VECTOR, VECTOR, VECTOR[:2]),
    case("alm", sphere.synthesis, MATRIX, GRID),
    case("e", sphere.polarization_synthesis, MATRIX, SIX, GRID),
    case("b", sphere.polarization_synthesis, SIX, MATRIX, GRID),
    case("ring_weights", sphere.analysis, np.ones(GRID.shape, np.float32), GRID, 2, ring_weights=VECTOR),
]
SET = WeightedSet(MATRIX, VECTOR)
SETS = ((deep_sets.embed, deep_sets.Config), (particlenet.apply, particlenet.Config))
IMAGES = np.ones((7, 4, 4, 1), np.float32)
BASES = (basis.Chebyshev(2), basis.Legendre(2), basis.Fourier(1), basis.BSplines(3))
MODELS = [
    case("x", dense.apply, {}, np.ones((7, 4)), dense.Config(4)),
    case("x", convolutional.apply, {}, IMAGES, convolutional.Config((4, 4, 1))),
    *(
        case(argument, function, {}, IMAGES, module.Config((4, 4, 1), latent=3))
        for module in (autoencoder, convolutional_autoencoder)
        for argument, function in (("x", module.encode), ("code", module.decode))
    ),
    case("amounts", compositional.apply, {}, MATRIX, compositional.Config(2, 4), np.ones((4, 2))),
    case("table", compositional.apply, {}, np.ones(4), compositional.Config(2, 4), np.ones((4, 3))),
    *(case("x.elements", f, {}, SET, config(5)) for f, config in SETS),
    *(case("x.weights", f, {}, WeightedSet(MATRIX, MATRIX), config(4)) for f, config in SETS),
    case("x.elements", pelican.apply, {}, WeightedSet(MATRIX[:, :3], VECTOR), pelican.Config()),
    *(
        case(argument, particle_transformer.apply, {}, particles, particle_transformer.Config(4))
        for argument, particles in (
            ("x.elements", particle_transformer.Particles(VECTOR, VECTOR, MATRIX)),
            ("x.momenta", particle_transformer.Particles(MATRIX, VECTOR, VECTOR)),
        )
    ),
    case("owners", deep_sets.embed_many, {}, SET, YES[:2], 2, deep_sets.Config(4)),
    case("pooling", deep_sets.embed_many, {}, SET, YES, 2, deep_sets.Config(4, pooling="max")),
    *(case("x", basis.apply, {}, VECTOR, functions) for functions in BASES),
    case("x", basis.apply, {}, VECTOR, basis.RadialBasis(((0.0, 0.0), (1.0, 1.0)), 1.0)),
    case("x", harmonics.apply, {}, VECTOR, harmonics.Config(1)),
    case("x", mixture.apply, {}, VECTOR, mixture.Config(2)),
    case("params['means']", mixture.apply, {"means": VECTOR}, VECTOR[0], mixture.Config(2)),
]

SLOPE = {"a": VECTOR[0]}
FITTING = [
    case("design", fitting.least_squares, MATRIX, VECTOR, VECTOR, like=SLOPE),
    case("weight", fitting.least_squares, MATRIX[:, :1], VECTOR, VECTOR[:2], like=SLOPE),
    case("y", fitting.least_squares, lambda p: p["a"] * VECTOR, VECTOR[:2], VECTOR, like=SLOPE),
    case("x", fitting.least_squares, lambda p: dense.apply(p, VECTOR, dense.Config(4)), VECTOR, VECTOR, like=SLOPE),
    case("y", fitting.conjugate_gradients, lambda p: p["a"] * VECTOR, VECTOR[:2], VECTOR, like=SLOPE, key=None),
    *(case("output", f, VECTOR, VECTOR[0]) for f in (fitting.gaussian, fitting.poisson, fitting.log_density)),
    case("x", fitting.logistic_regression, VECTOR, YES),
    case("labels", fitting.logistic_regression, MATRIX, YES[:2]),
    case("weights", fitting.logistic_regression, MATRIX, YES, VECTOR[:2]),
]


@pytest.mark.parametrize(("argument", "call"), [*LOSSES, *METRICS, *OPS, *MODELS, *FITTING])
def test_what_is_wrong_is_named(argument, call):
    with pytest.raises(InputError, match=f"^{re.escape(argument)}: expected "):
        call()
