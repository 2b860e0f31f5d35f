"""Grids on a Ray cluster: each cell is a task that any node can finish.

What the nodes and the caller share is the output folder. A task that is lost with its node starts
again on another one and goes on from the checkpoint there, and progress is read there too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import runner
from .cluster import connected
from .errors import KEPT, OUT_OF_MEMORY, UsageError
from .models.calibration import pin_threads
from .results import RunResult

RETRIES = 10  # of a cell whose worker is lost again and again
PATIENCE = 180.0  # seconds: the lock of a lost node may outlive it, on NFS for a lease of 90
STORE = 128 << 20  # bytes: results are small, and containers have little shared memory
_LOOK = 1.0  # seconds from one look at the checkpoints to the next


def run_grid(
    cells: Sequence[runner.Cell],
    out: Path,
    address: str,
    resume: bool = False,
    progress: runner.GridProgress = lambda number, done: None,
    threads: int = 1,
    gpus: float | None = None,
) -> list[runner.Outcome]:
    """Run cells in parallel: the outcome of each, in their order, as :func:`.runner.run_grid`.

    Args:
        cells: what to run.
        out: the grid's folder, which all nodes see under the same path.
        address: ``local``, ``auto`` or the address of a cluster.
        resume: continue what was interrupted before; what is lost on the way always continues.
        progress: told what the checkpoints tell.
        threads: of torch, and cores that each cell asks for.
        gpus: that each cell asks for; None for one if the cluster has any.

    Raises:
        UsageError: no Ray, no such cluster, or another process is writing a cell.
    """
    out = out.absolute()
    with connected(address, STORE) as ray:
        if gpus is None:  # without one, torch would see none and compute elsewhere than alone
            gpus = min(1, ray.cluster_resources().get("GPU", 0))
        _check_nodes(ray, CPU=threads, GPU=gpus)
        runner.announce(cells, out)
        if not resume:
            for cell in cells:
                runner.forget(cell, out)
        task = ray.remote(_run).options(num_cpus=threads, num_gpus=gpus, max_retries=RETRIES)
        waiting = {task.remote(c, out, Path.cwd(), threads): n for n, c in enumerate(cells)}
        outcomes: dict[int, runner.Outcome] = {}
        try:
            while waiting:
                every = list(waiting)
                done, _ = ray.wait(every, num_returns=len(every), timeout=_LOOK)
                for reference in done:
                    number = waiting.pop(reference)
                    outcomes[number] = outcome = _outcome(ray, reference)
                    if isinstance(outcome, RunResult):
                        progress(number, len(outcome.steps))
                for number in waiting.values():
                    if steps := cells[number].steps_done(out):
                        progress(number, steps)
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)
        return [outcomes[number] for number in range(len(cells))]


def _run(cell: runner.Cell, out: Path, folder: Path, threads: int) -> runner.Outcome:
    """The task: runs on a node.

    Args:
        cell: what to run.
        out: the grid's folder.
        folder: where the caller is, since names of files may be relative to it.
        threads: of torch.
    """
    if folder.is_dir():
        os.chdir(folder)
    pin_threads(threads)
    return runner.attempt(cell, out, resume=True, patience=PATIENCE)


def _outcome(ray: Any, reference: Any) -> runner.Outcome:
    """What a finished task returned; a failure if it was lost too often or could not start."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return runner.Failure(str(error).strip().splitlines()[-1])
    except ray.exceptions.OutOfMemoryError:
        return runner.Failure(f"{OUT_OF_MEMORY} {KEPT}")
    except ray.exceptions.WorkerCrashedError:
        return runner.Failure(
            f"The system killed its process {RETRIES + 1} times. Most often that means: "
            f"{OUT_OF_MEMORY.lower()} {KEPT}"
        )
    except ray.exceptions.RayError as error:
        return runner.Failure(f"lost for good: {str(error).strip().splitlines()[0]}")


def _check_nodes(ray: Any, **wanted: float) -> None:
    """Is there a node that is large enough for a cell? Ray would wait for one without a word.

    A cluster that has only a head yet is left alone: its nodes are still to come.

    Raises:
        UsageError: every node is too small.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    workers = [resources for resources in nodes if resources.get("CPU")]
    for name, amount in wanted.items():
        most = max((resources.get(name, 0) for resources in workers), default=amount)
        if most < amount:
            raise UsageError(f"A run wants {amount:g} {name}; no node has more than {most:g}.")
