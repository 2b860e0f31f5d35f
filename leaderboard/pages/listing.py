"""Board: who stands where, in each challenge."""

from __future__ import annotations

from dataclasses import asdict, replace
from html import escape
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from progressgym.comparison import compare
from progressgym.results import format_interval

from .. import looks
from ..board import PAGE, SORTABLE, Board, View
from ..entries import unranked

COLUMNS = {
    "rank": "rank",
    "skill": "skill [95 %]",
    "gain": "gain",
    "persistence": "vs persistence",
    "lock_in": "lock-in",
    "upstream": "upstream",
    "seeds": "seeds",
    "questions": "questions",
    "seconds": "seconds",
    "status": "status",
    "submitter": "submitter",
    "at": "date",
}
"""Columns of the table and how they are called."""
USUAL = (
    "rank",
    "skill",
    "gain",
    "persistence",
    "lock_in",
    "upstream",
    "seeds",
    "seconds",
    "status",
)
MOST_COMPARED = 8
_ONLY_IN = {"persistence": "predict", "lock_in": "coevolve"}
_BOOLEAN = {"1": True, "0": False}


def build(board: Board, page: gr.Blocks) -> None:
    """Add the page's parts."""
    looks.heading(
        "ProgressGym leaderboard",
        "Algorithms that keep up with changing human values. Skill 0: never updated; 1: the human "
        "of that era. <a href='about'>How scores are made</a> · <a href='submit'>Submit yours</a>",
    )
    state = gr.State({})
    with gr.Row():
        track = gr.Dropdown([], label="Challenge", scale=2, filterable=False)
        search = gr.Textbox(label="Search", placeholder="name, author, words", scale=2)
        shown = gr.CheckboxGroup(
            [("reproduced only", "reproduced"), ("upper bounds", "bounds")],
            value=["bounds"],
            label="Show",
            scale=1,
        )
    with gr.Accordion("Columns", open=False):
        columns = gr.CheckboxGroup(
            [(title, name) for name, title in COLUMNS.items()],
            value=list(USUAL),
            label="Columns",
            show_label=False,
        )
    listing = looks.html(clicks=True, elem_id="listing", min_height=320)
    compared = looks.html(elem_id="compared")
    inputs = [track, search, shown, columns, state]

    def begin(request: gr.Request) -> list[Any]:
        asked = dict(request.query_params)
        choices = track_choices(board)
        known = [id for _, id in choices]
        chosen = asked.get("track") if asked.get("track") in known else known and known[0]
        view = {
            "sort": asked.get("sort", "skill"),
            "descending": _BOOLEAN.get(asked.get("descending", "1"), True),
            "page": int(asked["p"]) if asked.get("p", "").isdigit() else 1,
            "picked": [int(x) for x in asked.get("picked", "").split(",") if x.isdigit()],
        }
        if view["sort"] not in SORTABLE:
            view["sort"] = "skill"
        words = asked.get("search", "")[:200]
        flags = [f for f in asked.get("show", "bounds").split(",") if f in ("reproduced", "bounds")]
        names = [c for c in asked.get("columns", ",".join(USUAL)).split(",") if c in COLUMNS]
        return [
            gr.Dropdown(choices, value=chosen or None),
            words,
            flags,
            names,
            view,
            *_shown(board, chosen or None, words, flags, names, view),
        ]

    def refresh(track: str, words: str, flags: list[str], names: list[str], view: Any) -> list[Any]:
        view = {**view, "page": 1}
        return [view, *_shown(board, track, words, flags, names, view)]

    def switch(track: str, words: str, flags: list[str], names: list[str], view: Any) -> list[Any]:
        return refresh(track, words, flags, names, {**view, "picked": []})

    def act(
        track: str, words: str, flags: list[str], names: list[str], view: Any, event: gr.EventData
    ) -> list[Any]:
        view = _changed(view, event._data)
        return [view, *_shown(board, track, words, flags, names, view)]

    outputs = [state, listing, compared]
    page.load(
        begin,
        None,
        [track, search, shown, columns, state, listing, compared],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    options: Any = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    track.input(switch, inputs, outputs, **options)
    typed = [search.input, search.submit, search.blur, shown.input, columns.input]
    gr.on(typed, refresh, inputs, outputs, trigger_mode="always_last", **options)
    listing.select(act, inputs, outputs, **options)


def track_choices(board: Board) -> list[tuple[str, str]]:
    """What can be chosen: (label, id), the fullest first; equal labels are told apart."""
    tracks = board.tracks()
    labels = [f"{t['challenge'].capitalize()} · {t['preset']} · {t['models']}" for t in tracks]
    seen: dict[str, int] = {}
    choices = []
    for label, track in zip(labels, tracks, strict=True):
        seen[label] = seen.get(label, 0) + 1
        unique = label if seen[label] == 1 else f"{label} · other settings ({track['id'][:6]})"
        choices.append((unique, track["id"]))
    return choices


def _changed(view: dict[str, Any], event: Any) -> dict[str, Any]:
    """The view after a click in the table."""
    kind, of = event.get("act"), event.get("of") or ""
    if kind == "sort" and of in SORTABLE:
        other = not view["descending"] if of == view["sort"] else of not in ("name", "rank")
        return {**view, "sort": of, "descending": other, "page": 1}
    if kind == "page" and of.isdigit():
        return {**view, "page": max(int(of), 1)}
    if kind == "pick" and of.isdigit():
        rest = [number for number in view["picked"] if number != int(of)]
        return {**view, "picked": [*rest, int(of)][-MOST_COMPARED:] if event.get("on") else rest}
    return view


def _shown(
    board: Board,
    track: str | None,
    words: str,
    flags: list[str],
    names: list[str],
    view: dict[str, Any],
) -> tuple[str, str]:
    """The table, and the comparison of what was picked."""
    if not track:
        return looks.empty("Nothing is ranked yet. Be the first: go to Submit."), ""
    asked = View(
        search=words,
        status="reproduced" if "reproduced" in flags else "all",
        bounds="bounds" in flags,
        sort=view["sort"],
        descending=view["descending"],
        page=view["page"],
    )
    rows, total = board.rows(track, asked)
    if not rows and view["page"] > 1:
        asked = replace(asked, page=1)
        rows, total = board.rows(track, asked)
    query = _query(track, asked, flags, names, view["picked"])
    return _table(board, track, asked, rows, total, names, view["picked"], query), _compared(
        board, track, view["picked"]
    )


def _query(track: str, view: View, flags: list[str], names: list[str], picked: list[int]) -> str:
    """The address that restores a view."""
    values = {k: v for k, v in asdict(view).items() if k in ("search", "sort")}
    entries = {
        "track": track,
        **values,
        "p": view.page,  # gradio has a "page" of its own
        "descending": int(view.descending),
        "show": ",".join(flags),
        "columns": ",".join(names),
        "picked": ",".join(map(str, picked)),
    }
    return "?" + urlencode(entries)


def _table(
    board: Board,
    track: str,
    view: View,
    rows: list[dict[str, Any]],
    total: int,
    names: list[str],
    picked: list[int],
    query: str,
) -> str:
    challenge = next(t["challenge"] for t in board.tracks() if t["id"] == track)
    names = [n for n in COLUMNS if n in names and _ONLY_IN.get(n, challenge) == challenge]
    titles = [_title("name", "algorithm", view), *(_title(n, COLUMNS[n], view) for n in names)]
    cells = [[_name(row, picked), *(_cell(row, name) for name in names)] for row in rows]
    content = looks.table(
        f"{challenge}: {total} submissions",
        titles,
        cells,
        empty="No submission fits. Clear the search, or show more.",
    )
    download = f"<a href='board.csv{query}' download>CSV</a> · <a href='board.json{query}'>JSON</a>"
    return (
        f'<div data-query="{escape(query)}">{content}{_pages(view.page, total)}'
        f"<p class='soft'>Download this view: {download}. The address bar holds it too. "
        "Tick two or more to compare them.</p></div>"
    )


def _title(name: str, title: str, view: View) -> str:
    if name not in SORTABLE:
        return f'<th scope="col">{escape(title)}</th>'
    sorted_ = view.sort == name
    order = ("descending" if view.descending else "ascending") if sorted_ else "none"
    arrow = (" ↓" if view.descending else " ↑") if sorted_ else ""
    return (
        f'<th scope="col" aria-sort="{order}"><button data-act="sort" data-of="{name}">'
        f"{escape(title)}{arrow}</button></th>"
    )


def _name(row: dict[str, Any], picked: list[int]) -> str:
    number, name = row["submission"], escape(row["name"])
    ticked = " checked" if number in picked else ""
    cheats = ' <span class="badge bad">cheats</span>' if row["cheats"] else ""
    return (
        f'<input type="checkbox" data-act="pick" data-of="{number}" aria-label="compare {name}"'
        f'{ticked}> <a href="algorithm?id={number}">{name}</a>{cheats}'
    )


def _cell(row: dict[str, Any], name: str) -> str:
    if name == "rank":
        if row["rank"] is None:
            return f'<span title="{unranked(row["cheats"], row["skill"])}">–</span>'
        spread = (row["best_rank"], row["worst_rank"])
        span = (
            ""
            if spread[0] == spread[1]
            else f" <span class='soft'>({spread[0]}–{spread[1]})</span>"
        )
        return f"{row['rank']}{span}"
    if name == "skill":
        return looks.interval(row)
    if name == "status":
        return looks.badge(row["status"])
    if name in ("submitter", "at"):
        return escape(str(row[name])[: 10 if name == "at" else 60])
    digits = {"upstream": 4, "seeds": 0, "questions": 0, "seconds": 0}
    return looks.number(row[name], digits.get(name, 2))


def _pages(page: int, total: int) -> str:
    last = max(1, -(-total // PAGE))
    if last == 1:
        return ""

    def button(text: str, to: int, off: bool) -> str:
        return f'<button data-act="page" data-of="{to}"{" disabled" if off else ""}>{text}</button>'

    return (
        f'<nav class="pages" aria-label="Pages">{button("← Previous", page - 1, page <= 1)}'
        f"<span>Page {page} of {last}, {total} submissions</span>"
        f"{button('Next →', page + 1, page >= last)}</nav>"
    )


def _compared(board: Board, track: str, picked: list[int]) -> str:
    """Paired differences between the picked submissions."""
    if len(picked) < 2:
        return ""
    runs = {number: own for number, own in board.results(track, picked).items() if own}
    if len(runs) < 2:
        return ""
    labels = {f"{board.submission(n)['name']} (#{n})": own for n, own in runs.items()}
    found = compare(labels)
    rows = [(escape(s.label), format_interval(s.skill), s.rank_range) for s in found.standings]
    pairs = [
        (
            f"{escape(a.label)} − {escape(b.label)}",
            looks.number(found.difference[i, j]),
            looks.number(found.p[i, j], 3),
        )
        for i, a in enumerate(found.standings)
        for j, b in enumerate(found.standings)
        if i < j
    ]
    return (
        "<h2>Compared</h2>"
        + looks.table("Picked", ["algorithm", "skill [95 %]", "rank among these"], rows)
        + looks.table("Differences", ["pair", "difference", "p (Holm)"], pairs)
    )
