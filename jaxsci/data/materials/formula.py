"""Chemical formulas as text, read into amounts of the elements."""

import math
import re
from typing import Literal, NoReturn, TypeAlias

from jaxsci.errors import InputError

__all__ = ["Amounts", "FormulaError", "parse"]

Amounts: TypeAlias = dict[str, float]  # symbol -> amount > 0, in the order of first appearance

_NAMES = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd "
    "Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra "
    "Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
SYMBOLS = tuple(_NAMES.split())  # IUPAC; the atomic number of SYMBOLS[i] is i + 1
ATOMIC_NUMBER = {symbol: i + 1 for i, symbol in enumerate(SYMBOLS)}

_ISOTOPES = {"D": "H", "T": "H"}
_NAME = {symbol: symbol for symbol in SYMBOLS} | _ISOTOPES
_SYMBOL = "|".join(sorted(_NAME, key=len, reverse=True))
# Unambiguous and possessive: a pattern that could read a number in two ways would try all of them on a text that does not fit.
_NUMBER = r"(?:\d++(?:\.\d*+)?|\.\d++)(?:/\d++(?:\.\d*+)?)?+"
# A plain formula is a row of symbols with numbers: most are, and are read by one regular expression.
_PAIR = re.compile(rf"({_SYMBOL})({_NUMBER})?")
_PLAIN = re.compile(rf"(?:(?:{_SYMBOL})(?:{_NUMBER})?+)++")
_TOKEN = re.compile(
    rf"""(?P<symbol>{_SYMBOL})
    |(?P<number>{_NUMBER})
    |(?P<open>[(\[{{])
    |(?P<close>[)\]}}])
    |(?P<dot>[·•∙⋅*])
    |(?P<charge>\^\{{?\d*[+-]\}}?|(?<=[A-Za-z)\]}}])[+-](?=\s*(?:$|[·•∙⋅*)\]}}])))
    |(?P<space>\s+)""",
    re.VERBOSE,
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉−–", "0123456789--")
_SHOWN = 60  # characters of a formula that a message repeats
_LONGEST = 1_000  # characters of a formula
_DEEPEST = 50  # brackets inside each other
_LEAST, _MOST = 1e-12, 1e12  # amounts: their squares and ratios are still numbers of float32

# What parses and means something else. Names of compounds by letters (YBCO, Bi-2212), and words that stand for no value:
_ABBREVIATION = re.compile(
    rf"(?:(?:{_SYMBOL})?BC{{1,2}}O|BS?CC?O|(?:Tl|Hg|T|H)BC{{1,2}}O|L[BSC]?CC?O|[NPSE]CCO|B[KP]BO|F[ST]{{2}})(?:-?\d+)?"
    rf"|(?!C\d|B\d)(?:{_SYMBOL}|RE|Ln)-?\d{{3,5}}|(?:{_SYMBOL})+(?:Ba|Sr|Ca|Ce)(?:Ca)?CuO|NaN|ND|TBD|INF|OK|NIL"
)
# An oxidation state or a phase, Fe(III)2O3, and a polytype, 2H NbSe2: no iodine, vanadium or hydrogen.
_ROMAN = re.compile(r"(?<=[a-zA-Z])\((?:I{1,3}|IV|VI{0,3})\)")
_POLYTYPE = re.compile(r"\s*\d[HT]\s+\S")
# A hydrate with a full stop, CuSO4.5H2O: the digits are no amount of what stands before, unless they begin with 0.
# Behind an anion without an amount, NaCl.2H2O, they are none either.
_FULL_STOP = re.compile(
    r"(?:(?<=[A-Za-z)\]}])0*[1-9]\d*(?P<dot>\.)\d+|(?:[OFSINH)\]}]|Cl|Br|Se|Te)(?P<bare>\.)[1-9]\d*)\s*[(\[]?(?:[HDT]2O|N[HDT]3)(?![\d./])"
)
# An amount that was not measured, "y" in capitals: Bi2Sr2Ca1Cu2OY. With the elements in Hill's order, ClOY, it is yttrium.
_UNMEASURED = re.compile(rf"(?:(?:{_SYMBOL})(?:{_NUMBER})?+)++(?<=O[YW])")
# Symbols of two letters in capitals, NB3SN or CUO, that letter by letter are other elements. Formulas name the more electronegative
# element last, or all in Hill's order: two letters in neither order are one symbol. More pairs are where there is no small letter at all.
_REVERSED = re.compile(r"(?:CU|DY|N[BIP]|P[BU]|SB|TB)(?![a-z])")
_IN_CAPITALS = re.compile(r"(?:SN|BI|[ST]I|IN|TH|P[TD])|HF(?=[A-Z])|ND(?=\d*O)|CD(?=[SO])|^COO|CSI|^OSO")
# An adduct by full stop behind an anion: CaO.2SiO2, Al2O3.2SiO2, CaF2.3CaO.
_ANION = re.compile(r"(O|F|Cl|Br|I|S|Se|Te|N|H)(?!0+$)\d*$")
_MULTIPLE = re.compile(r"[1-9]\d?(?=[A-Z(\[{])")
# Neutral oxides and halides of two elements, by the charges of their ions.
_METALS = {
    (1,): "H Li Na K Rb Cs Ag",
    (2,): "Be Mg Ca Sr Ba Zn Cd Ni Co",
    (3,): "B Al Ga In Sc Y La Bi",
    (4,): "Si Ti Zr Hf Ge Th",
    (5,): "Nb Ta P",
    (1, 2): "Cu Hg",
    (2, 4): "Sn Pb",
    (3, 5): "V",
    (4, 6): "Mo W",
    (2, 3, 4, 6): "Fe Mn Cr",
}
_CHARGES = {symbol: charges for charges, symbols in _METALS.items() for symbol in symbols.split()}
_SIMPLE = re.compile(rf"({_SYMBOL})(\d+)?(O|F|Cl|Br|I)(\d+)?")


class FormulaError(InputError):
    """A formula cannot be read; `position` is the character of the fault, counted from 1."""

    def __init__(self, text: str, position: int, expected: str, got: str, remedy: str) -> None:
        shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
        super().__init__(f"{shown!r}: expected {expected}, got {got} at character {position}; {remedy}")
        self.position = position


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
    numbers ("Fe(III)2O3", "Am(II)") and polytypes ("2H NbSe2"), which are neither iodine nor hydrogen. Hydrates and adducts by full stop,
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
    _refuse_lookalikes(text)
    amounts = _read_plain(text) if _PLAIN.fullmatch(text) else None
    return _Reader(text, charges).read() if amounts is None else amounts


def _refuse_lookalikes(text: str) -> None:
    """Raise for a text that could be read as a formula but is too long for one or means something else."""
    if len(text) > _LONGEST:
        raise FormulaError(text, _LONGEST + 1, f"at most {_LONGEST} characters", f"{len(text):,}", "write one formula")
    name = text.strip()
    if _ABBREVIATION.fullmatch(name):
        remedy = "write each element with its amount, as in YBa2Cu3O6.9"
        raise FormulaError(text, 1, "a chemical formula", f"the name {name!r}", remedy)
    if roman := _ROMAN.search(text):
        remedy = "leave it out, or write iodine and vanadium with their amounts, as in Pb(I1)2"
        raise FormulaError(
            text, roman.start() + 1, "elements with their amounts", f"the Roman number {roman[0]}", remedy
        )
    if _POLYTYPE.match(text):
        raise FormulaError(text, 1, "a chemical formula", "a polytype before it", "leave it out, as in NbSe2")
    if hydrate := _FULL_STOP.search(text):
        remedy = "write a hydrate as CuSO4·5H2O or CuSO4*5H2O, and an amount with another element behind it"
        raise FormulaError(
            text, hydrate.start(hydrate.lastgroup or 0) + 1, "a dot before the water", "a full stop", remedy
        )
    pair = _capitals(name)
    if pair is not None:
        one, two = pair[0][:2].capitalize(), f"{pair[0][0]}1{pair[0][1]}"
        remedy = f"write {one} for one element, {two} for two"
        raise FormulaError(
            text, text.index(name) + pair.start() + 1, "symbols in upper and lower case", repr(pair[0]), remedy
        )
    if name.count(".") == 1 and _is_adduct(*name.split(".")):
        remedy = "write an adduct as CaO·2SiO2 or CaO*2SiO2, and an amount with another element behind it"
        raise FormulaError(text, text.index(".") + 1, "a dot before an adduct", "a full stop", remedy)
    if _UNMEASURED.fullmatch(name) and not _in_hills_order(name):
        remedy = f"give it as a number; if {name[-1]} is an element, write {name[-1]}1"
        raise FormulaError(text, len(text.rstrip()), "the amount of O", repr(name[-1]), remedy)


def _capitals(name: str) -> re.Match[str] | None:
    """The first two capitals that stand for one symbol; None where there are none."""
    ordered = _in_hills_order(name)
    pair = next((found for found in _REVERSED.finditer(name) if not _is_nitrogen(name, found)), None)
    if pair and (len(name) == len(pair[0]) or not ordered):
        return pair
    if name != name.upper() or (ordered and {*"CHD"} & {*name}):
        return None
    pair = _IN_CAPITALS.search(name)
    # Two letters alone are what they are, and three are of a kind that is known.
    return pair if pair and (len(pair[0]) > 2 or {*re.sub(r"[^A-Z]", "", name)} - {*pair[0]}) else None


def _is_nitrogen(name: str, pair: re.Match[str]) -> bool:
    """Whether the N of two capitals is nitrogen: a formula with a small letter, ZrNI, has symbols in both cases; (CH3)4NI is ammonium."""
    if pair[0] not in ("NI", "NP", "NB"):
        return False
    ammonium = re.search(r"\)\d+$", name[: pair.start()])
    return ammonium is not None or (pair[0] != "NB" and name != name.upper())


def _in_hills_order(name: str) -> bool:
    """Whether the elements stand in Hill's order: C and H first where there is C, the others by the alphabet."""
    symbols = [symbol for symbol, _ in _PAIR.findall(name)]
    return symbols == sorted(symbols, key=lambda s: (s not in ("C", "H") if "C" in symbols else True, s))


def _is_adduct(before: str, after: str) -> bool:
    """Whether a full stop between these stands before the number of a compound: one with the anion that ends the first one, or neutral."""
    anion, multiple = _ANION.search(before), _MULTIPLE.match(after)
    if anion is None or multiple is None:
        return False
    first, second = ({symbol for symbol, _ in _PAIR.findall(part)} for part in (before, after))
    neutral = anion[1] not in ("H", "N") and _is_neutral(after[multiple.end() :])
    return len(first) > 1 and len(second) > 1 and (anion[1] in second or neutral)


def _is_neutral(compound: str) -> bool:
    """Whether this is an oxide or a halide whose charges add up to none."""
    found = _SIMPLE.fullmatch(compound)
    if found is None:
        return False
    charge = (2 if found[3] == "O" else 1) * int(found[4] or 1) / int(found[2] or 1)
    return charge in _CHARGES.get(found[1], ())


def _read_plain(text: str) -> Amounts | None:
    """The amounts of a row of symbols and numbers; None where one is refused, so that the general reader says why."""
    amounts: Amounts = {}
    for symbol, number in _PAIR.findall(text):
        value = _value(number) if number else 1.0
        if not _LEAST <= value <= _MOST:
            return None
        name = _NAME[symbol]
        amounts[name] = amounts.get(name, 0.0) + value
    return amounts if max(amounts.values()) <= _MOST else None


def _value(number: str) -> float:
    """The number of a match of _NUMBER; infinite or NaN for a division by zero."""
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
                _add(levels[-1], {_NAME[content]: 1.0}, self._amount())
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
            self._fail(token.start(), expected, repr(token.group()[:_SHOWN]), remedy)
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
