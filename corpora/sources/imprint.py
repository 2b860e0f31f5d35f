"""What the imprint of an old book says of when its author wrote it, and what it does not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..documents import read_year

POSTHUMOUS = 10  # years after a death in which a first printing is still of its author's time
FLOURISHED = 50  # years that may lie between an author's known activity and a death
EDITIONS = 1  # years that two statements of one date may differ by: the year began in March

_TRANSLATION = re.compile(
    r"\btra[nm]?slat|\bengl?ish(?:ed|t)\b"
    r"|\b(?:done|put|turn'?e?d|rendr?e?d|reduced|set forth) into english"
    r"|\bout of (?:the )?(?:french|latine?|italian|spanish|greek?e?|dutch|german|hebrew)"
    r" (?:tongue|language|copie|copy|into|by)\b"
)
_EARLIER = re.compile(
    r"(?:first|originally|previously) (?:published|printed|issued)[^.]*?\b(1[0-9]{3})\b",
    re.IGNORECASE,
)
_DATES = re.compile(
    r",?\s*(?:\b(?:b|d|fl|ca|active|born|died)\b\.?|\[?\d{3,4}\b|\d+(?:st|nd|rd|th) cent).*$"
)


def read_imprint(text: str) -> int | None:
    """The year that an imprint states plainly, as ``1612.``, ``[1612]`` or ``Anno 1607``.

    ``1641?``, ``MDCXII``, ``1630-1640``, ``1641 [i.e. 1642]`` leave a doubt: None.
    """
    plain = re.sub(r"^\W*(?:printed )?(?:in the yeare?|ann?o(?: dom(?:ini)?\b)?)", "", text.lower())
    return read_year(re.sub(r"[\[\]().,:;\s]+", " ", plain))


def without_dates(author: str) -> str:
    """An author's name without the years of a library's heading: ``Hobbes, Thomas``."""
    name = _DATES.sub("", author.strip()).strip(" ,")
    return name[:-1] if re.search(r"[a-z]{2}\.$", name) else name


def last_year(author: str) -> int | None:
    """The last year in which an author can have lived, by a library's heading; None if unknown."""
    heading = author.lower()
    if "b.c" in heading:
        return 0
    if cent := re.findall(r"(\d+)(?:st|nd|rd|th) cent", heading):
        return int(cent[-1]) * 100
    years = [int(year) for year in re.findall(r"\b\d{3,4}\b", heading)]
    if years and re.search(r"\b(?:fl|active)\b", heading):
        return years[-1] + FLOURISHED
    died = years and re.search(r"\d\??-\D{0,5}\d|\bd\.|\bdied\b", heading)
    return years[-1] if died else None


def is_translation(title: str) -> bool:
    """Does a title say that the book is a translation?"""
    return bool(_TRANSLATION.search(re.sub(r"[\[\]]", "", title.lower())))


def doubt_of(year: int, title: str, authors: Sequence[str], notes: Sequence[str] = ()) -> str:
    """Why a text was not written in the year of its imprint; empty where nothing speaks against it.

    Args:
        year: of the imprint.
        title: of the book.
        authors: headings with their dates, as in ``Hobbes, Thomas, 1588-1679.``
        notes: of a cataloguer.
    """
    if is_translation(title):
        return f"a translation: {year} is the year of this English, not of the original"
    for author in authors:
        last = last_year(author)
        if last is not None and year > last + POSTHUMOUS:
            return f"printed in {year}, long after its author's time ({author.strip()})"
    for note in notes:
        for earlier in _EARLIER.findall(note):
            if int(earlier) < year - EDITIONS:
                return f"printed in {year}, but a note says: {note.strip()}"
    return ""
