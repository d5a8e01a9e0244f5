"""Texts that would parse as a formula and mean something else: names by letters, hydrates by full stop, symbols in capitals."""

import re

from jaxsci.data.materials._symbols import NUMBER, PAIR, SYMBOL, FormulaError

LONGEST = 1_000  # characters of a formula

# What parses and means something else. Names of compounds by letters (YBCO, Bi-2212), and words that stand for no value:
_ABBREVIATION = re.compile(
    rf"(?:(?:{SYMBOL})?BC{{1,2}}O|BS?CC?O|(?:Tl|Hg|T|H)BC{{1,2}}O|L[BSC]?CC?O|[NPSE]CCO|B[KP]BO|F[ST]{{2}})(?:-?\d+)?"
    rf"|(?!C\d|B\d)(?:{SYMBOL}|RE|Ln|SU?S)-?\d{{3,5}}|(?:{SYMBOL})+(?:Ba|Sr|Ca|Ce)(?:Ca)?CuO|NaN|ND|TBD|INF|OK|NIL"
    rf"|[BC]FO|BBO|BSCF|CNF|D?KDP"
)
# More names, of capitals with a T that is no tritium: ITO, BTO, CNT, KTP; beside H, D and O alone it may be.
_WITH_T = re.compile(r"(?=[A-Z]*T)(?![HDTO]+$)[A-Z]{3,}")
# Groups and solvents of chemists: acetate is no actinium, propanol no praseodymium, tetrahydrofuran no tritium.
_GROUP = re.compile(r"OAc(?![a-z])|AcOH(?![a-z])|(?<=\()O[in]?Pr(?=\))|^[in]?-?PrOH$|T(?:HF|TF)(?![a-z])")
# The isotopes of boron in magnesium diboride: eleven of magnesium are written Mg11.0.
_ISOTOPE = re.compile(r"Mg(?P<mass>1[01])B2(?![\d.])")
# An oxidation state or a phase, Fe(III)2O3, and a polytype, 2H NbSe2: no iodine, vanadium or hydrogen.
_ROMAN = re.compile(r"(?<=[a-zA-Z])\((?:I{1,3}|IV|VI{0,3})\)")
_POLYTYPE = re.compile(r"\s*\d[HT]\s+\S")
# A hydrate with a full stop, CuSO4.5H2O: the digits are no amount of what stands before, unless they begin with 0.
# Behind an anion without an amount, NaCl.2H2O, they are none either.
_FULL_STOP = re.compile(
    r"(?:(?<=[A-Za-z)\]}])0*[1-9]\d*(?P<dot>\.)\d+(?:/\d+)?|(?:[OFSINH)\]}]|Cl|Br|Se|Te)(?P<bare>\.)[1-9]\d*(?:/\d+)?)\s*[(\[]?(?:[HDT]2O|N[HDT]3)(?![\d./])"
)
# An amount that was not measured, "y" in capitals: Bi2Sr2Ca1Cu2OY. With the elements in Hill's order, ClOY, it is yttrium.
_UNMEASURED = re.compile(rf"(?:(?:{SYMBOL})(?:{NUMBER})?+)++(?<=O[YW])")
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
_SIMPLE = re.compile(rf"({SYMBOL})(\d+)?(O|F|Cl|Br|I)(\d+)?")


def refuse_lookalikes(text: str) -> None:
    """Raise for a text that could be read as a formula but is too long for one or means something else."""
    if len(text) > LONGEST:
        raise FormulaError(text, LONGEST + 1, f"at most {LONGEST} characters", f"{len(text):,}", "write one formula")
    name = text.strip()
    if _ABBREVIATION.fullmatch(name):
        remedy = "write each element with its amount, as in YBa2Cu3O6.9"
        raise FormulaError(text, 1, "a chemical formula", f"the name {name!r}", remedy)
    if group := _GROUP.search(text):
        remedy = "write out its elements, as in Pb(CH3COO)2"
        raise FormulaError(text, group.start() + 1, "elements with their amounts", f"the group {group[0]!r}", remedy)
    if isotope := _ISOTOPE.search(text):
        remedy = "write MgB2 for the isotope, Mg11.0B2 for the amount"
        raise FormulaError(text, isotope.start("mass") + 1, "amounts of elements", f"{isotope['mass']}B", remedy)
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
    if _WITH_T.fullmatch(name):
        remedy = "write each element with its amount, as in SrTiO3; for tritium K1T1O1"
        raise FormulaError(text, 1, "a chemical formula", f"the name {name!r}", remedy)
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
    symbols = [symbol for symbol, _ in PAIR.findall(name)]
    return symbols == sorted(symbols, key=lambda s: (s not in ("C", "H") if "C" in symbols else True, s))


def _is_adduct(before: str, after: str) -> bool:
    """Whether a full stop between these stands before the number of a compound: one with the anion that ends the first one, or neutral."""
    anion, multiple = _ANION.search(before), _MULTIPLE.match(after)
    if anion is None or multiple is None:
        return False
    first, second = ({symbol for symbol, _ in PAIR.findall(part)} for part in (before, after))
    neutral = anion[1] not in ("H", "N") and _is_neutral(after[multiple.end() :])
    return len(first) > 1 and len(second) > 1 and (anion[1] in second or neutral)


def _is_neutral(compound: str) -> bool:
    """Whether this is an oxide or a halide whose charges add up to none."""
    found = _SIMPLE.fullmatch(compound)
    if found is None:
        return False
    charge = (2 if found[3] == "O" else 1) * int(found[4] or 1) / int(found[2] or 1)
    return charge in _CHARGES.get(found[1], ())
