"""Measuring: a model's value vector from a bank, remembered by content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..models import LanguageModel
from ..storage import (
    cache_folder,
    keeping_if_possible,
    read_sealed,
    sha256_json,
    write_sealed,
)
from .forms import FORMS
from .instruments import frames, read_items
from .scenarios import ScenarioBank
from .vector import ValueVector

DECIMALS = 6  # of a log-odds in results: far below what any score resolves


def measure(policy: LanguageModel, bank: ScenarioBank) -> ValueVector:
    """Measure a model, or remember the measurement of an equal model with an equal bank.

    Returns:
        Its value vector; items rounded to 6 decimals, so that a result file holds all of it.
    """
    asked = [bank.fingerprint, bank.instrument, repr(FORMS)]
    items = remembered(
        sha256_json([policy.fingerprint, *asked]),
        (len(bank), len(frames(bank))),
        lambda: np.round(read_items(policy, bank), DECIMALS),
    )
    return ValueVector.of(items, bank)


def remembered(key: str, shape: tuple[int, ...], read: Callable[[], np.ndarray]) -> np.ndarray:
    """Item matrices from the user's cache, or read and kept there for the next time.

    Args:
        key: hash of everything that decides them.
        shape: of the matrices; what is stored in another one, or not finite, is not trusted.
        read: gives them where nothing is stored.
    """
    path = cache_folder() / "measurements" / key[:2] / f"{key}.json"
    items = _stored(path)
    if items is None or items.shape != shape or not np.isfinite(items).all():
        items = read()
        with keeping_if_possible():
            write_sealed(path, items.tolist())
    return items


def _stored(path: Path) -> np.ndarray | None:
    """What was kept in a file; None where there is none, or a damaged one."""
    try:
        return np.array(read_sealed(path)[0])
    except (OSError, ValueError):
        return None
