"""Cleaning, step by step and as a whole; quality and language of what is left."""

from __future__ import annotations

import csv
import random
import re
import textwrap
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from progressgym.corpora.cleaning import RECIPES, STEPS, clean
from progressgym.corpora.cleaning.encoding import repair_encoding, unify_letters, unify_spaces
from progressgym.corpora.cleaning.layout import drop_furniture, join_hyphens, unwrap
from progressgym.corpora.cleaning.licences import drop_digitisers, drop_licences, drop_producers
from progressgym.corpora.cleaning.matter import drop_lists, keep_spans, known_spans, strip_editors
from progressgym.corpora.cleaning.notes import drop_brackets, drop_glosses, drop_note_blocks
from progressgym.corpora.cleaning.ocr import drop_noise, join_broken, join_pages
from progressgym.corpora.cleaning.quality import language, make_table, quality
from progressgym.corpora.documents import Document, Kind

REAL = Path(__file__).resolve().parents[1] / ".." / "shared" / "corpora"
KINDS: tuple[Kind, ...] = get_args(Kind)
SENTENCE = "And the king said to them that he would not go with his men unto the sea."
PROSE = (
    "The king of that land had three sons, and the youngest of them was thought a fool by all.\n\n"
    "One winter there came to the court an old man who asked for nothing but a place by the fire; "
    "and when he had sat there seven nights he rose and spoke.\n\n"
    "“Of what I have seen,” he said, “no man here would believe the half.”"
)


def document(text: str, kind: Kind = "plain", year: int | None = 1700, **more: str) -> Document:
    return Document(
        **{"source": "test", "source_id": "1", "title": "A Title", "author": "An Author"} | more,
        creation_year=year,
        text=text,
        kind=kind,
    )


def cleaned(text: str, kind: Kind = "plain", year: int | None = 1700) -> str:
    return clean(document(text, kind, year)).text


# The whole


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


def test_a_book_keeps_its_author_only() -> None:
    second = "A second [12] paragraph, which is hard wrapped over several lines of the page."
    body = "\n\n".join(textwrap.fill(text, 50) for text in (f"{SENTENCE} " * 3, second))
    result = clean(document(BOOK.format(body=body), "gutenberg"))
    paragraphs = result.text.split("\n\n")
    assert " ".join([SENTENCE] * 3) in paragraphs
    assert "A second paragraph, which is hard wrapped over several lines of the page." in paragraphs
    for unwanted in ("Gutenberg", "Produced", "INDEX", "editor", "Illustration", "Licence", "["):
        assert unwanted not in result.text
    assert result.effects["gutenberg"] > 100


def test_every_kind_has_a_recipe_of_known_steps() -> None:
    assert set(RECIPES) == set(KINDS)
    assert {step for steps in RECIPES.values() for step in steps} == set(STEPS)
    assert RECIPES["clean"] == ()


def test_what_a_source_has_cleaned_stays_as_it_is() -> None:
    text = "  [Footnote 1: kept]\r\n\fſ www.example.org  \n\n\n\n"
    assert cleaned(text, "clean") == text
    assert clean(document(text, "clean")).effects == {}


def test_effects_name_the_steps_that_did_something() -> None:
    result = clean(document("The king [a tyrant] was here.\n\n12\n\nAnd the queen."))
    assert set(result.effects) == {"brackets", "furniture", "paragraphs"}
    assert result.effects["brackets"] == len("[a tyrant]")


@pytest.mark.parametrize("kind", KINDS)
def test_clean_prose_is_left_alone(kind: Kind) -> None:
    assert cleaned(PROSE, kind) == PROSE
    assert cleaned("", kind) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_verse_keeps_its_lines(kind: Kind) -> None:
    verse = "Whan that Aprille with his shoures sote\nThe droghte of Marche hath perced\n"
    verse += "And bathed every veyne in swich licour\nOf which vertu engendred is the flour"
    assert cleaned(verse, kind) == verse


WORDS = st.sampled_from("the king and his daughter went over water to see where they lay".split())
PARAGRAPH = st.lists(WORDS, min_size=12, max_size=60).map(lambda w: " ".join(w).capitalize() + ".")


@given(st.lists(PARAGRAPH, min_size=1, max_size=6), st.sampled_from(KINDS))
@settings(max_examples=60, deadline=None)
def test_any_clean_prose_is_left_alone(paragraphs: list[str], kind: Kind) -> None:
    text = "\n\n".join(paragraphs)
    assert cleaned(text, kind) == text


@given(st.lists(PARAGRAPH, min_size=1, max_size=5), st.integers(40, 80))
@settings(max_examples=60, deadline=None)
def test_wrapping_is_undone(paragraphs: list[str], width: int) -> None:
    # A paragraph of three short lines may look like verse, so these are longer.
    paragraphs = [f"{paragraph} {SENTENCE} {SENTENCE}" for paragraph in paragraphs]
    wrapped = "\n\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)
    assert cleaned(wrapped) == "\n\n".join(paragraphs)


NOISE = st.text(alphabet="aeTh .,-–\n\t\f[](){}*_=|/\\0123<>&;â€™ſ'\"", max_size=300)


@given(NOISE, st.sampled_from(KINDS))
@settings(max_examples=300, deadline=None)
def test_nothing_fails_or_grows(text: str, kind: Kind) -> None:
    result = cleaned(text, kind)
    # A hyphen or a paragraph break may be written where a line ended; a tab is four spaces.
    assert len(result) <= len(text) + 3 * text.count("\t") + text.count("\n")


@given(NOISE)
@settings(max_examples=300, deadline=None)
def test_characters_are_unified_once(text: str) -> None:
    for step in (unify_letters, unify_spaces):
        assert step(step(text)) == step(text)


@pytest.mark.parametrize("kind", ["gutenberg", "tei", "ocr", "plain"])
@pytest.mark.parametrize("unit", ["[", " ", "* ", "the sea ", "\n", "(1. ", "[a ", "*", "a", "=_"])
def test_a_million_times_the_same_comes_to_an_end(unit: str, kind: Kind) -> None:
    """A step whose time grows with the square of the length would take hours."""
    text = unit * (1_000_000 // len(unit))
    assert len(cleaned(text, kind)) <= len(text)
    assert 0 <= quality(text) <= 1


# Characters


@pytest.mark.parametrize(
    ("broken", "right"),
    [
        ("He donâ€™t know", "He don’t know"),
        ("a cafÃ© there", "a café there"),
        ("bread &amp; wine", "bread & wine"),
        ("he said \x93no\x94", "he said “no”"),
        ("“Curly” ‘quotes’ — and þorn, fiancé, Ａ", "“Curly” ‘quotes’ — and þorn, fiancé, Ａ"),
        ("the same, &c; and so on", "the same, &c; and so on"),
    ],
)
def test_broken_encoding_is_repaired_and_nothing_else(broken: str, right: str) -> None:
    assert repair_encoding(f"A line.\n{broken}\nMore.") == f"A line.\n{right}\nMore."


def test_letters_and_spaces_are_written_in_one_way() -> None:
    assert unify_letters("firſt ﬁnd\ufeff the o\xadffice\u200b") == "first find the office"
    assert unify_spaces("a\u00a0b  \r\nc\rd \f e\n\n\n\n\n\nf") == "a b\nc\nd\f e\n\n\nf"
    assert unify_spaces("-" * 500) == "---"


# Licences and producers


@pytest.mark.parametrize(
    "notice",
    [
        "This electronic text was prepared by somebody.",
        "Transcriber's note: spelling was kept.",
        "Visit our site at www.example.org for more.",
        "This work is licensed under a Creative Commons Attribution 4.0 licence.",
        "This eBook is for the use of anyone anywhere.",
        "All rights reserved. ISBN 0 00 000000 0",
        "This text is in the public domain in the United States.",
        "Keyed and coded from the copy in the library.",
    ],
)
@pytest.mark.parametrize("kind", ["gutenberg", "tei", "ocr", "plain"])
def test_notices_are_dropped_with_their_paragraph(notice: str, kind: Kind) -> None:
    wrapped = textwrap.fill(f"{notice} And there is more of the notice here.", 40)
    assert cleaned(f"{PROSE}\n\n{wrapped}\n\n{PROSE}", kind) == f"{PROSE}\n\n{PROSE}"


def test_authors_may_speak_of_such_things() -> None:
    for text in (
        "The surveys of the public domain in the western states went on.",
        "It was produced by the labour of many hands.",
        "The licence of the stage, and permission to marry.",
    ):
        assert drop_producers(drop_licences(text)) == text


def test_a_speech_on_one_line_loses_the_sentence_only() -> None:
    speech = f"{SENTENCE} " * 200
    text = f"{speech}Read it at www.example.org today. {speech}".strip()
    assert drop_producers(text) == f"{speech.strip()} {speech}".strip()


GOOGLE = """This is a digital copy of a book that was preserved for generations on library shelves.

It has survived long enough.

at |http : //books . google . com/| or http://books.google.com/

"""


def test_digitisers_notices_and_stamps_are_dropped() -> None:
    stamps = "\nDigitized by Google\nOriginal from\nUNIVERSITY OF SOMEWHERE\n"
    text = f"Front\n\n{GOOGLE}{SENTENCE}\n{stamps}{SENTENCE}"
    left = drop_digitisers(text)
    assert left.count(SENTENCE) == 2
    for unwanted in ("digital copy", "survived", "google", "Digitized", "Original from"):
        assert unwanted not in left


# The author among editors


def test_spans_are_kept_in_order_and_missing_markers_are_named() -> None:
    text = "preface\n“First  words”\nof one\nNOTES\nhis notes\nSecond words\nof two\n"
    spans = [('"First words"', "NOTES"), ("Second", "")]
    kept = " ".join(keep_spans(text, spans, "b/1").split())
    assert kept == "“First words” of one Second words of two"
    with pytest.raises(ValueError, match=r"no line of b/1 .* 'Absent'"):
        keep_spans(text, [("Absent", "")], "b/1")


def test_an_unknown_edition_of_a_known_work_is_still_cleaned() -> None:
    book = document(PROSE, "gutenberg", source="Project Gutenberg", source_id="2383")
    assert clean(book).text == PROSE


def test_contents_are_dropped_and_the_book_begins_after_them() -> None:
    contents = "CONTENTS\n\nI. Of the Sea . . 3\n\nPART TWO\n\nII. Of the Land . . 9\n\n"
    assert drop_lists(f"A preface here.\n\n{contents}{PROSE}") == f"A preface here.\n\n\n\n{PROSE}"
    book = f"Somebody wrote this.\n\n{contents}{PROSE * 9}\n\nINDEX\n\nKing, 12\n\nSea, 3"
    assert strip_editors(book).strip() == PROSE * 9


def test_errata_are_dropped() -> None:
    errata = "Page 24. line 2. read mens. p. 27. l. 13. read ouer. p. 49. l. 22. read fleshy."
    assert drop_lists(f"{PROSE}\n\n{errata}") == PROSE


# Notes


def test_notes_are_dropped_in_blocks_and_brackets() -> None:
    notes = "FOOTNOTES:\n\n[1] The first.\n\n    going on\n\nAnd the author again."
    assert drop_note_blocks(notes) == "And the author again."
    assert drop_brackets("high{e} co[n]nyng [the] king[12] dearth [dearness]") == (
        "highe connyng the king dearth "
    )


def test_a_bracket_that_is_never_closed_does_not_swallow_pages() -> None:
    text = f"He went [to the sea. {SENTENCE * 60} And it was so.]"
    assert drop_brackets(text) == text


def test_glosses_beside_verse_are_dropped() -> None:
    assert drop_glosses("in swich *licour    *liquid\nOf which vertu") == (
        "in swich licour\nOf which vertu"
    )


def test_old_texts_lose_paragraphs_that_cite_modern_books() -> None:
    text = f"{SENTENCE}\n\nCompare the edition of 1887, p. 12, and the Vienna MS.\n\n{SENTENCE}"
    assert "1887" not in cleaned(text, year=1300)
    assert "1887" in cleaned(text, year=1900)
    assert "1887" in cleaned(text, year=None)


def test_numbers_of_verses_are_no_years() -> None:
    verse = "Right as the fressh flour of the May,\nThat day by day    1450\nIs fair to see"
    assert cleaned(verse, year=1385).startswith("Right as the fressh flour")


# Layout


def test_page_numbers_rules_and_marks_go() -> None:
    text = "It was _his_ =own=.\n\n- 12 -\n\n* * * *\n\nAnd, _he_ said, 2 = 2.      45"
    assert re.split("\n+", drop_furniture(text)) == ["It was his own.", "And, he said, 2 = 2."]


@pytest.mark.parametrize(
    ("text", "joins", "result"),
    [
        ("it hap-\npened so; it happened", False, "it happened so; it happened"),
        ("the well-\nbeloved, the well-beloved", True, "the well-beloved, the well-beloved"),
        ("a never-\nseen thing", True, "a neverseen thing"),
        ("a never-\nseen thing", False, "a never-seen thing"),
        ("the Anglo-\nSaxon", True, "the Anglo-Saxon"),
        ("a thou- sand, a thousand", False, "a thousand, a thousand"),
        ("two- and threefold", True, "two- and threefold"),
    ],
)
def test_broken_words_are_joined_as_the_rest_of_the_text_tells(
    text: str, joins: bool, result: str
) -> None:
    assert join_hyphens(text, joins) == result


def test_paragraphs_may_be_indented_or_one_line_each() -> None:
    lines = textwrap.fill(f"{SENTENCE} " * 4, 60, initial_indent="   ")
    assert unwrap(f"{lines}\n{lines}\n{lines}") == "\n\n".join([" ".join([SENTENCE] * 4)] * 3)
    long = " ".join([SENTENCE] * 4)
    assert unwrap(f"{long}\n{long}") == f"{long}\n\n{long}"


# Scans


def scan(text: str, lines: int = 30) -> str:
    """Print a text on pages, with all that stands there besides."""
    printed = "\n\n".join(textwrap.fill(paragraph, 60) for paragraph in text.split("\n\n"))
    rows = printed.split("\n")
    pages = [rows[start : start + lines] for start in range(0, len(rows), lines)]
    made = []
    for number, page in enumerate(pages):
        head = (
            f"{number + 1}   THE HIST0RY OF A KING."
            if number % 2
            else f"A KlNG'S SONS.   {number + 1}"
        )
        following = pages[number + 1] if number + 1 < len(pages) else [""]
        catch = following[0].split(" ")[0]
        made.append(
            "\n".join([head, "", *page, catch, f"{chr(66 + number % 20)} {number % 4 + 1}"])
        )
    return "\f".join(made)


def test_pages_are_joined_without_heads_numbers_signatures_and_catchwords() -> None:
    rng = random.Random(3)
    nouns = "king queen knight monk priest farmer miller sailor judge widow orphan shepherd".split()
    verbs = "loved feared helped served blamed praised followed taught obeyed remembered".split()
    said = (
        f"the {rng.choice(nouns)} {rng.choice(verbs)} the {rng.choice(nouns)} and "
        f"{rng.choice(verbs)} {rng.choice(['him', 'her', 'them'])}"
        for _ in range(900)
    )
    sentences = [f"{sentence.capitalize()}." for sentence in said]
    text = "\n\n".join(" ".join(sentences[n : n + 9]) for n in range(0, 900, 9))
    left = cleaned(scan(text), "ocr")
    assert "HIST0RY" not in left
    assert "KlNG" not in left
    assert left.split() == text.split()


def test_heads_without_page_ends_are_found_by_their_numbers() -> None:
    text = "\n\n".join(f"{SENTENCE}\n\n{n} THE HISTORY OF KINGS\n\n{SENTENCE}" for n in range(9))
    assert "HISTORY" not in join_pages(text)
    speakers = "\n\n".join(f"HAMLET.\n\n{SENTENCE}" for _ in range(9))
    assert join_pages(speakers) == speakers


def test_noise_goes_and_torn_paragraphs_are_joined() -> None:
    text = f"{SENTENCE}\n^ ' ti • ■ • * it .,:\n~ |\n{SENTENCE}\nTo be, or not to be, is it so?"
    assert drop_noise(text) == f"{SENTENCE}\n{SENTENCE}\nTo be, or not to be, is it so?"
    assert (
        join_broken("He went to\n\nthe sea.\n\nThen home.") == "He went to\nthe sea.\n\nThen home."
    )


# Quality and language

MIDDLE = (
    "In a somer seson whan softe was the sonne, I shoop me into shroudes as I a sheep were, in "
    "habite as an heremite unholy of werkes, wente wide in this world wondres to here."
)
MANDEVILLE = (
    "And ȝee schulle vndirstonde þat Cathay is a gret contree and a fair, noble and riche and full "
    "of marchauntes. Þider gon marchauntes all ȝeres for to sechen spices and all oþer "
    "marchandises more comounly þan in ony oþer partie."
)
EARLY = (
    "An preost wes on leoden, Laȝamon wes ihoten; he wes Leovenaðes sone; liðe him beo Drihte. "
    "He wonede at Ernleȝe, at æðelen are chirechen, uppen Sevarne staþe; sel þar him þuhte."
)
RIWLE = (
    "Ant te oðer riwle is al wiðuten ant riwleð þe licome ant licomliche deden, þe teacheð al hu "
    "me schal beoren him wiðuten, hu eoten, drinken, werien, singen, slepen, wakien."
)
TUDOR = (
    "Whiche thynge, whan the Kynge vnderstode, he sent vnto hym certayne of hys counsayle, for to "
    "knowe the trouthe of the mater, and how it myght best be amended."
)


def garbled(text: str, share: float) -> str:
    rng = random.Random(5)
    wrong = {"e": "c", "h": "b", "n": "u", "m": "rn", "i": "l", "t": "f", "s": "f", "o": "0"}
    return "".join(wrong[c] if c in wrong and rng.random() < share else c for c in text)


@pytest.mark.parametrize("text", [PROSE, MIDDLE, MANDEVILLE, TUDOR, SENTENCE])
def test_good_texts_of_all_centuries_score_high_and_misread_ones_low(text: str) -> None:
    assert quality(text) >= 0.9
    assert quality(garbled(text, 0.2)) < quality(text) - 0.1
    assert quality(garbled(text, 0.5)) < 0.7


def test_quality_has_its_bounds() -> None:
    assert quality("") == 0
    assert quality("12 14 16th, xiv. 1776.") == 0
    assert quality("^ ~ | • ■ ,v tbc wbicb 1l") == 0


def test_quality_looks_at_the_whole_of_a_long_text() -> None:
    text = f"{SENTENCE} " * 20_000
    assert quality(text + garbled(text, 0.5)) < quality(text) - 0.1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        *(("en", text) for text in (PROSE, MIDDLE, MANDEVILLE, EARLY, RIWLE, TUDOR)),
        ("la", "Omnis homo qui audit haec verba et non facit ea, similis erit viro stulto, et "
               "descendit pluvia et venerunt flumina et flaverunt venti."),
        ("fr", "Il y avait autrefois un roi qui aimait beaucoup ses enfants, et qui voulait que "
               "chacun d'eux apprît un métier honnête avant de se marier."),
        ("de", "Es war einmal ein König, der hatte eine Tochter, und die war so schön, daß alle, "
               "die sie sahen, nicht wußten, was sie sagen sollten."),
        ("nl", "Er was eens een koning die in een groot kasteel aan de rivier woonde, en hij had "
               "drie zonen die alle drie wilden trouwen."),
        ("es", "Había una vez un hombre que leía tantos libros de noche y de día que se le secó el "
               "cerebro y vino a perder el juicio."),
        ("it", "C'era una volta un re che aveva una figlia tanto bella che tutti quelli che la "
               "vedevano non sapevano che cosa dire."),
        ("", ""), ("", "12 34 5,6 77 88 | 23 + 12 = 35 10"), ("", "? ! ."),
    ],
)  # fmt: skip
def test_languages_are_told(code: str, text: str) -> None:
    assert language(text) == code
    assert language(" ".join([text] * 300)) == code


def test_quotations_do_not_decide_the_language() -> None:
    latin = "Omnis homo qui audit haec verba et non facit ea, similis erit viro stulto. "
    assert language(f"{PROSE} " * 40 + latin * 30 + f"{PROSE} " * 40) == "en"


def test_the_table_is_made_from_texts() -> None:
    rows = dict(make_table([("old", "the king and queene " * 50), ("new", "rare once")]))
    assert rows[""] == "and the"
    assert set(rows["^k"]) == {"i"}
    assert "^r" not in rows


# The real texts


@pytest.mark.skipif(not (REAL / "catalog.csv").is_file(), reason="the texts are not here")
def test_all_marks_of_known_works_are_in_their_texts() -> None:
    with (REAL / "catalog.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["source"] == "Project Gutenberg"]
    for row in rows:
        raw = (REAL / row["file"]).read_bytes()
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", errors="ignore")
        for name in RECIPES["gutenberg"][:4]:
            text = STEPS[name](text, document(""))
        if row["source_id"] in known_spans():
            assert keep_spans(text, known_spans()[row["source_id"]], row["source_id"])
