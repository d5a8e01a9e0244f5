"""Tables of formulas: every layout that is read, and every fault with its row and reason."""

import math
import re

import pytest

from jaxsci.data.materials import superconductors
from jaxsci.data.materials.formula_table import stream
from jaxsci.errors import InputError


def write(tmp_path, content, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path, **options):
    chunks = list(stream(path, **options))
    return [[item for chunk in chunks for item in getattr(chunk, name)] for name in ("rows", "formulas", "tc")]


@pytest.mark.parametrize(
    ("name", "values", "kept"),
    [
        ("pressure (GPa)", ["0", "150", "0.0001", ""], [2, 4, 5]),
        ("Pressure_GPa", ["0", "1.5", "ambient", "-"], [2, 4, 5]),
        ("P (kbar)", ["0.001", "12", "0", "n/a"], [2, 4, 5]),
        ("pressure", ["0", "0.5", "high", "0.0"], [2, 5]),
        ("applied pressure/MPa", ["0.1", "2000", "1", "0"], [2, 4, 5]),
        ("press", ["0", "1e9", "0", "0"], [2, 4, 5]),
        ("H (T)", ["0", "9", "0.0", ""], [2, 4, 5]),
        ("applied magnetic field [kOe]", ["0", "1", "-", "0"], [2, 4, 5]),
        ("pressure (GPa)", ["1 atm", "2 GPa", "101 kPa", "0.1 MPa"], [2, 4, 5]),
        ("P/mbar", ["1013", "2e6", "1e-3", "0"], [2, 4, 5]),
        ("Pmax (GPa)", ["0", "2", "0", "0"], [2, 4, 5]),
        ("mu0H (T)", ["0", "5 T", "0 T", "0"], [2, 4, 5]),
        ("H (G)", ["0", "100", "0", "0"], [2, 4, 5]),
        ("field", ["metal", "oxide", "3", "4"], [2, 3, 4, 5]),
        ("H (kJ/mol)", ["1", "2", "3", "4"], [2, 3, 4, 5]),
        ("phase", ["1", "2", "3", "4"], [2, 3, 4, 5]),
        ("P", ["1", "2", "3", "4"], [2, 3, 4, 5]),
    ],
)
def test_rows_under_pressure_are_left_out_and_counted(name, values, kept, tmp_path):
    rows = zip(["MgB2", "H3S", "Nb", "Nb3Sn"], values, ["39", "203", "9.2", "18"], strict=True)
    path = write(tmp_path, f"formula,{name},Tc\n" + "".join(f"{','.join(row)}\n" for row in rows))
    (chunk,) = stream(path, with_tc=True, skip_bad=True)
    assert chunk.rows == kept
    assert chunk.bad["pressure"] == 4 - len(kept)
    assert len(next(stream(path)).rows) == 4  # formulas to predict
    if len(kept) < 4:
        said = re.escape(
            f'row 3: expected Tc without pressure or field, got {values[1]} in the column "{name}"; leave out'
        )
        with pytest.raises(InputError, match=said):
            list(stream(path, with_tc=True))


def test_a_pressure_in_an_unknown_unit_is_refused(tmp_path):
    path = write(tmp_path, "formula,pressure (dyn),Tc\nNb,0,9.2\n")
    with pytest.raises(
        InputError, match=r"unit of pressure or field, .*, got 'dyn' in the column 'pressure \(dyn\)'; convert"
    ):
        list(stream(path, with_tc=True))


def test_rows_under_pressure_do_not_make_a_table_unusable(tmp_path):
    good, pressed = "Nb,0,9.2\nMgB2,0,39\nNb3Sn,0,18\n", "H3S,150,203\n" * 20
    path = write(tmp_path, "formula,P (GPa),Tc\n" + good + pressed)
    read = superconductors._read(path, with_tc=True)
    assert (len(read.tc), read.cleaning["under pressure or in a field"]) == (3, 20)
    with pytest.raises(InputError, match="of which 0 can be used"):
        superconductors._read(write(tmp_path, "formula,P (GPa),Tc\n" + pressed), with_tc=True)


@pytest.mark.parametrize(
    ("content", "name", "rows"),
    [
        ("formula,Tc\nMgB2,39\nNb,9.2\n", "t.csv", [2, 3]),
        ("\ufeffid;Formula;tc (K)\r\n1; MgB2 ;39\r\n2;Nb;9.2", "t.csv", [2, 3]),
        ("name\tTc\n\nMgB2\t39\n\nNb\t9.2\n", "t.tsv", [3, 5]),
        ('Tc,"material"\n39,"MgB2"\n9.2,Nb\n', "t.csv", [2, 3]),
    ],
)
def test_layouts(tmp_path, content, name, rows):
    path = write(tmp_path, content, name)
    assert read(path, with_tc=True) == [rows, ["MgB2", "Nb"], [39, 9.2]]
    assert read(path)[1] == ["MgB2", "Nb"]


@pytest.mark.parametrize(
    ("content", "formulas"),
    [
        ("material,chemical formula,Tc\nYBCO,YBa2Cu3O7,92\n", ["YBa2Cu3O7"]),
        ("name;element;critical_temp_K;source\nniobium;Nb;9,2;a\n", ["Nb"]),
        ("Formula,Critical Temperature [K]\nNb,9.2,,\n", ["Nb"]),
        ("formula,Tc/K\rMgB2,39\rNb3Sn,18\r", ["MgB2", "Nb3Sn"]),
        ("formula\tT_c\nMgB2\t3.9D+1\n", ["MgB2"]),
    ],
)
def test_names_of_columns_and_forms_of_lines(tmp_path, content, formulas):
    assert read(write(tmp_path, content), with_tc=True)[1] == formulas


def test_a_bare_list_of_formulas(tmp_path):
    rows, formulas, tc = read(write(tmp_path, "MgB2\nNb3Sn\n", "list.txt"))
    assert (rows, formulas) == ([1, 2], ["MgB2", "Nb3Sn"])
    assert all(math.isnan(value) for value in tc)


def test_chunks_and_chosen_columns(tmp_path):
    content = "codes\ntitles\nname,element,tc\n" + "".join(f"phase,Nb{i}Sn,{i}\n" for i in range(1, 8))
    path = write(tmp_path, content)
    chunks = list(stream(path, chunk=3, with_tc=True, columns=("element", "tc"), header_row=3))
    assert [chunk.rows for chunk in chunks] == [[4, 5, 6], [7, 8, 9], [10]]
    assert chunks[1].compositions[0] == {"Nb": 4, "Sn": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "formula,Tc\nMgB2,39\nYBa2Cu3O7-x,90\n",
            r"row 3: 'YBa2Cu3O7-x': expected known amounts, got '-' at character 10",
        ),
        ("formula,Tc\nMgB2,39\nMg0B2,39\n", r"row 3: 'Mg0B2': expected a finite amount above 0"),
        ("formula,Tc\nMgB2,39\nBkO2,1\n", r"row 3: expected elements up to Cm, got Bk"),
        ("formula,Tc\nMgB2,39 K\n", r"row 2: expected Tc in K, 0 to 400, got '39 K'; give a plain number"),
        ("formula,Tc\nMgB2,39\nNb,9200\n", r"row 3: expected Tc in K, 0 to 400, got '9200'"),
        ("formula,Tc\nMgB2,-1\n", r"row 2: expected Tc in K"),
        ("formula,Tc\nMgB2,nan\n", r"row 2: expected Tc in K"),
        ("formula,Tc\nMgB2\n", r"row 2: expected 2 fields, got 1"),
        ("formula,Tc\nLa1,85Sr0,15CuO4,38\n", r"row 2: expected 2 fields, got 4; quote"),
        ("formula;Tc\nMgB2;39,5\nNb;9.2\n", r"row 3: expected Tc in K, .*got '9.2'; .*one decimal mark"),
        ("formula;Tc\nMgB2;1.039,5\n", r"row 2: expected Tc in K"),
        ('formula,Tc\nMgB2,"39,5"\n', r"row 2: expected Tc in K"),
        ("formula,Tc\nMgB2,3_9\n", r"row 2: expected Tc in K"),
        ("formula,Tc,tc (K)\nMgB2,39,40\n", r"expected one column tc, got Tc, tc \(K\)"),
        ("formula,Tc,T_c\nMgB2,39,40\n", r"expected one column of critical temperatures, got Tc, T_c"),
        (
            "formula,Tc (K),critical temp\nMgB2,39,40\n",
            r"expected one column of critical temperatures, got Tc \(K\), critical temp",
        ),
        ("La1,85Sr0,15CuO4\nMgB2\n", r"expected a header with a column of formulas"),
        ("formula,Tc\nMgB2,39\n,1\n", r"row 3: '': expected an element, got the end"),
        (b"formula,Tc\nMgB2,39\nNb\xe9,9\n", r"row 3: expected UTF-8 text"),
        ("formula,Tc (mK)\nMgB2,39000\n", r"expected a column of critical temperatures in K, .*convert other units"),
        (
            "substance,Tc\nMgB2,39\n",
            r"expected a header with a column of formulas, formula, .*got the columns 'substance, Tc'",
        ),
        ("formula,Tc\n\n \n", r"expected at least one formula, got a table without rows"),
        ("formula,Tc\n".encode("utf-16"), r"expected UTF-8 text, got UTF-16"),
        ("", r"the file is empty"),
        ('formula,Tc\n"MgB2' + "B" * 140_000 + ",39\n", r"field larger than field limit .*check the quotation marks"),
    ],
)
def test_faults_name_row_and_reason(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read(write(tmp_path, content), with_tc=True)
    assert "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_rows_are_skipped_and_counted_by_reason(tmp_path):
    path = write(tmp_path, b"formula,Tc\nMgB2,39\nMgBx,1\nFmO,1\nNb,warm\nNb\xff,9\nNb\nNb,9.2\n")
    chunk = next(stream(path, with_tc=True, skip_bad=True))
    assert chunk.rows == [2, 8]
    assert chunk.bad == {"formula": 1, "element": 1, "tc": 1, "encoding": 1, "columns": 1}


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        next(stream(tmp_path / "none.csv"))


def test_blank_lines_and_comments_above_the_names_are_skipped(tmp_path):
    path = write(tmp_path, "# of 2016\n\nformula,Tc\nMgB2,39\nNb,9.2\n")
    assert read(path, with_tc=True) == [[4, 5], ["MgB2", "Nb"], [39, 9.2]]


def test_other_columns_are_kept_as_they_stand(tmp_path):
    (tmp_path / "t.csv").write_text(
        'id;formula;note;;note\n 1;MgB2;"a;b";;x\n2;Nbx;;;\n3;Nb;μ;7,5;y\n', encoding="utf-8"
    )
    (chunk,) = stream(tmp_path / "t.csv", skip_bad=True)
    assert chunk.formulas == ["MgB2", "Nb"]
    expected = {"id": [" 1", "3"], "note": ["a;b", "μ"], "(column 4)": ["", "7,5"], "note (column 5)": ["x", "y"]}
    assert chunk.others == expected
    for content in (b"formula,note\nNb,\xb5\n", b"formula,note\nNb,a\x00b\n"):
        (tmp_path / "bad.csv").write_bytes(content)
        with pytest.raises(InputError, match=r"expected UTF-8 text|NUL"):
            list(stream(tmp_path / "bad.csv"))
