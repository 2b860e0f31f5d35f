"""The board's own measurements of the humans, which submitted results have to agree with."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from progressgym.challenge import Challenge
from progressgym.errors import UsageError, first_problem
from progressgym.models import open_backend
from progressgym.storage import atomic_path, sha256_json
from progressgym.timeline import Timeline
from progressgym.values.instruments import frames
from progressgym.values.measure import measure
from progressgym.values.scenarios import Instrument, shipped_bank

BASE = "base"
_SHIPPED = Path(__file__).parent / "humans"


class Humans(BaseModel):
    """What a timeline's models answer to every probe scenario of an instrument.

    Attributes:
        models: the timeline's name, as ``models`` of a run.
        instrument: of the bank.
        base_sha256: of the base's weights.
        humans_sha256: era → hash of its model.
        query_sha256: of the scenarios that are asked.
        scenarios: ids, the rows of the item matrices.
        frames: the columns.
        items: era, or ``base``, → item matrix of log-odds in nats.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: str
    instrument: Instrument
    base_sha256: str
    humans_sha256: dict[str, str]
    query_sha256: str
    scenarios: list[str]
    frames: list[str]
    items: dict[str, list[list[float]]]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.scenarios)}

    @cached_property
    def _matrices(self) -> dict[str, np.ndarray]:
        return {name: np.array(items) for name, items in self.items.items()}

    def of(self, name: str, scenarios: Sequence[str]) -> np.ndarray:
        """Item matrix of an era, or of ``base``, for some scenarios."""
        return self._matrices[name][[self._rows[id] for id in scenarios]]

    def hashes(self, env: Challenge) -> dict[str, Any]:
        """What the manifest of a run of this challenge has to say."""
        return {
            "timeline_sha256": sha256_json(env.timeline.model_dump(mode="json")),
            "base_sha256": self.base_sha256,
            "humans_sha256": {e.name: self.humans_sha256[e.name] for e in env.timeline.eras},
            "probe_sha256": env.probe.fingerprint,
            "query_sha256": self.query_sha256,
        }

    def save(self, folder: Path) -> Path:
        """Write the file that :func:`known_humans` reads, compressed."""
        path = folder / f"{Path(self.models).stem}-{self.instrument}.json.gz"
        content = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        with atomic_path(path) as temporary:
            temporary.write_bytes(gzip.compress(content.encode(), mtime=0))
        return path


def measure_humans(
    models: str, instrument: Instrument, progress: Callable[[int, int], None] = lambda a, b: None
) -> Humans:
    """Measure every era of a timeline, and its base, with all shipped probe scenarios.

    Args:
        models: name of a shipped timeline, or a YAML file.
        instrument: which shipped bank.
        progress: told (models done, models in all).
    """
    timeline, bank = Timeline.load(models), shipped_bank(instrument)
    probe, query = bank.split("probe"), bank.split("query")
    local = open_backend("local")
    hashes = local.manifest(timeline)
    items = {}
    for done, name in enumerate([BASE, *(era.name for era in timeline.eras)]):
        progress(done, 1 + len(timeline.eras))
        items[name] = measure(local.named(name, timeline), probe).items.tolist()
    return Humans(
        models=models,
        instrument=instrument,
        base_sha256=hashes["base_sha256"],
        humans_sha256=hashes["humans_sha256"],
        query_sha256=query.fingerprint,
        scenarios=[scenario.id for scenario in probe],
        frames=list(frames(probe)),
        items=items,
    )


def known_humans(folders: Sequence[Path] = ()) -> list[Humans]:
    """The shipped measurements and those in further folders.

    Raises:
        UsageError: a file is damaged.
    """
    found = [path for folder in (_SHIPPED, *folders) for path in sorted(folder.glob("*.json.gz"))]
    return [_read(path) for path in found]


def _read(path: Path) -> Humans:
    """One file of measurements.

    Raises:
        UsageError: it is damaged.
    """
    try:
        return Humans.model_validate_json(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise UsageError(
            f"{path} holds no measurements: {problem}. Make it anew with "
            "`progressgym leaderboard measure`."
        ) from error
