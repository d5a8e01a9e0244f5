"""What every figure must be: drawable without a warning, with all of its text inside."""

import pytest
from matplotlib.text import Text

from jaxsci.plots import style


@pytest.fixture(autouse=True)
def drawn_as_for_users(sharp):
    """Not as for the pages of other tests."""


@pytest.fixture
def checked():
    """A function that draws a figure, checks it, also with inks for dark pages, and returns it."""

    def check(figure):
        with style.context():
            figure.draw_without_rendering()  # everything but the pixels
            box = figure.get_tightbbox()
            with style.dark_ink(figure):  # which must know the inks of everything in it
                assert figure.patch.get_facecolor()[3] == 0
        across, down = figure.get_size_inches()
        # One hundredth of an inch: rounding to whole pixels.
        assert box.x0 >= -0.01, "cut off on the left"
        assert box.y0 >= -0.01, "cut off below"
        assert box.x1 <= across + 0.01, "cut off on the right"
        assert box.y1 <= down + 0.01, "cut off above"
        return figure

    return check


@pytest.fixture
def words():
    """A function that gives all visible text of a figure."""

    def read(figure):
        return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())

    return read
