"""Algorithms that remember what earlier eras answered: elastic weight consolidation and replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from progressgym.models import Policy
from progressgym.pairs import Pair

from .lifelong import LifelongDPO
from .temporal import Aim


class Remembering(LifelongDPO):
    """Lifelong DPO with a memory of earlier answers. Write :meth:`learn`.

    Attributes:
        past: the answers of earlier eras, the latest last; today's are added after the update.
    """

    past: list[list[Pair]]

    def reset(self, policy: Policy, seed: int = 0) -> None:
        """Start a run that remembers nothing."""
        super().reset(policy, seed)
        self.past = []

    def align(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Learn today's answers with those of earlier eras in mind, and remember them."""
        super().align(answers, aim)
        self.past.append(list(answers))

    def state(self) -> dict[str, Any]:
        """Preferences foreseen, and answers."""
        return {**super().state(), "past": [[asdict(pair) for pair in era] for era in self.past]}

    def restore(self, state: dict[str, Any], policy: Policy) -> None:
        """Continue with them."""
        super().restore(state, policy)
        self.past = [[Pair(**pair) for pair in era] for era in state["past"]]


def faded(eras: Sequence[Sequence[Pair]], decay: float, rng: np.random.Generator) -> list[Pair]:
    """Some answers of earlier eras, fewer of older ones.

    Args:
        eras: their answers, the latest last.
        decay: share of yesterday's that is drawn, of the day before yesterday's decay², and so on.
        rng: of the draw, without repetition; questions of one prompt are drawn together.
    """
    drawn: list[Pair] = []
    for age, era in enumerate(reversed(eras), start=1):
        prompts: dict[str, list[Pair]] = {}
        for pair in era:
            prompts.setdefault(pair.prompt, []).append(pair)
        groups = list(prompts.values())
        chosen = rng.permutation(len(groups))[: round(decay**age * len(groups))]
        drawn += [pair for i in chosen for pair in groups[i]]
    return drawn
