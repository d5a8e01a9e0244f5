"""Compositions as arrays: which of them are the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxsci.data.materials import compositions as c
from jaxsci.data.materials.formula import SYMBOLS, parse

AMOUNTS = st.dictionaries(st.sampled_from(SYMBOLS[:96]), st.floats(0.1, 10), min_size=1, max_size=12)


@given(formulas=st.lists(AMOUNTS, min_size=1, max_size=5), slots=st.integers(1, 14))
def test_arrays_hold_the_amounts_and_padding(formulas, slots):
    encoded = c.encode(formulas, slots)
    assert encoded.elements.shape == encoded.amounts.shape == (len(formulas), max([slots, *map(len, formulas)]))
    for elements, amounts, formula in zip(*encoded, formulas, strict=True):
        found = {SYMBOLS[z - 1]: amount for z, amount in zip(elements, amounts, strict=True) if z}
        assert found == pytest.approx(formula, rel=1e-6)  # float32
        assert (amounts[elements == 0] == 0).all()
    np.testing.assert_allclose(c.fractions(encoded).sum(axis=1), 1, rtol=1e-6)


@given(formula=AMOUNTS, factor=st.floats(0.1, 10), seed=st.integers(0, 99))
def test_order_and_scale_do_not_matter_to_the_fractions(formula, factor, seed):
    shuffled = [list(formula)[i] for i in np.random.default_rng(seed).permutation(len(formula))]
    pair = c.encode([formula, {symbol: factor * formula[symbol] for symbol in shuffled}])
    first, second = c.fractions(pair)
    np.testing.assert_allclose(first, second, rtol=1e-6)  # float32 roundings of the amounts
    np.testing.assert_array_equal(*pair.elements)


def groups(function, *formulas):
    return function(c.encode([parse(text) for text in formulas])).tolist()


def test_what_is_one_composition_and_one_system():
    same = groups(c.same_composition, "MgB2", "B4Mg2", "Mg1B2.001", "MgB2.1", "MgB2C0.0003", "MgAl2")
    assert same[0] == same[1] == same[2] == same[4]
    assert len(set(same)) == 3
    system = groups(c.same_system, "MgB2", "B4Mg2", "MgB2.1", "MgB2C0.0003", "MgAl2")
    assert system[0] == system[1] == system[2]
    assert len(set(system)) == 3


def test_joining_and_taking():
    short, long = c.encode([parse("MgB2")], 2), c.encode([parse("YBa2Cu3O7"), parse("Nb")], 3)
    both = c.concatenated(short, long)
    assert both.elements.tolist() == [[5, 12, 0, 0], [8, 29, 39, 56], [41, 0, 0, 0]]
    assert c.taken(both, np.array([2])).amounts.tolist() == [[1, 0, 0, 0]]
    assert c.contains(both, "Nb", "Cu").tolist() == [False, True, True]
