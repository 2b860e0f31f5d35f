"""Figures of run results. Every function is pure, returns a plotly figure and draws no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .benchmark import Curve
from .comparison import Comparison
from .results import RunResult
from .values.dimensions import DIMENSIONS, title
from .values.scores import LEVEL, draws, skill_by_dimension, skill_by_step
from .values.vector import contrasts, sigmoid

HUMAN, POLICY = "#D55E00", "#0072B2"
"""Colours of the human and of the policy (Okabe & Ito 2008, safe for colour-blind readers)."""

INDISTINCT = "cannot tell eras apart"
UNCOVERED = "not in this bank"
SKILL_RANGE = (-1.0, 1.2)
"""Skills beyond are drawn at the edge; the reader can still see their value on hover."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_SYMBOLS = ("circle", "square", "diamond", "cross", "star", "hexagon", "pentagon")
_DASHES = ("solid", "dash", "dot", "dashdot")
_TAILS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
_GREY, _GRID = "#808080", "rgba(128,128,128,0.25)"
_CLEAR = "rgba(0,0,0,0)"
LEGEND = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "bgcolor": _CLEAR}
_SKILL_AXIS = {"range": [SKILL_RANGE[0] - 0.06, SKILL_RANGE[1] + 0.06], "title": {"text": "skill"}}
_DIVERGING = ((0.0, "#0072B2"), (0.5, "rgba(128,128,128,0.08)"), (1.0, "#D55E00"))

Runs = Mapping[str, Sequence[RunResult]]
"""Label of an algorithm → its runs, which differ in their seed only."""


@dataclass(frozen=True)
class ValueBands:
    """Value trajectories with 95 % bands from resampled scenarios.

    Attributes:
        eras: whose human the policy is scored against, by step.
        human: value, low and high by step and dimension, shape (3, steps, 19).
        policy: the same of the policy, or of the simulated human where there is one.
        alone: the same of the simulated human without advice; None where there is none.
        notes: for each dimension, why its eras cannot be compared, or an empty text.
    """

    eras: tuple[str, ...]
    human: np.ndarray
    policy: np.ndarray
    notes: tuple[str, ...]
    alone: np.ndarray | None = None

    @classmethod
    def of(cls, result: RunResult) -> ValueBands:
        """Bands of a result; the same resamples serve every step."""
        trajectory, coevolution = result.trajectory, result.coevolution
        return cls(
            eras=target_eras(result),
            human=value_bands(trajectory.target, trajectory.labels),
            policy=value_bands(trajectory.policy, trajectory.labels),
            notes=dimension_notes([result]),
            alone=value_bands(coevolution.counterfactual[1:], coevolution.labels)
            if coevolution
            else None,
        )

    @property
    def lines(self) -> list[tuple[str, np.ndarray, str, float]]:
        """Name, band, colour and width of every line to draw."""
        human = ("human", self.human, HUMAN, 4.0)
        if self.alone is None:
            return [human, ("policy", self.policy, POLICY, 1.8)]
        return [
            human,
            ("without advice", self.alone, _GREY, 1.8),
            ("with advice", self.policy, POLICY, 1.8),
        ]


def target_eras(result: RunResult) -> tuple[str, ...]:
    """The era that each step is scored against; a repeated one is numbered."""
    names: list[str] = []
    for step in result.steps:
        seen = sum(name == step.target or name.startswith(f"{step.target} (") for name in names)
        names.append(f"{step.target} ({seen + 1})" if seen else step.target)
    return tuple(names)


def dimension_notes(results: Sequence[RunResult]) -> tuple[str, ...]:
    """For each dimension, why none of the results has a skill in it; empty where one has."""
    covered = np.any([(r.labels != 0).any(axis=0) for r in results], axis=0)
    skills = [skill_by_dimension(r.trajectory) for r in results]
    defined = [any(s[d] is not None for s in skills) for d in DIMENSIONS]
    return tuple(
        UNCOVERED if not c else "" if ok else INDISTINCT
        for c, ok in zip(covered, defined, strict=True)
    )


def value_ranges(bands: Sequence[ValueBands]) -> np.ndarray:
    """A y range for each dimension, shape (19, 2): all equally long, each around its own values."""
    stacked = np.concatenate([part for b in bands for part in (b.human, b.policy)], axis=1)
    missing = np.isnan(stacked).all(axis=(0, 1))
    stacked[:, :, missing] = 0.5
    low, high = np.nanmin(stacked, (0, 1)), np.nanmax(stacked, (0, 1))
    half = max(0.54 * float((high - low).max()), 0.01)
    middle = (low + high) / 2
    return np.stack([middle - half, middle + half], axis=1)


def value_panels(
    bands: ValueBands, ranges: np.ndarray | None = None, height: int = 170
) -> dict[str, go.Figure]:
    """Dimension → a small figure of the human's and the policy's value by era.

    Args:
        bands: of one result.
        ranges: y ranges, shape (19, 2), e.g. common to several results.
        height: in pixels.
    """
    ranges = value_ranges([bands]) if ranges is None else ranges
    eras = [plain_text(era) for era in bands.eras]
    shown = sorted({0, (len(eras) - 1) // 2, len(eras) - 1})
    figures = {}
    for column, dimension in enumerate(DIMENSIONS):
        figure = blank_figure(
            height,
            {"l": 36, "r": 8, "t": 18, "b": 26},
            xaxis={
                "type": "category",
                "range": [-0.3, len(eras) - 0.7],
                "tickvals": [eras[i] for i in shown],
                "ticklabelstandoff": 5,
                "showgrid": False,
            },
            yaxis={"range": ranges[column].round(4).tolist(), "nticks": 6, "tickformat": ".2f"},
            showlegend=False,
            hovermode="x unified",
            font_size=11,
        )
        if bands.notes[column] == UNCOVERED:
            _note(figure, UNCOVERED, x=0.5, y=0.5, xanchor="center")
        else:
            for name, part, colour, width in bands.lines:
                figure.add_traces(band_traces(name, eras, part[:, :, column], colour, width))
        if bands.notes[column] == INDISTINCT:
            _note(figure, INDISTINCT, x=0, y=1.0, yanchor="bottom")
        figures[dimension] = figure
    return figures


def skill_by_era(runs: Runs) -> go.Figure:
    """Skill of each step, a line an algorithm: the mean over seeds with the seeds' range."""
    eras = [plain_text(era) for era in target_eras(next(iter(runs.values()))[0])]
    figure = blank_figure(
        380,
        {"l": 48, "r": 12, "t": 28, "b": 40},
        xaxis={
            "type": "category",
            "range": [-0.4, len(eras) - 0.6],
            "categoryorder": "array",
            "categoryarray": eras,
        },
        yaxis=_SKILL_AXIS,
        legend=LEGEND,
    )
    for index, (label, results) in enumerate(runs.items()):
        rows = _skills([skill_by_step(r.trajectory) for r in results])
        figure.add_trace(_skill_trace(label, index, rows, across=eras, vertical=True))
    for level in (0, 1):
        figure.add_hline(level, line={"color": _GREY, "width": 1})
    return figure


def standings(comparison: Comparison) -> go.Figure:
    """Skills with their intervals, best on top; bars join neighbours that chance can explain.

    The bars are those of critical-difference diagrams (Demšar 2006), on the scale of skill.
    """
    rows = list(range(len(comparison.standings)))
    labels = [plain_text(s.label) for s in comparison.standings]
    figure = blank_figure(
        90 + 30 * len(rows),
        {"l": 10, "r": 12, "t": 12, "b": 40},
        xaxis=_SKILL_AXIS,
        yaxis={
            "range": [len(rows) - 0.5, -0.5],
            "tickvals": rows,
            "ticktext": labels,
            "showgrid": False,
            "automargin": True,
        },
        showlegend=False,
    )
    for level in (0, 1):
        figure.add_vline(level, line={"color": _GREY, "width": 1})
    for row, standing in enumerate(comparison.standings):
        found = standing.skill
        if found.value is None:
            _note(figure, "undefined", x=SKILL_RANGE[0], y=row, xref="x", yref="y")
            continue
        ends = [found.value if e is None else e for e in (found.low, found.value, found.high)]
        low, value, high = np.clip(ends, *SKILL_RANGE).round(4).tolist()
        colour = _GREY if standing.rank is None else COLOURS[0]
        figure.add_trace(_bar([low, high], [row, row], colour, 2))
        figure.add_scatter(
            x=[value],
            y=[row],
            mode="markers",
            marker={"color": colour, "size": 9},
            text=[labels[row]],
            customdata=[ends],
            hovertemplate="%{text}<br>%{customdata[1]:.2f} [%{customdata[0]:.2f}, "
            "%{customdata[2]:.2f}]<extra></extra>",
        )
    for place, (first, last) in enumerate(comparison.alike):
        x = SKILL_RANGE[1] + 0.03 - 0.035 * (place % 6)
        figure.add_trace(_bar([x, x], [first, last], _GREY, 4))
    return figure


def _bar(x: list[float], y: list[int], colour: str, width: int) -> go.Scatter:
    line = {"color": colour, "width": width}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip")


def training_curves(runs: Runs) -> dict[str, go.Figure]:
    """Curve name -> what the trainings were like, by optimizer step over all eras.

    Of the runs of an algorithm the first is drawn.
    """
    steps = [step for results in runs.values() for result in results for step in result.steps]
    figures = {}
    for name in sorted({name for step in steps for name in step.curves}):
        figure = blank_figure(
            280,
            {"l": 56, "r": 12, "t": 28, "b": 44},
            xaxis={"title": {"text": "optimizer step, all eras in a row"}},
            yaxis={"title": {"text": plain_text(name)}},
            legend=LEGEND,
        )
        for index, (label, results) in enumerate(runs.items()):
            curve = [y for step in results[0].steps for y in step.curves.get(name, [])]
            if curve:
                figure.add_scatter(
                    x=list(range(1, len(curve) + 1)),
                    y=[round(y, 4) for y in curve],
                    name=plain_text(label),
                    mode="lines",
                    line={"color": COLOURS[index % 6], "width": 1.5, "dash": _DASHES[index % 4]},
                )
        figures[name] = figure
    return figures


def cost_curve(curve: Curve) -> go.Figure:
    """A cost against a size, both on logarithmic axes: a straight line is a power law."""
    axes = [
        {"type": "log", "dtick": "D1", "title": {"text": plain_text(title)}}
        for title in (curve.x_title, curve.y_title)
    ]
    figure = blank_figure(
        320, {"l": 60, "r": 12, "t": 28, "b": 48}, xaxis=axes[0], yaxis=axes[1], legend=LEGEND
    )
    for index, (name, costs) in enumerate(curve.lines.items()):
        figure.add_trace(
            go.Scatter(
                x=curve.x,
                y=costs,
                name=plain_text(name),
                mode="lines+markers",
                line={"color": COLOURS[index], "dash": _DASHES[index]},
                marker={"symbol": _SYMBOLS[index]},
            )
        )
    return figure


def skill_by_dimension_dots(runs: Runs) -> go.Figure:
    """Skill in each dimension, a row a dimension; undefined ones say why."""
    row_height = max(24, 11 * len(runs))
    figure = blank_figure(
        len(DIMENSIONS) * row_height + 110,
        {"l": 10, "r": 12, "t": 28, "b": 40},
        xaxis=_SKILL_AXIS,
        yaxis={
            "range": [len(DIMENSIONS) - 0.5, -0.5],
            "tickvals": list(range(len(DIMENSIONS))),
            "ticktext": [title(d) for d in DIMENSIONS],
            "showgrid": False,
            "automargin": True,
        },
        legend=LEGEND,
    )
    for index, (label, results) in enumerate(runs.items()):
        rows = _skills([list(skill_by_dimension(r.trajectory).values()) for r in results])
        offset = 0.7 * ((index + 0.5) / len(runs) - 0.5)
        places = [i + offset for i in range(len(DIMENSIONS))]
        figure.add_trace(_skill_trace(label, index, rows, across=places, vertical=False))
    every = [result for results in runs.values() for result in results]
    for row, note in enumerate(dimension_notes(every)):
        if note:
            _note(figure, note, x=SKILL_RANGE[0], y=row, xref="x", yref="y", yanchor="middle")
        if row % 2:
            figure.add_hrect(row - 0.5, row + 0.5, fillcolor=_GREY, opacity=0.09, line_width=0)
    for level in (0, 1):
        figure.add_vline(level, line={"color": _GREY, "width": 1})
    return figure


def human_values(bands: ValueBands) -> go.Figure:
    """Heat map of the human's values, eras × dimensions."""
    figure = _heat_map(bands.eras, bands.human[0], "human's value")
    figure.update_traces(colorscale="Cividis")
    return figure


def policy_errors(bands: ValueBands, limit: float | None = None) -> go.Figure:
    """Heat map of the policy's values minus the human's; colours saturate at ± limit."""
    error = bands.policy[0] - bands.human[0]
    limit = limit or max(float(np.nanmax(np.abs(error))), 0.01)
    figure = _heat_map(bands.eras, error, "policy − human")
    figure.update_traces(colorscale=_DIVERGING, zmin=-limit, zmax=limit)
    return figure


def value_bands(stances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Value, low and high, shape (3, steps, 19); the same resamples serve every model."""
    counts = draws(len(labels), seed=0)
    rows = []
    for row in stances:
        resampled = sigmoid(contrasts(row, labels, counts))
        low, high = np.percentile(resampled, _TAILS, axis=0)
        rows.append([sigmoid(contrasts(row, labels)), low, high])
    return np.array(rows).transpose(1, 0, 2)


def change_bands(stances: np.ndarray, start: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Change of the values since ``start`` with bands, shape (3, steps, 19).

    Both are resampled together, so that what a scenario adds to both cancels: changes are far
    better known than values.

    Args:
        stances: shape (steps, scenarios).
        start: shape (scenarios,).
        labels: shape (scenarios, 19).
    """
    counts = draws(len(labels), seed=0)
    before, resampled_before = (sigmoid(contrasts(start, labels, c)) for c in (None, counts))
    rows = []
    for row in stances:
        resampled = sigmoid(contrasts(row, labels, counts)) - resampled_before
        low, high = np.percentile(resampled, _TAILS, axis=0)
        rows.append([sigmoid(contrasts(row, labels)) - before, low, high])
    return np.array(rows).transpose(1, 0, 2)


def blank_figure(
    height: int,
    margin: dict[str, int],
    xaxis: dict[str, Any],
    yaxis: dict[str, Any],
    **layout: Any,
) -> go.Figure:
    """An empty figure that looks right on light and dark pages alike."""
    axis = {"gridcolor": _GRID, "zeroline": False, "fixedrange": True}
    return go.Figure(
        layout={
            "template": "none",
            "height": height,
            "margin": margin,
            "paper_bgcolor": _CLEAR,
            "plot_bgcolor": _CLEAR,
            "font": {"family": "system-ui, sans-serif", "size": 12, "color": _GREY},
            "dragmode": False,
            "modebar": {"bgcolor": _CLEAR, "color": _GREY},
            "xaxis": axis | xaxis,
            "yaxis": axis | yaxis,
            **layout,
        }
    )


def band_traces(
    name: str, eras: Sequence[str], part: np.ndarray, colour: str, width: float
) -> list[go.Scatter]:
    """A line with its band; ``part`` is value, low and high by era."""
    value, low, high = (row.round(4).tolist() for row in part)
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    band = go.Scatter(
        x=[*eras, *reversed(eras)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.16)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
    )
    line = go.Scatter(
        x=list(eras),
        y=value,
        name=name,
        mode="lines+markers",
        line={"color": colour, "width": width},
        marker={"size": width + 2},
        customdata=list(zip(low, high, strict=True)),
        hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    )
    return [band, line]


def _skills(seeds: Sequence[Sequence[float | None]]) -> list[tuple[float, float, float] | None]:
    """Mean, lowest and highest over seeds for each column; None where no seed has a skill."""
    columns = [[s for s in column if s is not None] for column in zip(*seeds, strict=True)]
    return [(float(np.mean(c)), min(c), max(c)) if c else None for c in columns]


def _skill_trace(
    label: str,
    index: int,
    rows: Sequence[tuple[float, float, float] | None],
    across: Sequence[Any],
    vertical: bool,
) -> go.Scatter:
    """Skills against eras (vertical) or dimensions, clipped to the range with open markers."""
    clipped = [None if r is None else np.clip(r, *SKILL_RANGE).round(4).tolist() for r in rows]
    outside = [r is not None and not SKILL_RANGE[0] <= r[0] <= SKILL_RANGE[1] for r in rows]
    symbol = _SYMBOLS[index % len(_SYMBOLS)]
    shown = [None if c is None else c[0] for c in clipped]
    spread = {
        "type": "data",
        "array": [0 if c is None else c[2] - c[0] for c in clipped],
        "arrayminus": [0 if c is None else c[0] - c[1] for c in clipped],
        "width": 0,
        "thickness": 1,
    }
    seeds = "%{text}<br>seeds %{customdata[1]:.2f} to %{customdata[2]:.2f}"
    places = {"x": list(across), "y": shown} if vertical else {"x": shown, "y": list(across)}
    return go.Scatter(
        **places,
        name=plain_text(label),
        mode="lines+markers" if vertical else "markers",
        line={"color": COLOURS[index % 6], "width": 2, "dash": _DASHES[index % 4]},
        marker={
            "color": COLOURS[index % 6],
            "size": 9,
            "symbol": [f"{symbol}-open" if out else symbol for out in outside],
        },
        text=across if vertical else [title(d) for d in DIMENSIONS],
        customdata=[r or (None, None, None) for r in rows],
        hovertemplate="skill %{customdata[0]:.2f} · " + seeds,
        **{"error_y" if vertical else "error_x": spread},
    )


def _heat_map(eras: Sequence[str], values: np.ndarray, name: str) -> go.Figure:
    figure = blank_figure(
        520,
        {"l": 10, "r": 10, "t": 28, "b": 10},
        xaxis={"type": "category", "showgrid": False},
        yaxis={
            "type": "category",
            "showgrid": False,
            "autorange": "reversed",
            "automargin": True,
        },
    )
    bar = {"orientation": "h", "thickness": 10, "y": -0.08, "yanchor": "top", "outlinewidth": 0}
    figure.add_trace(
        go.Heatmap(
            x=[plain_text(era) for era in eras],
            y=[title(d) for d in DIMENSIONS],
            z=values.T.round(4).tolist(),
            xgap=1,
            ygap=1,
            colorbar={**bar, "title": {"text": name, "side": "bottom"}, "nticks": 6},
            hovertemplate="%{y} · %{x}<br>" + name + " %{z:.3f}<extra></extra>",
        )
    )
    return figure


def _note(figure: go.Figure, text: str, x: float, y: float, **options: Any) -> None:
    """Small text inside a figure, placed by shares of the figure unless told otherwise."""
    placed = {"xref": "paper", "yref": "paper", "xanchor": "left", **options}
    figure.add_annotation(x=x, y=y, text=text, showarrow=False, font={"size": 11}, **placed)


def plain_text(text: str) -> str:
    """Escape what plotly would read as markup."""
    return escape(text, quote=False)
