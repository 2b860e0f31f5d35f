"""Passages that occur twice: the same letters, or the same beginning or end."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ENDS = 120  # letters of a beginning or an end; shorter ones repeat by formula
# Authors do repeat themselves: presidents from year to year, lawyers by formula.
MANY_LEAKED = 0.005  # share of the held-out passages that are trained on
MANY_TWICE = 0.01  # share of an era's passages that repeat another


class Repeats:
    """Collects fingerprints of passages; 25 bytes each, so that millions fit into memory.

    Two passages are the same if their letters are, whatever their case, spacing, digits and
    points, and near-equal if their first or their last 120 letters are.
    """

    def __init__(self) -> None:
        self.keys: dict[str, list[np.ndarray]] = {}  # era -> arrays (3, passages)
        self.held_out: dict[str, list[np.ndarray]] = {}

    def add(self, era: str, batch: pa.RecordBatch) -> None:
        """Take in passages of an era: columns ``split`` and ``text``."""
        letters = pc.replace_substring_regex(pc.utf8_lower(batch["text"]), r"[^\p{L}]+", "")
        first = pc.utf8_slice_codeunits(letters, 0, ENDS)
        last = pc.utf8_slice_codeunits(letters, -ENDS)
        keys = np.stack([_keys(column) for column in (letters, first, last)])
        self.keys.setdefault(era, []).append(keys)
        held_out = np.array([split == "validation" for split in batch["split"].to_pylist()])
        self.held_out.setdefault(era, []).append(held_out)

    def found(self) -> Iterator[tuple[str | None, bool, str, str]]:
        """Era, whether it is an alarm, what, and detail, of each kind of repetition."""
        whole: list[np.ndarray] = []
        for era, parts in self.keys.items():
            keys = np.concatenate(parts, axis=1)
            held_out = np.concatenate(self.held_out[era])
            whole.append(np.unique(keys[0]))
            yield from _in_era(era, keys, held_out)
        if whole:
            counts = np.unique(np.concatenate(whole), return_counts=True)[1]
            if several := int((counts > 1).sum()):
                yield None, False, "passage in two eras", f"{several:,} passages."


def _in_era(
    era: str, keys: np.ndarray, held_out: np.ndarray
) -> Iterator[tuple[str, bool, str, str]]:
    """Repetitions within an era."""
    same, *ends = (np.isin(row[held_out], row[~held_out]) for row in keys)
    near = (ends[0] | ends[1]) & ~same
    if same.any():
        detail = f"{int(same.sum()):,} held-out passages are also trained on."
        alarm = float(same.mean()) > MANY_LEAKED
        yield era, alarm, "passage on both sides", detail
    if near.any():
        detail = f"{int(near.sum()):,} held-out passages begin or end as ones that are trained on."
        yield era, False, "nearly equal passages on both sides", detail
    repeated = keys.shape[1] - len(np.unique(keys[0]))
    if repeated:
        share = repeated / keys.shape[1]
        detail = f"{repeated:,} passages ({share:.2%}) repeat another one."
        yield era, share > MANY_TWICE, "passage twice", detail


def _keys(texts: pa.Array) -> np.ndarray:
    """64 bits for each text."""
    digests = (blake2b(t.encode(), digest_size=8).digest() for t in texts.to_pylist())
    return np.frombuffer(b"".join(digests), dtype="<u8")
