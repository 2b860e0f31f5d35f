"""Cut a cleaned text into passages, the units of training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

Count = Callable[[Sequence[str]], list[int]]
"""Gives the number of tokens of each text."""

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
SMALLEST = 40  # words of a passage
_JOINT = 1  # tokens between two units
# Not after a number or a title: "11. She spoke of it to Mr. Smith."
_SENTENCE_END = re.compile(
    r"(?<=[.!?;:][\"'’”)])\s+|(?<!\bMr\.)(?<!\bSt\.)(?<!\bDr\.)(?<!Mrs\.)(?<=[^\d\s][.!?])\s+|\n"
)
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
    for paragraph, size in zip(paragraphs, count(paragraphs), strict=True):
        if size <= tokens:
            yield "\n\n", paragraph, size
            continue
        joint = "\n" if "\n" in paragraph else " "
        sentences = [s for s in _SENTENCE_END.split(paragraph) if s]
        for number, (sentence, length) in enumerate(zip(sentences, count(sentences), strict=True)):
            first = "\n\n" if number == 0 else joint
            yield from _parts(sentence, length, tokens, first, count)


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
    letters = sum(map(str.isalpha, text))
    dense = len(text) - sum(map(str.isspace, text))
    capitals = sum(map(str.isupper, text))
    common = len(_STOP_WORDS.findall(text))
    return (
        letters >= _LEAST_LETTERS * dense
        and capitals <= _MOST_CAPITALS * letters
        and common >= _LEAST_STOP_WORDS * len(text.split())
    )
