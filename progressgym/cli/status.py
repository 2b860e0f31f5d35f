"""The command that looks at a grid while it runs, and after: status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import Json, out, print_json, table
from .plan import duration

if TYPE_CHECKING:
    from ..status import RunStatus, Status


def add_commands(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command("status")(status)


def status(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the results.")],
    as_json: Json = False,
) -> None:
    """Tell which runs are finished, running, interrupted, failed or left, how fast, and how long.

    It can be asked while the grid runs, here or on a cluster, and after a crash.

    Example: progressgym status results/
    """
    from ..status import look

    found = look(folder)
    if as_json:
        print_json(
            {
                "runs": [_entry(found, run, folder) for run in found.runs],
                "counts": found.counts,
                "steps": sum(run.steps or run.done for run in found.runs),
                "steps_done": sum(run.done for run in found.runs),
                "seconds_left": found.seconds_left,
            }
        )
        return
    rows = [_row(found, run, folder) for run in found.runs]
    table(_headline(found), ["run", "state", "steps", "s / step", "left"], rows, words=2)
    for run in found.runs:
        if run.state == "failed":
            problem = f"{run.folder.relative_to(folder)}: {run.event.get('problem')}"
            out.print(problem)


def _entry(found: Status, run: RunStatus, folder: Path) -> dict[str, Any]:
    pace = found.step_seconds(run)
    return {
        "run": str(run.folder.relative_to(folder)),
        "state": run.state,
        "steps": run.steps,
        "steps_done": run.done,
        "seconds_a_step": pace,
        "seconds_left": None if pace is None or run.steps is None else run.left * pace,
        "last": run.event or None,
    }


def _row(found: Status, run: RunStatus, folder: Path) -> tuple[str, ...]:
    pace = found.step_seconds(run)
    known = pace is not None and run.left and run.state != "failed"
    return (
        str(run.folder.relative_to(folder)),
        run.state,
        f"{run.done} of {'?' if run.steps is None else run.steps}",
        "" if pace is None else f"{pace:.3g}",
        duration(run.left * pace) if known and pace is not None else "",
    )


def _headline(found: Status) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(found.counts.items()))
    left = found.seconds_left
    if not left:
        return f"{counts}."
    how = "" if found.counts.get("running") else " if continued one by one"
    return f"{counts}. About {duration(left)} left{how}."
