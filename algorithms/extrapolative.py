"""Extrapolative algorithms: align with the human of eras to come, as the last eras foretell.

They are the lifelong ones with ``order`` set, under the names that they have in the literature.
"""

from __future__ import annotations

from typing import Any

from progressgym.registry import register

from .lifelong import LifelongDPO, LifelongRLHF


@register("algorithm", "extrapolative-dpo")
class ExtrapolativeDPO(LifelongDPO):
    """DPO on preferences extended into the future by finite differences.

    The policy that is aligned with today is itself the model of today's preferences; from there it
    is trained on.

    Args: see :class:`~.temporal.Temporal`.

    References: Qiu et al., "ProgressGym", 2024.
    """

    def __init__(self, order: int = 1, **settings: Any) -> None:
        super().__init__(order=order, **settings)


@register("algorithm", "extrapolative-rlhf")
class ExtrapolativeRLHF(LifelongRLHF):
    """RLHF on rewards extended into the future by finite differences.

    Args: see :class:`~.temporal.Temporal` and :class:`~.lifelong.LifelongRLHF`.

    References: Qiu et al., "ProgressGym", 2024.
    """

    def __init__(self, order: int = 1, **settings: Any) -> None:
        super().__init__(order=order, **settings)


@register("algorithm", "extrapolative-dpo-independent")
class ExtrapolativeDPOIndependent(ExtrapolativeDPO):
    """Extrapolative DPO that starts from the initial policy in each era."""

    def __init__(self, iterative: bool = False, **settings: Any) -> None:
        super().__init__(iterative=iterative, **settings)


@register("algorithm", "extrapolative-rlhf-independent")
class ExtrapolativeRLHFIndependent(ExtrapolativeRLHF):
    """Extrapolative RLHF that starts from the initial policy in each era."""

    def __init__(
        self, iterative: bool = False, learning_rate: float = 5e-4, **settings: Any
    ) -> None:
        super().__init__(iterative=iterative, learning_rate=learning_rate, **settings)
