"""A score against a parameter: questions an era, influence of advice, horizon, learning rate …

    python examples/sweep.py follow questions 128,512,2048
    python examples/sweep.py coevolve influence 0,0.25,0.5,1,2 --score lock_in
    python examples/sweep.py predict ahead 1,2 --algorithm extrapolative-dpo --score persistence

Every point is an ordinary run in OUT/NAME-VALUE; finished ones are not computed again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import plotly.graph_objects as go
import typer

from progressgym import runner
from progressgym.results import format_interval
from progressgym.values.scores import Interval


def main(
    challenge: str,
    parameter: Annotated[str, typer.Argument(help="Of the challenge or the algorithm.")],
    values: Annotated[str, typer.Argument(help="With commas.")],
    algorithm: str = "lifelong-dpo",
    score: Annotated[str, typer.Option(help="skill, gain, persistence, lock_in, lag …")] = "skill",
    models: str = "smollm2",
    preset: str = "quick",
    seed: int = 0,
    out: Path = Path("sweep"),
) -> None:
    """Run one algorithm with several values; print a table and write OUT/sweep.html."""
    settings = {"models": models, "preset": preset}
    found: dict[str, Interval] = {}
    for value in values.split(","):
        (cell,) = runner.grid([challenge], [algorithm], [seed], settings, {parameter: value})
        result = runner.run(cell, out / f"{parameter}-{value}", resume=True)
        interval = getattr(result.scores or result.compute_scores(), score, None)
        if not isinstance(interval, Interval):
            raise typer.BadParameter(f"{challenge} has no score {score!r} with an interval.")
        found[value] = interval
        print(f"{parameter} {value:>6}   {score} {format_interval(interval)}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    curve(found, parameter, f"{score} of {algorithm} in {challenge}").write_html(out / "sweep.html")


def curve(found: dict[str, Interval], parameter: str, title: str) -> go.Figure:
    """Score against value, with intervals."""
    known = {v: i for v, i in found.items() if i.value is not None}
    ends = [(i.value, i.low, i.high) for i in known.values()]
    bars = {
        "array": [0 if high is None else high - value for value, _, high in ends],
        "arrayminus": [0 if low is None else value - low for value, low, _ in ends],
    }
    points = go.Scatter(x=list(known), y=[value for value, _, _ in ends], error_y=bars)
    figure = go.Figure(points)
    figure.update_xaxes(type="category", title=parameter)
    figure.update_yaxes(title=title)
    return figure


if __name__ == "__main__":
    typer.run(main)
