"""Formulas are read as they were written by a generator, as pymatgen reads them, and refused at the right character."""

import math
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jaxsci.data.materials.formula import ATOMIC_NUMBER, SYMBOLS, FormulaError, parse
from jaxsci.errors import InputError

NUMBERS = st.one_of(
    st.none(),
    st.integers(1, 40).map(str),
    st.floats(0.001, 20).map(lambda x: f"{x:.4f}"),
    st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
)
BRACKETS = st.sampled_from(["()", "[]", "{}"])
UNITS = st.recursive(
    st.tuples(st.sampled_from(SYMBOLS), NUMBERS),
    lambda inner: st.tuples(st.lists(inner, min_size=1, max_size=4), NUMBERS, BRACKETS),
    max_leaves=8,
)


def is_plain(text):
    """Whether no lookalike is among what was drawn: an amount that was not measured, a name, a group, a full stop before water."""
    if re.search(r"O[YW]$|BCC?O|CCO|B[KP]BO|OAc|AcOH|\(OPr\)|^PrOH|Mg1[01]B2|\.\d+(/\d+)?[(\[]?NH3", text):
        return False
    return text not in ("NaN", "ND", "OK", "INF", "BFO", "CFO", "BBO", "BSCF", "CNF")


def number(text):
    if text is None:
        return 1.0
    top, _, bottom = text.partition("/")
    return float(top) / float(bottom or 1)


def written(unit):
    if isinstance(unit[0], str):
        return unit[0] + (unit[1] or "")
    inner, amount, bracket = unit
    return bracket[0] + "".join(map(written, inner)) + bracket[1] + (amount or "")


def meant(unit, factor=1.0):
    """The amounts by recursion: the obvious oracle."""
    if isinstance(unit[0], str):
        return {unit[0]: factor * number(unit[1])}
    total = {}
    for part in unit[0]:
        for symbol, amount in meant(part, factor * number(unit[1])).items():
            total[symbol] = total.get(symbol, 0.0) + amount
    return total


@given(units=st.lists(UNITS, min_size=1, max_size=5))
def test_what_was_written_is_read(units):
    text = "".join(map(written, units))
    assume(is_plain(text))
    amounts = parse(text)
    assert amounts == pytest.approx(meant((units, None, "()")), rel=1e-12)  # float64 products in another order


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("MgB2", {"Mg": 1, "B": 2}),
        ("YBa2Cu3O6.93", {"Y": 1, "Ba": 2, "Cu": 3, "O": 6.93}),
        ("La1/2Sr1/2", {"La": 0.5, "Sr": 0.5}),
        ("O.5H1.", {"O": 0.5, "H": 1}),
        ("CO", {"C": 1, "O": 1}),
        ("Co", {"Co": 1}),
        ("CH3CH2OH", {"C": 2, "H": 6, "O": 1}),
        ("K4[Fe(CN)6]", {"K": 4, "Fe": 1, "C": 6, "N": 6}),
        ("CuSO4·5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4*5(H2O) • 0.5NH3", {"Cu": 1, "S": 1, "O": 9, "H": 11.5, "N": 0.5}),
        ("2H2O", {"H": 4, "O": 2}),
        ("D2O", {"H": 2, "O": 1}),
        ("DTHDyTi", {"H": 3, "Dy": 1, "Ti": 1}),
        ("Mg₁B₂", {"Mg": 1, "B": 2}),
        (" Mg B2 ", {"Mg": 1, "B": 2}),
    ],
)
def test_the_grammar_as_documented(text, amounts):
    assert parse(text) == amounts


@pytest.mark.parametrize(
    ("text", "neutral"),
    [
        ("SO4^2-", "SO4"),
        ("Fe^{3+}", "Fe"),
        ("Cl^-", "Cl"),
        ("Na+", "Na"),
        ("[Cu(NH3)4]^2+SO4^2-", "CuN4H12SO4"),
        ("(Na+)2(SO4^2-)·H2O", "Na2SO4H2O"),
    ],
)
def test_charges_are_refused_or_stripped(text, neutral):
    with pytest.raises(FormulaError, match=r'a neutral formula, got the charge .* charges="strip"'):
        parse(text)
    assert parse(text, charges="strip") == parse(neutral)


@pytest.mark.parametrize("charges", ["refuse", "strip"])
@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("YBa2Cu3O7-x", 10),
        ("YBa2Cu3O7-", 10),
        ("Bi2Sr2CaCu2O8+z", 14),
        ("Eu1.5Ce0.5Sr2Cu2Nb1O10=z", 23),
        ("La2-xSrxCuO4", 4),
        ("SrxCu", 3),
        ("FeSe±0.1", 5),
        ("O7−δ", 3),
        ("Mg0B2", 3),
        ("Mg(B0.0)2", 5),
        ("Mg1/0", 3),
        ("Mg-1", 3),
        ("", 1),
        ("  ", 3),
        ("12", 3),
        ("mgB2", 1),
        ("MgB2?", 5),
        ("Mgb2", 3),
        ("Xy2", 1),
        ("Mg(B2", 3),
        ("MgB)2", 4),
        ("Mg(B]2", 5),
        ("Mg()2", 4),
        ("CuSO4 5", 7),
        ("·H2O", 1),
        ("H2O·", 5),
        ("(CuSO4·H2O)", 7),
        ("^2-", 1),
        ("Mg2 3B", 5),
        ("Mg" + "9" * 400, 3),
        ("H1.2.3", 5),
    ],
)
def test_the_position_of_the_fault(text, position, charges):
    with pytest.raises(FormulaError) as caught:
        parse(text, charges=charges)
    assert caught.value.position == position
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)


@given(text=st.text(alphabet="HCODTMgnB0123./()[]{}·^+-xé₂ ", max_size=14))
def test_any_text_is_read_or_refused(text):
    try:
        amounts = parse(text)
    except FormulaError as error:
        assert 1 <= error.position <= len(text) + 1  # noqa: PT017
    else:
        assert amounts
        assert all(0 < amount < math.inf for amount in amounts.values())


def test_nesting_and_length_are_limited():
    assert parse("(" * 50 + "H" + ")" * 50) == {"H": 1}
    with pytest.raises(FormulaError, match=r"at most 50 brackets .* at character 51"):
        parse("(" * 51 + "H" + ")" * 51)
    assert parse("H" * 1000) == {"H": 1000}
    with pytest.raises(FormulaError, match=r"at most 1000 characters, got 128,000"):
        parse("H" * 128_000)


def test_no_pattern_reads_a_number_in_two_ways():
    """An ambiguous pattern takes time that doubles with every few characters: these would not end."""
    for text in ("C" + "1" * 900 + "?", "C11111" * 150 + "?", "O1.5/2" * 150 + "?", "(" + "Cu111.111" * 100):
        with pytest.raises(FormulaError):
            parse(text)


@pytest.mark.parametrize(
    "text", ["Mg" + "1" + "0" * 39, "Mg0." + "0" * 39 + "1", "Mg9999999B/1", "Mg" + "9" * 12 + "Mg9"]
)
def test_amounts_that_float32_cannot_hold_are_refused(text):
    with pytest.raises(FormulaError):
        parse(text)


def test_the_table_of_symbols():
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 118
    assert (ATOMIC_NUMBER["H"], ATOMIC_NUMBER["Cu"], ATOMIC_NUMBER["Cm"], ATOMIC_NUMBER["Og"]) == (1, 29, 96, 118)


@pytest.fixture(scope="module")
def composition():
    """pymatgen brings many packages with it; where it is there, it is the second oracle."""
    return pytest.importorskip("pymatgen.core").Composition


@given(units=st.lists(UNITS, min_size=1, max_size=5))
def test_pymatgen_reads_the_same(composition, units):
    # pymatgen reads no fractions, and takes braces only after translating them.
    text = "".join(map(written, units))
    if "/" in text or not is_plain(text):
        return
    expected = composition(text.translate(str.maketrans("[]{}", "()()")), strict=True).as_dict()
    # Its brackets are multiplied out as text with few digits.
    ours = {symbol: amount for symbol, amount in parse(text).items() if amount > 1e-6}  # it drops less
    assert ours == pytest.approx({symbol: expected[symbol] for symbol in ours}, rel=1e-4, abs=1e-6)
