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


def test_every_path_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_published_schema_is_that_of_the_results() -> None:
    published: Any = json.loads((ROOT / "docs" / "result.schema.json").read_text())
    assert published == pg.RunResult.model_json_schema()


def test_the_learning_curve_example(small_yaml: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "learning_curve.py")]
    command += ["--models", str(small_yaml), "--algorithm", "frozen", "--questions", "12,24"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("skill 0.00") == 2
    assert (tmp_path / "curve.html").is_file()
