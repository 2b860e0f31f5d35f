"""Supervised fine-tuning: say what the human prefers."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from progressgym.registry import register
from progressgym.training.pairs import Batch

from .lifelong import LifelongDPO


@register("algorithm", "sft")
class SFT(LifelongDPO):
    """Cross-entropy on the preferred responses.

    The method is made for responses that a model has said. Here both are given, however unlikely
    one is, so that a preferred one counts as often as the reference would have said it rather than
    the other. Then the optimum is the reference's margin and the answer's log-odds γ·r, where the
    human adds r: no β tames it, it amplifies. Counted equally, the reference's margin is gone as
    well, and with it everything that the base knew.

    Args:
        offered: how often the preferred response counts: as the ``reference`` would have said it,
            or all ``equally``.
        settings: see :class:`~.temporal.Temporal`.

    References: Ouyang et al., "Training language models to follow instructions with human
    feedback", 2022, section 3.5.
    """

    def __init__(
        self, offered: Literal["reference", "equally"] = "reference", **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.offered = offered

    def loss(self, batch: Batch, beta: float) -> Tensor:
        """−log π(preferred)."""
        if self.offered == "equally":
            return batch.expected(lambda won, lost: -won.logprob)
        return batch.expected(
            lambda won, lost: -(won.reference - lost.reference).sigmoid() * won.logprob
        )
