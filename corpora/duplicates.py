"""Near-duplicate documents, found without comparing all with all.

MinHash (Broder 1997): two texts' signatures agree in a place with the probability of their
Jaccard similarity, over sets of five consecutive words. One pass of hashing fills all places
(Li, Owen & Zhang 2012, "One permutation hashing"); places that a short text leaves empty borrow
from the next ones (Shrivastava & Li 2014). Bands of places find the candidates (Leskovec et al.,
"Mining of Massive Datasets", chapter 3).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

WORDS = 5  # of a shingle
BANDS, ROWS = 16, 8  # candidates from a similarity of about (1 / BANDS) ** (1 / ROWS) = 0.71
SIMILAR = 0.7  # share of equal places from which two documents are one
_PLACES = BANDS * ROWS
_PLACE_BITS = 57  # what is left of 64 bits after log2(128) name the place
_BLOCK = 1 << 16  # words hashed at once: the memory of a signature does not grow with the text
_WORD = re.compile(r"[^\W_]+")
_EMPTY = np.uint64(1 << _PLACE_BITS)


def signature(text: str) -> bytes:
    """MinHash signature of a text: 128 little-endian uint64, 1,024 bytes.

    Case, punctuation and spacing do not count. Texts of fewer than five words are one shingle.
    """
    words = _WORD.findall(text.lower())
    numbers = {word: _word_number(word) for word in set(words)}
    row = np.array([numbers[word] for word in words] or [0], dtype=np.uint64)
    places = np.full(_PLACES, _EMPTY, dtype=np.uint64)
    for start in range(0, max(1, len(row) - WORDS + 1), _BLOCK):
        hashes = _mixed(_shingles(row[start : start + _BLOCK + WORDS - 1]))
        low = hashes & np.uint64((1 << _PLACE_BITS) - 1)
        np.minimum.at(places, (hashes >> np.uint64(_PLACE_BITS)).astype(np.int64), low)
    return _filled(places).astype("<u8").tobytes()


def similarity(first: bytes, second: bytes) -> float:
    """Estimated Jaccard similarity of two texts from their signatures."""
    return float(np.mean(np.frombuffer(first, "<u8") == np.frombuffer(second, "<u8")))


def _word_number(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=8).digest())


def _shingles(row: np.ndarray) -> np.ndarray:
    """One number for each run of five words (fewer, if there are no five)."""
    size = min(WORDS, len(row))
    total = np.zeros(len(row) - size + 1, dtype=np.uint64)
    for place in range(size):
        total = total * np.uint64(0x9E3779B97F4A7C15) + row[place : place + len(total)]
    return total


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """All bits depend on all bits: the finalizer of SplitMix64 (Steele, Lea & Flood 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _filled(places: np.ndarray) -> np.ndarray:
    """Each empty place takes the next filled one's value, marked by the distance to it."""
    filled = np.flatnonzero(places != _EMPTY)
    index = np.arange(_PLACES)
    following = filled[np.searchsorted(filled, index) % len(filled)]
    distance = ((following - index) % _PLACES).astype(np.uint64)
    return places[following] + distance * _EMPTY


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that may be a duplicate.

    Attributes:
        name: unique.
        year: of creation; the earlier one of two duplicates is kept.
        quality: then the one in the better shape,
        words: and then the longer one.
        signature: see :func:`signature`.
    """

    name: str
    year: int
    quality: float
    words: int
    signature: bytes


def find_duplicates(candidates: Iterable[Candidate], scratch: Path) -> Iterator[tuple[str, str]]:
    """Pairs (name of a document to leave out, name of the one that is kept instead).

    The result depends on the set of candidates, not on their order. They wait in a scratch
    database, so that memory does not grow with their number.

    Args:
        candidates: documents.
        scratch: file for the database; removed at the end.
    """
    scratch.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(scratch, isolation_level=None)) as base:
            base.execute("PRAGMA journal_mode = OFF")  # scratch: nothing to recover
            base.execute("PRAGMA synchronous = OFF")
            base.execute("CREATE TABLE waiting (name, year, quality, words, signature)")
            base.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, name, signature)")
            base.execute("CREATE TABLE bands (band INTEGER, number INTEGER)")
            base.execute("CREATE INDEX by_band ON bands (band)")
            base.execute("BEGIN")
            base.executemany(
                "INSERT INTO waiting VALUES (?, ?, ?, ?, ?)",
                ((c.name, c.year, c.quality, c.words, c.signature) for c in candidates),
            )
            order = (
                "SELECT name, signature FROM waiting ORDER BY year, quality DESC, words DESC, name"
            )
            for name, own in base.execute(order):
                if (twin := _twin(base, own)) is not None:
                    yield name, twin
                else:
                    _keep(base, name, own)
    finally:
        scratch.unlink(missing_ok=True)


def _bands(own: bytes) -> list[int]:
    """A signed 64-bit number for each band of a signature."""
    size = 8 * ROWS
    return [
        int.from_bytes(
            blake2b(
                own[band * size : (band + 1) * size], digest_size=8, salt=bytes([band])
            ).digest(),
            signed=True,
        )
        for band in range(BANDS)
    ]


def _twin(base: sqlite3.Connection, own: bytes) -> str | None:
    """The most similar document that is kept, if it is similar enough."""
    marks = ",".join("?" * BANDS)
    found = base.execute(
        "SELECT name, signature FROM kept WHERE number IN "
        f"(SELECT number FROM bands WHERE band IN ({marks})) ORDER BY number",
        _bands(own),
    )
    best = max(
        ((similarity(own, other), name) for name, other in found),
        default=(0.0, None),
        key=lambda pair: pair[0],
    )
    return best[1] if best[0] >= SIMILAR else None


def _keep(base: sqlite3.Connection, name: str, own: bytes) -> None:
    number = base.execute("INSERT INTO kept (name, signature) VALUES (?, ?)", (name, own)).lastrowid
    base.executemany("INSERT INTO bands VALUES (?, ?)", [(band, number) for band in _bands(own)])
