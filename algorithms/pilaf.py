"""PILAF: ask what tells most about the policy that is to be."""

from __future__ import annotations

from typing import Any

import numpy as np

from progressgym.human import Human
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.values.vector import sigmoid

from .lifelong import LifelongDPO


@register("algorithm", "pilaf")
class PILAF(LifelongDPO):
    """Lifelong DPO that chooses its questions by policy-interpolated sampling.

    The paper draws the two responses of a question: half of the time both from the policy π, half
    of the time one from π⁺ ∝ π·(π/π_ref)^s and one from π⁻ ∝ π·(π/π_ref)^−s, a step further from
    the reference and a step back. Here the responses of a question are given and it is the
    questions that are chosen: each as often as two such draws would differ, for the same response
    twice teaches nothing. So asked is what the policy is undecided about, and what its change from
    the reference decided.

    Args:
        interpolation: s, in units of the policy's own change from the reference.
        pool: questions to choose from, as a multiple of those that may be asked.
        settings: see :class:`~.temporal.Temporal`.

    References: Feng et al., "PILAF: Optimal Human Preference Sampling for Reward Modeling", 2025,
    section 3 (policy-interpolated sampling).
    """

    def __init__(self, interpolation: float = 1.0, pool: float = 3.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.interpolation = interpolation
        self.pool = pool

    def ask(self, human: Human, rng: np.random.Generator) -> list[Pair]:
        """The whole budget, prompts drawn without repetition by their questions' mean worth."""
        offered = human.draw(round(max(1.0, self.pool) * human.remaining), rng)
        if not offered:
            return []
        policy = self.policy.margins(offered)
        worth = differing(policy, policy - self.policy.base.margins(offered), self.interpolation)
        prompts: dict[str, list[int]] = {}
        for index, pair in enumerate(offered):
            prompts.setdefault(pair.prompt, []).append(index)
        groups = list(prompts.values())
        # Exponential waiting times: the first are a weighted draw without repetition.
        waiting = rng.exponential(size=len(groups)) / [worth[group].mean() for group in groups]
        chosen = [offered[i] for group in np.argsort(waiting) for i in groups[group]]
        return human.prefer(chosen[: human.remaining])


def differing(policy: np.ndarray, change: np.ndarray, interpolation: float) -> np.ndarray:
    """Probability that the two responses drawn to a question differ, shape (questions,).

    Args:
        policy: log-odds of choosing the first response, in nats.
        change: by how much that differs from the reference's.
        interpolation: s.
    """
    both = sigmoid(policy)
    further = sigmoid(policy + interpolation * change)
    back = sigmoid(policy - interpolation * change)
    from_policy = 2 * both * (1 - both)
    interpolated = further * (1 - back) + (1 - further) * back
    return (from_policy + interpolated) / 2
