"""Contrastive preference learning: preferences as regret, policies without a reward."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from progressgym.registry import register
from progressgym.training.pairs import Batch

from .lifelong import LifelongDPO


@register("algorithm", "contrastive-preference")
class ContrastivePreference(LifelongDPO):
    """The policy's own advantage explains the answers, with a bias towards what was seen.

    Under maximum entropy the advantage of a response is α·log π, under a KL to the reference it is
    α·log(π/π_ref), with β as α. The rejected response counts λ times, so that raising both costs
    less than lowering both. With ``kl`` and λ = 1 this is DPO.

    Args:
        bias: λ, in 0 … 1.
        regularizer: which of the two; the humans here prefer relative to a base model, so that
            maximum entropy explains their answers wrongly.
        settings: see :class:`~.temporal.Temporal`.

    References: Hejna et al., "Contrastive Preference Learning: Learning from Human Feedback without
    RL", 2023, eq. 5 and its conservative bias.
    """

    def __init__(
        self, bias: float = 0.5, regularizer: Literal["kl", "entropy"] = "kl", **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.bias = bias
        self.regularizer = regularizer

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """−log σ(A(preferred) − λ·A(rejected))."""
        advantage = "ratio" if self.regularizer == "kl" else "logprob"
        return batch.expected(
            lambda won, lost: (
                -nn.functional.logsigmoid(
                    beta * (getattr(won, advantage) - self.bias * getattr(lost, advantage))
                )
            )
        )
