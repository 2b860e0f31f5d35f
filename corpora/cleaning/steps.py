"""From a downloaded book to its author's own text, in small named steps.

Losing a little of the author is acceptable here; keeping an editor is not, because the cleaned
texts stand for their century.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..documents import Document, Kind
from .encoding import repair_encoding, unify_letters, unify_spaces
from .layout import drop_furniture, join_hyphens, unwrap
from .licences import drop_digitisers, drop_licences, drop_producers, strip_gutenberg
from .matter import author_only, drop_lists
from .notes import (
    drop_bracketed_notes,
    drop_brackets,
    drop_glosses,
    drop_margins,
    drop_note_blocks,
    drop_scholarship,
)
from .ocr import drop_noise, join_broken, join_pages

Step = Callable[[str, Document], str]

# Texts older than this cite no manuscripts, plates or page numbers: their editors do.
SCHOLARSHIP = 1600


def _alone(step: Callable[[str], str]) -> Step:
    """A step that need not know what the text is."""
    return lambda text, document: step(text)


def _scholarship(text: str, document: Document) -> str:
    year = document.creation_year
    return text if year is None or year >= SCHOLARSHIP else drop_scholarship(text, year)


def _hyphens(text: str, document: Document) -> str:
    return join_hyphens(text, joins=document.kind not in ("gutenberg", "tei"))


STEPS: dict[str, Step] = {
    "encoding": _alone(repair_encoding),
    "letters": _alone(unify_letters),
    "spaces": _alone(unify_spaces),
    "gutenberg": _alone(strip_gutenberg),
    "digitisers": _alone(drop_digitisers),
    "pages": _alone(join_pages),
    "noise": _alone(drop_noise),
    "author": author_only,
    "lists": _alone(drop_lists),
    "bracketed notes": _alone(drop_bracketed_notes),
    "note blocks": _alone(drop_note_blocks),
    "licences": _alone(drop_licences),
    "producers": _alone(drop_producers),
    "scholarship": _scholarship,
    "margins": _alone(drop_margins),
    "glosses": _alone(drop_glosses),
    "brackets": _alone(drop_brackets),
    "furniture": _alone(drop_furniture),
    "hyphens": _hyphens,
    "broken lines": _alone(join_broken),
    "paragraphs": _alone(unwrap),
}
"""Every step by its name."""

_CHARACTERS = ("encoding", "letters", "spaces")
_APPARATUS = (
    "author", "lists", "bracketed notes", "note blocks", "licences", "producers", "scholarship",
    "margins", "glosses", "brackets", "furniture",
)  # fmt: skip

RECIPES: dict[Kind, tuple[str, ...]] = {
    "gutenberg": (*_CHARACTERS, "gutenberg", *_APPARATUS, "hyphens", "paragraphs"),
    "tei": (
        *_CHARACTERS, "lists", "licences", "producers", "brackets", "furniture", "hyphens",
        "paragraphs",
    ),
    "ocr": (
        *_CHARACTERS, "digitisers", "pages", "noise", *_APPARATUS,
        "hyphens", "broken lines", "paragraphs",
    ),
    "plain": (
        *_CHARACTERS, "gutenberg", "digitisers", "pages", *_APPARATUS, "hyphens", "paragraphs",
    ),
    "clean": (),
}  # fmt: skip
"""Which steps a kind of text goes through, in order."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned text.

    Attributes:
        text: paragraphs separated by blank lines; verse keeps its line breaks.
        effects: characters that each step took out, for the steps that changed something;
            negative where a step wrote more than it read.
    """

    text: str
    effects: dict[str, int] = field(default_factory=dict)


def clean(document: Document) -> Cleaned:
    """Reduce a document to its author's words, by the steps for its kind.

    Raises:
        UsageError: a step needs a package that isn't installed.
    """
    text, effects = document.text, {}
    for name in RECIPES[document.kind]:
        before, text = text, STEPS[name](text, document)
        if text != before:
            effects[name] = len(before) - len(text)
    return Cleaned(text, effects)
