"""ProgressGym-HistText: JSON lists of dated texts by century and year, read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import ijson

from progressgym.registry import register

from ..documents import Document, Part, SetAside, Source
from .languages import language_code, language_name
from .reading import LARGEST, TOO_LARGE, UnreadableError, files, open_unpacked

COLUMNS = {"content", "creation_year", "source_dataset"}
APART = 50  # years between the earliest and latest that leave too little known

_WORDS = {
    "source": "source_dataset",
    "source_id": "source_document",
    "title": "title",
    "author": "author",
    "language": "language",
    "original_language": "original_language",
    "genre": "genre",
    "licence": "licence",
}
_YEARS = ("creation_year", "translation_year")
# Keys in ``extra`` by which a document becomes again just what it was read from.
_PIECES = "content_pieces"  # lengths of the strings of a content that is a list
_ABSENT = "fields_absent"  # fields that the entry did not have and a Document must
_BETWEEN = "\n\n"


@register("source", "histtext")
class HistText(Source):
    """A folder of ``C013/Y01206.json`` files, or other ``.json`` files of the same entries.

    A document whose years contradict each other is not dated: ``creation_year`` against the year
    or century of its file or against the earliest and latest year, or these two far apart.

    Args:
        place: the folder, or one file.
    """

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Has it a file ``C013/Y….json`` for some century?"""
        return folder.is_dir() and any(folder.glob("C[0-9][0-9][0-9]/Y[0-9]*.json"))

    def parts(self) -> list[Part]:
        """The files."""
        return [Part(name, path) for name, path in files(self.place, ".json")]

    def read(self, part: Part) -> Iterator[Document | SetAside]:
        """The documents of a file; memory holds one at a time."""
        assert part.path is not None
        folders = f"{part.path.parent.name}/{part.path.name}"  # known even if place is one file
        try:
            with open_unpacked(part.path) as file:
                yield from read_list(file, part.name, folders)
        except UnreadableError as error:
            yield SetAside(part.name, str(error))


class _Bounded:
    """A file that gives up when one entry is larger than any book."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.since = 0  # bytes, since an entry was complete
        self.is_empty = True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.since += len(data)
        self.is_empty = self.is_empty and not data.strip()
        if self.since > LARGEST:
            raise UnreadableError(f"{TOO_LARGE}; what follows it in the file is not read")
        return data


def read_list(file: IO[bytes], name: str, folders: str) -> Iterator[Document | SetAside]:
    """The documents of a JSON list.

    Args:
        file: the list.
        name: of the file, for ids and messages.
        folders: its path as far as that says the century and year.

    Raises:
        UnreadableError: while it is read.
    """
    bounded = _Bounded(file)
    number = 0
    try:
        for entry in ijson.items(bounded, "item", use_float=True):
            bounded.since = 0
            yield from_histtext(entry, f"{name}#{number}", folders)
            number += 1
    except UnreadableError as error:
        yield SetAside(f"{name}#{number}", str(error))
    except (ijson.JSONError, UnicodeDecodeError, ValueError) as error:
        where = " ".join(str(error).split())[:200]
        broken = SetAside(f"{name}#{number}", f"broken JSON, read up to here: {where}")
        yield SetAside(name, "the file is empty") if bounded.is_empty else broken
    else:
        if not number:
            yield SetAside(name, "expected a JSON list of texts")


def from_histtext(entry: Any, name: str, folders: str = "") -> Document | SetAside:
    """The document of an entry.

    Args:
        entry: of the list.
        name: stands for its id where it has none.
        folders: path of the file as far as that says the century and year.
    """
    if not isinstance(entry, Mapping):
        return SetAside(name, "expected a JSON object")
    content = entry.get("content")
    pieces = [content] if isinstance(content, str) else content
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        return SetAside(name, "expected content that is a text, or a list of texts")
    text = _BETWEEN.join(pieces)
    if not text.strip():
        return SetAside(name, "it has no content")
    words = {own: value for own, key in _WORDS.items() if isinstance(value := entry.get(key), str)}
    years = {key: _whole(entry.get(key)) for key in _YEARS}
    doubt = _contradiction(entry, folders)
    made = Document(
        source=words.pop("source", "") or "HistText",
        source_id=words.pop("source_id", "") or name,
        title=words.pop("title", ""),
        author=words.pop("author", ""),
        language=language_code(words.pop("language", "")),
        creation_year=None if doubt else years["creation_year"],
        translation_year=years["translation_year"],
        text=text,
        kind="clean",
        doubt=doubt,
        extra={} if isinstance(content, str) else {_PIECES: [len(piece) for piece in pieces]},
        **words,
    )
    return _with_rest(made, entry)


def _with_rest(made: Document, entry: Mapping[str, Any]) -> Document:
    """The document with all in ``extra`` that its own fields do not give back exactly."""
    again = to_histtext(made)
    rest = {k: v for k, v in entry.items() if k not in again or not _same(again[k], v)}
    absent = [key for key in again if key not in entry]
    extra = {**made.extra, **rest} | ({_ABSENT: absent} if absent else {})
    fields = {name: getattr(made, name) for name in made.__dataclass_fields__}
    return Document(**(fields | {"extra": extra}))


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def to_histtext(document: Document) -> dict[str, Any]:
    """The entry of a document: the very one it was read from, if that was HistText's."""
    entry: dict[str, Any] = {"content": _pieces(document)}
    for own, key in _WORDS.items():
        if value := getattr(document, own):
            entry[key] = language_name(value) if own == "language" else value
    entry |= {key: year for key in _YEARS if (year := getattr(document, key)) is not None}
    entry |= document.extra
    entry.pop(_PIECES, None)
    for key in entry.pop(_ABSENT, []):
        entry.pop(key, None)
    return entry


def _pieces(document: Document) -> str | list[str]:
    """The text as it was divided; whole if it has become another since."""
    lengths = document.extra.get(_PIECES)
    if lengths is None or sum(lengths) + len(_BETWEEN) * (len(lengths) - 1) != len(document.text):
        return document.text
    pieces, at = [], 0
    for length in lengths:
        pieces.append(document.text[at : at + length])
        at += length + len(_BETWEEN)
    return pieces


def _whole(value: Any) -> int | None:
    """A year as a whole number."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _numbers(value: Any) -> list[int]:
    """The years of a field that has one, or several."""
    values: Iterable[Any] = value if isinstance(value, list) else [value]
    return [year for year in map(_whole, values) if year is not None]


def _contradiction(entry: Mapping[str, Any], folders: str) -> str:
    """Why the year of creation cannot be trusted; empty if it can."""
    year = _whole(entry.get("creation_year"))
    if year is None:
        return f"creation_year is no plain year: {entry.get('creation_year')!r}"
    earliest = _numbers(entry.get("creation_year_earliest"))
    latest = _numbers(entry.get("creation_year_latest"))
    span = [*earliest, *latest]
    if span and max(span) - min(span) > APART:
        return f"written at some time from {min(span)} to {max(span)}"
    if (earliest and year < min(earliest)) or (latest and year > max(latest)):
        return f"creation_year is {year}, but written from {min(span)} to {max(span)}"
    if (found := re.search(r"Y(\d{5})\.json$", folders)) and int(found[1]) != year:
        return f"creation_year is {year}, but the file's year is {int(found[1])}"
    # The year 1300 is the last of its century, and yet some count it to the next.
    centuries = ((year - 1) // 100 + 1, year // 100 + 1)
    found = re.search(r"(?:^|/)C(\d{3})/", folders)
    if found and int(found[1]) not in centuries:
        return f"creation_year is {year}, but the folder's century is {int(found[1])}"
    return ""
