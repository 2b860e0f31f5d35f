"""Lifelong algorithms: align with the human of today, era after era."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from progressgym.algorithm import Algorithm
from progressgym.challenge import Observation
from progressgym.human import Human
from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.registry import register
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.training.reward import RewardModel, RewardSettings, train_reward
from progressgym.training.rloo import RLOOSettings, train_rloo


@dataclass(frozen=True)
class Aim:
    """What an update trains towards.

    Attributes:
        human: today's.
        reference: model that the policy is pulled towards.
        beta: how strongly.
        seed: of the training.
    """

    human: Human
    reference: Policy
    beta: float
    seed: int


class Lifelong(Algorithm):
    """Asks today's human as many questions as it answers and trains on the answers.

    Args:
        beta: pull towards the reference; None takes the human's decisiveness γ, where the optimum
            is the human.
        reference: ``base``, or ``previous``: the policy that training starts from, which
            amplifies (the human's preferences are added again in every era).
        learning_rate: peak learning rate of the policy.
        epochs: passes over an era's answers.
        batch: prompts of an optimizer step.

    Attributes:
        iterative: start from yesterday's policy; otherwise from the initial policy in each era.
    """

    iterative: ClassVar[bool] = True

    def __init__(
        self,
        beta: float | None = None,
        reference: Literal["base", "previous"] = "base",
        learning_rate: float = 5e-4,
        epochs: int = 1,
        batch: int = 16,
    ) -> None:
        self.beta = beta
        self.reference = reference
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch = batch

    def update(self, observation: Observation, human: Human) -> Policy:
        """Ask the whole budget and train on the answers."""
        rng = np.random.default_rng([self.seed, observation["step"]])
        answers = human.prefer(human.draw(human.remaining, rng))
        start = self.policy if self.iterative else self.initial_policy
        self.policy = start.copy("policy")
        if answers:
            reference = start.base if self.reference == "base" else start
            beta = human.decisiveness if self.beta is None else self.beta
            self.learn(answers, Aim(human, reference, beta, int(rng.integers(2**31))))
        return self.policy

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Train ``self.policy`` on answers of today's human."""
        raise NotImplementedError


@register("algorithm", "lifelong-dpo")
class LifelongDPO(Lifelong):
    """Direct preference optimisation on the answers of each era's human.

    Args: see :class:`Lifelong`.

    References: Rafailov et al., "Direct Preference Optimization", 2023, eq. 7; Qiu et al.,
    "ProgressGym", 2024 (lifelong, iterative and independent).
    """

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """DPO with the reference's log-probabilities computed once."""
        settings = DPOSettings(aim.beta, self.learning_rate, self.epochs, self.batch, aim.seed)
        self.curves["loss"] = train_dpo(self.policy, aim.reference, answers, settings)


@register("algorithm", "lifelong-rlhf")
class LifelongRLHF(Lifelong):
    """A reward model of each era's answers, and RLOO on it with a KL to the reference.

    The reward model is a language model of its own that begins as the policy before the update:
    what earlier eras taught is kept, and the answers teach only what has changed since.

    Args:
        reward_learning_rate: peak learning rate of the reward model.
        samples: responses sampled to each question of a step.
        settings: see :class:`Lifelong`.

    References: Ouyang et al., "Training language models to follow instructions with human
    feedback", 2022; Ahmadian et al., "Back to Basics", 2024, eq. 8 (RLOO); Qiu et al.,
    "ProgressGym", 2024 (lifelong, iterative and independent).
    """

    def __init__(
        self, reward_learning_rate: float = 5e-4, samples: int = 16, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.reward_learning_rate = reward_learning_rate
        self.samples = samples

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Reward model first, then RLOO on the same questions."""
        self.optimise(answers, self.reward_model(answers, aim).rewards(answers), aim)

    def reward_model(self, answers: Sequence[Pair], aim: Aim) -> RewardModel:
        """What the answers say of rewards."""
        settings = RewardSettings(self.reward_learning_rate, self.epochs, self.batch, aim.seed)
        return train_reward(self.policy, aim.reference, aim.beta, answers, settings)

    def optimise(self, answers: Sequence[Pair], rewards: Tensor, aim: Aim) -> None:
        """RLOO on rewards of both responses, shape (pairs, 2)."""
        settings = RLOOSettings(
            aim.beta, self.learning_rate, self.epochs, self.batch, self.samples, aim.seed
        )
        self.curves.update(train_rloo(self.policy, aim.reference, answers, rewards, settings))


@register("algorithm", "lifelong-dpo-independent")
class LifelongDPOIndependent(LifelongDPO):
    """Lifelong DPO that starts from the initial policy in each era."""

    iterative: ClassVar[bool] = False


@register("algorithm", "lifelong-rlhf-independent")
class LifelongRLHFIndependent(LifelongRLHF):
    """Lifelong RLHF that starts from the initial policy in each era."""

    iterative: ClassVar[bool] = False
