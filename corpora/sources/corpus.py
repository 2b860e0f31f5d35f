"""A corpus that was built before, as a source: its cleaned texts, without duplicates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from progressgym.errors import UsageError
from progressgym.registry import register

from ..documents import Document, Part, SetAside, Source
from ..tables import is_corpus

_BATCH = 64  # documents in memory


@register("source", "corpus")
class BuiltCorpus(Source):
    """The documents that a corpus keeps.

    Args:
        place: folder that ``progressgym corpora build`` made.
    """

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Has it a manifest?"""
        return is_corpus(folder)

    def parts(self) -> list[Part]:
        """The files of documents."""
        folder = Path(self.place)
        if not self.recognises(folder):
            raise UsageError(f"{folder} is no corpus: it has no corpus.json.")
        files = sorted((folder / "documents").glob("*.parquet"))
        return [Part(path.name, path) for path in files]

    def read(self, part: Part) -> Iterator[Document | SetAside]:
        """The documents of a file that the corpus keeps."""
        assert part.path is not None
        index = Path(self.place) / "index.parquet"
        own = pq.read_table(index, columns=["status"], filters=[("block", "=", part.path.stem)])
        statuses = iter(own["status"].to_pylist())
        with pq.ParquetFile(part.path) as file:
            for batch in file.iter_batches(_BATCH):
                for row, status in zip(batch.to_pylist(), statuses, strict=False):
                    if status == "kept":
                        yield _document(row)


def _document(row: dict[str, Any]) -> Document:
    plain = ("source", "source_id", "title", "author", "creation_year", "translation_year")
    words = ("language", "original_language", "genre", "licence", "text")
    return Document(
        **{name: row[name] for name in (*plain, *words)},
        kind="clean",
        extra=json.loads(row["extra"]),
    )
