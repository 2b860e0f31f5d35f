"""DPO with momentum: values that moved go on moving."""

from __future__ import annotations

import numpy as np

import progressgym as pg
from progressgym.training.dpo import DPOSettings, train_dpo


@pg.register("algorithm", "momentum-dpo")
class MomentumDPO(pg.Algorithm):
    """DPO that first goes on in the direction in which the last era moved the weights.

    θ_t = DPO(θ_{t−1} + μ·(θ_{t−1} − θ_{t−2})): the look-ahead step of Nesterov's accelerated
    gradient, with an era for an iteration. In an era that answers nothing it only coasts.

    Args:
        momentum: μ; 0 is lifelong DPO, negative values average with yesterday.
        learning_rate: peak learning rate.

    References: Sutskever et al., "On the importance of initialization and momentum in deep
    learning", 2013, eq. 3; Rafailov et al., "Direct Preference Optimization", 2023, eq. 7.
    """

    def __init__(self, momentum: float = 0.3, learning_rate: float = 5e-4) -> None:
        self.momentum = momentum
        self.learning_rate = learning_rate

    def update(self, observation: pg.Observation, human: pg.Human) -> pg.Policy:
        """Coast, then train on as many answers as there are."""
        rng = np.random.default_rng([self.seed, observation["step"]])
        answers = human.prefer(human.draw(human.remaining, rng))
        yesterday = self.policy
        before = self.models.get("before", yesterday)
        self.policy = yesterday.copy()
        for name, weight in self.policy.weights.items():
            weight += self.momentum * (yesterday.weights[name] - before.weights[name])
        if answers:
            seed = int(rng.integers(2**31))
            settings = DPOSettings(human.decisiveness, self.learning_rate, seed=seed)
            self.curves["loss"] = train_dpo(self.policy, self.policy.base, answers, settings)
        self.models["before"] = yesterday  # kept in checkpoints, so that runs can be resumed
        return self.policy
