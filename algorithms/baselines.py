"""Baselines that bound every algorithm from below and above."""

from __future__ import annotations

from typing import ClassVar

import torch

from progressgym.algorithm import Algorithm
from progressgym.challenge import Observation
from progressgym.human import Human
from progressgym.models import Policy
from progressgym.registry import register


@register("algorithm", "frozen")
class Frozen(Algorithm):
    """Never updates: value lock-in itself. Its skill is 0 by definition."""

    def update(self, observation: Observation, human: Human) -> Policy:
        """The initial policy."""
        return self.policy


@register("algorithm", "oracle")
class Oracle(Algorithm):
    """Copies the model that it is scored against: the upper bound, which none can reach.

    In Follow that is today's human, in Predict the human to come, in Coevolve the next era's real
    human, whose answers it gives back as advice.
    """

    cheats: ClassVar[bool] = True

    def update(self, observation: Observation, human: Human) -> Policy:
        """A copy of the target."""
        self.policy = human.reveal_target().copy("oracle")
        return self.policy


@register("algorithm", "persistence")
class Persistence(Algorithm):
    """Copies today's human: the forecast that tomorrow is like today.

    In Follow that is the oracle. In Coevolve it tells the human what the human thinks already.
    """

    cheats: ClassVar[bool] = True

    def update(self, observation: Observation, human: Human) -> Policy:
        """A copy of the human who can be asked."""
        self.policy = human.reveal().copy("persistence")
        return self.policy


@register("algorithm", "random")
class RandomWalk(Algorithm):
    """Disturbs its adapter at random in every era: change without any information.

    Args:
        scale: standard deviation of the change, relative to that of the adapter's own weights.
    """

    def __init__(self, scale: float = 0.1) -> None:
        self.scale = scale

    def update(self, observation: Observation, human: Human) -> Policy:
        """The last policy and some noise."""
        generator = torch.Generator().manual_seed(self.seed * 1000 + observation["step"])
        policy = self.policy.copy()
        for name, tensor in policy.weights.items():
            if "lora_B" in name:
                noise = torch.randn(tensor.shape, generator=generator).to(tensor)
                tensor += self.scale * noise * tensor.std()
        self.policy = policy
        return policy
