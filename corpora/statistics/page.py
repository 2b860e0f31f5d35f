"""One self-contained HTML page about a built corpus."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go
import pyarrow.parquet as pq

from progressgym import page
from progressgym.storage import write_text

from ..tables import era_names
from . import figures
from .check import Finding
from .summary import Anachronisms, CorpusStatistics, EraStatistics

SAMPLES = 3  # passages of each era


class Sample(NamedTuple):
    """A passage to show."""

    title: str
    author: str
    year: int
    translation_year: int | None
    text: str


def draw_samples(folder: Path, number: int = SAMPLES, seed: int = 0) -> dict[str, list[Sample]]:
    """Random passages of each era of a built corpus, from as many places of it as there are.

    Args:
        folder: of the corpus.
        number: of passages of each era.
        seed: which.
    """
    draw = random.Random(seed)
    samples: dict[str, list[Sample]] = {}
    for era in era_names(folder):
        samples[era] = []
        with pq.ParquetFile(folder / "eras" / f"{era}.parquet") as file:
            chosen = draw.sample(range(file.num_row_groups), min(number, file.num_row_groups))
            for group in sorted(chosen):
                rows = file.read_row_group(group, columns=list(Sample._fields))
                picked = draw.sample(range(len(rows)), min(number // len(chosen), len(rows)))
                samples[era] += [Sample(**row) for row in rows.take(sorted(picked)).to_pylist()]
    return samples


def write_corpus_page(
    statistics: CorpusStatistics,
    findings: Sequence[Finding],
    path: Path,
    samples: Mapping[str, Sequence[Sample]],
) -> Path:
    """Write a page that opens anywhere, also without a network.

    Args:
        statistics: of the corpus.
        findings: of its check.
        path: of the HTML file, replaced atomically.
        samples: era -> passages to show; see :func:`draw_samples`.

    Returns:
        The path.
    """
    plots: dict[str, go.Figure] = {}
    parts = [
        _header(statistics),
        _findings(findings),
        _summary(statistics.eras),
        _contents(statistics.eras, plots),
        _cleaning(statistics, plots),
        _vocabulary(statistics, plots),
        _anachronisms(statistics.eras),
        _samples(statistics.eras, samples),
    ]
    write_text(path, page.document("\n".join(parts), plots, "ProgressGym corpus"))
    return path


def _header(statistics: CorpusStatistics) -> str:
    eras = statistics.eras
    documents, passages = sum(e.documents for e in eras), sum(e.passages for e in eras)
    facts = [
        f"{eras[0].first_year} to {eras[-1].last_year}" if eras else "no eras",
        f"{len(eras)} eras",
        f"{documents:,} documents",
        f"{sum(e.words for e in eras):,} words",
        f"{passages:,} passages",
        f"{sum(statistics.set_aside.values()):,} documents set aside",
    ]
    return f"<header><h1>ProgressGym corpus</h1><p>{escape(' · '.join(facts))}</p></header>"


def _findings(findings: Sequence[Finding]) -> str:
    alarms = sum(finding.severity == "alarm" for finding in findings)
    if not findings:
        return "<section><h2>Check</h2><p>Nothing was found that should not be there.</p></section>"
    rows = [
        [
            f'<th scope="row">{escape(finding.era or "all")}</th>',
            f"<td>{_severity(finding)}</td>",
            f"<td>{escape(finding.what)}</td>",
            f"<td>{escape(finding.detail)}</td>",
        ]
        for finding in findings
    ]
    table = page.table("Findings of the check", ("Era", "Severity", "What", "Detail"), rows)
    warnings = len(findings) - alarms
    counts = f"{_number(alarms, 'alarm')} and {_number(warnings, 'warning')}."
    shown = table if alarms else page.folded("Show the warnings", table)
    return f"<section><h2>Check</h2><p>{counts} {_CHECK}</p>{shown}</section>"


def _severity(finding: Finding) -> str:
    return '<span class="badge">alarm</span>' if finding.severity == "alarm" else "warning"


def _summary(eras: Sequence[EraStatistics]) -> str:
    titles = (
        "Era",
        "Documents",
        "Works",
        "Authors",
        "Words",
        "Train",
        "Validation",
        "Translated",
        "Quality",
        "Largest work",
    )
    rows = [[f'<th scope="row">{escape(era.name)}</th>', *_summary_cells(era)] for era in eras]
    table = page.table("The eras in numbers", titles, rows)
    return f"<section><h2>Eras</h2>{table}<p>{_SUMMARY}</p></section>"


def _summary_cells(era: EraStatistics) -> list[str]:
    sides = [era.splits[s].passages if s in era.splits else 0 for s in ("train", "validation")]
    cells = [
        f"{era.documents:,}",
        f"{era.works:,}",
        f"{era.authors:,}",
        f"{era.words:,}",
        *(f"{side:,}" for side in sides),
        f"{era.translated_words / max(1, era.words):.0%}",
        f"{era.quality.mean:.1%}" if era.quality else "–",
    ]
    largest = f"{era.largest_share:.0%} {escape(era.largest_work[:40])}" if era.works else "–"
    return [f'<td class="number">{cell}</td>' for cell in (*cells, largest)]


def _contents(eras: Sequence[EraStatistics], plots: dict[str, go.Figure]) -> str:
    plots["genre"] = figures.words_by_genre(eras)
    plots["origin"] = figures.words_by_origin(eras)
    plots["quality"] = figures.quality(eras)
    return f"""<section><h2>Contents</h2><h3>Words by genre</h3>
{page.figure("genre", "Words of each era by genre", "As the sources name genres.")}
<h3>Translations</h3>{page.figure("origin", "Share of translated words by era", _ORIGIN)}
<h3>Quality of the texts</h3>{page.figure("quality", "Quality by era", _QUALITY)}</section>"""


def _cleaning(statistics: CorpusStatistics, plots: dict[str, go.Figure]) -> str:
    parts = ["<section><h2>Cleaning</h2>"]
    if any(own.removed for own in statistics.cleaning.values()):
        plots["cleaning"] = figures.cleaning_steps(statistics)
        shown = page.figure("cleaning", "Characters removed by each step", _STEPS)
        parts += ["<h3>What each step took out</h3>", shown]
        parts.append(page.folded("Cleaning in numbers", _cleaning_table(statistics)))
    if statistics.set_aside:
        counts = ", ".join(f"{number:,} {kind}" for kind, number in statistics.set_aside.items())
        parts.append(f"<h3>What was set aside</h3><p>{escape(counts)}.</p>")
        if any(era.set_aside for era in statistics.eras):
            plots["aside"] = figures.set_aside(statistics.eras)
            parts.append(page.figure("aside", "Documents set aside by era", _ASIDE))
    return "".join([*parts, "</section>"]) if len(parts) > 1 else ""


def _cleaning_table(statistics: CorpusStatistics) -> str:
    rows = []
    for kind, own in statistics.cleaning.items():
        for step, removed in {"(kept)": own.kept, **own.removed}.items():
            rows.append(
                [
                    f'<th scope="row">{escape(kind)}</th>',
                    f"<td>{escape(step)}</td>",
                    f'<td class="number">{removed:,}</td>',
                ]
            )
    return page.table("Characters by step", ("Kind", "Step", "Characters"), rows)


def _vocabulary(statistics: CorpusStatistics, plots: dict[str, go.Figure]) -> str:
    plots["drift"] = figures.drift(statistics)
    rows = [
        [
            f'<th scope="row">{escape(era.name)}</th>',
            f"<td>{escape(', '.join(c.word for c in era.characteristic))}</td>",
        ]
        for era in statistics.eras
    ]
    table = page.table("Characteristic words of each era", ("Era", "Words"), rows)
    shown = page.figure("drift", "Divergence of the words of each pair of eras", _DRIFT)
    return f"""<section><h2>Vocabulary</h2><h3>Drift</h3>{shown}
<h3>Characteristic words</h3><p>{_WORDS}</p>{table}</section>"""


def _anachronisms(eras: Sequence[EraStatistics]) -> str:
    rows = []
    for era in eras:
        cells = "".join(map(_rate, (era.originals, era.translations, era.expected)))
        rows.append([f'<th scope="row">{escape(era.name)}</th>', cells])
    titles = ("Era", "Originals", "Translations", "Translators' own")
    table = page.table("Words younger than their text, in a million words", titles, rows)
    listed = "".join(_anachronism_list(era) for era in eras)
    return f"<section><h2>Anachronisms</h2><p>{_ANACHRONISMS}</p>{table}{listed}</section>"


def _rate(found: Anachronisms) -> str:
    return f'<td class="number">{found.per_million:.2f} ({found.count:,})</td>'


def _anachronism_list(era: EraStatistics) -> str:
    kinds = (
        ("original", era.originals),
        ("translation", era.translations),
        ("translator", era.expected),
    )
    rows = [
        [
            f'<th scope="row">{escape(word.word)}</th>',
            f'<td class="number">{word.first_year}</td><td>{kind}</td>',
            f'<td class="number">{word.count:,}</td>',
            f"<td>{escape(', '.join(word.documents))}</td>",
        ]
        for kind, found in kinds
        for word in found.words
    ]
    if not rows:
        return ""
    titles = ("Word", "First attested", "Found in", "Times", "Documents")
    table = page.table(f"Anachronisms of {era.name}", titles, rows)
    return page.folded(f"{era.name}: {_number(len(rows), 'word')}", table)


def _samples(eras: Sequence[EraStatistics], samples: Mapping[str, Sequence[Sample]]) -> str:
    parts = []
    for era in eras:
        shown = "".join(map(_sample, samples.get(era.name, ())))
        if shown:
            parts.append(page.folded(f"{era.name}, {era.first_year} to {era.last_year}", shown))
    return f"<section><h2>Passages</h2>{''.join(parts)}</section>" if parts else ""


def _sample(sample: Sample) -> str:
    translated = f", translated {sample.translation_year}" if sample.translation_year else ""
    source = f"{sample.author or 'Unknown'}, {sample.title}, {sample.year}{translated}"
    lines = escape(sample.text).replace("\n\n", "</p><p>").replace("\n", "<br>")
    return f"<h4>{escape(source)}</h4><p>{lines}</p>"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


_CHECK = """An alarm means that results on this corpus would be wrong, a warning that somebody
should look."""

_SUMMARY = """Words are those of the passages; train and validation count passages. Editions and
volumes of a work are one work. Quality is the share of words that look like words."""

_ORIGIN = """Words in their author's own English, and in a translation, whose language may be
centuries younger than its thoughts."""

_QUALITY = """Share of words that look like words: the mean over all words of an era, and its worst
document. Old spelling lowers it as scanning errors do."""

_STEPS = """Of the characters of all documents of a kind of source, before cleaning. Steps run in a
fixed order, so that a step sees only what those before it left."""

_ASIDE = "By the era of the document's year; what has no year is in the sum above only."

_DRIFT = """Jensen–Shannon divergence of word frequencies in bits: 0 for the same words in the same
proportions, 1 for none in common. The diagonal is the noise floor: the divergence between two
halves of the era's own works. An era of few works has a high one, and a divergence that is no
higher may come from the choice of works rather than from the time."""

_WORDS = """Words that an era uses at least twice as often as all others together, in three
documents or more, by the log-likelihood ratio (Dunning 1993)."""

_ANACHRONISMS = """Words that English has only from after the era (in an author's own English) or
from after the year of the translation: signs of an editor, a wrong date or a scanning error.
Translators' own words are younger than the work and older than the translation, and no error.
Rates are in a million words, with occurrences in brackets."""
