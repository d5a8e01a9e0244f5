"""What tests of the command share: an empty folder to run in, and some jets."""

import pytest

from jaxsci.data import jets


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def some_jets():
    sample = jets.read(jets.embedded(), limit=300)
    return sample.constituents, sample.labels
