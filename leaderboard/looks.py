"""How the board looks: theme, styles, and the parts that several pages share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from progressgym.results import format_interval
from progressgym.values.scores import Interval

PLOTLY = "/assets/plotly.js"
"""Where the page finds the library that draws; served by the board itself."""

_FONT = ("system-ui", "-apple-system", "Segoe UI", "sans-serif")
THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.blue,
    neutral_hue=gr.themes.colors.slate,
    font=_FONT,
    font_mono=("ui-monospace", "SFMono-Regular", "monospace"),
    radius_size=gr.themes.sizes.radius_sm,
).set(
    body_background_fill="#fcfcfa",
    body_background_fill_dark="#15181b",
    block_background_fill="*body_background_fill",
    block_background_fill_dark="*body_background_fill",
    block_border_width="0px",
    block_shadow="none",
    block_label_text_color="#4b545b",
    block_label_text_color_dark="#aab3ba",
    block_info_text_color="#4b545b",
    block_info_text_color_dark="#aab3ba",
    body_text_color_subdued="#4b545b",
    body_text_color_subdued_dark="#aab3ba",
    button_primary_background_fill="#005f94",
    button_primary_background_fill_hover="#004c77",
    button_primary_background_fill_dark="#005f94",
)

STYLES = Path(__file__).parent / "looks.css"

CLICKS = """
element.addEventListener('click', event => {
  const target = event.target.closest('[data-act]');
  if (target && !target.disabled)
    trigger('select', {act: target.dataset.act, of: target.dataset.of, on: target.checked});
});
const note = () => {
  const place = element.querySelector('[data-query]');
  if (place) history.replaceState(null, '', location.pathname + place.dataset.query);
};
watch('value', note);
"""
"""Tells Python which part with ``data-act`` was clicked, and keeps the address of the view."""

_DRAWING = """
const draw = () => {
  const place = element.querySelector('.pg-plot');
  if (!place || !props.value) return;
  if (!window.Plotly) { setTimeout(draw, 50); return; }
  const {data, layout, frames} = JSON.parse(props.value);
  const style = getComputedStyle(element);
  const font = {...layout.font, color: style.getPropertyValue('--body-text-color-subdued').trim()};
  const hoverlabel = {bgcolor: style.getPropertyValue('--background-fill-primary').trim(),
                      font: {color: style.getPropertyValue('--body-text-color').trim()}};
  Plotly.newPlot(place, {data, layout: {...layout, font, hoverlabel}, frames,
                 config: {responsive: true, displaylogo: false, modeBarButtons: [['toImage']]}});
  new ResizeObserver(() => Plotly.Plots.resize(place)).observe(place);
  place.on('plotly_click', event => {
    const point = event.points[0];
    trigger('select', {point: JSON.stringify(point.customdata ?? null)});
  });
};
watch('value', draw);
draw();
"""


def figure(label: str, value: go.Figure | None = None) -> gr.HTML:
    """A place for a plotly figure; clicking a point triggers ``select`` with its customdata."""
    return gr.HTML(
        value.to_json() if value else None,
        html_template=f'<div class="pg-plot" role="img" aria-label="{escape(label)}"></div>',
        js_on_load=_DRAWING,
        head=f'<script src="{PLOTLY}"></script>',
        elem_classes="pg",
        apply_default_css=False,
    )


def html(value: str | Callable[..., str] = "", clicks: bool = False, **options: Any) -> gr.HTML:
    """A part of a page in our own markup."""
    return gr.HTML(
        value,
        js_on_load=CLICKS if clicks else None,
        elem_classes=["pg"],
        apply_default_css=False,
        **options,
    )


def heading(title: str, text: str) -> gr.HTML:
    """A page's title (plain text) and what it is for (HTML)."""
    return html(f"<h1>{escape(title)}</h1><p class='soft'>{text}</p>")


def table(
    caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]], empty: str = "Nothing."
) -> str:
    """A table; titles and cells are ready HTML, the first cell of a row names it."""
    if not rows:
        return f'<div class="empty">{empty}</div>'
    head = "".join(t if t.startswith("<th") else f'<th scope="col">{t}</th>' for t in titles)
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f'<td class="number">{cell}</td>' for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def empty(text: str) -> str:
    """What stands where there is nothing to show; plain text."""
    return f'<div class="empty">{escape(text)}</div>'


def badge(status: str) -> str:
    """A submission's status."""
    kind = {"reproduced": "good", "withdrawn": "bad"}.get(status, "soft")
    sign = {"reproduced": "✓ ", "withdrawn": "✕ "}.get(status, "")
    return f'<span class="badge {kind}">{sign}{escape(status)}</span>'


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(row: Any) -> str:
    """Skill with its interval, and a bar from −1 to 1.2 that shows both."""
    value, low, high = row["skill"], row["low"], row["high"]
    text = format_interval(Interval(value=value, low=low, high=high))
    if value is None:
        return text

    def place(x: float) -> str:
        return f"{100 * (min(max(x, -1.0), 1.2) + 1.0) / 2.2:.1f}%"

    whisker = (
        f'<line x1="{place(low)}" x2="{place(high)}" y1="50%" y2="50%" stroke-width="2" '
        'opacity=".55"/>'
        if low is not None and high is not None
        else ""
    )
    ticks = "".join(
        f'<line x1="{place(x)}" x2="{place(x)}" y1="0" y2="100%" opacity=".25"/>' for x in (0, 1)
    )
    dot = f'<circle cx="{place(value)}" cy="50%" r="3.2" fill="currentColor"/>'
    return f'{text}<svg class="bar" aria-hidden="true">{ticks}{whisker}{dot}</svg>'
