"""The jets of a run: read from all its files, put into parts, and told apart."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data import jets
from jaxsci.data.split import split
from jaxsci.errors import InputError
from jaxsci.runs import binary_evaluation
from jaxsci.runs.task import OnProgress
from jaxsci.tasks import parts
from jaxsci.tasks.ensembles import Answers
from jaxsci.tasks.top_tagging.options import CLASSES, Options
from jaxsci.tasks.top_tagging.taggers import mass_score

FRACTIONS = (0.6, 0.15, 0.25)  # training, validation, test
MOST = 100  # classes


def class_names(words: str | None, signal: str | None) -> tuple[str, ...]:
    """The names of the labels 0, 1, ....

    Args:
        words: those that were given, as "a,b,c".
        signal: the class whose rejection of the others is measured.

    Raises:
        InputError: fewer than two, one twice, or a signal that is none of them.
    """
    if words is None:
        names = CLASSES
    else:
        names = tuple(name.strip() for name in words.split(","))
        if not 2 <= len(set(names)) == len(names) <= MOST or "" in names:
            raise InputError(
                f"--class-names: expected 2 to {MOST} different names separated by commas, got {words!r}; as in a,b,c"
            )
    if signal is not None and (signal not in names or len(names) == 2):
        wanted = (
            f"one of {', '.join(names)}"
            if len(names) > 2
            else f"none for two classes, of which {names[1]} is the signal"
        )
        raise InputError(f"--signal-class: expected {wanted}, got {signal}; see --class-names")
    return names


def chosen_names(words: str | None, signal: str | None) -> tuple[str, ...] | None:
    """The names that were given, as `jets.read` takes them."""
    return None if words is None else class_names(words, signal)


def read(options: Options, progress: OnProgress) -> tuple[jets.JetSample, parts.Splits]:
    """The jets of all files of a run, one after the other, and the parts they are in.

    Raises:
        InputError: as in `jets.read`, files that are not alike, or a class without jets or without weight.
    """
    own, chosen = parts.files(options), chosen_names(options.class_names, options.signal_class)
    sample, lengths = _read_files(options, own, chosen)
    say_unused_weights(options.data, options.weights, progress)
    splits = split_parts(labels_of(sample), lengths, options.seed)
    if sample.weights is not None:
        sources = {**dict.fromkeys(parts.NAMES, options.data), **own}
        for name, rows in zip(parts.NAMES, splits, strict=True):
            part = take(sample, rows)
            require_weight(chosen, part, sources[name], f" in the {name} part")
    progress("reading jets", 1.0, f"{len(labels_of(sample)):,} jets")
    return sample, splits


def require_classes(chosen: Sequence[str] | None, labels: np.ndarray, source: object) -> None:
    """Raise InputError where jets that were read from `source` lack one of the `chosen_names`."""
    names = chosen or CLASSES
    if chosen is None:
        jets.require_both_classes(labels, str(source))
    absent = [name for name, number in zip(names, np.bincount(labels, minlength=len(names)), strict=True) if not number]
    if absent:
        raise InputError(f"{source}: expected jets of all {len(names)} classes, got none of {absent[0]}; add some")


def unused_weights(data: Path | None, weights: str | None) -> list[str]:
    """Names of arrays beside the jets that seem to be weights, where none are asked for."""
    return [] if data is None or weights is not None else jets.weight_names(data)


def say_unused_weights(data: Path | None, weights: str | None, progress: OnProgress, *, stream: bool = False) -> None:
    """A line for each array of weights that is not used."""
    for name in unused_weights(data, weights):
        remedy = f"--weights {name}, without --stream, does" if stream else f"--weights {name} does"
        progress("reading jets", 0.5, f"note: {data} has {name}, which is not used; {remedy}")


def require_weight(chosen: Sequence[str] | None, sample: jets.JetSample, source: object, where: str = "") -> None:
    """Raise InputError where one of the `chosen_names` has no weight among jets that were read from `source`."""
    if sample.weights is None:
        return
    names = chosen or CLASSES
    sums = np.bincount(labels_of(sample), sample.weights, len(names))
    if not sums.all():
        raise InputError(
            f"{source}: expected weights above 0 for jets of each class{where}, got none for {names[int(sums.argmin())]}; "
            "add jets with weight"
        )


def split_parts(labels: np.ndarray, lengths: parts.Lengths, seed: int) -> parts.Splits:
    """Training, validation and test part of jets with these labels."""

    def draw(fractions: tuple[float, float, float]) -> parts.Splits:
        return split(labels[: lengths[0]], seed=seed, fractions=fractions)

    return parts.splits(lengths, seed=seed, fractions=FRACTIONS, draw=draw)


def lengths(files: Mapping[str, Path], labels: np.ndarray) -> parts.Lengths:
    """How many jets --data, --validation and --test have, by these names as far as there are any; each has both classes."""
    lengths, first = dict.fromkeys(("data", "validation", "test"), 0), 0
    for name, path in files.items():
        lengths[name] = jets.count(path)
        jets.require_both_classes(labels[first : first + lengths[name]], path)
        first += lengths[name]
    return lengths["data"], lengths["validation"], lengths["test"]


def _read_files(
    options: Options, own: Mapping[str, Path], chosen: Sequence[str] | None
) -> tuple[jets.JetSample, parts.Lengths]:
    """The jets of all files, one after the other, and how many each has."""
    found: list[jets.JetSample] = []
    for source in (options.data or jets.embedded(), *own.values()):
        sample = jets.read(source, limit=options.max_jets, weights=options.weights, classes=chosen)
        require_classes(chosen, labels_of(sample), source)
        if found and (sample.images is None) != (found[0].images is None):
            wanted, got = ("images", "constituents")[:: 1 if sample.images is None else -1]
            raise InputError(f"{source}: expected {wanted} of jets as in {options.data}, got {got}; give files alike")
        if found and sample.images is not None and sample.images.shape[1:] != shapes(found[0])[0]:
            raise InputError(
                f"{source}: expected images of {shapes(found[0])[0]} pixels as in {options.data}, got {sample.images.shape[1:]}; rebin them"
            )
        found.append(sample)
    number = {name: len(labels_of(sample)) for name, sample in zip(("data", *own), found, strict=True)}
    return _joined(found), (number["data"], number.get("validation", 0), number.get("test", 0))


def _joined(found: Sequence[jets.JetSample]) -> jets.JetSample:
    """The jets of several samples, with room for the constituents of each."""
    if len(found) == 1:
        return found[0]
    own = [sample.weights for sample in found if sample.weights is not None]
    joined = np.concatenate(own) if own else None
    labels = np.concatenate([labels_of(sample) for sample in found])
    if found[0].images is not None:
        return jets.JetSample(None, np.concatenate([np.asarray(sample.images) for sample in found]), labels, joined)
    constituents = [np.asarray(sample.constituents) for sample in found]
    room = max(each.shape[1] for each in constituents)
    padded = [np.pad(each, ((0, 0), (0, room - each.shape[1]), (0, 0))) for each in constituents]
    return jets.JetSample(np.concatenate(padded), None, labels, joined)


def labels_of(sample: jets.JetSample) -> np.ndarray:
    """The labels, which `jets.read` makes sure of where they are required."""
    assert sample.labels is not None
    return sample.labels


def take(sample: jets.JetSample, indices: np.ndarray) -> jets.JetSample:
    """The jets of these indices."""
    return jets.JetSample(*(None if array is None else array[indices] for array in sample))


class Tested(NamedTuple):
    """Jets with what a tagger says of them."""

    sample: jets.JetSample  # with labels, 1 top, 0 QCD; where not all jets fit into memory, the first of them
    answers: Answers  # for each jet
    labels: np.ndarray  # [jet]
    masses: np.ndarray | None  # [jet] the score of the jet mass; None where jets are images


def tested(sample: jets.JetSample, answers: Answers) -> Tested:
    """The jets of a sample with these answers."""
    masses = None if sample.constituents is None else mass_score(sample.constituents)
    return Tested(sample, answers, labels_of(sample), masses)


def shapes(sample: jets.JetSample) -> tuple[tuple[int, ...] | None, int | None]:
    """Height and width of ready images, and for how many constituents a jet has room; None for what the jets are not."""
    images, constituents = sample.images, sample.constituents
    return None if images is None else images.shape[1:], None if constituents is None else constituents.shape[1]


def contents(sample: jets.JetSample) -> Iterator[np.ndarray]:
    """Of each jet what tells it from others: its constituents without the padding, or its image."""
    if sample.images is not None:
        yield from sample.images.astype(np.float32)
    else:
        assert sample.constituents is not None
        yield from (jet[jet[:, 0] > 0] for jet in sample.constituents.astype(np.float32))


def origin(data: Mapping[str, Any]) -> str:
    """Where the jets of a run come from, by the `data` of its config.json, as pages say it."""
    embedded = data["file"] == "embedded"
    return "simulated (Pythia 8, particle level), from the package" if embedded else Path(data["file"]).name


def effective(labels: np.ndarray, weights: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """The effective number of weighted jets of each class."""
    return {
        name: binary_evaluation.effective(weights[labels == k], int(np.sum(labels == k)))
        for k, name in enumerate(names)
    }


def weight_words(data: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, str]:
    """A line of a page's summary on the weights of jets: those that were used, or that were not."""
    if "weights" in result:
        numbers = " and ".join(f"{number:,.0f} {name}" for name, number in result["weights"]["effective"].items())
        return {"Weights": f"{result['weights']['array']}; effective numbers of jets: {numbers}"}
    unused = data.get("unused_weights")
    return {"Weights": f"{', '.join(unused)} of the file: not used"} if unused else {}
