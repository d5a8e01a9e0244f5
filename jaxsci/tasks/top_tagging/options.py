"""The options of `jaxsci train top-tagging`: its fields are the options, their docstrings the help."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from tyro.conf import arg

# The table of taggers, each "module:function", where function(spec) gives the `taggers.Tagger` for a `taggers.Spec`.
TAGGERS = {
    "cnn": "jaxsci.tasks.top_tagging.taggers:cnn",
    "cnn-landscape": "jaxsci.tasks.top_tagging.taggers:cnn_landscape",
    "pfn": "jaxsci.tasks.top_tagging.taggers:pfn",
    "efn": "jaxsci.tasks.top_tagging.taggers:efn",
    "pfn-attention": "jaxsci.tasks.top_tagging.taggers:pfn_attention",
    "efn-attention": "jaxsci.tasks.top_tagging.taggers:efn_attention",
    "pelican": "jaxsci.tasks.top_tagging.taggers.pairwise:pelican",
    "pelican-10k": "jaxsci.tasks.top_tagging.taggers.pairwise:pelican_10k",
    "pelican-rest": "jaxsci.tasks.top_tagging.taggers.rest_frame:pelican_rest",
    "particlenet": "jaxsci.tasks.top_tagging.taggers.pairwise:particle_net",
    "particlenet-batch": "jaxsci.tasks.top_tagging.taggers.pairwise:particle_net_batch",
    "part": "jaxsci.tasks.top_tagging.taggers.pairwise:part",
    "topodnn": "jaxsci.tasks.top_tagging.taggers:topodnn",
    "mass": "jaxsci.tasks.top_tagging.taggers:mass",
}
DEFAULT = "cnn"
CLASSES: tuple[str, ...] = ("QCD", "top")  # names of the labels 0 and 1, where the user gives none
# Their inputs know no random change that keeps the label.
NOT_AUGMENTED = ("pelican", "pelican-10k", "pelican-rest", "topodnn", "mass")
OF_EQUAL_BLOCKS = ("pelican", "pelican-10k", "pelican-rest", "part")


@dataclass(frozen=True)
class Options:
    """Tag top quarks among jets; without --data on 30,000 simulated jets that come with the package."""

    tagger: Annotated[str | None, arg(metavar="{" + ",".join(TAGGERS) + "}")] = None
    """Which tagger; default: cnn, or your own network."""
    model: Annotated[str | None, arg(metavar="FILE.py:FUNCTION")] = None
    """Your own network instead: a function (example_shape, **options) that makes it, in a file, an installed module or an entry point."""
    model_options: Annotated[tuple[str, ...], arg(metavar="NAME=VALUE")] = ()
    """Options of its function."""
    input: Literal["images", "features", "constituents"] | None = None
    """What your network sees of a jet: images [40, 40, 1], the default; seven features a constituent, a WeightedSet; or (E, px, py, pz) in
    GeV."""
    data: Path | None = None
    """Your jets: .h5 or .npz with `constituents` [jet, constituent, 4] (E, px, py, pz in GeV) or `images`, and `labels` (1 top, 0 QCD), or
    .root of JetClass; many files by a pattern in quotes, such as 'train_*.h5'."""
    validation: Annotated[Path | None, arg(metavar="FILE")] = None
    """Jets that choose the epoch, as --data has them; default: drawn at random from --data."""
    test: Annotated[Path | None, arg(metavar="FILE")] = None
    """Jets for the evaluation, never used for any choice; default: drawn at random from --data."""
    weights: Annotated[str | None, arg(metavar="ARRAY", aliases=("--weight-column",))] = None
    """Array of the files with the weight of each jet, at least 0, for the training and for what is measured."""
    class_names: Annotated[str | None, arg(metavar="A,B,C")] = None
    """Names of the labels 0, 1, 2, ... in this order, two or more, or of JetClass the classes in the files; default: QCD,top."""
    signal_class: Annotated[str | None, arg(metavar="NAME")] = None
    """Of more than two classes the one whose rejection of the others is measured; default: the last."""
    stream: bool = False
    """Read the jets block by block while training, where they do not fit into memory."""
    memory: Annotated[str, arg(metavar="SIZE")] = "4GB"
    """With --stream, what all processes together may take."""
    workers: Annotated[int | None, arg(metavar="N")] = None
    """With --stream, processes that read and prepare jets; default: half the cores, at most 8."""
    epochs: Annotated[int | None, arg(metavar="N")] = None
    """Passes over the training jets at most; default: 8 for cnn, 10 for cnn-landscape, 20 for pfn, 20 for efn, 20 for pfn-attention, 20 for
    efn-attention, 12 for pelican, 12 for pelican-10k, 12 for pelican-rest, 15 for particlenet, 15 for particlenet-batch, 20 for part, 20
    for topodnn, 5 for mass, 10 for your own network."""
    batch_size: Annotated[int | None, arg(metavar="N")] = None
    """Jets a step; default: 128 for cnn, 128 for cnn-landscape, 200 for pfn, 200 for efn, 200 for pfn-attention, 200 for efn-attention, 64
    for pelican, 64 for pelican-10k, 64 for pelican-rest, 64 for particlenet, 64 for particlenet-batch, 64 for part, 128 for topodnn, 128
    for mass, 128 for your own network."""
    learning_rate: Annotated[float | None, arg(metavar="RATE")] = None
    """Peak learning rate of AdamW; default: 0.002 for cnn, 0.001 for cnn-landscape, 0.001 for pfn, 0.001 for efn, 0.001 for pfn-attention,
    0.001 for efn-attention, 0.003 for pelican, 0.003 for pelican-10k, 0.003 for pelican-rest, 0.002 for particlenet, 0.002 for
    particlenet-batch, 0.002 for part, 0.001 for topodnn, 0.05 for mass, 0.001 for your own network."""
    weight_decay: Annotated[float | None, arg(metavar="RATE")] = None
    """Decoupled weight decay of AdamW; default: 0.01 for cnn, 0 for cnn-landscape, 0.01 for pfn, 0 for efn, 0.01 for pfn-attention, 0 for
    efn-attention, 0.01 for pelican, 0.01 for pelican-10k, 0.01 for pelican-rest, 0.01 for particlenet, 0.01 for particlenet-batch, 0.01 for
    part, 0.01 for topodnn, 0 for mass, 0.01 for your own network."""
    patience: Annotated[int | None, arg(metavar="N")] = None
    """Stop after so many epochs without a lower validation loss; default: train all epochs."""
    max_jets: Annotated[int | None, arg(metavar="N")] = None
    """Use only N jets of each file, for a quick look: the first, or of a sorted file as many of each class as its proportions ask for."""
    augment: bool = True
    """Change training jets at random in ways that keep their label."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Number format of the matrix products; default: float32, or that of your own network."""
    remat: bool = False
    """Compute the blocks of pelican or part again in the backward pass instead of keeping what they computed: less memory, more work."""
    folds: Annotated[int | None, arg(metavar="K")] = None
    """Cross-validation: K trainings, each tested on another K-th of the jets; no network is kept for predictions."""
    members: Annotated[int, arg(metavar="N")] = 1
    """Networks that are trained as one ensemble; the mean of their probabilities answers, and their spread comes with it."""
    gradient_noise: bool = False
    """Record after every epoch how the gradients of 256 validation jets scatter; the learning curves show it."""
    seed: int = 1
    """Of the split, the initial weights, the order and the augmentation."""
    swept: ClassVar[tuple[str, ...]] = ("learning_rate", "weight_decay", "batch_size", "tagger", "precision")

    @property
    def unused(self) -> dict[str, str]:
        """Options that have no effect beside the others, by the names of their fields, and with or without what."""
        name = self.model or self.tagger or DEFAULT
        augmented = self.input != "constituents" if self.model else name not in NOT_AUGMENTED
        return {
            **({} if self.stream else dict.fromkeys(("memory", "workers"), "without --stream")),
            **(
                {} if augmented else {"augment": "with --input constituents" if self.model else f"with --tagger {name}"}
            ),
            **(
                {}
                if name in OF_EQUAL_BLOCKS and not self.model
                else {"remat": f"without --tagger {_either(OF_EQUAL_BLOCKS)}"}
            ),
            **({"members": "with --folds"} if self.folds else {}),
        }


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
