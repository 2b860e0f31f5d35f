"""Legal and administrative texts as Pile of Law ships them: JSON lines with dates and addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from progressgym.registry import register

from ..documents import Document, Part, SetAside, Source
from .json_lines import cut_file, read_objects, sound
from .reading import UnreadableError, beginning, files, first_file, open_unpacked, read_date

_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.xz", ".jsonl.bz2")
_KEYS = {"text", "created_timestamp", "downloaded_timestamp", "url"}


@register("source", "pile-of-law")
class PileOfLaw(Source):
    """A folder of ``.jsonl`` files, packed or not, with Pile of Law's keys.

    A text was written in the year of ``created_timestamp``, where that is a plain date. The day of
    its download says nothing about it: a text "created" on that very day is not dated.

    Args:
        place: the folder, or one file.
    """

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Has the first line of the first file the keys?"""
        for ending in _ENDINGS:
            line = beginning(first_file(folder, f"*{ending}"), 1 << 20).split(b"\n")[0]
            if all(f'"{key}"'.encode() in line for key in _KEYS):
                return True
        return False

    def parts(self) -> list[Part]:
        """The files; large ones that are not packed in pieces."""
        found = files(self.place, *_ENDINGS)
        return [part for name, path in found for part in cut_file(name, path)]

    def read(self, part: Part) -> Iterator[Document | SetAside]:
        """The documents of the lines that begin in a part."""
        assert part.path is not None
        name = part.name if part.stop is None else part.name.rpartition(":")[0]
        kind = re.sub(r"^(?:train|validation|test)\.", "", part.path.name.split(".jsonl")[0])
        try:
            with open_unpacked(part.path) as file:
                for place, entry in read_objects(file, name, part.start, part.stop):
                    yield entry if isinstance(entry, SetAside) else _document(entry, place, kind)
        except UnreadableError as error:
            yield SetAside(name, str(error))


def _document(entry: dict[str, Any], place: str, kind: str) -> Document | SetAside:
    text = entry.get("text")
    if not isinstance(text, str) or not text.strip():
        return SetAside(place, "it has no text")
    year, doubt = _dated(entry)
    address = str(entry.get("url") or "")
    return Document(
        source="Pile of Law",
        source_id=place,
        title="",
        author="",
        creation_year=year,
        text=sound(text),
        genre=kind,
        doubt=doubt,
        extra={"url": sound(address)} if address else {},
    )


def _dated(entry: dict[str, Any]) -> tuple[int | None, str]:
    """The year of creation, and why there is none."""
    created = str(entry.get("created_timestamp") or "")
    year = read_date(created)
    if year is None:
        return None, f"created_timestamp is no plain date: {created!r}"
    if len(created) > 7 and created == entry.get("downloaded_timestamp"):
        return None, f"created_timestamp is the day of the download: {created!r}"
    return year, ""
