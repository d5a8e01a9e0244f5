"""Settings restored, text literal, bytes the same every time, estimates rounded as physicists do."""

import hashlib
import io

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from jaxsci.plots import classification, fit, png, style, training
from jaxsci.runs.estimate import Estimate, rounded


def a_figure():
    with style.context():
        figure = style.figure(2)
        figure.subplots().plot([0, 1], [1, 0])
    return figure


def test_context_restores_every_setting_and_ignores_the_users():
    before = dict(matplotlib.rcParams)
    with style.context():
        assert matplotlib.rcParams["axes.spines.top"] is False
    assert dict(matplotlib.rcParams) == before
    plain = png.encode(a_figure())
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 20, "axes.facecolor": "pink"}):
        assert png.encode(a_figure()) == plain


def test_the_same_figure_gives_the_same_bytes_without_date_or_version(tmp_path):
    first, second = png.encode(a_figure()), png.encode(a_figure())
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()
    assert b"tEXt" not in first
    assert b"Software" not in first
    png.save(a_figure(), tmp_path / "folder" / "figure.png")
    assert (tmp_path / "folder" / "figure.png").read_bytes() == first
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["figure.png"]


def test_dark_ink_is_light_on_no_ground_and_leaves_the_figure_as_it_was():
    drawn = a_figure()
    axes = drawn.axes[0]
    kept = axes.text(0.5, 0.5, "kept", color="black", gid=style.ON_COLOR)
    (line,) = axes.lines
    before = line.get_color(), axes.xaxis.label.get_color()
    with style.dark_ink(drawn):
        assert luminance(axes.xaxis.label.get_color()) > 0.7
        assert luminance(line.get_color()) >= 0.2
        assert drawn.patch.get_facecolor()[3] == axes.patch.get_facecolor()[3] == 0
        assert kept.get_color() == "black"
    assert (line.get_color(), axes.xaxis.label.get_color()) == before
    assert drawn.patch.get_facecolor() == (1, 1, 1, 1)
    pixels = np.asarray(Image.open(io.BytesIO(png.encode_both(drawn)[1])).convert("RGBA"))
    assert pixels[0, 0, 3] == 0  # no ground
    ink = pixels[pixels[..., 3] > 250][:, :3].astype(int)
    assert ink.max() > 200


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch):
    def broken(figure):
        raise OSError("no space")

    monkeypatch.setattr(png, "encode", broken)
    with pytest.raises(OSError, match="no space"):
        png.save(a_figure(), tmp_path / "figure.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["$x$", "a$b", r"a\$b$", "_hidden", "100 %", "{x}", "x" * 500, "a\nb", "<b>"])
def test_any_name_can_be_drawn_as_it_is(name):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=style.literal(name))
    legend = axes.legend()
    png.encode(figure)
    text = legend.get_texts()[0].get_text().strip()
    assert len(text) <= 80
    assert text.replace(r"\$", "$") == " ".join(name.split())[:39] + ("…" if len(name) > 40 else name[39:40])


def luminance(color):
    """Relative luminance of sRGB, WCAG 2.1."""
    rgb = np.array(matplotlib.colors.to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def test_gray_is_readable_on_white():
    assert 1.05 / (luminance(style.GRAY) + 0.05) >= 4.5


@pytest.mark.parametrize("cone", [0, 1])
def test_colors_differ_without_red_or_green_cones(cone):
    """sRGB to LMS and back, one cone response replaced so that white and blue stay (Vienot, Brettel, Mollon 1999)."""
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    replaced = np.eye(3)
    replaced[cone] = [[0, 2.02344, -2.52581], [0.494207, 0, 1.24827]][cone]
    seen = []
    for color in style.PALETTE:
        linear = np.array(matplotlib.colors.to_rgb(color)) ** 2.2
        seen.append(np.clip(np.linalg.solve(to_lms, replaced @ to_lms @ linear), 0, 1) ** (1 / 2.2))
    distances = [np.abs(a - b).max() for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 0.1  # of the full range of a channel
    # the first two, which every two-class figure uses, are far apart
    assert np.abs(seen[0] - seen[1]).max() > 0.3


def test_lines_and_markers_stay_apart_beyond_the_palette():
    assert len({(style.color(i), style.dash(i)) for i in range(32)}) == 32
    assert len({(style.color(i), style.marker(i)) for i in range(64)}) == 64


@given(st.integers(1, 10**6), st.data())
def test_wilson_solves_its_equation(trials, data):
    successes = data.draw(st.integers(0, trials))
    for end in style.wilson(successes, trials):
        # |k - n p| = z sqrt(n p (1 - p)) with z = 1; absolute in units of the count, where float64 holds 1e-16 n
        assert abs(successes - trials * end) == pytest.approx(np.sqrt(trials * end * (1 - end)), abs=1e-4)
    low, high = style.wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1


def test_wilson_without_trials_knows_nothing():
    assert style.wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.97138, 0.9695, 0.9733), "0.9714 ± 0.0019"),
        (Estimate(1298, 1141, 1455), "1,298 ± 157"),
        (Estimate(212.3, 190.1, 240.4), "212 +28 −22"),
        (Estimate(0.5, 0.40038, 0.5996), "0.50 ± 0.10"),
        (Estimate(-0.00012, -0.0123, 0.0121), "0.000 ± 0.012"),
        (Estimate(0.2031), "0.2031"),
        (Estimate(82458.4), "82,458"),
        (Estimate(-1.5), "−1.500"),
        (Estimate(None, 345.2), "> 345"),
        (Estimate(float("inf"), 345.2, float("inf")), "> 345"),
        (Estimate(None), "–"),
        (Estimate(float("nan"), float("nan"), float("nan")), "–"),
        (Estimate(1.0, 1.0, 1.0), "1.0 ± 0.0"),
        (Estimate(3.2e-12), "3.2e−12"),
    ],
)
def test_rounding(estimate, text):
    assert str(rounded(estimate)) == text


def test_ten_classes_have_ten_colors():
    for classes in (2, 8, 9, 10):
        assert len({style.color(k, classes) for k in range(classes)}) == classes
    # Beyond ten, color and marker together tell classes apart.
    assert len({(style.color(k, 30), style.marker(k, 30)) for k in range(30)}) == 30


def test_legends_cover_no_data():
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=500)
    label = (rng.uniform(size=500) < probability).astype(int)
    history = [{"epoch": i, "train_loss": 1 / i, "validation_loss": 1.1 / i} for i in range(1, 6)]
    points = fit.Points(np.arange(9.0), np.arange(9.0), np.ones(9))
    for figure in (
        classification.reliability(probability, label),
        classification.score_distributions({"signal": probability, "background": 1 - probability}),
        training.learning_curves(history),
        fit.measured(points, {"line": fit.Curve([0, 8], [0, 8])}, pulls=None, xlabel="x", ylabel="y"),
    ):
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box = legend.get_window_extent()
        assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes if axes.get_visible())
