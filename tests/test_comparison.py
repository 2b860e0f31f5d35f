"""Comparisons of algorithms: paired over scenarios and seeds, corrected, with rank intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from progressgym.comparison import Draws, _pairs, _seed_weights, compare, holm, rank_ranges
from progressgym.results import RunResult, RunSpec, Step
from progressgym.values.dimensions import DIMENSIONS

ITEMS = 12  # a dimension and polarity


def run(way: float, seed: int = 0, noise: float = 0.0, slips: float = 0.0) -> RunResult:
    """A policy that goes a share of the human's way, in three eras.

    Seeds differ by noise; slips are made with single scenarios, the same ones by every policy.
    """
    scenarios = [
        (f"{d}-{polarity}-{i}", {d: polarity})
        for d in DIMENSIONS
        for polarity in (1, -1)
        for i in range(ITEMS)
    ]
    signs = np.array([next(iter(labels.values())) for _, labels in scenarios])
    own = np.random.default_rng(0).normal(0, 0.3, len(scenarios))  # of each scenario
    start = own[:, None]
    steps = []
    for era in range(3):
        target = start + 0.4 * era * (1 + own[:, None]) * signs[:, None]
        stray = np.random.default_rng([seed, era, 1]).normal(0, noise) * signs[:, None]
        slip = np.random.default_rng(1).normal(0, slips, len(scenarios))[:, None]
        policy = start + way * (target - start) + stray + slip
        steps.append(
            Step(
                era=str(era), target=str(era), policy_items=policy.tolist(),
                target_items=target.tolist(), reward=0.0, questions=1,
            )
        )  # fmt: skip
    return RunResult(
        spec=RunSpec(challenge="follow", algorithm="x", seed=seed),
        manifest={},
        scenarios=scenarios,
        frames=["one"],
        initial_items=start.tolist(),
        steps=steps,
    )


def seeds(way: float, noise: float) -> list[RunResult]:
    return [run(way, seed, noise) for seed in range(3)]


def test_better_algorithms_come_first_and_are_told_apart() -> None:
    found = compare({"half": seeds(0.5, 0.01), "all": seeds(0.95, 0.01), "none": seeds(0.0, 0.0)})
    assert [s.label for s in found.standings] == ["all", "half", "none"]
    assert [(s.rank, s.best_rank, s.worst_rank) for s in found.standings] == [
        (1, 1, 1), (2, 2, 2), (3, 3, 3),
    ]  # fmt: skip
    assert found.difference[0, 2] == pytest.approx(
        found.standings[0].skill.value - found.standings[2].skill.value
    )
    assert (found.p[np.triu_indices(3, 1)] < 0.01).all()
    assert found.alike == []


def test_equal_algorithms_share_their_ranks() -> None:
    found = compare({"a": seeds(0.5, 0.2), "b": seeds(0.5, 0.2), "none": seeds(0.0, 0.0)})
    a, b, _ = found.standings
    assert found.p[0, 1] == 1
    assert (a.best_rank, a.worst_rank) == (b.best_rank, b.worst_rank)
    assert a.best_rank == 1
    assert a.worst_rank >= 2
    assert (0, 1) in [(first, min(last, 1)) for first, last in found.alike]


def test_pairing_finds_what_intervals_that_overlap_hide() -> None:
    found = compare({"a": [run(0.6, slips=1.0)], "b": [run(0.7, slips=1.0)]})
    first, second = (s.skill for s in found.standings)
    assert first.low < second.high  # the intervals overlap
    assert found.p[0, 1] < 0.05  # the difference does not come from the choice of scenarios


def test_seeds_widen_the_interval() -> None:
    def width(noise: float) -> float:
        interval = compare({"a": seeds(0.6, noise), "b": seeds(0.1, 0)}).standings[0].skill
        return interval.high - interval.low

    assert width(0.2) > 1.5 * width(0.0)


def test_upper_bounds_are_shown_without_a_rank() -> None:
    found = compare({"oracle": [run(1.0)], "a": [run(0.5)]}, cheats=["oracle"])
    assert [s.rank for s in found.standings] == [None, 1]
    assert (found.standings[1].best_rank, found.standings[1].worst_rank) == (1, 1)
    assert [s.rank_range for s in found.standings] == ["–", "1"]


def test_undefined_skills_come_last_without_a_rank() -> None:
    still = run(0.5)
    for step in still.steps:
        step.target_items = step.policy_items = still.initial_items
    found = compare({"still": [still], "a": [run(0.5)]})
    assert [s.label for s in found.standings] == ["a", "still"]
    assert found.standings[1].rank is None
    assert np.isnan(found.p[0, 1])
    assert found.as_json()["p"][0][1] is None


def test_other_scenarios_are_refused() -> None:
    other = run(0.5).model_copy(update={"scenarios": run(0.5).scenarios[::-1]})
    with pytest.raises(ValueError, match="same scenarios"):
        compare({"a": [run(0.5)], "b": [other]})


@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_corrects_upwards_and_keeps_the_order(p: list[float]) -> None:
    corrected = holm(np.array(p))
    assert all(raw <= new <= 1 for raw, new in zip(p, corrected, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all() if p else True
    if p:
        assert min(corrected) == pytest.approx(min(1, len(p) * min(p)))


def test_the_smallest_certain_difference_is_certain() -> None:
    found = compare({"oracle": seeds(1.0, 0.0), "none": seeds(0.0, 0.0)}, cheats=["oracle"])
    assert found.p[0, 1] == 0  # nothing varies: any difference is one
    assert compare({"a": seeds(0.0, 0.0), "none": seeds(0.0, 0.0)}).p[0, 1] == 1


def test_few_seeds_are_given_the_width_that_covers() -> None:
    """Normal skills without scenario noise: intervals are those of Student's t."""
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(300):
        skills = rng.normal(0.5, 0.1, 3)
        names = [int(n) for n in 3 * trial + np.arange(3)]
        weights = _seed_weights(names, 0)
        interval = Draws(dict(zip(names, skills.tolist(), strict=True)), weights @ skills).interval
        inside += interval.low <= 0.5 <= interval.high
    assert inside / 300 > 0.9  # percentiles of three alone: 0.66


def test_seeds_are_paired_by_their_name() -> None:
    """What a seed does to both algorithms cancels, if they have the same seeds."""

    def runs(way: float, names: range) -> list[RunResult]:
        return [run(way, seed, noise=0.1) for seed in names]

    same = compare({"a": runs(0.7, range(4)), "b": runs(0.6, range(4))})
    other = compare({"a": runs(0.7, range(4)), "b": runs(0.6, range(4, 8))})
    assert same.p[0, 1] < other.p[0, 1] / 3


def drawn(means: np.ndarray, seeds: int, rng: np.random.Generator) -> list[Draws]:
    """Algorithms with these skills over some seeds, and resamples that share most noise."""
    shared = rng.normal(size=1000)
    found = []
    for mean in means:
        each = rng.normal(0, 0.05, seeds)
        each += mean - each.mean()
        noise = shared + 0.05 * rng.normal(size=1000)
        found.append(Draws(dict(enumerate(each.tolist())), mean + noise))
    return found


def test_rank_ranges_count_who_is_surely_better_or_worse_over_many_blocks() -> None:
    rng = np.random.default_rng(0)
    draws = drawn(np.sort(rng.normal(size=700))[::-1], 3, rng)
    ranked = np.ones(700, bool)
    ranked[3] = False
    best, worst = rank_ranges(draws, ranked)

    means = np.array([one.mean for one in draws])
    covariance = np.cov([one.resampled for one in draws], bias=True)
    spread = np.diag(covariance)[:, None] + np.diag(covariance) - 2 * covariance
    each = np.array([list(one.each.values()) for one in draws])
    of_seeds = np.var(each[:, None] - each, axis=2, ddof=1) / 3
    difference = means[:, None] - means
    p = np.ones((700, 700))
    upper = np.triu_indices(700, k=1)
    freedom = 2 * np.maximum(spread[upper] / of_seeds[upper], 1) ** 2
    p[upper] = holm(2 * t.sf(np.abs(difference[upper]) / np.sqrt(spread[upper]), freedom))
    apart = (np.minimum(p, p.T) < 0.05) & ranked
    np.testing.assert_array_equal(best, 1 + (apart & (difference < 0)).sum(axis=1))
    np.testing.assert_array_equal(worst, 699 - (apart & (difference > 0)).sum(axis=1))


def test_pairs_are_compared_where_both_are_defined() -> None:
    rng = np.random.default_rng(1)
    draws = drawn(np.array([0.3, 0.2, np.nan]), 1, rng)
    draws[0].resampled[::7] = np.nan
    ((_, _, p),) = _pairs(draws)
    error = np.nanstd(draws[0].resampled - draws[1].resampled)
    assert p[0, 1] == pytest.approx(2 * t.sf(0.1 / error, np.inf))
    assert np.isnan(p[:, 2]).all()
