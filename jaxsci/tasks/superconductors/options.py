"""The options of `jaxsci train superconductors` and `jaxsci predict superconductors`: fields are options, docstrings the help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import arg


@dataclass(frozen=True)
class Options:
    """Critical temperatures of compositions, or whether they superconduct (`jaxsci data fetch superconductors`, `elements`)."""

    target: Literal["tc", "class"] = "tc"
    """tc: the temperature; class: superconductor or not."""
    split: Literal["random", "composition", "system"] = "random"
    """How the test split is drawn: material by material as published; whole compositions; or all materials of the same elements."""
    model: Literal["best", "published"] = "best"
    """published: the Deep Set of npj Comput. Mater. 9, 71, with its training; a member takes a minute per epoch on a slow machine."""
    members: int = 20
    """Trainings with different seeds, whose predictions are averaged."""
    influence: int = 10
    """Trainings of the small network whose latent numbers paint the periodic table; 0 leaves the map out."""
    table: Literal["stanev", "nims"] = "stanev"
    """SuperCon as cleaned by Stanev et al., or as exported."""
    more: bool = True
    """Use the compositions that only the export has, too: for Tc in the training split alone, and not with --model published."""
    data: Path | None = None
    """Your own table of measured superconductors instead of SuperCon: columns such as `formula` and `Tc` in K."""
    formula_column: Annotated[str | None, arg(metavar="NAME")] = None
    """Name of the column of formulas in --data; default: found by its usual names."""
    tc_column: Annotated[str | None, arg(metavar="NAME")] = None
    """Name of the column of critical temperatures in K in --data; default: found by its usual names."""
    epochs: Annotated[int | None, arg(metavar="N")] = None
    """Passes over the training materials at most; default: 40 for Tc, 10 for classes, 60 for the published model."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """Materials per step; default: 128 for Tc, 256 for classes, 32 for the published model."""
    prior: Annotated[float | None, arg(metavar="FRACTION")] = None
    """Fraction of superconductors among the materials to predict, which sets probabilities and threshold; default: that of the data."""
    seed: int = 42
    """Of the split, the initial weights and the order."""

    @property
    def unused(self) -> dict[str, str]:
        """Options that have no effect beside the others, by the names of their fields, and with or without what."""
        own = self.data is not None
        alone = own or self.table == "nims" or self.model == "published"  # without the compositions of the other table
        return {
            **({"table": "with --data"} if own else {}),
            **({"more": "with --data, --table nims or --model published"} if alone else {}),
        }


@dataclass(frozen=True)
class Questions:
    """Tc or probability of formulas, with interval, nearest known material and contributions; also written `predict superconductors`."""

    formulas: Annotated[tyro.conf.Positional[tuple[str, ...]], arg(metavar="FORMULA ...", help_behavior_hint="")]
    """Formulas such as MgB2 YBa2Cu3O7, or one table of them (.csv, .tsv, .txt)."""
    run: Annotated[tuple[Path, ...], arg(metavar="RUN ...")]
    """Run folder; two to have Tc and probability together."""
    out: Path | None = None
    """.csv, .npz or .h5 to write, for a table; without it the predictions are printed."""
    skip_bad: bool = False
    """Go on without formulas that cannot be read, and count them."""
    contributions: bool = False
    """Contributions of the elements for a table too, which takes several times as long."""
