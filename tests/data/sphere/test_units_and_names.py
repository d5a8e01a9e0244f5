"""Units, coordinates and columns of sky maps by their names, and the normalization that a file of coefficients names."""

import numpy as np
import pytest
from astropy.io import fits

from jaxsci.data.sphere import relief, sky
from jaxsci.errors import InputError

VALUES = np.random.default_rng(0).normal(0, 100, 192)
ROWS = "".join(f"{n} {m} {0.1 * (n + 1)} {0.2 * m}\n" for n in range(3) for m in range(n + 1))


def write(path, *, name="T", unit="uK", values=VALUES, **header):
    table = fits.BinTableHDU.from_columns([fits.Column(name, "D", unit=unit, array=values)])
    table.header.update({"ORDERING": "RING", "NSIDE": 4, **header})
    table.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("nK", 1e-3),
        ("microK", 1),
        ("K_thermo", 1e6),
        ("K thermodynamic", 1e6),
        ("[mK]", 1e3),
        ("(uK)", 1),
        ("\\muK_{CMB}", 1),
        ("uK (CMB)", 1),
        ("K [CMB]", 1e6),
        ("uK-CMB", 1),
        ("uKelvin", 1),
        ("Kelvins", 1e6),
        ("micro-K", 1),
        ("$\\mu\\mathrm{K}$", 1),
        ("thermodynamic mK", 1e3),
        ("1.0E-06 K", 1),
    ],
)
def test_spellings_of_temperatures_are_known_and_hold_against_what_is_asked(tmp_path, unit, factor):
    found = sky.read_map(write(tmp_path / "m.fits", unit=unit))
    np.testing.assert_allclose(sky.in_microkelvin(found, "m"), factor * VALUES, rtol=1e-12)
    with pytest.raises(InputError, match="as the file says"):
        sky.in_microkelvin(found, "m", "K" if factor != 1e6 else "uK")


@pytest.mark.parametrize("unit", ["counts", "deltaT/T", "1", "uK*arcmin", "uK-arcmin", "dimensionless", "MK"])
def test_another_unit_is_no_temperature_whatever_is_asked(tmp_path, unit):
    found = sky.read_map(write(tmp_path / "m.fits", unit=unit))
    for asked in (None, "uK"):
        with pytest.raises(InputError, match="convert the map, or mend the unit in its header"):
            sky.in_microkelvin(found, "m", asked)


@pytest.mark.parametrize("unit", ["unknown", "N/A", "none", "temperature", "--", None])
def test_a_unit_that_says_nothing_is_given(tmp_path, unit):
    found = sky.read_map(write(tmp_path / "m.fits", unit=unit))
    np.testing.assert_array_equal(sky.in_microkelvin(found, "m", "uK"), VALUES)
    with pytest.raises(InputError, match="give it with --unit"):
        sky.in_microkelvin(found, "m")


@pytest.mark.parametrize(
    "name", ["RA", "GLON", "THETA", "COUNTS", "EXPOSURE", "INV_VAR", "IVAR", "CHI2", "RMS", "POLARIZATION"]
)
def test_a_column_that_comes_first_and_is_no_temperature_is_named(tmp_path, name):
    with pytest.raises(InputError, match=f"got {name}; say which is meant"):
        sky.read_map(write(tmp_path / "m.fits", name=name))
    np.testing.assert_array_equal(sky.read_map(write(tmp_path / "m.fits", name=name), column=name).values, VALUES)


def test_coordinates_that_are_not_known_are_refused(tmp_path):
    with pytest.raises(InputError, match="expected COORDSYS G, C or E, got SUPERGALACTIC"):
        sky.read_map(write(tmp_path / "m.fits", COORDSYS="SUPERGALACTIC"))
    assert sky.read_map(write(tmp_path / "m.fits", COORDSYS="UNKNOWN")).frame == ""
    spelled = {"Galactic coordinates": "G", "celestial2000": "C", "CELESTIAL (J2000)": "C", "RA_DEC": "C", "J2000": "C"}
    for words, frame in spelled.items():
        assert sky.read_map(write(tmp_path / "m.fits", COORDSYS=words)).frame == frame


@pytest.mark.parametrize("none", [-999, 9999.0, 99999, 1e20])
def test_one_pixel_of_a_number_that_stands_for_none_is_refused(tmp_path, none):
    with pytest.raises(InputError, match="far from all others"):
        sky.read_map(write(tmp_path / "m.fits", values=np.where(np.arange(192) == 7, none, VALUES)))
    sky.read_map(write(tmp_path / "m.fits", values=np.where(np.arange(192) == 7, 1234.5, VALUES)))  # a bright source


def test_words_of_an_array_may_be_bytes(tmp_path):
    np.savez(tmp_path / "m.npz", map=VALUES, ordering=b"RING", unit=b"uK", frame=b"G")
    found = sky.read_map(tmp_path / "m.npz")
    assert (found.unit, found.frame) == ("uK", "G")


@pytest.mark.parametrize(
    "words",
    [
        "norm 4pi",
        "# normalization: geodesy 4pi",
        "# 4 pi normalized, no Condon-Shortley phase",
        "# normalized",
        "",
        "# normalization: 4-pi",
        "norm full",
        "# 4*pi normalized, not orthonormalized",
        "# normalization factor sqrt(2 l + 1)",
    ],
)
def test_the_normalization_of_geodesists_is_read(tmp_path, words):
    (tmp_path / "c.txt").write_text(f"{words}\n{ROWS}")
    assert relief.read_coefficients(tmp_path / "c.txt").cosine[2, 1] == pytest.approx(0.3)


@pytest.mark.parametrize(
    "words",
    [
        "# normalization: Schmidt",
        "% Schmidt quasi-normalized",
        "# orthonormal",
        "# unnormalized coefficients",
        "normalization = ortho",
        "norm unnorm",
    ],
)
def test_another_normalization_is_refused_however_it_is_said(tmp_path, words):
    (tmp_path / "c.txt").write_text(f"{words}\n{ROWS}")
    with pytest.raises(InputError, match="expected fully normalized coefficients"):
        relief.read_coefficients(tmp_path / "c.txt")


def test_coefficients_in_another_encoding_are_named(tmp_path):
    (tmp_path / "c.txt").write_bytes(ROWS.encode("utf-16"))
    with pytest.raises(InputError, match="got UTF-16"):
        relief.read_coefficients(tmp_path / "c.txt")


@pytest.mark.parametrize("key", ["TNULL1", "BLANK"])
def test_a_sentinel_of_scaled_numbers_is_meant_as_it_is_stored(tmp_path, key):
    stored = np.where(np.arange(192) < 3, -32768, 100 * VALUES / np.abs(VALUES).max()).astype(np.int16)
    table = fits.BinTableHDU.from_columns([fits.Column("T", "I", unit="uK", array=stored)])
    table.header.update({"ORDERING": "RING", "TSCAL1": 0.01, "TZERO1": 1.5, key: -32768})
    table.writeto(tmp_path / "m.fits")
    values = sky.read_map(tmp_path / "m.fits").values
    assert np.isnan(values[:3]).all()
    np.testing.assert_allclose(values[3:], 0.01 * stored[3:] + 1.5)


@pytest.mark.parametrize("none", [-32768, 99999, -99999.0, 1e20])
def test_heights_that_stand_for_none_are_refused(tmp_path, none):
    heights = np.random.default_rng(0).normal(0, 2000, 72).round(1)
    (tmp_path / "g.dat").write_text(" ".join(map(str, heights)))
    assert relief.read_grid(tmp_path / "g.dat", 6, 12)[0, 5] == heights[5]
    (tmp_path / "g.dat").write_text(" ".join(map(str, np.where(np.arange(72) == 5, none, heights))))
    with pytest.raises(InputError, match="in 1 cells, far from all others"):
        relief.read_grid(tmp_path / "g.dat", 6, 12)


@pytest.mark.parametrize("head", ["# l D_l", "#l D_l", "  # l", "l D_l"])
def test_a_spectrum_may_have_a_header(tmp_path, head):
    (tmp_path / "cl.txt").write_text(f"{head}\n2 1000.0\n3 900.0\n")
    np.testing.assert_array_equal(sky.read_spectrum(tmp_path / "cl.txt"), [[2, 1000], [3, 900]])
