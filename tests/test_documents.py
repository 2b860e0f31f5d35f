"""What the documents show works as shown."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from progressgym.leaderboard.card import Card

import progressgym as pg

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def code_after(heading: str) -> str:
    """The first Python block below a heading of the README."""
    found = re.search(rf"^## {heading}\n.*?```python\n(.*?)```", README, re.S | re.M)
    assert found, heading
    return found[1]


def test_the_loop_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    loop = code_after("The loop").replace('models="smollm2"', 'models="tiny", questions=24')
    exec(loop, {})
    assert "follow · custom · seed 0" in capsys.readouterr().out


def test_the_algorithm_of_the_readme(small_yaml: Path, tmp_path: Path) -> None:
    path = tmp_path / "cautious.py"
    path.write_text(code_after("Write an algorithm in twenty lines"))
    assert len(path.read_text().splitlines()) <= 26
    algorithm = runpy.run_path(str(path))["CautiousDPO"](learning_rate=1e-3)
    env = pg.make("follow", models=str(small_yaml), preset="quick", questions=48)
    asked = [step.questions for step in pg.play(env, algorithm).result().steps]
    assert asked == [24, 24, 24]


def test_the_published_schema_is_that_of_the_results() -> None:
    published: Any = json.loads((ROOT / "docs" / "result.schema.json").read_text())
    assert published == pg.RunResult.model_json_schema()


@pytest.mark.parametrize(
    ("what", "first"),
    [
        (["follow", "questions", "12,24"], "questions     12   skill 0.00"),
        (["coevolve", "influence", "0,1", "--score", "lag"], "influence      0   lag"),
    ],
)
def test_the_sweep_example(small_yaml: Path, tmp_path: Path, what: list[str], first: str) -> None:
    command = [sys.executable, str(ROOT / "examples" / "sweep.py"), *what]
    command += ["--models", str(small_yaml), "--algorithm", "frozen", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(first)
    assert (tmp_path / "sweep.html").is_file()


def test_the_trajectories_example(tmp_path: Path) -> None:
    (path,) = (ROOT / "leaderboard/reference/standard/follow/lifelong-dpo/seed-0").iterdir()
    command = [sys.executable, str(ROOT / "examples/trajectories.py"), str(path)]
    command += ["--dimensions", "modern,deceive", "--to", str(tmp_path / "page.html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("follow, lifelong-dpo: modern, deceive in")
    assert "people of the century" in (tmp_path / "page.html").read_text()


def test_the_documented_card_is_one() -> None:
    text = (ROOT / "docs" / "leaderboard.md").read_text()
    (card,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert Card.parse(card).name == "my-algorithm"
