"""What the README shows works as shown."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_the_sweep_finds_a_good_rate(capsys):
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.split()
    best_loss, sweep_loss = float(lines[1]), float(lines[3])
    assert best_loss < 0.3  # chance is log 2
    assert sweep_loss < 0.3


def test_every_room_in_the_readme_exists():
    import jaxsci

    root = Path(jaxsci.__file__).parent
    for room in re.findall(r"`jaxsci\.(\w+)`", README):
        assert (root / room).is_dir() or (root / f"{room}.py").is_file(), room
