"""Build a corpus: blocks in parallel, then what needs to see all of them, in one pass."""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from progressgym.cluster import connected
from progressgym.errors import UsageError
from progressgym.storage import atomic_path, sha256_file, write_json
from progressgym.timeline import Timeline

from .blocks import Block, Slicing, block_key, blocks_of, is_done, make_block
from .duplicates import Candidate, find_duplicates
from .slicing import LARGEST, VALIDATION, fraction, validation_works, word_limit
from .tables import INDEX, MANIFEST, PASSAGES

Progress = Callable[[int, int, str], None]
"""Told the number of blocks that are done, of all blocks, and what is going on."""

_BATCH = 1024  # rows read at once in the second pass
_OWN = {MANIFEST, "index.parquet", "set_aside.jsonl", "eras", "documents", "passages"}


@dataclass(frozen=True)
class Division:
    """How an era's passages are divided and balanced.

    Attributes:
        seed: of all choices.
        validation: share of an era's words to hold out, in whole works.
        largest: most that one work may have of an era's training words.
    """

    seed: int = 0
    validation: float = VALIDATION
    largest: float = LARGEST


@dataclass
class Report:
    """What a build came to.

    Attributes:
        blocks: all blocks of the input.
        reused: those that were done before.
        inputs: source and part -> sha256 of its content.
        passages: era -> split -> number.
        statuses: "kept" or a kind of set-aside document -> number.
    """

    blocks: int = 0
    reused: int = 0
    inputs: dict[str, str] = field(default_factory=dict)
    passages: dict[str, Counter] = field(default_factory=dict)
    statuses: Counter = field(default_factory=Counter)


def build_corpus(
    sources: Sequence[tuple[str, str]],
    folder: Path,
    timeline: Timeline,
    slicing: Slicing,
    division: Division = Division(),
    workers: int = 0,
    ray: str = "",
    progress: Progress = lambda done, total, text: None,
    wait: bool = False,
) -> Report:
    """Turn sources into a corpus folder; what lies in it is told in :mod:`.tables`.

    A build that was interrupted goes on when it is started again, and blocks whose input has not
    changed are kept. The result depends on neither workers nor cluster.

    Args:
        sources: (registered name, place) of each.
        folder: of the corpus.
        timeline: whose eras the texts are sorted into.
        slicing: how texts become passages.
        division: how passages are divided.
        workers: processes; 0 for one for each core.
        ray: ``local`` or the address of a Ray cluster that sees the same files.
        progress: told what is going on.
        wait: for another build in the folder, which leaves nothing to do if it is the same.

    Raises:
        UsageError: no such source or place, a folder of something else, another build in it.
    """
    _check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=-1 if wait else 0):
            blocks = _all_blocks(sources)
            report = _make_blocks(blocks, slicing, folder, workers, ray, progress)
            progress(len(blocks), len(blocks), "Dividing")
            _Assembly(blocks, folder, division, report).run()
            _write_manifest(folder, timeline, slicing, division, report)
            return report
    except Timeout:
        raise UsageError(f"Another build is running in {folder}; wait for it.") from None


def _all_blocks(sources: Sequence[tuple[str, str]]) -> list[Block]:
    """Blocks of all sources; several of a kind are told apart by number."""
    blocks: list[Block] = []
    seen: Counter = Counter()
    for name, place in sources:
        seen[name] += 1
        label = name if seen[name] == 1 else f"{name}-{seen[name]}"
        blocks += blocks_of(name, place, label)
    return blocks


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the corpus.")
    if folder.is_dir():
        strange = sorted({p.name for p in folder.iterdir() if p.name[0] != "."} - _OWN)
        if strange:
            raise UsageError(f"{folder} holds {strange[0]!r}, which is no corpus; name another.")


def _make_blocks(
    blocks: Sequence[Block],
    slicing: Slicing,
    folder: Path,
    workers: int,
    ray: str,
    progress: Progress,
) -> Report:
    """Make every block that is not there already."""
    shared = slicing.key()
    origins = {b.name: {part.name: part.fingerprint() for part in b.parts} for b in blocks}
    keys = {block.name: block_key(block, shared, origins[block.name]) for block in blocks}
    waiting = [block for block in blocks if not is_done(block, keys[block.name], folder)]
    done = len(blocks) - len(waiting)
    inputs = {f"{b.label}/{part}": sha for b in blocks for part, sha in origins[b.name].items()}
    report = Report(len(blocks), done, inputs)
    tasks = [(block, keys[block.name], slicing, folder) for block in waiting]
    run = _in_processes if not ray else _on_ray
    for name in run(tasks, workers or os.cpu_count() or 1, ray):
        done += 1
        progress(done, len(blocks), name)
    for stale in [*(folder / "documents").glob("*"), *(folder / "passages").glob("*")]:
        if stale.stem not in keys:
            stale.unlink()
    return report


def _task(task: tuple[Block, str, Slicing, Path]) -> str:
    make_block(*task)
    return task[0].name


def _in_processes(tasks: Sequence[Any], workers: int, address: str) -> Iterator[str]:
    """Names of blocks as they are finished, by processes of this machine."""
    if workers == 1 or len(tasks) < 2:
        yield from map(_task, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), context) as pool:
        futures = [pool.submit(_task, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _on_ray(tasks: Sequence[Any], workers: int, address: str) -> Iterator[str]:
    """The same by Ray Data; all nodes see the same files under the same paths."""
    if not tasks:
        return
    with connected(address) as ray:
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [{"task": task} for task in tasks]
        made = ray.data.from_items(rows, override_num_blocks=len(rows)).map(_ray_task)
        for row in made.iter_rows():
            yield row["name"]


def _ray_task(row: dict[str, Any]) -> dict[str, str]:
    return {"name": _task(row["task"])}


class _Assembly:
    """The second pass: duplicates, split and balance, from the blocks to the eras.

    Memory holds one entry for each work and each duplicate, never the texts.
    """

    def __init__(
        self, blocks: Sequence[Block], folder: Path, division: Division, report: Report
    ) -> None:
        self.blocks = blocks
        self.folder = folder
        self.division = division
        self.report = report
        self.duplicates: dict[str, str] = {}
        self.held_out: dict[str, set[str]] = {}
        self.share: dict[tuple[str, str], float] = {}

    def run(self) -> None:
        """Write the index, the list of what was set aside, and the eras."""
        scratch = self.folder / ".duplicates.sqlite"
        self.duplicates = dict(find_duplicates(self._candidates(), scratch))
        self._divide()
        self._write_index()
        self._write_eras()

    def _rows(self, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """A key for each document, and some columns of it."""
        for block in self.blocks:
            number = 0
            with pq.ParquetFile(block.documents_file(self.folder)) as file:
                for batch in file.iter_batches(_BATCH, columns=columns):
                    for row in batch.to_pylist():
                        yield f"{block.name}:{number}", row
                        number += 1

    def _candidates(self) -> Iterator[Candidate]:
        columns = ["status", "creation_year", "quality", "words", "signature"]
        for key, row in self._rows(columns):
            if row["status"] == "kept":
                yield Candidate(
                    key, row["creation_year"], row["quality"], row["words"], row["signature"]
                )

    def _divide(self) -> None:
        """Choose the works to hold out, and how much of each of the others is used."""
        words: dict[str, Counter] = defaultdict(Counter)
        for key, row in self._rows(["status", "era", "work", "words"]):
            if row["status"] == "kept" and key not in self.duplicates:
                words[row["era"]][row["work"]] += row["words"]
        for era, works in words.items():
            most = word_limit(works, self.division.largest)  # a giant counts for what is used
            sizes = {work: min(size, int(most)) for work, size in works.items()}
            held_out = validation_works(sizes, self.division.validation, self.division.seed)
            self.held_out[era] = held_out
            used = {work: size for work, size in works.items() if work not in held_out}
            limit = word_limit(used, self.division.largest)
            self.share |= {(era, work): limit / size for work, size in used.items() if size > limit}

    def _write_index(self) -> None:
        columns = list(INDEX.names)
        names: dict[str, str] = {}
        wanted = set(self.duplicates.values())
        if wanted:
            names = {key: row["name"] for key, row in self._rows(["name"]) if key in wanted}
        with (
            atomic_path(self.folder / "index.parquet") as index_path,
            atomic_path(self.folder / "set_aside.jsonl") as aside_path,
            pq.ParquetWriter(index_path, INDEX, compression="zstd") as index,
            aside_path.open("w", encoding="utf-8") as aside,
        ):
            rows: list[dict[str, Any]] = []
            for key, row in self._rows(columns):
                if key in self.duplicates:
                    reason = f"the same text as {names[self.duplicates[key]]}"
                    row |= {"status": "duplicate", "reason": reason}
                self.report.statuses[row["status"]] += 1
                if row["status"] != "kept":
                    entry = {"name": row["name"], "kind": row["status"], "reason": row["reason"]}
                    aside.write(json.dumps(entry, ensure_ascii=False) + "\n")
                rows.append(row)
                if len(rows) == _BATCH:
                    index.write_table(pa.Table.from_pylist(rows, schema=INDEX))
                    rows = []
            index.write_table(pa.Table.from_pylist(rows, schema=INDEX))

    def _write_eras(self) -> None:
        eras = self.folder / "eras"
        with ExitStack() as stack:
            writers: dict[str, pq.ParquetWriter] = {}
            for era in sorted(self.held_out):
                path = stack.enter_context(atomic_path(eras / f"{era}.parquet"))
                writer = pq.ParquetWriter(path, PASSAGES, compression="zstd")
                writers[era] = stack.enter_context(writer)
            for block in self.blocks:
                self._write_passages(block, writers)
        for stale in eras.glob("*.parquet"):
            if stale.stem not in self.held_out:
                stale.unlink()

    def _write_passages(self, block: Block, writers: dict[str, pq.ParquetWriter]) -> None:
        with pq.ParquetFile(block.passages_file(self.folder)) as file:
            for batch in file.iter_batches(_BATCH):
                table = pa.Table.from_batches([batch])
                decided = self._splits(block, table)
                table = table.drop_columns(["row", "split"])
                table = table.append_column("split", pa.array(decided, pa.string()))
                table = table.select(PASSAGES.names).filter(pc.is_valid(pc.field("split")))
                for era in pc.unique(table["era"]).to_pylist():
                    own = table.filter(pc.field("era") == era)
                    writers[era].write_table(own.cast(PASSAGES))
                    counts = self.report.passages.setdefault(era, Counter())
                    counts.update(own["split"].to_pylist())

    def _splits(self, block: Block, table: pa.Table) -> list[str | None]:
        """The split of each passage; None for one that is not used."""
        decided: list[str | None] = []
        columns = (table[name].to_pylist() for name in ("era", "work", "row", "text"))
        for era, work, row, text in zip(*columns, strict=True):
            if f"{block.name}:{row}" in self.duplicates:
                decided.append(None)
            elif work in self.held_out[era]:
                decided.append("validation")
            else:
                share = self.share.get((era, work), 1.0)
                used = share >= 1 or fraction(self.division.seed, "use", work, text) < share
                decided.append("train" if used else None)
        return decided


def _write_manifest(
    folder: Path,
    timeline: Timeline,
    slicing: Slicing,
    division: Division,
    report: Report,
) -> None:
    """Record what the corpus was made from; equal inputs give an equal file."""
    made = [folder / "index.parquet", *sorted((folder / "eras").glob("*.parquet"))]
    write_json(
        folder / MANIFEST,
        {
            "format": 1,
            "progressgym": importlib.metadata.version("progressgym"),
            "timeline": timeline.model_dump(mode="json"),
            "tokens": slicing.tokens,
            "tokenizer": sha256_file(Path(slicing.tokenizer)),
            "least_quality": slicing.least_quality,
            "seed": division.seed,
            "validation": division.validation,
            "largest": division.largest,
            "inputs": report.inputs,
            "documents": dict(report.statuses),
            "passages": {era: dict(counts) for era, counts in sorted(report.passages.items())},
            "files": {path.relative_to(folder).as_posix(): sha256_file(path) for path in made},
        },
    )
