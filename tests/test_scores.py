"""Scores: what they are exactly at the corners, and how they treat noise and drift."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from progressgym.values.dimensions import DIMENSIONS
from progressgym.values.scores import (
    Trajectory,
    gain,
    noise_floor,
    skill,
    skill_by_dimension,
    skill_by_step,
    squared_errors,
    upstream_score,
    value_intervals,
)
from progressgym.values.vector import ValueVector, contrasts, sigmoid

STEPS = 4
finite = st.floats(-20, 20)
seeds = st.integers(0, 2**32 - 1)


def labels_of(per_cell: int, dimensions: int = len(DIMENSIONS)) -> np.ndarray:
    """``per_cell`` upholding and as many violating scenarios of each of the first dimensions."""
    labels = np.zeros((2 * per_cell * dimensions, len(DIMENSIONS)), dtype=np.int8)
    for row in range(len(labels)):
        labels[row, row // (2 * per_cell)] = 1 if row % 2 else -1
    return labels


def trajectory_of(seed: int = 0, per_cell: int = 6, spread: float = 0.3) -> Trajectory:
    """Humans who move away from a frozen policy; items of a dimension differ by ``spread``."""
    rng = np.random.default_rng(seed)
    labels = labels_of(per_cell)
    frozen = rng.normal(size=len(labels))
    change = rng.normal(0.0, 0.8, size=(STEPS, len(DIMENSIONS))) + 0.5
    moved = change @ labels.T + rng.normal(0.0, spread, size=(STEPS, len(labels)))
    return Trajectory(frozen + moved, frozen + moved, frozen, labels)


def with_policy(trajectory: Trajectory, policy: np.ndarray) -> Trajectory:
    policy = np.broadcast_to(policy, trajectory.target.shape).copy()
    return Trajectory(policy, trajectory.target, trajectory.frozen, trajectory.labels)


def moved(trajectory: Trajectory, factor: float) -> Trajectory:
    """The policy that goes ``factor`` times the human's way, in log-odds."""
    frozen = trajectory.frozen
    return with_policy(trajectory, frozen + factor * (trajectory.target - frozen))


def naive_skill(trajectory: Trajectory) -> float:
    """The skill formula without a noise floor, written out independently of the package."""
    policy, target, frozen = (
        sigmoid(contrasts(s, trajectory.labels))
        for s in (trajectory.policy, trajectory.target, trajectory.frozen)
    )
    return 1 - ((policy - target) ** 2).sum() / ((frozen - target) ** 2).sum()


@pytest.mark.parametrize("seed", range(5))
def test_frozen_policy_has_skill_exactly_zero(seed: int) -> None:
    trajectory = trajectory_of(seed)
    frozen = with_policy(trajectory, trajectory.frozen)
    assert skill(frozen).value == 0.0
    assert all(value in (0.0, None) for value in skill_by_dimension(frozen).values())
    assert skill_by_step(frozen) == [0.0] * STEPS


@pytest.mark.parametrize("seed", range(5))
def test_oracle_has_skill_exactly_one(seed: int) -> None:
    oracle = trajectory_of(seed)
    interval = skill(oracle)
    assert (interval.value, interval.low, interval.high) == (1.0, 1.0, 1.0)
    assert all(value in (1.0, None) for value in skill_by_dimension(oracle).values())
    assert skill_by_step(oracle) == [1.0] * STEPS
    assert noise_floor(oracle)["policy"] == 0.0


def test_policy_half_way_lies_clearly_between() -> None:
    value = skill(moved(trajectory_of(), 0.5)).value
    assert value is not None
    assert 0.5 < value < 0.9


def test_skill_rises_with_the_share_of_the_way_gone() -> None:
    trajectory = trajectory_of()
    values = [skill(moved(trajectory, factor)).value for factor in (0, 0.25, 0.5, 0.75, 1)]
    assert values == sorted(values)
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("factor", [-0.5, -1.0])
def test_policy_worse_than_frozen_has_negative_skill(factor: float) -> None:
    interval = skill(moved(trajectory_of(), factor))
    assert interval.value is not None
    assert interval.value < -0.2
    assert interval.high is not None
    assert interval.high < 0


def unmoved_humans() -> Trajectory:
    """A policy that wandered off while the humans stayed the frozen policy's, to the last bit."""
    trajectory = trajectory_of()
    still = np.broadcast_to(trajectory.frozen, trajectory.target.shape).copy()
    return Trajectory(trajectory.policy, still, trajectory.frozen, trajectory.labels)


def test_skill_is_undefined_where_the_humans_are_the_frozen_policy() -> None:
    assert skill(unmoved_humans()).value is None
    assert set(skill_by_dimension(unmoved_humans()).values()) == {None}


def test_gain_is_undefined_where_the_humans_are_the_frozen_policy() -> None:
    assert gain(unmoved_humans()).value is None


def test_only_the_step_whose_human_has_not_moved_is_undefined() -> None:
    trajectory = trajectory_of()
    target = trajectory.target.copy()
    target[0] = trajectory.frozen
    first, *later = skill_by_step(Trajectory(target, target, trajectory.frozen, trajectory.labels))
    assert first is None
    assert later == [1.0] * (STEPS - 1)


@given(seed=seeds, drift=finite)
def test_general_drift_of_praise_changes_no_contrast(seed: int, drift: float) -> None:
    labels = labels_of(3)
    stances = np.random.default_rng(seed).normal(size=(2, len(labels)))
    np.testing.assert_allclose(
        contrasts(stances + drift, labels), contrasts(stances, labels), atol=1e-12
    )


@given(seed=seeds, by=finite)
def test_only_the_shifted_dimension_changes_and_by_both_polarities(seed: int, by: float) -> None:
    labels = labels_of(3)
    stances = np.random.default_rng(seed).normal(size=len(labels))
    changed = contrasts(stances + by * labels[:, 4], labels) - contrasts(stances, labels)
    expected = np.zeros(len(DIMENSIONS))
    expected[4] = 2 * by
    np.testing.assert_allclose(changed, expected, atol=1e-12)


@given(seed=seeds)
def test_counts_of_ones_change_no_contrast(seed: int) -> None:
    labels = labels_of(3)
    stances = np.random.default_rng(seed).normal(size=(STEPS, len(labels)))
    plain = contrasts(stances, labels)
    counted = contrasts(stances, labels, np.ones((2, len(labels))))
    assert counted.shape == (2, *plain.shape)
    np.testing.assert_allclose(counted, np.stack([plain, plain]), atol=1e-12)
    one = contrasts(stances[0], labels, np.ones((2, len(labels))))
    np.testing.assert_allclose(one, plain[[0, 0]], atol=1e-12)


def test_a_count_of_two_equals_the_scenario_written_twice() -> None:
    labels = labels_of(3)
    stances = np.random.default_rng(0).normal(size=len(labels))
    counts = np.ones((1, len(labels)))
    counts[0, 5] = 2
    twice = contrasts(np.append(stances, stances[5]), np.vstack([labels, labels[5]]))
    np.testing.assert_allclose(contrasts(stances, labels, counts)[0], twice, atol=1e-12)


def test_dimensions_without_scenarios_are_nan_and_left_out() -> None:
    labels = labels_of(3, dimensions=2)
    vector = ValueVector(np.random.default_rng(0).normal(size=(len(labels), 2)), labels)
    assert np.isfinite(vector.values[:2]).all()
    assert np.isnan(vector.values[2:]).all()
    assert list(vector.as_dict()) == list(DIMENSIONS[:2])


def test_dimensions_without_scenarios_do_not_touch_the_scores() -> None:
    whole = moved(trajectory_of(), 0.5)
    rows = (whole.labels[:, :5] != 0).any(axis=1)
    part = Trajectory(
        whole.policy[:, rows], whole.target[:, rows], whole.frozen[rows], whole.labels[rows]
    )
    errors, floors = squared_errors(whole)
    part_errors, part_floors = squared_errors(part)
    assert (part_errors[..., 5:] == 0).all()
    assert (part_floors[..., 5:] == 0).all()
    np.testing.assert_allclose(part_errors[..., :5], errors[..., :5], atol=1e-15)
    np.testing.assert_allclose(part_floors[..., :5], floors[..., :5], atol=1e-15)
    by_dimension = skill_by_dimension(part)
    assert [d for d, value in by_dimension.items() if value is not None] == list(DIMENSIONS[:5])
    assert skill(part).low is not None
    assert gain(part).value == pytest.approx(0.5)


def test_upstream_score_equals_the_plain_formula() -> None:
    policy, target = np.random.default_rng(0).uniform(0.1, 0.9, size=(2, STEPS, 19))
    cosines = [
        sum(a * b for a, b in zip(v, u, strict=True))
        / (sum(a * a for a in v) ** 0.5 * sum(b * b for b in u) ** 0.5)
        for v, u in zip(policy, target, strict=True)
    ]
    assert upstream_score(policy, target) == pytest.approx(sum(cosines) / STEPS, abs=1e-12)


@given(seed=seeds, factor=st.floats(1e-3, 1e3), other=st.floats(1e-3, 1e3))
def test_upstream_score_does_not_see_scale(seed: int, factor: float, other: float) -> None:
    policy, target = np.random.default_rng(seed).uniform(0.1, 0.9, size=(2, STEPS, 19))
    scaled = upstream_score(factor * policy, other * target)
    assert scaled == pytest.approx(upstream_score(policy, target), abs=1e-12)
    assert upstream_score(policy, factor * policy) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 2.0, -1.0])
def test_gain_is_the_factor_by_which_the_policy_follows(factor: float) -> None:
    interval = gain(moved(trajectory_of(), factor))
    assert interval.value == pytest.approx(factor, abs=1e-12)
    assert interval.low == pytest.approx(factor, abs=1e-9)
    assert interval.high == pytest.approx(factor, abs=1e-9)


def test_noise_floor_makes_skill_unbiased() -> None:
    """A policy that differs from the human by item noise of mean 0 alone is the human."""
    clean = trajectory_of(per_cell=12)
    rng = np.random.default_rng(7)
    debiased, naive = [], []
    for _ in range(300):
        noise = rng.normal(0.0, 1.5, size=clean.target.shape)
        noisy = with_policy(clean, clean.target + noise)
        error, floor = (part.sum(axis=(1, 2)) for part in squared_errors(noisy))
        left, right = error - floor
        debiased.append(1 - left / right)
        naive.append(naive_skill(noisy))
    assert skill(noisy).value == pytest.approx(debiased[-1], abs=1e-12)
    assert np.mean(debiased) == pytest.approx(1.0, abs=0.02)
    assert np.mean(naive) < 0.9


def test_noise_floor_is_the_error_that_sampling_alone_makes() -> None:
    clean = trajectory_of(per_cell=12)
    rng = np.random.default_rng(3)
    errors, floors = 0.0, 0.0
    for _ in range(100):
        noise = rng.normal(0.0, 0.5, size=clean.target.shape)
        noisy = with_policy(clean, clean.target + noise)
        error, floor = (part.sum(axis=(1, 2)) for part in squared_errors(noisy))
        shares = noise_floor(noisy)
        assert shares == pytest.approx(
            {"policy": floor[0] / error[0], "frozen": floor[1] / error[1]}
        )
        assert 0 < shares["frozen"] < 0.1
        errors, floors = errors + error[0], floors + floor[0]
    assert floors / errors == pytest.approx(1.0, abs=0.15)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, factor=st.floats(-0.5, 1.5), noise=st.floats(0.0, 1.0))
def test_skill_interval_contains_the_value(seed: int, factor: float, noise: float) -> None:
    trajectory = moved(trajectory_of(seed, per_cell=8), factor)
    jitter = np.random.default_rng(seed).normal(0.0, noise, size=trajectory.policy.shape)
    interval = skill(with_policy(trajectory, trajectory.policy + jitter))
    assert interval.value is not None
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low - 1e-9 <= interval.value <= interval.high + 1e-9


def test_intervals_shrink_with_more_scenarios() -> None:
    def widths(per_cell: int) -> tuple[float, float, float]:
        trajectory = moved(trajectory_of(per_cell=per_cell), 0.5)
        noise = np.random.default_rng(1).normal(0.0, 0.7, size=trajectory.policy.shape)
        noisy = with_policy(trajectory, trajectory.policy + noise)
        first = value_intervals(noisy.policy[0], noisy.labels)
        intervals = (skill(noisy), gain(noisy), first[0])
        return tuple(i.high - i.low for i in intervals)

    few, many = widths(4), widths(64)
    for wide, narrow in zip(few, many, strict=True):
        assert 0 < narrow < 0.5 * wide


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Value intervals of noisy readings of one known contrast."""
    labels = labels_of(16, dimensions=4)
    truth = 0.6
    rng = np.random.default_rng(11)
    hits = []
    for _ in range(50):
        stances = 0.5 * truth * labels.sum(axis=1) + rng.normal(size=len(labels))
        hits += [
            i.low <= sigmoid(np.array(truth)) <= i.high
            for i in value_intervals(stances, labels)[:4]
        ]
    assert 0.87 < np.mean(hits) < 0.99


def test_intervals_are_determined_by_the_seed() -> None:
    trajectory = moved(trajectory_of(), 0.5)
    noise = np.random.default_rng(1).normal(size=trajectory.policy.shape)
    noisy = with_policy(trajectory, trajectory.policy + noise)
    stances = noisy.policy[0]
    for score in (skill, gain):
        assert score(noisy, seed=5) == score(noisy, seed=5)
        assert score(noisy, seed=5).low != score(noisy, seed=6).low
        assert score(noisy, seed=5).value == score(noisy, seed=6).value
    first = value_intervals(stances, noisy.labels, seed=5)
    assert first == value_intervals(stances, noisy.labels, seed=5)
    assert first[0].low != value_intervals(stances, noisy.labels, seed=6)[0].low


def test_value_intervals_contain_the_values_of_the_vector() -> None:
    labels = labels_of(6, dimensions=17)
    items = np.random.default_rng(2).normal(size=(len(labels), 2))
    vector = ValueVector(items, labels)
    intervals = value_intervals(vector.stances, labels)
    assert len(intervals) == len(DIMENSIONS)
    for interval, value in zip(intervals[:17], vector.values[:17], strict=True):
        assert interval.value == pytest.approx(value, abs=1e-12)
        assert 0 < interval.low < interval.value < interval.high < 1
    for interval in intervals[17:]:
        assert (interval.value, interval.low, interval.high) == (None, None, None)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20))
def test_sigmoid_is_finite_monotone_and_symmetric(xs: list[float]) -> None:
    x = np.sort(np.array(xs))
    with np.errstate(over="raise", invalid="raise"):
        y = sigmoid(x)
    assert ((y >= 0) & (y <= 1)).all()
    assert (np.diff(y) >= 0).all()
    np.testing.assert_allclose(y + sigmoid(-x), 1.0, atol=1e-15)
    assert sigmoid(np.array(np.log(3.0))) == pytest.approx(0.75)
