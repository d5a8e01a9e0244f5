"""Files of spherical harmonic coefficients, in the forms in which they are published."""

import gzip

import numpy as np
import pytest

from jaxsci.data.sphere import relief
from jaxsci.errors import InputError


def test_coefficients_of_a_relief(tmp_path):
    rows = "  0  0 -2.0 0.0\n  1  0 3.0 0.0\n  1  1 4.0 5.0\n"
    path = tmp_path / "c.msl"
    path.write_text(rows)
    read = relief.read_coefficients(path)
    np.testing.assert_array_equal(read.cosine, [[-2, 0], [3, 4]])
    np.testing.assert_array_equal(read.sine, [[0, 0], [0, 5]])
    assert relief.read_coefficients(path, lmax=0).cosine.shape == (1, 1)
    np.savez(tmp_path / "c.npz", C=read.cosine, S=read.sine)
    np.testing.assert_array_equal(relief.read_coefficients(tmp_path / "c.npz").sine, read.sine)
    with pytest.raises(InputError, match="expected coefficients to degree 5, got 1"):
        relief.read_coefficients(path, lmax=5)
    path.write_text(rows[: rows.rindex("  1  1")])
    with pytest.raises(InputError, match="all degrees and orders"):
        relief.read_coefficients(path)
    (tmp_path / "g.dat.gz").write_bytes(gzip.compress(b"1 2 3 4 5 6"))
    np.testing.assert_array_equal(relief.read_grid(tmp_path / "g.dat.gz", 2, 3), [[1, 2, 3], [4, 5, 6]])
    with pytest.raises(InputError, match="expected 3 x 3 numbers, got 6"):
        relief.read_grid(tmp_path / "g.dat.gz", 3, 3)


ROWS = [
    (0, 0, 1.25, 0.0),
    (1, 0, -0.125, 0.0),
    (1, 1, 0.5, 0.1),
    (2, 0, -0.5, 0.0),
    (2, 1, 0.25, 1.5),
    (2, 2, 0.75, -2.0),
]


def written(rows, form="{} {} {} {}"):
    return "\n".join(form.format(*row) for row in rows) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        written(ROWS),
        written(ROWS, "{}, {}, {:.6e}, {:.6e}, 0.1, 0.1"),
        written(ROWS, "{} {} {:.6e} {:.6e}").replace("e", "D"),
        "# made up\n l m C S\n" + written(ROWS),
        "3396.0E+00, 0.4282837E+14, 0.1960E+09, 2, 2, 1, 0.0, 0.0\n" + written(ROWS, "{:5d},{:5d},{:.6e},{:.6e}"),
        "modelname test\nradius 6378136.3\nend_of_head ====\n" + written(ROWS, "gfc {} {} {} {} 0.1 0.1"),
    ],
)
def test_forms_of_coefficient_files(tmp_path, content):
    path = tmp_path / "c.txt"
    path.write_text(content)
    read = relief.read_coefficients(path)
    for degree, order, c, s in ROWS:
        assert (read.cosine[degree, order], read.sine[degree, order]) == (c, s)
    assert read.cosine.shape == (3, 3)
    assert relief.missing_degrees(read) == ()


def test_low_degrees_that_are_not_there_are_zero(tmp_path):
    path = tmp_path / "c.txt"
    path.write_text(written(ROWS[3:]))
    read = relief.read_coefficients(path)
    assert relief.missing_degrees(read) == (0, 1)
    np.testing.assert_array_equal(read.cosine[2], [-0.5, 0.25, 0.75])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS[:4], (2, 1, "nan", "nan"), ROWS[5]], "finite coefficients, got NaN or infinity at l = 2, m = 1"),
        ([*ROWS[:4], ROWS[4], ROWS[4]], "l = 2, m = 1 once, got it again in line 6"),
        ([*ROWS[:5], (1.5, 0, 1, 1)], "line 6"),
        ([*ROWS[:5], (1, 2, 1, 1)], "0 <= m <= l, got '1 2 1 1' in line 6"),
        (ROWS[:5], "without l = 2, m = 2"),
        ([ROWS[0], *ROWS[2:]], "without l = 1, m = 0"),
        ([(*row[:2], 0, 0) for row in ROWS], "zeros only"),
        ([*ROWS[:5], (2, 2, "x", 1)], "in line 6"),
    ],
)
def test_coefficients_that_cannot_be_are_refused(tmp_path, rows, message):
    path = tmp_path / "c.txt"
    path.write_text(written(rows))
    with pytest.raises(InputError, match=message):
        relief.read_coefficients(path)


@pytest.mark.parametrize(
    "head", ["l m re im", "# degree order Re(a_lm) Im(a_lm)", "l,m,alm_re,alm_im", "l m real_part imag_part"]
)
def test_complex_coefficients_are_refused(tmp_path, head):
    (tmp_path / "c.txt").write_text(f"{head}\n0 0 1 0\n1 0 2 0\n1 1 3 4\n")
    with pytest.raises(InputError, match=r"expected coefficients C and S, got .*; convert complex ones"):
        relief.read_coefficients(tmp_path / "c.txt")


def test_arrays_of_coefficients_that_cannot_be_are_refused(tmp_path):
    good = np.tril(np.ones((3, 3)))
    for c, s, message in (
        (good + 0j, good, "real coefficients"),
        (np.ones((3, 3)), good * [0, 1, 1], "0 for m > l"),
        (np.ones((3, 2)), np.ones((3, 2)), "one square shape"),
    ):
        np.savez(tmp_path / "c.npz", C=c, S=s)
        with pytest.raises(InputError, match=message):
            relief.read_coefficients(tmp_path / "c.npz")
