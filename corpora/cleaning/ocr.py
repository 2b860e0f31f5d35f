"""What a scanned book needs: page ends, running heads, signatures, catchwords, noise."""

from __future__ import annotations

import re
from collections import Counter

_TOP, _BOTTOM = 2, 2  # lines of a page where furniture stands
_LEAST_REPEATS = 3  # pages with the same head
_LONGEST_HEAD = 80
_ALIKE = str.maketrans("lj1!|07", "iiiiiot")  # letters that a scanner takes for one another
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_NUMBERED = re.compile(
    r"^\W*(?:\d{1,4}|[ivxlc]{1,7}|[\dIlO]{1,4})\b|\b(?:\d{1,4}|[\dIlO]{2,4})\W*$"
)
_NUMBER = re.compile(r"^\W*(?:[\dIlOoSi] ?){1,4}\W*$|^\W*[ivxlc]{1,7}\W*$", re.IGNORECASE)
# "A2", "B iij", "VOL. II. Bb 3": printers' marks for the binder.
_SIGNATURE = re.compile(
    r"^\W*(?:VOL\.? ?[IVXL]+\W{1,3})?[A-Z][A-Za-z]{0,2}[ .]{0,2}(?:\d{1,2}|[ivxj]{1,4})?\W*$"
)
_SENTENCE_END = re.compile(r"[.!?:;][\"'’”)\]]*$")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_LEAST_LETTERS = 0.5
_LEAST_SIGNS = 5  # of a line that is judged


def join_pages(text: str) -> str:
    """Take running heads, page numbers, signatures and catchwords away, and join the pages.

    Pages end with form feeds. In a text without any, lines that stand alone, come again and
    again and mostly have a page number, are running heads.
    """
    if "\f" not in text:
        return _drop_lone_heads(text)
    pages = [page.strip("\n").split("\n") for page in text.split("\f") if page.strip()]
    counts = Counter(key for page in pages for key in {_key(page[n]) for n in _edges(page)})
    pages = [_without_edges(page, counts) for page in pages]
    joined: list[str] = []
    for number, page in enumerate(pages):
        following = next((p for p in pages[number + 1 : number + 3] if p), [])
        if page and following and _is_catchword(page[-1], following[0]):
            page = page[:-1]
        if not page:
            continue
        if joined and not _goes_on(joined[-1], page[0]):
            joined.append("")
        joined += page
    return "\n".join(joined)


def _edges(page: list[str]) -> list[int]:
    """The lines with something on them at the top and the bottom of a page."""
    written = [number for number, line in enumerate(page) if line.strip()]
    return sorted({*written[:_TOP], *written[-_BOTTOM:]})


def _key(line: str) -> str:
    """Equal for a running head on all its pages, though each may be misread."""
    if len(line) > _LONGEST_HEAD:
        return ""
    return _NOT_LETTERS.sub("", line.strip(" 0123456789").lower().translate(_ALIKE))


def _without_edges(page: list[str], counts: Counter[str]) -> list[str]:
    for number in _edges(page):
        line = page[number]
        key = _key(line)
        repeated = len(key) > 3 and counts[key] >= _LEAST_REPEATS
        head = len(line) < _LONGEST_HEAD and bool(_NUMBERED.search(line)) and _is_capital(line)
        if repeated or head or _NUMBER.match(line) or _SIGNATURE.match(line):
            page[number] = ""
    while page and not page[0].strip():
        page = page[1:]
    while page and not page[-1].strip():
        page = page[:-1]
    return page


def _is_capital(line: str) -> bool:
    letters = [letter for letter in line if letter.isalpha()]
    return bool(letters) and sum(map(str.isupper, letters)) > 0.6 * len(letters)


def _is_catchword(line: str, following: str) -> bool:
    """The next page's first word, printed alone below the last line."""
    word = line.strip()
    is_lone = " " not in word and 1 < len(word) < 20
    return is_lone and following.strip().lower().startswith(word.rstrip("-").lower())


def _goes_on(line: str, following: str) -> bool:
    """Does a paragraph run over the page?"""
    return not _SENTENCE_END.search(line) and not following.startswith("  ")


def _drop_lone_heads(text: str) -> str:
    lines = text.split("\n")
    keys: dict[int, str] = {}
    for number, line in enumerate(lines):
        lone = number == 0 or not lines[number - 1] or number + 1 == len(lines)
        if line and lone and len(key := _key(line)) > 3:
            keys[number] = key
    counts = Counter(keys.values())
    numbered = Counter(key for number, key in keys.items() if _NUMBERED.search(lines[number]))
    for number, key in keys.items():
        if counts[key] > _LEAST_REPEATS and numbered[key] * 3 >= counts[key]:
            lines[number] = ""
    return "\n".join(lines)


def drop_noise(text: str) -> str:
    """Drop lines that are hardly made of words, such as a scanner's reading of a picture."""
    return "\n".join(line for line in text.split("\n") if not _is_noise(line))


def _is_noise(line: str) -> bool:
    dense = len(line) - line.count(" ")
    if dense < _LEAST_SIGNS:
        return dense > 0 and not any(map(str.isalnum, line))
    return sum(map(len, _LETTERS.findall(line))) < _LEAST_LETTERS * dense


def join_broken(text: str) -> str:
    """Join what blank lines tore apart: a line that ends no sentence, then a small letter."""
    kept: list[str] = []
    for block in re.split(r"\n{2,}", text):
        torn = kept and block[:1].islower() and not _SENTENCE_END.search(kept[-1][-4:])
        kept.append(("\n" if torn else "\n\n" if kept else "") + block)
    return "".join(kept)
