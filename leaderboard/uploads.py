"""Uploaded files to results, with limits that hold before anything is parsed."""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np
from pydantic import ValidationError

from progressgym.errors import UsageError, first_problem
from progressgym.results import RunResult

LARGEST_UPLOAD = 16 * 2**20
"""Of one uploaded file, in bytes."""
LARGEST_RESULT = 64 * 2**20
"""Of one result after decompression, in bytes: a hundred times a usual one."""
MOST_FILES = 64
DEEPEST = 16
"""Levels of brackets; a result has six."""
_GZIP = b"\x1f\x8b"


def read_result(content: bytes, name: str) -> RunResult:
    """A result from the bytes of ``result.json`` or ``result.json.gz``.

    Raises:
        UsageError: too large, packed too tightly, not JSON, an entry twice, numbers that are not
            finite, or not a result.
    """
    if len(content) > LARGEST_UPLOAD:
        raise UsageError(f"{name} is larger than {LARGEST_UPLOAD >> 20} MiB.")
    text = _decompressed(content, name) if content.startswith(_GZIP) else content
    try:
        entries = _parsed(text.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not a JSON result: {error}.") from error
    try:
        return RunResult.model_validate(entries)
    except ValidationError as error:
        raise UsageError(f"{name} is not a result: {first_problem(error)}.") from error
    except (RecursionError, OverflowError) as error:
        raise UsageError(f"{name} is not a result: {error}.") from error


def _decompressed(content: bytes, name: str) -> bytes:
    """The content of one gzip stream, never more than the limit."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(content, LARGEST_RESULT + 1)
    except zlib.error as error:
        raise UsageError(f"{name} is not a whole gzip file: {error}.") from error
    if len(text) > LARGEST_RESULT:
        raise UsageError(f"{name} unpacks to more than {LARGEST_RESULT >> 20} MiB.")
    if not unpacker.eof:
        raise UsageError(f"{name} is not a whole gzip file: its end is missing.")
    if unpacker.unused_data:
        raise UsageError(f"{name} holds something after its gzip stream.")
    return text


def _parsed(text: str) -> Any:
    """JSON without what its standard leaves open: NaN, infinities, entries given twice."""
    depth = _depth(text)
    if depth > DEEPEST:
        raise ValueError(f"{depth} levels of brackets, at most {DEEPEST} are expected")
    return json.loads(
        text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique
    )


def _depth(text: str) -> int:
    """Most brackets open at once; those within strings are counted too."""
    signs = np.frombuffer(text.encode(), np.uint8)
    opened = np.isin(signs, list(b"[{")).astype(np.int32)
    closed = np.isin(signs, list(b"]}"))
    return int(np.cumsum(opened - closed).max(initial=0))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if number - number != 0:
        raise ValueError(f"{digits} is too large a number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the entry {twice!r} is given twice")
    return entries
