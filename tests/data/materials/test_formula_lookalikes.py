"""Text that parses as a formula but means something else, and formulas that only look like such text."""

import pytest

from jaxsci.data.materials.formula import FormulaError, parse

LOOKALIKES = {
    "Bi2Sr2Ca1Cu2OY": ("the amount of O, got 'Y'", 14),
    "Y1Ba2Cu3OY": ("the amount of O, got 'Y'", 10),
    "YBCO": ("a chemical formula, got the name 'YBCO'", 1),
    "BSCCO": ("the name", 1),
    "GdBCO": ("the name", 1),
    "NCCO": ("the name", 1),
    "LSCO": ("the name", 1),
    "Bi2212": ("the name", 1),
    "Bi-2212": ("the name", 1),
    "Y123": ("the name", 1),
    "YBCO-123": ("the name", 1),
    "NaN": ("the name", 1),
    "Zn(NO3)2.6H2O": ("a dot before the water, got a full stop", 9),
    "CuSO4.5H2O": ("a full stop", 6),
    "CuSO4.5D2O": ("a full stop", 6),
    "CuSO4.5(H2O)": ("a full stop", 6),
    "CoCl2.6NH3": ("a full stop", 6),
    "NB3SN": ("symbols in upper and lower case, got 'NB'", 1),
    "YBA2CU3O7": ("got 'CU'", 5),
    "YBa2CU3O7": ("got 'CU'", 5),
    "BaPB0.7Bi0.3O3": ("got 'PB'", 3),
    "NBTI": ("got 'NB'", 1),
    "CU": ("got 'CU'", 1),
    "SNO2": ("got 'SN'", 1),
    "TIN": ("got 'TI'", 1),
    "BI2O3": ("got 'BI'", 1),
    "HFO2": ("got 'HF'", 1),
    "INP": ("got 'IN'", 1),
    "CSI": ("got 'CSI'", 1),
    "CaO.2SiO2": ("a dot before an adduct, got a full stop", 4),
    "Al2O3.2SiO2": ("a full stop", 6),
    "KF.2HF": ("a full stop", 3),
    "NaCl.2H2O": ("a dot before the water, got a full stop", 5),
    "KF.2H2O": ("a dot before the water", 3),
    "BaS.6(H2O)": ("a dot before the water", 4),
    "CaF2.3CaO": ("a dot before an adduct", 5),
    "NI": ("got 'NI'", 1),
    "TINI": ("got 'NI'", 3),
    "K2SO4.2MgSO4": ("a full stop", 6),
    "2CaO.3(Al2O3)": ("a full stop", 5),
    "CaSO4.1/2H2O": ("a dot before the water", 6),
    "Pb(OAc)2": ("the group 'OAc'", 4),
    "NaOAc": ("the group 'OAc'", 3),
    "AcOH": ("the group 'AcOH'", 1),
    "Ti(OPr)4": ("the group 'OPr'", 4),
    "PrOH": ("the group 'PrOH'", 1),
    "Li0.5(THF)0.3HfNCl": ("the group 'THF'", 7),
    "CrCl3·3THF": ("the group 'THF'", 8),
    "(TTF)Br": ("the group 'TTF'", 2),
    "ITO": ("the name 'ITO'", 1),
    "STO": ("the name 'STO'", 1),
    "CNT": ("the name 'CNT'", 1),
    "KTP": ("the name 'KTP'", 1),
    "BFO": ("the name 'BFO'", 1),
    "KDP": ("the name 'KDP'", 1),
    "SS316": ("the name 'SS316'", 1),
    "Mg11B2": ("amounts of elements, got 11B", 3),
    "Mg10B2": ("amounts of elements, got 10B", 3),
}


@pytest.mark.parametrize(("text", "fault"), LOOKALIKES.items())
def test_what_parses_but_means_something_else_is_refused(text, fault):
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert fault[0] in str(caught.value)
    assert caught.value.position == fault[1]


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("Y1B1C1O1", {"Y": 1, "B": 1, "C": 1, "O": 1}),
        ("ClOY", {"Cl": 1, "O": 1, "Y": 1}),
        ("C26H40NOY", {"C": 26, "H": 40, "N": 1, "O": 1, "Y": 1}),
        ("Bi2Sr2Cu1OY1", {"Bi": 2, "Sr": 2, "Cu": 1, "O": 1, "Y": 1}),
        ("C540", {"C": 540}),
        ("KSCN", {"K": 1, "S": 1, "C": 1, "N": 1}),
        ("Fe0.5H2O10P2", {"Fe": 0.5, "H": 2, "O": 10, "P": 2}),
        ("AsCs0.5D2O", {"As": 1, "Cs": 0.5, "H": 2, "O": 1}),
        ("YB6", {"Y": 1, "B": 6}),
        ("CO2", {"C": 1, "O": 2}),
        ("HF", {"H": 1, "F": 1}),
        ("(SN)2", {"S": 2, "N": 2}),
        ("VOSO4", {"V": 1, "O": 5, "S": 1}),
        ("CH3COOH", {"C": 2, "H": 4, "O": 2}),
        ("C18H15NP", {"C": 18, "H": 15, "N": 1, "P": 1}),
        ("NaO9PU", {"Na": 1, "O": 9, "P": 1, "U": 1}),
        ("N1B3S1N1", {"N": 2, "B": 3, "S": 1}),
        ("NBa", {"N": 1, "Ba": 1}),
        ("PBr3", {"P": 1, "Br": 3}),
        ("ZrNI", {"Zr": 1, "N": 1, "I": 1}),
        ("NPCl2", {"N": 1, "P": 1, "Cl": 2}),
        ("(CH3)4NI", {"C": 4, "H": 12, "N": 1, "I": 1}),
        ("BaF2.3CuO2", {"Ba": 1, "F": 2.3, "Cu": 1, "O": 2}),
        ("LaO.9FeAs", {"La": 1, "O": 0.9, "Fe": 1, "As": 1}),
        ("Ba.6K.4BiO3", {"Ba": 0.6, "K": 0.4, "Bi": 1, "O": 3}),
        ("LaFeAsO.9F.1", {"La": 1, "Fe": 1, "As": 1, "O": 0.9, "F": 0.1}),
        ("YBa2Cu3O6.5", {"Y": 1, "Ba": 2, "Cu": 3, "O": 6.5}),
        ("BaO0.2SiO2", {"Ba": 1, "O": 2.2, "Si": 1}),
        ("HTO", {"H": 2, "O": 1}),
        ("K1T1O1", {"K": 1, "H": 1, "O": 1}),
        ("ClOPr", {"Cl": 1, "O": 1, "Pr": 1}),
        ("AcOCl", {"Ac": 1, "O": 1, "Cl": 1}),
        ("Mg11.0B2", {"Mg": 11, "B": 2}),
        ("Mg10B20", {"Mg": 10, "B": 20}),
        ("Na0.3CoO2·1.3H2O", {"Na": 0.3, "Co": 1, "O": 3.3, "H": 2.6}),
    ],
)
def test_formulas_like_these_are_read(text, amounts):
    assert parse(text) == pytest.approx(amounts)
