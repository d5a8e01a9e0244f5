"""The command on a page names the options that mean something for its run, and repeats it."""

import dataclasses
import itertools
import json
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest

from jaxsci.cli import mistakes
from jaxsci.cli.commands import parse
from jaxsci.errors import InputError
from jaxsci.runs import figures, folder
from jaxsci.tasks import cmb, earth, images, superconductors, tables, top_tagging
from jaxsci.tasks.earth import task as earth_task
from jaxsci.tasks.superconductors import inputs
from jaxsci.tasks.table import TABLE
from jaxsci.tasks.top_tagging import options as tagging
from jaxsci.tasks.top_tagging import taggers
from tests.command import refused

CASES = [  # options, what their page does not name, what it does
    ("images", images.Options(), "--latent", "--members --no-balance"),
    ("images", images.Options(model="dense"), "--latent", "--members"),
    ("images", images.Options(model="mine.py:build"), "--latent", "--members"),
    ("images", images.Options(model="autoencoder"), "--members --no-balance --balance", "--latent"),
    ("top-tagging", top_tagging.Options(), "--memory --no-remat", "--augment --members"),
    ("top-tagging", top_tagging.Options(tagger="topodnn"), "--augment --memory --no-remat", "--no-stream"),
    ("top-tagging", top_tagging.Options(tagger="part", stream=True), "--no-stream", "--memory --no-remat --augment"),
    ("top-tagging", top_tagging.Options(folds=5), "--members --memory", "--folds"),
    ("top-tagging", top_tagging.Options(model="m.py:f", input="constituents"), "--augment --no-remat", "--input"),
    ("superconductors", superconductors.Options(model="published"), "--more --no-more", "--table"),
    ("superconductors", superconductors.Options(data=Path("own.csv")), "--more --table", "--data"),
    ("superconductors", superconductors.Options(), "--prior", "--more --table"),
    ("cmb", cmb.Options(data=Path("sky.fits")), "--polarization --epochs", "--free"),
    ("cmb", cmb.Options(model="dense"), "--theory", "--epochs --polarization"),
    ("cmb", cmb.Options(cross=Path("other.fits")), "--polarization", "--cross"),
    ("earth", earth.Options(data=Path("mars.txt")), "--grid-lmax --grid", "--lmax"),
    ("earth", earth.Options(data=Path("mars.txt"), grid=Path("g.txt")), "", "--grid-lmax --grid"),
    ("table", tables.Options(data=Path("t.csv"), target="y"), "--folds --ignore", "--members --kind"),
]


@pytest.mark.parametrize(("task", "options", "absent", "present"), CASES)
def test_a_page_names_what_means_something(task, options, absent, present, tmp_path):
    folder.write_config(tmp_path, task, options, {})
    config = folder.read_config(tmp_path)
    assert set(config["options"]) == {field.name for field in dataclasses.fields(options)}  # the run keeps all
    verb = "fit" if task in ("cmb", "earth") else "train"
    words = figures.command(config, trained=verb == "train").split()
    assert not set(absent.split()) & set(words)
    assert set(present.split()) <= set(words)
    again = parse(words[1:]).options
    same = set(config["options"]) - set(getattr(options, "unused", ()))
    assert {name: getattr(again, name) for name in same} == {name: getattr(options, name) for name in same}


def test_a_page_says_which_form_of_a_convolution_the_environment_chose(tmp_path, monkeypatch):
    for choice, said in (("direct", True), ("", False)):
        monkeypatch.setenv("JAXSCI_CONVOLUTION", choice)
        folder.write_config(tmp_path, "images", images.Options(), {})
        assert folder.read_config(tmp_path)["convolution"] == (choice or "auto")
        assert ("JAXSCI_CONVOLUTION=direct" in figures.provenance(tmp_path).text) == said


TYPED = [  # what is typed, and the options that are then refused, each with the reason
    ("train images", {"--latent 4": "without --model autoencoder"}),
    ("train images --model autoencoder", {"--members 3": "with --model autoencoder", "--balance": "with --model"}),
    (
        "train top-tagging",
        {"--memory 2GB": "without --stream", "--workers=2": "without --stream", "--remat": "--tagger pelican"},
    ),
    ("train top-tagging --tagger topodnn", {"--augment": "with --tagger topodnn"}),
    ("train top-tagging --folds 5", {"--members 2": "with --folds"}),
    ("train top-tagging", {"--trust": "without --resume", "--coordinator-timeout 9": "without --distributed"}),
    ("train superconductors --data own.csv", {"--table nims": "with --data", "--more": "with --data"}),
    ("fit cmb", {"--epochs 9": "--model dense", "--unit K": "--data"}),
    ("fit cmb --data sky.fits", {"--polarization IAU": "the theory map"}),
    ("fit earth", {"--unit m": "--data"}),
    ("fit earth --data mars.txt", {"--grid-lmax 9": "--grid"}),
    ("fit dimuon", {"--tree events": "--data"}),
    ("sweep images --learning-rate 1e-4:1e-2", {"--latent 4": "without --model autoencoder"}),
    ("sweep images --model cnn,dense", {"--latent 4": "without --model autoencoder"}),
    ("sweep top-tagging --tagger cnn,topodnn", {"--workers 2": "without --stream"}),
]


@pytest.mark.parametrize(("words", "refusals"), TYPED)
def test_an_option_that_would_do_nothing_is_refused(words, refusals, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for option, beside in refusals.items():
        line = refused(capsys, *words.split(), *option.split())
        assert line.startswith(f"error: {option.replace('=', ' ').split()[0]}: has no effect with")
        assert beside in line
    assert not list(tmp_path.iterdir())


AGREED = [  # what is typed and agrees with what happens anyway
    "train top-tagging --tagger topodnn --no-augment",
    "train top-tagging --tagger topodnn --no_augment",
    "train top-tagging --tagger cnn --no-remat --workers 0 --memory 4GB",
    "train top-tagging --folds 5 --members 1",
    "train images --model autoencoder --no-balance --members 1",
    "train superconductors --table nims --no-more",
    "train superconductors --data x.csv --table stanev",
]


@pytest.mark.parametrize("words", AGREED)
def test_an_option_that_agrees_with_what_happens_passes(words):
    command = parse(words.split())
    assert command.typed & set(command.options.unused)
    mistakes.require_heeded(command.typed, command.options)


def test_of_networks_that_are_compared_one_may_heed_an_option():
    networks = [images.Options(model=name, latent=4) for name in ("cnn", "autoencoder")]
    mistakes.require_heeded({"latent"}, *networks)
    with pytest.raises(InputError, match=r"^--latent: has no effect without --model autoencoder; leave it out$"):
        mistakes.require_heeded({"latent"}, networks[0])


def test_an_option_that_would_do_nothing_may_stand_in_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("all.toml").write_text('latent = 8\nmodel = "cnn"\n')
    line = refused(capsys, "train", "images", "--config", "all.toml")
    assert line.startswith("error: --data: expected a file of images")  # as it is without the file


@pytest.mark.parametrize("words", [["--epochs", "10"], ["--name", "x"], ["--runs", "other"]])
def test_a_run_that_goes_on_takes_no_option_even_of_the_same_value(words, tmp_path, capsys):
    assert words[0] in refused(capsys, "train", "images", "--resume", tmp_path, *words)


def test_a_run_of_an_older_version_shows_all():
    config = {"task": "images", "options": json.loads(json.dumps(dataclasses.asdict(images.Options())))}
    assert "--latent 8" in figures.command(config, trained=True)


def values(kind):
    """All that an option of this type may be, where they are few."""
    if kind is bool:
        return (False, True)
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return (*itertools.chain(*map(values, set(get_args(kind)) - {NoneType})), None)
    return ()


@pytest.mark.parametrize("entry", [e for e in TABLE if e.verb != "predict"], ids=lambda entry: entry.name)
def test_whatever_is_chosen_the_command_on_a_page_chooses_it_again(entry):
    kinds = get_type_hints(entry.options)
    fields = {field.name for field in dataclasses.fields(entry.options)}
    default = entry.options()
    for name, value in [(field, value) for field in sorted(fields) for value in values(kinds[field])]:
        options = dataclasses.replace(default, **{name: value})
        unused = set(getattr(options, "unused", ()))
        assert unused <= fields - {"data", "seed"}
        config = {"task": entry.name, "unused": unused}
        config["options"] = json.loads(json.dumps(dataclasses.asdict(options)))
        again = parse(figures.command(config, trained=entry.verb == "train").split()[1:]).options
        assert {key: getattr(again, key) for key in fields - unused} == {
            key: getattr(options, key) for key in fields - unused
        }


@pytest.mark.parametrize("name", tagging.TAGGERS)
def test_taggers_heed_the_options_that_are_shown(name):
    tagger = taggers.tagger(name, taggers.Spec())
    unused = top_tagging.Options(tagger=name).unused
    assert ("augment" in unused) == (tagger.augment is None)
    assert ("remat" in unused) == (not tagger.remat)


@pytest.mark.parametrize("target", ["tc", "class"])
@pytest.mark.parametrize("data", [None, Path("own.csv")])
@pytest.mark.parametrize("table", ["stanev", "nims"])
@pytest.mark.parametrize("model", ["best", "published"])
def test_options_of_superconductors_that_are_not_shown_change_no_file(target, data, table, model):
    def files(**changed):
        options = superconductors.Options(target=target, data=data, table=table, model=model)
        return inputs.find_files(dataclasses.replace(options, **changed), lambda folder, file: Path(folder, file))

    unused = superconductors.Options(data=data, table=table, model=model).unused
    assert ("more" in unused) == (files(more=True) == files(more=False))
    if data is not None:
        assert "table" in unused
        assert files(table="stanev") == files(table="nims")
    else:
        assert files(table="stanev") != files(table="nims")


@pytest.mark.parametrize("data", [None, Path("mars.txt")])
@pytest.mark.parametrize("grid", [None, Path("g.txt")])
def test_the_degree_of_a_grid_is_shown_where_there_is_one(data, grid):
    options = earth.Options(data=data, grid=grid)
    files = earth_task.find_files(options, lambda folder, file: Path(folder, file))
    assert ("grid_lmax" in options.unused) == (files.grid is None)
