"""The symbols of the elements, numbers, and the rows of both that are formulas."""

import re

from jaxsci.errors import InputError

_NAMES = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd "
    "Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra "
    "Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
SYMBOLS = tuple(_NAMES.split())  # IUPAC; the atomic number of SYMBOLS[i] is i + 1
ATOMIC_NUMBER = {symbol: i + 1 for i, symbol in enumerate(SYMBOLS)}

_ISOTOPES = {"D": "H", "T": "H"}
NAME = {symbol: symbol for symbol in SYMBOLS} | _ISOTOPES
SYMBOL = "|".join(sorted(NAME, key=len, reverse=True))
# Unambiguous and possessive: a pattern that could read a number in two ways would try all of them on a text that does not fit.
NUMBER = r"(?:\d++(?:\.\d*+)?|\.\d++)(?:/\d++(?:\.\d*+)?)?+"
# A plain formula is a row of symbols with numbers: most are, and are read by one regular expression.
PAIR = re.compile(rf"({SYMBOL})({NUMBER})?")
PLAIN = re.compile(rf"(?:(?:{SYMBOL})(?:{NUMBER})?+)++")
SHOWN = 60  # characters of a formula that a message repeats


class FormulaError(InputError):
    """A formula cannot be read; `position` is the character of the fault, counted from 1."""

    def __init__(self, text: str, position: int, expected: str, got: str, remedy: str) -> None:
        shown = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
        super().__init__(f"{shown!r}: expected {expected}, got {got} at character {position}; {remedy}")
        self.position = position
