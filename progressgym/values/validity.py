"""Is the ruler any good? Evidence that eras differ in values by more than the choice of items.

All functions take the stances of several models on the same scenarios, shape (eras, scenarios),
in nats, and the scenarios' labels, shape (scenarios, 19). A value profile is the contrast of
every dimension in every era, less its mean over eras: what all eras share, such as a word that is
praised at all times, is no difference between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .vector import contrasts

SHUFFLES = 999
SPLITS = 200


def profiles(
    stances: np.ndarray, labels: np.ndarray, counts: np.ndarray | None = None
) -> np.ndarray:
    """Contrasts less their mean over eras, shape (eras, 19), or (resamples, eras, 19)."""
    found = contrasts(stances, labels, counts)
    return found - found.mean(axis=-2, keepdims=True)


def signal_to_noise(stances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Variance between eras beyond what sampling items explains, over that sampling variance.

    F − 1 of a two-way layout, items crossed with eras, within each polarity (Shavelson & Webb
    1991, "Generalizability Theory", chapter 3); 0 is what equal eras give on average.

    Returns:
        Shape (19,); NaN for a dimension with fewer than two items of a polarity.
    """
    between = (profiles(stances, labels) ** 2).sum(axis=0) / (len(stances) - 1)
    noise = sampling_variance(stances, labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(noise > 0, between / noise - 1, np.nan)


def sampling_variance(stances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Variance that the choice of items gives one era's contrast, relative to the others'.

    Returns:
        Shape (19,), in nats²; NaN for a dimension with fewer than two items of a polarity.
    """
    own = stances - stances.mean(axis=0)  # what an item is to all eras does not tell them apart
    total = np.zeros(labels.shape[1])
    for dimension in range(labels.shape[1]):
        for sign in (1, -1):
            chosen = own[:, labels[:, dimension] == sign]
            if chosen.shape[1] == 1 or not (labels[:, dimension] != 0).any():
                total[dimension] = np.nan
            elif chosen.shape[1]:
                spread = chosen.var(axis=1, ddof=1).sum() / (len(stances) - 1)
                total[dimension] += spread / chosen.shape[1]
    return total


def split_half(
    stances: np.ndarray, labels: np.ndarray, seed: int = 0, splits: int = SPLITS
) -> tuple[np.ndarray, float]:
    """Reliability of differences between eras: do two halves of the items agree on them?

    Correlation of the two halves' profiles over eras, averaged over random splits that divide
    every dimension and polarity evenly, stepped up to the whole bank (Spearman 1910, Brown 1910).

    Returns:
        For each dimension, shape (19,), NaN where eras do not differ; and over all of them at
        once, then 0.
    """
    rng = np.random.default_rng(seed)
    _, kinds = np.unique(labels, axis=0, return_inverse=True)
    single, together = [], []
    for _ in range(splits):
        half = _half(kinds, rng)
        first, second = (profiles(stances, labels, part[None].astype(float))[0] for part in half)
        single.append(correlation(first, second))
        both = (part[:, np.isfinite(first[0])].reshape(-1, 1) for part in (first, second))
        together.append(correlation(*both)[0])
    overall = np.nan_to_num(_stepped_up(np.mean(together)))
    return _stepped_up(np.mean(single, axis=0)), float(overall)


def _half(kinds: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the items; items of a kind are divided evenly."""
    first = np.zeros(len(kinds), dtype=bool)
    for kind in np.unique(kinds):
        members = rng.permutation(np.flatnonzero(kinds == kind))
        odd = rng.integers(2) if len(members) % 2 else 0
        first[members[: len(members) // 2 + odd]] = True
    return first, ~first


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of each column; NaN where one does not vary."""
    first, second = (part - part.mean(axis=0) for part in (first, second))
    scale = np.sqrt(np.nansum(first**2, axis=0) * np.nansum(second**2, axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 0, np.nansum(first * second, axis=0) / scale, np.nan)


def _stepped_up(r: np.ndarray) -> np.ndarray:
    return 2 * r / (1 + r)


def permutation_test(
    stances: np.ndarray, labels: np.ndarray, seed: int = 0, shuffles: int = SHUFFLES
) -> tuple[np.ndarray, float]:
    """How often eras differ as much when each item's answers are dealt to the eras at random.

    Returns:
        p of each dimension, shape (19,), and of the sum over all; at least 1 / (shuffles + 1).
    """
    rng = np.random.default_rng(seed)
    stances = levelled(stances, labels)
    seen = _spread(stances, labels)
    larger, larger_total = np.zeros(labels.shape[1]), 0
    for _ in range(shuffles):
        dealt = _spread(rng.permuted(stances, axis=0), labels)
        larger += dealt >= seen
        larger_total += np.nansum(dealt) >= np.nansum(seen)
    p = np.where(np.isfinite(seen), (larger + 1) / (shuffles + 1), np.nan)
    return p, (larger_total + 1) / (shuffles + 1)


def levelled(stances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Stances less the era's mean over all items of the same dimensions.

    That level is approval of everything; contrasts cancel it, and among shuffled eras it would
    pass for noise of items.
    """
    member = (labels != 0).astype(float)
    size = member.sum(axis=0)
    levels = stances @ member / np.where(size > 0, size, 1)
    return stances - levels @ (member / np.maximum(member.sum(axis=1, keepdims=True), 1)).T


def _spread(stances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return (profiles(stances, labels) ** 2).sum(axis=0)


def directions(
    stances: np.ndarray, labels: np.ndarray, seed: int = 0, shuffles: int = SHUFFLES
) -> tuple[int, np.ndarray, float]:
    """How many independent directions the eras' profiles move in: parallel analysis (Horn 1965).

    Eigenvalues of the profiles against those of data in which nothing is left but item noise:
    each item's answers dealt to the eras at random. Dimensions count in units of their sampling
    error. Every eigenvalue is held against the largest of shuffled data: rank by rank, one that
    follows a strong one is the largest of what is left and counts too easily (Green et al. 2012).

    Returns:
        The number of eigenvalues above the bound; all eigenvalues, largest first; the bound, the
        95th percentile of the largest one of shuffled data. Eras that do not differ at all have
        no eigenvalues.
    """
    rng = np.random.default_rng(seed)
    stances = levelled(stances, labels)
    scale = np.sqrt(sampling_variance(stances, labels))
    kept = np.isfinite(scale) & (scale > 1e-9)  # nats; less is rounding
    if not kept.any():
        return 0, np.empty(0), 0.0
    seen = _eigenvalues(profiles(stances, labels)[:, kept] / scale[kept])
    largest = [
        _eigenvalues(profiles(rng.permuted(stances, axis=0), labels)[:, kept] / scale[kept])[0]
        for _ in range(shuffles)
    ]
    bound = float(np.percentile(largest, 95))
    return int((seen > bound).sum()), seen, bound


def _eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """Of the covariance between columns, the largest first; as many as there can be."""
    values = np.linalg.svd(matrix, compute_uv=False) ** 2 / (len(matrix) - 1)
    return values[: min(len(matrix) - 1, matrix.shape[1])]


def without_general_factor(found: np.ndarray) -> np.ndarray:
    """Profiles from which their first principal component is removed.

    Args:
        found: profiles, shape (…, eras, dimensions), without NaN.
    """
    left, values, right = np.linalg.svd(found, full_matrices=False)
    first = left[..., :, :1] * values[..., None, :1] @ right[..., :1, :]
    return found - first


def resampled_signal(
    stances: np.ndarray,
    labels: np.ndarray,
    counts: np.ndarray,
    change: Callable[[np.ndarray], np.ndarray] = lambda found: found,
) -> np.ndarray:
    """Signal over noise of changed profiles, the noise from resampled items.

    Args:
        stances: shape (eras, scenarios).
        labels: shape (scenarios, 19), every dimension covered.
        counts: how often each scenario is drawn, shape (resamples, scenarios).
        change: of profiles, e.g. :func:`without_general_factor`.

    Returns:
        Shape (19,).
    """
    seen = change(profiles(stances, labels))
    drawn = change(profiles(stances, labels, counts))
    freedom = len(stances) - 1
    noise = drawn.var(axis=0, ddof=1).sum(axis=0) / freedom
    between = (seen**2).sum(axis=0) / freedom
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(noise > 0, between / noise - 1, np.nan)


def standardised(stances: np.ndarray) -> np.ndarray:
    """Stances of every era scaled to the same spread over scenarios: shape without sharpness.

    An era that judges everything more sharply, whatever it judges, differs from the others in
    every dimension. What is left here is a change of mind.
    """
    spread = stances.std(axis=1, keepdims=True)
    return stances * spread.mean() / np.where(spread > 0, spread, 1)


@dataclass(frozen=True)
class Components:
    """What single readings of eras vary by, in nats².

    Attributes:
        era: what all readings of a dimension say alike of an era; the rest is error.
        scenario: which scenario is judged.
        frame: in which frame.
        pair: with which pair of words.
        rest: all interactions, and noise.
        dependability: share of the first in the variance of a dimension's mean over all readings,
            0 to 1: how well the differences would come out again with other scenarios, other
            frames and other words.
    """

    era: float
    scenario: float
    frame: float
    pair: float
    rest: float
    dependability: float


def variance_components(readings: np.ndarray, signs: np.ndarray) -> Components:
    """Facets of one dimension: eras crossed with scenarios, frames and word pairs.

    Random effects from the mean squares of a balanced layout (Shavelson & Webb 1991,
    "Generalizability Theory", chapter 3); negative estimates are set to zero.

    Args:
        readings: of scenarios of one dimension, shape (eras, scenarios, frames, pairs), at least
            two of each.
        signs: +1 for a scenario that upholds it, −1 for one that violates it, as many of each.
    """
    x = readings - readings.mean(axis=1, keepdims=True)  # approval of everything
    x = (x - x.mean(axis=0)) * signs[:, None, None]
    eras, *sizes = x.shape
    every = x.mean(axis=(1, 2, 3), keepdims=True)
    means = [x.mean(axis=axes, keepdims=True) - every for axes in ((2, 3), (1, 3), (1, 2))]
    left = x - every - sum(means)
    cells = int(np.prod(sizes))
    freedom = eras - 1
    rest = (left**2).sum() / (freedom * (cells - sum(sizes) + 2))
    squares = [
        (mean**2).sum() * cells / size / (freedom * (size - 1))
        for mean, size in zip(means, sizes, strict=True)
    ]
    scenario, frame, pair = (
        max(0.0, float(square - rest) * size / cells)
        for square, size in zip(squares, sizes, strict=True)
    )
    error = float(sum(squares) - 2 * rest)
    era = max(0.0, float((every**2).sum() * cells / freedom - error) / cells)
    noise = scenario / sizes[0] + frame / sizes[1] + pair / sizes[2] + float(rest) / cells
    dependability = era / (era + noise) if era > 0 else 0.0
    return Components(era, scenario, frame, pair, float(rest), dependability)


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two sets of profiles over all eras and dimensions that both cover."""
    both = np.isfinite(first) & np.isfinite(second)
    return float(correlation(first[both][:, None], second[both][:, None])[0])


def frame_agreement(items: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Do the frames tell the same of the eras? Mean correlation of their profiles over eras.

    Args:
        items: shape (eras, scenarios, frames), in nats.
        labels: shape (scenarios, 19).

    Returns:
        Shape (19,); NaN with fewer than two frames.
    """
    found = [profiles(items[:, :, frame], labels) for frame in range(items.shape[2])]
    pairs = [
        correlation(first, second) for i, first in enumerate(found) for second in found[i + 1 :]
    ]
    return np.mean(pairs, axis=0) if pairs else np.full(labels.shape[1], np.nan)


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distance of every profile to every other, in units that the caller chose.

    Args:
        first: shape (eras, dimensions).
        second: shape (others, dimensions).

    Returns:
        Root mean square over dimensions, shape (eras, others).
    """
    return np.sqrt(((first[:, None] - second[None]) ** 2).mean(axis=2))
