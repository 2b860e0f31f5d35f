"""Files of one JSON object a line, cut into pieces that can be read on their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ..documents import Part, SetAside
from .reading import TOO_LARGE, UnreadableError, lines

PART_BYTES = 64 << 20

Entry = dict[str, Any]


def cut_file(name: str, path: Path) -> list[Part]:
    """A file of lines as parts of a moderate size; whole if it is packed."""
    size = path.stat().st_size
    if path.suffix != ".jsonl" or size <= PART_BYTES:
        return [Part(name, path)]
    starts = range(0, size, PART_BYTES)
    return [Part(f"{name}:{at}", path, at, min(at + PART_BYTES, size)) for at in starts]


def read_objects(
    file: IO[bytes], name: str, start: int = 0, stop: int | None = None
) -> Iterator[tuple[str, Entry | SetAside]]:
    """The objects of the lines that begin between two bytes: (``name:byte``, object or report)."""
    is_empty = not start
    try:
        for position, line in lines(file, start, stop):
            place = f"{name}:{position}"
            if line is None or line.strip():
                is_empty = False
                yield place, SetAside(place, TOO_LARGE) if line is None else _object(line, place)
    except UnreadableError as error:
        yield name, SetAside(name, str(error))
        return
    if is_empty:
        yield name, SetAside(name, "the file is empty")


def _object(line: bytes, place: str) -> Entry | SetAside:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        return SetAside(place, f"broken JSON: {error}")
    return entry if isinstance(entry, dict) else SetAside(place, "expected a JSON object")


def sound(text: str) -> str:
    """Text without the halves of characters that JSON allows and UTF-8 does not."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
