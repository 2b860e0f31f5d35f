"""Statistics, check and page of built corpora, on small made-up ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs
from progressgym.corpora.statistics import (
    CorpusStatistics,
    Finding,
    check_corpus,
    corpus_statistics,
    draw_samples,
    vocabulary,
    write_corpus_page,
)
from progressgym.corpora.statistics.anachronisms import first_years
from progressgym.corpora.statistics.vocabulary import (
    count_words,
    divergence,
    halves,
    likelihood_ratio,
)
from progressgym.corpora.tables import DOCUMENTS, INDEX, PASSAGES

from progressgym.errors import UsageError
from progressgym.storage import sha256_file

ERAS = [("C017", 1601, 1700), ("C019", 1801, 1900)]
WORDS = "the king went with his men unto sea and they that saw it were afraid of him".split()
COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 1000), min_size=1)


def text(seed: int, size: int = 60) -> str:
    """Old words in an order of their own, then a word that no other passage has."""
    draw = np.random.default_rng(seed)
    letters = "".join(draw.choice(list("bcdfgklm"), 12))
    return f"{' '.join(draw.choice(WORDS, size - 1))} {letters}"


def passage(era: str, work: int, number: int, **changes: Any) -> dict[str, Any]:
    first = {name: first for name, first, _ in ERAS}[era]
    row = {
        "era": era,
        "split": "validation" if work == 0 else "train",
        "document": f"books/{era}-{work}",
        "work": f"writer/{era} {work}",
        "title": f"Title {work}",
        "author": f"Writer {work}",
        "year": first + work,
        "translation_year": None,
        "genre": "law" if work % 2 else "fiction",
        "words": 60,
        "tokens": 80,
        "text": text(int(era[1:]) * 10_000 + work * 100 + number),
    }
    return row | changes


def document(name: str, era: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(DOCUMENTS.names)
    row |= {"name": name, "era": era, "words": 600, "quality": 0.9, "status": "kept"}
    row |= {"kind": "plain", "effects": [("header", 100)], "text": "x" * 900}
    return row | changes


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Two eras, four works each, ten passages a work."""
    return [passage(era, work, n) for era, _, _ in ERAS for work in range(4) for n in range(10)]


def build(folder: Path, rows: list[dict[str, Any]], documents: list[dict] | None = None) -> Path:
    """Write a corpus of these passages as a build would."""
    for part in ("eras", "documents"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    files = {}
    for era in sorted({row["era"] for row in rows}):
        path = folder / "eras" / f"{era}.parquet"
        own = [row for row in rows if row["era"] == era]
        pq.write_table(pa.Table.from_pylist(own, schema=PASSAGES), path)
        files[f"eras/{era}.parquet"] = sha256_file(path)
    if documents is None:
        names = dict.fromkeys((row["document"], row["era"]) for row in rows)
        documents = [document(name, era) for name, era in names]
    table = pa.Table.from_pylist(documents, schema=DOCUMENTS)
    pq.write_table(table, folder / "documents" / "books-0.parquet")
    pq.write_table(table.select(INDEX.names), folder / "index.parquet")
    eras = [{"name": n, "first_year": a, "last_year": b, "adapter": None} for n, a, b in ERAS]
    manifest = {"timeline": {"name": "two", "eras": eras}, "tokens": 100, "files": files}
    (folder / "corpus.json").write_text(json.dumps(manifest))
    return folder


def findings(folder: Path) -> list[Finding]:
    return check_corpus(folder, corpus_statistics(folder))


def alarms(folder: Path) -> set[tuple[str | None, str]]:
    return {(f.era, f.what) for f in findings(folder) if f.severity == "alarm"}


# --- words ---------------------------------------------------------------------------------------


def test_words_are_counted_in_lower_case_without_marks() -> None:
    texts = pa.array(["The kinge's Men, THE ſea.", "Don’t! þe 12 men"])
    expected = {"the": 2, "kinge": 1, "s": 1, "men": 2, "sea": 1, "dont": 1, "þe": 1}
    assert count_words(texts) == expected
    assert count_words(pa.array(["", "1 2 3"])) == {}


@given(COUNTS, COUNTS)
def test_divergence_is_a_bounded_symmetric_distance(first: dict, second: dict) -> None:
    _, (a, b) = vocabulary.frequencies([first, second])
    assert divergence(a, b) == pytest.approx(divergence(b, a))
    assert 0 <= divergence(a, b) <= 1
    assert divergence(a, 7 * a) == pytest.approx(0, abs=1e-9)
    disjoint = {f"{word}2": count for word, count in second.items()}
    assert divergence(*vocabulary.frequencies([first, disjoint])[1]) == pytest.approx(1)


def test_divergence_of_a_known_pair() -> None:
    # The mean is (3/4, 1/4), so it is H(3/4, 1/4) - (H(1/2, 1/2) + H(1, 0)) / 2.
    expected = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)) - 0.5
    assert divergence(np.array([1.0, 1.0]), np.array([5.0, 0.0])) == pytest.approx(expected)


def test_likelihood_ratio_of_a_known_table() -> None:
    own, rest = np.array([10.0, 90.0]), np.array([30.0, 870.0])
    table = np.array([[10, 30], [90, 870]])
    expected = table.sum(0) * table.sum(1)[:, None] / table.sum()
    g2 = 2 * (table * np.log(table / expected)).sum()
    assert likelihood_ratio(own, rest) == pytest.approx([g2, g2])


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 10_000), min_size=1))
def test_halves_differ_by_the_largest_work_at_most(sizes: dict[str, int]) -> None:
    chosen = sum(sizes[work] for work in halves(sizes))
    assert abs(sum(sizes.values()) - 2 * chosen) <= max(sizes.values())


def test_pruning_keeps_the_frequent_words() -> None:
    counts = Counter({f"rare{i}": 1 for i in range(100)} | {"the": 50, "king": 3})
    vocabulary.prune(counts, 10)
    assert counts == {"the": 50, "king": 3}


def test_the_list_of_anachronisms_is_sound() -> None:
    listed = first_years()
    words = {word for word, _ in listed.values()}
    assert len(words) > 1000
    assert all(re.fullmatch("[a-z]{3,}", word) for word in words)
    assert all(1300 <= year <= 2025 for _, year in listed.values())
    assert listed["telephones"] == ("telephone", listed["telephone"][1])
    assert listed["biographies"][0] == "biography"


# --- statistics ----------------------------------------------------------------------------------


def test_counts_add_up(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["work"] == "writer/C017 1":
            row["translation_year"] = 1850
    statistics = corpus_statistics(build(tmp_path, rows))
    era = statistics.eras[0]
    assert [era.name, era.documents, era.works, era.authors] == ["C017", 4, 4, 4]
    assert (era.passages, era.words, era.tokens) == (40, 2400, 3200)
    assert era.splits["validation"].model_dump() == {
        "passages": 10, "words": 600, "tokens": 800, "works": 1,
    }  # fmt: skip
    assert era.genres == {"fiction": 1200, "law": 1200}
    assert (era.original_words, era.translated_words) == (1800, 600)
    assert era.largest_share == pytest.approx(0.25)
    assert era.vocabulary == len(WORDS) + 40
    again = CorpusStatistics.model_validate_json(statistics.model_dump_json())
    assert again == statistics


def test_batches_and_the_order_of_documents_do_not_matter(
    tmp_path: Path, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = corpus_statistics(build(tmp_path / "a", rows))
    monkeypatch.setattr("progressgym.corpora.statistics.counting.BATCH", 7)
    assert corpus_statistics(build(tmp_path / "b", rows)) == expected
    mixed = corpus_statistics(build(tmp_path / "c", sorted(rows, key=lambda row: row["text"])))
    assert mixed.drift == expected.drift
    assert mixed.eras[0].splits == expected.eras[0].splits


def test_index_and_cleaning_are_summed(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    documents = [
        document("a", "C017", words=100, quality=0.5),
        document("b", "C017", words=300, quality=0.9, kind="ocr"),
        document("c", "C017", status="duplicate", quality=0.1),
        document("d", None, status="undated", text=None),
    ]
    statistics = corpus_statistics(build(tmp_path, rows, documents))
    quality = statistics.eras[0].quality
    assert quality is not None
    assert (quality.mean, quality.least) == pytest.approx((0.8, 0.5))
    assert statistics.eras[0].set_aside == {"duplicate": 1}
    assert statistics.set_aside == {"duplicate": 1, "undated": 1}
    assert statistics.cleaning["plain"].model_dump() == {
        "documents": 2, "kept": 1800, "removed": {"header": 200},
    }  # fmt: skip


def test_drift_is_small_for_one_language_and_large_for_two(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    same = corpus_statistics(build(tmp_path / "same", rows))
    for row in rows:
        if row["era"] == "C019":
            row["text"] = re.sub(r"(\w+)", r"\1x", row["text"])
    other = corpus_statistics(build(tmp_path / "other", rows))
    assert same.drift[0][1] is not None
    assert same.drift[0][1] < 0.1
    assert other.drift[0][1] == other.drift[1][0] == pytest.approx(1)
    assert other.drift[0][0] == 0
    assert other.eras[1].characteristic[0].word.endswith("x")
    assert other.eras[1].characteristic[0].ratio is None
    assert other.eras[0].noise_floor is not None
    assert 0 < other.eras[0].noise_floor < 0.2


def test_a_name_in_one_book_is_not_characteristic(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    for row in rows:
        if row["era"] == "C019":
            row["text"] += " whilst" + (" Pickwick" * 9 if row["work"].endswith("2") else "")
    words = [c.word for c in corpus_statistics(build(tmp_path, rows)).eras[1].characteristic]
    assert "whilst" in words
    assert "pickwick" not in words


def test_an_empty_era_has_no_drift(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    folder = build(tmp_path, [row for row in rows if row["era"] == "C017"])
    statistics = corpus_statistics(folder)
    assert statistics.drift == [[0, None], [None, None]]
    assert ("C019", "empty") in alarms(folder)


def test_what_is_no_corpus_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no corpus"):
        corpus_statistics(tmp_path)
    (tmp_path / "corpus.json").write_text("{}")
    with pytest.raises(UsageError, match="eras"):
        corpus_statistics(tmp_path)


# --- check ---------------------------------------------------------------------------------------


def test_a_sound_corpus_has_no_alarms(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    found = findings(build(tmp_path, rows))
    assert {f.what for f in found} == {"tiny"}


def test_a_later_word_is_an_alarm_in_an_original(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    rows[5]["text"] += " and the telephones"
    folder = build(tmp_path, rows)
    era = corpus_statistics(folder).eras[0]
    assert era.originals.words[0].word == "telephone"
    assert era.originals.words[0].documents == {rows[5]["document"]: 1}
    assert era.originals.per_million == pytest.approx(1e6 / 2400)
    assert alarms(folder) == {("C017", "later words in originals")}


@pytest.mark.parametrize(("year", "alarmed"), [(1790, True), (1900, False)])
def test_a_translation_counts_by_its_own_year(
    tmp_path: Path, rows: list[dict[str, Any]], year: int, alarmed: bool
) -> None:
    rows[5] |= {"text": f"{rows[5]['text']} telephone", "translation_year": year}
    folder = build(tmp_path, rows)
    era = corpus_statistics(folder).eras[0]
    assert era.originals.count == 0
    assert [era.translations.count, era.expected.count] == ([1, 0] if alarmed else [0, 1])
    assert alarms(folder) == ({("C017", "later words in translations")} if alarmed else set())


def test_a_work_on_both_sides_is_found(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    rows[3]["split"] = "train"
    assert alarms(build(tmp_path, rows)) == {("C017", "split leak")}


@pytest.mark.parametrize(
    ("added", "what"),
    [
        ("This Project Gutenberg book", "Project Gutenberg"),
        ("see www.example.org", "web address"),
        ("under a Creative Commons licence", "Creative Commons"),
        ("[Transcriber: a line is lost]", "transcriber"),
        ("an electronic text", "electronic text"),
        ("[Footnote 2: so all copies]", "markup"),
    ],
)
def test_forbidden_strings_are_found(
    tmp_path: Path, rows: list[dict[str, Any]], added: str, what: str
) -> None:
    rows[50]["text"] += f" {added}"
    assert ("C019", f"forbidden: {what}") in alarms(build(tmp_path, rows))


def test_a_repeated_passage_is_found_whatever_its_marks(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    rows[0]["text"] = rows[15]["text"].upper().replace(" ", ",  ")
    assert alarms(build(tmp_path / "a", rows)) == {
        ("C017", "passage on both sides"), ("C017", "passage twice"),
    }  # fmt: skip
    rows[0]["text"] = rows[15]["text"].replace(rows[15]["text"][:9], "Whan that ", 1)
    near = {f.what for f in findings(build(tmp_path / "b", rows))}
    assert near == {"tiny", "nearly equal passages on both sides"}
    rows[0]["text"] = rows[45]["text"]
    across = {f.what for f in findings(build(tmp_path / "c", rows))}
    assert across == {"tiny", "passage in two eras"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"year": 1750}, "year outside the era"),
        ({"tokens": 101}, "more than 100 tokens"),
        ({"text": " \n"}, "no text"),
    ],
)
def test_faulty_passages_are_found(
    tmp_path: Path, rows: list[dict[str, Any]], changes: dict[str, Any], what: str
) -> None:
    rows[2] |= changes
    assert alarms(build(tmp_path, rows)) == {("C017", what)}


def test_warnings_about_a_lopsided_era(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    for row in rows[:40]:
        row |= {"work": "writer/one", "split": "train", "translation_year": 1890, "tokens": 20}
    documents = [document("a", "C017", quality=0.5)]
    found = {(f.severity, f.what) for f in findings(build(tmp_path, rows, documents))}
    assert found == {
        ("alarm", "split missing"),
        ("warning", "one work dominates"),
        ("warning", "translations"),
        ("warning", "low quality"),
        ("warning", "fewer than 25 tokens"),
        ("warning", "tiny"),
    }


def test_changed_and_missing_files_are_found(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    folder = build(tmp_path, rows)
    own = [row for row in rows if row["era"] == "C017"][1:]
    pq.write_table(pa.Table.from_pylist(own, schema=PASSAGES), folder / "eras" / "C017.parquet")
    (folder / "eras" / "C019.parquet").unlink()
    assert {what for _, what in alarms(folder)} == {"file changed", "file missing", "empty"}


def test_a_document_that_is_kept_twice_is_found(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    documents = [document("a", "C017"), document("a", "C019"), document("b", "C019")]
    assert alarms(build(tmp_path, rows, documents)) == {(None, "document twice")}


# --- page ----------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_whole_and_asks_for_nothing(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    rows[5]["text"] += " telephone <script>alert(1)</script>"
    rows[6]["title"] = "<b>Bold</b>"
    folder = build(tmp_path / "corpus", rows)
    statistics = corpus_statistics(folder)
    samples = draw_samples(folder)
    assert [len(own) for own in samples.values()] == [3, 3]
    path = write_corpus_page(
        statistics, check_corpus(folder, statistics), tmp_path / "c.html", samples
    )
    source = path.read_text(encoding="utf-8").replace(get_plotlyjs(), "")
    assert not re.search(r"https?:|url\(|@import", source)
    page = Page(source)
    assert not [a for _, a in page.tags if a.keys() & {"src", "href", "srcset"}]
    assert "default-src 'none'" in source
    assert "<script>alert" not in source
    assert "<b>Bold" not in source
    drawn = {a["data-figure"] for _, a in page.tags if "data-figure" in a}
    held = json.loads(re.findall(r'id="figures">(.*?)</script>', source, re.DOTALL)[0])
    assert drawn == held.keys()
    assert "telephone" in source


def test_a_page_of_an_empty_corpus_can_be_written(tmp_path: Path) -> None:
    folder = build(tmp_path / "corpus", [])
    statistics = corpus_statistics(folder)
    path = write_corpus_page(statistics, findings(folder), tmp_path / "c.html", {})
    assert "empty" in path.read_text(encoding="utf-8")
