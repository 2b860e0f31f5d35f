"""A folder of texts with a catalogue: one line of ``catalog.csv`` for each text."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from progressgym.errors import UsageError
from progressgym.registry import register

from ..documents import Document, Kind, Part, SetAside, Source, read_year
from .gutenberg import is_gutenberg
from .reading import UnreadableError, read_text
from .tei import read_tei

CATALOG = "catalog.csv"
COLUMNS = (
    "file", "source", "source_id", "title", "author", "creation_year", "original_language",
    "translation_year", "genre",
)  # fmt: skip
OPTIONAL = ("language", "licence", "kind")

Row = dict[str, str]


@register("source", "catalog")
class Catalog(Source):
    """A folder of plain texts, Gutenberg texts and TEI files that its ``catalog.csv`` describes.

    TEI files in the folder that the catalogue does not name are read too, with the metadata in
    their headers; of those that it names, the catalogue wins where it says something.

    Args:
        place: the folder.
    """

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Has it a catalogue?"""
        return (folder / CATALOG).is_file()

    def parts(self) -> list[Part]:
        """The texts of the catalogue in its order, then the TEI files that it does not name.

        Raises:
            UsageError: no catalogue, or one without the columns.
        """
        folder = Path(self.place)
        named: list[Part] = []
        for name, (_, row, wrong) in _catalogue(folder).items():
            row_text = json.dumps(row, sort_keys=True)
            named.append(Part(name, None if wrong else folder / row["file"], revision=row_text))
        known = {part.path.resolve() for part in named if part.path}
        others = [
            Part(path.relative_to(folder).as_posix(), path)
            for path in sorted(folder.rglob("*.xml"))
            if path.is_file() and _is_inside(path, folder) and path.resolve() not in known
        ]
        return named + others

    def read(self, part: Part) -> Iterator[Document | SetAside]:
        """The text of a part, or what is wrong with its line in the catalogue."""
        line, row, wrong = _catalogue(Path(self.place)).get(part.name, (0, {}, ""))
        where = f"{CATALOG}, line {line}"
        if wrong:
            yield SetAside(where, wrong)
        elif part.path is not None and part.path.suffix.lower() == ".xml":
            for found in read_tei(part.path, part.name):
                yield _catalogued(found, row, where) if row else found
        elif part.path is not None:
            yield _plain(part.path, row, where)


def _catalogue(folder: Path) -> dict[str, tuple[int, Row, str]]:
    """Name of a part -> its line, cells, and what is wrong with the file; see :func:`_read`."""
    path = folder / CATALOG
    if not path.is_file():
        raise UsageError(f"{folder} has no {CATALOG}: expected one with columns {_expected()}.")
    return _read(folder, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(folder: Path, changed: int) -> dict[str, tuple[int, Row, str]]:
    try:
        text = read_text(folder / CATALOG)
    except UnreadableError as error:
        raise UsageError(f"{folder / CATALOG}: {error}.") from None
    reader = csv.DictReader(text.splitlines(keepends=True), strict=False)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
    if missing:
        raise UsageError(
            f"{folder / CATALOG}, line 1: expected the columns {_expected()}; "
            f"missing {', '.join(missing)}."
        )
    rows: dict[str, tuple[int, Row, str]] = {}
    for cells in reader:
        row = {name: (cells.get(name) or "").strip() for name in (*COLUMNS, *OPTIONAL)}
        wrong = _wrong(row, folder)
        if not wrong and row["file"] in rows:
            wrong = f"names {row['file']!r}, which line {rows[row['file']][0]} names already"
        name = f"{CATALOG}:{reader.line_num}" if wrong else row["file"]
        rows[name] = (reader.line_num, row, wrong)
    return rows


def _expected() -> str:
    return f"{', '.join(COLUMNS)} (and, if you like, {', '.join(OPTIONAL)})"


def _wrong(row: Row, folder: Path) -> str:
    """Why a line's file cannot be read; empty if it can. A link that leads out is refused too."""
    name = row["file"]
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        return f"expected the path of a file inside the folder, found {name!r}"
    if not (folder / path).is_file():
        return f"no such file: {name!r}"
    if not _is_inside(folder / path, folder):
        return f"{name!r} is a link that leads out of the folder"
    if row["kind"] and row["kind"] not in get_args(Kind):
        return f"unknown kind {row['kind']!r}; known: {', '.join(get_args(Kind))}"
    return ""


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _years(row: Row, where: str) -> dict[str, int | None] | SetAside:
    """The years of a line, or the one that is none."""
    years: dict[str, int | None] = {}
    for column in ("creation_year", "translation_year"):
        years[column] = read_year(row[column])
        if row[column] and years[column] is None:
            reason = f"{row['file']}: {column} is no plain year: {row[column]!r}"
            return SetAside(where, reason, "undated")
    return years


def _plain(path: Path, row: Row, where: str) -> Document | SetAside:
    years = _years(row, where)
    if isinstance(years, SetAside):
        return years
    if years["creation_year"] is None:
        return SetAside(where, f"{row['file']}: creation_year is no plain year: ''", "undated")
    try:
        text = read_text(path)
    except UnreadableError as error:
        return SetAside(where, f"{row['file']}: {error}")
    found = row["source"] == "Project Gutenberg" or is_gutenberg(text)
    words: dict[str, Any] = {name: row[name] for name in _WORDS}
    words["source_id"] = words["source_id"] or row["file"]
    kind: Any = row["kind"] or ("gutenberg" if found else "plain")
    return Document(**words, **years, kind=kind, text=text)  # type: ignore[arg-type]


_WORDS = (
    "source", "source_id", "title", "author", "original_language", "genre", "language", "licence",
)  # fmt: skip


def _catalogued(found: Document | SetAside, row: Row, where: str) -> Document | SetAside:
    """A TEI document with what the catalogue says of it."""
    if isinstance(found, SetAside):
        return replace(found, name=f"{where}: {found.name}")
    years = _years(row, where)
    if isinstance(years, SetAside):
        return years
    said: dict[str, Any] = {name: row[name] for name in _WORDS if row[name]}
    said |= {name: year for name, year in years.items() if year is not None}
    said |= {"doubt": ""} if years["creation_year"] is not None else {}
    said |= {"kind": row["kind"]} if row["kind"] else {}
    return replace(found, **said)
