"""The HTML page of benchmarks: figures in a table, growth in plots."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

import plotly.graph_objects as go

from . import page
from .benchmark import Outcome
from .plots import cost_curve
from .storage import write_text


def write_benchmark_page(outcomes: Mapping[str, Outcome], path: Path) -> Path:
    """Write a page that opens anywhere, also without a network.

    Args:
        outcomes: by benchmark.
        path: of the HTML file, replaced atomically.
    """
    figures: dict[str, go.Figure] = {}
    parts = ["<header><h1>ProgressGym benchmarks</h1></header>"]
    for name, outcome in outcomes.items():
        rows = [
            [f"<td>{escape(key)}</td>", page.number(_shown(value))]
            for key, value in (outcome.figures | outcome.details).items()
        ]
        parts.append(f"<section><h2>{escape(name)}</h2>")
        parts.append(page.table(f"Figures of {name}", ("Figure", "Value"), rows))
        for number, curve in enumerate(outcome.curves):
            key = f"{name}-{number}"
            figures[key] = cost_curve(curve)
            parts.append(page.figure(key, curve.title, escape(curve.title)))
        parts.append("</section>")
    write_text(path, page.document("\n".join(parts), figures, "ProgressGym benchmarks"))
    return path


def _shown(value: float | int | str) -> str:
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))
