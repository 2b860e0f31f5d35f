"""Skill against the number of questions an era: how much does an algorithm learn from how little?

    python examples/learning_curve.py --algorithm lifelong-dpo --questions 256,1024,4096

Every point is an ordinary run in OUT/questions-N; finished ones are not computed again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import plotly.graph_objects as go
import typer

from progressgym import runner
from progressgym.results import format_interval


def main(
    algorithm: str = "lifelong-dpo",
    questions: Annotated[
        str, typer.Option(help="Questions an era, with commas.")
    ] = "256,1024,4096",
    models: str = "smollm2",
    preset: str = "quick",
    answers: str = "binary",
    seed: int = 0,
    out: Path = Path("learning-curve"),
) -> None:
    """Run one algorithm with several budgets; print a table and write OUT/curve.html."""
    budgets = [int(part) for part in questions.split(",")]
    skills = []
    for budget in budgets:
        settings = {"models": models, "preset": preset, "questions": budget, "answers": answers}
        (cell,) = runner.grid(["follow"], [algorithm], [seed], settings, {})
        result = runner.run(cell, out / f"questions-{budget}", resume=True)
        skills.append((result.scores or result.compute_scores()).skill)
        print(f"{budget:>7} questions   skill {format_interval(skills[-1])}", flush=True)
    known = [(b, s.value, s) for b, s in zip(budgets, skills, strict=True) if s.value is not None]
    bars = {
        "array": [0 if s.high is None else s.high - value for _, value, s in known],
        "arrayminus": [0 if s.low is None else value - s.low for _, value, s in known],
    }
    x, y = [budget for budget, _, _ in known], [value for _, value, _ in known]
    figure = go.Figure(go.Scatter(x=x, y=y, error_y=bars, name=algorithm))
    figure.update_xaxes(type="log", title="questions an era")
    figure.update_yaxes(title="skill")
    out.mkdir(parents=True, exist_ok=True)
    figure.write_html(out / "curve.html")


if __name__ == "__main__":
    typer.run(main)
