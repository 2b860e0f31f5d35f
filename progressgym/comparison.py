"""Which algorithm is better than which, by more than scenarios and seeds explain.

Skills are compared in a paired hierarchical bootstrap: a resample draws scenarios, the same for
all algorithms, seeds and eras, and seeds, the same for all algorithms that have equally many. The
scenarios are not drawn anew for each seed: all seeds are measured with the same ones, so that
what is peculiar to a scenario does not average out over seeds. A few seeds say little about
their own spread, which t quantiles take into account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, t

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
NOTHING = 1e-9
"""Differences of skill below this are rounding."""


@dataclass(frozen=True)
class Draws:
    """Skill of an algorithm, and how it scatters over scenarios and seeds.

    Attributes:
        each: skill of each seed, in order of seeds; NaN where undefined. At least one.
        resampled: mean over seeds in each resample of scenarios and seeds, shape (RESAMPLES,).
    """

    each: Mapping[int, float]
    resampled: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over seeds; NaN if it is undefined for one of them."""
        return float(np.mean(list(self.each.values())))

    @property
    def interval(self) -> Interval:
        """The mean with the interval that its resamples leave, stretched for few seeds."""
        if not np.isfinite(self.mean):
            return Interval(value=None)
        low, high = percentiles(self.resampled)
        if low is None or high is None:
            return Interval(value=self.mean)
        of_seeds = (self.strays**2).sum()
        freedom = _freedom(np.nanvar(self.resampled), of_seeds, len(self.each) - 1)
        stretch = float(t.isf(SIGNIFICANT / 2, freedom) / norm.isf(SIGNIFICANT / 2))
        low, high = (self.mean + stretch * (end - self.mean) for end in (low, high))
        return Interval(value=self.mean, low=low, high=high)

    @property
    def strays(self) -> np.ndarray:
        """What each seed adds to the error of the mean, shape (seeds,); 0 of a single seed.

        Their squares sum to the part of the mean's variance that comes from seeds.
        """
        count = len(self.each)
        return (np.array(list(self.each.values())) - self.mean) / np.sqrt(
            max(count * (count - 1), 1)
        )


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
    labels = sorted(runs, key=lambda x: -drawn[x].mean if np.isfinite(drawn[x].mean) else np.inf)
    ordered = [drawn[label] for label in labels]
    difference, p = _pairwise(ordered)
    ranked = np.array([x not in cheats and np.isfinite(drawn[x].mean) for x in labels])
    ranges = rank_ranges(ordered, ranked)
    skills = [draws.interval for draws in ordered]
    return Comparison(_standings(labels, skills, ranges, ranked), difference, p)


def draw_skill(runs: Sequence[RunResult], seed: int = 0) -> Draws:
    """Skill of each seed of an algorithm, and resamples of the mean.

    Algorithms with the same seeds are drawn alike, so that they can be compared in pairs.
    """
    ordered = sorted(runs, key=lambda run: run.spec.seed)
    values = [skill_value(run.trajectory) for run in ordered]
    each = np.stack([resampled_skill(run.trajectory, seed) for run in ordered], axis=1)
    names = [run.spec.seed for run in ordered]
    return Draws(
        dict(zip(names, [np.nan if v is None else v for v in values], strict=True)),
        (each * _seed_weights(names, seed)).sum(axis=1),
    )


def _seed_weights(names: Sequence[int], seed: int) -> np.ndarray:
    """Weight of each seed in each resample, shape (RESAMPLES, seeds).

    Drawn with replacement, and spread by sqrt(n / (n - 1)) about equal weights: else the variance
    of a mean over n seeds would come out too small by (n - 1) / n (Davison & Hinkley 1997, §2.1).
    """
    count = len(names)
    if count == 1:
        return np.ones((RESAMPLES, 1))
    rng = np.random.default_rng([seed, *[name % 2**32 for name in names]])
    drawn = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count
    return 1 / count + (drawn - 1 / count) * np.sqrt(count / (count - 1))


def _freedom(variance: Any, of_seeds: Any, seeds: Any) -> Any:
    """Degrees of freedom of a variance of which a part was estimated from a few seeds.

    Satterthwaite (1946): the rest comes from many scenarios and counts as known.

    Args:
        variance: of a mean or a difference, all of it.
        of_seeds: the part of it that comes from seeds.
        seeds: degrees of freedom of that part; 0 if there is one seed, which says nothing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = seeds * np.maximum(variance / of_seeds, 1.0) ** 2
    return np.where((of_seeds > 0) & (seeds > 0), found, np.inf)


def rank_ranges(draws: Sequence[Draws], ranked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best and worst rank of each row that chance leaves open, shape (n,) each.

    1 + how many are better by more than chance, and how many are not worse by more than chance,
    itself included: with the family-wise correction, all true ranks lie in these ranges at once
    with 95 % (Mogstad et al. 2024, "Inference for Ranks").

    Args:
        draws: of n algorithms.
        ranked: who has a rank, shape (n,); the others are compared all the same.
    """
    critical = _critical_p(draws)
    best, worst = np.ones(len(draws), int), np.full(len(draws), int(ranked.sum()))
    for rows, difference, p in _pairs(draws):
        apart = ranked & (p <= critical)
        best[rows] += (apart & (difference < 0)).sum(axis=1)
        worst[rows] -= (apart & (difference > 0)).sum(axis=1)
    return best, worst


def _critical_p(draws: Sequence[Draws]) -> float:
    """Largest p that Holm's correction calls significant; negative if there is none."""
    count, small = 0, []
    for rows, _, p in _pairs(draws):
        own = p[np.arange(rows.start, rows.stop)[:, None] < np.arange(len(draws))]
        count += int(np.isfinite(own).sum())
        small.append(own[own < SIGNIFICANT])
    every = np.sort(np.concatenate(small)) if small else np.zeros(0)
    passed = every * (count - np.arange(len(every))) < SIGNIFICANT
    rejected = len(every) if passed.all() else int(passed.argmin())
    return float(every[rejected - 1]) if rejected else -1.0


def _pairwise(draws: Sequence[Draws]) -> tuple[np.ndarray, np.ndarray]:
    """Differences and Holm's p of each pair."""
    blocks = list(_pairs(draws))
    difference = np.concatenate([part for _, part, _ in blocks])
    p = np.concatenate([part for _, _, part in blocks])
    pairs = np.triu(np.isfinite(p), k=1)
    p[pairs] = holm(p[pairs])
    p.T[pairs] = p[pairs]
    return difference, p


def _pairs(
    draws: Sequence[Draws], block: int = 512
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Differences of rows to all and their p, not corrected, a block of rows at a time.

    The error is the standard deviation of the paired differences over the resamples in which both
    are defined (a thousand are too few to count tails); its degrees of freedom, see
    :func:`_freedom`, are those of the smaller number of seeds. Where nothing varies, any
    difference is one. NaN where a mean is undefined.

    Yields:
        Which rows, and two matrices of shape (rows, n).
    """
    means = np.array([one.mean for one in draws])
    resampled = np.array([one.resampled for one in draws], dtype=float)
    present = np.isfinite(resampled)
    counts = present.sum(axis=1, keepdims=True)
    filled = np.where(present, resampled, 0.0)
    centred = np.where(present, filled - filled.sum(1, keepdims=True) / np.maximum(counts, 1), 0.0)
    squares, one = centred**2, present.astype(float)
    of_seeds = _SeedVariance(draws)
    for start in range(0, len(means), block):
        rows = slice(start, min(start + block, len(means)))
        both = one[rows] @ one.T
        mean = centred[rows] @ one.T - one[rows] @ centred.T
        square = squares[rows] @ one.T + one[rows] @ squares.T - 2 * centred[rows] @ centred.T
        difference = means[rows, None] - means
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = square / both - (mean / both) ** 2
            ratio = np.abs(difference) / np.sqrt(variance)
        fixed = variance <= NOTHING**2
        ratio[fixed] = np.where(np.abs(difference[fixed]) > NOTHING, np.inf, 0.0)
        p = 2 * t.sf(ratio, _freedom(variance, *of_seeds.of(rows)))
        p[~np.isfinite(difference)] = np.nan
        yield rows, difference, p


class _SeedVariance:
    """Variance of differences between algorithms that comes from seeds."""

    def __init__(self, draws: Sequence[Draws]):
        self._counts = np.array([len(one.each) for one in draws])
        sets: dict[tuple[int, ...], int] = {}
        self._sets = np.array([sets.setdefault(tuple(one.each), len(sets)) for one in draws])
        self._strays = np.zeros((len(draws), self._counts.max(initial=1)))  # of a mean, by seed
        for row, one in enumerate(draws):
            self._strays[row, : len(one.each)] = np.nan_to_num(one.strays)
        self._own = (self._strays**2).sum(axis=1)

    def of(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """The variance of rows minus all, and its degrees of freedom, shape (rows, n) each."""
        shared = self._strays[rows] @ self._strays.T * (self._sets[rows, None] == self._sets)
        variance = np.maximum(self._own[rows, None] + self._own - 2 * shared, 0.0)
        return variance, np.minimum(self._counts[rows, None], self._counts) - 1


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
