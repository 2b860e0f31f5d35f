"""Figures of a corpus's statistics; they draw no network and suit light and dark pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from progressgym.plots import COLOURS, LEGEND, blank_figure, plain_text

from .summary import CorpusStatistics, EraStatistics

_MARGIN = {"l": 52, "r": 12, "t": 28, "b": 36}
_PALE = "#999999"  # for what is neither of the named ones
_MOST_KINDS = 6  # named in one figure: as many as there are colours


def words_by_genre(eras: Sequence[EraStatistics]) -> go.Figure:
    """Words of each era in stacked bars, a colour a genre."""
    return _bars(eras, [era.genres for era in eras], "words")


def words_by_origin(eras: Sequence[EraStatistics]) -> go.Figure:
    """Share of each era's words in its authors' own English and in translation."""
    counts = [
        {
            "author's own English": era.original_words / max(1, era.words),
            "translation": era.translated_words / max(1, era.words),
        }
        for era in eras
    ]
    figure = _bars(eras, counts, "share of words", height=260)
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return figure


def set_aside(eras: Sequence[EraStatistics]) -> go.Figure:
    """Documents of each era's years that were left out, a colour a reason."""
    figure = _bars(eras, [era.set_aside for era in eras], "documents", height=280)
    if max(sum(era.set_aside.values()) for era in eras) < 10:
        figure.update_yaxes(dtick=1)
    return figure


def cleaning_steps(statistics: CorpusStatistics) -> go.Figure:
    """Share of the characters of each kind of source that a cleaning step took out."""
    totals: Counter[str] = Counter()
    for own in statistics.cleaning.values():
        totals.update(own.removed)
    steps = [step for step, removed in totals.most_common() if removed]
    figure = blank_figure(
        26 * len(steps) * max(1, len(statistics.cleaning) // 2) + 120,
        {"l": 10, "r": 16, "t": 28, "b": 44},
        xaxis={
            "tickformat": ".1%",
            "title": {"text": "share of characters"},
            "rangemode": "tozero",
        },
        yaxis={"type": "category", "autorange": "reversed", "automargin": True, "showgrid": False},
        legend=LEGEND,
        barmode="group",
    )
    for index, (kind, own) in enumerate(statistics.cleaning.items()):
        whole = max(1, own.kept + sum(own.removed.values()))
        figure.add_trace(
            go.Bar(
                orientation="h",
                name=plain_text(kind),
                y=[plain_text(step) for step in steps],
                x=[own.removed.get(step, 0) / whole for step in steps],
                marker={"color": COLOURS[index % len(COLOURS)]},
                hovertemplate="%{y}: %{x:.2%}",
            )
        )
    return figure


def quality(eras: Sequence[EraStatistics]) -> go.Figure:
    """Share of words that look like words: the mean of each era and its worst document."""
    figure = blank_figure(
        260,
        _MARGIN,
        xaxis={"type": "category", "range": [-0.5, len(eras) - 0.5]},
        yaxis={"range": [0, 1.02], "tickformat": ".0%", "title": {"text": "words like words"}},
        legend=LEGEND,
    )
    lines = {
        "mean": [era.quality.mean if era.quality else None for era in eras],
        "worst document": [era.quality.least if era.quality else None for era in eras],
    }
    for index, (name, values) in enumerate(lines.items()):
        figure.add_trace(
            go.Scatter(
                x=[plain_text(era.name) for era in eras],
                y=values,
                name=name,
                mode="lines+markers" if index == 0 else "markers",
                line={"color": COLOURS[index], "width": 2},
                marker={"size": 8, "symbol": ("circle", "square-open")[index]},
                hovertemplate="%{y:.1%}",
            )
        )
    return figure


def drift(statistics: CorpusStatistics) -> go.Figure:
    """Heat map of the divergence between eras; the diagonal is the noise floor of each."""
    names = [plain_text(era.name) for era in statistics.eras]
    rows: list[list[float | None]] = [list(row) for row in statistics.drift]
    for index, era in enumerate(statistics.eras):
        rows[index][index] = era.noise_floor
    cells = [["" if value is None else f"{value:.2f}"[1:] for value in row] for row in rows]
    figure = blank_figure(
        460,
        {"l": 10, "r": 10, "t": 28, "b": 10},
        xaxis={"type": "category", "showgrid": False},
        yaxis={"type": "category", "showgrid": False, "autorange": "reversed", "automargin": True},
    )
    bar = {"orientation": "h", "thickness": 10, "y": -0.09, "yanchor": "top", "outlinewidth": 0}
    figure.add_trace(
        go.Heatmap(
            x=names,
            y=names,
            z=rows,
            text=cells,
            texttemplate="%{text}",
            xgap=1,
            ygap=1,
            zmin=0,
            colorscale="Cividis",
            colorbar={**bar, "title": {"text": "bits", "side": "bottom"}, "nticks": 6},
            hovertemplate="%{y} and %{x}: %{z:.3f} bits<extra></extra>",
        )
    )
    return figure


def _bars(
    eras: Sequence[EraStatistics], counts: Sequence[Mapping[str, float]], title: str, **options: Any
) -> go.Figure:
    """Stacked bars, an era a bar; small kinds are drawn together as ``other``."""
    totals: Counter[str] = Counter()
    for own in counts:
        totals.update(own)
    kinds = [kind for kind, _ in totals.most_common()]
    named = kinds if len(kinds) <= _MOST_KINDS else kinds[: _MOST_KINDS - 1]
    figure = blank_figure(
        options.get("height", 340),
        _MARGIN,
        xaxis={"type": "category", "range": [-0.5, len(eras) - 0.5], "showgrid": False},
        yaxis={"title": {"text": title}, "rangemode": "tozero"},
        legend={**LEGEND, "traceorder": "normal"},
        barmode="stack",
        hovermode="x unified",
    )
    heights = {kind: [own.get(kind, 0) for own in counts] for kind in named}
    if len(named) < len(kinds):
        heights["other"] = [sum(v for k, v in own.items() if k not in named) for own in counts]
    for index, (kind, values) in enumerate(heights.items()):
        colour = COLOURS[index] if kind in named else _PALE
        figure.add_trace(
            go.Bar(
                x=[plain_text(era.name) for era in eras],
                y=values,
                name=plain_text(kind),
                marker={"color": colour},
            )
        )
    return figure
