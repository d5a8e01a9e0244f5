"""The command `jaxsci fit` on small data of the user's own."""

import errno
import json
import os
import shutil

import numpy as np
import pytest

from jaxsci import healpix
from jaxsci.cli.main import main
from tests.command import refused, requests_of


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder, with the data sets inside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXSCI_DATA", str(tmp_path / "data"))


def run(folder, *arguments):
    main(["fit", *arguments])
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64") == 2 * len(list((folder / "figures").iterdir()))
    assert not requests_of(page)
    return json.loads((folder / "evaluation.json").read_text())


def write_spectra(folder):
    """A best fit with two acoustic peaks, and a measurement of it."""
    folder.mkdir(parents=True)
    degree = np.arange(2, 900)
    curve = 1000 + 4000 * np.exp(-(((degree - 220) / 80) ** 2)) + 1500 * np.exp(-(((degree - 540) / 80) ** 2))
    names = "COM_PowerSpect_CMB-{}_R3.01.txt".format
    np.savetxt(folder / names("base-plikHM-TTTEEE-lowl-lowE-lensing-minimum-theory"), np.stack([degree, curve], 1))
    error = np.full(degree.size, 50.0)
    noisy = curve + error * np.random.default_rng(0).normal(size=degree.size)
    np.savetxt(folder / names("TT-full"), np.stack([degree, noisy, error, error], 1))


def test_a_sky_of_your_own(tmp_path, capsys):
    write_spectra(tmp_path / "data" / "sphere")
    nside = 4
    theta, phi = healpix.angles(nside)
    values = 40 * np.sin(theta) ** 2 * np.cos(2 * phi) + 300 + 5 * np.random.default_rng(1).normal(size=theta.size)
    np.savez("mine.npz", map=np.where(abs(np.cos(theta)) < 0.2, np.nan, values), unit="uK")
    arguments = ["cmb", "--data", "mine.npz", "--lmax", "6", "--free", "2", "--simulations", "4", "--noise", "5"]
    planck = ["--theory", "planck", "--model", "dense", "--epochs", "2"]
    result = run(tmp_path / "runs" / "cmb" / "dense-1", *arguments, *planck)
    found = {(c["l"], c["m"]): c for c in result["coefficients"]}
    # sin^2 theta cos 2 phi = 4 sqrt(pi / 15) Y_22; the prior of the degrees that are not fitted is part of the error.
    assert abs(found[2, 2]["value"] - 40 * 4 * np.sqrt(np.pi / 15)) < 4 * found[2, 2]["error"]
    assert [peak["place"] for peak in result["peaks"]] == pytest.approx([220, 540], abs=8)
    assert set(result["comparison"]) == {"harmonics", "dense"}
    shutil.rmtree(tmp_path / "data")  # nothing of it is needed where the prior is the spectrum of the map
    alone = run(tmp_path / "runs" / "cmb" / "harmonics-1", *arguments)
    assert (alone["theory"], alone["peaks"]) == ("map", [])
    found = {(c["l"], c["m"]): c for c in alone["coefficients"]}
    assert abs(found[2, 2]["value"] - 40 * 4 * np.sqrt(np.pi / 15)) < 4 * found[2, 2]["error"]
    page = (tmp_path / "runs" / "cmb" / "harmonics-1" / "report.html").read_text()
    assert "the spectrum of this map itself as their prior" in page
    assert "of Planck 2018" not in page

    assert "got the first again" in refused(capsys, *("fit", *arguments), "--cross", "mine.npz")
    np.savez("nothing.npz", map=np.full_like(values, np.nan), unit="uK")
    line = refused(capsys, *("fit", *arguments), "--cross", "nothing.npz")
    assert "nothing.npz: expected pixels with values" in line
    assert "leave the column out" in refused(capsys, *("fit", *arguments), "--column", "Q")
    assert "at most 2 nside = 8" in refused(capsys, "fit", "cmb", "--data", "mine.npz", "--lmax", "9")
    np.savez("other.npz", map=values)
    assert "no unit; give it with --unit" in refused(capsys, "fit", "cmb", "--data", "other.npz")
    np.savez("mask.npz", map=0 * values)
    line = refused(capsys, "fit", "cmb", "--data", "mine.npz", "--mask", "mask.npz", "--lmax", "6")
    assert "it removes everything" in line
    np.savez("cap.npz", map=np.where(np.cos(theta) > 0.8, values, np.nan), unit="uK")
    line = refused(capsys, "fit", "cmb", "--data", "cap.npz", "--lmax", "6", "--free", "6")
    assert "expected at least as many" in line or "are degenerate: a_" in line
    assert not (tmp_path / "runs" / "cmb" / "harmonics-2").exists()


def test_a_relief_of_your_own(tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(2)
    cosine, sine = (np.tril(rng.normal(size=(9, 9))) for _ in range(2))
    sine[:, 0] = 0
    np.savez("mine.npz", C=cosine, S=sine)
    for whole in (0, 1, 3):  # files that are written before the disk is full: none, config.json, and figures too
        written = iter([None] * whole)

        def fsync(descriptor, written=written):
            if next(written, errno.ENOSPC):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            line = refused(capsys, "fit", "earth", "--data", "mine.npz", "--lmax", "8")
        assert "No space left on device; free some disk space" in line
        assert list((tmp_path / "runs" / "earth").iterdir()) == []
    result = run(
        tmp_path / "runs" / "earth" / "relief-1", "earth", "--data", "mine.npz", "--lmax", "8", "--unit", "mGal"
    )
    page = (tmp_path / "runs" / "earth" / "relief-1" / "report.html").read_text()
    assert "<h1>mine in spherical harmonics</h1>" in page  # of the Earth nothing is known
    assert "Earth" not in page
    assert f"{np.sqrt((cosine**2 + sine**2).sum(1)[1:].sum()):,.4g} mGal" in page
    assert result["round_trip"] < 1e-13
    assert result["spectrum"] == pytest.approx((cosine**2 + sine**2).sum(1))


def test_muon_pairs_of_your_own(tmp_path, capsys):
    rng = np.random.default_rng(3)
    mass = 91.0 + 1.25 * rng.standard_cauchy(600) + 1.5 * rng.normal(size=600)
    np.savez("mine.npz", M=np.concatenate([mass[(mass > 60) & (mass < 120)], rng.uniform(60, 120, 60)]))
    folder = tmp_path / "runs" / "dimuon" / "z-1"
    result = run(folder, "dimuon", "--data", "mine.npz", "--no-radiation", "--simulations", "3")
    values = result["fits"]["no_radiation"]["parameters"]
    for name, truth in (("mass", 91.0), ("width", 2.5), ("resolution", 1.5)):
        assert abs(values[name]["value"] - truth) < 4 * values[name]["error"]
    assert values["mass"]["lower"] < values["mass"]["value"] < values["mass"]["upper"]
    assert "expected two rising masses" in refused(
        capsys, "fit", "dimuon", "--data", "mine.npz", "--window", "90", "80"
    )
    np.savez("weighted.npz", M=np.full(60, 91.0), weight=np.linspace(0.5, 2, 60))
    assert "events of one weight, got weights from 0.5 to 2" in refused(
        capsys, "fit", "dimuon", "--data", "weighted.npz"
    )
    assert "at least 50 muon pairs" in refused(capsys, "fit", "dimuon", "--data", "mine.npz", "--window", "10", "20")
    assert "jaxsci data fetch collider" in refused(capsys, "fit", "dimuon")
