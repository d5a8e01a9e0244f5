"""A tagger whose network is the user's own: what it is given of a jet, and how it is trained unless the user says otherwise."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxsci.core import WeightedSet
from jaxsci.data.jets import features as jet_features
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.tasks import own_network
from jaxsci.tasks.top_tagging import taggers
from jaxsci.tasks.top_tagging.options import DEFAULT, Options
from jaxsci.tasks.top_tagging.taggers import Spec, Tagger, TrainingDefaults

DEFAULTS = TrainingDefaults(epochs=10, batch_size=128, learning_rate=1e-3, weight_decay=1e-2)
IMAGES = "images"  # what it is given by default


def require_heeded(options: Options) -> None:
    """Raise InputError for options that would be ignored: a tagger's beside a network of the user's own, or such a network's alone."""
    if options.model is None:
        given = "" if options.input in (None, IMAGES) else options.input
        for option, got in (("--model-options", " ".join(options.model_options)), ("--input", given)):
            if got:
                raise InputError(
                    f"{option}: expected none for {options.tagger or DEFAULT}, got {got}; it is for networks of your own, by --model"
                )
        return
    if options.tagger is not None:
        raise InputError(f"--tagger: expected none beside --model, got {options.tagger}; leave out one of both")
    if options.remat:
        raise InputError("--remat: expected none beside --model, whose network chooses what it keeps; leave it out")
    if options.precision is not None:
        raise InputError(
            f"--precision: expected none beside --model, whose network chooses its number formats, got {options.precision}; leave it out"
        )


def tagger(options: Options, spec: Spec, constituents: int | None) -> Tagger:
    """The tagger around the network of `options.model`.

    Args:
        options: with the network and its input.
        spec: height and width of the images.
        constituents: how many each jet has room for; None where the jets are images.

    Raises:
        InputError: as in `own_network.build`, or the jets are images and the network wants constituents.
    """
    assert options.model is not None
    images = options.input in (None, IMAGES)
    if constituents is None and not images:
        raise InputError(f"--input: expected images, which is what the jets are, got {options.input}; leave it out")
    outputs = () if len(spec.classes) == 2 else (len(spec.classes),)
    build = partial(own_network.build, options.model, outputs=outputs, options=options.model_options)
    nothing = np.zeros((1, constituents or 1, 4), np.float32)
    if images:
        model = build(np.zeros((*spec.pixels, 1), np.float32))
        return Tagger(taggers.image_inputs, model, DEFAULTS, taggers.shift_image, taggers.images_as_inputs, spec.pixels)
    if options.input == "features":
        return Tagger(_features, build(jax.tree.map(lambda leaf: leaf[0], _features(nothing))), DEFAULTS, taggers.turn)
    return Tagger(partial(_of_room, constituents), build(nothing[0]), DEFAULTS)


def _features(constituents: np.ndarray) -> WeightedSet:
    return WeightedSet(*jet_features.features(constituents))  # type: ignore[arg-type]  # numpy until training


def _of_room(room: int | None, constituents: np.ndarray) -> np.ndarray:
    """Four-momenta in GeV, as many of each jet as in training; InputError where that would leave some out."""
    assert room is not None
    if np.any(constituents[:, room:]):
        raise InputError(
            f"jets: expected at most {room} constituents a jet as in training, got more; keep the {room} hardest"
        )
    missing = max(0, room - constituents.shape[1])
    return np.pad(constituents[:, :room], ((0, 0), (0, missing), (0, 0))).astype(np.float32)


def of_run(folder: Path, options: Options) -> Options:
    """The options of a run, whose network is the copy in its folder.

    Raises:
        InputError: as in `own_network.kept`.
    """
    if options.model is None:
        return options
    return replace(options, model=own_network.kept(folder, runs.read_config(folder)["data"]["network"]))
