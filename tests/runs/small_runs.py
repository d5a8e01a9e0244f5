"""Small runs of every task that trains: data of a few rows, and the words that train on them."""

import numpy as np

from jaxsci.data import jets
from tests.tasks.superconductors.superconductor_files import write_tables

TRAIN = {
    "table": ["--data", "t.csv", "--target", "y", "--members", "2", "--epochs", "1"],
    "images": ["--data", "x.npz", "--model", "dense", "--epochs", "1"],
    "top-tagging": ["--tagger", "mass", "--max-jets", "200", "--epochs", "1"],
    "anomalies": ["--max-jets", "300", "--normal", "qcd", "--epochs", "1"],
    "superconductors": ["--members", "2", "--epochs", "1", "--influence", "0"],
}
EXAMPLES = {"table": "t.csv", "images": "x.npz", "superconductors": "formulas.csv"}


def write_examples(folder):
    """The files that TRAIN and EXAMPLES name, and the published tables in the folder `data`."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 90))
    kind = np.where(x * y > 0, "a", "b")
    rows = zip(x, y, kind, strict=True)
    (folder / "t.csv").write_text("x,y,kind\n" + "".join(f"{a},{b},{k}\n" for a, b, k in rows))
    np.savez(folder / "x.npz", x=rng.integers(256, size=(60, 8, 8), dtype=np.uint8), y=np.arange(60) % 2)
    (folder / "formulas.csv").write_text("formula\nNb3Sn\n")
    sample = jets.read(jets.embedded(), limit=50)
    np.savez(folder / "jets.npz", constituents=sample.constituents, labels=sample.labels)
    write_tables(folder / "data")
