"""Extrapolative algorithms: align with the human of eras to come, as the last eras foretell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from progressgym.human import Human
from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.values.vector import sigmoid

from .lifelong import Aim, Lifelong, LifelongDPO, LifelongRLHF


def extrapolate(history: np.ndarray, ahead: int) -> np.ndarray:
    """Where a sequence goes if it goes on as a polynomial through all of its points.

    Its finite differences of order M + 1 vanish, with M + 1 points given:
    x_{t+1} = Σ_{i=0…M} (−1)^i · C(M+1, i+1) · x_{t−i}, taken ``ahead`` times.

    Args:
        history: shape (M + 1, …), the latest last.
        ahead: K, how many steps.

    Returns:
        Shape (…).
    """
    points = list(history)
    order = len(points) - 1
    for _ in range(ahead):
        recent = points[::-1][: order + 1]
        points.append(sum((-1) ** i * comb(order + 1, i + 1) * x for i, x in enumerate(recent)))
    return np.asarray(points[-1])


class Extrapolative(Lifelong):
    """Aligns with where the preferences of the last eras are heading.

    What each era prefers is taken from a model of its answers, not from the single answers: they
    are noisy, and different questions in each era. The log-odds that the models of the last M + 1
    eras give to the same questions are extended K eras ahead, clipped, and aligned with as if a
    human had answered so. While fewer eras are known the order is lower; with M = 0, and in the
    first era, it is the lifelong algorithm.

    Args:
        order: M, of the polynomial.
        ahead: K, eras ahead.
        clip: largest log-odds that are believed, in nats.
        settings: those of the lifelong algorithm.
    """

    def __init__(self, order: int = 1, ahead: int = 1, clip: float = 5.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.order = order
        self.ahead = ahead
        self.clip = clip
        self.history: list[list[float]] = []

    def reset(self, policy: Policy, seed: int = 0) -> None:
        """Start a run without history."""
        super().reset(policy, seed)
        self.history = []

    def foresee(
        self, human: Human, odds: Callable[[Sequence[Pair]], np.ndarray]
    ) -> tuple[list[Pair], np.ndarray] | None:
        """Note what today prefers and say what the future will.

        Args:
            human: whose questions are foreseen, as many as it answers; it is not asked them.
            odds: log-odds of preferring each pair's first response today, in nats.

        Returns:
            Questions with foreseen answers, and their log-odds; None where that is today.
        """
        # The same questions in every era: eras are compared on them.
        questions = human.draw(human.budget, np.random.default_rng([self.seed, 2**20]))
        if self.order:
            self.history = [*self.history, odds(questions).tolist()][-self.order - 1 :]
        if len(self.history) < 2:
            return None
        future = extrapolate(np.array(self.history), self.ahead).clip(-self.clip, self.clip)
        chances = sigmoid(future)
        return [q.answered(float(p)) for q, p in zip(questions, chances, strict=True)], future

    def state(self) -> dict[str, Any]:
        """The last eras' preferences."""
        return {"history": self.history}

    def restore(self, state: dict[str, Any], policy: Policy) -> None:
        """Continue with them."""
        super().restore(state, policy)
        self.history = state["history"]


@register("algorithm", "extrapolative-dpo")
class ExtrapolativeDPO(Extrapolative, LifelongDPO):
    """DPO on preferences extended into the future by finite differences.

    The policy that is aligned with today is itself the model of today's preferences; from there it
    is trained on.

    Args: see :class:`Extrapolative` and :class:`~.lifelong.Lifelong`.

    References: Qiu et al., "ProgressGym", 2024 (extrapolative DPO, iterative and independent).
    Rafailov et al., "From r to Q*", 2024 (a policy's implicit reward).
    """

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """DPO on today's answers, then on the future's."""
        super().learn(answers, aim)
        policy, reference = self.policy, aim.reference

        def implied(pairs: Sequence[Pair]) -> np.ndarray:
            return aim.beta * (policy.margins(pairs) - reference.margins(pairs))

        future = self.foresee(aim.human, implied)
        if future:
            super().learn(future[0], aim)


@register("algorithm", "extrapolative-rlhf")
class ExtrapolativeRLHF(Extrapolative, LifelongRLHF):
    """RLHF on rewards extended into the future by finite differences.

    Args: see :class:`Extrapolative` and :class:`~.lifelong.LifelongRLHF`.

    References: Qiu et al., "ProgressGym", 2024 (extrapolative RLHF, iterative and independent).
    """

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """A reward model of today's answers, and RLOO on the rewards of the future."""
        model = self.reward_model(answers, aim)
        future = self.foresee(aim.human, lambda pairs: _difference(model.rewards(pairs)))
        if future is None:
            self.optimise(answers, model.rewards(answers), aim)
        else:
            questions, odds = future
            first = torch.from_numpy(odds)
            self.optimise(questions, torch.stack([first, torch.zeros_like(first)], dim=1), aim)


def _difference(rewards: Tensor) -> np.ndarray:
    """Log-odds of preferring the first response, from rewards of shape (pairs, 2)."""
    return (rewards[:, 0] - rewards[:, 1]).double().numpy()


@register("algorithm", "extrapolative-dpo-independent")
class ExtrapolativeDPOIndependent(ExtrapolativeDPO):
    """Extrapolative DPO that starts from the initial policy in each era."""

    iterative: ClassVar[bool] = False


@register("algorithm", "extrapolative-rlhf-independent")
class ExtrapolativeRLHFIndependent(ExtrapolativeRLHF):
    """Extrapolative RLHF that starts from the initial policy in each era."""

    iterative: ClassVar[bool] = False
