"""Measuring: a model's value vector from a bank, remembered by content."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..models import Policy
from ..storage import atomic_path, cache_folder, sha256_json
from .forms import FORMS
from .instruments import frames, read_items
from .scenarios import ScenarioBank
from .vector import ValueVector

DECIMALS = 6  # of a log-odds in results: far below what any score resolves


def measure(policy: Policy, bank: ScenarioBank) -> ValueVector:
    """Measure a model, or remember the measurement of an equal model with an equal bank.

    Returns:
        Its value vector; items rounded to 6 decimals, so that a result file holds all of it.
    """
    asked = [bank.fingerprint, bank.instrument, repr(FORMS)]
    key = sha256_json([policy.fingerprint, *asked])
    path = cache_folder() / "measurements" / key[:2] / f"{key}.npy"
    shape = (len(bank), len(frames(bank)))
    items = _remembered(path, shape)
    if items is None:
        items = np.round(read_items(policy, bank), DECIMALS)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, items)
    return ValueVector.of(items, bank)


def _remembered(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """A stored item matrix; None where there is none, or one that cannot be trusted."""
    try:
        items = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return items if items.shape == shape and np.isfinite(items).all() else None
