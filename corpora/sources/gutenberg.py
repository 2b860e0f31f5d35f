"""Texts of Project Gutenberg in a folder, without a catalogue."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

from progressgym.errors import UsageError
from progressgym.registry import register

from ..documents import Document, Part, SetAside, Source, read_year
from .languages import language_code
from .reading import UnreadableError, beginning, files, first_file, read_text

METADATA = "metadata.csv"
_START = re.compile(
    r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG|^\W*The Project Gutenberg (?:EBook|Etext)"
    r"|^\W*Project Gutenberg's\b|\*END\*? ?THE SMALL PRINT",
    re.IGNORECASE,
)
_HEADER = 20_000  # characters in which a header ends
_ENCODING = re.compile(r"-(?:0|8)$")  # 1232-0.txt and 1232-8.txt are the book 1232 again
_COLUMNS = ("creation_year", "translation_year", "original_language", "genre")

Row = dict[str, str]


@register("source", "gutenberg")
class Gutenberg(Source):
    """A folder of Project Gutenberg's ``.txt`` files.

    Their headers tell title, author and language. They do not tell when a book was written, and
    the dates of an author's life are no answer: a text is dated by the folder's ``metadata.csv``
    (columns ``id``, ``creation_year`` and, if you like, ``translation_year``,
    ``original_language``, ``genre``), or not at all.

    Args:
        place: the folder, or one file.
    """

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Has the first text in it Gutenberg's marks?"""
        return is_gutenberg(beginning(first_file(folder, "*.txt"), _HEADER).decode("latin-1"))

    def parts(self) -> list[Part]:
        """The books; of one in several encodings, the one in UTF-8."""
        rows = self._metadata()
        books: dict[str, Part] = {}
        for name, path in files(self.place, ".txt"):  # 1232-0.txt comes before 1232.txt
            key = str(Path(name).with_suffix("").parent / _ENCODING.sub("", path.stem))
            row = rows.get(_number(path.stem), {})
            revision = json.dumps(row, sort_keys=True) if row else ""
            books.setdefault(key, Part(name, path, revision=revision))
        return list(books.values())

    def _metadata(self) -> dict[str, Row]:
        """Id -> what ``metadata.csv`` says; nothing where there is none."""
        path = Path(self.place) / METADATA
        if not path.is_file():
            return {}
        try:
            reader = csv.DictReader(read_text(path).splitlines(keepends=True))
        except UnreadableError as error:
            raise UsageError(f"{path}: {error}.") from None
        if not {"id", "creation_year"} <= set(reader.fieldnames or []):
            raise UsageError(f"{path}, line 1: expected the columns id, creation_year.")
        return {
            (cells["id"] or "").strip(): {n: (cells.get(n) or "").strip() for n in _COLUMNS}
            for cells in reader
        }

    def read(self, part: Part) -> Iterator[Document | SetAside]:
        """The text of a file."""
        assert part.path is not None
        try:
            text = read_text(part.path)
        except UnreadableError as error:
            yield SetAside(part.name, str(error))
            return
        row: Row = json.loads(part.revision) if part.revision else {}
        years = {
            name: read_year(row.get(name, "")) for name in ("creation_year", "translation_year")
        }
        for name, year in years.items():
            if row.get(name) and year is None:
                reason = f"{METADATA}: {name} is no plain year: {row[name]!r}"
                yield SetAside(part.name, reason, "undated")
                return
        title, author, language = _described(text[:_HEADER])
        yield Document(
            source="Project Gutenberg",
            source_id=_identity(text[:_HEADER], part.path.stem),
            title=title or part.path.stem,
            author=author,
            text=text,
            language=language_code(language),
            original_language=row.get("original_language", ""),
            genre=row.get("genre", ""),
            kind="gutenberg",
            doubt="" if years["creation_year"] else "Gutenberg does not say when it was written",
            creation_year=years["creation_year"],
            translation_year=years["translation_year"],
        )


def is_gutenberg(text: str) -> bool:
    """Has a text the marks of Project Gutenberg near its beginning?"""
    return bool(_START.search(text[:_HEADER]))


def _number(stem: str) -> str:
    """The book's number in a name such as ``pg1232`` or ``1232-0``."""
    found = re.fullmatch(r"(?:pg)?(\d+)(?:-[08])?", stem, re.IGNORECASE)
    return found[1] if found else stem


def _identity(header: str, stem: str) -> str:
    found = re.search(r"\[?(?:e-?book|etext) ?#(\d+)\]?", header, re.IGNORECASE)
    return _number(stem) if _number(stem).isdigit() or not found else found[1]


def _described(header: str) -> tuple[str, str, str]:
    """Title, author and language; older headers have the first two in their first line."""
    title, author = _field(header, "Title"), _field(header, "Author")
    if not title:
        line = re.search(
            r"Project Gutenberg(?:'s| e-?(?:book|text) of) (.+)", header, re.IGNORECASE
        )
        title, _, by = (line[1] if line else "").partition(", by ")
        author = author or by
    return title.strip(" ,*"), author.strip(), _field(header, "Language")


def _field(header: str, name: str) -> str:
    """A field of the header; lines that go on are indented."""
    found = re.search(rf"^{name}: *(.*(?:\n[ \t]+\S.*)*)", header, re.MULTILINE)
    return " ".join(found[1].split()) if found else ""
