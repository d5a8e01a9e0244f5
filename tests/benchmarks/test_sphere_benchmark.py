import json

import pytest

from benchmarks import sphere


@pytest.mark.usefixtures("x64")
def test_a_tiny_configuration_runs_end_to_end(tmp_path):
    pytest.importorskip("healpy")
    sphere.run(sphere.parse(["--quick", "--threads", "1", "--out", str(tmp_path)]))
    (case,) = json.loads((tmp_path / "sphere.json").read_text())["cases"]
    for direction in ("synthesis", "analysis"):
        one = case[direction]
        assert one["error"] < 1e-12
        assert one["peak_bytes"] > 0
        assert all(min(timings["seconds"]) > 0 for timings in one["timings"].values())
        assert one["slower_than"]["healpy"]["median"] > 0
    page = (tmp_path / "sphere.md").read_text()
    assert "| 4 | 2 | analysis |" in page


def test_a_size_that_is_not_measured(capsys):
    with pytest.raises(SystemExit):
        sphere.parse(["--nside", "3"])
    assert "choose among 64, 128, 256, 512" in capsys.readouterr().err
