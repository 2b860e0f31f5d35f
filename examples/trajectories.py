"""How values moved, and how an algorithm followed, drawn from result files.

    python examples/trajectories.py leaderboard/reference/standard/follow/lifelong-dpo/seed-0
    python examples/trajectories.py results/predict/kalman --dimensions modern,deceive

A line is the change of a value since the first era; bands are 95 % over scenarios.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import plotly.graph_objects as go
import typer
from plotly.subplots import make_subplots

from progressgym import plots
from progressgym.results import RunResult, find_results
from progressgym.values.dimensions import DIMENSIONS, title
from progressgym.values.validity import signal_to_noise

_COLUMNS = 3


def main(
    results: Annotated[list[Path], typer.Argument(help="Result files, or folders of them.")],
    dimensions: Annotated[str, typer.Option(help="With commas; none: what tells eras apart.")] = "",
    to: Path = Path("trajectories.html"),
) -> None:
    """Draw the first result found in RESULTS."""
    result = RunResult.load(find_results(results)[0])
    trajectory = result.trajectory
    signal = signal_to_noise(trajectory.target, trajectory.labels)
    most = [DIMENSIONS[i] for i in (-signal).argsort()[: 2 * _COLUMNS]]
    chosen = dimensions.split(",") if dimensions else most
    draw(result, chosen).write_html(to)
    print(f"{result.spec.challenge}, {result.spec.algorithm}: {', '.join(chosen)} in {to}")


def draw(result: RunResult, dimensions: list[str]) -> go.Figure:
    """A panel for each dimension: the human's way, and the policy's."""
    trajectory, eras = result.trajectory, plots.target_eras(result)
    columns = min(_COLUMNS, len(dimensions))
    rows = -(-len(dimensions) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=[title(d) for d in dimensions],
        shared_xaxes=True, shared_yaxes=True, horizontal_spacing=0.03, vertical_spacing=0.13,
    )  # fmt: skip
    ways = {
        "people of the century": (trajectory.target, plots.HUMAN, 4),
        result.spec.algorithm: (trajectory.policy, plots.POLICY, 2),
    }
    for name, (stances, colour, width) in ways.items():
        change = plots.change_bands(stances, trajectory.target[0], trajectory.labels)
        for place, dimension in enumerate(dimensions):
            part = change[:, :, DIMENSIONS.index(dimension)]
            for trace in plots.band_traces(name, eras, part, colour, width):
                trace.showlegend = bool(trace.name) and place == 0
                figure.add_trace(trace, row=place // columns + 1, col=place % columns + 1)
    figure.update_layout(
        template="plotly_white", height=90 + 220 * rows, width=360 * columns,
        legend=plots.LEGEND | {"y": 1.12}, margin={"l": 40, "r": 20, "t": 70, "b": 40},
    )  # fmt: skip
    figure.update_xaxes(tickvals=[eras[0], eras[len(eras) // 2], eras[-1]])
    return figure


if __name__ == "__main__":
    typer.run(main)
