"""Experience replay: today's answers are learnt among those of earlier eras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from progressgym.pairs import Pair
from progressgym.registry import register

from .memory import Remembering, faded
from .temporal import Aim


@register("algorithm", "replay")
class Replay(Remembering):
    """Lifelong DPO on today's answers and a share of those of earlier eras, smaller with age.

    More answers are less noise, and older ones more bias: ``decay`` weighs one against the other.
    With 0 it is lifelong DPO.

    Args:
        decay: share of yesterday's answers that is learnt again today; of those of age a, decayᵃ.
        settings: see :class:`~.temporal.Temporal`.

    References: Rolnick et al., "Experience replay for continual learning", 2019 (section 3: old
    and new in one batch; the fading is ours, as here the old is not to be kept but outgrown).
    """

    def __init__(self, decay: float = 0.5, **settings: Any) -> None:
        super().__init__(**settings)
        self.decay = decay

    def learn(self, answers: Sequence[Pair], aim: Aim) -> None:
        """DPO on old and new answers in random order."""
        rng = np.random.default_rng(aim.seed)
        super().learn([*answers, *faded(self.past, self.decay, rng)], aim)
