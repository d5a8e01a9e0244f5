import json

import pytest

from benchmarks.gradients import main as gradients


@pytest.mark.slow
def test_a_tiny_configuration_runs_end_to_end(tmp_path):
    gradients.run(gradients.parse(["--quick", "--threads", "1", "--out", str(tmp_path)]))
    networks = json.loads((tmp_path / "gradients.json").read_text())["networks"]
    assert set(networks) == set(gradients.NETWORKS)
    for one in networks.values():
        assert one["norms_relative_error"] < 1e-4
        assert one["quantities"]["squared norms"]["memory"] > 0
        assert one["quantities"]["clipped sum"]["times"]["median"] > 0
    assert "| KFAC factors |" in (tmp_path / "gradients.md").read_text()
