import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.data.split import split
from jaxsci.errors import InputError


@given(
    counts=st.lists(st.integers(10, 60), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    fractions=st.sampled_from([(0.6, 0.15, 0.25), (0.8, 0.1, 0.1), (1 / 3, 1 / 3, 1 / 3)]),
)
def test_parts_are_disjoint_covering_and_keep_the_class_proportions(counts, seed, fractions):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split(labels, seed=seed, fractions=fractions)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    for part, fraction in zip(parts, fractions, strict=True):
        for label, count in enumerate(counts):
            assert abs(np.sum(labels[part] == label) - fraction * count) <= 1


def test_the_seed_fixes_the_parts():
    labels = np.repeat([0, 1], 500)
    first, again, other = (split(labels, seed=seed) for seed in (1, 1, 2))
    for part, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(part, same)
        assert set(part) != set(different)


def test_parts_are_shuffled_whatever_the_order_of_the_file():
    train, _, _ = split(np.repeat([0, 1], 5000), seed=0)
    leading = np.mean(train[:1000] >= 5000)
    assert abs(leading - 0.5) < 0.08  # five standard deviations of a fair draw of 1000


def test_a_class_too_small_for_three_parts_is_refused():
    with pytest.raises(InputError, match="class 1 for training, validation and test, got 2"):
        split(np.array([0] * 20 + [1] * 2), seed=0)


@pytest.mark.parametrize("fractions", [(0.6, 0.4, 0.0), (0.5, 0.5, 0.5)])
def test_fractions_that_cannot_be_are_refused(fractions):
    with pytest.raises(ValueError, match="fractions"):
        split(np.repeat([0, 1], 50), seed=0, fractions=fractions)
