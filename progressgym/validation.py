"""Can the eras of a timeline be told apart by their values? The evidence, in one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from pydantic import BaseModel

from .models import era_policy
from .timeline import Timeline
from .values import validity
from .values.dimensions import DIMENSIONS
from .values.measure import measure
from .values.scenarios import ScenarioBank
from .values.scores import Interval, draws, value_intervals

SIGNAL = 2.0  # signal over noise from which a dimension tells the eras apart
RELIABLE = 0.7  # reliability of differences between eras, over all dimensions

Progress = Callable[[int, str], None]
"""Told how many models are measured, and which is next."""


class DimensionValidity(BaseModel):
    """What is known of one dimension; None where it is not defined.

    Attributes:
        values: era -> value with its interval.
        signal_to_noise: variance between eras beyond item sampling, over item sampling.
        without_general: the same after the eras' first common factor is removed.
        reliability: of differences between eras, by split halves.
        p: share of shuffles in which eras differ as much.
        frame_agreement: correlation over eras of the profiles that single frames give.
    """

    values: dict[str, Interval]
    signal_to_noise: float | None
    without_general: float | None
    reliability: float | None
    p: float | None
    frame_agreement: float | None


class Replicas(BaseModel):
    """Eras that were trained twice.

    Attributes:
        distance: of each era's model (rows) to each era's replica (columns), root mean square of
            contrasts over dimensions, in sampling errors.
        recognised: eras whose replica is nearer to them than any other era's replica.
    """

    distance: list[list[float]]
    recognised: list[str]


class Validation(BaseModel):
    """Evidence that the eras of a timeline differ in values beyond measurement error.

    Attributes:
        timeline: its name.
        eras: in order of time.
        scenarios: how many were measured.
        dimensions: dimension -> what is known of it.
        reliability: of differences between eras, over all dimensions at once.
        p: share of shuffles in which eras differ as much, over all dimensions.
        directions: independent directions in which the eras move.
        eigenvalues: of their profiles, in units of sampling variance.
        eigenvalue_bound: what the largest one of shuffled eras reaches in one case of twenty.
        map: era -> its place on the first two principal components of the profiles, in nats.
        replicas: of eras trained twice; None if there are none.
    """

    timeline: str
    eras: list[str]
    scenarios: int
    dimensions: dict[str, DimensionValidity]
    reliability: float
    p: float
    directions: int
    eigenvalues: list[float]
    eigenvalue_bound: float
    map: dict[str, tuple[float, float]]
    replicas: Replicas | None = None

    @property
    def telling(self) -> list[str]:
        """Dimensions that tell the eras apart."""
        return [
            name
            for name, found in self.dimensions.items()
            if found.signal_to_noise is not None and found.signal_to_noise > SIGNAL
        ]

    @property
    def dull(self) -> list[str]:
        """Dimensions that do not."""
        return [name for name in self.dimensions if name not in self.telling]


def validate(
    timeline: Timeline,
    bank: ScenarioBank,
    replicas: Timeline | None = None,
    seed: int = 0,
    progress: Progress = lambda done, text: None,
) -> Validation:
    """Measure all eras and test whether they differ.

    Args:
        timeline: at least three eras.
        bank: scenarios to measure them with.
        replicas: the same eras, trained a second time from other seeds or texts.
        seed: of shuffles, splits and resamples.
        progress: told what is being measured.

    Raises:
        ValueError: replicas of other eras.
    """
    names = [era.name for era in timeline.eras]
    if replicas is not None and [era.name for era in replicas.eras] != names:
        raise ValueError(f"{replicas.name} has other eras than {timeline.name}.")
    items = _measured(timeline, bank, progress, 0)
    stances, labels = items.mean(axis=2), bank.labels
    counts = draws(len(bank), seed)
    covered = np.flatnonzero((labels != 0).any(axis=0))
    without = np.full(len(DIMENSIONS), np.nan)
    without[covered] = validity.resampled_signal(
        stances, labels[:, covered], counts, validity.without_general_factor
    )
    signal = validity.signal_to_noise(stances, labels)
    reliability, overall = validity.split_half(stances, labels, seed)
    p, p_overall = validity.permutation_test(stances, labels, seed)
    frames = validity.frame_agreement(items, labels)
    intervals = [value_intervals(own, labels, seed) for own in stances]
    twice = None
    if replicas is not None:
        other = _measured(replicas, bank, progress, len(names))
        twice = _compare(stances, other.mean(axis=2), bank, names)
    number, eigenvalues, bound = validity.directions(stances, labels, seed)
    places = _map(validity.profiles(stances, labels)[:, covered])
    return Validation(
        timeline=timeline.name,
        eras=names,
        scenarios=len(bank),
        dimensions={
            DIMENSIONS[d]: DimensionValidity(
                values={name: own[d] for name, own in zip(names, intervals, strict=True)},
                signal_to_noise=_number(signal[d]),
                without_general=_number(without[d]),
                reliability=_number(reliability[d]),
                p=_number(p[d]),
                frame_agreement=_number(frames[d]),
            )
            for d in covered
        },
        reliability=overall,
        p=p_overall,
        directions=number,
        eigenvalues=eigenvalues.tolist(),
        eigenvalue_bound=bound,
        map={name: (float(x), float(y)) for name, (x, y) in zip(names, places, strict=True)},
        replicas=twice,
    )


def _measured(timeline: Timeline, bank: ScenarioBank, progress: Progress, done: int) -> np.ndarray:
    """Items of all eras, shape (eras, scenarios, frames)."""
    items = []
    for number, era in enumerate(timeline.eras):
        progress(done + number, f"Measuring {era.name}")
        items.append(measure(era_policy(timeline, era), bank).items)
    return np.stack(items)


def _map(profiles: np.ndarray) -> np.ndarray:
    """Places of eras on their first two principal components, shape (eras, 2)."""
    from sklearn.decomposition import PCA

    return PCA(n_components=2, svd_solver="full").fit_transform(profiles)


def _compare(
    stances: np.ndarray, other: np.ndarray, bank: ScenarioBank, names: Sequence[str]
) -> Replicas:
    """Distances between eras and their replicas.

    Both are taken relative to the mean of their own side, in units of the sampling error of the
    first.
    """
    scale = np.sqrt(validity.sampling_variance(stances, bank.labels))
    kept = np.isfinite(scale) & (scale > 0)
    own, replica = (
        validity.profiles(part, bank.labels)[:, kept] / scale[kept] for part in (stances, other)
    )
    distance = validity.distances(own, replica)
    recognised = [name for row, name in enumerate(names) if distance[row].argmin() == row]
    return Replicas(distance=distance.tolist(), recognised=recognised)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
