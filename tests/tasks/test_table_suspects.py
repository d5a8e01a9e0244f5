"""Columns and rows of a table that are not what they seem: named on the terminal, read as meant, or refused."""

import csv

import numpy as np
import pytest

from jaxsci.data import columns, images
from jaxsci.errors import InputError
from jaxsci.tasks.tables import encoding, rows
from jaxsci.tasks.tables.options import Options
from jaxsci.tasks.tables.suspects import far, suspects

N = 60
RNG = np.random.default_rng(0)
CLASS = np.arange(N) % 3
VALUE = np.round(RNG.normal(size=N), 4)


def read(path, table, **options):
    """What is learned of a table with the target y, and what is said of it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    said = []
    given = rows.read(Options(data=path, target="y", **options), lambda stage, part, words: said.append(words), None)
    return given, "\n".join(words for words in said if words.startswith("note"))


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("a", np.arange(7, N + 7), "counts the rows"),
        ("a", RNG.permutation(N), "counts the rows"),
        ("", RNG.permutation(3 * N)[:N], "seems to number the rows"),
        ("Unnamed: 0", 2 * RNG.permutation(N), "seems to number the rows"),
        ("PassengerId", np.sort(RNG.permutation(3 * N)[:N]), "seems to number the rows"),
        ("a", np.array([f"S{i:04}" for i in range(N)]), "is another text in nearly every row"),
        ("a", np.full(N, 3.3), "is the same in every row"),
        ("a", np.full(N, "lab"), "is the same in every row"),
        ("a", np.full(N, np.nan), "has no entry"),
        ("a", np.array(["red", "blue", "Red"])[CLASS - CLASS[::-1]], "has 'Red' and 'red'"),
        ("a", np.array(["Mu\u0308ller", "M\xfcller", "Bo"])[CLASS - CLASS[::-1]], "look alike"),
        ("a", np.array(["a\u200bb", "ab", "c"])[CLASS - CLASS[::-1]], "look alike"),
        ("a", np.array(["a\xa0b", "a b", "c"])[CLASS - CLASS[::-1]], "look alike"),
        ("a", np.array(["b", "a", "c"])[CLASS], "tells the target of every row"),
        ("a", CLASS + 3 * (np.arange(N) % 2), "tells the target of every row"),
        ("a", (CLASS == 1).astype(float), "tells the rows of the target 1"),
        ("a", RNG.integers(9, size=N), None),
        ("a", RNG.normal(size=N), None),
        ("grid", RNG.permutation(9 * N)[:N] + 0.5, None),
        ("a", np.array(["x", "y", "z", "w"])[RNG.integers(4, size=N)], None),
    ],
)
def test_columns_that_are_no_measurements_are_named(name, values, words):
    found = suspects({name: values}, CLASS)
    assert (found == {}) if words is None else (words in found[name])


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (lambda y: 1.8 * y + 32, "rises with the target"),
        (lambda y: -y, "falls with the target"),
        (lambda y: np.round(y, 1), "rises with the target"),
        (lambda y: np.where(np.arange(N) == 5, np.nan, np.exp(y)), "rises with the target"),
        (lambda y: y + np.random.default_rng(1).normal(size=N), None),
    ],
)
def test_a_column_that_is_a_function_of_the_target_is_named(of, words):
    found = suspects({"a": of(VALUE)}, VALUE)
    assert (found == {}) if words is None else (words in found["a"])


@pytest.mark.parametrize("none", [-999, -9999.0, 9999, 1e20, 9.96921e36, 2147483647, -32768])
@pytest.mark.parametrize("places", [1, 5])
def test_numbers_that_stand_for_none_are_named_and_refused_in_the_target(tmp_path, none, places):
    odd = np.where(np.arange(N) < places, none, VALUE)
    given, said = read(tmp_path / "t.csv", {"x": odd, "y": CLASS})
    assert f"the column x has {none:g} in {places} row" in said
    assert len(given.data.target) == N
    with pytest.raises(InputError, match="expected numbers that were measured in y"):
        read(tmp_path / "t.csv", {"x": VALUE, "y": odd})
    read(tmp_path / "t.csv", {"x": VALUE, "y": odd}, kind="regression")


@pytest.mark.parametrize("none", ["#N/A", "<NA>", "NaT", "1.#QNAN", "-", "..", "***", "#REF!"])
def test_what_stands_for_no_class_is_none(tmp_path, none):
    labels = np.where(np.arange(N) % 5 == 0, none, np.array(["a", "b", "c"])[CLASS])
    with pytest.raises(InputError, match=r"target in every row|seems to stand for none"):
        read(tmp_path / "t.csv", {"x": VALUE, "y": labels})
    signs = np.array(["+", "-"])[CLASS % 2]
    assert read(tmp_path / "t.csv", {"x": VALUE, "y": signs})[0].meaning.classes == ("+", "-")


@pytest.mark.parametrize("none", [-999, 9999, 32767])
def test_a_number_that_stands_for_none_is_no_class_nor_a_weight(tmp_path, none):
    odd = np.where(np.arange(N) % 5 == 0, none, CLASS)
    with pytest.raises(InputError, match="choose --kind classification"):
        read(tmp_path / "t.csv", {"x": VALUE, "y": odd})
    assert len(read(tmp_path / "t.csv", {"x": VALUE, "y": odd}, kind="classification")[0].meaning.classes) == 4
    if none > 0:
        with pytest.raises(InputError, match="which seems to stand for none; mend them"):
            read(tmp_path / "t.csv", {"x": VALUE, "w": odd, "y": CLASS}, weights="w")


def test_a_target_beyond_its_own_variance_is_refused(tmp_path):
    with pytest.raises(InputError, match="whose squares are numbers; rescale it"):
        read(tmp_path / "t.csv", {"x": VALUE, "y": VALUE * 1e300})


def test_classes_that_look_alike_are_refused(tmp_path):
    labels = np.array(["Mu\u0308ller", "M\xfcller", "Bo"])[CLASS]
    with pytest.raises(InputError, match="differ by more than case in y"):
        read(tmp_path / "t.csv", {"x": VALUE, "y": labels})
    np.savez(tmp_path / "i.npz", x=np.zeros((N, 4, 4)), y=labels)
    with pytest.raises(InputError, match="differ by more than case"):
        images.read(tmp_path / "i.npz")


def test_numbers_with_missing_ones_are_no_names_of_rows(tmp_path):
    values = [*map(str, VALUE[:-1]), "NA"]
    _, said = read(tmp_path / "t.csv", {"x": values, "y": CLASS})
    assert said == ""


def test_sodium_is_an_element_and_no_missing_entry():
    def learned(*texts):
        return encoding.learn("t.csv", {"x": np.array(texts)}, np.arange(len(texts)), ())[0]

    assert learned("Na", "Cl", "Fe", "NA")[1:3] == (("Cl", "Fe", "Na"), True)
    assert learned("Na", "Na", "Na")[1:3] == (("Na",), False)
    assert learned("Y", "N", "NA", "n/a", "nan", "")[1:3] == (
        ("N", "Y"),
        True,
    )  # yes and no, though elements have these letters, too
    for texts, got in ((("CL", "NA"), "NA"), (("cl", "na"), "na")):
        with pytest.raises(
            InputError, match=f"sodium as Na .* in the column x of elements, got {got}, which may be either"
        ):
            learned(*texts)
    with pytest.raises(InputError, match="expected numbers in the column x, got text such as 'Na' in row 1"):
        learned("1.5", "Na", "2")
    np.testing.assert_array_equal(encoding.numbers_of("t.csv", "x", np.array(["1.5", "NA", "2"])), [1.5, np.nan, 2])


def test_whole_numbers_are_the_same_classes_and_categories_in_every_type(tmp_path):
    given, _ = read(
        tmp_path / "t.csv", {"x": VALUE, "k": CLASS + 4, "y": CLASS[::-1].astype(float)}, categorical=("k",)
    )
    assert given.meaning.classes == ("0", "1", "2")
    options = Options(target="y")
    for kind in (int, float):
        table = {"x": VALUE[:3], "k": np.array([4, 5, 6], kind), "y": np.array([2, 0, 1], kind)}
        data = rows.labeled("f", options, given.meaning, table)
        assert data.target.tolist() == [2, 0, 1]
        np.testing.assert_array_equal(data.rows.numbers[:, 1:], np.eye(3))
    earlier = given.meaning._replace(classes=("0.0", "1.0", "2.0"))  # as a run of an earlier version has them
    assert rows.labeled("f", options, earlier, table).target.tolist() == [2, 0, 1]


@pytest.mark.parametrize("value", [3.3, 0.1, 1e9 / 3])
def test_a_constant_column_of_training_does_not_blow_up_another_value(value):
    learned = encoding.learn("t", {"a": np.full(50, value)}, np.arange(50), ())
    numbers = encoding.encode("t", learned, {"a": np.array([value, value + 2])}).numbers
    np.testing.assert_allclose(numbers[:, 0], [0, 2], atol=1e-6 * value)  # a part of a million: float64 of 1e9 / 3


def test_numbers_beyond_their_own_variance_are_refused(tmp_path):
    with pytest.raises(InputError, match="float32 can hold in the column x"):
        read(tmp_path / "t.csv", {"x": np.where(CLASS == 0, 1.7976931348623157e308, VALUE), "y": VALUE})


def test_rows_far_from_those_of_training_are_warned_of():
    learned = encoding.learn("t", {"a": VALUE, "b": VALUE}, np.arange(N), ())
    found = far("t", learned, {"a": np.array([0, 1, -999.0]), "b": np.array([0, 3, 0.0])})
    assert list(found) == ["a"]
    assert found["a"].startswith("1 of 3 rows")


def test_a_last_row_of_sums_is_refused(tmp_path):
    table = {"where": [*"NSEW" * 5, "Total"], "x": [*range(20), 190], "y": [*(i * 0.5 for i in range(20)), 95.0]}
    with pytest.raises(InputError, match="got the sum of all others in the last one, 190 in the column x"):
        read(tmp_path / "t.csv", table)
    table["y"][-1] = 94.0
    read(tmp_path / "t.csv", table)


def test_arrays_that_are_not_read_are_named(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, x=VALUE, y=VALUE[::-1], scale=np.float64(3))
    said = []
    rows.read(Options(data=path, target="y"), lambda *words: said.append(words[2]), None)
    assert "note: not one entry a row, and not used: scale" in said


@pytest.mark.parametrize(
    "text",
    [
        "x,y,,\n1,2,,\n3,4,,\n",
        "x,y\n1,2,\n3,4,,\n",
        "x,y\n1,2\n   \n3,4\n,\n , \n   \n",
        "sep=;\nx;y;\n1;2;\n3;4;\n;;\n",
    ],
)
def test_what_spreadsheets_add_around_a_table_is_left_out(tmp_path, text):
    (tmp_path / "t.CSV").write_text(text)
    read = columns.read(tmp_path / "t.CSV")
    assert {name: column.tolist() for name, column in read.items()} == {"x": [1, 3], "y": [2, 4]}


def test_a_blank_row_among_others_is_a_row(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,2\n,\n3,4\n")
    assert columns.read(tmp_path / "t.csv")["x"].tolist() == ["1", "", "3"]
    (tmp_path / "t.csv").write_text("full name\nAnna Lee\nInconel 718\n")
    assert columns.read(tmp_path / "t.csv")["full name"].tolist() == ["Anna Lee", "Inconel 718"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x|y\n1|2\n3|4\n", "got bars in 'x|y'"),
        ("  x   y\n 1.5   2\n 3   4\n", "got blanks in 'x   y'"),
        ("L\xe4nge,y\n1,2\n".encode("latin-1"), "as names of columns; save the file as UTF-8"),
        ("x,y,\n1,2,3\n", None),
        ("x,,\n1,2,3\n", "got '' more than once"),
    ],
)
def test_fields_and_names_that_are_none(tmp_path, text, message):
    (tmp_path / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    if message is None:
        assert set(columns.read(tmp_path / "t.csv")) == {"x", "y", ""}
        return
    with pytest.raises(InputError, match=message.replace("|", "\\|")):
        columns.read(tmp_path / "t.csv")


def test_text_in_arrays_may_not_have_thousands_separators(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.array(["1,100", "2,200"]), y=np.array([1, 2]))
    with pytest.raises(InputError, match="thousands separators, got '1,100' in the column x"):
        columns.read(tmp_path / "t.npz")


@pytest.mark.parametrize(
    "form", ["2020-01-{:02}T12:00:00Z", "{} Jan 2020", "Jan {}, 2020", "{:02}/Feb/2020", "Mon {:02}.02.2020", "{}.50 €"]
)
def test_dates_are_no_categories(form):
    texts = np.array([form.format(i) for i in range(1, 25)])
    with pytest.raises(InputError, match="expected plain numbers, or categories, in the column t"):
        encoding.learn("t", {"t": texts}, np.arange(24), ())


def test_names_that_hold_a_month_or_a_number_are_categories():
    texts = np.array(
        [
            f"{name} {word}"
            for name in ("Mary", "Junior", "Octavia", "Decker", "Sunny")
            for word in ("Mar", "North", "B2")
        ]
    )
    assert encoding.learn("t", {"t": texts}, np.arange(len(texts)), ())[0].categories is not None


@pytest.mark.parametrize("levels", [[0.01, 0.1, 1, 10, 100], [0, 1, 10, 100, 1000], [0.5, 4, 32, 256]])
def test_the_last_step_of_a_scale_by_factors_stands_for_itself(tmp_path, levels):
    dose = np.array(levels)[np.arange(N) % len(levels)]
    assert read(tmp_path / "t.csv", {"x": dose, "y": CLASS})[1] == ""
    read(tmp_path / "t.csv", {"x": VALUE, "y": dose + 0.0})
    assert "far from all others" in suspects({"x": np.where(dose == max(levels), 100 * dose, dose)}, CLASS)["x"]


def test_a_target_may_be_nothing_in_many_rows(tmp_path):
    given, _ = read(tmp_path / "t.csv", {"x": VALUE, "y": np.where(CLASS == 0, 0, 100 + VALUE)})
    assert given.meaning.classes is None


def test_infinity_is_no_class(tmp_path):
    with pytest.raises(InputError, match="got infinity in row 2"):
        read(tmp_path / "t.csv", {"x": VALUE, "y": np.array(["0.0", "1.0", "inf"])[CLASS]})


def test_levels_of_significance_are_classes(tmp_path):
    given, _ = read(tmp_path / "t.csv", {"x": VALUE, "y": np.array(["ns", "*", "**"])[CLASS]})
    assert given.meaning.classes == ("*", "**", "ns")


@pytest.mark.parametrize("name", ["Marker", "Monkey", "Satellite", "Octane", "decoy-", "Mayer", "Sunny"])
def test_numbered_names_are_no_dates(name):
    texts = np.array([f"{name} {i}" for i in range(24)])
    assert encoding.learn("t", {"t": texts}, np.arange(24), ())[0].categories is not None


def test_a_column_that_is_mixed_is_named_with_its_file():
    learned = encoding.learn("t", {"a": VALUE}, np.arange(N), ())
    with pytest.raises(InputError, match=r"new.csv: expected numbers in the column a"):
        far("new.csv", learned, {"a": np.array(["1", "x", "3"])})
