"""A run's log: what happened when, a JSON object a line, beside the result and no part of it.

Every line has ``event``, ``time`` (UTC) and ``seconds``, by a clock that only goes forward, since
the process took the run up. The events:

``planned`` a grid with this run was started: ``steps``;
``started``, ``resumed`` a process takes it up: ``steps``, ``done``;
``updated`` the algorithm's policy of a step is there: ``step``, ``era``, ``questions`` used,
``curves`` (first, last and lowest value of each curve of its training);
``scored`` the step is finished: ``step``, ``era``, ``reward``;
``finished`` the result is written: ``skill``;
``failed`` the run ended without one: ``problem``.

Whoever is killed says nothing: then the last line may be torn, and no process holds the lock.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NAME = "log.jsonl"


class RunLog:
    """Writes a run's log; where it cannot be written the run goes on without.

    Args:
        folder: of the run; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / NAME if folder else None
        self._start = time.monotonic()

    def write(self, event: str, **facts: Any) -> None:
        """Add a line."""
        if self._path is None:
            return
        line = {
            "event": event,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._start, 3),
            **facts,
        }
        with suppress(OSError, TypeError, ValueError):
            content = json.dumps(_plain(line), ensure_ascii=False, default=str).encode() + b"\n"
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    content = content if file.read(1) == b"\n" else b"\n" + content
                file.write(content)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; torn ones are left out, and there may be none."""
    found = []
    with suppress(OSError):
        for line in (folder / NAME).read_bytes().splitlines():
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict) and isinstance(entry.get("event"), str):
                    found.append(entry)
    return found


def summary(curves: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """First, last and lowest value of each curve."""
    found = {}
    for name, values in curves.items():
        with suppress(TypeError, ValueError, IndexError):  # an algorithm's own: it may be anything
            found[name] = {"first": values[0], "last": values[-1], "lowest": min(values)}
    return found


def _plain(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
