"""What stands before and after the author: known spans of a work, or editors' front and back."""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

from ..documents import Document

BODIES = Path(__file__).with_name("bodies.csv")
_GUTENBERG = "Project Gutenberg"
_QUOTES = str.maketrans("‘’“”", "''\"\"")

_CONTENTS = (
    r"(?:the )?(?:tables? of )?(?:the )?contents(?: of th(?:e|is) \w+)?|"
    r"(?:list of )?(?:illustrations|plates|tables|abbreviations)"
)
_LIST_HEADING = re.compile(
    rf"^[^\w\n]{{0,10}}(?:{_CONTENTS})[^\w\n]{{0,10}}$", re.MULTILINE | re.IGNORECASE
)
# "p. 12. l. 5. for Book, read Look": a printer's errata.
_ERRATUM = re.compile(r"\bl(?:ine|in)?\.? ?\d+\.?,? ", re.IGNORECASE)
_CORRECTS = re.compile(r"\br(?:ead)?\b", re.IGNORECASE)
_EDITOR_HEADING = re.compile(
    r"^[^\w\n]{0,10}(?:(?:the )?(?:translator|editor|publisher)s?['’]?s? "
    r"(?:preface|introduction|note)|(?:general |biographical )?introduction|introductory note|"
    r"bibliographical note|biographical (?:note|sketch)|prefatory note|"
    rf"(?P<list>{_CONTENTS}))[^\w\n]{{0,10}}$",
    re.MULTILINE | re.IGNORECASE,
)
_BACK_HEADING = re.compile(
    r"^[^\w\n]{0,10}(?:index|footnotes|endnotes|notes|glossary|bibliography|appendix|errata|"
    r"list of books)[^\w\n]{0,10}$",
    re.MULTILINE | re.IGNORECASE,
)
_HEADING = re.compile(r"\n\n+(?=[^a-z\n]{4,60}\n\n)")
# "IV. Of the Soul . . . 23": an entry of a table of contents.
_ENTRY = re.compile(
    r"^\W{0,8}(?:chap(?:ter)?\b|book\b|part\b|section\b|[ivxlc]+\b|\d+\b).{0,120}$|^.{0,160}\W[ivxlc\d]{1,7}$",
    re.IGNORECASE,
)
_LONGEST_LIST = 300  # paragraphs
_LONGEST_TITLE = 120
_BLANK = re.compile(r"\n*")


def author_only(text: str, document: Document) -> str:
    """The author's spans of a known work; of another, what editors leave.

    A known work whose marks are not all found is another edition, and treated as unknown.
    """
    spans = known_spans().get(document.source_id) if document.source == _GUTENBERG else None
    if spans:
        try:
            return keep_spans(text, spans, document.name)
        except ValueError:
            pass
    return strip_editors(text)


@cache
def known_spans() -> dict[str, list[tuple[str, str]]]:
    """The spans of author's text, by source id, from `bodies.csv`.

    Returns:
        For each work its (start, end) markers in reading order; an empty end means the end of
        the book.

    Raises:
        OSError: the table can't be read.
    """
    spans: dict[str, list[tuple[str, str]]] = {}
    with BODIES.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            spans.setdefault(row["source_id"], []).append((row["start"], row["end"]))
    return spans


def keep_spans(text: str, spans: list[tuple[str, str]], name: str) -> str:
    """Keep the given spans of lines, and nothing else.

    Args:
        text: a book.
        spans: (start, end) pairs in reading order. A marker matches the first line, from
            where the previous span ended, that begins with it (white space and the shape of
            quotes aside). The start line is kept, the end line isn't; an empty end keeps the
            rest.
        name: what to call the book in an error.

    Returns:
        The kept lines, spans separated by a blank line.

    Raises:
        ValueError: a marker isn't found.
    """
    lines = text.split("\n")
    flat = [" ".join(line.split()) for line in text.translate(_QUOTES).split("\n")]
    position = 0
    kept: list[str] = []
    for start, end in spans:
        first = _find(flat, start, position, name)
        position = _find(flat, end, first + 1, name) if end else len(lines)
        kept.extend([*lines[first:position], ""])
    return "\n".join(kept)


def _find(lines: list[str], marker: str, position: int, name: str) -> int:
    for number in range(position, len(lines)):
        if lines[number].startswith(marker):
            return number
    raise ValueError(f"{BODIES.name}: no line of {name} from {position} begins with {marker!r}")


def strip_editors(text: str) -> str:
    """For a book nobody has looked at: cut what usually stands before and after the author.

    Args:
        text: a book without Gutenberg's own matter.

    Returns:
        The text after the last editor's heading in its first fifth (and the paragraphs up to
        the next heading, or the entries of a list), and before the first index or notes in its
        last third.
    """
    front = list(_EDITOR_HEADING.finditer(text, 0, len(text) // 5))
    if front:
        text = text[_end_of_front(text, front[-1]) :]
    back = _BACK_HEADING.search(text, len(text) * 2 // 3)
    return text[: back.start()] if back else text


def _end_of_front(text: str, heading: re.Match[str]) -> int:
    """Where the author begins after an editor's heading."""
    if heading["list"]:
        return _end_of_list(text, heading.end())
    following = _HEADING.search(text, heading.end(), len(text) // 3)
    return following.end() if following else heading.end()


def drop_lists(text: str) -> str:
    """Drop tables of contents, with their heading, and printers' lists of errata."""
    kept, position = [], 0
    for heading in _LIST_HEADING.finditer(text):
        if heading.start() >= position:
            kept.append(text[position : heading.start()])
            position = _end_of_list(text, heading.end())
    text = "".join([*kept, text[position:]])
    if "rrata" not in text and not re.search(r"\b[Rr]ead\b|\br\.", text):
        return text
    return "\n\n".join(block for block in text.split("\n\n") if not _is_errata(block))


def _is_errata(block: str) -> bool:
    corrections = _CORRECTS.findall(block) if "r" in block else []
    return len(corrections) > 2 and len(_ERRATUM.findall(block)) > 2


def _end_of_list(text: str, position: int) -> int:
    """Where the entries that follow a list's heading end."""
    end, others = position, 0
    for _ in range(_LONGEST_LIST):
        begin = _BLANK.match(text, position).end()  # type: ignore[union-attr]  # always matches
        position = text.find("\n\n", begin)
        if position < 0:
            break
        if _is_list(text[begin:position]):
            end, others = position, 0
            continue
        # The titles of parts stand between the entries.
        others += 1
        if others > 2 or position - begin > _LONGEST_TITLE:
            break
    return end


def _is_list(block: str) -> bool:
    lines = block.split("\n")
    entries = sum(bool(_ENTRY.match(line.strip())) for line in lines)
    return len(block) < 20_000 and entries * 2 > len(lines)
