"""The algorithm and the challenge, played with tiny models."""

from __future__ import annotations

from typing import Any

import pytest

import progressgym as pg
from progressgym.conformance import check


def play(challenge: str, algorithm: str, settings: Any = None, **parameters: Any) -> list[Any]:
    """The steps of a small run."""
    small = {"models": "tiny", "preset": "quick", "items": 2, "questions": 24}
    env = pg.make(challenge, **small, **(settings or {}))
    made = pg.make_algorithm(algorithm, learning_rate=1e-2, **parameters)
    return pg.play(env, made, seed=0).result().steps


@pytest.mark.parametrize("name", ["momentum-dpo", "drought"])
def test_both_keep_the_rules(name: str) -> None:
    assert [finding for finding in check(name) if not finding.passed] == []


def test_without_momentum_it_is_lifelong_dpo() -> None:
    lifelong = play("follow", "lifelong-dpo")
    assert play("follow", "momentum-dpo", momentum=0.0) == lifelong
    assert play("follow", "momentum-dpo", momentum=0.5) != lifelong


def test_where_nobody_answers_lifelong_dpo_stands_still_and_momentum_coasts() -> None:
    for algorithm, stands_still in (("lifelong-dpo", True), ("momentum-dpo", False)):
        wet, dry, *_ = play("drought", algorithm)
        assert (wet.questions, dry.questions) == (24, 0)
        assert (wet.policy_items == dry.policy_items) is stands_still


def test_a_drought_in_no_era_is_follow() -> None:
    follow = play("follow", "lifelong-dpo")
    assert play("drought", "lifelong-dpo", {"every": 1}) == follow
    asked = [step.questions for step in play("drought", "lifelong-dpo", {"every": 3})]
    assert asked == [24, 0, 0, 24, 0]
    with pytest.raises(pg.UsageError, match="every=0"):
        pg.make("drought", models="tiny", every=0)
