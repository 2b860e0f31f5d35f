"""Which algorithm is better than which, by more than scenarios and seeds explain.

Skills are compared in a paired hierarchical bootstrap: a resample draws scenarios, the same for
all algorithms, seeds and eras, and seeds, the same for all algorithms that have equally many. The
scenarios are not drawn anew for each seed: all seeds are measured with the same ones, so that
what is peculiar to a scenario does not average out over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
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
    means, resampled = {}, {}
    for label, own in runs.items():
        ordered = sorted(own, key=lambda run: run.spec.seed)
        trajectories = [run.trajectory for run in ordered]
        values = [skill_value(t) for t in trajectories]
        means[label] = float(np.mean([np.nan if v is None else v for v in values]))
        each = np.stack([resampled_skill(t, seed) for t in trajectories], axis=1)
        resampled[label] = (each * _seed_weights(len(ordered), seed)).sum(axis=1)
    labels = sorted(runs, key=lambda label: -means[label] if np.isfinite(means[label]) else np.inf)
    difference, p = _pairwise([means[x] for x in labels], [resampled[x] for x in labels])
    skills = [_interval(means[label], resampled[label]) for label in labels]
    return Comparison(_standings(labels, skills, p, set(cheats)), difference, p)


def _seed_weights(seeds: int, seed: int) -> np.ndarray:
    """Share of each seed in each resample, shape (RESAMPLES, seeds)."""
    rng = np.random.default_rng([seed, seeds])
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds


def _interval(mean: float, resampled: np.ndarray) -> Interval:
    if not np.isfinite(mean):
        return Interval(value=None)
    low, high = percentiles(resampled)
    return Interval(value=mean, low=low, high=high)


def _pairwise(
    means: Sequence[float], resampled: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Differences and Holm's p of each pair; a thousand resamples are too few to count tails."""
    count = len(means)
    difference = np.subtract.outer(means, means)
    p = np.full((count, count), np.nan)
    pairs = [(a, b) for a, b in combinations(range(count), 2) if np.isfinite(difference[a, b])]
    raw = []
    for a, b in pairs:
        apart = resampled[a] - resampled[b]
        error = float(np.nanstd(apart))
        raw.append(2 * norm.sf(abs(difference[a, b]) / error) if error > 0 else 1.0)
    for (a, b), value in zip(pairs, holm(raw), strict=True):
        p[a, b] = p[b, a] = value
    return difference, p


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    return [[finite(x) for x in row] for row in matrix]


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm 1979, step down)."""
    corrected, running = [0.0] * len(p), 0.0
    for place, index in enumerate(np.argsort(p)):
        running = max(running, min(1.0, (len(p) - place) * p[index]))
        corrected[index] = running
    return corrected


def _standings(
    labels: Sequence[str], skills: Sequence[Interval], p: np.ndarray, cheats: set[str]
) -> list[Standing]:
    ranked = [
        i for i, label in enumerate(labels) if label not in cheats and skills[i].value is not None
    ]
    standings = []
    for row, (label, interval) in enumerate(zip(labels, skills, strict=True)):
        if row not in ranked:
            standings.append(Standing(label, interval))
            continue
        place = ranked.index(row)
        better = sum(p[row, other] < SIGNIFICANT for other in ranked[:place])
        worse = sum(p[row, other] < SIGNIFICANT for other in ranked[place + 1 :])
        standings.append(
            Standing(label, interval, place + 1, 1 + int(better), len(ranked) - int(worse))
        )
    return standings
