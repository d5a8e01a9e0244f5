"""Columns and arrays that are weights of pairs or images, by their names and shapes."""

import awkward as ak
import numpy as np
import pytest
import uproot

from jaxsci.data import dimuons, images
from jaxsci.data.reading import is_weight_name
from jaxsci.errors import InputError


def save(path, table):
    np.savez(path, **table)
    return path


WEIGHTS = (
    *(
        "weight",
        "w",
        "W",
        "wgts",
        "mcEventWeight",
        "puWeight",
        "genWeight",
        "event_weight",
        "sample_weight",
        "EventWeight",
    ),
    *("weight_mc", "XSecWeight", "lumi-weight", "evt_wt", "weight1", "sampleweight", "LHEWeight_originalXWGTUP"),
    *(
        "class_weight",
        "class_weights",
        "classWeight",
        "loss_weight",
        "mg_weight",
        "weight_mg",
        "jet_w",
        "xsec_w",
        "lumi_w",
    ),
    "L1PreFiringWeight_Nom",
)


NO_WEIGHTS = (
    *("x", "weight_kg", "birthWeight", "molecular_weight", "bodyweight", "weight_loss", "kW", "wt", "wt_pct", "mass_W"),
    *("underweight", "weighted", "window", "Weight(kg)", "lightweight", "vehicle_weight", "net_weight", "weight_class"),
    *(
        "weightError",
        "weight_err",
        "weight_systematic_index",
        "nPSWeight",
        "weight_type",
        "sum_weights",
        "weight_decay",
    ),
    *("puWeightUp", "puWeightDown", "L1PreFiringWeight_Dn"),
)


def test_weights_are_known_by_their_names():
    assert all(map(is_weight_name, WEIGHTS))
    assert not any(map(is_weight_name, NO_WEIGHTS))


@pytest.mark.parametrize("name", ["mcEventWeight", "puWeight", "event_weight", "sample_weight", "lumiWeight"])
@pytest.mark.parametrize("suffix", ["npz", "csv", "root"])
def test_pairs_have_weights_by_any_usual_name(name, suffix, tmp_path):
    path, table = tmp_path / f"p.{suffix}", {"M": np.array([91.0, 90, 89]), name: np.array([1.0, 0.5, 2.0])}
    if suffix == "npz":
        save(path, table)
    elif suffix == "csv":
        np.savetxt(path, np.stack(list(table.values()), 1), delimiter=",", header=",".join(table), comments="")
    else:
        with uproot.recreate(path) as file:
            file["t"] = table
    read = dimuons.read(path)
    np.testing.assert_array_equal(read.weight, table[name])
    assert read.unused == ()


def test_of_several_weights_one_may_differ(tmp_path):
    table = {"M": np.array([91.0, 90, 89]), "genWeight": np.full(3, 0.5), "puWeight": np.array([1.0, 2, 3])}
    np.testing.assert_array_equal(dimuons.read(save(tmp_path / "p.npz", table)).weight, table["puWeight"])
    with pytest.raises(InputError, match="expected one column of weights, got puWeight and mcWeight; remove those"):
        dimuons.read(save(tmp_path / "p.npz", {**table, "mcWeight": np.array([1.0, 1, 2])}))
    with pytest.raises(InputError, match="of one length"):
        dimuons.read(save(tmp_path / "p.npz", {"M": table["M"], "puWeight": np.ones(2)}))


@pytest.mark.parametrize(
    ("others", "weight", "unused"),
    [
        ({"weightError": [0.1, 0.2, 0.3], "nPSWeight": [4, 4, 5], "weight_type": ["nominal"] * 3}, None, 3),
        ({"pdf_weights": np.ones((3, 5)), "sum_weights": np.array(7.0), "weight": np.array(7.0)}, None, 3),
        ({"puWeight": np.full(3, np.nan), "puWeightUp": [1, 2, 3], "puWeightDown": [3, 2, 1]}, None, 3),
        ({"genWeight": [1.0, 2, 3], "Generator_weight": [1.0, 2, 3]}, [1, 2, 3], 0),
        (
            {f"L1PreFiringWeight_{w}": np.arange(3) + i for i, w in enumerate(("Nom", "Up", "Dn"))}
            | {"genWeight": np.ones(3)},
            [0, 1, 2],
            2,
        ),
    ],
)
def test_columns_about_weights_are_none(others, weight, unused, tmp_path):
    read = dimuons.read(save(tmp_path / "p.npz", {"M": np.array([91.0, 90, 89]), **others}))
    np.testing.assert_array_equal(read.weight, weight)
    assert len(read.unused) == unused


def test_lists_of_weights_are_variations(tmp_path):
    path = tmp_path / "p.root"
    with uproot.recreate(path) as file:
        file["t"] = {"M": np.array([91.0, 90]), "genWeight": np.ones(2), "pdfWeight": ak.Array([[1.0, 2.0], [3.0]])}
    read = dimuons.read(path)
    np.testing.assert_array_equal(read.weight, [1, 1])
    assert read.unused == ("pdfWeight",)


def test_a_list_of_one_weight_a_row_is_a_weight(tmp_path):
    path = tmp_path / "p.root"
    with uproot.recreate(path) as file:
        file["t"] = {"M": np.array([91.0, 90]), "w": np.array([[1.0], [2.0]])}
    np.testing.assert_array_equal(dimuons.read(path).weight, [1, 2])


def test_weights_are_read_and_checked(tmp_path):
    table = {"M": np.array([91.0, 90, 89]), "weight": np.array([1.0, 0.5, 0.0])}
    np.testing.assert_array_equal(dimuons.read(save(tmp_path / "p.npz", table)).weight, table["weight"])
    assert dimuons.read(save(tmp_path / "q.npz", {"M": table["M"]})).weight is None
    for bad, message in (
        ([1, -1, 1], "got -1.0 in row 1 .*choose a sample without negative ones"),
        ([0, 0, 0], "got zeros only"),
    ):
        with pytest.raises(InputError, match=message):
            dimuons.read(save(tmp_path / "p.npz", {**table, "weight": np.array(bad)}))
    with pytest.raises(InputError, match="up to 14,000, got 91000"):
        dimuons.read(save(tmp_path / "p.npz", {"M": 1000 * table["M"]}))


@pytest.mark.parametrize(
    ("name", "values", "refused"),
    [
        *((name, np.ones(6), True) for name in ("class_weight", "loss_weight", "sample_weight", "w")),
        ("class_weights", np.ones(2), True),
        *((name, np.array(28), False) for name in ("w", "h", "weight_decay")),
        ("W", np.ones((64, 2)), False),
    ],
)
def test_a_number_for_each_image_may_be_a_weight(name, values, refused, tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(6 * 64, dtype=np.uint16).reshape(6, 8, 8), y=np.arange(6) % 2, **{name: values})
    if refused:
        with pytest.raises(InputError, match=f"got {name} too, which is not read"):
            images.read(path)
    else:
        assert len(images.read(path).x) == 6
        assert images.unused(path) == [name]
