"""Reading files that may hold anything: in bounds, and with a reason where it fails."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from progressgym.errors import UsageError

LARGEST = 64 << 20  # bytes of one document; no book comes near
TOO_LARGE = f"larger than any book: over {LARGEST >> 20} MB"

_UNPACK: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as the mark of UTF-16 does, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)[a-z]*\.?"
_TIME = r"(?:[T ]\d\d:?\d\d.*)?"
_DATE = re.compile(
    rf"(\d{{4}})(?:[-/]\d\d?(?:[-/]\d\d?)?)?{_TIME}"
    rf"|\d\d?[-/.]\d\d?[-/.](\d{{4}}){_TIME}"
    rf"|(?:{_MONTH} \d\d?|\d\d? {_MONTH}|{_MONTH}),? (\d{{4}})",
    re.IGNORECASE,
)


class UnreadableError(Exception):
    """What is wrong with an input, for people."""


def files(place: str, *endings: str) -> list[tuple[str, Path]]:
    """Files below a folder (or the one file) whose names end so: (path inside the folder, path).

    Hidden files and folders are passed over.

    Raises:
        UsageError: there is no such place, or no such file in it.
    """
    root = Path(place)
    if root.is_file():
        return [(root.name, root)]
    if not root.is_dir():
        raise UsageError(f"No such folder: {place}.")
    found = []
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if path.name.lower().endswith(endings) and not any(p[0] == "." for p in inside.parts):
            found.append((inside.as_posix(), path))
    if not found:
        raise UsageError(f"{place} has no files that end in {' or '.join(endings)}.")
    return sorted(item for item in found if not item[1].is_dir())


def first_file(folder: Path, pattern: str) -> Path | None:
    """Some file directly in a folder (or the file itself) that fits; None where there is none."""
    if folder.is_file():
        return folder if folder.match(pattern) else None
    return min(folder.glob(pattern), default=None)


def beginning(path: Path | None, size: int = 4096) -> bytes:
    """The first bytes of a file, unpacked; none of one that cannot be read."""
    if path is None:
        return b""
    try:
        with open_unpacked(path) as file:
            return file.read(size)
    except UnreadableError:
        return b""


class _Unpacked:
    """A file that tells of its failures as :class:`UnreadableError`, whatever it is packed with."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def _do(self, name: str, *given: int) -> Any:
        try:
            return getattr(self._file, name)(*given)
        except EOFError:
            raise UnreadableError("the file ends too early: it was cut off") from None
        except (OSError, zlib.error, lzma.LZMAError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnreadableError(f"the file cannot be read: {reason}") from None

    def read(self, size: int = -1) -> bytes:
        return self._do("read", size)

    def readline(self, size: int = -1) -> bytes:
        return self._do("readline", size)

    def seek(self, position: int) -> int:
        return self._do("seek", position)

    def __enter__(self) -> _Unpacked:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def open_unpacked(path: Path, file: IO[bytes] | None = None) -> IO[bytes]:
    """A file's bytes, unpacked where its name ends in ``.gz``, ``.xz`` or ``.bz2``.

    Args:
        path: the file, or what an open file is called.
        file: the open file, where it is not on this machine.

    Raises:
        UnreadableError: now or while it is read.
    """
    try:
        opened = file or path.open("rb")
    except OSError as error:
        raise UnreadableError(f"the file cannot be read: {error.strerror or error}") from None
    unpack = _UNPACK.get(path.suffix.lower())
    return cast(IO[bytes], _Unpacked(unpack(opened) if unpack else opened))


def read_bytes(path: Path) -> bytes:
    """All of a file of one document.

    Raises:
        UnreadableError: empty, larger than any book, cut off, or not there.
    """
    with open_unpacked(path) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UnreadableError(TOO_LARGE)
    if not data.strip():
        raise UnreadableError("the file is empty")
    return data


def read_text(path: Path) -> str:
    """All of a text file; lines end in a newline.

    Raises:
        UnreadableError: as :func:`read_bytes`, or it is no text.
    """
    return decode(read_bytes(path))


def decode(data: bytes) -> str:
    """Text of bytes: by their byte-order mark, else UTF-8, else Windows-1252.

    Raises:
        UnreadableError: no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = data.decode(encoding, errors="replace").removeprefix("\ufeff")
            break
    else:
        strange = len(data) - len(data.translate(None, _CONTROL))
        if strange > len(data) / 100:
            raise UnreadableError("no text: it is full of control characters")
        text = _utf8_or_windows(data)
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _utf8_or_windows(data: bytes) -> str:
    """One wrong byte does not make UTF-8 something else: what most of the bytes say counts."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        loose = data.decode("utf-8", errors="replace")
    wrong = loose.count("\ufffd")
    right = sum(map(len, re.findall(r"[^\x00-\x7f]+", loose))) - wrong
    return loose if right > wrong else data.decode("cp1252", errors="replace")


def lines(
    file: IO[bytes], start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, bytes | None]]:
    """The lines that begin between two bytes: (position, line).

    In place of a line that is larger than any book comes None; it is passed over in small pieces.

    Raises:
        UnreadableError: while it is read.
    """
    position = start
    if start:  # a line that began before belongs to the part before
        file.seek(start - 1)
        position += _skip_line(file) - 1
    while stop is None or position < stop:
        line = file.readline(LARGEST + 1)
        if not line:
            return
        size = len(line)
        if size > LARGEST:
            size += 0 if line.endswith(b"\n") else _skip_line(file)
            yield position, None
        else:
            yield position, line
        position += size


def _skip_line(file: IO[bytes]) -> int:
    """Read on to the end of a line; the number of bytes."""
    size = 0
    while piece := file.readline(1 << 20):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


def read_date(text: str) -> int | None:
    """The year of a date that leaves no doubt of it, as ``1998-05-04`` or ``May 4, 1998``.

    ``04/05/98`` may be of any century, ``c. 1998`` is a guess: None.
    """
    found = _DATE.fullmatch(text.strip())
    return int(next(year for year in found.groups() if year)) if found else None
