"""What `run --dry-run` says: the cost of a grid before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import out, print_json, progress, table

if TYPE_CHECKING:
    from ..planning.plan import Plan, PlannedCell
    from ..runner import Cell


def show_plan(
    cells: Sequence[Cell], folder: Path, resume: bool, machine: str, as_json: bool
) -> None:
    """Plan a grid and print what it costs.

    Raises:
        UsageError: an unknown machine, or a cell that cannot run.
    """
    from ..planning.machines import find_machine
    from ..planning.plan import make_plan

    with progress("Planning", total=len(cells)) as update:
        named = find_machine(machine) if machine else None
        plan = make_plan(cells, folder, resume, named, update)
    if as_json:
        print_json(_entry(plan))
    else:
        _print(plan)


def _kinds(plan: Plan) -> list[tuple[str, str, list[PlannedCell]]]:
    """The cells of each challenge and algorithm."""
    groups = groupby(plan.cells, lambda p: (p.cell.challenge, p.cell.algorithm))
    return [(challenge, algorithm, list(group)) for (challenge, algorithm), group in groups]


def _costs(plan: Plan, cells: Sequence[PlannedCell]) -> dict[str, Any]:
    from ..planning.plan import total

    work = total(cells).work
    left = [planned for planned in cells if not planned.finished]
    return {
        "cells": len(cells),
        "finished": len(cells) - len(left),
        "tokens": work.model_tokens,
        "flops": plan.flops(left),
        "memory_bytes": plan.memory_bytes(left) if left else 0.0,
        "seconds": plan.seconds(left),
        "work": {
            kind: {"passes": passes, "tokens": work.tokens[kind]}
            for kind, passes in sorted(work.passes.items())
        },
    }


def _entry(plan: Plan) -> dict[str, Any]:
    machine, size = plan.machine, plan.size
    kinds = [
        {"challenge": challenge, "algorithm": algorithm, **_costs(plan, cells)}
        for challenge, algorithm, cells in _kinds(plan)
    ]
    return {
        "kinds": kinds,
        "cells": [
            {
                "run": str(p.cell),
                "steps": p.steps,
                "steps_done": p.done,
                "finished": p.finished,
                "seconds": plan.seconds([p]),
            }
            for p in plan.cells
        ],
        "total": {
            **_costs(plan, plan.cells),
            "start_seconds": plan.start_seconds,
            "seconds": plan.total_seconds,
            "hours": plan.total_seconds / 3600,
            "results_bytes": plan.results_bytes,
            "cache_bytes": plan.cache_bytes,
        },
        "model": {
            "weights": size.weights,
            "layers": size.layers,
            "layers_with_adapter": size.upper,
            "held_at_once": plan.models,
        },
        "machine": {
            "name": machine.name if machine else "this one",
            "measured": machine is None,
            "memory_bytes": machine.memory if machine else None,
            "fits": plan.fits,
        },
        "assumes": _assumptions(plan),
    }


def _assumptions(plan: Plan) -> list[str]:
    """What must hold for the figures to hold."""
    from ..models.speed import UTILISATION

    found = ["The cache is empty: what it has already costs nothing."]
    if plan.machine:
        found.append(
            f"{plan.machine.name} reaches {UTILISATION:.0%} of its peak rate and bandwidth (not "
            "measured), one processor at a time; other work goes as fast as here."
        )
    else:
        found.append("This machine does nothing else; its speed was measured.")
    found.append("One process; with --ray, divide the time by the runs that go side by side.")
    return found


def _print(plan: Plan) -> None:
    rows = []
    for challenge, algorithm, cells in [*_kinds(plan), ("total", "", plan.cells)]:
        costs = _costs(plan, cells)
        seconds = costs["seconds"] if challenge != "total" else plan.total_seconds
        rows.append(
            (
                f"{challenge} {algorithm}".strip(),
                str(costs["cells"]),
                str(costs["finished"]),
                number(costs["tokens"]),
                number(costs["flops"]),
                size(costs["memory_bytes"]),
                duration(seconds),
            )
        )
    columns = ["runs", "number", "finished", "tokens", "FLOP", "memory", "time"]
    table(f"Nothing was computed yet. {_model(plan)}", columns, rows)
    out.print(
        f"Disk: {size(plan.results_bytes)} of results and checkpoints, "
        f"{size(plan.cache_bytes)} in the cache.",
    )
    if not plan.fits:
        out.print(
            "It does not fit into the memory of this machine."
            if not plan.machine
            else f"It does not fit into the memory of {plan.machine.name}.",
        )
    for line in _assumptions(plan):
        out.print(line, soft_wrap=False)


def _model(plan: Plan) -> str:
    several = f", {plan.models} of them at once" if plan.models > 1 else ""
    return f"Model: {number(plan.size.weights)} weights{several}."


def number(value: float) -> str:
    """A number in three digits and a letter: 1.23 M."""
    for unit, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {letter}"
    return f"{value:.3g}"


def size(value: float) -> str:
    """Bytes for people."""
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.0f} B"


def duration(seconds: float) -> str:
    """Seconds for people."""
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"
