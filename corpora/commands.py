"""The commands about texts: corpora build, stats, check, export."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from progressgym import registry
from progressgym.cli.console import Json, Models, err, out, print_json, progress, table
from progressgym.errors import ProgressGymError, UsageError

from .reader import recognised
from .tables import is_corpus

if TYPE_CHECKING:
    from .statistics.summary import EraStatistics

app = typer.Typer(
    name="corpora",
    help="Historical texts: build a corpus from raw sources, describe it, check it, export it.",
    no_args_is_help=True,
)

Corpus = Annotated[Path, typer.Argument(metavar="CORPUS", help="Folder that `build` made.")]
Page = Annotated[Path | None, typer.Option("--to", help="HTML page to write.")]


@app.command()
def build(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="[SOURCE:]PLACE…",
            help="Folders or hub ids; the kind of source is recognised or named before a colon.",
        ),
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the corpus.")],
    models: Models = "smollm2",
    tokens: Annotated[int, typer.Option(min=32, help="The most tokens of a passage.")] = 256,
    seed: Annotated[int, typer.Option(help="Of the split and the balance.")] = 0,
    validation: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of each era to hold out, in whole works.")
    ] = 0.1,
    largest: Annotated[
        float, typer.Option(min=0.01, max=1, help="Most that one work may have of an era.")
    ] = 0.25,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one for each core.")] = 0,
    ray: Annotated[str, typer.Option(help="`local`, or the address of a Ray cluster.")] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 if any input is broken or undated.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Turn raw sources into century slices. Run it again to continue or to add what is new.

    Example: progressgym corpora build ../shared/corpora --out corpus
    """
    from progressgym.models.load import tokenizer_json
    from progressgym.timeline import Timeline

    from .blocks import Slicing
    from .build import Division, build_corpus

    timeline = Timeline.load(models)
    given = [_source(text) for text in sources]
    with tempfile.TemporaryDirectory() as scratch, progress("Reading", total=1) as update:
        tokenizer = Path(scratch) / "tokenizer.json"
        tokenizer.write_text(tokenizer_json(timeline), encoding="utf-8")
        report = build_corpus(
            given,
            out_folder,
            timeline,
            Slicing.of(timeline, tokens, tokenizer),
            Division(seed, validation, largest),
            workers,
            ray,
            lambda done, total, text: update(done / max(1, total), text),
        )
    broken = report.statuses["broken"] + report.statuses["undated"]
    if as_json:
        print_json(
            {
                "corpus": str(out_folder),
                "blocks": report.blocks,
                "reused": report.reused,
                "documents": dict(report.statuses),
                "passages": {era: dict(counts) for era, counts in report.passages.items()},
            }
        )
    else:
        _show(report, out_folder, [era.name for era in timeline.eras])
    if strict and broken:
        raise ProgressGymError(
            f"{broken} inputs are broken or undated; see {out_folder}/set_aside.jsonl."
        )


def _show(report: Any, folder: Path, eras: list[str]) -> None:
    """What a build came to, for people."""
    rows = [
        (era, *(f"{report.passages.get(era, {}).get(s, 0):,}" for s in ("train", "validation")))
        for era in eras
    ]
    table(f"Passages in {folder}", ["era", "train", "validation"], rows)
    kept = report.statuses["kept"]
    aside = ", ".join(
        f"{number} {kind}" for kind, number in sorted(report.statuses.items()) if kind != "kept"
    )
    out.print(f"{kept:,} documents kept; set aside: {aside or 'none'}.")
    if aside:
        reasons = _reasons(folder / "set_aside.jsonl")
        for line in reasons[:_SHOWN]:
            err.print(f"  {line}")
        if len(reasons) > _SHOWN:
            err.print(f"  … {len(reasons) - _SHOWN} more in {folder}/set_aside.jsonl")


_SHOWN = 10  # inputs that are broken or undated, on the terminal


def _reasons(path: Path) -> list[str]:
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    wrong = [entry for entry in entries if entry["kind"] in ("broken", "undated")]
    return [f"{entry['name']}: {entry['reason']}" for entry in wrong]


def _source(text: str) -> tuple[str, str]:
    """(registered name, place) of a source as people name it."""
    name, colon, place = text.partition(":")
    if colon and name in registry.names("source"):
        return name, place
    return recognised(Path(text))


@app.command()
def stats(corpus: Corpus, to: Page = None, as_json: Json = False) -> None:
    """Describe a corpus by century: texts, words, genres, translations, quality, vocabulary.

    Example: progressgym corpora stats corpus --to corpus.html
    """
    from .statistics import check_corpus, corpus_statistics, draw_samples, write_corpus_page

    statistics = corpus_statistics(_corpus(corpus))
    if to is not None:
        findings = check_corpus(corpus, statistics)
        write_corpus_page(statistics, findings, to, draw_samples(corpus))
    if as_json:
        print_json(statistics.model_dump(mode="json"))
        return
    table(f"Texts in {corpus}", _COLUMNS, [_era_row(era) for era in statistics.eras])
    if to is not None:
        out.print(f"Page: {to}")


_COLUMNS = ["era", "works", "words", "translated", "largest", "quality", "duplicates"]


def _era_row(era: EraStatistics) -> tuple[str, ...]:
    """An era's row of the table."""
    translated = era.translated_words / max(1, era.words)
    quality = f"{era.quality.mean:.2f}" if era.quality else "–"
    duplicates = era.set_aside.get("duplicate", 0)
    return (
        era.name, f"{era.works:,}", f"{era.words:,}", f"{translated:.0%}",
        f"{era.largest_share:.0%}", quality, f"{duplicates:,}",
    )  # fmt: skip


@app.command()
def check(corpus: Corpus, as_json: Json = False) -> None:
    """Look for what should not be in a corpus; exit with 1 if there is any alarm.

    Example: progressgym corpora check corpus
    """
    from .statistics import check_corpus, corpus_statistics

    findings = check_corpus(corpus, corpus_statistics(_corpus(corpus)))
    alarms = sum(finding.severity == "alarm" for finding in findings)
    if as_json:
        print_json({"findings": [finding.model_dump(mode="json") for finding in findings]})
    else:
        for finding in findings:
            style = "bold red" if finding.severity == "alarm" else None
            out.print(f"{finding.severity:7} ", style=style, end="")
            out.print(f"{finding.era or 'all':5} {finding.what}: {finding.detail}")
        out.print(f"{alarms} alarms, {len(findings) - alarms} warnings.")
    if alarms:
        raise typer.Exit(1)


@app.command()
def export(
    source: Annotated[str, typer.Argument(metavar="CORPUS|[SOURCE:]PLACE", help="What to export.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to write.")],
    as_json: Json = False,
) -> None:
    """Write a corpus, or a raw source as it is, in the HistText format: JSON lists by year.

    Example: progressgym corpora export corpus --to histtext
    """
    from .exchange import export_histtext

    written, left = export_histtext(*_source(source), to)
    if as_json:
        print_json({"folder": str(to), "documents": written, "left_out": left})
    else:
        out.print(f"{written:,} documents in {to}; {left:,} left out.")


def _corpus(folder: Path) -> Path:
    """The folder, if it is a corpus."""
    if not is_corpus(folder):
        raise UsageError(f"{folder} is no corpus: make one with `progressgym corpora build`.")
    return folder
