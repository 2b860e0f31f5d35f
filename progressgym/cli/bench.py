"""The command about speed and memory: bench."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ProgressGymError
from .console import Json, check_page, err, out, print_json, quiet_libraries, split, table

if TYPE_CHECKING:
    from ..benchmark import Outcome


def add_commands(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command("bench")(bench)


def bench(
    names: Annotated[
        str | None, typer.Argument(metavar="[NAME[,NAME…]]", help="Benchmarks; all if none named.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="HTML page of plots to write.")] = None,
    here: Annotated[
        bool, typer.Option("--here", hidden=True, help="In this process, by a benchmark's name.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure speed and memory side by side with the field's tools, on this machine.

    Each benchmark runs in a process of its own and starts cold. What each compares, and how:
    benchmarks/README.md.

    Example: progressgym bench measure,dpo --json
    """
    from .. import registry
    from ..benchmark import run_apart

    check_page(to, "bench.html")
    known = registry.names("benchmark")
    chosen = split(names) if names else known
    entries = {name: registry.find("benchmark", name) for name in chosen}
    outcomes: dict[str, Outcome] = {}
    failed: list[str] = []
    quiet_libraries()
    for number, (name, entry) in enumerate(entries.items(), start=1):
        if here:
            with redirect_stdout(sys.stderr):  # what the compared libraries print
                outcomes[name] = entry(progress=_say)
        else:
            _say(f"[{number}/{len(entries)}] {name}")
            try:
                outcomes[name] = run_apart(name)
            except ProgressGymError as error:  # the others' figures are not lost for it
                failed.append(str(error))
                _say(str(error))
    if here:
        print_json({name: outcome.model_dump() for name, outcome in outcomes.items()})
        return
    if to is not None:
        from ..benchmark_page import write_benchmark_page

        write_benchmark_page(outcomes, to)
    if as_json:
        figures = {key: value for o in outcomes.values() for key, value in o.figures.items()}
        print_json({**figures, "benchmarks": {n: o.model_dump() for n, o in outcomes.items()}})
    else:
        for name, outcome in outcomes.items():
            table(
                f"{name}: {_first_line(entries[name])}",
                ["figure", "value"],
                [(key, f"{value:.4g}") for key, value in outcome.figures.items()],
            )
        if to is not None:
            out.print(f"Plots: {to}")
    if failed:
        raise typer.Exit(1)


def _say(text: str) -> None:
    """What is being measured now, on the terminal's error side."""
    err.print(text)


def _first_line(entry: Any) -> str:
    return (entry.__doc__ or "").strip().split("\n")[0]
