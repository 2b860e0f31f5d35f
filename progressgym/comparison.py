"""Which algorithm is better than which, by more than scenarios and seeds explain.

Skills are compared in a paired hierarchical bootstrap: a resample draws scenarios, the same for
all algorithms, seeds and eras, and seeds, the same for all algorithms that have equally many. The
scenarios are not drawn anew for each seed: all seeds are measured with the same ones, so that
what is peculiar to a scenario does not average out over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from .results import RunResult
from .values.scores import (
    LEVEL,
    RESAMPLES,
    Interval,
    finite,
    percentiles,
    resampled_skill,
    skill_value,
)

SIGNIFICANT = 1 - LEVEL


@dataclass(frozen=True)
class Standing:
    """Where an algorithm stands among others.

    Attributes:
        label: of the algorithm.
        skill: mean over its seeds, with an interval over scenarios and seeds.
        rank: place by skill, from 1; None for upper bounds that cheat, and for undefined skills.
        best_rank: 1 + how many are better by more than chance.
        worst_rank: how many are not worse by more than chance, itself included.
    """

    label: str
    skill: Interval
    rank: int | None = None
    best_rank: int | None = None
    worst_rank: int | None = None

    @property
    def rank_range(self) -> str:
        """``2 (1 to 4)``; ``–`` where there is no rank."""
        if self.rank is None:
            return "–"
        if self.best_rank == self.worst_rank:
            return str(self.rank)
        return f"{self.rank} ({self.best_rank} to {self.worst_rank})"


@dataclass(frozen=True)
class Comparison:
    """All algorithms of a challenge, best first.

    Attributes:
        standings: one for each algorithm.
        difference: skill of row minus skill of column, shape (n, n).
        p: of the hypothesis that the difference is nothing, two-sided, shape (n, n), corrected
            for the number of comparisons (Holm 1979). NaN where a skill is undefined.
    """

    standings: list[Standing]
    difference: np.ndarray
    p: np.ndarray

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; None where undefined."""
        return {
            "standings": [
                {**vars(standing), "skill": standing.skill.model_dump()}
                for standing in self.standings
            ],
            "difference": _plain(self.difference),
            "p": _plain(self.p),
        }

    @property
    def alike(self) -> list[tuple[int, int]]:
        """First and last row of each longest run of neighbours that chance can explain."""
        runs: list[tuple[int, int]] = []
        count = len(self.standings)
        for first in range(count):
            last = first
            while last + 1 < count and not self._differ(first, last + 1):
                last += 1
            if last > first and (not runs or last > runs[-1][1]):
                runs.append((first, last))
        return runs

    def _differ(self, first: int, last: int) -> bool:
        """Does a row differ from any of those before it, down to the first?"""
        found = self.p[first:last, last]
        return bool(np.isnan(found).any() or (found < SIGNIFICANT).any())


def compare(
    runs: Mapping[str, Sequence[RunResult]], cheats: Sequence[str] = (), seed: int = 0
) -> Comparison:
    """Compare algorithms that played the same challenge, with the same scenarios.

    Args:
        runs: label of each algorithm -> its runs, which differ in their seed only.
        cheats: labels that are shown without a rank.
        seed: of the resamples.

    Raises:
        ValueError: runs of different scenarios.
    """
    banks = {tuple(id for id, _ in run.scenarios) for own in runs.values() for run in own}
    if len(banks) > 1:
        raise ValueError("Only runs of the same scenarios can be compared.")
    drawn = {label: draw_skill(own, seed) for label, own in runs.items()}
    labels = sorted(runs, key=lambda x: -drawn[x][0] if np.isfinite(drawn[x][0]) else np.inf)
    means = np.array([drawn[label][0] for label in labels])
    resampled = np.array([drawn[label][1] for label in labels])
    difference, p = _pairwise(means, resampled)
    skills = [interval_of(*drawn[label]) for label in labels]
    ranked = np.array([x not in cheats for x in labels]) & np.isfinite(means)
    ranges = rank_ranges(means, resampled, ranked)
    return Comparison(_standings(labels, skills, ranges, ranked), difference, p)


def draw_skill(runs: Sequence[RunResult], seed: int = 0) -> tuple[float, np.ndarray]:
    """Mean skill over the seeds of an algorithm, and the same in each resample.

    Returns:
        NaN where undefined; resamples of shape (RESAMPLES,).
    """
    ordered = [run.trajectory for run in sorted(runs, key=lambda run: run.spec.seed)]
    values = [skill_value(trajectory) for trajectory in ordered]
    mean = float(np.mean([np.nan if v is None else v for v in values]))
    each = np.stack([resampled_skill(trajectory, seed) for trajectory in ordered], axis=1)
    return mean, (each * _seed_weights(len(ordered), seed)).sum(axis=1)


def _seed_weights(seeds: int, seed: int) -> np.ndarray:
    """Share of each seed in each resample, shape (RESAMPLES, seeds)."""
    rng = np.random.default_rng([seed, seeds])
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds


def interval_of(mean: float, resampled: np.ndarray) -> Interval:
    """A mean with the interval of its resamples; see :func:`draw_skill`."""
    if not np.isfinite(mean):
        return Interval(value=None)
    low, high = percentiles(resampled)
    return Interval(value=mean, low=low, high=high)


def rank_ranges(
    means: np.ndarray, resampled: np.ndarray, ranked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Best and worst rank of each row that chance leaves open, shape (n,) each.

    1 + how many are better by more than chance, and how many are not worse by more than chance,
    itself included: with the family-wise correction, all true ranks lie in these ranges at once
    with 95 % (Mogstad et al. 2024, "Inference for Ranks").

    Args:
        means: skills, shape (n,).
        resampled: the same in each resample, paired, shape (n, RESAMPLES).
        ranked: who has a rank, shape (n,); the others are compared all the same.
    """
    critical = _critical_ratio(means, resampled)
    best, worst = np.ones(len(means), int), np.full(len(means), int(ranked.sum()))
    for rows, difference, ratio in _ratios(means, resampled):
        apart = ranked & (ratio >= critical)
        best[rows] += (apart & (difference < 0)).sum(axis=1)
        worst[rows] -= (apart & (difference > 0)).sum(axis=1)
    return best, worst


def _critical_ratio(means: np.ndarray, resampled: np.ndarray) -> float:
    """Smallest ratio of difference to error that Holm's correction calls significant."""
    pairs = [
        ratio[np.arange(rows.start, rows.stop)[:, None] < np.arange(len(means))]
        for rows, _, ratio in _ratios(means, resampled)
    ]
    every = np.concatenate([part[np.isfinite(part)] for part in pairs])
    count = len(every)
    every = np.sort(every[every > norm.isf(SIGNIFICANT / 2)])[::-1]  # no smaller one can be
    passed = 2 * norm.sf(every) * (count - np.arange(len(every))) < SIGNIFICANT
    rejected = len(every) if passed.all() else int(passed.argmin())
    return float(every[rejected - 1]) if rejected else np.inf


def _pairwise(means: np.ndarray, resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences and Holm's p of each pair; a thousand resamples are too few to count tails."""
    blocks = list(_ratios(means, resampled))
    difference = np.concatenate([part for _, part, _ in blocks])
    ratio = np.concatenate([part for _, _, part in blocks])
    pairs = np.triu(np.isfinite(ratio), k=1)
    p = np.full(ratio.shape, np.nan)
    p[pairs] = holm(2 * norm.sf(ratio[pairs]))
    p.T[pairs] = p[pairs]
    return difference, p


def _ratios(
    means: np.ndarray, resampled: np.ndarray, block: int = 512
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Differences of rows to all, and |difference| / standard error, a block of rows at a time.

    The error is the standard deviation of the paired differences over the resamples in which both
    are defined; 0 where nothing varies, the ratio is then 0 too. NaN where a mean is undefined.

    Yields:
        Which rows, and two matrices of shape (rows, n).
    """
    present = np.isfinite(resampled)
    counts = present.sum(axis=1, keepdims=True)
    filled = np.where(present, resampled, 0.0)
    centred = np.where(present, filled - filled.sum(1, keepdims=True) / np.maximum(counts, 1), 0.0)
    squares, one = centred**2, present.astype(float)
    for start in range(0, len(means), block):
        rows = slice(start, min(start + block, len(means)))
        both = one[rows] @ one.T
        mean = centred[rows] @ one.T - one[rows] @ centred.T
        square = squares[rows] @ one.T + one[rows] @ squares.T - 2 * centred[rows] @ centred.T
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = square / both - (mean / both) ** 2
            difference = means[rows, None] - means
            ratio = np.abs(difference) / np.sqrt(variance)
        ratio[variance <= 1e-18] = 0.0
        ratio[~np.isfinite(difference)] = np.nan
        yield rows, difference, ratio


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    return [[finite(x) for x in row] for row in matrix]


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected for their number (Holm 1979, step down), in the same order."""
    order = np.argsort(p)
    stepped = np.minimum(1.0, p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(stepped)
    return corrected


def _standings(
    labels: Sequence[str],
    skills: Sequence[Interval],
    ranges: tuple[np.ndarray, np.ndarray],
    ranked: np.ndarray,
) -> list[Standing]:
    places = np.cumsum(ranked)
    return [
        Standing(label, interval, int(place), int(best), int(worst))
        if has_rank
        else Standing(label, interval)
        for label, interval, has_rank, place, best, worst in zip(
            labels, skills, ranked, places, *ranges, strict=True
        )
    ]
