"""A block of input: a few megabytes of a source, read, cleaned and cut on its own.

Blocks do not know of each other, so they can be done anywhere and in any order, and a block whose
inputs, settings and code have not changed is not done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from progressgym import registry
from progressgym.storage import atomic_path, sha256_file, sha256_json
from progressgym.timeline import Timeline

from .cleaning import clean, language, quality
from .documents import Document, Part, SetAside, Source
from .duplicates import signature
from .passages import SMALLEST, Count, cut
from .tables import DOCUMENTS, PASSAGES

BLOCK_BYTES = 48 << 20  # of input
_ROWS_BYTES = 16 << 20  # of text that waits to be written
_CUT_AFTER = 24  # parts: a block ends after a part that its name's hash chooses, one in so many
KEY = b"progressgym.key"  # of parquet metadata: what the block was made from
_WITH_ROW = PASSAGES.append(pa.field("row", pa.int32()))


@dataclass(frozen=True)
class Slicing:
    """How texts become passages; a block depends on it.

    Attributes:
        eras: (name, first year, last year) of each, both years included.
        tokens: the most that a passage has.
        tokenizer: file in the format of ``tokenizers``.
        least_quality: documents below are set aside; see :func:`.cleaning.quality`.
    """

    eras: tuple[tuple[str, int, int], ...]
    tokens: int
    tokenizer: str
    least_quality: float = 0.6

    @classmethod
    def of(cls, timeline: Timeline, tokens: int, tokenizer: Path) -> Slicing:
        """Slicing into a timeline's eras."""
        eras = tuple((era.name, era.first_year, era.last_year) for era in timeline.eras)
        return cls(eras, tokens, str(tokenizer))

    def era(self, year: int) -> str | None:
        """The era of a year."""
        return next((name for name, first, last in self.eras if first <= year <= last), None)

    def key(self) -> str:
        """Stands for these settings and the code that follows them."""
        entries = asdict(self) | {"tokenizer": sha256_file(Path(self.tokenizer))}
        return sha256_json([entries, _code()])


@dataclass(frozen=True)
class Block:
    """Parts of one source that are done together.

    Attributes:
        name: unique and stable; of the files made from it.
        label: of the source, among all of a build.
        source: registered name of the source.
        place: where the source is.
        parts: what to read.
    """

    name: str
    label: str
    source: str
    place: str
    parts: tuple[Part, ...]

    def open(self) -> Source:
        """The source."""
        return registry.find("source", self.source)(self.place)

    def documents_file(self, folder: Path) -> Path:
        """Its documents in a corpus folder; there last, so that it marks a finished block."""
        return folder / "documents" / f"{self.name}.parquet"

    def passages_file(self, folder: Path) -> Path:
        """Its passages in a corpus folder."""
        return folder / "passages" / f"{self.name}.parquet"


def blocks_of(name: str, place: str, label: str) -> list[Block]:
    """The blocks of a source.

    A file that is added or taken away changes its own block, not all that follow: where a block
    ends depends on names nearby.

    Raises:
        UsageError: no such source or place.
    """
    source: Source = registry.find("source", name)(place)
    blocks: list[Block] = []
    waiting: list[Part] = []

    def close() -> None:
        if waiting:
            number = sha256("\x1f".join(part.name for part in waiting).encode()).hexdigest()
            blocks.append(Block(f"{label}-{number[:16]}", label, name, place, tuple(waiting)))
            waiting.clear()

    for part in source.parts():
        if waiting and sum(p.size for p in waiting) + part.size > BLOCK_BYTES:
            close()
        waiting.append(part)
        if sha256(part.name.encode()).digest()[0] % _CUT_AFTER == 0:
            close()
    close()
    return blocks


def is_done(block: Block, key: str, folder: Path) -> bool:
    """Was the block made from just this, and are its files whole?"""
    try:
        stored = pq.read_schema(block.documents_file(folder)).metadata[KEY]
        return stored == key.encode() and block.passages_file(folder).is_file()
    except (OSError, KeyError, TypeError, pa.ArrowInvalid):
        return False


def make_block(block: Block, key: str, slicing: Slicing, folder: Path) -> None:
    """Read, clean and cut a block, and write its two files.

    Args:
        block: what to read.
        key: what is recorded as its origin.
        slicing: how.
        folder: of the corpus.
    """
    count = _counter(slicing.tokenizer)
    source = block.open()
    schema = DOCUMENTS.with_metadata({KEY: key.encode()})
    with (
        atomic_path(block.documents_file(folder)) as documents_path,
        atomic_path(block.passages_file(folder)) as passages_path,
        pq.ParquetWriter(documents_path, schema, compression="zstd") as documents,
        pq.ParquetWriter(passages_path, _WITH_ROW, compression="zstd") as passages,
    ):
        rows: list[dict[str, Any]] = []
        pieces: list[dict[str, Any]] = []
        written = size = 0
        for found in (d for part in block.parts for d in _read(source, part)):
            row = _row(found, slicing) | {"block": block.name}
            if row["status"] == "kept":
                pieces += _pieces(row, written + len(rows), slicing.tokens, count)
            rows.append(row)
            size += len(row["text"] or "")
            if size > _ROWS_BYTES:
                _write(documents, rows)
                _write(passages, pieces)
                written, size, rows, pieces = written + len(rows), 0, [], []
        _write(documents, rows)
        _write(passages, pieces)


def _write(writer: pq.ParquetWriter, rows: list[dict[str, Any]]) -> None:
    if rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=writer.schema))


def _read(source: Source, part: Part) -> Iterator[Document | SetAside]:
    """The documents of a part; whatever goes wrong there is reported, and the rest is built."""
    try:
        yield from source.read(part)
    except (OSError, ValueError, MemoryError, RecursionError) as error:
        yield SetAside(part.name, f"could not be read: {error}")


def _row(found: Document | SetAside, slicing: Slicing) -> dict[str, Any]:
    """A row of the documents' table."""
    if isinstance(found, SetAside):
        return dict.fromkeys(DOCUMENTS.names) | {
            "name": found.name, "status": found.kind, "reason": found.reason, "effects": [],
        }  # fmt: skip
    row = {name: getattr(found, name, None) for name in DOCUMENTS.names}
    row |= {"extra": json.dumps(dict(found.extra), sort_keys=True), "effects": []}
    row |= {"era": None, "text": None, "status": "kept"}
    if found.creation_year is None:
        return row | {"status": "undated", "reason": found.doubt or "no year of creation is known"}
    row["era"] = slicing.era(found.creation_year)
    if row["era"] is None:
        return row | {"status": "outside", "reason": f"{found.creation_year} is in no era"}
    cleaned = clean(found)
    row |= {"text": cleaned.text, "effects": list(cleaned.effects.items())}
    words = len(cleaned.text.split())
    row |= {"words": words} | _verdict(cleaned.text, words, slicing)
    if row["status"] == "kept":
        row["signature"] = signature(cleaned.text)
    else:
        row["text"] = None
    return row


def _verdict(text: str, words: int, slicing: Slicing) -> dict[str, Any]:
    """Is a cleaned text fit to be used?"""
    if words < SMALLEST:
        return {"status": "short", "reason": f"{words} words are left of it"}
    score = quality(text)
    found = language(text)
    verdict: dict[str, Any] = {"quality": score, "status": "kept", "reason": None}
    if found != "en":
        verdict |= {"status": "language", "reason": f"not English: {found or 'unclear'}"}
    elif score < slicing.least_quality:
        reason = f"only {score:.0%} of its words look like words"
        verdict |= {"status": "quality", "reason": reason}
    return verdict


def _pieces(
    row: dict[str, Any], number: int, tokens: int, count: Count
) -> Iterator[dict[str, Any]]:
    """Rows of the passages' table, of one document."""
    shared = {name: row[name] for name in ("era", "work", "title", "author", "genre")}
    shared |= {"document": row["name"], "year": row["creation_year"], "row": number}
    shared |= {"translation_year": row["translation_year"], "split": None}
    for text, size in cut(row["text"], tokens, count):
        yield shared | {"text": text, "words": len(text.split()), "tokens": size}


@lru_cache(maxsize=2)
def _counter(file: str) -> Count:
    """Counts tokens by a tokenizer's file."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # blocks are what runs in parallel
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(file)
    encode: Callable[[Sequence[str]], Any] = tokenizer.encode_batch_fast

    def count(texts: Sequence[str]) -> list[int]:
        return [len(found) for found in encode(texts)] if texts else []

    return count


@cache
def _code() -> str:
    """sha256 of the files that make blocks: a changed step makes all blocks anew."""
    room = Path(__file__).parent
    files = sorted(p for p in room.rglob("*") if p.suffix in (".py", ".csv"))
    files = [path for path in files if "statistics" not in path.parts]
    return sha256_json([[path.relative_to(room).as_posix(), sha256_file(path)] for path in files])


def block_key(block: Block, slicing_key: str, origins: Mapping[str, str]) -> str:
    """Stands for all that a block is made from; ``origins`` are its parts' fingerprints by name."""
    return sha256_json([slicing_key, block.name, list(origins.items())])
