"""Tables of one's own: which columns are meant, and what was left out of them."""

import pytest

from jaxsci.data.materials.formula_table import stream
from jaxsci.data.materials.superconductors import read_measured
from jaxsci.errors import InputError
from jaxsci.tasks.superconductors import samples
from tests.command import refused

METALS = ("Nb", "V", "Ta", "Pb", "Sn", "In", "Al", "Re", "Tc", "La")


def write(path, rows):
    path.write_text("name,critical_temp_K,stoichiometry,Tc_onset\n" + "".join(f"{row}\n" for row in rows))
    return samples.Sources(measured=path, table="own")


def test_the_columns_that_are_named_are_read(tmp_path):
    sources = write(tmp_path / "own.csv", (f"common name,99,{metal}3Ge,{10 + i}" for i, metal in enumerate(METALS)))
    sample = samples.read_tc(sources, "random", 1, ("Stoichiometry", "tc onset"))
    assert sample.formulas.tolist() == [f"{metal}3Ge" for metal in METALS]
    assert sample.tc.tolist() == list(range(10, 20))
    assert samples.left_out(sample.cleaning) == []
    with pytest.raises(InputError, match="of which 0 can be used"):  # the common names are no formulas
        samples.read_tc(sources, "random", 1)
    with pytest.raises(InputError, match=r"expected a header with a column of formulas, mass, .* --formula-column"):
        samples.read_tc(sources, "random", 1, ("mass", None))


def test_what_was_left_out_is_counted_by_reason_beyond_a_hundredth(tmp_path):
    rows = [f"x,99,{metal}{n}Ge,{n}" for metal in METALS for n in range(1, 11)]
    sources = write(tmp_path / "own.csv", [*rows, "x,99,YBCO,92"])
    assert samples.left_out(samples.read_tc(sources, "random", 1, ("stoichiometry", "Tc_onset")).cleaning) == []
    sources = write(tmp_path / "own.csv", [*rows, "x,99,YBCO,92", "x,99,Nb3Sn,0"])
    (line,) = samples.left_out(samples.read_tc(sources, "random", 1, ("stoichiometry", "Tc_onset")).cleaning)
    assert line == "superconductors: 2 of 102 rows left out (formula not readable 1, Tc not reported 1)"


def test_columns_without_a_table_are_refused(tmp_path, monkeypatch, capsys):
    from jaxsci.tasks.superconductors import task

    monkeypatch.setattr(task, "find_files", lambda options, find: None)
    line = refused(capsys, "train", "superconductors", "--tc-column", "Tc", "--runs", tmp_path)
    assert "--formula-column, --tc-column: expected with --data" in line


TABLES_OF_TC = {  # a row of Tc, and what the line that follows must say
    "text": ("18 K", "18 K"),
    "millikelvin": ("18050", "0 to 400"),
    "negative": ("-3", "-3"),
    "a word": ("none", "none"),
}


@pytest.mark.parametrize("name", TABLES_OF_TC)
def test_a_tc_that_is_no_number_of_kelvin_is_refused_with_row_and_reason(name, tmp_path):
    text, word = TABLES_OF_TC[name]
    path = tmp_path / "tc.csv"
    path.write_text(f"formula,Tc\nNbTi,9.5\nNb3Sn,{text}\nNb,9.2\nV3Si,17\n")
    with pytest.raises(InputError, match=r"tc.csv, row 3: expected Tc in K") as error:
        list(stream(path, with_tc=True))
    assert word in str(error.value)
    (chunk,) = stream(path, with_tc=True, skip_bad=True)
    assert chunk.tc == [9.5, 9.2, 17]
    assert chunk.bad["tc"] == 1
    assert read_measured("own", path).cleaning == {"rows": 4, "Tc not a number in K": 1, "Tc not reported": 0} | {
        "Tc above 150 K": 0
    }
