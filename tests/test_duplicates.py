"""Near-duplicates: signatures estimate similarity, and what is kept does not depend on order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from progressgym.corpora import duplicates
from progressgym.corpora.duplicates import (
    SIMILAR,
    Candidate,
    find_duplicates,
    signature,
    similarity,
)

WORDS = [f"w{number}" for number in range(20_000)]


def text_of(*numbers: int) -> str:
    return " ".join(WORDS[number] for number in numbers)


def candidate(name: str, text: str, year: int = 1700, quality: float = 0.9) -> Candidate:
    return Candidate(name, year, quality, len(text.split()), signature(text))


def test_case_punctuation_and_spacing_do_not_count() -> None:
    assert signature("The King, he said: go!") == signature("the  king\nhe said go")


def test_a_signature_has_128_places_whatever_the_length() -> None:
    for text in ("", "one", "one two three", text_of(*range(3000))):
        assert len(signature(text)) == 1024


@pytest.mark.parametrize("changed", [0, 50, 200, 600])
def test_the_estimate_is_near_the_true_jaccard(changed: int) -> None:
    first = list(range(3000))
    second = [*range(3000 - changed), *range(10_000, 10_000 + changed)]
    shared = 2996 - changed if changed else 2996
    true = shared / (2 * 2996 - shared)
    assert similarity(signature(text_of(*first)), signature(text_of(*second))) == pytest.approx(
        true, abs=0.12
    )


def test_unlike_texts_hardly_agree() -> None:
    assert (
        similarity(signature(text_of(*range(3000))), signature(text_of(*range(9000, 12000)))) < 0.05
    )


def test_hashing_block_by_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(*range(1000))
    whole = signature(text)
    for size in (1, 7, 996, 1000):
        monkeypatch.setattr(duplicates, "_BLOCK", size)
        assert signature(text) == whole


def test_the_earlier_then_the_better_then_the_longer_is_kept(tmp_path: Path) -> None:
    text = text_of(*range(500))
    longer = text + " " + text_of(*range(600, 620))
    found = dict(
        find_duplicates(
            [
                candidate("late", text, year=1750),
                candidate("bad", text, quality=0.7),
                candidate("short", text),
                candidate("long", longer),
                candidate("other", text_of(*range(5000, 5500))),
            ],
            tmp_path / "scratch",
        )
    )
    assert found == {"late": "long", "bad": "long", "short": "long"}
    assert not (tmp_path / "scratch").exists()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 80)), max_size=8), st.randoms())
def test_the_result_does_not_depend_on_the_order(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[int, int]], rng: random.Random
) -> None:
    candidates = [
        candidate(f"d{number}", text_of(*range(1000 * base, 1000 * base + 300 + extra)))
        for number, (base, extra) in enumerate(made)
    ]
    scratch = tmp_path_factory.mktemp("order") / "scratch"
    before = sorted(find_duplicates(candidates, scratch))
    rng.shuffle(candidates)
    assert sorted(find_duplicates(candidates, scratch)) == before
    signatures = {c.name: c.signature for c in candidates}
    for gone, kept in before:
        assert similarity(signatures[gone], signatures[kept]) >= SIMILAR
        assert kept not in dict(before)
