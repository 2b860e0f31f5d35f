"""The corpora: catalogue, cleaning, passages, and the split by work."""

import textwrap
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from progressgym.corpora import Document, clean, read_catalog, read_passages, split_works
from progressgym.corpora.cleaning import keep_spans

from progressgym.passages import Passage

HEADER = "file,source,source_id,title,author,creation_year,original_language,translation_year,genre"
ERAS = [(f"C{century:03d}", (century - 1) * 100 + 1, century * 100) for century in range(13, 22)]
REAL = Path(__file__).resolve().parents[1] / ".." / "shared" / "corpora"
SENTENCE = "And the king said to them that he would not go with his men unto the sea. "
BOOK = """The Project Gutenberg EBook of A Book, by Somebody

*** START OF THIS PROJECT GUTENBERG EBOOK A BOOK ***

Produced by Somebody Else, www.example.org

CONTENTS

I. The one chapter

A BOOK

{body}

[Illustration: the king]

[Footnote 1: This is what the editor thinks of it, in [brackets] too.]

INDEX

King, the, 1

End of the Project Gutenberg EBook of A Book

*** END OF THIS PROJECT GUTENBERG EBOOK A BOOK ***

Licence terms.
"""


def make(folder: Path, rows: list[str], texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "catalog.csv").write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    return folder


def row(name: str, year: object, identity: str = "x1") -> str:
    return f"{name},test,{identity},A Title,An Author,{year},en,,fiction"


def document(path: Path, year: int = 1700) -> Document:
    return Document("test", "none", "A Title", "An Author", year, None, "en", "fiction", path)


def test_catalog_is_read_in_order(tmp_path):
    make(tmp_path, [row("b/2.txt", 1700), row("b/1.txt", 1300)], {"b/1.txt": "", "b/2.txt": ""})
    documents = read_catalog(tmp_path)
    assert [d.work for d in documents] == ["b/2", "b/1"]
    assert documents[0].creation_year == 1700
    assert documents[0].translation_year is None


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("b/1.txt", "MCC"), "integer year in creation_year"),
        (row("../1.txt", 1300), "file path inside"),
        (row("/etc/hostname", 1300), "file path inside"),
        (row("", 1300), "file path inside"),
        (row("b/absent.txt", 1300), "to exist"),
    ],
)
def test_a_bad_line_is_named(tmp_path, bad, message):
    make(tmp_path, [row("b/1.txt", 1300), bad], {"b/1.txt": ""})
    with pytest.raises(ValueError, match=message) as error:
        read_catalog(tmp_path)
    assert "catalog.csv, line 3" in str(error.value)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("secret", encoding="utf-8")
    folder = tmp_path / "inside"
    folder.mkdir()
    make(folder, [row("b/1.txt", 1300)], {"b/1.txt": ""})
    (folder / "b" / "1.txt").unlink()
    (folder / "b" / "1.txt").symlink_to(outside)
    with pytest.raises(ValueError, match="file path inside"):
        read_catalog(folder)


def test_missing_columns_are_named(tmp_path):
    (tmp_path / "catalog.csv").write_text("file,source\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1.*missing source_id"):
        read_catalog(tmp_path)


def test_clean_keeps_the_author_only(tmp_path):
    second = "A second [12] paragraph, which is hard wrapped over several lines of the page."
    body = f"{textwrap.fill(SENTENCE * 3, 50)}\n\n{textwrap.fill(second, 50)}"
    text = clean(BOOK.format(body=body), document(tmp_path))
    assert (SENTENCE * 3).strip() in text
    assert "A second paragraph, which is hard wrapped over several lines of the page." in text
    for unwanted in ("Gutenberg", "Produced", "INDEX", "editor", "Illustration", "Licence", "["):
        assert unwanted not in text


def test_clean_keeps_lines_of_verse(tmp_path):
    verse = "Whan that Aprille with his shoures sote\nThe droghte of Marche hath perced\n"
    verse += "And bathed every veyne in swich licour\nOf which vertu engendred is the flour"
    assert clean(verse, document(tmp_path)) == verse


def test_old_texts_lose_paragraphs_that_cite_modern_books(tmp_path):
    text = f"{SENTENCE}\n\nCompare the edition of 1887, p. 12, and the Vienna MS.\n\n{SENTENCE}"
    assert "1887" not in clean(text, document(tmp_path, year=1300))
    assert "1887" in clean(text, document(tmp_path, year=1900))


def test_spans_are_kept_in_order_and_missing_markers_are_named():
    text = "preface\nFirst  words\nof one\nNOTES\nhis notes\nSecond words\nof two\n"
    spans = [("First words", "NOTES"), ("Second", "")]
    kept = " ".join(keep_spans(text, spans, "b/1").split())
    assert kept == "First words of one Second words of two"
    with pytest.raises(ValueError, match=r"no line of b/1 .* 'Absent'"):
        keep_spans(text, [("Absent", "")], "b/1")


def test_passages_have_era_work_and_about_the_wanted_words(tmp_path):
    paragraphs = "\n\n".join([SENTENCE * 4] * 20)
    latin = "Gallia est omnis divisa in partes tres quarum unam incolunt Belgae aliam Aquitani " * 9
    texts = {"b/1.txt": f"CHAPTER I\n\n{paragraphs}\n\n{latin}", "b/2.txt": SENTENCE * 200}
    make(tmp_path, [row("b/2.txt", 1790), row("b/1.txt", 1300), row("b/2.txt", 900)], texts)
    passages = read_passages(tmp_path, ERAS, words=120)
    assert list(dict.fromkeys(p.work for p in passages)) == ["b/2", "b/1"]
    assert {(p.era, p.year) for p in passages} == {("C018", 1790), ("C013", 1300)}
    assert all(40 <= len(p.text.split()) <= 138 for p in passages)
    assert not any("Belgae" in p.text or "CHAPTER" in p.text for p in passages)


def test_passage_size_must_be_positive(tmp_path):
    make(tmp_path, [], {})
    with pytest.raises(ValueError, match="at least 1"):
        read_passages(tmp_path, ERAS, words=0)


def test_shares_outside_their_range_are_refused():
    with pytest.raises(ValueError, match="held_out"):
        split_works([], held_out=1.0)


@pytest.mark.parametrize("seed", range(5))
def test_split_is_deterministic_and_by_work_where_there_are_many(seed):
    passages = [
        Passage(f"C{era}", f"w/{era}-{work}", 1500, f"{SENTENCE}{number}")
        for era in range(3)
        for work in range(1 + 7 * era)
        for number in range(10 + work)
    ]
    training, held_out = split_works(passages, seed=seed)
    assert (training, held_out) == split_works(passages, seed=seed)
    assert Counter(training + held_out) == Counter(passages)
    for era in ("C0", "C1", "C2"):
        share = sum(p.era == era for p in held_out) / sum(p.era == era for p in passages)
        assert 0.1 <= share <= 0.36
    known, kept_out = ({p.work for p in side if p.era == "C2"} for side in (training, held_out))
    assert not known & kept_out


def test_few_works_each_hold_out_one_run_of_passages():
    passages = [Passage("C", f"w/{w}", 1500, f"{n}") for w in range(3) for n in range(20)]
    passages.append(Passage("C", "w/short", 1500, "0"))
    _, held_out = split_works(passages)
    for work in range(3):
        run = [int(p.text) for p in held_out if p.work == f"w/{work}"]
        assert run == list(range(run[0], run[0] + 3))
    assert "w/short" not in {p.work for p in held_out}


def test_split_depends_on_the_seed():
    passages = [Passage("C", f"w/{number}", 1500, SENTENCE) for number in range(20)]
    assert len({tuple(split_works(passages, seed=seed)[1]) for seed in range(5)}) > 1


@pytest.fixture(scope="module")
def real() -> list[Passage]:
    if not (REAL / "catalog.csv").is_file():
        pytest.skip("the texts are not here: no ../shared/corpora beside the repository")
    return read_passages(REAL, ERAS)


def test_real_passages_are_the_authors(real):
    for unwanted in ("Project Gutenberg", "electronic text", "Transcriber", "Footnote", "www."):
        assert not [p.work for p in real if unwanted in p.text], unwanted


def test_every_real_century_has_text_on_both_sides(real):
    training, held_out = split_works(real)
    words: dict[str, Counter[str]] = defaultdict(Counter)
    for side, passages in (("training", training), ("held out", held_out)):
        for passage in passages:
            words[passage.era][side] += len(passage.text.split())
    assert set(words) == {name for name, _, _ in ERAS}
    for counts in words.values():
        assert counts["training"] > 10_000
        assert 0 < counts["held out"] <= 0.36 * counts.total()
