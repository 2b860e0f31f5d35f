"""Iterative data smoothing: a reward model corrects the answers that it learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.reward import RewardModel
from progressgym.values.vector import sigmoid

from .lifelong import LifelongRLHF
from .temporal import Aim


@register("algorithm", "data-smoothing")
class DataSmoothing(LifelongRLHF):
    """RLHF whose reward model, after each pass over the answers, moves them towards its own view.

    Seen more than once, single labels are learnt by heart; smoothed ones are pulled towards what
    the other answers say. One pass is lifelong RLHF; each further one costs a reward model more.

    Args:
        passes: over the answers, each with new labels and from the last one's reward model.
        smoothing: weight of the model's view: y ← (1 − s)·y + s·σ(r̂(a) − r̂(b)).
        settings: see :class:`~.lifelong.LifelongRLHF`.

    References: Zhu, Jordan & Jiao, "Iterative Data Smoothing: Mitigating Reward Overfitting and
    Overoptimization in RLHF", 2024, algorithm 1.
    """

    def __init__(self, passes: int = 2, smoothing: float = 0.5, **settings: Any) -> None:
        super().__init__(**settings)
        self.passes = passes
        self.smoothing = smoothing

    def reward_model(self, answers: Sequence[Pair], aim: Aim) -> RewardModel:
        """Train, smooth, train on."""
        model = self.fit(answers, aim)
        for _ in range(self.passes - 1):
            answers = smoothed(answers, model.odds(answers).numpy(), self.smoothing)
            model = self.fit(answers, aim, start=model.model)
        return model


def smoothed(answers: Sequence[Pair], odds: np.ndarray, weight: float) -> list[Pair]:
    """Answers moved towards a model's view of them, given as log-odds in nats."""
    labels = np.array([pair.preference for pair in answers], dtype=float)
    labels = (1 - weight) * labels + weight * sigmoid(odds)
    return [pair.answered(float(p)) for pair, p in zip(answers, labels, strict=True)]
