"""The options of `jaxsci train anomalies`: its fields are the options, their docstrings the help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

# The table of detectors, each "module:function", where function() gives a `detectors.Detector`.
DETECTORS = {
    "mixture": "jaxsci.tasks.anomalies.detectors:mixture",
    "nae": "jaxsci.tasks.anomalies.normalized:of_observables",
    "wnae": "jaxsci.tasks.anomalies.normalized:of_observables_by_transport",
    "nae-images": "jaxsci.tasks.anomalies.normalized:of_images",
    "nae-constituents": "jaxsci.tasks.anomalies.normalized:of_constituents",
    "autoencoder": "jaxsci.tasks.anomalies.image_detectors:autoencoder",
    "variational": "jaxsci.tasks.anomalies.image_detectors:variational",
}
CLASSES = ("qcd", "top")  # of the labels 0 and 1


@dataclass(frozen=True)
class Options:
    """Find jets that are unlike those learned, in both directions; without --data on 30,000 simulated jets that come with the package."""

    detector: Annotated[str, arg(metavar="{" + ",".join(DETECTORS) + "}")] = "mixture"
    """mixture: Gaussians in eight observables; nae, wnae: normalized autoencoder of them, and its Wasserstein form; nae-images,
    nae-constituents: normalized, of smoothed jets; autoencoder, variational: of jet images."""
    normal: Literal["both", "qcd", "top"] = "both"
    """Which jets to learn; the others are the anomalies. both: one detector for each."""
    data: Path | None = None
    """Your jets: .h5 or .npz with `constituents` [jet, constituent, 4] (E, px, py, pz in GeV) and `labels` (1 top, 0 QCD)."""
    epochs: Annotated[int | None, arg(metavar="N")] = None
    """Passes over the training jets at most; default: 40 for mixture, 40 for nae, 8 for wnae, 20 for nae-images, 20 for nae-constituents,
    8 for autoencoder, 8 for variational."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """Jets a step; default: 256 for mixture, 256 for nae, 128 for wnae, 128 for nae-images, 128 for nae-constituents, 128 for
    autoencoder, 128 for variational."""
    max_jets: Annotated[int | None, arg(metavar="N")] = None
    """Use only N jets, for a quick look."""
    seed: int = 1
    """Of the split, the initial weights and the order."""


def directions(options: Options) -> tuple[str, ...]:
    """The classes that are learned, each in turn."""
    return CLASSES if options.normal == "both" else (options.normal,)
