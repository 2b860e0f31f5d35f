"""Cut a cleaned text into passages, the units of training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

Count = Callable[[Sequence[str]], list[int]]
"""Gives the number of tokens of each text."""

# Words that fill English of every century, Middle English spellings included, and that Latin
# and French hardly share.
_STOP_WORDS = frozenset(
    (
        "the and of to that it he his is with was for as but by not they this which from had have "
        "be their him all there we our are you so my when or who were them an if will shall would "
        "what she her hath thou thy thee ye unto upon doth these those no such into been i hir "
        "hem ben hire nat gan quod wol wolde whan ther sche haue vnto vpon ony al than then yf "
        "hys hyt yt sho your youre þe þat þis þou þey hit wel eek thus every euery hadde ful "
        "right lat y yow sir now how shal wole swich oon myn thyn nought noght "
    ).split()
)
_WORD = re.compile(r"[^\W\d_]+")
_CAPITAL = re.compile(r"[A-ZÀ-ÖØ-Þ]")
_LEAST_STOP_WORDS = 0.2
_LEAST_LETTERS = 0.7
_MOST_CAPITALS = 0.4
SMALLEST = 40  # words of a passage
_JOINT = 1  # tokens between two units
_SURELY = 2  # letters of a token, at the least, over a paragraph: a shorter one is not split
# What may end a sentence; first the letters that a search can look for fast.
_BREAK = re.compile(r"[.!?;:][\"'’”)]\s+|[.!?]\s+|\n")
_NO_END = (*"0123456789 ", "Mr", "St", "Dr", "Mrs")  # before a full stop: "11. It was Mr. Smith."
_HEADING = re.compile(
    r"^\W*(chapter|chap|book|part|section|sect|canto|adventure|letter|lecture|treatise|"
    r"federalist|article|essay|day|volume|fitte?|appendix)\b.{0,70}$|^\W*[ivxlcdm]+\W*$|^\W*\d+\W*$",
    re.IGNORECASE,
)


def cut(text: str, tokens: int, count: Count) -> Iterator[tuple[str, int]]:
    """Consecutive passages: whole paragraphs while they fit, else whole sentences.

    Headings, tables, paragraphs that are not English and leftovers of fewer than 40 words give
    none.

    Args:
        text: paragraphs separated by blank lines; verse has its lines.
        tokens: the most that a passage may have.
        count: counts tokens.

    Yields:
        Each passage and its tokens, summed over its paragraphs or sentences.
    """
    held: list[str] = []
    used = 0
    for separator, unit, size in _units(text, tokens, count):
        if held and used + _JOINT + size > tokens:
            if is_passage("".join(held)):
                yield "".join(held), used
            held, used = [], 0
        held += [separator, unit] if held else [unit]
        used += size + (_JOINT if used else 0)
    if held and is_passage("".join(held)):
        yield "".join(held), used


def _units(text: str, tokens: int, count: Count) -> Iterator[tuple[str, str, int]]:
    """What joins it to the text before, a text, its tokens: paragraphs, or parts of a long one."""
    paragraphs = [paragraph for paragraph in text.split("\n\n") if _may_enter(paragraph)]
    pieces = [_sentences(p) if len(p) > _SURELY * tokens else [p] for p in paragraphs]
    sizes = iter(count([piece for parts in pieces for piece in parts]))  # every letter once
    for paragraph, parts in zip(paragraphs, pieces, strict=True):
        lengths = list(islice(sizes, len(parts)))
        if sum(lengths) <= tokens:
            yield "\n\n", paragraph, sum(lengths)
            continue
        joint = "\n" if "\n" in paragraph else " "
        for number, (part, length) in enumerate(zip(parts, lengths, strict=True)):
            yield from _parts(part, length, tokens, joint if number else "\n\n", count)


def _sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph, without the space between them."""
    found: list[str] = []
    start = 0
    for match in _BREAK.finditer(paragraph):
        stop = match.start() + len(match[0].rstrip())
        if stop == match.start() + 1 and paragraph.endswith(_NO_END, start, match.start()):
            continue
        if stop > start:
            found.append(paragraph[start:stop])
        start = match.end()
    return [*found, paragraph[start:]] if start < len(paragraph) else found


def _parts(
    sentence: str, size: int, tokens: int, separator: str, count: Count
) -> Iterator[tuple[str, str, int]]:
    """A sentence, halved between words until each piece fits; a word alone always does."""
    words = sentence.split(" ")
    if size <= tokens or len(words) == 1:
        yield separator, sentence, size
        return
    halves = [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
    sizes = count(halves)
    yield from _parts(halves[0], sizes[0], tokens, separator, count)
    yield from _parts(halves[1], sizes[1], tokens, " ", count)


def _may_enter(paragraph: str) -> bool:
    """Whether a paragraph may enter a passage: no heading, and no long foreign quotation."""
    words = paragraph.split()
    if not words or (len(words) <= 15 and (paragraph.isupper() or _HEADING.match(paragraph))):
        return False
    return len(words) < 25 or looks_english(paragraph)


def is_passage(text: str) -> bool:
    """Long enough, made of letters, not shouted and English."""
    return len(text.split()) >= SMALLEST and looks_english(text)


def looks_english(text: str) -> bool:
    """Made of letters, not of capitals, and with the small words of English of any century."""
    words = _WORD.findall(text.lower())
    letters = sum(map(len, words))
    pieces = text.split()
    return (
        letters >= _LEAST_LETTERS * sum(map(len, pieces))
        and sum(map(_STOP_WORDS.__contains__, words)) >= _LEAST_STOP_WORDS * len(pieces)
        and len(_CAPITAL.findall(text)) <= _MOST_CAPITALS * letters
    )
