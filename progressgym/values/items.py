"""Single scenarios: which moved most over the eras, and which do their dimension no service."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .validity import correlation, levelled

AGAINST = -0.5  # correlation with the rest of its dimension below which a scenario is suspect
FLAT = 1.0  # variance between eras over that between frames below which it tells no eras apart


@dataclass(frozen=True)
class ItemReview:
    """What is known of every scenario; arrays of shape (scenarios,).

    Attributes:
        change: stance in the last third of the eras less that in the first third, in nats, after
            each era's approval of everything in the same dimensions is taken away.
        agreement: correlation over eras with the rest of its dimensions, its polarity observed;
            the smallest where it has several. NaN where the eras do not differ.
        separation: variance of its stance between eras over what the disagreement of frames
            explains; NaN with a single frame.
    """

    change: np.ndarray
    agreement: np.ndarray
    separation: np.ndarray

    @property
    def suspects(self) -> np.ndarray:
        """Scenarios to look at: against their dimension, or the same in all eras."""
        return (self.agreement < AGAINST) | (self.separation < FLAT)


def review_items(items: np.ndarray, labels: np.ndarray) -> ItemReview:
    """Look at every scenario by itself.

    Args:
        items: shape (eras, scenarios, frames), in nats.
        labels: shape (scenarios, 19).
    """
    stances = levelled(items.mean(axis=2), labels)
    own = stances - stances.mean(axis=0)
    third = max(1, len(stances) // 3)
    return ItemReview(
        change=own[-third:].mean(axis=0) - own[:third].mean(axis=0),
        agreement=_agreement(own, labels),
        separation=_separation(items, labels),
    )


def _agreement(own: np.ndarray, labels: np.ndarray) -> np.ndarray:
    found = np.full(labels.shape, np.nan)
    for dimension in range(labels.shape[1]):
        rows = np.flatnonzero(labels[:, dimension])
        if len(rows) > 1:
            signed = own[:, rows] * labels[rows, dimension]
            rest = signed.sum(axis=1, keepdims=True) - signed
            found[rows, dimension] = correlation(signed, rest)
    lowest = np.nanmin(np.where(np.isnan(found), np.inf, found), axis=1)
    return np.where(np.isfinite(lowest), lowest, np.nan)


def _separation(items: np.ndarray, labels: np.ndarray) -> np.ndarray:
    frames = items.shape[2]
    if frames < 2:
        return np.full(items.shape[1], np.nan)
    each = np.stack([levelled(items[:, :, f], labels) for f in range(frames)], axis=2)
    each = each - each.mean(axis=0)
    between = (each.mean(axis=2) ** 2).sum(axis=0) / (len(items) - 1)
    within = each.var(axis=2, ddof=1).sum(axis=0) / (len(items) - 1) / frames
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(within > 0, between / within, np.nan)


def length_effect(stances: np.ndarray, lengths: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Is a dimension answered by length? Correlation of scenarios' lengths with their stances.

    Args:
        stances: mean over eras, shape (scenarios,).
        lengths: of the scenarios, in words.
        labels: shape (scenarios, 19).

    Returns:
        Shape (19,): within polarities, so that a difference in length between them, which would
        only matter together with such a correlation, has no part in it. NaN where undefined.
    """
    found = np.full(labels.shape[1], np.nan)
    for dimension in range(labels.shape[1]):
        parts = [np.flatnonzero(labels[:, dimension] == sign) for sign in (1, -1)]
        x = np.concatenate([lengths[p] - lengths[p].mean() for p in parts if len(p)] or [[]])
        y = np.concatenate([stances[p] - stances[p].mean() for p in parts if len(p)] or [[]])
        if len(x) > 2:
            found[dimension] = correlation(x[:, None], y[:, None])[0]
    return found
