"""The sentences and words with which statements are put to a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StatementForm:
    """How statements of one form are read.

    Attributes:
        frames: sentences up to the judging word; ``{}`` is the statement.
        bare: what stands in a frame's place to measure the words' own frequency.
        words: (praise, blame) pairs; each must be a single token after a space.
    """

    frames: tuple[str, ...]
    bare: tuple[str, ...]
    words: tuple[tuple[str, str], ...]


FORMS = {
    "act": StatementForm(
        frames=("{} is", "we hold that {} is"),
        bare=("it is", "we hold that it is"),
        words=(
            ("right", "wrong"),
            ("good", "evil"),
            ("lawful", "unlawful"),
            ("just", "unjust"),
            ("noble", "wicked"),
            ("holy", "sinful"),
        ),
    ),
    "claim": StatementForm(
        frames=("that {} is", "to say that {} is"),
        bare=("that is", "to say so is"),
        words=(("true", "false"), ("wise", "foolish"), ("right", "wrong")),
    ),
}


def evaluative_words() -> list[str]:
    """All words that the statement forms compare."""
    return sorted({w for form in FORMS.values() for pair in form.words for w in pair})
