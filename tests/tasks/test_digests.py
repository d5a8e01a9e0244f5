"""The digest by which runs on the same data are known: another for any change of what was read."""

from pathlib import Path

import numpy as np

from jaxsci.data.materials.compositions import encode
from jaxsci.data.materials.formula import parse
from jaxsci.tasks.cmb import task as cmb
from jaxsci.tasks.cmb.sky_fit import Sky
from jaxsci.tasks.superconductors import inputs, samples
from jaxsci.tasks.superconductors.options import Options


def test_maps_and_masks():
    def digest(keep, values):
        keep = np.array(keep, bool)
        seen = Sky(1, keep, np.array(values, np.float64), noise=5.0)
        return cmb.describe(cmb.Files(Path("sky.fits"), None, "mK", "none", None), seen)["digest"]

    first = digest([1, 1, 0, 1], [1.0, 2.0, 3.0])
    assert first == digest([1, 1, 0, 1], [1.0, 2.0, 3.0])
    assert first != digest([1, 1, 0, 1], [1.0, 2.0, 3.5])
    assert first != digest([1, 0, 1, 1], [1.0, 2.0, 3.0])  # the same values at other places


def test_tables_of_materials():
    def digest(formulas, tc):
        tc = np.array(tc, np.float32)
        splits = (np.array([0]), np.array([1]), np.array([2]))
        none = np.zeros(len(tc), bool)
        sample = samples.Sample(
            np.array(formulas), encode([parse(text) for text in formulas]), tc, splits, None, {}, None, none
        )
        sources = samples.Sources(Path("table.csv"), "own")
        files = inputs.Files(sources, Path("elements.csv"))
        job = inputs.Job(Options(), files, sample, np.zeros((0, 0)), None, None)
        return inputs.described(job)["digest"]

    first = digest(["Nb3Sn", "MgB2", "Hg"], [18.0, 39.0, 4.2])
    assert first == digest(["Nb3Sn", "MgB2", "Hg"], [18.0, 39.0, 4.2])
    assert first != digest(["Nb3Ge", "MgB2", "Hg"], [18.0, 39.0, 4.2])  # other compositions, the same labels
    assert first != digest(["Nb3Sn", "MgB2", "Hg"], [18.0, 39.0, 4.3])
