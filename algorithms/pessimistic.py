"""Pessimistic rewards: a lower bound from how well the answers cover a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.pairs import state_contrasts
from progressgym.training.reward import RewardModel, Rewards

from .lifelong import LifelongRLHF
from .reward_ensemble import cautious
from .temporal import Aim


@register("algorithm", "pessimistic")
class Pessimistic(LifelongRLHF):
    """RLHF on the least reward that the answers leave possible.

    The reward is the maximum-likelihood one. How far it may be wrong about a question is said by
    the covariance Σ of what was asked: d̂ ± c·‖φ(a) − φ(b)‖ in the norm of (n·Σ + λ·I)⁻¹, with φ the
    reference's last state after the response. Those are the features of the reward heads in use;
    our reward model is a language model, of whose tangents they are a part only. The bound is taken
    for each question, which is lower than for their mean, over the free vector v: what yesterday's
    policy gets; see :func:`~.reward_ensemble.cautious`. With c = 0 it is lifelong RLHF.

    Args:
        pessimism: c, in standard errors of a logistic regression on φ at p = ½ (twice the norm).
        ridge: λ / n, in units of the mean eigenvalue of Σ.
        settings: see :class:`~.lifelong.LifelongRLHF`.

    References: Zhu, Jiao & Jordan, "Principled Reinforcement Learning with Human Feedback from
    Pairwise or K-wise Comparisons", 2023, algorithm 1 (pessimistic MLE).
    """

    def __init__(self, pessimism: float = 0.5, ridge: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.pessimism = pessimism
        self.ridge = ridge

    def reward_model(self, answers: Sequence[Pair], aim: Aim) -> LowerBound:
        """The maximum-likelihood reward, and what its features cover."""
        asked = state_contrasts(aim.reference, answers)
        covariance = asked.T @ asked
        covariance += self.ridge * covariance.trace() / len(covariance) * torch.eye(len(covariance))
        believed = RewardModel(self.policy, aim.reference, aim.beta)
        return LowerBound(self.fit(answers, aim), believed, covariance, self.pessimism)


@dataclass(frozen=True)
class LowerBound(Rewards):
    """A reward model, what was believed before it, n·Σ + λ·I and c."""

    model: RewardModel
    believed: RewardModel
    covariance: Tensor
    pessimism: float

    def rewards(self, pairs: Sequence[Pair]) -> Tensor:
        """Shape (pairs, 2), float64."""
        rewards = self.model.rewards(pairs).double()
        odds, margin = rewards[:, 0] - rewards[:, 1], self.pessimism * self.error(pairs)
        return cautious(rewards, self.believed.odds(pairs), odds - margin, odds + margin)

    def error(self, pairs: Sequence[Pair]) -> Tensor:
        """Standard error of each pair's log-odds in nats, shape (pairs,)."""
        features = state_contrasts(self.model.reference, pairs)
        solved = torch.linalg.solve(self.covariance, features.T)
        return 2 * (features * solved.T).sum(1).sqrt()
