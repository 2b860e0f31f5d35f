"""What became of the runs below a folder: told from locks, results, checkpoints and logs."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from .checkpoint import steps_saved
from .errors import UsageError
from .log import NAME, read_log
from .results import NAMES, RunResult
from .storage import is_locked

State = Literal["finished", "running", "interrupted", "failed", "waiting"]

_MARKS = (*NAMES, NAME, "checkpoint")  # a folder with one is a run's


@dataclass(frozen=True)
class RunStatus:
    """One run.

    Attributes:
        folder: where it lies.
        state: ``running`` is one whose lock a process holds now; ``interrupted`` was begun, and
            nobody goes on with it; ``waiting`` was only announced.
        steps: of it; None if neither log nor result tells.
        done: steps that are saved.
        paces: seconds of each step that a log tells of.
        event: the log's last line.
    """

    folder: Path
    state: State
    steps: int | None
    done: int
    paces: tuple[float, ...]
    event: dict[str, Any]

    @property
    def left(self) -> int:
        """Steps to do, as far as is known."""
        return max(0, (self.steps or 0) - self.done)


@dataclass(frozen=True)
class Status:
    """All runs below a folder."""

    runs: tuple[RunStatus, ...]

    @property
    def counts(self) -> dict[State, int]:
        """Number of runs in each state."""
        return dict(Counter(run.state for run in self.runs))

    def step_seconds(self, run: RunStatus) -> float | None:
        """Seconds that a step of a run takes: by its own log, or those of its kind, or by all."""
        kind = [r for r in self.runs if r.folder.parent == run.folder.parent]
        for group in ([run], kind, self.runs):
            if paces := [pace for one in group for pace in one.paces]:
                return fmean(paces)
        return None

    @property
    def seconds_left(self) -> float | None:
        """Until all is finished, with as many at a time as run now; None if nothing tells.

        Runs that failed are left out. Where nothing runs: if one at a time were continued.
        """
        total = 0.0
        for run in self.runs:
            if run.state in ("running", "interrupted", "waiting") and run.left:
                if (seconds := self.step_seconds(run)) is None:
                    return None
                total += run.left * seconds
        return total / max(1, self.counts.get("running", 0))


def look(out: Path) -> Status:
    """See what became of the runs below a folder; nothing is changed by that.

    Raises:
        UsageError: there is no such folder, or no run in it.
    """
    if not out.is_dir():
        raise UsageError(f"No folder {out}.")
    folders = {path.parent for mark in _MARKS for path in out.rglob(mark)}
    if not folders:
        raise UsageError(f"No runs below {out}.")
    return Status(tuple(_look_at(folder) for folder in sorted(folders)))


def _look_at(folder: Path) -> RunStatus:
    lines = read_log(folder)
    steps = next((line["steps"] for line in reversed(lines) if _is_count(line.get("steps"))), None)
    done = steps_saved(folder / "checkpoint")
    event = lines[-1] if lines else {}
    state: State = "waiting"
    if found := [folder / name for name in NAMES if (folder / name).is_file()]:
        steps = steps or _played(found[0])
        state, done = "finished", steps or done
    elif is_locked(folder):
        state = "running"
    elif event.get("event") == "failed":
        state = "failed"
    elif done or any(line["event"] in ("started", "resumed") for line in lines):
        state = "interrupted"
    return RunStatus(folder, state, steps, done, tuple(_paces(lines)), event)


def _played(result: Path) -> int | None:
    """Steps of a finished run whose log is gone, as one that was only downloaded."""
    with contextlib.suppress(UsageError):
        return len(RunResult.load(result).steps)
    return None


def _paces(lines: Sequence[dict[str, Any]]) -> list[float]:
    """Seconds of each step that was played from beginning to end in one process."""
    found: list[float] = []
    before: float | None = None
    for line in lines:
        now = line.get("seconds")
        if not isinstance(now, int | float) or line["event"] in ("planned", "failed"):
            continue
        if line["event"] == "scored" and before is not None and now >= before:
            found.append(now - before)
        if line["event"] != "updated":
            before = now
    return found


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
