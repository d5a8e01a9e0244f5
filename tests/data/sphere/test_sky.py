"""Sky maps as files have them: units, orderings, unseen pixels, lists of pixels; and what cannot be used."""

import healpy
import numpy as np
import pytest
from astropy.io import fits

from jaxsci.data.sphere import sky
from jaxsci.errors import InputError
from jaxsci.healpix import UNSEEN

NSIDE = 4
VALUES = np.random.default_rng(0).normal(size=12 * NSIDE**2)


def write(path, values=VALUES, **header):
    columns = header.pop("columns", [fits.Column(name="TEMPERATURE", format="D", unit="mK", array=values)])
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({"PIXTYPE": "HEALPIX", "ORDERING": "RING", "NSIDE": NSIDE, **header})
    table.writeto(path, overwrite=True)
    return path


def test_both_orderings_are_read_as_ring(tmp_path):
    ring = sky.read_map(write(tmp_path / "ring.fits"))
    nested = sky.read_map(write(tmp_path / "nested.fits", healpy.reorder(VALUES, r2n=True), ORDERING="NESTED"))
    np.testing.assert_array_equal(ring.values, VALUES)
    np.testing.assert_array_equal(nested.values, VALUES)
    assert (ring.nside, ring.unit) == (NSIDE, "mK")


def test_a_map_written_by_healpy(tmp_path):
    path = tmp_path / "healpy.fits"
    healpy.write_map(path, [VALUES, 2 * VALUES], dtype=np.float64, column_units="K_CMB", column_names=["I", "Q"])
    np.testing.assert_array_equal(sky.read_map(path, column="Q").values, 2 * VALUES)
    np.testing.assert_allclose(sky.in_microkelvin(sky.read_map(path), path), 1e6 * VALUES)


def test_unseen_pixels_become_nan(tmp_path):
    values = VALUES.copy()
    values[[0, 1, 2]] = [UNSEEN, np.nan, np.float32(UNSEEN)]
    np.testing.assert_array_equal(
        np.flatnonzero(np.isnan(sky.read_map(write(tmp_path / "m.fits", values)).values)), [0, 1, 2]
    )


def test_a_list_of_pixels_is_spread_over_the_sky(tmp_path):
    pixels = np.array([5, 90, 7])
    columns = [fits.Column("PIXEL", "J", array=pixels), fits.Column("T", "D", array=VALUES[pixels])]
    read = sky.read_map(write(tmp_path / "part.fits", columns=columns, INDXSCHM="EXPLICIT"))
    np.testing.assert_array_equal(read.values[pixels], VALUES[pixels])
    assert np.isnan(read.values).sum() == VALUES.size - 3


def test_npz(tmp_path):
    np.savez(tmp_path / "m.npz", map=healpy.reorder(VALUES, r2n=True), ordering="NESTED", unit="uK")
    read = sky.read_map(tmp_path / "m.npz")
    np.testing.assert_array_equal(read.values, VALUES)
    np.testing.assert_array_equal(sky.in_microkelvin(read, "m.npz"), VALUES)


def test_degrading_is_that_of_healpy():
    values = VALUES.copy()
    values[:5] = np.nan
    expected = healpy.ud_grade(np.where(np.isnan(values), healpy.UNSEEN, values), 2)
    ours = sky.degrade(values, 2, least=0.01)
    np.testing.assert_allclose(ours, np.where(expected == healpy.UNSEEN, np.nan, expected), rtol=1e-12)
    assert np.isnan(sky.degrade(values, 2, least=0.9)).sum() > np.isnan(ours).sum()
    with pytest.raises(InputError, match="multiple of 8, got 4"):
        sky.degrade(values, 8)


def test_what_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(InputError, match="12 nside"):
        sky.read_map(write(tmp_path / "m.fits", VALUES[:-1]))
    with pytest.raises(InputError, match="ORDERING RING or NESTED, got SPIRAL"):
        sky.read_map(write(tmp_path / "m.fits", ORDERING="SPIRAL"))
    with pytest.raises(InputError, match="one of the columns TEMPERATURE, got 3"):
        sky.read_map(write(tmp_path / "m.fits"), column=3)
    with pytest.raises(InputError, match="temperature in uK, mK or K, got MJy/sr"):
        sky.in_microkelvin(sky.SkyMap(VALUES, NSIDE, "MJy/sr"), "m.fits")
    with pytest.raises(InputError, match="no unit; give it with --unit"):
        sky.in_microkelvin(sky.SkyMap(VALUES, NSIDE, ""), "m.fits")
    (tmp_path / "m.fits").write_bytes(b"SIMPLE  =    nonsense")
    with pytest.raises(InputError, match="expected FITS headers that end"):
        sky.read_map(tmp_path / "m.fits")


def test_masks(tmp_path):
    mask = (np.arange(VALUES.size) % 3 > 0).astype(float)
    np.testing.assert_array_equal(sky.read_mask(write(tmp_path / "k.fits", mask), NSIDE), mask == 1)
    # A coarser mask holds for all pixels within its own, a finer one is averaged: back and forth it is the same.
    fine = sky.read_mask(tmp_path / "k.fits", 2 * NSIDE)
    np.testing.assert_array_equal(fine, healpy.ud_grade(mask, 2 * NSIDE) == 1)
    np.testing.assert_array_equal(
        sky.read_mask(write(tmp_path / "f.fits", fine * 1.0, NSIDE=2 * NSIDE), NSIDE), mask == 1
    )
    with pytest.raises(InputError, match=r"values from 0 to 1, got .*is this a map"):
        sky.read_mask(write(tmp_path / "k.fits"), NSIDE)
    with pytest.raises(InputError, match="removes everything"):
        sky.read_mask(write(tmp_path / "k.fits", 0 * mask), NSIDE)


def test_a_spectrum_with_and_without_a_head(tmp_path):
    (tmp_path / "s.txt").write_text(" L  TT\n 2 1.0E+3\n 3 9.0E+2\n")
    np.testing.assert_array_equal(sky.read_spectrum(tmp_path / "s.txt"), [[2, 1000], [3, 900]])
    (tmp_path / "s.txt").write_text("# l Dl\n 2 x\n")
    with pytest.raises(InputError, match="expected a table of numbers"):
        sky.read_spectrum(tmp_path / "s.txt")


PIXELS = np.array([0, 3, 6, 100])


@pytest.mark.parametrize("name", ["PIXEL", "IPIX", "INDEX", "HPX_INDEX", "HEALPIX", "NUMBER"])
@pytest.mark.parametrize("kind", ["J", "E"])
@pytest.mark.parametrize("header", [{"INDXSCHM": "EXPLICIT"}, {"OBJECT": "PARTIAL"}, {}])
def test_the_first_column_of_a_partial_map_is_the_index(tmp_path, name, kind, header):
    columns = [
        fits.Column(name=name, format=kind, array=PIXELS),
        fits.Column(name="T", format="D", unit="uK", array=VALUES[PIXELS]),
    ]
    path = write(tmp_path / "m.fits", columns=columns, **header)
    values = sky.read_map(path).values
    np.testing.assert_array_equal(values[PIXELS], VALUES[PIXELS])
    assert np.isnan(values).sum() == VALUES.size - len(PIXELS)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [([0, 3, 3], "each pixel once"), ([0, 0.5, 2], "got 0.5"), ([0, 1, 192], "got 192"), ([-1, 0, 1], "got -1")],
)
def test_an_index_that_cannot_be_is_refused(tmp_path, pixels, message):
    columns = [fits.Column(name="PIXEL", format="D", array=pixels), fits.Column(name="T", format="D", array=VALUES[:3])]
    with pytest.raises(InputError, match=message):
        sky.read_map(write(tmp_path / "m.fits", columns=columns))


@pytest.mark.parametrize("bad", [-999.9, -1.6375e30, 1e20])
def test_sentinels_are_found_in_the_precision_of_the_column(tmp_path, bad):
    values = VALUES.astype(np.float32)
    values[:10] = bad
    columns = [fits.Column(name="T", format="E", unit="uK", array=values)]
    assert np.isnan(sky.read_map(write(tmp_path / "m.fits", columns=columns, BAD_DATA=bad)).values).sum() == 10


def test_what_contradicts_itself_is_refused(tmp_path):
    with pytest.raises(InputError, match="192 pixels to be nside 4, got NSIDE 8"):
        sky.read_map(write(tmp_path / "m.fits", NSIDE=8))
    with pytest.raises(InputError, match="INDXSCHM and OBJECT that agree"):
        sky.read_map(write(tmp_path / "m.fits", INDXSCHM="IMPLICIT", OBJECT="PARTIAL"))
    with pytest.raises(InputError, match="expected --unit mK as the file says, got K"):
        sky.in_microkelvin(sky.read_map(write(tmp_path / "m.fits")), "m.fits", unit="K")
    np.testing.assert_allclose(
        sky.in_microkelvin(sky.read_map(tmp_path / "m.fits"), "m.fits", unit="mK_CMB"), 1e3 * VALUES
    )
    for values, message in (
        (np.ones((4, 192)), r"one map \[pixel\], got shape \[4, 192\]"),
        (VALUES * 1j, "real numbers"),
        (VALUES * 1e300, "values up to"),
    ):
        np.savez(tmp_path / "m.npz", map=values)
        with pytest.raises(InputError, match=message):
            sky.read_map(tmp_path / "m.npz")
    columns = [fits.Column(name="T", format="M", array=VALUES * 1j)]
    with pytest.raises(InputError, match="real numbers in T, got type >c16"):
        sky.read_map(write(tmp_path / "m.fits", columns=columns))


def test_a_header_that_promises_more_than_the_file_has(tmp_path):
    path = write(tmp_path / "m.fits")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"NAXIS2  =                  192", b"NAXIS2  =         192000000000"))
    with pytest.raises(InputError, match="bytes of data as its header says"):
        sky.read_map(path)
    path.write_bytes(content[:-2880])
    with pytest.raises(InputError, match="bytes of data as its header says"):
        sky.read_map(path)
