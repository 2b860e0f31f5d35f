"""The ruler's own tests: known truths in simulated eras."""

from __future__ import annotations

import numpy as np
import pytest

from progressgym.values.dimensions import DIMENSIONS
from progressgym.values.validity import (
    agreement,
    directions,
    distances,
    frame_agreement,
    permutation_test,
    profiles,
    resampled_signal,
    signal_to_noise,
    split_half,
    standardised,
    variance_components,
    without_general_factor,
)

ERAS, ITEMS = 9, 40
LABELS = np.repeat(
    np.concatenate([np.eye(len(DIMENSIONS)), -np.eye(len(DIMENSIONS))]), ITEMS, axis=0
).astype(np.int8)


def simulate(signal: np.ndarray, noise: float = 1.0, seed: int = 0) -> np.ndarray:
    """Stances in which upholding an item's dimension gains half of the era's signal.

    Args:
        signal: era's contrast of each dimension, shape (eras, 19).
        noise: standard deviation of era × item.
    """
    rng = np.random.default_rng(seed)
    items = rng.normal(0, 3, len(LABELS))  # what all eras think of an item
    return items + signal @ LABELS.T / 2 + rng.normal(0, noise, (len(signal), len(LABELS)))


def test_equal_eras_have_no_signal() -> None:
    found = [signal_to_noise(simulate(np.zeros((ERAS, 19)), seed=s), LABELS) for s in range(20)]
    assert np.mean(found) == pytest.approx(0, abs=0.1)


def test_signal_to_noise_is_the_ratio_of_variances() -> None:
    rng = np.random.default_rng(1)
    true = rng.normal(0, 1, (ERAS, 19))
    sampling = 2 / ITEMS  # of a contrast of 40 against 40, with noise 1
    expected = true.var(axis=0, ddof=1) / sampling
    found = np.mean([signal_to_noise(simulate(true, seed=s), LABELS) for s in range(40)], axis=0)
    np.testing.assert_allclose(found, expected, rtol=0.12)


def test_what_all_eras_share_changes_nothing() -> None:
    stances = simulate(np.random.default_rng(2).normal(0, 1, (ERAS, 19)))
    shifted = stances + np.random.default_rng(3).normal(0, 5, len(LABELS))
    np.testing.assert_allclose(signal_to_noise(shifted, LABELS), signal_to_noise(stances, LABELS))
    np.testing.assert_allclose(split_half(shifted, LABELS)[0], split_half(stances, LABELS)[0])


def test_reliability_is_what_theory_says() -> None:
    true = np.random.default_rng(4).normal(0, 0.3, (ERAS, 19))
    single, overall = split_half(simulate(true), LABELS)
    variance, sampling = true.var(axis=0, ddof=1).mean(), 2 / ITEMS
    assert overall == pytest.approx(variance / (variance + sampling), abs=0.08)
    assert single.shape == (19,)
    assert split_half(simulate(np.zeros((ERAS, 19))), LABELS)[1] == pytest.approx(0, abs=0.35)


def test_shuffling_eras_finds_a_real_difference_and_no_other() -> None:
    true = np.zeros((ERAS, 19))
    true[:, 3] = np.linspace(-1, 1, ERAS)
    single, overall = permutation_test(simulate(true), LABELS, shuffles=199)
    assert single[3] == pytest.approx(1 / 200)
    assert overall < 0.02
    assert (single < 0.05).sum() <= 4
    assert permutation_test(simulate(np.zeros((ERAS, 19)), seed=5), LABELS, shuffles=199)[1] > 0.02


def test_approval_of_everything_is_no_noise_to_shuffled_eras() -> None:
    true = np.zeros((ERAS, 19))
    true[:, 3] = np.linspace(-1, 1, ERAS)
    stances = simulate(true)
    risen = stances + np.linspace(-20, 20, ERAS)[:, None]
    for test in (permutation_test, directions):
        expected, found = (test(part, LABELS, shuffles=49) for part in (stances, risen))
        np.testing.assert_allclose(found[1], expected[1])


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_independent_directions_are_counted(rank: int) -> None:
    rng = np.random.default_rng(6)
    ways = np.linalg.qr(rng.normal(size=(19, 3)))[0][:, :rank]
    moves = np.linalg.qr(rng.normal(size=(ERAS, 3)))[0][:, :rank] * 8
    found, seen, bound = directions(simulate(moves @ ways.T), LABELS, shuffles=199)
    assert found == rank
    assert len(seen) == ERAS - 1
    assert (seen > bound).sum() == rank


def test_the_general_factor_goes_and_the_rest_stays() -> None:
    rng = np.random.default_rng(7)
    general = np.outer(np.linspace(-3, 3, ERAS), np.ones(19))
    own = np.zeros((ERAS, 19))
    own[:, 5] = rng.normal(0, 1.0, ERAS)
    stances = simulate(general + own)
    counts = rng.multinomial(len(LABELS), np.full(len(LABELS), 1 / len(LABELS)), 200).astype(float)
    before = resampled_signal(stances, LABELS, counts)
    after = resampled_signal(stances, LABELS, counts, without_general_factor)
    assert before.min() > 20
    assert after[5] > 5
    assert np.median(np.delete(after, 5)) < 1


def test_resampled_noise_agrees_with_the_formula() -> None:
    stances = simulate(np.random.default_rng(8).normal(0, 1, (ERAS, 19)))
    rng = np.random.default_rng(9)
    counts = rng.multinomial(len(LABELS), np.full(len(LABELS), 1 / len(LABELS)), 400).astype(float)
    resampled, exact = resampled_signal(stances, LABELS, counts), signal_to_noise(stances, LABELS)
    np.testing.assert_allclose(resampled, exact, rtol=0.2)


def test_frames_that_say_the_same_agree() -> None:
    true = np.random.default_rng(10).normal(0, 1, (ERAS, 19))
    same = np.stack([simulate(true, seed=1), simulate(true, seed=2)], axis=2)
    other = np.stack([simulate(true, seed=1), simulate(-true, seed=2)], axis=2)
    assert frame_agreement(same, LABELS).mean() > 0.9
    assert frame_agreement(other, LABELS).mean() < -0.9
    assert np.isnan(frame_agreement(same[:, :, :1], LABELS)).all()


def test_a_dimension_without_items_is_undefined_not_zero() -> None:
    labels = LABELS.copy()
    labels[:, 4] = 0
    stances = simulate(np.zeros((ERAS, 19)))
    assert np.isnan(signal_to_noise(stances, labels)[4])
    assert np.isnan(permutation_test(stances, labels, shuffles=19)[0][4])
    assert np.isfinite(split_half(stances, labels, splits=5)[1])


def test_distances_are_root_mean_squares() -> None:
    assert distances(np.zeros((1, 4)), np.full((2, 4), 3.0)).tolist() == [[3, 3]]
    found = profiles(simulate(np.eye(ERAS, 19)), LABELS)
    assert np.diag(distances(found, found)).max() == 0


def test_variance_components_are_found() -> None:
    true = {"era": 0.5, "scenario": 0.8, "frame": 0.3, "pair": 0.2, "rest": 1.0}
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        signs = np.repeat([1, -1], 10)

        def drawn(variance: float, *shape: int, rng: np.random.Generator = rng) -> np.ndarray:
            return rng.normal(0, variance**0.5, shape)

        signed = drawn(0.5, 9, 1, 1, 1) + drawn(0.8, 9, 20, 1, 1) + drawn(0.3, 9, 1, 4, 1)
        signed = signed + drawn(0.2, 9, 1, 1, 6) + drawn(1.0, 9, 20, 4, 6)
        level = drawn(5, 9, 1, 4, 6) + drawn(5, 1, 20, 4, 6)  # of eras, and of scenarios
        found.append(variance_components(signed * signs[:, None, None] + level, signs))
    for name, variance in true.items():
        assert np.mean([getattr(f, name) for f in found]) == pytest.approx(variance, rel=0.15)
    error = 0.8 / 20 + 0.3 / 4 + 0.2 / 6 + 1.0 / 480
    expected = 0.5 / (0.5 + error)
    assert np.mean([f.dependability for f in found]) == pytest.approx(expected, abs=0.1)


def test_equal_readings_have_no_components() -> None:
    found = variance_components(np.ones((9, 4, 2, 3)), np.array([1, 1, -1, -1]))
    assert found.dependability == 0
    assert found.era == found.scenario == found.rest == 0


def test_sharper_eras_have_one_shape() -> None:
    shape = np.random.default_rng(4).normal(0, 1, len(LABELS))
    stances = np.outer(np.linspace(0.5, 1.5, ERAS), shape)
    np.testing.assert_allclose(standardised(stances), np.tile(shape, (ERAS, 1)))


def test_agreement_ignores_what_is_not_covered() -> None:
    first = np.array([[1.0, np.nan, 2.0], [3.0, 1.0, 5.0]])
    assert agreement(first, 2 * first + 1) == pytest.approx(1)
    assert agreement(first, -first) == pytest.approx(-1)


def test_eras_that_are_all_alike_have_no_directions_and_no_reliability() -> None:
    stances = np.repeat(simulate(np.zeros((1, 19))), ERAS, axis=0)
    number, eigenvalues, _ = directions(stances, LABELS, shuffles=5)
    assert (number, len(eigenvalues)) == (0, 0)
    assert split_half(np.ones((ERAS, len(LABELS))), LABELS, splits=5)[1] == 0
