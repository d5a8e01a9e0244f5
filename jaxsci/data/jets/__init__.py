"""Jets: readers of files of jets, their images and features, and a generator."""

from typing import TYPE_CHECKING

from jaxsci._public import on_first_use
from jaxsci.data.jets.sample import (
    JetSample,
    count,
    embedded,
    form,
    mass,
    read,
    require_both_classes,
    rows,
    stream,
    weight_names,
)

if TYPE_CHECKING:
    from jaxsci.data.jets import (
        compact,
        detector,
        features,
        files,
        generate,
        images,
        kinematics,
        observables,
        pythia,
        records,
        reference,
    )

_MODULES = [
    *("compact", "detector", "features", "files", "generate", "images", "kinematics"),
    *("observables", "pythia", "records", "reference"),
]

__all__ = [
    "JetSample",
    "compact",
    "count",
    "detector",
    "embedded",
    "features",
    "files",
    "form",
    "generate",
    "images",
    "kinematics",
    "mass",
    "observables",
    "pythia",
    "read",
    "records",
    "reference",
    "require_both_classes",
    "rows",
    "stream",
    "weight_names",
]

if not TYPE_CHECKING:  # a type checker takes a module with __getattr__ for one that has every name
    __getattr__, __dir__ = on_first_use("jaxsci.data.jets", _MODULES)
