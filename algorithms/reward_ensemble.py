"""Several reward models instead of one: where they disagree, little is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.reward import RewardModel, Rewards

from .lifelong import LifelongRLHF
from .temporal import Aim


@register("algorithm", "reward-ensemble")
class RewardEnsemble(LifelongRLHF):
    """RLHF on the rewards of several models, each with answers and a seed of its own.

    Each member learns from a share of the prompts, drawn at random, in batches that are smaller by
    as much: all take as many steps, and four halves cost as much as two reward models.

    In a choice between two responses a penalty that both bear cancels, so what is judged by its
    worst case is not a response but the choice: what moving away from yesterday's policy gains.
    See :func:`cautious`. A member's reward is within bounds

    - ``mean``: of the members' mean μ,
    - ``worst-case``: of the lowest and the highest member,
    - ``uncertainty-weighted``: of μ ± ``penalty`` · the members' variance.

    Args:
        combine: how the members speak as one.
        members: how many.
        share: of the prompts that each learns from, above 0 and at most 1.
        penalty: λ, nats of log-odds for each unit of variance (nats²).
        settings: see :class:`~.lifelong.LifelongRLHF`.

    References: Coste et al., "Reward Model Ensembles Help Mitigate Overoptimization", 2023,
    section 3 (mean, worst-case and uncertainty-weighted optimisation).
    """

    def __init__(
        self,
        combine: Literal["mean", "worst-case", "uncertainty-weighted"] = "worst-case",
        members: int = 4,
        share: float = 0.5,
        penalty: float = 0.5,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.combine = combine
        self.members = members
        self.share = share
        self.penalty = penalty

    def reward_model(self, answers: Sequence[Pair], aim: Aim) -> Ensemble:
        """All members, each trained on its own part of the answers."""
        batch = max(1, round(self.share * self.batch))
        members = []
        for number in range(self.members):
            own = replace(aim, seed=aim.seed + number)
            part = some_prompts(answers, self.share, np.random.default_rng(own.seed))
            members.append(self.fit(part, own, f"reward-{number}", batch=batch))
        believed = RewardModel(self.policy, aim.reference, aim.beta)
        return Ensemble(members, believed, self.combine, self.penalty)


@dataclass(frozen=True)
class Ensemble(Rewards):
    """Members' rewards as one; attributes as in :class:`RewardEnsemble`."""

    members: Sequence[RewardModel]
    believed: RewardModel
    combine: str
    penalty: float

    def rewards(self, pairs: Sequence[Pair]) -> Tensor:
        """Shape (pairs, 2), float64."""
        each = torch.stack([member.rewards(pairs).double() for member in self.members])
        mean, odds = each.mean(0), each[:, :, 0] - each[:, :, 1]
        low = high = mean[:, 0] - mean[:, 1]
        if self.combine == "worst-case":
            low, high = odds.amin(0), odds.amax(0)
        elif self.combine == "uncertainty-weighted":
            margin = self.penalty * odds.var(0, correction=0)
            low, high = low - margin, high + margin
        return cautious(mean, self.believed.odds(pairs), low, high)


def cautious(rewards: Tensor, believed: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Rewards whose log-odds are as near to what was believed as the bounds allow.

    That is what a policy does which maximises the least of what it may gain over yesterday's:
    max_π min_{low ≤ d ≤ high} (π(a) − π_yesterday(a))·d − β·KL(π ‖ π_ref), where yesterday's policy
    is the optimum of the log-odds ``believed``. Inside the bounds staying is best: what is not
    certain remains as it was.

    Args:
        rewards: of first and second response, shape (pairs, 2), float64.
        believed: log-odds that the policy implies before the update, shape (pairs,).
        low: least log-odds, shape (pairs,).
        high: greatest log-odds, shape (pairs,).

    Returns:
        Shape (pairs, 2).
    """
    first, second = rewards.T
    shift = believed.clamp(low, high) - (first - second)
    return torch.stack([first + shift, second], dim=1)


def some_prompts(answers: Sequence[Pair], share: float, rng: np.random.Generator) -> Sequence[Pair]:
    """The answers to a share of the prompts, at least one, in their old order."""
    prompts = list(dict.fromkeys(pair.prompt for pair in answers))
    count = max(1, round(share * len(prompts)))
    if count == len(prompts):
        return answers
    kept = {prompts[i] for i in rng.permutation(len(prompts))[:count]}
    return [pair for pair in answers if pair.prompt in kept]
