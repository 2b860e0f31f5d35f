"""Passages, the split by work, and the balance between works."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from progressgym.corpora.passages import SMALLEST, cut
from progressgym.corpora.slicing import fraction, validation_works, word_limit

SENTENCE = "And the king said to them that he would not go with his men unto the sea."
WORKS = st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 10_000), max_size=20)


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_passages_are_whole_paragraphs_while_they_fit() -> None:
    paragraphs = [f"{SENTENCE} {SENTENCE} {number}." for number in range(20)]
    found = list(cut("\n\n".join(paragraphs), 100, words))
    assert [piece for text, _ in found for piece in text.split("\n\n")] == paragraphs
    assert all(SMALLEST <= len(text.split()) <= size <= 100 for text, size in found)


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    found = [text for text, _ in cut(" ".join([SENTENCE] * 40), 100, words)]
    assert len(found) > 5
    assert all(text.startswith("And") and text.endswith("sea.") for text in found)
    assert " ".join(found).count(SENTENCE) == 40


def test_a_sentence_that_never_ends_is_cut_between_words() -> None:
    endless = SENTENCE.replace(".", "") + " "
    found = list(cut(endless * 100, 90, words))
    assert all(size <= 90 for _, size in found)
    assert sum(len(text.split()) for text, _ in found) == 1700


def test_headings_foreign_paragraphs_and_leftovers_give_nothing() -> None:
    latin = "Gallia est omnis divisa in partes tres quarum unam incolunt Belgae aliam Aquitani " * 3
    body = "\n\n".join([SENTENCE + " " + SENTENCE] * 3)
    text = f"CHAPTER I\n\n{body}\n\n{latin}\n\n{body}"
    found = "\n\n".join(text for text, _ in cut(text, 110, words))
    assert "CHAPTER" not in found
    assert "Belgae" not in found
    assert list(cut(SENTENCE, 100, words)) == []
    assert list(cut("", 100, words)) == []


def test_lines_of_verse_stay() -> None:
    verse = "\n".join(
        ["Whan that Aprille with his shoures sote", "The droghte of Marche hath it"] * 6
    )
    assert [text for text, _ in cut(verse, 200, words)] == [verse]


@given(WORKS, st.floats(0.01, 0.5), st.integers(0, 5))
def test_whole_works_are_held_out_and_some_stay(sizes: dict, share: float, seed: int) -> None:
    chosen = validation_works(sizes, share, seed)
    assert chosen == validation_works(dict(reversed(sizes.items())), share, seed)
    assert chosen <= set(sizes)
    assert len(chosen) < len(sizes) or not sizes
    held = sum(sizes[work] for work in chosen)
    assert held <= (share + 0.35) * sum(sizes.values())


def test_the_seed_decides_the_split() -> None:
    sizes = {f"w{number}": 100 for number in range(20)}
    assert len({frozenset(validation_works(sizes, 0.1, seed)) for seed in range(6)}) > 2
    assert {len(validation_works(sizes, 0.1, seed)) for seed in range(6)} == {2}


@given(WORKS.filter(bool), st.floats(0.05, 1))
def test_no_work_has_more_than_its_share(sizes: dict, share: float) -> None:
    limit = word_limit(sizes, share)
    kept = {work: min(size, limit) for work, size in sizes.items()}
    allowed = max(share, min(1, 2 / len(sizes)))
    assert max(kept.values()) <= allowed * sum(kept.values()) * (1 + 1e-9)
    assert max(sizes.values()) >= limit > 0


def test_nothing_is_cut_where_all_are_equal() -> None:
    assert word_limit(dict.fromkeys("abcdefgh", 70), 0.25) == 70


def test_one_giant_among_many_is_cut_to_its_share() -> None:
    sizes = {"giant": 1_000_000} | {f"w{number}": 100 for number in range(30)}
    assert word_limit(sizes, 0.25) == pytest.approx(1000)


@given(st.integers(), st.text())
def test_fractions_lie_between_0_and_1_and_repeat(seed: int, name: str) -> None:
    assert 0 <= fraction(seed, name) < 1
    assert fraction(seed, name) == fraction(seed, name)
    assert fraction(seed, name) != fraction(seed + 1, name)
