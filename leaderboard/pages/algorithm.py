"""Algorithm: one submission's card, scores, runs and history."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from progressgym.plots import skill_by_dimension_dots, skill_by_era
from progressgym.results import Scores, format_interval
from progressgym.values.scores import Interval

from .. import looks
from ..board import Board
from ..entries import unranked

_CARD = ("authors", "contact", "licence", "code", "revision", "weights", "paper", "data", "compute")


def build(board: Board, page: gr.Blocks) -> None:
    """Add the page's parts."""
    title = looks.html()
    track = gr.Dropdown([], label="Challenge", filterable=False)
    by_era = looks.figure("Skill by era")
    by_dimension = looks.figure("Skill by dimension")
    rest = looks.html()
    number = gr.State(0)
    options: Any = {"queue": False, "show_progress": "minimal", "api_visibility": "private"}

    def begin(request: gr.Request) -> list[Any]:
        asked = request.query_params.get("id", "")
        found = board.store.one("SELECT 1 FROM submissions WHERE id = ?", [asked])
        if not asked.isdigit() or not found:
            text = "Choose an algorithm on the board to see its card, scores and runs."
            return [0, looks.empty(text), gr.Dropdown([], visible=False), None, None, ""]
        one = board.submission(int(asked))
        choices = [(f"{s['challenge']} · {s['preset']} · {s['models']}", s["track"])
                   for s in one["standings"]]  # fmt: skip
        first = choices[0][1]
        return [
            one["id"],
            _head(one),
            gr.Dropdown(choices, value=first, visible=True),
            *draw(one["id"], first),
            _rest(one),
        ]

    def draw(number: int, track: str) -> list[str | None]:
        runs = board.results(track, [number]).get(number) if number else None
        if not runs:
            return [None, None]
        label = {runs[0].spec.algorithm: runs}
        return [skill_by_era(label).to_json(), skill_by_dimension_dots(label).to_json()]

    page.load(begin, None, [number, title, track, by_era, by_dimension, rest], **options)
    track.input(draw, [number, track], [by_era, by_dimension], **options)


def _head(one: dict[str, Any]) -> str:
    card = one["card"]
    cheats = ' <span class="badge bad">cheats</span>' if one["cheats"] else ""
    entries = [
        (f"{escape(name)}", f"<span style='white-space:normal'>{_entry(card.get(name))}</span>")
        for name in _CARD
        if card.get(name)
    ]
    parameters = ", ".join(f"{k}={v}" for k, v in sorted(one["parameters"].items()))
    entries.append(("parameters", f"<span style='white-space:normal'>{escape(parameters)}</span>"))
    rows = [
        (
            f"{escape(s['challenge'])} · {escape(s['preset'])} · {escape(s['models'])}",
            looks.interval(s),
            f"– <span class='soft'>({unranked(one['cheats'], s['skill'])})</span>"
            if s["rank"] is None
            else f"{s['rank']} ({s['best_rank']} to {s['worst_rank']})",
            looks.number(s["gain"]),
            looks.number(s["lock_in"]),
            looks.number(s["upstream"], 4),
            str(s["seeds"]),
        )
        for s in one["standings"]
    ]
    titles = ["challenge", "skill [95 %]", "rank", "gain", "lock-in", "upstream", "seeds"]
    return (
        f"<h1>{escape(one['name'])}</h1><p>{looks.badge(one['status'])}{cheats} "
        f"<span class='soft'>submission {one['id']} by {escape(one['submitter'])}, "
        f"{escape(one['at'][:10])}</span></p><blockquote>{escape(card['description'])}</blockquote>"
        + looks.table("Card", ["card", ""], entries)
        + "<h2>Scores</h2>"
        + looks.table("Scores", titles, rows)
    )


def _entry(value: Any) -> str:
    """A card's entry; only addresses that were checked become links."""
    if isinstance(value, list):
        return escape(", ".join(value))
    text = escape(str(value))
    if text.startswith(("https://", "http://")):
        return f'<a href="{text}" rel="nofollow noopener noreferrer" target="_blank">{text}</a>'
    return text


def _rest(one: dict[str, Any]) -> str:
    runs = [
        (
            f"{escape(run['challenge'])}, seed {run['seed']}",
            format_interval(Interval.model_validate(run["scores"]["skill"])),
            _others(Scores.model_validate(run["scores"])),
            str(run["questions"]),
            f"{run['seconds']:.0f}",
            f'<a href="runs/{run["id"]}/result.json.gz" download>result.json.gz</a>',
        )
        for run in one["runs"]
    ]
    events = [
        (
            escape(event["at"].replace("T", " ")[:16]),
            escape(event["what"]),
            escape(event["who"]),
            f"<span style='white-space:normal'>{escape(event['reason'])}</span>",
        )
        for event in one["events"]
    ]
    titles = ["run", "skill [95 %]", "other scores", "questions", "seconds", "file"]
    return (
        "<h2>Runs</h2>"
        + looks.table("Runs", titles, runs)
        + "<h2>History</h2>"
        + looks.table("History", ["when (UTC)", "what", "who", "reason"], events)
    )


def _others(scores: Scores) -> str:
    named = [
        ("gain", scores.gain),
        ("vs persistence", scores.persistence),
        ("lock-in", scores.lock_in),
        ("lag", scores.lag),
        ("diversity", scores.diversity),
    ]
    return " · ".join(
        f"{name} {looks.number(value.value)}" for name, value in named if value is not None
    )
