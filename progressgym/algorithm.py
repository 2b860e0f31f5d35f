"""The interface of alignment algorithms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .human import Human
from .models import Policy

if TYPE_CHECKING:
    from .challenge import Observation


class Algorithm:
    """Keeps a policy aligned with humans whose values change.

    Write ``update``. What the algorithm remembers besides its policy belongs into ``models`` (other
    models) or ``state`` and ``restore`` (anything else), so that runs can be resumed. Parameters
    are keyword arguments of ``__init__`` with defaults and annotations, stored under their own
    names; the command line offers them through ``--set`` and results record them.

    Attributes:
        cheats: True where the algorithm sees what no algorithm may; shown in every table.
        policy: the current policy.
        initial_policy: the policy of the first step.
        models: other models that it keeps from step to step, by name.
        seed: the run's seed.
        curves: what the last update's training was like, by name and optimizer step; results
            record it.
    """

    cheats: ClassVar[bool] = False
    policy: Policy
    initial_policy: Policy
    models: dict[str, Policy]
    seed: int
    curves: dict[str, list[float]]

    def reset(self, policy: Policy, seed: int = 0) -> None:
        """Start a run from ``policy``."""
        self.initial_policy = policy
        self.policy = policy.copy("policy")
        self.models = {}
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
        """What to remember besides policy and models, JSON-able, so that a run can be resumed."""
        return {}

    def restore(self, state: dict[str, Any], policy: Policy) -> None:
        """Continue from a :meth:`state` and the policy returned with it; ``models`` are back."""
        self.policy = policy.copy("policy")
