"""Texts: what people of each century wrote, and where it comes from."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import looks

SHOWN = 10
"""Passages a page."""
_LONGEST = 1200
_COLUMNS = ["work", "title", "author", "year", "translation_year", "genre", "words", "text"]


def build(corpus: Path | None) -> None:
    """Add the page's parts.

    Args:
        corpus: a folder that ``progressgym corpora build`` made; None where there is none.
    """
    looks.heading(
        "Texts",
        "The passages that each century's model was trained on. What survived is not what people "
        "thought: monks, printers and archivists chose.",
    )
    eras = _eras(corpus)
    if corpus is None or not eras:
        looks.html(
            looks.empty(
                "This board has no texts. Build a corpus with `progressgym corpora build` and "
                "serve with `--corpus FOLDER`."
            )
        )
        return
    folder = corpus
    with gr.Row():
        era = gr.Dropdown(eras, value=eras[0], label="Century", filterable=False)
        words = gr.Textbox(label="Search", placeholder="a word or phrase", max_length=100)
        page = gr.Number(1, label="Page", minimum=1, precision=0)
    found = looks.html(elem_id="passages")

    def show(era: str, words: str, page: float | None) -> str:
        return _page(folder, era, (words or "").strip()[:100], int(page or 1))

    def first(era: str, words: str) -> tuple[int, str]:
        return 1, show(era, words, 1)

    options: Any = {"queue": False, "show_progress": "minimal", "api_visibility": "private"}
    found.attach_load_event(lambda: show(eras[0], "", 1), None)
    for control in (era.input, words.submit):
        control(first, [era, words], [page, found], **options)
    page.input(show, [era, words, page], found, **options)


def _eras(corpus: Path | None) -> list[str]:
    return sorted(path.stem for path in (corpus / "eras").glob("*.parquet")) if corpus else []


@lru_cache(maxsize=3)
def _table(folder: Path, era: str) -> pa.Table:
    return pq.read_table(folder / "eras" / f"{era}.parquet", columns=_COLUMNS)


def _page(folder: Path, era: str, words: str, page: int) -> str:
    """One page of an era's passages that hold some words."""
    if era not in _eras(folder):
        return looks.empty("No such century.")
    table = _table(folder, era)
    if words:
        table = table.filter(pc.match_substring(table["text"], words, ignore_case=True))
    total = table.num_rows
    if not total:
        return looks.empty(f"No passage of {era} holds “{words}”.")
    last = -(-total // SHOWN)
    page = min(max(page, 1), last)
    rows = table.slice((page - 1) * SHOWN, SHOWN).to_pylist()
    head = f"<p class='soft'>{total:,} passages, page {page} of {last:,}.</p>"
    return head + "".join(_passage(row, words) for row in rows)


def _passage(row: dict[str, Any], words: str) -> str:
    translated = f", translated {row['translation_year']}" if row["translation_year"] else ""
    source = (
        f"<strong>{escape(row['title'] or row['work'])}</strong>, "
        f"{escape(row['author'] or 'unknown')}, {row['year']}{translated} "
        f"<span class='soft'>{escape(row['genre'] or '')} · {row['words']} words · "
        f"{escape(row['work'])}</span>"
    )
    return f"<p>{source}</p><blockquote>{_marked(_cut(row['text'], words), words)}</blockquote>"


def _cut(text: str, words: str) -> str:
    """The part of a long passage around what was searched for."""
    start = max(0, text.lower().find(words.lower()) - _LONGEST // 2) if words else 0
    part = text[start : start + _LONGEST]
    return ("… " if start else "") + part + (" …" if start + _LONGEST < len(text) else "")


def _marked(text: str, words: str) -> str:
    if not words:
        return escape(text)
    pieces = re.split(f"({re.escape(words)})", text, flags=re.IGNORECASE)
    return "".join(
        f"<mark>{escape(piece)}</mark>" if i % 2 else escape(piece)
        for i, piece in enumerate(pieces)
    )
