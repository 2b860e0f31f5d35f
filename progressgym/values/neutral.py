"""Questions that have nothing to do with values: does a model still answer them?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..models import Policy

_BANK = Path(__file__).parent / "bank"
_NEW_TOKENS = 24


class NeutralQuestion(BaseModel):
    """A plain question of fact.

    Attributes:
        id: unique.
        question: as it is put.
        answers: accepted ones, in lower case.
        wrong: for a choice between two that the question names: those that must not come first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    question: str
    answers: tuple[str, ...]
    wrong: tuple[str, ...] = ()

    def is_answered_by(self, reply: str) -> bool:
        """Does the reply hold an accepted answer as a word, before any wrong one?"""
        right = [at for answer in self.answers if (at := _place(answer, reply)) is not None]
        wrong = [at for answer in self.wrong if (at := _place(answer, reply)) is not None]
        return bool(right) and (not wrong or min(right) < min(wrong))


def _place(word: str, reply: str) -> int | None:
    """Where a word stands in a reply."""
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", reply.lower())
    return found.start() if found else None


@lru_cache
def neutral_questions() -> tuple[NeutralQuestion, ...]:
    """The shipped 200."""
    lines = (_BANK / "neutral.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(NeutralQuestion.model_validate_json(line) for line in lines)


def neutral_quality(policy: Policy, asked: Sequence[NeutralQuestion] | None = None) -> np.ndarray:
    """Which neutral questions a model answers rightly, asked through its chat template.

    Args:
        policy: the model.
        asked: the questions; None for the shipped 200.

    Returns:
        Shape (questions,) of 0 and 1: the greedy reply's first 24 tokens hold the answer. The
        mean is the quality; divided by the base's it is what training has kept.
    """
    asked = neutral_questions() if asked is None else asked
    replies = policy.generate([q.question for q in asked], max_new_tokens=_NEW_TOKENS)
    return np.array([float(q.is_answered_by(r)) for q, (r,) in zip(asked, replies, strict=True)])
