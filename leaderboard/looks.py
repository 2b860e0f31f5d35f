"""How the board looks: theme, styles, and the parts that several pages share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import gradio as gr
import plotly.graph_objects as go

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

CSS = """
.gradio-container{max-width:76rem!important;margin:0 auto!important}
.pg{--line:var(--border-color-primary);--soft:var(--body-text-color-subdued);--good:#00704f;
--bad:#a33b00;--accent:#005f94;font-size:.94rem}
.dark .pg{--good:#5fd0a5;--bad:#f0a868;--accent:#6fc0f0}
.pg h1{font-size:1.7rem;margin:.2rem 0 .3rem;letter-spacing:-.015em;text-wrap:balance;
overflow-wrap:anywhere}
.pg h2{font-size:1.2rem;margin:1.6rem 0 .4rem}.pg p{max-width:46rem;margin:.4rem 0}
.pg .soft{color:var(--soft)}.pg a{color:var(--accent);text-decoration:underline;
text-underline-offset:2px}
.pg .scroll{overflow-x:auto}.pg table{border-collapse:collapse;width:100%;font-size:.88rem}
.pg th,.pg td{padding:.42rem .8rem .42rem 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--line)}
.pg tbody th{font-weight:600;overflow-wrap:anywhere;min-width:9rem}
.pg thead th{color:var(--soft);font-weight:600;font-size:.8rem;white-space:nowrap}
.pg th button{all:unset;cursor:pointer;color:inherit;font:inherit;padding:.2rem 0}
.pg th button:hover{text-decoration:underline}
.pg :focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.pg .number{font-variant-numeric:tabular-nums;white-space:nowrap}
.pg .badge{font-size:.72rem;font-weight:600;border:1px solid currentColor;border-radius:99px;
padding:.05rem .5rem;white-space:nowrap}
.pg .good{color:var(--good)}.pg .bad{color:var(--bad)}
.pg .bar{display:block;width:8.5rem;height:.6rem}.pg .bar line{stroke:currentColor}
.pg .empty{padding:2.2rem 1rem;text-align:center;color:var(--soft);
border:1px dashed var(--line);border-radius:8px}
.pg .pages{display:flex;flex-wrap:wrap;gap:.8rem;align-items:center;margin:.8rem 0;
font-size:.88rem}
.pg .pages button{all:unset;cursor:pointer;color:var(--accent);text-decoration:underline}
.pg .pages button[disabled]{color:var(--soft);cursor:default;text-decoration:none}
.pg ul.checks{list-style:none;padding:0;margin:.6rem 0}.pg ul.checks li{margin:.25rem 0}
.pg ul.checks .reason{display:block;padding-left:1.5rem;overflow-wrap:anywhere}
.pg blockquote{margin:.6rem 0;padding:.1rem 0 .1rem .9rem;border-left:3px solid var(--line);
max-width:46rem;white-space:pre-wrap;overflow-wrap:anywhere}
.pg caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.pg-plot{min-height:14rem}.board-list{min-height:20rem}
footer{opacity:.8}
@media (max-width:40rem){.pg table{font-size:.82rem}.pg th,.pg td{padding-right:.6rem}
.pg tbody th{min-width:7rem}.pg .bar{width:5rem}}
@media (prefers-reduced-motion:reduce){*{transition:none!important;animation:none!important}}
"""

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
    )


def html(value: str | Callable[..., str] = "", clicks: bool = False, **options: Any) -> gr.HTML:
    """A part of a page in our own markup."""
    return gr.HTML(
        value, js_on_load=CLICKS if clicks else None, elem_classes=["pg"], padding=False, **options
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
    from progressgym.results import format_interval

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
