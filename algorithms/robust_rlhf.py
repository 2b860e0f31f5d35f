"""RLHF that takes some answers for mistakes."""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch import Tensor, nn

from progressgym.errors import UsageError
from progressgym.registry import register
from progressgym.training.pairs import Batch

from .lifelong import LifelongRLHF


@register("algorithm", "robust-rlhf")
class RobustRLHF(LifelongRLHF):
    """RLHF whose reward model may correct any answer, at a price.

    An answer that the model finds unlikely is explained by a correction δ ≥ 0 of its own instead of
    by the rewards: minimised is −log σ(r̂(won) − r̂(lost) + δ) + λ·δ over both. The best δ is known,
    max(0, log(1/λ − 1) − r̂(won) + r̂(lost)), and with it the loss is logistic down to the point
    where its slope is λ and straight from there: no answer pulls harder than λ. With λ = 1 nothing
    is corrected, and it is lifelong RLHF.

    The humans here make no mistakes: their labels are drawn from exactly the model that plain
    likelihood assumes. What is measured is the price of the caution.

    Args:
        price: λ, above 0 and at most 1.
        settings: see :class:`~.lifelong.LifelongRLHF`.

    Raises:
        UsageError: a price outside (0, 1].

    References: Bukharin et al., "Robust Reinforcement Learning from Corrupted Human Feedback",
    2024, section 3 (perturbations with an ℓ1 penalty; their closed form).
    """

    def __init__(self, price: float = 0.7, **settings: Any) -> None:
        super().__init__(**settings)
        if not 0 < price <= 1:
            raise UsageError(f"price={price}: expected above 0 and at most 1.")
        self.price = price

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """With each answer's best correction, expected over the answer."""

        def corrected(margin: Tensor) -> Tensor:
            correction = corrections(margin.detach(), self.price)
            return -nn.functional.logsigmoid(margin + correction) + self.price * correction

        return batch.expected(lambda won, lost: corrected(beta * won.over(lost)))


def corrections(margin: Tensor, price: float) -> Tensor:
    """The best δ for log-odds that a model gives to answers, both in nats."""
    if price == 1:
        return torch.zeros_like(margin)
    return (log(1 / price - 1) - margin).clamp(min=0)
