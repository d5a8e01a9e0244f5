"""Sky maps that are nearly right: read as meant, or refused in one line."""

import re

import numpy as np
import pytest

from jaxsci.data.sphere import polarization, sky
from jaxsci.errors import InputError

MAP = np.arange(192) * 0.5 - 40


def _map(path, header=(), null=None, values=MAP, first=None, **column):
    fits = pytest.importorskip("astropy.io.fits")
    named = [] if first is None else [fits.Column(name=first, format="J", array=np.arange(192))]
    table = fits.BinTableHDU.from_columns(
        [*named, fits.Column(array=values, null=null, **{"name": "T", "format": "D", "unit": "uK", **column})]
    )
    table.header.update({"ORDERING": "RING", "NSIDE": 4, **dict(header)})
    table.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("name", ["MYPIX", "pixel_number", "hpix"])
def test_a_column_that_counts_the_pixels_is_no_map(tmp_path, name):
    np.testing.assert_array_equal(sky.read_map(_map(tmp_path / "m.fits", first=name)).values, MAP)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "J", "null": -9999, "header": {"TSCAL1": 0.5, "TZERO1": 3.0}},
        {"format": "J", "header": {"BLANK": -9999}},
        {"header": {"BLANK": -9999}},
    ],
)
def test_sentinels_are_compared_as_they_are_stored(tmp_path, change):
    values = np.where(np.arange(192) < 5, -9999, np.arange(192))
    assert np.isnan(sky.read_map(_map(tmp_path / "m.fits", values=values, **change)).values).sum() == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.where(np.arange(192) < 5, -9999.0, MAP)}, "got -9999 in 5 pixels, far from all others"),
        ({"values": np.where(np.arange(192) < 5, 1e20, MAP)}, r"got 1e\+20 in 5 pixels"),
        ({"name": "N_OBS"}, "in the column that comes first, got N_OBS"),
        ({"name": "Q_POLARISATION"}, "got Q_POLARISATION"),
        ({"header": {"NSIDE": 4.5}}, "a whole number NSIDE, got '4.5'"),
        ({"header": {"BUNIT": "K"}}, "one unit of T, got K and uK"),
    ],
)
def test_maps_that_cannot_be_known_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        sky.read_map(_map(tmp_path / "m.fits", **change))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"nest": True}, "got nest too"),
        ({"mask": MAP > 0}, "got mask too"),
        ({"units": "K"}, "got units too"),
        ({"nside": [4, 8]}, "one entry in nside"),
        ({"frame": "sky"}, "the frame G, C or E, got 'sky'"),
    ],
)
def test_arrays_beside_a_map_are_understood_or_refused(tmp_path, extra, message):
    np.savez(tmp_path / "m.npz", map=MAP, **extra)
    with pytest.raises(InputError, match=message):
        sky.read_map(tmp_path / "m.npz")


@pytest.mark.parametrize("value", [0.0, 1e-30, -5.5])
def test_a_value_that_alone_stands_in_many_pixels_was_not_measured(value):
    noise = np.random.default_rng(0).normal(size=768)
    sky.require_measured("m", noise)
    sky.require_measured("m", np.where(np.arange(768) < 3, value, noise))
    sky.require_measured("m", np.round(5 * noise))
    sky.require_measured("m", np.full(768, np.nan))
    with pytest.raises(
        InputError,
        match="in 60 pixels and at most one other so often; mark them as UNSEEN, or leave them out by --mask",
    ):
        sky.require_measured("m", np.where(np.arange(768) < 60, value, noise))
    with pytest.raises(InputError, match="in 230 pixels"):  # beside another one in 31
        sky.require_measured("m", np.select([np.arange(768) < 230, np.arange(768) < 261], [value, 7.0], noise))


@pytest.mark.parametrize(("key", "word"), [("PIXTYPE", "ECP"), ("INDXSCHM", "SPARSE")])
def test_pixels_of_another_kind_are_refused(tmp_path, key, word):
    with pytest.raises(InputError, match=f"expected {key} .*, got {word}; convert the map"):
        sky.read_map(_map(tmp_path / "m.fits", {key: word}))


def test_a_mask_of_nothing_and_almost_everything_has_no_sentinel(tmp_path):
    values = np.where(np.arange(192) < 40, 0.0, np.where(np.arange(192) < 50, 0.9375, 1.0))
    np.savez(tmp_path / "m.npz", map=values)
    assert sky.read_mask(tmp_path / "m.npz", 4).tolist() == (values > 0).tolist()


def test_a_mask_in_other_coordinates_is_refused(tmp_path):
    path = _map(tmp_path / "m.fits", {"COORDSYS": "GALACTIC"}, values=np.ones(192))
    assert sky.read_mask(path, 4, "G").all()
    assert sky.read_mask(path, 4).all()
    with pytest.raises(InputError, match="in the coordinates C of the map, got G"):
        sky.read_mask(path, 4, "C")


def _file(path, primary, columns, **header):
    """A FITS file whose own header says something too."""
    fits = pytest.importorskip("astropy.io.fits")
    table = fits.BinTableHDU.from_columns([fits.Column(name, "D", "uK", array=values) for name, values in columns])
    table.header.update({"NSIDE": 4, **header})
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(primary)), table]).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("primary", [False, True])
@pytest.mark.parametrize(
    ("first", "last"), [(0, 191), ("0", 191.0), (None, 191), (1, 192), (0, -1), (-1, -1), ("", 191), (0, 190), (0, 767)]
)
def test_the_first_and_last_pixel_of_a_header_are_those_of_the_map(tmp_path, first, last, primary):
    said = {key: value for key, value in (("FIRSTPIX", first), ("LASTPIX", last)) if value is not None}
    path = _file(
        tmp_path / "m.fits", said if primary else {}, [("T", MAP)], ORDERING="RING", **({} if primary else said)
    )
    if last not in (190, 767):
        np.testing.assert_array_equal(sky.read_map(path).values, MAP)
        return
    with pytest.raises(InputError, match=r"expected pixels 0 to \d+ as FIRSTPIX and LASTPIX say, got 192"):
        sky.read_map(path)


def test_the_last_pixel_of_a_list_may_count_its_rows(tmp_path):
    columns = [("PIXEL", np.arange(50, 151)), ("T", MAP[:101])]
    path = _file(tmp_path / "m.fits", {}, columns, INDXSCHM="EXPLICIT", ORDERING="RING", FIRSTPIX=0, LASTPIX=100)
    assert np.isfinite(sky.read_map(path).values).sum() == 101


def test_what_only_the_header_of_the_file_says_holds_too(tmp_path):
    values = np.where(np.arange(192) < 5, -77, MAP)
    read = sky.read_map(
        _file(tmp_path / "m.fits", {"ORDERING": "RING", "BAD_DATA": -77, "COORDSYS": "G"}, [("T", values)])
    )
    assert np.isnan(read.values).sum() == 5
    assert read.frame == "G"


@pytest.mark.parametrize(
    ("primary", "columns", "message"),
    [
        ({"ORDERING": "NESTED"}, [("T", MAP)], "one ORDERING, got NESTED of the file and RING of the table"),
        ({"BUNIT": "K"}, [("T", MAP)], "one unit of T, got K and uK"),
        ({"INDXSCHM": "EXPLICIT"}, [("NUMBER", np.arange(192) // 2), ("T", MAP)], "expected each pixel once"),
        ({"OBJECT": "PARTIAL"}, [("NUMBER", np.arange(192) // 2), ("T", MAP)], "expected each pixel once"),
        ({"BAD_DATA": "none"}, [("T", MAP)], "a number that marks bad pixels, BAD_DATA or BLANK, got 'none'"),
        ({}, [("T", MAP), ("PIXEL", np.arange(192)[::-1])], "in the first column, got PIXEL after T; put it first"),
        ({}, [("NUMBER", np.arange(192) + 1), ("T", MAP)], "numbers of pixels of NSIDE 4, got 192"),
        ({}, [("T", np.where(np.arange(192) == 5, -1e20, MAP))], r"got -1e\+20 in 1 pixels"),
        ({}, [("TMASK", MAP > 0), ("T", MAP)], "0 and 1 alone; is this a mask"),
    ],
)
def test_headers_and_columns_that_contradict_are_refused(tmp_path, primary, columns, message):
    with pytest.raises(InputError, match=message):
        sky.read_map(_file(tmp_path / "m.fits", primary, columns, ORDERING="RING"))


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("ORDERING", "NEST", "nested"),
        ("COORDSYS", "G", "GALACTIC"),
        ("COORDSYS", "GAL", "Galactic"),
        ("COORDSYS", "C", "CELESTIAL"),
        ("BUNIT", "uK", "uK_CMB"),
        ("NSIDE", 4.0, 4),
        ("BAD_DATA", -99, -99.0),
        ("OBJECT", "FULLSKY", "CMB"),
    ],
)
def test_headers_that_agree_in_other_words_are_read(tmp_path, key, first, second):
    for one, other in ((first, second), (second, first)):
        path = _file(tmp_path / "m.fits", {key: one}, [("T", MAP)], **{"ORDERING": "NESTED", key: other})
        assert np.sort(sky.read_map(path).values).tolist() == MAP.tolist()


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("ORDERING", "RING", "NESTED"),
        ("COORDSYS", "G", "C"),
        ("COORDSYS", "ECLIPTIC", "EQUATORIAL"),
        ("BUNIT", "10^-3 K", "10^-6 K"),
        ("BUNIT", "mK", "MK"),
        ("NSIDE", 1024, 10240),
        ("BAD_DATA", -9990, -9999),
        ("INDXSCHM", "IMPLICIT", "EXPLICIT"),
        ("OBJECT", "PARTIAL", "FULLSKY"),
    ],
)
def test_headers_that_differ_in_meaning_are_refused(tmp_path, key, first, second):
    path = _file(tmp_path / "m.fits", {key: first}, [("T", MAP)], **{"ORDERING": "RING", key: second})
    message = f"one {key}, got {first} of the file and {second} of the table"
    with pytest.raises(InputError, match=re.escape(message)):
        sky.read_map(path)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float64])
def test_an_index_with_gaps_is_one_and_needs_an_nside(tmp_path, kind):
    fits = pytest.importorskip("astropy.io.fits")
    pixels = np.random.default_rng(0).choice(3072, 192, replace=False).astype(kind)
    code = {np.int32: "J", np.int64: "K", np.float64: "D"}[kind]
    columns = [fits.Column("NUMBER", code, array=pixels), fits.Column("T", "D", array=MAP)]
    table = fits.BinTableHDU.from_columns(columns, header=fits.Header({"ORDERING": "RING"}))
    table.writeto(tmp_path / "m.fits")
    with pytest.raises(InputError, match="the NSIDE of a list of pixels, got none"):
        sky.read_map(tmp_path / "m.fits")
    table.header["NSIDE"] = 16
    table.writeto(tmp_path / "m.fits", overwrite=True)
    read = sky.read_map(tmp_path / "m.fits")
    assert read.nside == 16
    np.testing.assert_array_equal(read.values[pixels.astype(int)], MAP)
    assert np.isfinite(read.values).sum() == 192


def test_an_index_in_any_order_and_of_any_name_is_one(tmp_path):
    order = np.random.default_rng(0).permutation(192)
    path = _file(tmp_path / "m.fits", {}, [("NUMBER", order), ("T", MAP[order])], ORDERING="RING")
    np.testing.assert_array_equal(sky.read_map(path).values, MAP)


@pytest.mark.parametrize("unit", ["MJy/sr", "K_RJ", "MK_RJ", "mK,antenna", "uK^2", "K (brightness)", "uK.deg", "degC"])
def test_a_unit_of_another_kind_is_no_temperature_whatever_is_asked_for(unit):
    with pytest.raises(InputError, match="convert the map"):
        sky.in_microkelvin(sky.SkyMap(MAP, 4, unit), "m.fits", unit="uK")
    assert sky.in_microkelvin(sky.SkyMap(MAP, 4, "K(CMB)"), "m.fits")[0] == -40e6


@pytest.mark.parametrize(("unit", "scale"), [("degK", 1e6), ("deg K", 1e6), ("degree Kelvin", 1e6), ("mdegK", 1e3)])
def test_degrees_kelvin_are_kelvin(unit, scale):
    np.testing.assert_array_equal(sky.in_microkelvin(sky.SkyMap(MAP, 4, unit), "m.fits"), MAP * scale)


def test_two_tables_of_the_same_columns_are_refused(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    path = _file(tmp_path / "m.fits", {}, [("T", MAP)], ORDERING="RING")
    with fits.open(path) as file:
        fits.HDUList([*file, file[1].copy()]).writeto(tmp_path / "two.fits")
    with pytest.raises(InputError, match="expected one table of maps, got 2 with the columns T; keep one"):
        sky.read_map(tmp_path / "two.fits")


def test_cards_without_a_value_say_nothing(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    path = _map(tmp_path / "m.fits", {"COORDSYS": "G"})
    with fits.open(path, mode="update") as file:
        for key in ("COORDSYS", "ORDERING", "BAD_DATA", "NSIDE"):
            file[0].header[key] = fits.card.Undefined()
        file[1].header["BAD_DATA"] = fits.card.Undefined()
    found = sky.read_map(path)
    np.testing.assert_array_equal(found.values, MAP)
    assert found.frame == "G"


@pytest.mark.parametrize("sentinel", ["-1,5", "bad", "1_0 0"])
def test_a_sentinel_that_is_no_number_is_refused(tmp_path, sentinel):
    with pytest.raises(InputError, match="expected a number that marks bad pixels"):
        sky.read_map(_map(tmp_path / "m.fits", {"BAD_DATA": sentinel}))


@pytest.mark.parametrize(("unit", "agree"), [("uK", True), ("uK_CMB", True), ("mK", False)])
def test_q_and_u_are_in_one_unit_however_it_is_written(tmp_path, unit, agree):
    fits = pytest.importorskip("astropy.io.fits")
    units = {"TEMPERATURE": "uK", "Q_POLARISATION": "uK", "U_POLARISATION": unit}
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name=name, format="D", unit=unit, array=MAP) for name, unit in units.items()]
    )
    table.header.update({"ORDERING": "RING", "NSIDE": 4, "POLCCONV": "COSMO"})
    table.writeto(tmp_path / "m.fits")
    if agree:
        np.testing.assert_array_equal(polarization.read_polarization(tmp_path / "m.fits", None).u.values, MAP)
    else:
        with pytest.raises(InputError, match="expected Q and U in one unit, got uK and mK"):
            polarization.read_polarization(tmp_path / "m.fits", None)
