"""Weights as one file: exact, checked, and refused where they are not what the run's model needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.models import dense
from jaxsci.runs import weights

MODEL = dense.model(dense.Config(3, hidden=(4,)))
PARAMS = jax.jit(MODEL.init)(jax.random.key(0))
LIKE = jax.eval_shape(MODEL.init, jax.random.key(0))


@pytest.fixture
def path(tmp_path):
    weights.save(tmp_path / "weights.npz", PARAMS)
    return tmp_path / "weights.npz"


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16, jnp.int8])
def test_every_bit_comes_back(tmp_path, dtype):
    params = jax.tree.map(lambda leaf: (3 * leaf).astype(dtype), PARAMS)
    weights.save(tmp_path / "w.npz", params)
    back = weights.read(tmp_path / "w.npz", params)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(params), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a).view(np.uint8), np.asarray(b).view(np.uint8))


def test_no_flipped_bit_is_read(path):
    """A change of any byte is noticed, or changes nothing."""
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for position in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            back = weights.read(path, LIKE)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017  # either outcome is right
            noticed += 1
        else:
            jax.tree.map(np.testing.assert_array_equal, back, PARAMS)
    assert noticed > 30


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_file_that_is_cut_is_refused(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="expected a file of weights"):
        weights.read(path, LIKE)


def test_weights_of_another_model_are_refused(path):
    other = dense.model(dense.Config(3, hidden=(5,)))
    with pytest.raises(InputError, match=r"bias to be float32\[5\] as in the run's model, got float32\[4\]"):
        weights.read(path, jax.eval_shape(other.init, jax.random.key(0)))
    deeper = dense.model(dense.Config(3, hidden=(4, 1)))
    with pytest.raises(InputError, match="got absent"):
        weights.read(path, jax.eval_shape(deeper.init, jax.random.key(0)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"weights\.npz: expected the weights of a trained run, got no such file"):
        weights.read(tmp_path / "weights.npz", LIKE)


def test_pickled_objects_are_never_loaded(path):
    np.savez(path, header=np.array([{"format": 1}], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        weights.read(path, LIKE)


def test_a_digest_depends_on_everything():
    x, y = np.arange(6.0), np.array([0, 1])
    digests = {
        weights.digest(x, y),
        weights.digest(x + 1e-12, y),
        weights.digest(x, 1 - y),
        weights.digest(x.reshape(2, 3), y),
        weights.digest(x.astype(np.float32), y),
        weights.digest(y, x),
        weights.digest(x, None),
        weights.digest(x[::-1], y),
    }
    assert len(digests) == 8
    assert weights.digest(x, y) == weights.digest(x.copy(), y.copy())
    assert weights.digest(x[::2]) == weights.digest(x[::2].copy())  # whatever the memory layout
