"""Options in a file, the defaults that the help names, and the completion of a shell."""

import re
import shutil
import subprocess
import tomllib

import pytest

from jaxsci.cli import configuration
from jaxsci.cli.commands import completion, parse
from jaxsci.errors import InputError
from jaxsci.tasks.anomalies.options import DETECTORS
from jaxsci.tasks.top_tagging.options import TAGGERS

TAGGER = ["train", "top-tagging"]


def test_options_are_written_and_read_again(tmp_path):
    words = ["--tagger", "pfn", "--no-augment", "--learning-rate", "1e-5", "--data", 'a "b".h5', "--name", "x"]
    chosen = parse([*TAGGER, *words, "--model-options", "a=1", "b=[2]"])
    configuration.save(tmp_path / "run.toml", "top-tagging", chosen.options, chosen.place)
    content = tomllib.loads((tmp_path / "run.toml").read_text())
    assert content["learning-rate"] == 1e-5
    assert content["model-options"] == ["a=1", "b=[2]"]
    assert "epochs" not in content  # not set
    again = parse([*TAGGER, "--config", str(tmp_path / "run.toml")])
    assert again.options == chosen.options
    assert again.place.name == "x"


def test_the_command_line_goes_before_the_file(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("epochs = 3\nbatch_size = 7\naugment = true\n")
    chosen = parse([*TAGGER, f"--config={file}", "--epochs", "5", "--no-augment"]).options
    assert (chosen.epochs, chosen.batch_size, chosen.augment) == (5, 7, False)


WRONG = {
    "seeed = 1": "got seeed; did you mean seed?",
    "resume = 'run'": "got resume;",
    "epochs = 1.5": "expected epochs to be a whole number, got 1.5;",
    "augment = 'no'": "expected augment to be true or false, got 'no';",
    "precision = 'float16'": "expected precision to be float32 or bfloat16, got 'float16';",
    "model-options = [1]": "expected model-options to be a list of text",
    "learning-rate = 0.1\nlearning_rate = 0.2": "expected learning-rate once, got learning_rate too",
    "task = 'images'": "expected options of top-tagging, got those of images;",
    "epochs = ": "expected TOML",
    "[epochs]\nmost = 3": "expected epochs to be a whole number",
}


@pytest.mark.parametrize("content", WRONG)
def test_a_file_with_something_else_is_refused_by_name(content, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(content)
    with pytest.raises(InputError, match=re.escape(WRONG[content])) as caught:
        parse([*TAGGER, "--config", str(file)])
    assert str(caught.value).startswith(str(file))


def test_the_help_names_the_defaults_of_every_tagger_and_detector(capsys):
    from jaxsci.tasks.anomalies.detectors import detector
    from jaxsci.tasks.top_tagging import own
    from jaxsci.tasks.top_tagging.taggers import tagger

    def help_of(name):
        with pytest.raises(SystemExit):
            parse(["train", name, "--help"])
        return " ".join(re.sub("[│─]", " ", capsys.readouterr().out).split())

    found = help_of("top-tagging")
    defaults = {name: tagger(name).defaults for name in TAGGERS} | {"your own network": own.DEFAULTS}
    for name, of in defaults.items():
        for value in (of.epochs, of.batch_size, of.learning_rate, f"{of.weight_decay:g}"):
            assert re.search(rf"[ :]{value} for {name}[,.]", found), (name, value)
    assert "None" not in found
    found = help_of("anomalies")
    for name in DETECTORS:
        assert f"{detector(name).epochs} for {name}" in found
        assert f"{detector(name).batch_size} for {name}" in found


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_the_options_of_a_task(tmp_path):
    (tmp_path / "script").write_text(completion("bash"))
    ask = "source ./script; COMP_WORDS=(jaxsci train $1 $2); COMP_CWORD=3; _tyro_jaxsci; echo ${COMPREPLY[@]}"
    for task, begun, whole in (("table", "--tar", "--target"), ("top-tagging", "--lear", "--learning-rate")):
        words = ["bash", "-c", ask, "bash", task, begun]
        ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert ended.stdout.split() == [whole]


def test_the_mark_that_editors_put_before_a_text_is_none(tmp_path):
    (tmp_path / "run.toml").write_text("epochs = 3\n", encoding="utf-8-sig")
    assert parse([*TAGGER, "--config", str(tmp_path / "run.toml")]).options.epochs == 3


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: expected a file of options, got No such file or directory"):
        parse(["train", "images", "--config", str(tmp_path / "none.toml")])
