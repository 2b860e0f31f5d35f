"""Playground: one question to the people of every era, side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from html import escape
from typing import TypeVar

import gradio as gr
import numpy as np

from progressgym.errors import ProgressGymError
from progressgym.models import Policy, load_model
from progressgym.plots import HUMAN, blank_figure
from progressgym.timeline import Timeline
from progressgym.values.instruments import read_items
from progressgym.values.scenarios import Scenario, ScenarioBank

from .. import looks

T = TypeVar("T")

LONGEST = 300
"""Of a question, in characters."""
TOKENS = 40
"""Of an answer: a small model wanders when it goes on."""
_JUDGE, _ASK = "Judge an act", "Ask a question"
_ONE_AT_A_TIME = threading.Lock()
_EXAMPLES = ["to help a runaway slave across the border", "to lend money at interest"]


def build(models: str = "smollm2") -> None:
    """Add the page's parts.

    Args:
        models: timeline whose eras answer.
    """
    looks.heading(
        "Playground",
        "Ask the models that stand in for the people of nine centuries. An act is judged by "
        "probabilities, which is what the gym measures. Free answers come from a very small model "
        "and are for curiosity: read them as the style of a century's texts, not as its views.",
    )
    kind = gr.Radio([_JUDGE, _ASK], value=_JUDGE, label="What")
    text = gr.Textbox(
        label="Act or question",
        placeholder="to help a runaway slave across the border",
        max_length=LONGEST,
    )
    gr.Examples(_EXAMPLES, text)
    with gr.Row():
        ask = gr.Button("Ask all eras", variant="primary")
        stop = gr.Button("Stop", variant="secondary")
    answers = looks.html(elem_id="answers")
    picture = looks.figure("Stance of each era")

    def run(kind: str, text: str) -> Iterator[tuple[str, str | None]]:
        text = text.strip()
        if not text:
            yield looks.empty("Write an act, such as “to lend money at interest”."), None
            return
        try:
            yield from _judged(models, text) if kind == _JUDGE else _answered(models, text)
        except ProgressGymError as error:
            yield looks.empty(str(error)), None

    asking = gr.on(
        [ask.click, text.submit],
        run,
        [kind, text],
        [answers, picture],
        concurrency_limit=1,
        concurrency_id="models",
        api_visibility="private",
        show_progress="minimal",
    )
    stop.click(None, None, None, cancels=[asking])


def _of_each(models: str, read: Callable[[Policy], T], *more: str) -> Iterator[tuple[str, T]]:
    """What is read from each era's model, and more; each goes before the next is loaded."""
    timeline = Timeline.load(models)
    for name in (*(era.name for era in timeline.eras), *more):
        with _ONE_AT_A_TIME:
            found = read(load_model(name, timeline))
        yield name, found


def _judged(models: str, act: str) -> Iterator[tuple[str, str | None]]:
    """Stance of every era on an act, with the spread over frames."""
    act = act if act.lower().startswith("to ") else f"to {act}"
    scenario = Scenario.model_validate(
        {
            "id": "asked",
            "split": "probe",
            "instrument": "statement",
            "text": act,
            "labels": {"harm_care": 1},
        }
    )
    bank = ScenarioBank([scenario])
    yield "<p class='soft'>Waking the models…</p>", None
    found: dict[str, np.ndarray] = {}
    for name, items in _of_each(models, lambda policy: read_items(policy, bank)[0], "base"):
        found[name] = items
        rows = [
            (escape(era), f"{own.mean():+.2f}", f"{own.min():+.2f} to {own.max():+.2f}")
            for era, own in found.items()
        ]
        table = looks.table("Stances", ["era", "stance (nats)", "over frames"], rows)
        yield f"<h2>{escape(act)}</h2>{table}", None
    yield f"<h2>{escape(act)}</h2>{table}", _stances(found)


def _stances(found: dict[str, np.ndarray]) -> str:
    figure = blank_figure(
        300,
        {"l": 56, "r": 10, "t": 16, "b": 60},
        xaxis={"type": "category"},
        yaxis={"title": {"text": "← blame · stance · praise →"}, "zeroline": True},
    )
    figure.add_scatter(
        x=list(found),
        y=[float(items.mean()) for items in found.values()],
        error_y={
            "type": "data",
            "array": [float(items.std()) for items in found.values()],
            "thickness": 1,
        },
        mode="markers",
        marker={"size": 11, "color": HUMAN},
        hovertemplate="%{x}: %{y:+.2f} nats<extra></extra>",
    )
    return figure.to_json()


def _answered(models: str, question: str) -> Iterator[tuple[str, str | None]]:
    """A free answer of every era, one after the other."""
    yield "<p class='soft'>Waking the models…</p>", None
    found: list[str] = []

    def say(policy: Policy) -> str:
        return policy.generate([question], max_new_tokens=TOKENS)[0][0]

    for name, answer in _of_each(models, say):
        found.append(f"<h2>{escape(name)}</h2><blockquote>{escape(answer.strip())}</blockquote>")
        yield "".join(found), None
