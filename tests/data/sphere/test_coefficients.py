"""Files of coefficients that are nearly right: read as meant, or refused in one line."""

import pytest

from jaxsci.data.sphere import relief
from jaxsci.errors import InputError

GOOD = "0 0 1 0\n1 0 2 0\n1 1 3 4\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0 1,5 0,0\n1 0 2,5 0,0\n1 1 3,5 4,5\n", "expected decimal points"),
        (f"# l m S C\n{GOOD}", "expected columns l m C S, got '# l m S C' in line 1"),
        (f"m l C S\n{GOOD}", "expected columns l m C S"),
        (f"degree order sigma_C sigma_S C S\n{GOOD}", "expected columns l m C S"),
        ("0 0 1 9\n1 0 2 9\n1 1 3 4\n", "expected S = 0 for m = 0, got 9 at l = 0"),
        ("norm unnormalized\n" + GOOD, "expected fully normalized"),
        ("max_degree 5\n" + GOOD, "expected degrees to 5 as the header says, got 1"),
        ("0 0 1\n" + GOOD[8:], "expected four numbers l m C S, got '0 0 1' in line 1"),
    ],
)
def test_coefficients_that_are_not_what_they_say_are_refused(tmp_path, text, message):
    (tmp_path / "c.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        relief.read_coefficients(tmp_path / "c.txt")


@pytest.mark.parametrize(
    "head",
    [
        "\ufeff",
        "n m Cnm Snm\n",
        "# degree, order, C(l,m), S(l,m)\n",
        "key L M C S sigma\nmax_degree 1\n",
        "degree, order, relief_C, relief_S\n",
    ],
)
def test_headers_that_agree_and_a_byte_order_mark_change_nothing(tmp_path, head):
    (tmp_path / "c.txt").write_text(head + GOOD, encoding="utf-8")
    read = relief.read_coefficients(tmp_path / "c.txt")
    assert read.cosine.tolist() == [[1, 0], [2, 3]]
    assert read.sine[1, 1] == 4
