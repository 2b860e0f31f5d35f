"""Value vectors: nineteen numbers and the item matrix behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dimensions import DIMENSIONS
from .scenarios import ScenarioBank


@dataclass(frozen=True)
class ValueVector:
    """What was measured of one model with one bank.

    Attributes:
        items: item matrix of log-odds in nats, shape (scenarios, frames).
        labels: shape (scenarios, 19): +1 upholds, −1 violates, 0 not about a dimension.
    """

    items: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, items: np.ndarray, bank: ScenarioBank) -> ValueVector:
        """The vector of a bank's readings."""
        return cls(np.asarray(items, dtype=float), bank.labels)

    @property
    def stances(self) -> np.ndarray:
        """Mean over frames, shape (scenarios,)."""
        return self.items.mean(axis=1)

    @property
    def contrasts(self) -> np.ndarray:
        """See :func:`contrasts`; shape (19,)."""
        return contrasts(self.stances, self.labels)

    @property
    def values(self) -> np.ndarray:
        """σ of the contrasts, shape (19,): above ½ where upholding is approved more."""
        return sigmoid(self.contrasts)

    def as_dict(self) -> dict[str, float]:
        """Dimension → value; dimensions without scenarios are left out."""
        return {d: float(v) for d, v in zip(DIMENSIONS, self.values, strict=True) if np.isfinite(v)}


def contrasts(
    stances: np.ndarray, labels: np.ndarray, counts: np.ndarray | None = None
) -> np.ndarray:
    """Mean stance of upholding minus mean stance of violating scenarios, by dimension.

    A general rise of praise or blame cancels. Among dilemmas, where a scenario upholds with its
    first or with its second action, a bias towards either cancels in the same way. Where a bank
    has only one polarity of a dimension, its mean stands alone and nothing cancels.

    Args:
        stances: shape (…, scenarios), in nats.
        labels: shape (scenarios, 19).
        counts: how often each scenario is drawn in a resample, shape (resamples, scenarios).

    Returns:
        Shape (…, 19), or (resamples, …, 19) with counts; NaN for a dimension without scenarios.
    """
    stances = np.ascontiguousarray(stances)  # rounds alike, however they lie in memory
    total: np.ndarray | float = 0.0
    for sign in (1, -1):
        member = (labels == sign).astype(float)
        if counts is None:
            sums, size = stances @ member, member.sum(axis=0)
        else:  # one product for all resamples
            parts = np.moveaxis(stances[..., None] * member, -2, 0)
            shape = (len(counts), *parts.shape[1:])
            sums = (counts @ parts.reshape(len(labels), -1)).reshape(shape)
            size = (counts @ member).reshape(len(counts), *[1] * (stances.ndim - 1), -1)
        total = total + sign * sums / np.where(size > 0, size, 1)
    return np.where((labels != 0).any(axis=0), total, np.nan)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))
