"""Elastic weight consolidation: what mattered for yesterday's answers is hard to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from progressgym.models.backbone import Weights
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.dpo import DPOSettings, Penalty, train_dpo
from progressgym.training.fisher import fisher_diagonal

from .memory import Remembering
from .temporal import Aim


@register("algorithm", "ewc")
class EWC(Remembering):
    """Lifelong DPO with a quadratic penalty on the weights that earlier answers depend on.

    L(θ) = L_today(θ) + λ/2 · Σ_i F_i (θ_i − θ*_i)², with θ* the policy that training starts from
    and F the diagonal of its Fisher information about the questions of the last eras. F is computed
    anew from the remembered questions, not stored.

    With the whole of the Fisher matrix, λ = 1 would be the Bayesian posterior: an answer of
    yesterday counts as much as one of today. The diagonal leaves out that an adapter's weights move
    together: what an era moves costs some 7,000 times too little (docs/zoo.md). The default makes
    up for that.

    Args:
        strength: λ; with 0 it is lifelong DPO.
        eras: how many of the last eras are consolidated.
        settings: see :class:`~.temporal.Temporal`.

    References: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", 2017,
    eq. 3.
    """

    def __init__(self, strength: float = 1e4, eras: int = 1, **settings: Any) -> None:
        super().__init__(**settings)
        self.strength = strength
        self.eras = eras

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """DPO with the penalty."""
        settings = DPOSettings(aim.beta, self.learning_rate, self.epochs, self.batch, aim.seed)
        extra = self.penalty(aim, len(answers))
        self.curves["loss"] = train_dpo(
            self.policy, aim.reference, answers, settings, penalty=extra
        )

    def penalty(self, aim: Aim, answers: int) -> Penalty | None:
        """The penalty beside a loss that is a mean of this many answers; None without a past."""
        known = [pair for era in self.past[-self.eras :] for pair in era]
        if not self.strength or not known:
            return None
        start = self.policy.copy()
        fisher = fisher_diagonal(start, aim.reference, aim.beta, known, aim.seed)
        weight = self.strength * len(known) / answers
        return lambda weights: weight / 2 * distance(weights, start.weights, fisher)


def distance(weights: Mapping[str, Tensor], start: Weights, fisher: Weights) -> Tensor:
    """Σ_i F_i (θ_i − θ*_i)² in nats, differentiable with respect to the weights."""
    parts = [(fisher[name] * (weights[name] - start[name]) ** 2).sum() for name in start]
    return torch.stack(parts).sum()
