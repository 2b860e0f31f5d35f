"""Cut the cleaned documents into passages, and divide them into training and held-out."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from progressgym.passages import Passage

from .catalog import Document, read_catalog
from .cleaning import clean, read_text

# Words that fill English of every century, Middle English spellings included, and that Latin
# and French hardly share.
_STOP_WORDS = re.compile(
    r"\b(?:the|and|of|to|that|it|he|his|is|with|was|for|as|but|by|not|they|this|which|from|had|have|"
    r"be|their|him|all|there|we|our|are|you|so|my|when|or|who|were|them|an|if|will|shall|would|"
    r"what|she|her|hath|thou|thy|thee|ye|unto|upon|doth|these|those|no|such|into|been|i|"
    r"hir|hem|ben|hire|nat|gan|quod|wol|wolde|whan|ther|sche|haue|vnto|vpon|ony|al|than|then|"
    r"yf|hys|hyt|yt|sho|your|youre|þe|þat|þis|þou|þey|hit|wel|eek|thus|every|euery|hadde|ful|"
    r"right|lat|y|yow|sir|now|how|shal|wole|swich|oon|myn|thyn|nought|noght)\b",
    re.IGNORECASE,
)
_LEAST_STOP_WORDS = 0.2
_LEAST_LETTERS = 0.7
_MOST_CAPITALS = 0.4
_SMALLEST = 40
_MOST_HELD_OUT = 0.35
_MANY_WORKS = 12
# Not after a number or a title: "11. She spoke of it to Mr. Smith."
_SENTENCE_END = re.compile(
    r"(?<=[.!?;:][\"'’”)])\s+|(?<!\bMr\.)(?<!\bSt\.)(?<!\bDr\.)(?<!Mrs\.)(?<=[^\d\s][.!?])\s+|\n"
)
_HEADING = re.compile(
    r"^\W*(chapter|chap|book|part|section|sect|canto|adventure|letter|lecture|treatise|"
    r"federalist|article|essay|day|volume|fitte?|appendix)\b.{0,70}$|^\W*[ivxlcdm]+\W*$|^\W*\d+\W*$",
    re.IGNORECASE,
)


def read_passages(
    folder: Path, timeline_eras: Sequence[tuple[str, int, int]], words: int = 180
) -> list[Passage]:
    """Cut every document of a folder into passages of its author's text.

    Args:
        folder: a folder with `catalog.csv`.
        timeline_eras: (name, first year, last year) of each era, both years included.
        words: about how many words a passage has.

    Returns:
        The passages in the order of the catalogue, and of each text. A document outside all
        eras gives none; nor do tables, headings or paragraphs that aren't English.

    Raises:
        FileNotFoundError: the folder holds no catalogue.
        ValueError: `words` below 1, a bad catalogue, or a text that lacks a marker of
            `bodies.csv`.
    """
    if words < 1:
        raise ValueError(f"words: expected a number of at least 1, found {words}")
    passages: list[Passage] = []
    for document in read_catalog(folder):
        era = _era(document, timeline_eras)
        if era is not None:
            text = clean(read_text(document.path), document)
            passages.extend(
                Passage(era=era, work=document.work, year=document.creation_year, text=piece)
                for piece in _cut(text, words)
            )
    return passages


def split_works(
    passages: Sequence[Passage], held_out: float = 0.15, seed: int = 0
) -> tuple[list[Passage], list[Passage]]:
    """Divide passages into training and held-out.

    An era of many works (12 or more) holds out whole works. Few works are so unlike each other
    that a whole one tells nothing about its era's model, and its absence weakens the model: there
    each work holds out one run of consecutive passages, so that both sides know every work.

    Args:
        passages: passages of any eras, those of a work in the order of its text.
        held_out: the share of each era's words to hold out, at least 0 and below 1.
        seed: which works and runs are held out; the same seed always chooses the same.

    Returns:
        (training, held-out), both in the given order. No more than about a third of an era is
        held out, and a work of one passage in an era of few works is in training.

    Raises:
        ValueError: `held_out` outside its range.
    """
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out: expected at least 0 and below 1, found {held_out}")
    eras: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, passage in enumerate(passages):
        eras[passage.era][passage.work].append(index)
    chosen: set[int] = set()
    for works in eras.values():
        if len(works) >= _MANY_WORKS:
            sizes = {w: sum(len(passages[i].text.split()) for i in own) for w, own in works.items()}
            chosen.update(i for work in _choose(sizes, held_out, seed) for i in works[work])
        else:
            chosen.update(i for work, own in works.items() for i in _run(work, own, held_out, seed))
    sides: tuple[list[Passage], list[Passage]] = ([], [])
    for index, passage in enumerate(passages):
        sides[index in chosen].append(passage)
    return sides


def _choose(sizes: dict[str, int], held_out: float, seed: int) -> list[str]:
    """The works of one era to hold out, in an order that only the seed and the names give."""
    total = sum(sizes.values())
    chosen, taken = [], 0
    for work in sorted(sizes, key=lambda work: _number(seed, work)):
        if taken >= held_out * total:
            break
        if taken + sizes[work] <= _MOST_HELD_OUT * total:
            chosen.append(work)
            taken += sizes[work]
    return chosen


def _run(work: str, own: list[int], held_out: float, seed: int) -> list[int]:
    """A run of a work's passages, where in the work only the seed and its name say."""
    length = round(held_out * len(own))
    start = _number(seed, work) % (len(own) - length + 1)
    return own[start : start + length]


def _number(seed: int, work: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{work}".encode()).digest())


def _era(document: Document, eras: Sequence[tuple[str, int, int]]) -> str | None:
    for name, first, last in eras:
        if first <= document.creation_year <= last:
            return name
    return None


def _cut(text: str, words: int) -> Iterator[str]:
    """Consecutive passages: whole paragraphs while they fit, else whole sentences."""
    held: list[str] = []
    count = 0
    for separator, unit in _units(text, words):
        size = len(unit.split())
        if count >= min(_SMALLEST, words // 2) and count + size > words * 1.15:
            yield from _good("".join(held))
            held, count = [], 0
        held.append(unit if not held else separator + unit)
        count += size
    yield from _good("".join(held))


def _units(text: str, words: int) -> Iterator[tuple[str, str]]:
    """(what joins it to the text before, text): paragraphs, or parts of a long paragraph."""
    for paragraph in text.split("\n\n"):
        if not _is_text(paragraph):
            continue
        if len(paragraph.split()) <= words:
            yield "\n\n", paragraph
            continue
        joint = "\n" if "\n" in paragraph else " "
        for number, sentence in enumerate(_SENTENCE_END.split(paragraph)):
            yield from _parts(sentence, words, "\n\n" if number == 0 else joint)


def _parts(sentence: str, words: int, separator: str) -> Iterator[tuple[str, str]]:
    """A sentence, in pieces of `words` words where it is longer than a passage."""
    tokens = sentence.split()
    for start in range(0, len(tokens), words):
        yield separator, " ".join(tokens[start : start + words])
        separator = " "


def _is_text(paragraph: str) -> bool:
    """Whether a paragraph may enter a passage: no heading, and no long foreign quotation."""
    tokens = paragraph.split()
    if len(tokens) <= 15 and (paragraph.isupper() or _HEADING.match(paragraph)):
        return False
    return len(tokens) < 25 or _looks_english(paragraph)


def _good(text: str) -> Iterator[str]:
    """The passage itself, if it is long enough, made of letters, not shouted and English."""
    if len(text.split()) >= _SMALLEST and _looks_english(text):
        yield text


def _looks_english(text: str) -> bool:
    letters = sum(map(str.isalpha, text))
    dense = len(text) - sum(map(str.isspace, text))
    capitals = sum(map(str.isupper, text))
    common = len(_STOP_WORDS.findall(text))
    return (
        letters >= _LEAST_LETTERS * dense
        and capitals <= _MOST_CAPITALS * letters
        and common >= _LEAST_STOP_WORDS * len(text.split())
    )
