"""Images of one's own through the command."""

import json

import numpy as np
import pytest

import jaxsci
from jaxsci.cli.main import main
from tests.command import refused


def test_images_of_your_own(tmp_path, capsys):
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    x = rng.random((240, 12, 12)) * 0.3 + (y == 1)[:, None, None] * np.eye(12) + (y == 2)[:, None, None] * 0.5
    np.savez(tmp_path / "mine.npz", x=x.astype(np.float32), y=y)
    for model in ("dense", "cnn", "autoencoder"):
        main(["train", "images", "--data", "mine.npz", "--model", model, "--epochs", "8", "--batch-size", "32"])
        folder = tmp_path / "runs" / "images" / f"{model}-1"
        metrics = json.loads((folder / "evaluation.json").read_text())["metrics"]
        if model == "autoencoder":
            assert metrics["reconstruction_error"]["value"] < x.var()
        else:
            assert metrics["accuracy"]["value"] > 0.9  # brightness and a diagonal tell the classes apart
        assert (folder / "report.html").exists()
        main(["predict", str(folder), "mine.npz", "--out", f"{model}.npz"])
    with np.load("cnn.npz") as scores:
        assert scores["probability_2"].shape == (240,)
    np.savez(tmp_path / "other.npz", x=np.zeros((9, 10, 12), np.float32), y=np.arange(9) % 3)
    assert "images of the run's shape" in refused(capsys, "evaluate", "runs/images/cnn-1", "--data", "other.npz")
    np.savez(tmp_path / "more.npz", x=x[:8].astype(np.float32), y=np.arange(8) % 4)
    line = refused(capsys, "evaluate", "runs/images/cnn-1", "--data", "more.npz")
    assert "more.npz: expected labels 0 to 2 as in training, got up to 3" in line
    np.savez(tmp_path / "two.npz", x=x[y < 2].astype(np.float32), y=y[y < 2])
    main(["evaluate", "runs/images/cnn-1", "--data", "two.npz"])
    two = json.loads((tmp_path / "runs/images/cnn-1/evaluations/two/evaluation.json").read_text())
    matrix = np.array(two["metrics"]["confusion_matrix"])
    assert matrix.shape == (3, 3)
    assert matrix.min() >= 0
    assert matrix.sum(axis=1).tolist() == [80, 80, 0]
    assert "--data" in refused(capsys, "train", "images")
    np.savez(tmp_path / "gap.npz", x=x[y != 1].astype(np.float32), y=y[y != 1])
    main(["evaluate", "runs/images/cnn-1", "--data", "gap.npz"])
    gap = json.loads((tmp_path / "runs/images/cnn-1/evaluations/gap/evaluation.json").read_text())
    assert np.sum(gap["metrics"]["confusion_matrix"], axis=1).tolist() == [80, 0, 80]
    np.savez(tmp_path / "mine.npz", x=1 - x.astype(np.float32), y=y)
    for arguments in (["evaluate", "runs/images/cnn-1"], ["train", "images", "--resume", "runs/images/cnn-1"]):
        line = refused(capsys, *arguments)
        assert "mine.npz: expected the data that runs/images/cnn-1 was trained on" in line


def test_two_classes_of_images_by_an_ensemble_and_the_parts_of_the_file(tmp_path, capsys):
    y = np.arange(120)[:, None] % 2
    x = np.random.default_rng(0).random((120, 12, 12), np.float32) * 0.3 + 0.5 * y[:, None]
    x = np.rint(65535 * x).astype(np.uint16)
    parts = {"train": slice(80), "val": slice(80, 96), "test": slice(96, None)}
    np.savez(
        "parts.npz",
        **{f"{name}_images": x[rows] for name, rows in parts.items()},
        **{f"{name}_labels": y[rows] for name, rows in parts.items()},
    )
    words = ["train", "images", "--data", "parts.npz", "--epochs", "3", "--batch-size", "16", "--members", "2"]
    main([*words, "--model", "dense"])
    folder = tmp_path / "runs" / "images" / "dense-1"
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["images"] == 24
    assert evaluation["members"] == 2
    assert evaluation["metrics"]["log_loss"]["value"] < evaluation["of_members"]["log_loss"]["value"]  # Jensen
    main(["evaluate", str(folder)])
    assert json.loads((folder / "evaluation.json").read_text()) == evaluation
    assert "--members: has no effect with --model autoencoder" in refused(capsys, *words, "--model", "autoencoder")
    assert not (tmp_path / "runs" / "images" / "autoencoder-1").exists()
    main(["predict", str(folder), "parts.npz", "--out", "scores.npz"])
    with np.load("scores.npz") as scores:
        probability = scores["probability_1"][96:]
        assert scores["spread"].shape == (120,)
    signal, background = probability[y[96:, 0] == 1], probability[y[96:, 0] == 0]
    ranked = np.mean(signal[:, None] > background) + np.mean(signal[:, None] == background) / 2
    assert evaluation["metrics"]["auc"]["value"] == pytest.approx(ranked, abs=1e-6)
    assert {"scores", "calibration", "members_calibration"} <= {path.stem for path in (folder / "figures").iterdir()}
    assert "AUC" in (folder / "report.html").read_text()

    # Dark images are on the scale of the run, alone or beside bright ones; real numbers, whose scale is not known, are refused.
    dark = x[:4] // 257
    np.savez("dark.npz", x=dark, y=y[:4])
    main(["predict", str(folder), "dark.npz", "--out", "dark_scores.npz"])
    trained = jaxsci.load(folder)
    with np.load("dark_scores.npz") as scores:
        for given in (np.concatenate([dark, x]), dark):
            answers = trained.predict(given)["probability_1"][:4]
            np.testing.assert_allclose(scores["probability_1"], answers, rtol=1e-5)
    np.savez("real.npz", x=x[:4] / 65535, y=y[:4])
    for command in (["predict", folder, "real.npz", "--out", "s.npz"], ["evaluate", folder, "--data", "real.npz"]):
        line = refused(capsys, *command)
        assert "real.npz: expected whole numbers from 0 to 65535 as in the images for training, got float64" in line
    main(["export", str(folder), "--out", "mine.npz", "--format", "npz"])
