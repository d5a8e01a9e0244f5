"""The training step of every tagger, split over four devices, exported for accelerators that are not at hand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxsci.tasks.top_tagging.options import TAGGERS

WITH_STATE = {"particlenet-batch"}  # whose statistics are those of a whole batch: refused
SHARDED = tuple(name for name in TAGGERS if name not in WITH_STATE)


@pytest.mark.parametrize("taggers", [("cnn", "pfn", "pelican"), pytest.param(SHARDED, marks=pytest.mark.slow)])
def test_the_sharded_step_exports_and_exchanges_gradients_and_metrics_alone(taggers):
    script = str(Path(__file__).with_name("sharded_steps.py"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    result = subprocess.run([sys.executable, script, *taggers], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [name for name, *_ in lines] == list(taggers)
    for name, parameters, kind, count, size in lines:
        assert kind == "all_reduce", (name, kind)
        # The gradient, and six numbers: loss twice (as value and as metric), accuracy, and three sums of weights.
        assert int(size) == 4 * (int(parameters) + 4), name
        assert int(count) > 1
