"""What a grid of runs will cost: cells, tokens, operations, memory, disk and time."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .. import runner
from ..models.backbone import DISK_BYTES, MEMORY_BYTES
from ..models.calibration import assuming
from ..models.dimensions import Dimensions
from ..models.load import forget_models, loading_of, precision
from ..models.speed import DISK, Speed, measured_speed, told_speed
from ..models.standin import stand_in, without_weights
from ..models.work import KINDS, Work
from ..runner import Cell
from ..timeline import Timeline
from .machines import Machine
from .rehearsal import Part, Rehearsed, Stage

Progress = Callable[[int, str], None]
"""Told how many cells are planned, and what is being measured or rehearsed."""

_TRAINED = 3  # copies of an adapter that a training makes: gradients and AdamW's two moments
_OWN = 3  # adapters besides those of the eras: first and current policy, the simulated human


@dataclass(frozen=True)
class PlannedCell:
    """One run.

    Attributes:
        cell: what is run.
        steps: of it.
        done: steps that are saved and will not be computed again; all of them if it is finished.
        part: what the rest costs.
    """

    cell: Cell
    steps: int
    done: int
    part: Part

    @property
    def finished(self) -> bool:
        """Is there nothing left to do?"""
        return self.done == self.steps


@dataclass(frozen=True)
class Plan:
    """What a grid costs on a machine, if nothing is in the cache yet.

    Attributes:
        cells: all, in the grid's order.
        size: of the base.
        adapters: that are held beside them: of eras, policies and simulated humans.
        speed: by which work is priced.
        start_seconds: of starting a process.
        process_bytes: of memory that a process takes without any model.
        results_bytes: of disk, for results and checkpoints.
        cache_bytes: of disk, in the cache.
        machine: the one that was named; None for this one.
    """

    cells: list[PlannedCell]
    size: Dimensions
    adapters: int
    speed: Speed
    start_seconds: float
    process_bytes: int
    results_bytes: float
    cache_bytes: float
    machine: Machine | None

    @property
    def left(self) -> list[PlannedCell]:
        """Cells that are not finished."""
        return [planned for planned in self.cells if not planned.finished]

    @property
    def models(self) -> int:
        """Whole models that are in memory at once."""
        return _models(total(self.left).work)

    def seconds(self, cells: Sequence[PlannedCell]) -> float:
        """Of some cells, one after the other, without the start of the process."""
        part = total(cells)
        loads = part.work.passes.get("model", 0)
        return part.seconds + self.speed.seconds(part.work) + loads * self.size.bytes / DISK

    def flops(self, cells: Sequence[PlannedCell]) -> float:
        """Operations of the models."""
        work = total(cells).work
        return sum(
            self.size.flops(kind) * (work.tokens[kind] or work.passes[kind])
            for kind in KINDS
            if kind in work.passes
        )

    @property
    def total_seconds(self) -> float:
        """Of everything that is left."""
        return self.start_seconds + self.seconds(self.left) if self.left else 0.0

    def memory_bytes(self, cells: Sequence[PlannedCell]) -> float:
        """Of the models' device at the peak; without a GPU that is the process as a whole."""
        work = total(cells).work
        adapter = 4.0 * self.size.adapter_weights
        states = self.size.hidden * self.size.state_bytes * work.tokens.get("lower", 0)
        held = _models(work) * (self.size.bytes + self.size.merged_bytes)
        held += adapter * self.adapters + min(MEMORY_BYTES, states)
        if "training" in work.passes:
            held += _TRAINED * adapter
            held += work.largest["training"] * self.speed.training_bytes
        return held if self.on_gpu else held + self.process_bytes

    @property
    def fits(self) -> bool:
        """Is there as much memory?"""
        return self.memory_bytes(self.left) <= (self.machine.memory if self.machine else _memory())

    @property
    def on_gpu(self) -> bool:
        """Do the models lie on a GPU?"""
        return self.machine is not None or torch.cuda.is_available()


def _models(work: Work) -> int:
    return work.largest.get("model", 1)


def total(cells: Sequence[PlannedCell]) -> Part:
    """What some cells cost together."""
    return sum((planned.part for planned in cells), Part(Work(), 0.0))


def make_plan(
    cells: Sequence[Cell],
    out: Path,
    resume: bool = False,
    machine: Machine | None = None,
    progress: Progress = lambda done, text: None,
) -> Plan:
    """Plan a grid whose cells all play the same timeline.

    The first two cells of each challenge and algorithm are rehearsed, in the grid's order; other
    seeds are taken to be like the second.

    Args:
        cells: as :func:`.runner.grid` gives them.
        out: the grid's folder, whose finished runs cost nothing.
        resume: are interrupted runs continued?
        machine: on which it will run; None for this one, which is measured.
        progress: told what is being done.

    Raises:
        UsageError: a cell that cannot run, or a model of which nothing is known.
    """
    prepared = [runner.prepare(cell)[0].steps for cell in cells]
    start_seconds, process_bytes = time.process_time(), _process_bytes()
    timeline = Timeline.load(cells[0].settings["models"])
    config, shape, tokenizer = without_weights(timeline)
    loading = loading_of(timeline)
    dtype = torch.bfloat16 if machine and loading.dtype == "auto" else precision(loading)
    size = Dimensions.of(config, shape, dtype, loading.quantization)
    if machine:
        speed = told_speed(size, machine.flops, machine.bandwidth)
    else:
        progress(0, "Measuring this machine")
        speed = measured_speed(config, shape, dtype)
    planned: list[PlannedCell] = []
    rehearsed: dict[tuple[str, str], list[Rehearsed]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="progressgym-plan-") as folder,
        assuming(replace(speed.pace, packed=False)),
    ):
        forget_models()
        stage = Stage(stand_in(timeline, tokenizer, Path(folder)), Path(folder))
        for number, (cell, steps) in enumerate(zip(cells, prepared, strict=True)):
            progress(number, f"Rehearsing {cell}")
            if runner.finished(cell, out):
                planned.append(PlannedCell(cell, steps, steps, Part(Work(), 0.0)))
                continue
            known = rehearsed.setdefault((cell.challenge, cell.algorithm), [])
            if len(known) < 2:
                known.append(stage.rehearse(cell))
            done = min(cell.steps_done(out), steps - 1) if resume else 0
            part = sum(known[-1].steps[done:], known[-1].closing)
            planned.append(PlannedCell(cell, steps, done, part))
        measurements = stage.measurement_bytes
        forget_models()
    process_bytes = max(process_bytes, _resident_bytes())
    work = total(planned).work
    bases = len({era.model for era in timeline.eras if era.model} | {timeline.base})
    ends = [runs[-1] for runs in rehearsed.values()]
    kept = max((end.models for end in ends), default=0) * 4.0 * size.adapter_weights
    states = work.tokens.get("lower", 0) * size.hidden * size.state_bytes
    return Plan(
        cells=planned,
        size=size,
        adapters=len([era for era in timeline.eras if era.adapter]) + _OWN,
        speed=speed,
        start_seconds=start_seconds,
        process_bytes=process_bytes,
        results_bytes=2 * kept
        + sum(
            rehearsed[p.cell.challenge, p.cell.algorithm][-1].result_bytes
            for p in planned
            if not p.finished
        ),
        cache_bytes=measurements + min(bases * DISK_BYTES, states),
        machine=machine,
    )


def _resident_bytes() -> int:
    """Of memory that this process has now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _process_bytes() -> int:
    """The most memory that this process has taken."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _memory() -> float:
    """Of this machine, where its models lie."""
    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory * torch.cuda.device_count())
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
