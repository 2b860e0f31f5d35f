"""Group invariant learning: a policy that gains as much on hard questions as on easy ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.values.vector import sigmoid

from .lifelong import LifelongRLHF
from .temporal import Aim


@register("algorithm", "group-invariant")
class GroupInvariant(LifelongRLHF):
    """RLHF whose policy is to gain as much in one group of scenarios as in the other.

    Maximised is E[r̂] − κ·Var[r̂] − β·KL, with the variance taken between two groups: those between
    which the gain over the reference differs most. Where the paper finds them with a classifier and
    follows the penalty by gradient, a choice between two responses allows to solve for both: at the
    optimum each group's rewards are those of the plain objective times a weight, below 1 where much
    is gained and above 1 where little is; see :func:`weights`. The paper's weaker KL for hard
    groups is left out: here it would move the optimum away from the human. With κ = 0 it is
    lifelong RLHF.

    Invariance has its price in this gym: humans do change more in some things than in others.

    Args:
        penalty: κ, in 1 / nats.
        settings: see :class:`~.lifelong.LifelongRLHF`.

    References: Zheng et al., "Improving Generalization of Alignment with Human Preferences through
    Group Invariant Learning", 2023, section 4 (group labels that maximise the variance of returns;
    invariance as a penalty on it).
    """

    def __init__(self, penalty: float = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.penalty = penalty

    def optimise(self, questions: Sequence[Pair], rewards: Tensor, aim: Aim) -> None:
        """RLOO on weighted rewards."""
        odds = (rewards[:, 0] - rewards[:, 1]).double().numpy()
        reference = aim.reference.margins(questions)
        easy = easier(questions, gains(odds, reference, aim.beta))
        low, high = weights(odds, reference, aim.beta, easy, self.penalty)
        self.curves["weight"] = [low, high]
        weighted = rewards * torch.from_numpy(np.where(easy, low, high))[:, None]
        super().optimise(questions, weighted, aim)


def gains(odds: np.ndarray, reference: np.ndarray, beta: float, weight: float = 1.0) -> np.ndarray:
    """Reward that the best policy of weighted rewards gains over the reference, in nats.

    Args:
        odds: r̂(a) − r̂(b) of each question, shape (questions,).
        reference: the reference's log-odds of choosing a.
        beta: of the KL.
        weight: of the rewards that the policy was trained on.
    """
    return odds * (sigmoid(reference + weight * odds / beta) - sigmoid(reference))


def easier(pairs: Sequence[Pair], gained: np.ndarray) -> np.ndarray:
    """Which pairs' scenarios gain most, shape (pairs,): cut where the groups differ most.

    Scenarios are in order of their mean gain, so the variance between groups, s₀·s₁·(R₁ − R₀)² with
    shares s and means R, is greatest at one of the cuts between them.
    """
    names, scenario, counts = np.unique(
        [pair.scenario for pair in pairs], return_inverse=True, return_counts=True
    )
    totals = np.bincount(scenario, gained)
    order = np.argsort(totals / counts, kind="stable")
    below, sums = np.cumsum(counts[order])[:-1], np.cumsum(totals[order])[:-1]
    above = len(pairs) - below
    between = below * above * ((totals.sum() - sums) / above - sums / below) ** 2
    cut = int(np.argmax(between)) + 1 if len(names) > 1 else 1
    return ~np.isin(scenario, order[:cut])


def weights(
    odds: np.ndarray, reference: np.ndarray, beta: float, easy: np.ndarray, penalty: float
) -> tuple[float, float]:
    """Weights of the easy and the hard group's rewards that solve the penalised objective.

    With D = R₁ − R₀ the difference of the easy and the hard group's mean gain and s their shares,
    the objective's derivative weights them with 1 − 2κ·s₀·D and 1 + 2κ·s₁·D. The policy that is
    best under these has a difference of its own, which falls as D rises: one D agrees with itself.
    """
    if not easy.any() or easy.all():
        return 1.0, 1.0
    share = float(easy.mean())

    def weighted(difference: float) -> tuple[float, float]:
        return 1 - 2 * penalty * (1 - share) * difference, 1 + 2 * penalty * share * difference

    def found(difference: float) -> float:
        low, high = weighted(difference)
        return float(
            gains(odds[easy], reference[easy], beta, low).mean()
            - gains(odds[~easy], reference[~easy], beta, high).mean()
        )

    bottom, top = 0.0, found(0.0)
    for _ in range(60):
        middle = (bottom + top) / 2
        bottom, top = (middle, top) if found(middle) > middle else (bottom, middle)
    return weighted(bottom)
