"""What a command says of its progress where nobody watches bars."""

from jaxsci.cli.progress import shown_progress


def test_where_no_terminal_is_stages_end_with_a_line_and_warnings_are_kept(capsys):
    with shown_progress() as progress:
        progress("reading", 0.0, "")
        progress("reading", 0.9, "note: 2 of 102 rows left out")
        progress("reading", 1.0, "100 materials")
        progress("training", 0.5, "epoch 1 of 2, validation loss 1.0")
        progress("training", 1.0, "epoch 2 of 2, validation loss 0.5")
        progress("evaluating", 0.0, "warning: 3 of these were used in training")
        progress("evaluating", 1.0, "")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "reading: note: 2 of 102 rows left out",
        "reading: 100 materials",
        "evaluating: warning: 3 of these were used in training",
    ]
