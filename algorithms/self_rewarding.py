"""Self-rewarding: the policy answers further questions itself and learns from that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from progressgym.errors import UsageError
from progressgym.pairs import Pair
from progressgym.registry import register

from .lifelong import LifelongDPO
from .online import unasked
from .temporal import Aim


@register("algorithm", "self-rewarding")
class SelfRewarding(LifelongDPO):
    """DPO on the human's answers, then on the policy's own to questions that nobody asked.

    The judge is the policy's implicit reward β·log(π/π_ref) after the human's answers. Where it is
    most decided, its decision becomes a label; its probability would teach nothing, being its
    own. No question of the budget is spent on that. What it believes is made stronger: the gain
    shows how much.

    Args:
        share: questions that it answers itself, for each that the human answered.
        candidates: questions that are looked at for each that is answered.
        settings: see :class:`~.temporal.Temporal`.

    Raises:
        UsageError: a negative share, or less than one candidate.

    References: Yuan et al., "Self-Rewarding Language Models", 2024, section 2.4; Rafailov et al.,
    "From r to Q*", 2024 (the implicit reward as judge).
    """

    def __init__(self, share: float = 0.25, candidates: int = 4, **settings: Any) -> None:
        if share < 0 or candidates < 1:
            raise UsageError(f"share={share}, candidates={candidates}: expected 0 and 1 or more.")
        super().__init__(**settings)
        self.share = share
        self.candidates = candidates

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """The given answers, then its own."""
        super().learn(answers, aim)
        curve = self.curves["loss"]
        own = self.judged(answers, aim)
        if own:
            super().learn(own, aim)
            self.curves["loss"] = curve + self.curves["loss"]

    def judged(self, answers: Sequence[Pair], aim: Aim) -> list[Pair]:
        """Unasked questions with the policy's labels, where it is most decided."""
        count = round(self.share * len(answers))
        rng = np.random.default_rng(aim.seed)
        fresh = unasked(aim.human, answers, rng)[: count * self.candidates]
        if not fresh:
            return []
        odds = aim.implied(self.policy, fresh)
        decided = np.argsort(-np.abs(odds), kind="stable")[:count]
        return [fresh[i].answered(float(odds[i] > 0)) for i in sorted(decided)]
