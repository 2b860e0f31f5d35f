"""Lifelong algorithms: align with the human of today, era after era."""

from __future__ import annotations

from typing import Literal

import numpy as np

from progressgym.algorithm import Algorithm
from progressgym.challenge import Observation
from progressgym.human import Human
from progressgym.models import Policy
from progressgym.registry import register
from progressgym.training.dpo import DPOSettings, train_dpo


@register("algorithm", "lifelong-dpo")
class LifelongDPO(Algorithm):
    """Direct preference optimisation on the answers of each era's human.

    Args:
        beta: β of DPO; None takes the human's decisiveness γ, where the optimum is the human.
        iterative: start from yesterday's policy; otherwise from the initial policy in each era.
        reference: ``base``, or ``previous``: the policy that training starts from, which
            amplifies (the human's preferences are added again in every era).
        learning_rate: peak learning rate.
        epochs: passes over an era's answers.
        batch: prompts of an optimizer step.

    References: Rafailov et al., "Direct Preference Optimization", 2023, eq. 7; Qiu et al.,
    "ProgressGym", 2024 (lifelong, iterative and independent).
    """

    def __init__(
        self,
        beta: float | None = None,
        iterative: bool = True,
        reference: Literal["base", "previous"] = "base",
        learning_rate: float = 5e-4,
        epochs: int = 1,
        batch: int = 16,
    ) -> None:
        self.beta = beta
        self.iterative = iterative
        self.reference = reference
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch = batch

    def update(self, observation: Observation, human: Human) -> Policy:
        """Ask the whole budget and train on the answers."""
        step = observation["step"]
        rng = np.random.default_rng([self.seed, step])
        answers = human.prefer(human.draw(human.remaining, rng))
        start = self.policy if self.iterative else self.initial_policy
        policy = start.copy("policy")
        if answers:
            settings = DPOSettings(
                beta=human.decisiveness if self.beta is None else self.beta,
                learning_rate=self.learning_rate,
                epochs=self.epochs,
                batch=self.batch,
                seed=int(rng.integers(2**31)),
            )
            reference = policy.base if self.reference == "base" else start
            train_dpo(policy, reference, answers, settings)
        self.policy = policy
        return policy
