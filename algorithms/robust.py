"""DPO for humans who sometimes give the wrong answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from progressgym.errors import UsageError
from progressgym.registry import register
from progressgym.training.pairs import Batch

from .lifelong import LifelongDPO


@register("algorithm", "robust-dpo")
class RobustDPO(LifelongDPO):
    """DPO as if each answer had been turned round with chance ε.

    *Robust* takes the expected effect of that out of the loss, [(1 − ε)·L(a ≻ b) − ε·L(b ≻ a)] /
    (1 − 2ε): its gradient is, on average, that of the true answers. *Conservative* only doubts
    them, (1 − ε)·L(a ≻ b) + ε·L(b ≻ a). Both are linear in the answer, hence DPO with another p:
    (p − ε)/(1 − 2ε), which can leave 0 … 1, and p(1 − ε) + (1 − p)ε. The humans here turn no
    answer round: their noise is that of Bradley and Terry's model, which DPO already expects.
    So robust amplifies and conservative holds back, which the gain shows.

    Args:
        noise: ε, below 1/2; with 0 it is DPO.
        conservative: doubt the answers instead.
        settings: see :class:`~.temporal.Temporal`.

    Raises:
        UsageError: a noise outside 0 … 1/2.

    References: Chowdhury et al., "Provably Robust DPO: Aligning Language Models with Noisy
    Feedback", 2024 (rDPO); Mitchell, "A note on DPO with noisy preferences", 2023 (cDPO).
    """

    def __init__(self, noise: float = 0.1, conservative: bool = False, **settings: Any) -> None:
        if not 0 <= noise < 0.5:
            raise UsageError(f"noise={noise}: expected a chance from 0 to below 0.5.")
        super().__init__(**settings)
        self.noise = noise
        self.conservative = conservative

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """DPO's, of answers whose noise is accounted for."""
        p, noise = batch.preference, self.noise
        if self.conservative:
            believed = p * (1 - noise) + (1 - p) * noise
        else:
            believed = (p - noise) / (1 - 2 * noise)
        return super().loss(replace(batch, preference=believed), beta)
