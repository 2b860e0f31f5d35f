"""Averages of weights: over the trainings of one era, and over eras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from progressgym.challenge import Observation
from progressgym.human import Human
from progressgym.models import Policy
from progressgym.models.backbone import Weights
from progressgym.pairs import Pair
from progressgym.registry import register

from .lifelong import LifelongDPO
from .temporal import Aim


@register("algorithm", "weight-average")
class WeightAverage(LifelongDPO):
    """Lifelong DPO, several times in each era, of which the weights are averaged.

    All trainings start from the same policy and read the same answers in different orders: what is
    averaged away is the noise of the optimizer, not that of the answers.

    Args:
        trainings: how many.
        settings: see :class:`~.temporal.Temporal`.

    References: Wortsman et al., "Model soups", 2022 (uniform soup, section 2).
    """

    def __init__(self, trainings: int = 3, **settings: Any) -> None:
        super().__init__(**settings)
        self.trainings = trainings

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """DPO in several orders."""
        start, ends = self.policy, []
        for number in range(self.trainings):
            self.policy = start.copy()
            super().learn(answers, replace(aim, seed=(aim.seed + number) % 2**31))
            ends.append(self.policy.weights)
        self.policy = start
        self.policy.weights = mean_weights(ends, [1 / len(ends)] * len(ends))


@register("algorithm", "ema")
class EMA(LifelongDPO):
    """Lifelong DPO whose policy is an exponential moving average of the weights over eras.

    θ̄_t = (1 − μ)·θ̄_{t−1} + μ·θ_t: training goes on from θ, scored is θ̄, which is less noisy and
    lags behind. With μ = 1 it is lifelong DPO. The average begins at the initial policy.

    Args:
        rate: μ.
        settings: see :class:`~.temporal.Temporal`.

    References: Ramé et al., "WARP: On the benefits of weight averaged rewarded policies", 2024,
    eq. (EMA); there over optimizer steps, here over eras.
    """

    def __init__(self, rate: float = 0.7, **settings: Any) -> None:
        super().__init__(**settings)
        self.rate = rate

    def update(self, observation: Observation, human: Human) -> Policy:
        """Go on from the last training, and average."""
        average = self.policy
        self.policy = self.models.get("latest", average)
        latest = self.models["latest"] = super().update(observation, human)
        self.policy = latest.copy()
        self.policy.weights = mean_weights(
            [average.weights, latest.weights], [1 - self.rate, self.rate]
        )
        return self.policy


def mean_weights(adapters: Sequence[Weights], shares: Sequence[float]) -> Weights:
    """Weighted mean of adapters, factor by factor: they began alike, so their factors match."""
    return {
        name: torch.stack([s * a[name] for s, a in zip(shares, adapters, strict=True)]).sum(0)
        for name in adapters[0]
    }
