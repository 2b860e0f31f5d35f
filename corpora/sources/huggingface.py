"""Data sets of the Hugging Face hub, or folders laid out like one."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from progressgym.errors import UsageError
from progressgym.registry import register

from ..documents import Document, Part, SetAside, Source, read_year
from .histtext import COLUMNS, from_histtext, read_list
from .json_lines import read_objects, sound
from .languages import language_code
from .reading import UnreadableError, open_unpacked, read_date

# Our fields -> names under which data sets have them, the surest first.
_NAMES = {
    "text": ("text", "content", "body", "document", "raw_text", "full_text"),
    "creation_year": (
        "creation_year", "year", "date", "publication_year", "publication_date", "pub_year",
        "created", "created_timestamp", "published",
    ),
    "translation_year": ("translation_year",),
    "title": ("title", "name", "book_title"),
    "author": ("author", "authors", "creator"),
    "language": ("language", "lang"),
    "original_language": ("original_language",),
    "genre": ("genre", "category", "subject"),
    "licence": ("licence", "license", "rights"),
    "source": ("source_dataset", "source", "collection"),
    "source_id": ("source_document", "source_id", "id", "identifier", "doc_id"),
}  # fmt: skip
_NOT_WORDS = ("text", "creation_year", "translation_year")
_FORMATS = {".parquet": "parquet", ".csv": "csv", ".arrow": "arrow"}


@register("source", "huggingface")
class HuggingFace(Source):
    """A data set, read as a stream; each of its files by itself, as columns may differ.

    Columns are found by their usual names; HistText's entries are read as HistText does. Nothing
    of a data set is ever run.

    Args:
        place: ``OWNER/NAME`` on the hub or a local folder; ``@REVISION`` and ``#SPLIT`` may follow.
    """

    def __init__(self, place: str) -> None:
        super().__init__(place)
        found = re.fullmatch(r"(.+?)(?:@([^@#/]+))?(?:#([^@#/]+))?", place)
        if not found:
            expected = "OWNER/NAME[@REVISION][#SPLIT] or a folder"
            raise UsageError(f"Expected {expected}, found {place!r}.")
        self.name, self.revision, self.split = found.groups()

    @property
    def _is_local(self) -> bool:
        return Path(self.name).exists()

    @cached_property
    def _pinned(self) -> str:
        """The commit that the revision is now."""
        if self._is_local:
            return ""
        from huggingface_hub import HfApi

        try:
            return HfApi().dataset_info(self.name, revision=self.revision).sha or ""
        except Exception as error:
            what = f"No folder, and no data set that the hub shows: {self.name!r}"
            raise UsageError(f"{what} ({_line(error)}).") from None

    def parts(self) -> list[Part]:
        """The data files of all splits, or of the one that is asked for.

        Raises:
            UsageError: no such data set or split.
        """
        splits = self._files()
        if self.split and self.split not in splits:
            raise UsageError(f"{self.name} has no split {self.split!r}: {', '.join(splits)}.")
        chosen = [self.split] if self.split else list(splits)
        found = {address for split in chosen for address in splits[split]}
        return sorted(map(self._part, found), key=lambda part: part.name)

    def _files(self) -> dict[str, list[str]]:
        """Split -> addresses of its files, of all configurations together."""
        from datasets import get_dataset_config_names, load_dataset_builder

        splits: dict[str, list[str]] = {}
        revision = self._pinned or None
        try:
            for name in get_dataset_config_names(self.name, revision=revision):
                builder = load_dataset_builder(self.name, name, revision=revision)
                for split, addresses in (builder.config.data_files or {}).items():
                    splits.setdefault(str(split), []).extend(map(str, addresses))
        except Exception as error:
            raise UsageError(f"{self.name} cannot be read as a data set: {_line(error)}.") from None
        return splits

    def _part(self, address: str) -> Part:
        if self._is_local:
            path = Path(address)
            inside = path.resolve().relative_to(Path(self.name).resolve())
            return Part(inside.as_posix(), path)
        inside_repo = re.sub(r"^hf://datasets/[^@]+@[^/]+/", "", address)
        return Part(inside_repo, revision=f"{address} {self._pinned}")

    def read(self, part: Part) -> Iterator[Document | SetAside]:
        """The documents of a file."""
        try:
            for number, row in enumerate(self._rows(part)):
                if isinstance(row, Document | SetAside):
                    yield row
                else:
                    yield _document(row, self.name, f"{part.name}#{number}")
        except UnreadableError as error:
            yield SetAside(part.name, str(error))
        except Exception as error:  # of a library that reads files of many formats
            yield SetAside(part.name, f"could not be read on: {_line(error)}")

    def _rows(self, part: Part) -> Iterator[Mapping[str, Any] | Document | SetAside]:
        """Rows; JSON is read here, so that a broken line loses no more than itself."""
        plain = re.sub(r"\.(?:gz|xz|bz2)$", "", part.name)
        if plain.endswith((".json", ".jsonl", ".ndjson")):
            with self._open(part) as file:
                if _begins_list(file):
                    yield from read_list(file, part.name, part.name)
                else:
                    yield from (entry for _, entry in read_objects(file, part.name))
            return
        from datasets import load_dataset

        module = _FORMATS.get(Path(plain).suffix, "")
        if not module:
            raise UnreadableError("no data file of a kind that is known here")
        address = str(part.path) if part.path else part.revision.split()[0]
        yield from load_dataset(module, data_files=address, split="train", streaming=True)

    def _open(self, part: Part) -> IO[bytes]:
        if part.path is not None:
            return open_unpacked(part.path)
        from huggingface_hub import HfFileSystem

        address = part.revision.split()[0].removeprefix("hf://")
        return open_unpacked(Path(address), HfFileSystem().open(address, "rb"))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _begins_list(file: IO[bytes]) -> bool:
    start = file.read(4096)
    file.seek(0)
    return start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _document(row: Mapping[str, Any], name: str, place: str) -> Document | SetAside:
    """The document of a row, from the columns that have the names of something."""
    row = {str(key): value for key, value in row.items() if value is not None}
    if set(row) >= COLUMNS:
        return from_histtext(row, place)
    columns = {key.lower(): key for key in row}
    known = {
        own: columns[next(n for n in names if n in columns)]
        for own, names in _NAMES.items()
        if any(n in columns for n in names)
    }
    text = row[known["text"]] if "text" in known else None
    if not isinstance(text, str) or not text.strip():
        return SetAside(place, f"no column with a text among {', '.join(row)}"[:300])
    words: dict[str, Any] = {
        own: _word(row[key]) for own, key in known.items() if own not in _NOT_WORDS
    }
    stated = row[known["creation_year"]] if "creation_year" in known else None
    year = _year(stated)
    return Document(
        source=words.pop("source", "") or name,
        source_id=words.pop("source_id", "") or place,
        title=words.pop("title", ""),
        author=words.pop("author", ""),
        language=language_code(words.pop("language", "")),
        creation_year=year,
        translation_year=_year(row.get(known.get("translation_year", ""))),
        text=sound(text),
        doubt="" if year else f"no plain year: {stated!r}" if stated else "no column has its year",
        extra={key: v for key, v in row.items() if key not in known.values() and _is_plain(v)},
        **words,
    )


def _word(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return sound("; ".join(map(str, values)))


def _year(value: Any) -> int | None:
    """The year of a number, a date, or a text that leaves no doubt."""
    if isinstance(value, datetime.date):  # and with it of a datetime
        return value.year
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return read_year(str(value)) or read_date(str(value))


def _is_plain(value: Any) -> bool:
    """Can it be written as JSON?"""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return isinstance(value, str | int | float | bool | None)
