"""What the command says of itself, and of words it cannot use: one line with exit code 2."""

import pytest

from jaxsci.cli.main import main
from tests.command import refused


def test_what_is_no_run_folder(tmp_path, capsys):
    for arguments in (["evaluate", "nothing"], ["compare", "nothing"], ["train", "top-tagging", "--resume", "nothing"]):
        assert "nothing" in refused(capsys, *arguments)


def test_debug_shows_the_traceback():
    from jaxsci.errors import InputError

    with pytest.raises(InputError):
        main(["evaluate", "nothing", "--debug"])


def test_version_and_help(capsys):
    main(["--version"])
    assert capsys.readouterr().out.startswith("jaxsci ")
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "compare" in capsys.readouterr().out


def test_fits_are_no_trained_runs(tmp_path, capsys):
    folder = tmp_path / "runs" / "cmb" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"task": "cmb", "options": {}, "data": {}}')
    (folder / "evaluation.json").write_text('{"task": "cmb"}')
    for arguments in (["evaluate", str(folder)], ["predict", str(folder), "x.npz", "--out", "y.csv"]):
        assert "got a fit of cmb, which has no test part; its results are in" in refused(capsys, *arguments)
    assert "got a fit of cmb; its results are in" in refused(capsys, "compare", str(folder))


@pytest.mark.parametrize("own_process", [True, False])
def test_only_a_process_of_its_own_keeps_its_memory(own_process, monkeypatch):
    kept = []
    monkeypatch.setattr("jaxsci.cli.main.keep_memory", lambda: kept.append(True))
    monkeypatch.setattr("sys.argv", ["jaxsci", "--version"])
    main(None if own_process else ["--version"])
    assert kept == [True] * own_process


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--devices", "1"], "--devices: expected a network without state"),
        (["--gradient-noise"], "--gradient-noise: expected a network without state"),
    ],
)
def test_what_a_network_with_batch_statistics_cannot_do_is_refused_before_a_run_is_made(words, line, tmp_path, capsys):
    assert line in refused(capsys, "train", "top-tagging", "--tagger", "particlenet-batch", "--max-jets", "60", *words)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("words", [["--devices", "1"], ["--device-memory", "1GB"]])
@pytest.mark.parametrize("task", [["table", "--data", "t.csv", "--target", "y"], ["superconductors"]])
def test_what_splits_the_batches_of_one_network_is_refused_for_ensembles(task, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = f"{words[0]}: expected a task that trains one network, got an ensemble"
    assert line in refused(capsys, "train", *task, *words)
    assert not list(tmp_path.iterdir())
