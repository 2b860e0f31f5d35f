"""What lies in a built corpus, and how it is read.

::

    corpus.json          manifest: settings, timeline, hashes of all inputs, counts
    index.parquet        one row a document, those that were set aside included; without text
    set_aside.jsonl      everything that was left out, with the reason
    eras/C013.parquet    passages of an era, in both splits
    documents/*.parquet  the cleaned texts by block of input, from which the rest is made
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_DOCUMENT: list[tuple[str, pa.DataType]] = [
    ("block", pa.string()),  # of input; documents/BLOCK.parquet has the same rows, in order
    ("name", pa.string()),  # source/source_id
    ("work", pa.string()),  # shared by editions and volumes
    ("source", pa.string()),
    ("source_id", pa.string()),
    ("title", pa.string()),
    ("author", pa.string()),
    ("creation_year", pa.int32()),
    ("translation_year", pa.int32()),
    ("language", pa.string()),
    ("original_language", pa.string()),
    ("genre", pa.string()),
    ("licence", pa.string()),
    ("kind", pa.string()),
    ("extra", pa.string()),  # JSON
    ("era", pa.string()),  # null outside all eras
    ("words", pa.int64()),  # after cleaning
    ("quality", pa.float32()),  # share of words that look like words, 0 to 1
    ("effects", pa.map_(pa.string(), pa.int64())),  # cleaning step -> characters it took out
    ("status", pa.string()),  # "kept", or the kind of SetAside
    ("reason", pa.string()),  # why it was set aside
]
INDEX = pa.schema(_DOCUMENT)
"""Columns of ``index.parquet``."""

DOCUMENTS = pa.schema([*_DOCUMENT, ("text", pa.string()), ("signature", pa.binary())])
"""Columns of ``documents/*.parquet``; duplicates are found later, so ``kept`` is provisional."""

PASSAGES = pa.schema(
    [
        ("era", pa.string()),
        ("split", pa.string()),  # "train" or "validation"
        ("document", pa.string()),  # name of the document
        ("work", pa.string()),
        ("title", pa.string()),
        ("author", pa.string()),
        ("year", pa.int32()),
        ("translation_year", pa.int32()),
        ("genre", pa.string()),
        ("words", pa.int32()),
        ("tokens", pa.int32()),
        ("text", pa.string()),
    ]
)
"""Columns of ``eras/*.parquet``."""


MANIFEST = "corpus.json"


def is_corpus(folder: Path) -> bool:
    """Is a folder a built corpus? The manifest is written last."""
    return (folder / MANIFEST).is_file()


def read_index(corpus: Path) -> pa.Table:
    """All documents of a built corpus, without their texts; columns as in ``INDEX``."""
    return pq.read_table(corpus / "index.parquet")


def read_era(corpus: Path, era: str, columns: list[str] | None = None) -> pa.Table:
    """Passages of an era of a built corpus; columns as in ``PASSAGES``."""
    return pq.read_table(corpus / "eras" / f"{era}.parquet", columns=columns)


def era_names(corpus: Path) -> list[str]:
    """Eras of a built corpus that have passages, in order of name."""
    return sorted(path.stem for path in (corpus / "eras").glob("*.parquet"))
