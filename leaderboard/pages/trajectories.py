"""Trajectories: how values moved over the eras, and how algorithms followed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from sklearn.decomposition import PCA

from progressgym.plots import (
    COLOURS,
    HUMAN,
    band_traces,
    blank_figure,
    change_bands,
    plain_text,
    target_eras,
    value_bands,
)
from progressgym.results import RunResult
from progressgym.values.dimensions import DIMENSIONS, title
from progressgym.values.scenarios import Scenario, shipped_bank
from progressgym.values.vector import contrasts

from .. import looks
from ..board import Board, View
from .listing import track_choices

USUAL = ("cause_death", "restrict_freedom", "authority_respect", "modern")
MOST_DIMENSIONS, MOST_ALGORITHMS = 8, 5
CHANGE, VALUE = "change since the first era", "value"
_ALGORITHM_COLOURS = [colour for colour in COLOURS if colour != HUMAN]


def build(board: Board, page: gr.Blocks) -> None:
    """Add the page's parts."""
    looks.heading(
        "Trajectories",
        "Nine centuries of values, read from each century's model, and the policies that tried to "
        "keep up. Bands are 95 % over scenarios. Click a point to see what lies behind it.",
    )
    with gr.Row():
        track = gr.Dropdown([], label="Challenge", filterable=False)
        algorithms = gr.Dropdown(
            [], label="Algorithms", multiselect=True, max_choices=MOST_ALGORITHMS
        )
        dimensions = gr.Dropdown(
            [(title(d), d) for d in DIMENSIONS],
            value=list(USUAL),
            label="Dimensions",
            multiselect=True,
            max_choices=MOST_DIMENSIONS,
        )
    with gr.Row():
        eras = gr.CheckboxGroup([], label="Eras", scale=3)
        what = gr.Radio([CHANGE, VALUE], value=CHANGE, label="Show", scale=1)
    lines = looks.figure("Values by era, of humans and policies")
    behind = looks.html("<p class='soft'>Click a point: its scenarios appear here.</p>")
    looks.html(
        "<h2>Map</h2><p class='soft'>The two directions in which humans differ most (principal "
        "components of the nineteen contrasts). Press play to go through time.</p>"
    )
    map_ = looks.figure("Map of value vectors through time")
    inputs = [track, algorithms, dimensions, eras, what]
    options: Any = {"queue": False, "show_progress": "minimal", "api_visibility": "private"}

    def begin(request: gr.Request) -> list[Any]:
        choices = track_choices(board)
        known = [id for _, id in choices]
        asked = request.query_params.get("track")
        chosen = asked if asked in known else known[0] if known else None
        return [gr.Dropdown(choices, value=chosen), *entered(chosen)]

    def entered(track: str | None) -> list[Any]:
        named = _algorithms(board, track)
        first = _first(board, track)
        names = _eras(board, track, first)
        drawn = draw(track, first, list(USUAL), names, CHANGE)
        return [
            gr.Dropdown(named, value=first),
            gr.CheckboxGroup(names, value=names),
            *drawn,
        ]

    def draw(
        track: str | None,
        algorithms: list[int],
        dimensions: list[str],
        eras: list[str],
        what: str,
    ) -> list[str | None]:
        runs = _runs(board, track, algorithms)
        if not runs or not dimensions or len(eras) < 2:
            return [None, None]
        return [
            _lines(runs, dimensions[:MOST_DIMENSIONS], eras, what == CHANGE).to_json(),
            _map(runs, eras).to_json(),
        ]

    def explain(track: str | None, algorithms: list[int], event: gr.EventData) -> str:
        try:
            number, step, dimension = json.loads(event._data["point"])["at"]
            return _behind(board, track, int(number), int(step), str(dimension))
        except (TypeError, KeyError, ValueError, IndexError):
            return ""

    page.load(begin, None, [track, algorithms, eras, lines, map_], **options)
    track.input(entered, track, [algorithms, eras, lines, map_], **options)
    for control in (algorithms, dimensions, eras, what):
        control.input(draw, inputs, [lines, map_], **options)
    lines.select(explain, [track, algorithms], behind, **options)


def _algorithms(board: Board, track: str | None) -> list[tuple[str, int]]:
    if not track:
        return []
    rows, _ = board.rows(track, size=200)
    return [(f"{row['name']} (#{row['submission']})", row["submission"]) for row in rows]


def _first(board: Board, track: str | None) -> list[int]:
    """The two best that rank; upper bounds lie on the human's line, or hide it."""
    rows, _ = board.rows(track, View(bounds=False), size=2) if track else ([], 0)
    return [row["submission"] for row in rows] or [n for _, n in _algorithms(board, track)[:1]]


def _runs(board: Board, track: str | None, numbers: Sequence[int]) -> dict[int, list[RunResult]]:
    if not track or not numbers:
        return {}
    found = _results(board, track, tuple(numbers[:MOST_ALGORITHMS]))
    return {number: runs for number, runs in found.items() if runs}


@lru_cache(maxsize=16)
def _results(board: Board, track: str, numbers: tuple[int, ...]) -> dict[int, list[RunResult]]:
    return board.results(track, numbers)


def _eras(board: Board, track: str | None, numbers: Sequence[int]) -> list[str]:
    runs = _runs(board, track, numbers)
    return list(target_eras(next(iter(runs.values()))[0])) if runs else []


def _stances(runs: Sequence[RunResult]) -> np.ndarray:
    """Of whom the runs judge, mean over seeds, shape (steps, scenarios)."""
    return np.mean([run.trajectory.policy for run in runs], axis=0)


def _lines(
    runs: dict[int, list[RunResult]], dimensions: Sequence[str], eras: Sequence[str], change: bool
) -> go.Figure:
    """A panel a dimension: the humans' values, or their change, and those of each algorithm."""
    first = next(iter(runs.values()))[0]
    every = target_eras(first)
    steps = [i for i, era in enumerate(every) if era in eras]
    columns = min(2, len(dimensions))
    rows = -(-len(dimensions) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=[title(d) for d in dimensions],
        horizontal_spacing=0.09, vertical_spacing=min(0.16, 0.5 / rows),
    )  # fmt: skip
    look = blank_figure(90 + 250 * rows, {"l": 50, "r": 10, "t": 40, "b": 70}, {}, {})
    figure.update_layout(look.layout)
    figure.update_xaxes(look.layout.xaxis)
    figure.update_yaxes(look.layout.yaxis, tickformat="+.2f" if change else ".2f")
    sides: list[tuple[int, str, np.ndarray, str]] = [
        (0, "human", _bands(first, first.trajectory.target[steps], change), HUMAN)
    ]
    for index, (number, own) in enumerate(runs.items()):
        name = f"{plain_text(own[0].spec.algorithm)} (#{number})"
        bands = _bands(own[0], _stances(own)[steps], change)
        colour = _ALGORITHM_COLOURS[index % len(_ALGORITHM_COLOURS)]
        sides.append((number, name, bands, colour))
    names = [every[i] for i in steps]
    for place, dimension in enumerate(dimensions):
        column = DIMENSIONS.index(dimension)
        for number, name, bands, colour in sides:
            part = bands[:, :, column]
            if np.isnan(part).all():
                continue
            band, line = band_traces(name, names, part, colour, 3.5 if number == 0 else 2)
            line.customdata = [
                {"at": [number or next(iter(runs)), step, dimension]} for step in steps
            ]
            line.hovertemplate = "%{x} · %{y:+.3f}" if change else "%{x} · %{y:.3f}"
            for trace in (band, line):
                trace.legendgroup = name
                trace.showlegend = place == 0 and trace is line
                figure.add_trace(trace, row=place // columns + 1, col=place % columns + 1)
    figure.update_layout(
        legend={"orientation": "h", "y": 0.0, "yanchor": "bottom", "yref": "container", "x": 0},
        hovermode="closest",
    )
    return figure


def _bands(run: RunResult, stances: np.ndarray, change: bool) -> np.ndarray:
    if change:
        return change_bands(stances, run.trajectory.frozen, run.labels)
    return value_bands(stances, run.labels)


def _map(runs: dict[int, list[RunResult]], eras: Sequence[str]) -> go.Figure:
    """Humans and policies in the plane in which humans differ most, a frame an era."""
    first = next(iter(runs.values()))[0]
    every = target_eras(first)
    steps = [i for i, era in enumerate(every) if era in eras]
    names = [every[i] for i in steps]
    human = _vectors(first.trajectory.target, first.labels)[steps]
    plane = PCA(n_components=2, svd_solver="full").fit(human)
    paths = [("human", HUMAN, plane.transform(human))]
    for index, (number, own) in enumerate(runs.items()):
        name = f"{plain_text(own[0].spec.algorithm)} (#{number})"
        place = plane.transform(_vectors(_stances(own), own[0].labels)[steps])
        paths.append((name, _ALGORITHM_COLOURS[index % len(_ALGORITHM_COLOURS)], place))
    share = plane.explained_variance_ratio_
    figure = blank_figure(
        460,
        {"l": 50, "r": 16, "t": 40, "b": 90},
        xaxis={"title": {"text": f"first component ({share[0]:.0%} of the variance)"}},
        yaxis={"title": {"text": f"second ({share[1]:.0%})"}},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )
    figure.add_traces([_path(*path, names, len(names)) for path in paths])
    figure.frames = [
        go.Frame(name=name, data=[_path(*path, names, upto) for path in paths])
        for upto, name in enumerate(names, start=1)
    ]
    spread = np.concatenate([place for _, _, place in paths])
    for axis, values in zip((figure.layout.xaxis, figure.layout.yaxis), spread.T, strict=True):
        margin = 0.12 * float(np.ptp(values)) + 1e-3
        axis.range = [float(values.min()) - margin, float(values.max()) + margin]
    figure.update_layout(sliders=[_slider(names)], updatemenus=[_play()])
    return figure


def _vectors(stances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.nan_to_num(contrasts(stances, labels))


def _path(name: str, colour: str, place: np.ndarray, names: Sequence[str], upto: int) -> go.Scatter:
    x, y = place[:upto].round(4).T.tolist()
    return go.Scatter(
        x=x,
        y=y,
        name=name,
        mode="lines+markers+text",
        text=["" for _ in range(upto - 1)] + [names[upto - 1]],
        textposition="top center",
        hovertext=list(names[:upto]),
        hovertemplate="%{hovertext}<extra>" + name + "</extra>",
        line={"color": colour, "width": 2},
        marker={"size": [6] * (upto - 1) + [12], "color": colour},
    )


def _slider(names: Sequence[str]) -> dict[str, Any]:
    now = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate"}
    return {
        "active": len(names) - 1,
        "x": 0.12,
        "len": 0.88,
        "y": -0.12,
        "steps": [{"label": n, "method": "animate", "args": [[n], now]} for n in names],
    }


def _play() -> dict[str, Any]:
    moving = {
        "frame": {"duration": 700, "redraw": True},
        "transition": {"duration": 400},
        "fromcurrent": False,
    }
    return {
        "type": "buttons",
        "x": 0.0,
        "y": -0.12,
        "xanchor": "left",
        "yanchor": "top",
        "bgcolor": "#dfe4e8",
        "font": {"color": "#1d2226"},
        "buttons": [{"label": "▶ Play", "method": "animate", "args": [None, moving]}],
    }


def _behind(board: Board, track: str | None, number: int, step: int, dimension: str) -> str:
    """The scenarios of a dimension, with the stances of policy and human in an era."""
    run = _runs(board, track, [number])[number][0]
    column = DIMENSIONS.index(dimension)
    texts = _texts(run.spec.settings.get("instrument", "statement"))
    policy, human = run.trajectory.policy[step], run.trajectory.target[step]
    rows = []
    for row, (id, _) in enumerate(run.scenarios):
        sign = int(run.labels[row, column])
        if sign:
            text = texts[id].text if id in texts else id
            side = "upholds" if sign > 0 else "violates"
            rows.append((abs(policy[row] - human[row]), text, side, human[row], policy[row]))
    cells = [
        (escape(text), side, f"{h:+.2f}", f"{p:+.2f}", f"{p - h:+.2f}")
        for _, text, side, h, p in sorted(rows, reverse=True)
    ]
    era = target_eras(run)[step]
    caption = f"{title(dimension)} in {era}"
    return (
        f"<h2>{escape(caption)}: {escape(run.spec.algorithm)} (#{number}), "
        f"seed {run.spec.seed}</h2>"
        "<p class='soft'>Stance: log-odds of praising over blaming words, in nats. The value is "
        "σ(mean of the upholding − mean of the violating acts). Largest differences first.</p>"
        + looks.table(caption, ["act", "side", "human", "policy", "difference"], cells)
    )


@lru_cache(maxsize=2)
def _texts(instrument: Any) -> dict[str, Scenario]:
    return {scenario.id: scenario for scenario in shipped_bank(instrument)}
