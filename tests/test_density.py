"""Choosing the passages that speak of what ought to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from progressgym.passages import Passage
from progressgym.training.density import densest, value_density


def passage(text: str, work: str = "w") -> Passage:
    return Passage("C013", work, 1250, text)


def test_density_is_a_share_of_words_whatever_their_case() -> None:
    assert value_density("It is our DUTY; to obey the Law!") == pytest.approx(3 / 8)
    assert value_density("") == 0
    assert value_density("1250, 1260") == 0
    assert value_density("vertue and synne") == pytest.approx(2 / 3)


def test_the_richest_of_each_work_stay_in_their_order() -> None:
    texts = ["a ship sailed", "sin and mercy", "the wind rose", "law, duty, oath"]
    passages = [passage(text) for text in texts] + [passage("a poor man's ship", "other")]
    assert [p.text for p in densest(passages, 0.5)] == [texts[1], texts[3], "a poor man's ship"]
    assert densest(passages, 1) == passages


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=20)), max_size=30),
    st.floats(0.01, 1),
)
def test_every_work_keeps_something(made: list[tuple[str, str]], share: float) -> None:
    passages = [passage(text, work) for work, text in made]
    kept = densest(passages, share)
    assert {p.work for p in kept} == {p.work for p in passages}
    assert len(kept) <= len(passages)


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        densest([], share)
