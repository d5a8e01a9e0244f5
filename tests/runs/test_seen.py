"""What a page may say of the examples of an evaluation."""

import numpy as np
import pytest

from jaxsci.errors import InputError
from jaxsci.runs import seen

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


def test_examples_of_the_training_are_known_again(tmp_path):
    seen.save(tmp_path, X[:30])
    assert seen.overlap(tmp_path, X[:30]) == 30
    assert seen.overlap(tmp_path, X[20:]) == 10
    assert seen.overlap(tmp_path, X[30:]) == 0
    assert seen.overlap(tmp_path, X[[0, 0, 40]]) == 2  # each example that is evaluated counts
    assert seen.overlap(tmp_path, np.nextafter(X[:30], 9)) == 0


def test_a_run_that_noted_nothing_knows_nothing(tmp_path):
    assert seen.overlap(tmp_path, X) is None


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\x01\x00"])
def test_damaged_hashes_are_refused(tmp_path, content):
    (tmp_path / seen.FILE).write_bytes(content)
    with pytest.raises(InputError, match="expected the hashes of the run's examples"):
        seen.overlap(tmp_path, X)


def test_only_what_is_known_is_claimed():
    assert "never used in training" in seen.claim("test", None, 10, "jets")
    others = [seen.claim("mine.h5", known, 10, "jets") for known in (None, 0, 3)]
    assert not any("never used" in text for text in others)
    assert "not known" in others[0]
    assert "None of the 10 jets" in others[1]
    assert others[2].startswith("Warning: 3 of the 10 jets of mine.h5")
