"""Chemical formulas as text, read into amounts of the elements."""

import math
import re
from typing import Literal, NoReturn, TypeAlias

from jaxsci.data.materials._lookalikes import refuse_lookalikes
from jaxsci.data.materials._symbols import ATOMIC_NUMBER as ATOMIC_NUMBER
from jaxsci.data.materials._symbols import NAME, NUMBER, PAIR, PLAIN, SHOWN, SYMBOL, FormulaError
from jaxsci.data.materials._symbols import SYMBOLS as SYMBOLS

__all__ = ["Amounts", "FormulaError", "parse"]

Amounts: TypeAlias = dict[str, float]  # symbol -> amount > 0, in the order of first appearance

_TOKEN = re.compile(
    rf"""(?P<symbol>{SYMBOL})
    |(?P<number>{NUMBER})
    |(?P<open>[(\[{{])
    |(?P<close>[)\]}}])
    |(?P<dot>[·•∙⋅*])
    |(?P<charge>\^\{{?\d*[+-]\}}?|(?<=[A-Za-z)\]}}])[+-](?=\s*(?:$|[·•∙⋅*)\]}}])))
    |(?P<space>\s+)""",
    re.VERBOSE,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉−–", "0123456789--")
_DEEPEST = 50  # brackets inside each other
_LEAST, _MOST = 1e-12, 1e12  # amounts: their squares and ratios are still numbers of float32


def parse(text: str, *, charges: Literal["refuse", "strip"] = "refuse") -> Amounts:
    """The amounts of the elements in a formula, as written: "MgB2" is {"Mg": 1, "B": 2}, "Mg2B4" is {"Mg": 2, "B": 4}.

    Understood are decimals and fractions ("La1/2", "O6.93", "O.5"), nested brackets of the three kinds with an amount behind them,
    subscripts ("MgB₂"), adducts and hydrates ("CuSO4·5H2O", also with * or •; a full stop is a decimal point and nothing else), a
    number before the whole ("2H2O"), and spaces between symbols. D and T, deuterium and tritium, are hydrogen.

    A charge is a caret with it ("SO4^2-", "Fe^{3+}", "Cl^-") or a bare sign behind a symbol or a bracket, where the formula, its
    bracket or its adduct ends ("Na+"); charges="strip" leaves it out. A sign behind a number ("O7-") is refused always: it may be a
    charge or an amount that was not measured. So are the amounts x, y, z, δ and +- of SuperCon, and a last Y or W behind an O without
    amount ("Bi2Sr2Ca1Cu2OY"), unless the elements stand in Hill's order ("ClOY"). Names that would parse are refused too: "YBCO",
    "Bi2212", "NaN", "YBaCuO", and symbols in capitals, "NB3SN"; with every amount written ("Y1B1C1O1") they are formulas. So are Roman
    numbers ("Fe(III)2O3", "Am(II)"), polytypes ("2H NbSe2"), groups ("OAc", "THF") and the boron of "Mg11B2", which are neither iodine nor
    hydrogen, actinium, tritium or eleven of magnesium. Hydrates and adducts by full stop,
    "CuSO4.5H2O" and "CaO.2SiO2", are refused.

    The time is proportional to the length, at most 1,000 characters; brackets nest at most 50 deep.

    >>> parse("Ca(Fe0.9Co0.1)2As2")
    {'Ca': 1.0, 'Fe': 1.8, 'Co': 0.2, 'As': 2.0}

    Args:
        text: the formula.
        charges: what to do with a charge.

    Returns:
        Amount of each element, a number from 1e-12 to 1e12.

    Raises:
        FormulaError: with the position of the fault and what to do about it.
    """
    refuse_lookalikes(text)
    amounts = _read_plain(text) if PLAIN.fullmatch(text) else None
    return _Reader(text, charges).read() if amounts is None else amounts


def _read_plain(text: str) -> Amounts | None:
    """The amounts of a row of symbols and numbers; None where one is refused, so that the general reader says why."""
    amounts: Amounts = {}
    for symbol, number in PAIR.findall(text):
        value = _value(number) if number else 1.0
        if not _LEAST <= value <= _MOST:
            return None
        name = NAME[symbol]
        amounts[name] = amounts.get(name, 0.0) + value
    return amounts if max(amounts.values()) <= _MOST else None


def _value(number: str) -> float:
    """The number of a match of NUMBER; infinite or NaN for a division by zero."""
    top, slash, bottom = number.partition("/")
    if not slash:
        return float(top)
    return float(top) / float(bottom) if float(bottom) else math.nan


class _Reader:
    """The general grammar, one token after another, without recursion: so that no depth of brackets can exhaust the stack."""

    def __init__(self, text: str, charges: Literal["refuse", "strip"]) -> None:
        self.text = text
        self.plain = text.translate(_SUBSCRIPTS)
        self.charges = charges
        self.position = 0

    def read(self) -> Amounts:
        levels: list[Amounts] = [{}]  # what is in each open bracket so far
        opened: list[int] = []
        total: Amounts = {}
        factor, fresh = self._factor(), True  # `fresh`: nothing of this adduct has come yet
        while self.position < len(self.plain):
            token = self._next()
            kind, content = token.lastgroup, token.group()
            if kind == "symbol":
                _add(levels[-1], {NAME[content]: 1.0}, self._amount())
            elif kind == "open":
                if len(opened) == _DEEPEST:
                    self._fail(token.start(), f"at most {_DEEPEST} brackets inside each other", "more", "simplify it")
                opened.append(token.start())
                levels.append({})
            elif kind == "close":
                inside, amount = self._close(content, token.start(), levels, opened)
                _add(levels[-1], inside, amount)
            elif kind == "dot":
                if opened or fresh:
                    self._fail(token.start(), "an element or a bracket before a dot, outside brackets", repr(content))
                _add(total, levels.pop(), factor)
                levels.append({})
                factor, fresh = self._factor(), True
                continue
            elif kind == "number":
                self._fail(token.start(), "a number behind a symbol or a bracket, without a space", repr(content))
            elif kind == "charge" and (self.charges == "refuse" or fresh):
                remedy = 'leave it out, or read the formula with charges="strip"'
                self._fail(token.start(), "a neutral formula", f"the charge {content!r}", remedy)
            fresh = fresh and kind == "space"
        if opened:
            bracket = self.plain[opened[-1]]
            self._fail(opened[-1], f"a {_CLOSING[bracket]!r}", f"an open {bracket!r}", "close the bracket")
        if fresh:
            self._fail(len(self.plain), "an element", "the end", "write a formula such as MgB2")
        _add(total, levels[0], factor)
        if not all(_LEAST <= amount <= _MOST for amount in total.values()):
            self._fail(0, f"amounts from {_LEAST:g} to {_MOST:g}", "another", "correct the numbers")
        return total

    def _next(self) -> re.Match[str]:
        token = _TOKEN.match(self.plain, self.position)
        if token is None:
            self._fail_at_character()
        self.position = token.end()
        return token

    def _close(self, bracket: str, start: int, levels: list[Amounts], opened: list[int]) -> tuple[Amounts, float]:
        """What the bracket that ends here holds, and its amount."""
        if not opened or _CLOSING[self.plain[opened[-1]]] != bracket:
            wanted = f"{_CLOSING[self.plain[opened[-1]]]!r}" if opened else "no closing bracket"
            self._fail(start, wanted, repr(bracket), "balance the brackets")
        inside = levels.pop()
        if not inside:
            self._fail(start, "an element in the bracket", repr(bracket), "fill it or leave it out")
        opened.pop()
        return inside, self._amount()

    def _factor(self) -> float:
        """The number before a whole formula or an adduct, 1 if there is none."""
        while self.position < len(self.plain) and self.plain[self.position].isspace():
            self.position += 1
        return self._amount()

    def _amount(self) -> float:
        """The number that stands here, 1 if there is none."""
        token = _TOKEN.match(self.plain, self.position)
        if token is None or token.lastgroup != "number":
            return 1.0
        value = _value(token.group())
        if not _LEAST <= value <= _MOST:
            remedy = "leave out what is not there, and correct the number otherwise"
            expected = (
                "a finite amount above 0" if not 0 < value < math.inf else f"an amount from {_LEAST:g} to {_MOST:g}"
            )
            self._fail(token.start(), expected, repr(token.group()[:SHOWN]), remedy)
        self.position = token.end()
        return value

    def _fail_at_character(self) -> NoReturn:
        character = self.plain[self.position]
        unknown = character in "+-=xyzδdXZ" and self.position > 0
        if unknown or character in "±~":
            remedy = "give the amount as a number; a charge is written with a caret, SO4^2-"
            self._fail(self.position, "known amounts", repr(self.text[self.position]), remedy)
        remedy = "write symbols as in MgB2, in upper and lower case, with plain numbers"
        self._fail(self.position, "the symbol of an element", repr(self.text[self.position]), remedy)

    def _fail(
        self, position: int, expected: str, got: str, remedy: str = "write it as CuSO4·5H2O or Ca(OH)2"
    ) -> NoReturn:
        raise FormulaError(self.text, position + 1, expected, got, remedy)


def _add(total: Amounts, part: Amounts, factor: float) -> None:
    for symbol, amount in part.items():
        total[symbol] = total.get(symbol, 0.0) + factor * amount
