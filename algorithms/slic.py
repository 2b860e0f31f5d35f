"""Calibration of likelihoods: the preferred response must be likelier by a margin."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from progressgym.registry import register
from progressgym.training.pairs import Batch

from .lifelong import LifelongDPO


@register("algorithm", "slic")
class SLiC(LifelongDPO):
    """A hinge: nothing is learnt where the preferred response leads by enough.

    Likelihoods are taken relative to the reference, as the human's are (Liu et al., "Statistical
    Rejection Sampling Improves Preference Optimization", 2024; TRL's loss type ``hinge``). Within
    the margin the expected loss is linear in p: it learns who has the majority, not how large it
    is.

    Args:
        margin: δ, by which to lead, in nats of log-odds.
        regularizer: λ, weight of the cross-entropy on the preferred response.
        settings: see :class:`~.temporal.Temporal`.

    References: Zhao et al., "SLiC-HF: Sequence Likelihood Calibration with Human Feedback", 2023.
    """

    def __init__(self, margin: float = 1.0, regularizer: float = 0.01, **settings: Any) -> None:
        super().__init__(**settings)
        self.margin = margin
        self.regularizer = regularizer

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """max(0, δ − β·lead) − λ·log π(preferred)."""
        return batch.expected(
            lambda won, lost: (
                (self.margin - beta * won.over(lost)).relu() - self.regularizer * won.logprob
            )
        )
