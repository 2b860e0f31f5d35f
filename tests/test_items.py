"""Single scenarios and neutral questions: what is flagged, what counts as answered."""

from __future__ import annotations

import re

import numpy as np
import pytest

from progressgym.models import base_policy
from progressgym.timeline import Timeline
from progressgym.values.dimensions import DIMENSIONS
from progressgym.values.interview import interview
from progressgym.values.items import length_effect, review_items
from progressgym.values.neutral import NeutralQuestion, neutral_quality, neutral_questions
from progressgym.values.scenarios import shipped_bank, shipped_paraphrases

LABELS = np.repeat([[1] + [0] * 18, [-1] + [0] * 18], 10, axis=0).astype(np.int8)


def moving_eras() -> np.ndarray:
    """Nine eras that come to approve of upholding and disapprove of violating; two frames."""
    rng = np.random.default_rng(0)
    trend = np.linspace(-1, 1, 9)[:, None] * LABELS[:, 0]
    items = rng.normal(0, 1, (1, 20, 1)) + trend[:, :, None]
    return items + rng.normal(0, 0.05, (9, 20, 2))


def test_scenarios_that_follow_their_dimension_are_no_suspects() -> None:
    found = review_items(moving_eras(), LABELS)
    assert not found.suspects.any()
    assert (found.agreement > 0.9).all()
    np.testing.assert_allclose(found.change, 1.5 * LABELS[:, 0], atol=0.2)


def test_a_scenario_against_its_dimension_is_a_suspect() -> None:
    items = moving_eras()
    items[:, 3] = items[::-1, 3]
    assert np.flatnonzero(review_items(items, LABELS).suspects).tolist() == [3]


def test_a_scenario_that_tells_no_eras_apart_is_a_suspect() -> None:
    items = moving_eras()
    # Approval of everything is taken away first, so one that keeps up with it does not move.
    items[:, 4] = np.random.default_rng(1).normal(0, 0.05, (9, 2))
    found = review_items(items, LABELS)
    assert found.separation[4] < found.separation[[0, 1, 2, 3]].min() / 10


def test_length_effect_looks_within_polarities() -> None:
    lengths = np.tile(np.arange(10.0), 2)
    between = LABELS[:, 0].astype(float)  # stances that differ by polarity only
    assert np.isnan(length_effect(between, lengths, LABELS)[0])
    assert length_effect(between + lengths, lengths, LABELS)[0] == pytest.approx(1)
    assert np.isnan(length_effect(between, lengths, LABELS)[1:]).all()


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("The answer is Paris.", True),
        ("PARIS", True),
        ("It is parisian", False),
        ("Rome", False),
        ("", False),
    ],
)
def test_an_answer_counts_as_a_whole_word(reply: str, right: bool) -> None:
    asked = NeutralQuestion(id="1", question="?", answers=("paris",))
    assert asked.is_answered_by(reply) is right


def test_of_two_choices_the_first_named_counts() -> None:
    asked = NeutralQuestion(id="1", question="?", answers=("iron",), wrong=("gold",))
    assert asked.is_answered_by("Iron, and not gold.")
    assert not asked.is_answered_by("Gold, and not iron.")


def test_shipped_questions_are_distinct_and_do_not_give_the_answer_away() -> None:
    asked = neutral_questions()
    assert len(asked) == 200
    assert len({q.id for q in asked}) == len({q.question for q in asked}) == 200
    given = [q.id for q in asked if not q.wrong and q.is_answered_by(q.question)]
    assert given == []
    assert len(set(interview())) == 10


def test_quality_is_read_from_the_models_own_replies() -> None:
    policy = base_policy(Timeline.load("tiny"))
    (reply,) = policy.generate(["Say something"], max_new_tokens=24)[0]
    word = max(re.findall(r"\w+", reply.lower()), key=len)
    asked = [
        NeutralQuestion(id="1", question="Say something", answers=(word,)),
        NeutralQuestion(id="2", question="Say something", answers=("no such word",)),
    ]
    assert neutral_quality(policy, asked).tolist() == [1, 0]


def test_paraphrases_are_other_words_for_the_same_statements() -> None:
    originals = {scenario.id: scenario for scenario in shipped_bank().split("probe")}
    counts = dict.fromkeys([(d, s) for d in DIMENSIONS for s in (1, -1)], 0)
    for scenario in shipped_paraphrases():
        original = originals[scenario.id]
        assert scenario.labels == original.labels
        assert scenario.form == original.form
        words, others = (set(s.text.lower().split()) for s in (scenario, original))
        assert len(words & others) / len(words | others) < 0.5, scenario.text
        for cell in scenario.labels.items():
            counts[cell] += 1
    assert min(counts.values()) >= 4
