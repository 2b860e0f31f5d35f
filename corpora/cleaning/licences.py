"""What the makers of an electronic text say about it: headers, licences, notices, credits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

# The header and the licence come in a dozen wordings over the years; these two cover them all.
_START = re.compile(
    r"(?:\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG|\*END\*? ?THE SMALL PRINT)[^\n]*",
    re.IGNORECASE,
)
_END = re.compile(
    r"^[^\n]{0,40}?(?:\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG"
    r"|END OF (?:THE |THIS )?PROJECT GUTENBERG)",
    re.IGNORECASE | re.MULTILINE,
)

_COPY_START = "digital copy of a book that was preserved for generations"
_COPY_END = "books.google"
_LONGEST_COPY = 12_000  # characters of that notice

# Short lines that libraries stamp on every page. "VjOOQIC" is what OCR makes of a logo.
_STAMP = re.compile(
    r"digiti[sz]ed (?:by|for|in)\b|\bgenerated (?:on|for|at) |hathitrust|hdl\.handle\.net|"
    r"books\.google|google[- ]digiti[sz]ed|\barchive\.org|\boriginal from\b|vjooq|"
    r"early journal content|internet archive",
    re.IGNORECASE,
)
_STAMP_WORDS = (
    "digiti", "generated ", "hathitrust", "handle.net", "books.google", "archive.org",
    "original from", "vjooq", "early journal content", "internet archive",
)  # fmt: skip
_LONGEST_STAMP = 200

_PRODUCER = re.compile(
    r"project gutenberg|gutenberg-tm|gutenberg literary|\bebooks?\b|\be-?texts?\b|"
    r"electronic (?:text|edition|version)|transcriber|transcribed (?:from|by)|"
    r"^\W{0,20}(?:produced|prepared|scanned|digiti[sz]ed|html version) by|proofread|"
    r"\bwww\.|https?:|\.(?:txt|htm|html|zip)\b|\w@[\w-]+\.\w|"
    r"keyed (?:and|from)|\btei\b|text creation partnership|eebo",
    re.IGNORECASE,
)
_PRODUCER_WORDS = (
    "gutenberg", "ebook", "etext", "e-text", "electronic ", "transcribe", "produced by",
    "prepared by", "scanned by", "digitized by", "digitised by", "version by", "proofread", "www.",
    "http", ".txt", ".htm", ".zip", "@", "keyed ", "(tei", " tei ", "text creation", "eebo",
)  # fmt: skip
_LICENCE = re.compile(
    r"creative ?commons|\bcc[- ]by\b|\bcc0\b|\bgnu (?:free|general|lesser)|"
    r"public domain (?:mark|dedication|in the (?:united states|us|usa)\b|works?\b)|"
    r"(?:not protected by|waived all|under u\.?s\.?) copyright|all rights reserved|"
    r"licen[sc]ed under (?:an? |the )?(?:cc|creative|gnu|open|mit|apache)|"
    r"terms of (?:use|service)\b[^.]{0,80}\b(?:site|website|licen[sc]e)|\bisbn\b|"
    r"permission (?:is granted|to (?:copy|reproduce|distribute))|catalog(?:u?ing)?[- ]in[- ]public",
    re.IGNORECASE,
)
_LICENCE_WORDS = (
    "commons", "cc by", "cc-by", "cc0", "gnu ", "public domain", "copyright", "rights reserved",
    "ed under", "terms of ", "isbn", "permission ", "in-public", "in public",
)  # fmt: skip
_LONG_BLOCK = 5_000  # a paragraph longer than this loses a sentence only
_LONG_SENTENCE = 1_000


def strip_gutenberg(text: str) -> str:
    """Cut the Project Gutenberg header and licence; a text without them stays as it is."""
    end = _END.search(text, len(text) // 4)
    text = text[: end.start()] if end else text
    starts = list(_START.finditer(text))
    return text[starts[-1].end() :] if starts else text


def drop_digitisers(text: str) -> str:
    """Drop the notice in front of a Google book, and the lines libraries stamp on pages."""
    start = text.find(_COPY_START)
    while start >= 0:
        begin = max(0, text.rfind("\n\n", 0, start))
        last = text.rfind(_COPY_END, start, start + _LONGEST_COPY)
        stop = _either(text.find("\n", max(last, start)), len(text))
        text = text[:begin] + text[stop:]
        start = text.find(_COPY_START, begin)
    kept, position = [], 0
    for begin, stop in _spans(text, _STAMP_WORDS, "\n", _LONGEST_STAMP):
        if _STAMP.search(text, begin, stop):
            kept.append(text[position:begin])
            position = stop
    return "".join([*kept, text[position:]])


def drop_licences(text: str) -> str:
    """Drop paragraphs that say under which licence a text is."""
    return _drop_blocks(text, _LICENCE_WORDS, _LICENCE)


def drop_producers(text: str) -> str:
    """Drop paragraphs about the electronic text; a whole speech loses the sentence only."""
    return _drop_blocks(text, _PRODUCER_WORDS, _PRODUCER)


def _drop_blocks(text: str, words: Sequence[str], pattern: re.Pattern[str]) -> str:
    kept, position = [], 0
    for begin, stop in _spans(text, words, "\n\n", _LONG_BLOCK):
        if pattern.search(text[begin:stop].strip().replace("\n", " ")):
            kept.append(text[position:begin])
            position = stop
    return "".join([*kept, text[position:]])


def _spans(
    text: str, words: Sequence[str], separator: str, longest: int
) -> Iterator[tuple[int, int]]:
    """Stretches between two separators that have one of the words, in order, each once.

    One that would be longer than `longest` is narrowed to the sentence around the word.
    """
    # Searching for plain words is many times faster than one pattern for all of them.
    lowered = text.replace("İ", "I").lower().replace("\n", " ")
    found: set[tuple[int, int]] = set()
    for word in words:
        position = lowered.find(word)
        while position >= 0:
            span = _around(text, position, separator, longest)
            found.add(span)
            position = lowered.find(word, max(span[1], position + len(word)))
    last = 0
    for begin, stop in sorted(found):
        if stop > last:
            yield max(begin, last), stop
            last = stop


def _around(text: str, position: int, separator: str, longest: int) -> tuple[int, int]:
    left, right = max(0, position - longest), min(len(text), position + longest)
    begin = text.rfind(separator, left, position)
    stop = text.find(separator, position, right)
    if begin < 0 and left == 0:
        begin = -len(separator)
    if stop < 0 and right == len(text):
        stop = right
    if begin == -1 or stop < 0 or stop - begin > longest:
        return _sentence(text, position)
    return begin + len(separator), stop


def _sentence(text: str, position: int) -> tuple[int, int]:
    """The sentence at a position, as far as it is of common length."""
    left, right = max(0, position - _LONG_SENTENCE), min(len(text), position + _LONG_SENTENCE)
    marks = (". ", "! ", "? ", "\n")
    before = max(text.rfind(mark, left, position) for mark in marks)
    after = min(_either(text.find(mark, position, right), right - 1) for mark in marks)
    return (before + 1 if before >= 0 else left), after + 1


def _either(position: int, otherwise: int) -> int:
    return position if position >= 0 else otherwise
