"""Looks in a built corpus for what should not be there.

An alarm means that results on the corpus would be wrong; a warning, that someone should look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from progressgym.storage import sha256_file

from ..tables import era_names
from .counting import BATCH, read_manifest
from .repeats import Repeats
from .summary import Anachronism, CorpusStatistics, EraStatistics

# What downloads say of themselves: a pattern, and from which year authors may write it too.
FORBIDDEN = {
    "Project Gutenberg": (r"project gutenberg|gutenberg-tm", 1971),
    "electronic text": (r"\be-?texts?\b|electronic (?:text|version|edition)|\be-?books?\b", 1971),
    "web address": (r"https?:|www\.", 1990),
    "Creative Commons": (r"creative commons", 2001),
    "transcriber": (r"transcriber['’]?s['’]? notes?|[\[(]transcriber", 9999),
    "made by": (r"distributed proofread|digiti[sz]ed by|scanned and proof|proofread by", 1990),
    "licence": (r"terms of this (?:agreement|licen[cs]e)|all rights reserved|isbn[ :-]?\d", 1900),
    "markup": (r"\[illustration|\[footnote|\[sidenote|&(?:amp|nbsp|lt|gt|quot);|</?[a-z]+>", 9999),
}
MOST_OF_ONE_WORK = 0.4  # of an era's words
MOST_TRANSLATED = 0.9
FEW_PASSAGES, FEW_WORDS = 100, 20_000
LOW_QUALITY = 0.8  # mean of an era
SHORT, MANY_SHORT = 0.25, 0.25  # of the wanted tokens, and share of passages as short as that
ALARMING_RATE = 0.5  # in a million words: below, a scanning error may have made the word
SURE_GAP = 20  # years: the list's years are good to about that
_EXAMPLES = 3

Severity = Literal["alarm", "warning"]


class Finding(BaseModel):
    """Something in a corpus that should not be there.

    Attributes:
        era: where; None for the whole corpus.
        severity: "alarm" or "warning".
        what: kind of finding, in a few words.
        detail: for people: where and how much.
    """

    era: str | None
    severity: Severity
    what: str
    detail: str


def check_corpus(folder: Path, statistics: CorpusStatistics) -> list[Finding]:
    """All findings, alarms first, then by era.

    Args:
        folder: of a built corpus.
        statistics: of that corpus.

    Raises:
        UsageError: the folder holds no corpus.
    """
    manifest = read_manifest(folder)
    findings = [*_files(folder, manifest), *_documents(folder)]
    repeats = Repeats()
    present = set(era_names(folder))
    for era in statistics.eras:
        findings += _numbers(era)
        if era.name in present:
            findings += _passages(folder, era, manifest, repeats)
    findings += [
        Finding(era=era, severity="alarm" if alarm else "warning", what=what, detail=detail)
        for era, alarm, what, detail in repeats.found()
    ]
    order = {era.name: number for number, era in enumerate(statistics.eras)}
    return sorted(findings, key=lambda f: (f.severity, order.get(f.era or "", -1)))


def _files(folder: Path, manifest: dict[str, Any]) -> Iterator[Finding]:
    """Files that are not those of the manifest."""
    files = manifest.get("files", {})
    for name, expected in sorted(files.items()):
        path = folder / name
        if not path.is_file():
            yield Finding(era=None, severity="alarm", what="file missing", detail=name)
        elif sha256_file(path) != expected:
            detail = f"{name} is not the file that was built; build the corpus again."
            yield Finding(era=None, severity="alarm", what="file changed", detail=detail)
    known = {era["name"] for era in manifest["timeline"]["eras"]}
    for name in era_names(folder):
        if name not in known:
            detail = f"eras/{name}.parquet is of no era of the timeline."
            yield Finding(era=None, severity="warning", what="unknown era", detail=detail)


def _documents(folder: Path) -> Iterator[Finding]:
    """Documents that are kept twice."""
    kept: Counter[str] = Counter()
    with pq.ParquetFile(folder / "index.parquet") as file:
        for batch in file.iter_batches(BATCH, columns=["name", "status"]):
            own = pc.filter(batch["name"], pc.equal(batch["status"], "kept"))
            kept.update(own.to_pylist())
    twice = [name for name, number in kept.items() if number > 1]
    if twice:
        detail = f"{len(twice)} documents are kept more than once: {_some(twice)}"
        yield Finding(era=None, severity="alarm", what="document twice", detail=detail)


def _numbers(era: EraStatistics) -> Iterator[Finding]:
    """What the statistics of an era tell."""

    def found(severity: Severity, what: str, detail: str) -> Finding:
        return Finding(era=era.name, severity=severity, what=what, detail=detail)

    if not era.passages:
        yield found("alarm", "empty", "The era has no passages.")
        return
    if era.passages < FEW_PASSAGES or era.words < FEW_WORDS:
        yield found("warning", "tiny", f"{era.passages:,} passages of {era.words:,} words.")
    for split in ("train", "validation"):
        if split not in era.splits or not era.splits[split].passages:
            yield found("alarm", "split missing", f"No {split} passages.")
    if era.largest_share > MOST_OF_ONE_WORK:
        detail = f"{era.largest_work} has {era.largest_share:.0%} of the words."
        yield found("warning", "one work dominates", detail)
    translated = era.translated_words / max(1, era.words)
    if translated > MOST_TRANSLATED:
        yield found("warning", "translations", f"{translated:.0%} of the words are translated.")
    if era.quality is not None and era.quality.mean < LOW_QUALITY:
        detail = f"{era.quality.mean:.0%} of the words look like words."
        yield found("warning", "low quality", detail)
    yield from _anachronisms(era)


def _anachronisms(era: EraStatistics) -> Iterator[Finding]:
    """Words from after the era, or from after the translation."""
    for what, found in (
        ("later words in originals", era.originals),
        ("later words in translations", era.translations),
    ):
        if not found.words:
            continue
        sure = [word for word in found.words if word.gap >= SURE_GAP]
        words = era.original_words if found is era.originals else era.translated_words
        rate = 1e6 * sum(word.count for word in sure) / max(1, words)
        documents: Counter[str] = Counter()
        for word in sure:
            documents.update(word.documents)
        several = any(number > 1 for number in documents.values())
        yield Finding(
            era=era.name,
            severity="alarm" if rate >= ALARMING_RATE or several else "warning",
            what=what,
            detail=f"{found.per_million:.2f} in a million words: "
            + _some([_told(word) for word in found.words]),
        )


def _told(word: Anachronism) -> str:
    return f"{word.word} ({word.first_year}) {word.count} times in {next(iter(word.documents))}"


@dataclass
class _Tally:
    """Passages of an era that have some fault, with examples."""

    count: int = 0
    documents: list[str] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch, faulty: pa.Array) -> None:
        names = pc.filter(batch["document"], faulty).to_pylist()
        self.count += len(names)
        new = [name for name in dict.fromkeys(names) if name not in self.documents]
        self.documents += new[: _EXAMPLES + 1 - len(self.documents)]

    def __str__(self) -> str:
        noun = "passage" if self.count == 1 else "passages"
        return f"{self.count:,} {noun}, in {_some(self.documents)}"


def _passages(
    folder: Path, era: EraStatistics, manifest: dict[str, Any], repeats: Repeats
) -> Iterator[Finding]:
    """What the passages of an era tell, read once."""
    wanted = manifest.get("tokens")
    tests = _tests(era, wanted)
    tallies = {name: _Tally() for name in tests}
    sides: dict[str, set[str]] = {}
    path = folder / "eras" / f"{era.name}.parquet"
    columns = ["document", "work", "split", "year", "translation_year", "tokens", "text"]
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, columns=columns):
            for name, (_, _, test) in tests.items():
                tallies[name].add(batch, test(batch))
            pairs = zip(batch["work"].to_pylist(), batch["split"].to_pylist(), strict=True)
            for work, split in set(pairs):
                sides.setdefault(work, set()).add(split)
            repeats.add(era.name, batch)
    for name, tally in tallies.items():
        severity, least, _ = tests[name]
        if tally.count > least * era.passages:
            yield Finding(era=era.name, severity=severity, what=name, detail=f"{tally}")
    both = [work for work, splits in sides.items() if len(splits) > 1]
    if both:
        detail = f"{len(both)} works are on both sides of the split: {_some(both)}"
        yield Finding(era=era.name, severity="alarm", what="split leak", detail=detail)


_Test = tuple[Severity, float, Callable[[pa.RecordBatch], pa.Array]]


def _tests(era: EraStatistics, tokens: int | None) -> dict[str, _Test]:
    """Name -> severity, share of passages that may fail, which passages of a batch fail."""

    def outside(batch: pa.RecordBatch) -> pa.Array:
        year = batch["year"]
        return pc.or_(pc.less(year, era.first_year), pc.greater(year, era.last_year))

    tests: dict[str, _Test] = {
        "year outside the era": ("alarm", 0, outside),
        "no text": (
            "alarm",
            0,
            lambda b: pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(b["text"])), 0),
        ),
        "broken characters": ("warning", 0, lambda b: pc.match_substring(b["text"], "\ufffd")),
        "translated before written": (
            "warning",
            0,
            lambda b: pc.less(b["translation_year"], b["year"]),
        ),
    }
    for name, (pattern, year) in FORBIDDEN.items():
        severity: Severity = "alarm" if era.last_year < year else "warning"
        tests[f"forbidden: {name}"] = (severity, 0, _matches(pattern))
    if tokens:
        tests[f"more than {tokens} tokens"] = (
            "alarm",
            0,
            lambda b: pc.greater(b["tokens"], tokens),
        )
        least = int(SHORT * tokens)
        few = f"fewer than {least} tokens"
        tests[few] = ("warning", MANY_SHORT, lambda b: pc.less(b["tokens"], least))
    return tests


def _matches(pattern: str) -> Callable[[pa.RecordBatch], pa.Array]:
    return lambda batch: pc.match_substring_regex(batch["text"], pattern, ignore_case=True)


def _some(names: list[str]) -> str:
    """A few of many names."""
    more = ", …" if len(names) > _EXAMPLES else ""
    return ", ".join(names[:_EXAMPLES]) + more
