"""What measured stances say about the eras and about the ruler; reads no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..values import validity
from ..values.dimensions import DIMENSIONS
from ..values.items import length_effect, review_items
from ..values.scenarios import ScenarioBank
from ..values.scores import draws, finite, value_intervals
from .evidence import DimensionValidity, Facets, Move, Replicas, Validation

FACET_SCENARIOS = 10  # a dimension and polarity, read pair by pair


def from_statements(
    items: np.ndarray, bank: ScenarioBank, timeline: str, names: Sequence[str], seed: int
) -> Validation:
    """All that the statements alone can say.

    Args:
        items: shape (eras, scenarios, frames).
        bank: the scenarios.
        timeline: its name.
        names: of the eras.
        seed: of shuffles, splits and resamples.
    """
    stances, labels = items.mean(axis=2), bank.labels
    counts = draws(len(bank), seed)
    covered = np.flatnonzero((labels != 0).any(axis=0))
    without = np.full(len(DIMENSIONS), np.nan)
    without[covered] = validity.resampled_signal(
        stances, labels[:, covered], counts, validity.without_general_factor
    )
    scaled = validity.standardised(stances)
    reliability, overall = validity.split_half(stances, labels, seed)
    p, p_overall = validity.permutation_test(stances, labels, seed)
    number, eigenvalues, bound = validity.directions(stances, labels, seed)
    places = _map(validity.profiles(stances, labels)[:, covered])
    intervals = [value_intervals(own, labels, seed) for own in stances]
    columns = {
        "signal_to_noise": validity.signal_to_noise(stances, labels),
        "shape": validity.signal_to_noise(scaled, labels),
        "without_general": without,
        "reliability": reliability,
        "p": p,
        "frame_agreement": validity.frame_agreement(items, labels),
        "length": length_effect(stances.mean(axis=0), _lengths(bank), labels),
    }
    return Validation(
        timeline=timeline,
        eras=list(names),
        scenarios=len(bank),
        dimensions={
            DIMENSIONS[d]: DimensionValidity(
                values={name: own[d] for name, own in zip(names, intervals, strict=True)},
                **{column: finite(found[d]) for column, found in columns.items()},
            )
            for d in covered
        },
        reliability=overall,
        shape_reliability=validity.split_half(scaled, labels, seed)[1],
        p=p_overall,
        directions=number,
        eigenvalues=eigenvalues.tolist(),
        eigenvalue_bound=bound,
        map={name: (float(x), float(y)) for name, (x, y) in zip(names, places, strict=True)},
        sharpness={n: float(own.std()) for n, own in zip(names, stances, strict=True)},
        moves=_moves(items, bank),
    )


def _lengths(bank: ScenarioBank) -> np.ndarray:
    return np.array([len(scenario.text.split()) for scenario in bank], dtype=float)


def _moves(items: np.ndarray, bank: ScenarioBank) -> list[Move]:
    reviewed = review_items(items, bank.labels)
    stances = items.mean(axis=2)
    return [
        Move(
            id=bank.scenarios[i].id,
            text=bank.scenarios[i].text,
            labels=dict(bank.scenarios[i].polarity),
            change=float(reviewed.change[i]),
            stances=stances[:, i].tolist(),
            suspect=bool(reviewed.suspects[i]),
        )
        for i in np.argsort(-np.abs(reviewed.change), kind="stable")
    ]


def facets(
    bank: ScenarioBank, readings: Mapping[str, tuple[list[int], np.ndarray]]
) -> Facets | None:
    """Variance components, the median over dimensions; None where there are none.

    Args:
        bank: what was read.
        readings: by form, the rows of the bank and what was read of them, shape (eras, rows,
            frames, pairs).
    """
    found = [
        components
        for rows, read in readings.values()
        for labels in bank.labels[rows].T
        if (components := _components(read, labels)) is not None
    ]
    if not found:
        return None
    names = ("era", "scenario", "frame", "pair", "rest")
    parts = np.array([[getattr(c, name) for name in names] for c in found])
    shares = np.median(parts / parts.sum(axis=1, keepdims=True), axis=0)
    return Facets(
        **dict(zip(names, (shares / shares.sum()).tolist(), strict=True)),
        dependability=float(np.median([c.dependability for c in found])),
        scenarios=2 * FACET_SCENARIOS,
    )


def _components(read: np.ndarray, labels: np.ndarray) -> validity.Components | None:
    """Of one dimension; None with fewer than two scenarios of a polarity, frames or pairs, and
    where eras are all alike."""
    sides = [np.flatnonzero(labels == sign)[:FACET_SCENARIOS] for sign in (1, -1)]
    size = min(map(len, sides))
    if size < 2 or min(read.shape[2:]) < 2:
        return None
    chosen = np.concatenate([side[:size] for side in sides])
    found = validity.variance_components(read[:, chosen], np.repeat([1, -1], size))
    return found if found.era + found.rest > 0 else None


def converge(found: Validation, statements: np.ndarray, dilemmas: np.ndarray) -> None:
    """Do dilemmas say the same of the eras?"""
    found.dilemmas = finite(validity.agreement(statements, dilemmas))
    each = validity.correlation(statements, dilemmas)
    for dimension, r in zip(DIMENSIONS, each, strict=True):
        if dimension in found.dimensions:
            found.dimensions[dimension].dilemmas = finite(r)


def paraphrase(
    found: Validation,
    stances: np.ndarray,
    bank: ScenarioBank,
    other: np.ndarray,
    paraphrases: ScenarioBank,
    seed: int,
) -> None:
    """Do the same statements in other words say the same, and what would other statements?"""
    place = {scenario.id: row for row, scenario in enumerate(bank)}
    pairs = [(place[s.id], row) for row, s in enumerate(paraphrases) if s.id in place]
    if not pairs:
        return
    rows, others = (list(side) for side in zip(*pairs, strict=True))
    labels = paraphrases.labels[others]
    first, second = stances[:, rows], other[:, others]
    found.paraphrase = finite(
        validity.agreement(validity.profiles(first, labels), validity.profiles(second, labels))
    )
    found.other_statements = finite(validity.split_half(first, labels, seed)[1])


def _map(profiles: np.ndarray) -> np.ndarray:
    """Places of eras on their first two principal components, shape (eras, 2)."""
    if np.allclose(profiles, 0):
        return np.zeros((len(profiles), 2))
    from sklearn.decomposition import PCA

    return PCA(n_components=2, svd_solver="full").fit_transform(profiles)


def compare(
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
