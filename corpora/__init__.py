"""Historical texts: reading a catalogue, cleaning works, cutting them into passages."""

from __future__ import annotations

from pathlib import Path

from progressgym.passages import Passage
from progressgym.registry import register
from progressgym.timeline import Timeline

from .catalog import Document, read_catalog
from .cleaning import clean, read_text
from .passages import read_passages, split_works

__all__ = [
    "Document",
    "clean",
    "read_catalog",
    "read_corpus",
    "read_passages",
    "read_text",
    "split_works",
]


@register("corpus", "catalog")
def read_corpus(
    folder: Path, timeline: Timeline, seed: int = 0
) -> tuple[list[Passage], list[Passage]]:
    """Training and held-out passages of a folder with a ``catalog.csv``; no work is in both.

    Args:
        folder: holds ``catalog.csv`` and the texts that it names.
        timeline: whose eras the passages are sorted into.
        seed: of the division.

    Raises:
        ValueError: a malformed catalogue, naming file, line and what was expected.
    """
    eras = [(era.name, era.first_year, era.last_year) for era in timeline.eras]
    return split_works(read_passages(folder, eras), seed=seed)
