"""The frame of a self-contained HTML page: its parts, looks, script and embedded figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs


def document(body: str, figures: Mapping[str, go.Figure], title: str = "ProgressGym report") -> str:
    """The whole document. Its security policy forbids every request to the network."""
    parts = ",".join(f"{json.dumps(key)}:{figure.to_json()}" for key, figure in figures.items())
    data = "{" + parts.replace("<", "\\u003c") + "}"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>{_STYLE}</style></head><body><main>
<noscript><p class="note">The figures need JavaScript; the tables do not.</p></noscript>
{body}</main>
<script type="application/json" id="figures">{data}</script>
<script>{get_plotlyjs()}</script>
<script>{_SCRIPT}</script></body></html>
"""


def table(
    caption: str, titles: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "scores"
) -> str:
    """A table that scrolls sideways; rows are ready cells, caption and titles plain text."""
    head = "".join(f'<th scope="col">{escape(t)}</th>' for t in titles)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="{kind}"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def head(text: str) -> str:
    """A cell that names its row; plain text."""
    return f'<th scope="row">{escape(text)}</th>'


def number(shown: str) -> str:
    """A cell with a number, in HTML."""
    return f'<td class="number">{shown}</td>'


def folded(summary: str, content: str) -> str:
    """Content that opens on demand; the summary is plain text."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def figure(key: str, label: str, caption: str, part: str = "") -> str:
    """A place for the figure of a key, with its caption (HTML) below.

    Where a part is named, the reader's choice of a run decides which run's part is drawn.
    """
    return f"<figure>{_plot(key, label, part)}<figcaption>{caption}</figcaption></figure>"


def panel(key: str, label: str, name: str, part: str) -> str:
    """A place for one of many small figures, with its name above."""
    return f"<figure><figcaption>{escape(name)}</figcaption>{_plot(key, label, part)}</figure>"


def _plot(key: str, label: str, part: str) -> str:
    return (
        f'<div class="plot" role="img" aria-label="{escape(label)}" '
        f'data-figure="{escape(key)}" data-part="{escape(part)}"></div>'
    )


_STYLE = """
:root{color-scheme:light dark;--page:#fcfcfa;--card:#fff;--ink:#1d2226;--soft:#565f66;
--line:#dcdfe1;--accent:#0072b2;--badge:#8a3d00}
@media (prefers-color-scheme:dark){:root{--page:#15181b;--card:#1c2024;--ink:#e6e8ea;
--soft:#a4adb4;--line:#343a40;--accent:#56b4e9;--badge:#f0a868}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:2.5rem clamp(1rem,4vw,2.5rem) 4rem}
h1,h2,h3,h4{line-height:1.25;text-wrap:balance}
h1{font-size:2rem;margin:0 0 .4rem;letter-spacing:-.015em}
header p{margin:0;color:var(--soft);overflow-wrap:anywhere}
h2{font-size:1.45rem;margin:3rem 0 .8rem;padding-top:1.2rem;border-top:1px solid var(--line);
overflow-wrap:anywhere}
h3{font-size:1.15rem;margin:2.4rem 0 .6rem}h4{font-size:.95rem;margin:1.4rem 0 .5rem;
color:var(--soft);font-weight:600}h4.large{color:var(--ink);font-size:1rem}
p{max-width:46rem;margin:.7rem 0}figure{margin:0;min-width:0}
figcaption{color:var(--soft);font-size:.86rem}
.note{border-left:3px solid var(--line);padding-left:.9rem;font-size:.92rem;color:var(--soft)}
.note strong{color:var(--badge)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;width:100%}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{padding:.45rem .9rem .45rem 0;text-align:left;vertical-align:top;
border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600;font-size:.82rem}tbody th{font-weight:600;min-width:8rem}
.number{font-variant-numeric:tabular-nums;white-space:nowrap}
.manifest td{overflow-wrap:anywhere;font:.82rem/1.5 ui-monospace,monospace}
.manifest th{font-weight:400;width:32%;overflow-wrap:anywhere}
.badge{font-size:.72rem;font-weight:600;color:var(--badge);border:1px solid currentColor;
border-radius:99px;padding:.05rem .5rem;white-space:nowrap}
details{margin:.6rem 0}summary{cursor:pointer;font-size:.92rem;color:var(--accent);
overflow-wrap:anywhere}
.chooser{position:sticky;top:0;z-index:2;display:flex;flex-wrap:wrap;gap:.4rem 1.4rem;
align-items:center;padding:.6rem 0;background:var(--page);border-bottom:1px solid var(--line)}
select{font:inherit;max-width:75vw;padding:.3rem .5rem;color:inherit;background:var(--card);
border:1px solid var(--line);border-radius:6px}
.key{font-size:.9rem;display:inline-flex;align-items:center;gap:.45rem}
.key i{width:1.5rem}
.panels{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fill,minmax(min(190px,46%),1fr))}
.panels figure{background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:.5rem .4rem 0}.panels figcaption{padding-left:.4rem;color:var(--ink);font-weight:600}
.panels .plot{min-height:170px}.plot{min-height:12rem}
.maps{display:grid;gap:1.5rem;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr))}
@media (max-width:40rem){table{font-size:.82rem}th,td{padding-right:.6rem}
tbody th{min-width:6rem}}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
"""

_SCRIPT = """
"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const drawn = new Set();
function draw(plot) {
  const {data, layout} = figures[plot.dataset.figure];
  const style = getComputedStyle(document.documentElement);
  const font = {...layout.font, color: style.getPropertyValue("--soft").trim()};
  const hoverlabel = {bgcolor: style.getPropertyValue("--card").trim(),
                      font: {color: style.getPropertyValue("--ink").trim()}};
  drawn.add(plot);
  Plotly.react(plot, data, {...layout, font, hoverlabel},
               {responsive: true, displaylogo: false,
                displayModeBar: plot.closest(".panels") ? false : "hover",
                modeBarButtons: [["toImage"]]});
}
const plots = document.querySelectorAll(".plot");
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting && !drawn.has(entry.target))
    draw(entry.target);
}, {rootMargin: "1000px"});
plots.forEach(plot => seen.observe(plot));
function choose(select) {
  for (const plot of select.closest("section").querySelectorAll(".plot"))
    if (plot.dataset.part) {
      plot.dataset.figure = select.value + "-" + plot.dataset.part;
      if (drawn.has(plot)) draw(plot);
    }
}
for (const select of document.querySelectorAll("select")) {
  select.addEventListener("change", () => choose(select));
  choose(select);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(draw));
addEventListener("beforeprint", () => plots.forEach(draw));
"""
