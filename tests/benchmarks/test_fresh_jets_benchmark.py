"""Ratios of rejections on fresh jets: cuts as those of the metrics, intervals that hold the truth, jets told from known ones."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import fresh_jets, tagger_tables, taggers
from jaxsci import metrics
from jaxsci.data import jets
from jaxsci.errors import InputError

RNG = np.random.default_rng(0)
LABELS = (np.arange(4000) < 2000).astype(np.uint8)


def scores(separation, count=3):
    """Log odds of trainings, rounded so that some are equal."""
    return np.round(RNG.normal(LABELS * separation, 1, (count, len(LABELS))), 2).astype(np.float32)


def test_cuts_are_those_of_the_metrics():
    logits = scores(1.5, count=1)[0]
    point = jax.jit(metrics.working_point)(
        jnp.asarray(logits), jnp.asarray(LABELS, jnp.int32), signal_efficiency=jnp.asarray(fresh_jets.EFFICIENCIES)
    )
    found = fresh_jets.passing(fresh_jets.rank(logits, LABELS), np.ones(len(LABELS), np.int64))
    np.testing.assert_allclose(found, point.background_efficiency, rtol=1e-6)


def test_jets_drawn_twice_count_twice():
    logits, drawn = scores(1.5, count=1)[0], RNG.integers(0, 3, len(LABELS))
    again = np.repeat(np.arange(len(LABELS)), drawn)
    ranked = fresh_jets.rank(logits[again], LABELS[again])
    expected = fresh_jets.passing(ranked, np.ones(len(again), np.int64))
    np.testing.assert_allclose(fresh_jets.passing(fresh_jets.rank(logits, LABELS), drawn), expected, rtol=1e-12)


def test_ratios_are_1_for_the_same_and_their_intervals_hold_those_of_gaussians():
    pfn = scores(1.5)
    found = fresh_jets.ratios({"pfn": pfn, "same": pfn[:1], "better": scores(2.2)}, LABELS, "pfn", number=200)
    assert set(found) == {"same", "better"}
    # Of normal scores, the cut at half of the signal is their mean: the background passes by its upper tail.
    tail = [0.0668072, 0.0139034]  # of a normal distribution, above 1.5 and 2.2
    better = found["better"][1]
    assert better["0.95"][0] < tail[0] / tail[1] < better["0.95"][1]
    assert better["0.95"][0] < better["0.68"][0] < better["value"] < better["0.68"][1] < better["0.95"][1]
    assert better["above_2"] > 0.9
    assert found["same"][1]["0.95"][0] < 1 < found["same"][1]["0.95"][1]


def test_nothing_that_passes_is_an_infinite_ratio_and_said():
    perfect = np.where(LABELS == 1, 1.0, -1.0).astype(np.float32)[None]
    (ratio, _) = fresh_jets.ratios({"pfn": scores(0.5), "perfect": perfect}, LABELS, "pfn", number=20)["perfect"]
    assert ratio["value"] is None
    assert "infinity" in tagger_tables._ratio(ratio)
    (ratio, _) = fresh_jets.ratios({"pfn": perfect, "perfect": perfect}, LABELS, "pfn", number=20)["perfect"]
    assert (ratio["value"], ratio["0.68"]) == (None, [0, None])
    assert "unknown" in tagger_tables._ratio(ratio)


def test_jets_of_the_package_are_found_again():
    known = jets.read(jets.embedded(), limit=300)
    half = known._replace(constituents=known.constituents[:100] * np.float32(1 + 1e-5), labels=known.labels[:100])
    rest = known._replace(constituents=known.constituents[100:], labels=known.labels[100:])
    found = fresh_jets.agreement(half, known)
    assert found["shared"] == 100
    assert fresh_jets.agreement(half, rest)["shared"] == 0
    assert min(min(tests.values()) for tests in found["p_values"].values()) > 1e-3


def test_a_jet_without_mass_is_found_again():
    known = {"phi": np.array([0.1, 0.2]), "eta": np.zeros(2), "pt": np.full(2, 600.0), "mass": np.array([0.0, 100.0])}
    assert fresh_jets.shared(known, known) == 2
    assert fresh_jets.shared({**known, "mass": np.array([50.0, 50.0])}, known) == 0


def keep(path, sample):
    """Log odds of these jets, as `benchmarks.taggers` keeps them."""
    logits = RNG.normal(sample.labels, 1).astype(np.float32)
    np.savez(path, fresh=logits, **{taggers.DIGEST: np.array(taggers.digest(sample))})


def test_trainings_of_a_folder_join_the_page(tmp_path):
    sample = jets.read(jets.embedded(), limit=400)
    file, folder = tmp_path / "fresh.npz", tmp_path / "logits"
    np.savez(file, constituents=sample.constituents, labels=sample.labels)
    folder.mkdir()
    with pytest.raises(InputError, match="expected log odds of fresh jets, got none"):
        fresh_jets.main([str(file), str(folder)])
    for name, seed in (("pfn", 1), ("pfn", 2), ("pelican-10k", 1)):
        keep(folder / f"{name}-{seed}.npz", jets.read(file))
    fresh_jets.main([str(file), str(folder), "--resamples", "20", "--out", str(tmp_path)])
    found = json.loads((tmp_path / "taggers.json").read_text())["fresh"]
    assert (found["jets"], found["shared"]) == (400, 400)
    assert {name: len(runs) for name, runs in found["taggers"].items()} == {
        "pfn": 2,
        "pelican-10k": 1,
        "pfn, 2 together": 1,
    }
    page = (tmp_path / "taggers.md").read_text()
    assert "400 of them are among the jets of the package" in page
    assert sum(line.startswith(("| pfn", "| pelican-10k")) for line in page.splitlines()) == 3
    others = jets.read(file)
    keep(folder / "pfn-3.npz", others._replace(constituents=others.constituents[::-1], labels=others.labels))
    with pytest.raises(InputError, match=r"pfn-3\.npz: expected log odds of these jets, got those of 400 others"):
        fresh_jets.main([str(file), str(folder)])
    np.savez(folder / "pfn-3.npz", fresh=np.zeros(400, np.float32))
    with pytest.raises(InputError, match=r"pfn-3\.npz: expected .* got ones that do not say of which jets"):
        fresh_jets.main([str(file), str(folder)])
