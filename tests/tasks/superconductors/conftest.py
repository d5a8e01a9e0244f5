"""Two trained runs of superconductors, shared by the tests that only read them."""

import jax
import pytest

from jaxsci.cli.main import main
from tests.tasks.superconductors.superconductor_files import QUICK, write_tables


@pytest.fixture(scope="session")
def root(made_once):
    """Data and two trained runs, shared by the tests that only read them."""
    jax.devices()  # the command would otherwise choose their number for all later tests
    return made_once("superconductors", make)


def make(folder):
    write_tables(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXSCI_DATA", str(folder / "data"))
        for target, split, influence in (("tc", "random", "2"), ("class", "composition", "0")):
            options = ["--target", target, "--split", split, "--influence", influence]
            main(["train", "superconductors", *options, *QUICK, "--runs", str(folder)])


@pytest.fixture
def tc_run(root):
    return root / "superconductors" / "tc-random-1"


@pytest.fixture
def class_run(root):
    return root / "superconductors" / "class-composition-1"
