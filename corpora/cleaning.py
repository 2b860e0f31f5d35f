"""From a downloaded book to its author's own text, in small named steps (str -> str).

Losing a little of the author is acceptable here; keeping an editor is not, because the cleaned
texts stand for their century.
"""

import csv
import re
from functools import cache
from pathlib import Path

from .catalog import Document
from .layout import drop_furniture, unwrap
from .notes import (
    SCHOLARSHIP,
    drop_bracketed_notes,
    drop_brackets,
    drop_glosses,
    drop_margins,
    drop_note_blocks,
    drop_scholarship,
)

_GUTENBERG = "Project Gutenberg"
BODIES = Path(__file__).with_name("bodies.csv")

# The header and the licence come in a dozen wordings over the years; these two cover them all.
_GUTENBERG_START = re.compile(
    r"^.*(\*\*\* ?START OF (THE|THIS) PROJECT GUTENBERG|\*END\*? ?THE SMALL PRINT).*$",
    re.MULTILINE | re.IGNORECASE,
)
_GUTENBERG_END = re.compile(
    r"^.*(\*\*\* ?END OF (THE|THIS) PROJECT GUTENBERG|End of (the |this )?Project Gutenberg)",
    re.MULTILINE | re.IGNORECASE,
)
_EDITOR_HEADING = re.compile(
    r"^\W*((the )?(translator|editor|publisher)s?['’]?s? (preface|introduction|note)|"
    r"(general |biographical )?introduction|introductory note|bibliographical note|contents|"
    r"table of contents|list of illustrations|biographical (note|sketch)|prefatory note)\W*$",
    re.MULTILINE | re.IGNORECASE,
)
_BACK_HEADING = re.compile(
    r"^\W*(index|footnotes|endnotes|notes|glossary|bibliography|appendix|list of books)\W*$",
    re.MULTILINE | re.IGNORECASE,
)


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, or Latin-1 for the older books, with `\\n` line ends.

    Args:
        path: the file.

    Returns:
        Its text.

    Raises:
        OSError: the file can't be read.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="ignore")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def clean(text: str, document: Document) -> str:
    """Reduce a downloaded text to its author's words.

    Args:
        text: the text as `read_text` gives it.
        document: what the text is; a Project Gutenberg number selects spans in `bodies.csv`.

    Returns:
        Paragraphs separated by blank lines; verse keeps its line breaks.

    Raises:
        ValueError: a marker of `bodies.csv` isn't in the text.
    """
    known = known_spans() if document.source == _GUTENBERG else {}
    spans = known.get(document.source_id)
    text = strip_gutenberg(text)
    text = keep_spans(text, spans, document.work) if spans else strip_editors(text)
    text = drop_bracketed_notes(text)
    text = drop_note_blocks(text)
    if document.creation_year < SCHOLARSHIP:
        text = drop_scholarship(text, document.creation_year)
    text = drop_margins(text)
    text = drop_glosses(text)
    text = drop_brackets(text)
    text = drop_furniture(text)
    return unwrap(text)


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


def strip_gutenberg(text: str) -> str:
    """Cut the Project Gutenberg header and licence.

    Args:
        text: a whole file.

    Returns:
        What stands between them; the text unchanged where there are none.
    """
    end = _GUTENBERG_END.search(text, len(text) // 4)
    text = text[: end.start()] if end else text
    starts = list(_GUTENBERG_START.finditer(text))
    return text[starts[-1].end() :] if starts else text


def keep_spans(text: str, spans: list[tuple[str, str]], name: str) -> str:
    """Keep the given spans of lines, and nothing else.

    Args:
        text: a book.
        spans: (start, end) pairs in reading order. A marker matches the first line, from
            where the previous span ended, that begins with it (white space aside). The start
            line is kept, the end line isn't; an empty end keeps the rest.
        name: what to call the book in an error.

    Returns:
        The kept lines, spans separated by a blank line.

    Raises:
        ValueError: a marker isn't found.
    """
    lines = text.split("\n")
    flat = [" ".join(line.split()) for line in lines]
    position, kept = 0, []
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
        the next heading), and before the first index or notes in its last third.
    """
    front = list(_EDITOR_HEADING.finditer(text, 0, len(text) // 5))
    if front:
        heading = re.compile(r"\n\n+(?=[^a-z\n]{4,60}\n\n)").search(text, front[-1].end())
        text = text[heading.end() if heading else front[-1].end() :]
    back = _BACK_HEADING.search(text, len(text) * 2 // 3)
    return text[: back.start()] if back else text
