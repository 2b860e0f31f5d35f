"""ProgressGym: a gym for progress alignment.

The public names are imported when they are first used, so that the command line starts at once.
Gymnasium knows the challenges from here on: ``gymnasium.make("progressgym/Follow-v0")``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .environments import register_environments

if TYPE_CHECKING:
    from .algorithm import Algorithm
    from .challenge import Challenge, Observation
    from .errors import BudgetExceededError, ProgressGymError, UsageError
    from .human import Human
    from .models import Policy
    from .pairs import Pair
    from .registry import make, make_algorithm, register
    from .results import RunResult, RunSpec
    from .runner import play
    from .timeline import Era, Timeline
    from .values.measure import measure
    from .values.scenarios import Scenario, ScenarioBank
    from .values.vector import ValueVector

_HOMES = {
    "algorithm": ("Algorithm",),
    "challenge": ("Challenge", "Observation"),
    "errors": ("BudgetExceededError", "ProgressGymError", "UsageError"),
    "human": ("Human",),
    "models": ("Policy",),
    "pairs": ("Pair",),
    "registry": ("make", "make_algorithm", "register"),
    "results": ("RunResult", "RunSpec"),
    "runner": ("play",),
    "timeline": ("Era", "Timeline"),
    "values.measure": ("measure",),
    "values.scenarios": ("Scenario", "ScenarioBank"),
    "values.vector": ("ValueVector",),
}

__all__ = [
    "Algorithm",
    "BudgetExceededError",
    "Challenge",
    "Era",
    "Human",
    "Observation",
    "Pair",
    "Policy",
    "ProgressGymError",
    "RunResult",
    "RunSpec",
    "Scenario",
    "ScenarioBank",
    "Timeline",
    "UsageError",
    "ValueVector",
    "make",
    "make_algorithm",
    "measure",
    "play",
    "register",
]


register_environments()


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
