"""What all algorithms that learn from an era's answers share: whom to align with, from where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Literal

import numpy as np

from progressgym.algorithm import Algorithm
from progressgym.challenge import Observation
from progressgym.human import Human
from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.values.vector import sigmoid


@dataclass(frozen=True)
class Aim:
    """What an update trains towards.

    Attributes:
        human: today's.
        reference: model that the policy is pulled towards.
        beta: how strongly.
        seed: of the training.
        answers: what the human said.
    """

    human: Human
    reference: Policy
    beta: float
    seed: int
    answers: Sequence[Pair] = ()

    def implied(self, policy: Policy, pairs: Sequence[Pair]) -> np.ndarray:
        """Log-odds that a policy's implicit reward gives the first response, shape (pairs,)."""
        return self.beta * (policy.margins(pairs) - self.reference.margins(pairs))


class Temporal(Algorithm):
    """Asks today's human as many questions as it answers and trains on the answers.

    Write :meth:`learn`. The rest is the switch that makes any way of learning a temporal one:
    iterative or independent (``iterative``), lifelong or extrapolative (``order``).

    An extrapolative algorithm aligns with where the preferences of the last eras are heading. What
    each era prefers is taken from a model of its answers, not from the single answers: they are
    noisy, and different questions in each era. The log-odds that the models of the last M + 1 eras
    give to the same questions are extended K eras ahead, clipped, and aligned with as if a human
    had answered so. While fewer eras are known the order is lower; with M = 0, and in the first
    era, nothing is foreseen.

    Args:
        beta: pull towards the reference; None takes the human's decisiveness γ, where the optimum
            is the human.
        reference: ``base``, or ``previous``: the policy that training starts from, which
            amplifies (the human's preferences are added again in every era).
        learning_rate: peak learning rate of the policy.
        epochs: passes over an era's answers.
        batch: prompts of an optimizer step.
        iterative: start from yesterday's policy; otherwise from the initial policy in each era.
        order: M, of the polynomial through the last eras; 0 aligns with today.
        ahead: K, eras ahead.
        clip: largest log-odds that are believed of the future, in nats.

    References: Qiu et al., "ProgressGym", 2024 (lifelong and extrapolative, iterative and
    independent). Rafailov et al., "From r to Q*", 2024 (a policy's implicit reward).
    """

    def __init__(
        self,
        beta: float | None = None,
        reference: Literal["base", "previous"] = "base",
        learning_rate: float = 5e-4,
        epochs: int = 1,
        batch: int = 16,
        iterative: bool = True,
        order: int = 0,
        ahead: int = 1,
        clip: float = 5.0,
    ) -> None:
        self.beta = beta
        self.reference = reference
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch = batch
        self.iterative = iterative
        self.order = order
        self.ahead = ahead
        self.clip = clip
        self.history: list[list[float]] = []

    def reset(self, policy: Policy, seed: int = 0) -> None:
        """Start a run without history."""
        super().reset(policy, seed)
        self.history = []

    def update(self, observation: Observation, human: Human) -> Policy:
        """Ask and train on the answers."""
        rng = np.random.default_rng([self.seed, observation["step"]])
        answers = self.ask(human, rng)
        start = self.policy if self.iterative else self.initial_policy
        self.policy = start.copy("policy")
        if answers:
            reference = start.base if self.reference == "base" else start
            beta = human.decisiveness if self.beta is None else self.beta
            aim = Aim(human, reference, beta, int(rng.integers(2**31)), answers)
            self.align(answers, aim)
        return self.policy

    def ask(self, human: Human, rng: np.random.Generator) -> list[Pair]:
        """The whole budget, on questions drawn at random."""
        return human.prefer(human.draw(human.remaining, rng))

    def align(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Learn today's answers, then those that they foretell."""
        self.learn(answers, aim)
        future = self.foresee(aim.human, lambda pairs: aim.implied(self.policy, pairs))
        if future:
            self.learn(future[0], aim)

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Train ``self.policy`` on answers: labels or probabilities, of today or foreseen."""
        raise NotImplementedError

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
        if not self.order:
            return None
        questions = self.yardstick(human)
        future = self.continued(odds(questions))
        if future is None:
            return None
        future = future.clip(-self.clip, self.clip)
        return answered(questions, future), future

    def yardstick(self, human: Human) -> list[Pair]:
        """The questions on which eras are compared: the same in each, as many as it answers."""
        return human.draw(human.budget, np.random.default_rng([self.seed, 2**20]))

    def continued(self, today: np.ndarray) -> np.ndarray | None:
        """Note today's numbers and say what they will be; None where that is today."""
        self.history = [*self.history, today.tolist()][-self.order - 1 :]
        if len(self.history) < 2:
            return None
        return extrapolate(np.array(self.history), self.ahead)

    def state(self) -> dict[str, Any]:
        """The last eras' preferences."""
        return {"history": self.history}

    def restore(self, state: dict[str, Any], policy: Policy) -> None:
        """Continue with them."""
        super().restore(state, policy)
        self.history = state["history"]


def answered(questions: Sequence[Pair], odds: np.ndarray) -> list[Pair]:
    """Questions with the answers of one whose log-odds for the first response are known."""
    return [q.answered(float(p)) for q, p in zip(questions, sigmoid(odds), strict=True)]


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
