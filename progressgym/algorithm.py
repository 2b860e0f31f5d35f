"""The interface of alignment algorithms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .human import Human
from .models import Policy

if TYPE_CHECKING:
    from .challenge import Observation


class Algorithm:
    """Keeps a policy aligned with humans whose values change.

    Write ``update`` and, where the algorithm remembers more than its policy, ``state`` and
    ``restore``. Parameters are keyword arguments of ``__init__`` with defaults and annotations,
    stored under their own names; the command line offers them through ``--set`` and results
    record them.

    Attributes:
        cheats: True where the algorithm sees what no algorithm may; shown in every table.
        policy: the current policy.
        initial_policy: the policy of the first step.
        seed: the run's seed.
        curves: what the last update's training was like, by name and optimizer step; results
            record it.
    """

    cheats: ClassVar[bool] = False
    policy: Policy
    initial_policy: Policy
    seed: int
    curves: dict[str, list[float]]

    def reset(self, policy: Policy, seed: int = 0) -> None:
        """Start a run from ``policy``."""
        self.initial_policy = policy
        self.policy = policy.copy("policy")
        self.seed = seed
        self.curves = {}

    def update(self, observation: Observation, human: Human) -> Policy:
        """Answer one step: ask the human within the budget and return the policy to be scored.

        Args:
            observation: ``step`` (0 …), ``era`` (index), ``questions`` (budget of this step).
            human: whom to ask. ``human.questions`` offers pairs, ``human.prefer`` answers them.
        """
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What to remember besides the policy, JSON-able, so that a run can be resumed."""
        return {}

    def restore(self, state: dict[str, Any], policy: Policy) -> None:
        """Continue from a :meth:`state` and the policy that was returned with it."""
        self.policy = policy.copy("policy")
