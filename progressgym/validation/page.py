"""The HTML page of a validation: can the eras be told apart, and in what?"""

from __future__ import annotations

from html import escape
from pathlib import Path

import plotly.graph_objects as go

from .. import page
from ..plots import COLOURS, LEGEND, blank_figure, plain_text
from ..storage import write_text
from ..values.dimensions import title
from . import sections
from .evidence import RELIABLE, SIGNAL, DimensionValidity, Validation

_PALE = "#999999"
_MARGIN = {"l": 52, "r": 12, "t": 28, "b": 40}
_TITLES = (
    "Dimension", "Signal / noise", "Shape alone", "Without general factor", "Reliability", "p",
    "Frames agree", "Dilemmas agree", "Length",
)  # fmt: skip


def write_validation_page(found: Validation, path: Path) -> Path:
    """Write a page that opens anywhere, also without a network.

    Args:
        found: the evidence.
        path: of the HTML file, replaced atomically.
    """
    figures: dict[str, go.Figure] = {"signal": _signal(found), "map": _map(found)}
    figures["eigenvalues"] = _eigenvalues(found)
    panels = []
    for name, known in found.dimensions.items():
        figures[f"value-{name}"] = _values(found.eras, known)
        label = f"{title(name)} by era"
        panels.append(page.panel(f"value-{name}", label, title(name), ""))
    parts = [_header(found), "<section><h2>What tells the eras apart</h2>"]
    parts += [
        page.figure(
            "signal",
            "Signal over noise of each dimension",
            "Variance between eras beyond what the choice of scenarios explains, over the latter; "
            f"the line is at {SIGNAL:g}. Beside it the same with every era's stances scaled to one "
            "spread, and once the factor that all dimensions share is removed.",
        ),
        page.table("Evidence by dimension", _TITLES, [_row(n, k) for n, k in _sorted(found)]),
        "</section><section><h2>Values by era</h2>",
        '<p class="note">Mean stance on acts that uphold a dimension less that on acts that '
        "violate it, as a share between 0 and 1, with 95 % intervals over scenarios. The intervals "
        "hold for one era alone; differences between eras are surer, since all judge the same "
        "scenarios.</p>",
        f'<div class="panels">{"".join(panels)}</div></section>',
        "<section><h2>Directions</h2>",
        page.figure(
            "map",
            "Map of the eras",
            "Eras on the first two principal components of their profiles, in nats, joined in "
            "order of time.",
        ),
        page.figure(
            "eigenvalues",
            "Eigenvalues of the eras' profiles",
            "How much the eras move in each independent direction, in units of sampling variance. "
            "The line is what the largest of shuffled eras reaches in one case of twenty: "
            f"above it: {found.directions}.",
        ),
        "</section>",
    ]
    if found.replicas is not None:
        figures["replicas"] = _replicas(found)
        caption = (
            "Distance of each era's model (rows) to the models trained a second time (columns), in "
            f"sampling errors. Nearest to their own replica: {len(found.replicas.recognised)} of "
            f"{len(found.eras)}."
        )
        parts.append("<section><h2>Replicas</h2>")
        parts.append(page.figure("replicas", "Distances to replicas", caption) + "</section>")
    parts.append(sections.ruler(found))
    parts.append(sections.moves(found.moves, found.eras))
    if found.perplexity is not None:
        parts.append(sections.perplexity(found.perplexity, found.eras))
    if found.quality is not None:
        parts.append(sections.quality(found.quality, found.eras))
    if found.answers:
        parts.append(sections.interview(found.answers))
    name = f"Validation of {found.timeline}"
    write_text(path, page.document("\n".join(parts), figures, name))
    return path


def _header(found: Validation) -> str:
    """What came out, in a few sentences."""
    dull = [title(name) for name in found.dull]
    weak = f" Do not read differences into {escape(', '.join(dull))}." if dull else ""
    enough = "enough" if found.reliability >= RELIABLE else "too little"
    return (
        f"<header><h1>Validation of {escape(found.timeline)}</h1>"
        f"<p>{len(found.eras)} eras · {found.scenarios:,} scenarios</p></header>"
        f"<p>Signal over noise is above {SIGNAL:g} in <strong>{len(found.telling)} of "
        f"{len(found.dimensions)}</strong> dimensions.{weak} Reliability of differences between "
        f"eras is {found.reliability:.2f}, {enough} (at least {RELIABLE:g}). Were all eras equal, "
        f"they would differ as much with p = {found.p:.3f}. Independent directions in which they "
        f"move: {found.directions}.</p>"
    )


def _sorted(found: Validation) -> list[tuple[str, DimensionValidity]]:
    """Dimensions, the most telling first."""
    return sorted(found.dimensions.items(), key=lambda pair: -(pair[1].signal_to_noise or -9))


def _row(name: str, known: DimensionValidity) -> list[str]:
    signal = (known.signal_to_noise, known.shape, known.without_general, known.reliability)
    facets = (known.frame_agreement, known.dilemmas, known.length)
    cells = [*map(sections.cell, signal), sections.cell(known.p, 3), *map(sections.cell, facets)]
    return [page.head(title(name)), *cells]


def _signal(found: Validation) -> go.Figure:
    """Bars of signal over noise, the largest on top."""
    ordered = _sorted(found)
    figure = blank_figure(
        34 * len(ordered) + 90,
        {"l": 10, "r": 12, "t": 28, "b": 40},
        xaxis={"title": {"text": "signal over noise"}},
        yaxis={"automargin": True, "autorange": "reversed", "showgrid": False},
        legend=LEGEND,
        barmode="group",
        shapes=[
            {
                "type": "line", "x0": SIGNAL, "x1": SIGNAL, "yref": "paper", "y0": 0, "y1": 1,
                "line": {"color": _PALE, "dash": "dot"},
            }
        ],
    )  # fmt: skip
    for label, colour, key in (
        ("as measured", COLOURS[0], "signal_to_noise"),
        ("shape alone", COLOURS[2], "shape"),
        ("without general factor", COLOURS[4], "without_general"),
    ):
        figure.add_trace(
            go.Bar(
                y=[title(name) for name, _ in ordered],
                x=[getattr(known, key) for _, known in ordered],
                orientation="h",
                name=label,
                marker={"color": colour},
                hovertemplate="%{y}: %{x:.2f}<extra></extra>",
            )
        )
    return figure


def _values(eras: list[str], known: DimensionValidity) -> go.Figure:
    """One dimension by era, with intervals."""
    shown = [known.values[era] for era in eras]
    above = [None if v.high is None or v.value is None else v.high - v.value for v in shown]
    below = [None if v.low is None or v.value is None else v.value - v.low for v in shown]
    figure = blank_figure(
        170,
        {"l": 36, "r": 8, "t": 6, "b": 24},
        xaxis={"type": "category", "nticks": 4},
        yaxis={"nticks": 4, "tickformat": ".2f"},
        showlegend=False,
    )
    figure.add_trace(
        go.Scatter(
            x=[plain_text(era) for era in eras],
            y=[v.value for v in shown],
            error_y={
                "type": "data", "array": above, "arrayminus": below, "color": _PALE, "width": 0,
            },
            mode="lines+markers",
            line={"color": COLOURS[0], "width": 2},
            hovertemplate="%{x}: %{y:.3f}<extra></extra>",
        )
    )  # fmt: skip
    return figure


def _map(found: Validation) -> go.Figure:
    figure = blank_figure(
        420,
        _MARGIN,
        xaxis={"title": {"text": "first component, nats"}},
        yaxis={"title": {"text": "second component, nats"}},
        showlegend=False,
    )
    x, y = zip(*found.map.values(), strict=True)
    figure.add_trace(
        go.Scatter(
            x=x, y=y, text=[plain_text(era) for era in found.map], mode="lines+markers+text",
            textposition="top center", cliponaxis=False,
            line={"color": _PALE, "width": 1}, marker={"color": COLOURS[1], "size": 9},
            hovertemplate="%{text}<extra></extra>",
        )
    )  # fmt: skip
    return figure


def _eigenvalues(found: Validation) -> go.Figure:
    numbers = list(range(1, len(found.eigenvalues) + 1))
    figure = blank_figure(
        300,
        _MARGIN,
        xaxis={"dtick": 1, "title": {"text": "direction"}},
        yaxis={"type": "log", "title": {"text": "eigenvalue"}},
        legend=LEGEND,
    )
    shuffled = [found.eigenvalue_bound] * len(numbers)
    figure.add_trace(
        go.Scatter(
            x=numbers, y=found.eigenvalues, mode="lines+markers", name="eras",
            line={"color": COLOURS[0]},
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=numbers, y=shuffled, mode="lines", name="largest of shuffled eras",
            line={"color": _PALE, "dash": "dot"},
        )
    )  # fmt: skip
    return figure


def _replicas(found: Validation) -> go.Figure:
    assert found.replicas is not None
    eras = [plain_text(era) for era in found.eras]
    figure = blank_figure(
        420,
        _MARGIN,
        xaxis={"type": "category", "title": {"text": "replica"}},
        yaxis={"type": "category", "autorange": "reversed"},
    )
    figure.add_trace(
        go.Heatmap(
            x=eras, y=eras, z=found.replicas.distance, colorscale="Cividis",
            hovertemplate="%{y} to %{x}: %{z:.2f}<extra></extra>",
        )
    )  # fmt: skip
    return figure
