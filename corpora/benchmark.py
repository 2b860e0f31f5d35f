"""Building a corpus against datatrove, with the same cleaning on the same files."""

from __future__ import annotations

import json
import os
import random
import re
import tempfile
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from progressgym.benchmark import Outcome, Progress, timed
from progressgym.errors import UsageError
from progressgym.models.load import tokenizer_json
from progressgym.registry import find, register
from progressgym.timeline import Timeline

from .blocks import Slicing
from .build import build_corpus
from .cleaning import clean, language, quality
from .documents import Document
from .tables import read_index

BOOKS, COPIES = 96, 9  # of about 100 kB; the copies have a page changed
PARAGRAPHS = 180
_WORD = re.compile(r"[^\W_]+")


@register("benchmark", "corpora")
def corpora(progress: Progress = lambda text: None) -> Outcome:
    """A corpus from raw books, against datatrove with the same cleaning.

    Both read the same files in one process, clean every book by the same functions, leave out
    what is not fit, count tokens and find near-duplicates by MinHash. Ours also cuts passages,
    divides and balances them.
    """
    timeline = Timeline.load("smollm2")
    with tempfile.TemporaryDirectory(prefix="progressgym-bench-") as scratch:
        folder = Path(scratch)
        progress("writing a library")
        megabytes = write_library(folder / "books") / 1e6
        tokenizer = folder / "tokenizer.json"
        tokenizer.write_text(tokenizer_json(timeline), encoding="utf-8")
        slicing = Slicing.of(timeline, 256, tokenizer)
        source = [("catalog", str(folder / "books"))]
        seconds: dict[str, list[float]] = {"ours": [], "two": [], "datatrove": []}
        for turn in range(2):  # in turns: the machine's speed may drift
            progress("datatrove")
            seconds["datatrove"].append(timed(partial(_datatrove, folder, turn, slicing)))
            for name, workers in (("ours", 1), ("two", 2)):
                progress(f"ours, processes: {workers}")
                out = folder / f"{name}-{turn}"
                build = partial(build_corpus, source, out, timeline, slicing, workers=workers)
                seconds[name].append(timed(build))
        best = {name: min(times) for name, times in seconds.items()}
        ours, theirs = _kept(folder / "ours-0"), _kept_by_datatrove(folder / "datatrove-0")
        return Outcome(
            figures={
                "corpora_speedup": best["datatrove"] / best["ours"],
                "corpora_scaling": best["ours"] / best["two"],
                "corpora_kept_difference": float(len(ours ^ theirs)),
            },
            details={
                "megabytes": megabytes,
                "books": BOOKS + COPIES,
                "kept": len(ours),
                "seconds": best["ours"],
                "datatrove_seconds": best["datatrove"],
                "two_processes_seconds": best["two"],
            },
        )


def write_library(folder: Path, books: int = BOOKS, copies: int = COPIES) -> int:
    """Write books as Project Gutenberg does, with a catalogue; the same ones every time.

    Returns:
        Bytes.
    """
    folder.mkdir(parents=True)
    rng = random.Random(0)
    subjects = "king queen knight monk farmer miller baker sailor judge widow child abbot".split()
    verbs = "loved feared helped served blamed praised followed found taught obeyed".split()
    names = ["".join(rng.choices("aeioubdfglmnrst", k=6)).capitalize() for _ in range(4000)]
    lines = [
        "file,source,source_id,title,author,creation_year,original_language,translation_year,genre"
    ]
    texts: list[list[str]] = []
    total = 0
    for number in range(books + copies):
        if number < books:
            paragraphs = [
                _paragraph(rng, subjects, verbs, names, note) for note in range(PARAGRAPHS)
            ]
            texts.append(paragraphs)
        else:
            paragraphs = [*texts[number - books][:-3], "And here another hand has ended it."]
        body = "\n\n".join(textwrap.fill(paragraph, 72) for paragraph in paragraphs)
        text = (
            f"The Project Gutenberg EBook of Book {number}\n\n*** START OF THIS PROJECT GUTENBERG "
            f"EBOOK BOOK {number} ***\n\n{body}\n\n*** END OF THIS PROJECT GUTENBERG EBOOK ***\n"
        )
        path = folder / f"b{number}.txt"
        path.write_text(text, encoding="utf-8")
        total += path.stat().st_size
        year = 1250 + 100 * (number % 8)
        lines.append(
            f"{path.name},Project Gutenberg,b{number},Book {number},A {number},{year},en,,x"
        )
    (folder / "catalog.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return total


def _paragraph(
    rng: random.Random, subjects: list[str], verbs: list[str], names: list[str], note: int
) -> str:
    sentences = [
        f"And {rng.choice(names)} the {rng.choice(subjects)} {rng.choice(verbs)} "
        f"{rng.choice(names)}, who was with the {rng.choice(subjects)} of {rng.choice(names)}, "
        "for it was not so with them."
        for _ in range(6)
    ]
    if note % 9 == 0:
        sentences.append(f"[Footnote {note}: This is what the editor thinks of it.]")
    return " ".join(sentences)


def _documents(folder: Path) -> Iterator[Document]:
    """What the source gives; the same reading for both sides."""
    source = find("source", "catalog")(str(folder))
    for part in source.parts():
        yield from source.read(part)


def _datatrove(folder: Path, turn: int, slicing: Slicing) -> None:
    """The same with datatrove's executor, its MinHash (of its default size) and its writer."""
    try:
        from datatrove.data import Document as Item
        from datatrove.executor import LocalPipelineExecutor
        from datatrove.pipeline import dedup
        from datatrove.pipeline.readers import JsonlReader
        from datatrove.pipeline.tokens import TokensCounter
        from datatrove.pipeline.writers import JsonlWriter
        from datatrove.utils.logging import logger
        from datatrove.utils.word_tokenizers import WordTokenizer
    except ImportError as error:
        raise UsageError(
            "This benchmark compares with datatrove: pip install 'progressgym[bench]'."
        ) from error
    logger.remove()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one core for each side
    work = folder / f"datatrove-{turn}"

    class Words(WordTokenizer):
        """The fastest that fits: its own ask spaCy."""

        def word_tokenize(self, text: str) -> list[str]:
            return _WORD.findall(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    def read(data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        for document in _documents(folder / "books"):
            text = clean(document).text
            if language(text) == "en" and quality(text) >= slicing.least_quality:
                yield Item(text=text, id=document.source_id)

    def run(name: str, pipeline: list[Any], tasks: int = 1) -> None:
        LocalPipelineExecutor(
            pipeline, tasks=tasks, workers=1, logging_dir=str(work / "logs" / name)
        ).run()

    config = dedup.MinhashConfig()
    clean_folder, signatures = str(work / "clean"), str(work / "signatures")
    run(
        "signatures",
        [
            read,
            TokensCounter(slicing.tokenizer),
            JsonlWriter(clean_folder, compression=None),
            dedup.MinhashDedupSignature(signatures, config=config, language=Words()),
        ],
    )
    buckets = dedup.MinhashDedupBuckets(signatures, str(work / "buckets"), config=config)
    run("buckets", [buckets], tasks=config.num_buckets)
    cluster = dedup.MinhashDedupCluster(str(work / "buckets"), str(work / "remove"), config=config)
    run("cluster", [cluster])
    run(
        "filter",
        [
            JsonlReader(clean_folder),
            dedup.MinhashDedupFilter(str(work / "remove")),
            JsonlWriter(str(work / "kept"), compression=None),
        ],
    )


def _kept(corpus: Path) -> set[str]:
    rows = read_index(corpus).to_pylist()
    return {_original(row["source_id"]) for row in rows if row["status"] == "kept"}


def _kept_by_datatrove(work: Path) -> set[str]:
    lines = (line for path in (work / "kept").glob("*.jsonl") for line in path.open())
    return {_original(json.loads(line)["id"]) for line in lines}


def _original(name: str) -> str:
    """Of a book and its copy either may be kept."""
    number = int(name.removeprefix("b"))
    return f"b{number - BOOKS if number >= BOOKS else number}"
