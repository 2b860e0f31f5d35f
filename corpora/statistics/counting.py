"""Counts a built corpus: what it consists of, era by era, and how the eras' words differ.

Every text is read once, a batch of passages at a time; what stays in memory is a line for each
document and work, and the frequent words of each era.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from progressgym.errors import UsageError

from ..tables import MANIFEST, era_names
from .anachronisms import Sightings, first_years
from .summary import (
    Anachronism,
    Anachronisms,
    Characteristic,
    Cleaning,
    CorpusStatistics,
    EraStatistics,
    Quality,
    Split,
)
from .vocabulary import characteristic, count_words, divergence, frequencies, halves, prune

BATCH = 1024  # passages in memory at once
_FACTS = ["document", "split", "work", "author", "genre", "translation_year"]
_SIZES = ["words", "tokens"]
_SHOWN_DOCUMENTS, _SHOWN_WORDS = 10, 100  # of each anachronism, and of these


def corpus_statistics(folder: Path) -> CorpusStatistics:
    """Count a built corpus.

    Args:
        folder: of the corpus; see :mod:`.tables`.

    Raises:
        UsageError: the folder holds no corpus, or one without its timeline.
    """
    eras = [EraStatistics(**era) for era in read_eras(folder)]
    present = set(era_names(folder))
    words: list[Counter[str]] = []
    documents: list[Counter[str]] = []
    for era in eras:
        if era.name in present:
            own = _EraCount(era, folder / "eras" / f"{era.name}.parquet").run()
        else:
            own = Counter(), Counter()
        words.append(own[0])
        documents.append(own[1])
    drift = _compare(eras, words, documents)
    set_aside = _count_index(folder, {era.name: era for era in eras})
    return CorpusStatistics(
        eras=eras, set_aside=set_aside, cleaning=_count_cleaning(folder), drift=drift
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """``corpus.json``.

    Raises:
        UsageError: there is none, or it is no JSON object.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} is no corpus: corpus.json cannot be read ({error}).") from None
    if not isinstance(manifest, dict):
        raise UsageError(f"{folder} is no corpus: corpus.json is no JSON object.")
    return manifest


def read_eras(folder: Path) -> list[dict[str, Any]]:
    """Name, first_year and last_year of each era, in order of time.

    Raises:
        UsageError: the manifest does not tell.
    """
    try:
        eras = read_manifest(folder)["timeline"]["eras"]
        keys = ("name", "first_year", "last_year")
        return sorted(({key: era[key] for key in keys} for era in eras), key=lambda e: e[keys[1]])
    except (KeyError, TypeError) as error:
        raise UsageError(f"{folder}/corpus.json does not tell its eras: {error!r}.") from None


@dataclass
class _Run:
    """Consecutive passages of one document on one side of the split."""

    facts: dict[str, Any]
    passages: int = 0
    words: int = 0
    tokens: int = 0
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class _Vocabulary:
    """Words of an era; the rarest are forgotten where there are very many."""

    counts: tuple[Counter[str], Counter[str]] = field(
        default_factory=lambda: (Counter(), Counter())
    )
    documents: Counter[str] = field(default_factory=Counter)

    def add(self, counts: Counter[str], half: int) -> None:
        """Add a document's words to one of two halves of the era."""
        self.counts[half].update(counts)
        self.documents.update(counts.keys())
        for held in (*self.counts, self.documents):
            prune(held)


def _runs(path: Path) -> Iterator[_Run]:
    """An era's passages, document by document."""
    run: _Run | None = None
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, columns=[*_FACTS, *_SIZES, "text"]):
            rows = batch.select(_FACTS).to_pylist()
            starts = [i for i, row in enumerate(rows) if i == 0 or row != rows[i - 1]]
            for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
                if run is None or run.facts != rows[start]:
                    if run is not None:
                        yield run
                    run = _Run(rows[start])
                part = batch.slice(start, stop - start)
                run.passages += len(part)
                run.words += pc.sum(part["words"]).as_py() or 0
                run.tokens += pc.sum(part["tokens"]).as_py() or 0
                run.counts.update(count_words(part["text"]))
    if run is not None:
        yield run


def _work_sizes(path: Path) -> Counter[str]:
    """Words of each work of an era."""
    sizes: Counter[str] = Counter()
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(64 * BATCH, columns=["work", "words"]):
            sums = pa.table(batch).group_by("work").aggregate([("words", "sum")])
            for row in sums.to_pylist():
                sizes[row["work"]] += row["words_sum"] or 0
    return sizes


class _EraCount:
    """Fills the numbers of one era from its passages."""

    def __init__(self, era: EraStatistics, path: Path) -> None:
        self.era = era
        self.path = path
        self.vocabulary = _Vocabulary()
        self.seen: dict[str, set[str]] = {key: set() for key in ("document", "author")}
        self.split_works: dict[str, set[str]] = defaultdict(set)
        self.sightings = {key: Sightings() for key in ("originals", "translations", "expected")}

    def run(self) -> tuple[Counter[str], Counter[str]]:
        """Count; gives how often each word occurs, and in how many documents."""
        sizes = _work_sizes(self.path)
        half = halves(sizes)
        for run in _runs(self.path):
            self._add(run)
            self.vocabulary.add(run.counts, int(run.facts["work"] in half))
        era = self.era
        era.works, era.documents, era.authors = len(sizes), *map(len, self.seen.values())
        for split, works in self.split_works.items():
            era.splits[split].works = len(works)
        if sizes:
            era.largest_work, largest = sizes.most_common(1)[0]
            era.largest_share = largest / max(1, era.words)
        self._conclude_anachronisms()
        if len(sizes) > 1:
            era.noise_floor = _number(divergence(*frequencies(self.vocabulary.counts)[1]))
        words = self.vocabulary.counts[0]
        words.update(self.vocabulary.counts[1])
        era.vocabulary = len(words)
        return words, self.vocabulary.documents

    def _add(self, run: _Run) -> None:
        era, facts = self.era, run.facts
        for key, seen in self.seen.items():
            if facts[key]:
                seen.add(facts[key])
        self.split_works[facts["split"]].add(facts["work"])
        split = era.splits.setdefault(facts["split"], Split())
        for part in (era, split):
            part.passages += run.passages
            part.words += run.words
            part.tokens += run.tokens
        genre = facts["genre"] or "unknown"
        era.genres[genre] = era.genres.get(genre, 0) + run.words
        name, translated = facts["document"], facts["translation_year"]
        if translated is None:
            era.original_words += run.words
            self.sightings["originals"].add(run.counts, name, era.last_year)
        else:
            era.translated_words += run.words
            self.sightings["translations"].add(run.counts, name, translated)
            self.sightings["expected"].add(run.counts, name, era.last_year, translated)

    def _conclude_anachronisms(self) -> None:
        era = self.era
        for key, sightings in self.sightings.items():
            words = era.original_words if key == "originals" else era.translated_words
            setattr(era, key, _anachronisms(sightings, words))


def _anachronisms(sightings: Sightings, words: int) -> Anachronisms:
    """The most frequent ones and their rate in a number of words."""
    years = dict(first_years().values())
    count = sightings.counts.total()
    return Anachronisms(
        per_million=1e6 * count / max(1, words),
        count=count,
        words=[
            Anachronism(
                word=word,
                first_year=years[word],
                gap=sightings.gaps[word],
                count=number,
                documents=dict(sightings.documents[word].most_common(_SHOWN_DOCUMENTS)),
            )
            for word, number in sightings.counts.most_common(_SHOWN_WORDS)
        ],
    )


def _compare(
    eras: list[EraStatistics], words: list[Counter[str]], documents: list[Counter[str]]
) -> list[list[float | None]]:
    """Divergence of each pair of eras; the eras' characteristic words are filled in."""
    names, counts = frequencies(words)
    for number, era in enumerate(eras):
        era.characteristic = [
            Characteristic(word=word, count=count, ratio=_number(ratio), g2=g2)
            for word, count, ratio, g2 in characteristic(names, counts, number, documents[number])
        ]
    return [[_number(divergence(first, second)) for second in counts] for first in counts]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _count_index(folder: Path, eras: dict[str, EraStatistics]) -> dict[str, int]:
    """Quality and set-aside counts of each era, from the index; gives those of the whole."""
    total: Counter[str] = Counter()
    own: dict[str, Counter[str]] = defaultdict(Counter)
    scores: dict[str, list[float]] = {}  # era -> sum of words times score, words, least score
    with pq.ParquetFile(folder / "index.parquet") as file:
        for batch in file.iter_batches(BATCH, columns=["era", "status", "words", "quality"]):
            for row in batch.to_pylist():
                if row["status"] != "kept":
                    total[row["status"]] += 1
                    own[row["era"]][row["status"]] += 1
                elif row["quality"] is not None:
                    sums = scores.setdefault(row["era"], [0.0, 0.0, 1.0])
                    sums[0] += row["quality"] * (row["words"] or 0)
                    sums[1] += row["words"] or 0
                    sums[2] = min(sums[2], row["quality"])
    for name, era in eras.items():
        era.set_aside = dict(own[name].most_common())
        if name in scores and scores[name][1]:
            quality, words, least = scores[name]
            era.quality = Quality(mean=quality / words, least=least)
    return dict(total.most_common())


def _count_cleaning(folder: Path) -> dict[str, Cleaning]:
    """What each cleaning step took out of the texts that were cleaned, by kind of source."""
    found: dict[str, Cleaning] = {}
    for path in sorted((folder / "documents").glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(64, columns=["kind", "effects", "text"]):
                lengths = pc.utf8_length(batch["text"]).to_pylist()
                facts = batch.select(["kind", "effects"]).to_pylist()
                for row, length in zip(facts, lengths, strict=True):
                    if length is None:
                        continue
                    own = found.setdefault(row["kind"] or "unknown", Cleaning())
                    own.documents += 1
                    own.kept += length
                    for step, removed in row["effects"] or []:
                        own.removed[step] = own.removed.get(step, 0) + removed
    return dict(sorted(found.items()))
