"""Rehearsals: cells played with stand-ins for their models, to count what the real ones will do.

The same loop, algorithm, questions and tokens; models of no size. What is counted is the work of
models, by kind; what is timed is everything else, which does not depend on their size. So an
algorithm that nobody knows yet is planned like the built-in ones.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..checkpoint import Checkpoint
from ..models.work import Work, counting
from ..runner import Cell, play, prepare

STEPS = 4  # that are played; the others are taken to be like the last of them


@dataclass(frozen=True)
class Part:
    """What a stretch of a run costs.

    Attributes:
        work: of models.
        seconds: of everything else, on this machine.
    """

    work: Work
    seconds: float

    def __add__(self, other: Part) -> Part:
        return Part(self.work + other.work, self.seconds + other.seconds)


@dataclass(frozen=True)
class Rehearsed:
    """What a run costs.

    Attributes:
        steps: each step, the last ones as the last that was played.
        closing: scoring the whole.
        result_bytes: of its result.
        models: that its checkpoint holds.
    """

    steps: list[Part]
    closing: Part
    result_bytes: int
    models: int


class _EnoughError(Exception):
    """Enough has been played."""


class Stage:
    """Where cells are rehearsed one after the other: what one has computed, the next one has too.

    Args:
        timeline: file of the stand-ins.
        folder: for what is written, the caches included.
    """

    def __init__(self, timeline: Path, folder: Path) -> None:
        self.timeline = timeline
        self.folder = folder

    def rehearse(self, cell: Cell) -> Rehearsed:
        """Play the first steps of a cell."""
        cell = replace(cell, settings={**cell.settings, "models": str(self.timeline)})
        with cache_at(self.folder / "cache"), counting() as work:
            env, algorithm = prepare(cell)
            clock = _Clock(work)
            parts: list[Part] = []

            def progress(done: int, steps: int) -> None:
                if done:
                    parts.append(clock.lap())
                if done == min(STEPS, steps):
                    raise _EnoughError

            spec = env.run_spec(cell.algorithm, {}, cell.seed)
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                checkpoint = Checkpoint(Path(folder), spec)
                with suppress(_EnoughError):
                    play(env, algorithm, cell.seed, checkpoint, progress)
                missing = env.steps - len(parts)
                records = [*checkpoint.records, *checkpoint.records[-1:] * missing]
                models = 1 + len(env.state())
            env.restore(records, env.state())
            clock.lap()
            result = env.result(cell.algorithm)
            size = len(result.model_dump_json())
            closing = clock.lap()
        return Rehearsed([*parts, *[parts[-1]] * missing], closing, size, models)

    @property
    def measurement_bytes(self) -> int:
        """Of all that was measured so far."""
        files = (self.folder / "cache" / "measurements").rglob("*.npy")
        return sum(path.stat().st_size for path in files)


class _Clock:
    """Cuts a rehearsal into parts."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.start = time.thread_time()  # waiting for other processes is left out

    def lap(self) -> Part:
        """What was done since the last one."""
        now = time.thread_time()
        part = Part(Work() + self.work, now - self.start)
        self.work.clear()
        self.start = now
        return part


@contextmanager
def cache_at(folder: Path) -> Iterator[None]:
    """Within the block the cache is another one, empty at first."""
    name = "PROGRESSGYM_CACHE"
    before = os.environ.get(name)
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
