"""About: how scores are made, with the formulas."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_TEXT = (Path(__file__).parent / "about.md").read_text(encoding="utf-8")


def build() -> None:
    """Add the page's parts."""
    gr.Markdown(
        _TEXT,
        elem_classes="pg",
        latex_delimiters=[
            {"left": "$$", "right": "$$", "display": True},
            {"left": "$", "right": "$", "display": False},
        ],
    )
