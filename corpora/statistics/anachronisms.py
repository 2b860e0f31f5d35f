"""Words with the year from which English has them: a sign of a later hand in an older text.

The list ``anachronisms.csv`` gives for each word the year of its first attestation, or of the
earliest close relative in spelling, rounded down. Words that are also Latin, that are names of
persons or whose spelling had an older meaning are not in it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

LIST = Path(__file__).with_name("anachronisms.csv")


@cache
def first_years() -> dict[str, tuple[str, int]]:
    """Form -> (word of the list, year): the words and what may be their plurals, lower case."""
    with LIST.open(encoding="utf-8", newline="") as stream:
        words = {row["word"]: int(row["first_year"]) for row in csv.DictReader(stream)}
    derived = {form: (word, year) for word, year in words.items() for form in _plurals(word)}
    return derived | {word: (word, year) for word, year in words.items()}


def _plurals(word: str) -> Iterator[str]:
    if word.endswith(("s", "x", "z", "ch", "sh", "o")):
        yield f"{word}es"
    if word.endswith("y"):
        yield f"{word[:-1]}ies"
    if not word.endswith("s"):
        yield f"{word}s"


@dataclass
class Sightings:
    """Words that are younger than the texts they were found in.

    Attributes:
        counts: word of the list -> occurrences.
        documents: word of the list -> document -> occurrences.
        gaps: word of the list -> the most years by which it is younger than a text with it.
    """

    counts: Counter[str] = field(default_factory=Counter)
    documents: dict[str, Counter[str]] = field(default_factory=dict)
    gaps: dict[str, int] = field(default_factory=dict)

    def add(
        self, counts: Mapping[str, int], document: str, year: int, until: int | None = None
    ) -> None:
        """Look for words first attested after a year.

        Args:
            counts: form -> occurrences in a document.
            document: its name.
            year: by which the text was written.
            until: years after this one do not count.
        """
        listed = first_years()
        for form in counts.keys() & listed.keys():
            word, first = listed[form]
            if first > year and (until is None or first <= until):
                self.counts[word] += counts[form]
                self.documents.setdefault(word, Counter())[document] += counts[form]
                self.gaps[word] = max(first - year, self.gaps.get(word, 0))
