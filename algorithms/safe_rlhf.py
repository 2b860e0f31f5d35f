"""Safe RLHF: as good as possible, within what some values allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np
from torch import Tensor

from progressgym.errors import UsageError, unknown_name
from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.reward import RewardModel, Rewards
from progressgym.values.dimensions import DIMENSIONS
from progressgym.values.scenarios import Instrument, shipped_bank
from progressgym.values.vector import sigmoid

from .group_invariant import gains
from .lifelong import LifelongRLHF
from .temporal import Aim


@register("algorithm", "safe-rlhf")
class SafeRLHF(LifelongRLHF):
    """A reward model of all answers, and a cost model of those that touch what is not negotiable.

    max E[R] − β·KL subject to J_C ≤ 0, by the Lagrangian: rewards are (R − λ·C) / (1 + λ) on the
    constrained questions, with C the cost model's reward, negated, and R elsewhere. J_C is the
    share of the cost model's own best gain that the policy forgoes, less ``limit``. The multiplier
    is updated as in the paper, ln λ ← ln λ + α·λ·J_C; but as the policy that is best under a λ is
    known for a choice between two responses, its J_C is computed instead of trained for,
    ``updates`` times in each era. λ goes on from era to era; from 0 it never rises, and that is
    lifelong RLHF.

    Both models are asked of the same human: a conflict between helpful and harmless, which the
    paper's two annotations have, can only come from what the reward model failed to learn.

    Args:
        constraints: value dimensions, separated by commas.
        limit: share of the cost model's gain that may be forgone.
        multiplier: λ at the start.
        multiplier_rate: α.
        updates: of λ in each era.
        settings: see :class:`~.lifelong.LifelongRLHF`.

    Raises:
        UsageError: an unknown dimension; in an update, questions of a bank that was not shipped.

    References: Dai et al., "Safe RLHF: Safe Reinforcement Learning from Human Feedback", 2023,
    section 3.3 (constrained objective) and appendix B.3 (update of the multiplier).
    """

    def __init__(
        self,
        constraints: str = "cause_death,inflict_pain,restrict_freedom",
        limit: float = 0.1,
        multiplier: float = 1.0,
        multiplier_rate: float = 0.5,
        updates: int = 50,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.constraints = constraints
        for name in self._constrained:
            if name not in DIMENSIONS:
                raise unknown_name("value dimension", name, DIMENSIONS)
        self.limit = limit
        self.multiplier = multiplier
        self.multiplier_rate = multiplier_rate
        self.updates = updates

    @property
    def _constrained(self) -> frozenset[str]:
        return frozenset(name.strip() for name in self.constraints.split(","))

    def reset(self, policy: Policy, seed: int = 0) -> None:
        """Start a run with the first multiplier."""
        super().reset(policy, seed)
        self.current = self.multiplier

    def reward_model(self, answers: Sequence[Pair], aim: Aim) -> SafeReward:
        """Reward and cost models, and the multiplier that the constraint needs."""
        reward = self.fit(answers, aim)
        guarded = [pair for pair in answers if touches(pair, self._constrained)]
        if not guarded:
            return SafeReward(reward, None, 0.0, self._constrained)
        cost = self.fit(guarded, aim, "cost")
        self.current = solve(
            reward.odds(guarded).numpy(), cost.odds(guarded).numpy(),
            aim.reference.margins(guarded), aim.beta,
            self.limit, self.current, self.multiplier_rate, self.updates,
        )  # fmt: skip
        self.curves["multiplier"] = [self.current]
        return SafeReward(reward, cost, self.current, self._constrained)

    def state(self) -> dict[str, Any]:
        """The last eras' preferences and the multiplier."""
        return {**super().state(), "multiplier": self.current}

    def restore(self, state: dict[str, Any], policy: Policy) -> None:
        """Continue with them."""
        super().restore(state, policy)
        self.current = state["multiplier"]


@dataclass(frozen=True)
class SafeReward(Rewards):
    """(R − λ·C) / (1 + λ) where a question touches a constraint, R elsewhere."""

    reward: RewardModel
    cost: RewardModel | None
    multiplier: float
    constrained: frozenset[str]

    def rewards(self, pairs: Sequence[Pair]) -> Tensor:
        """Shape (pairs, 2), float64."""
        rewards = self.reward.rewards(pairs).double()
        rows = [i for i, pair in enumerate(pairs) if touches(pair, self.constrained)]
        if self.cost and rows:
            safe = self.cost.rewards([pairs[i] for i in rows]).double()
            rewards[rows] = (rewards[rows] + self.multiplier * safe) / (1 + self.multiplier)
        return rewards


def solve(
    reward: np.ndarray,
    safe: np.ndarray,
    reference: np.ndarray,
    beta: float,
    limit: float,
    multiplier: float,
    rate: float,
    updates: int,
) -> float:
    """The multiplier after some updates with the policies that are best under it.

    Args:
        reward: log-odds of the reward model on the constrained questions, in nats.
        safe: those of the cost model's reward.
        reference: the reference's log-odds of choosing the first response.
        beta: of the KL.
        limit: share of what can be gained in ``safe`` that may be forgone.
        multiplier: λ to begin with.
        rate: α.
        updates: how many.
    """
    most = float(gains(safe, reference, beta).mean())
    for _ in range(updates):
        mixed = (reward + multiplier * safe) / (1 + multiplier)
        moved = sigmoid(reference + mixed / beta) - sigmoid(reference)
        gained = float((safe * moved).mean())
        cost = (most - gained) / most - limit if most > 0 else -limit
        multiplier *= float(np.exp(rate * multiplier * cost))
    return multiplier


def touches(pair: Pair, dimensions: frozenset[str]) -> bool:
    """Is a question about one of some value dimensions?

    Raises:
        UsageError: its scenario is in no bank that was shipped: nobody says what it is about.
    """
    try:
        return not dimensions.isdisjoint(_dimensions()[pair.scenario])
    except KeyError:
        raise UsageError(
            f"safe-rlhf does not know what scenario {pair.scenario!r} is about: its constraints "
            "are dimensions of the shipped banks. Use those, without --scenarios."
        ) from None


@cache
def _dimensions() -> dict[str, frozenset[str]]:
    """What each scenario of the shipped banks is about."""
    banks = (shipped_bank(instrument) for instrument in get_args(Instrument))
    return {scenario.id: frozenset(scenario.polarity) for bank in banks for scenario in bank}
