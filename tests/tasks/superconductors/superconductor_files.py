"""Small tables of elements and of superconductors, in the form of the published files."""

import sqlite3

import numpy as np

from jaxsci.data.materials.formula import SYMBOLS
from jaxsci.data.materials.superconductors import FILES


def write_elements(path):
    """A database in the form of mendeleev's, with numbers that mean nothing."""
    from jaxsci.data.materials import elements

    names = [f.name for f in (*elements._STORED, *elements._STORED_EXTENDED)]
    rng = np.random.default_rng(0)
    with sqlite3.connect(path) as db:
        columns = ", ".join(f"{name} REAL" for name in names if name != "atomic_number")
        db.execute(
            "CREATE TABLE elements (atomic_number INTEGER, symbol TEXT, block TEXT, lattice_structure TEXT, "
            f"electronic_configuration TEXT, {columns})"
        )
        db.execute("CREATE TABLE ionizationenergies (atomic_number INTEGER, degree INTEGER, energy REAL)")
        db.execute("CREATE TABLE oxidationstates (atomic_number INTEGER, oxidation_state INTEGER)")
        for i, symbol in enumerate(SYMBOLS[:96]):
            row = (i + 1, symbol, "p", "FCC", "1s2 2s2 2p3", *rng.normal(size=len(names) - 1).tolist())
            db.execute(f"INSERT INTO elements VALUES ({', '.join('?' * len(row))})", row)
            db.executemany("INSERT INTO ionizationenergies VALUES (?, ?, ?)", [(i + 1, k, 5.0 * k) for k in (1, 2, 3)])
            db.executemany("INSERT INTO oxidationstates VALUES (?, ?)", [(i + 1, -1), (i + 1, i % 4)])


def write_tables(folder):
    """Superconductors of copper and oxygen and of niobium; what is presumed to be none has chlorine."""
    place = folder / "superconductors"
    place.mkdir(parents=True)
    rng = np.random.default_rng(1)

    def some(stem, others, number):
        x = rng.uniform(0.1, 1.9, number).round(3)
        return [f"{stem}{value}{other}" for value, other in zip(x, rng.choice(others, number), strict=True)]

    hot = [(text, 60 + 20 * rng.normal()) for text in some("Cu3Ba2O", ["Y", "La", "Bi"], 80)]
    cold = [(text, 9 + rng.normal()) for text in some("Nb", ["Sn", "Ge", "Ti"], 80)]
    rows = [*hot, *cold, *[(text, 0.0) for text in some("Fe", ["Co", "Ni"], 20)]]
    (place / FILES["stanev"]).write_text("name,Tc\n" + "".join(f"{text},{abs(tc):.2f}\n" for text, tc in rows))
    more = "".join(
        f"{i}\t\t{text}\t\tK\t{tc}\t\n" for i, (text, tc) in enumerate([*rows[:9], ("Ti2Nb", 7.0), ("NbO7-Z", 5)])
    )
    head = "1\t4\t6\t67\t85\t92\t198\n" * 2 + "num\tname\telement\tstr3\tutc\ttc\tjournal\n"
    (place / FILES["nims"]).write_text(head + more)
    none = [*some("NaCl", ["K", "Rb"], 80), *some("CH4O", ["N", "S"], 10)]
    (place / FILES["cod"]).write_text("matter \n" + "".join(f"{text} \n" for text in none))
    tested = [*((text, 8.5) for text in some("Nb7Sn", ["Ge"], 6)), *((text, 0) for text in some("Na7Cl", ["K"], 14))]
    (place / FILES["hosono"]).write_text("matter, Tc \n" + "".join(f"{text}, {tc} \n" for text, tc in tested))
    (folder / "elements").mkdir()
    write_elements(folder / "elements" / "mendeleev_v0.6.0_elements.db")


QUICK = ["--members", "2", "--epochs", "2", "--batch-size", "64"]
BAD_TABLES = {  # content of a table, and words of the line that must follow
    "not readable": ("formula\nNb3Sn\nNbx\n", ("row 3", "character 3")),
    "beyond the table": ("formula\nFmO2\n", ("row 2", "up to Cm")),
    "negative": ("formula\nNb-3Sn\n", ("row 2", "character 3")),
    "zero": ("formula\nNb0Sn\n", ("row 2", "above 0")),
    "empty": ("", ("the file is empty",)),
    "no rows": ("formula\n", ("at least one formula",)),
    "mixed encodings": (b"formula\nNb3Sn\nNb\xb3\n", ("row 3", "UTF-8")),
}
