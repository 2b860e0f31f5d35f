"""The command that plays: run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from . import interruption
from .console import (
    Backend,
    Json,
    Models,
    out,
    print_json,
    progress,
    quiet_libraries,
    split,
    table,
)
from .plan import show_plan

if TYPE_CHECKING:
    from ..results import RunResult
    from ..runner import Cell, Outcome


def run(
    challenge: Annotated[
        str, typer.Option(help="Challenges, separated by commas; * is all.")
    ] = "follow",
    algorithm: Annotated[
        str, typer.Option(help="Algorithms, separated by commas; patterns as 'lifelong-*' go too.")
    ] = "lifelong-dpo",
    models: Models = "smollm2",
    preset: Annotated[str, typer.Option(help="quick, standard or full.")] = "quick",
    seed: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0",
    scenarios: Annotated[
        str | None, typer.Option(help="Scenario bank: JSONL, or CSV in MoralEvals' columns.")
    ] = None,
    backend: Backend = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter; can be repeated."),
    ] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path(
        "results"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Continue interrupted runs.")] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of each run. Equal threads give equal bytes, others differ by about 1e-5.",
            show_default="as is fastest; 1 with --ray",
        ),
    ] = None,
    ray: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Run in parallel on a Ray cluster that sees the same folders: local, auto or "
            "HOST:PORT. A run asks for as many cores as threads.",
        ),
    ] = "",
    gpus: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Of each run, with --ray; can be a fraction.",
            show_default="1 if the cluster has any",
        ),
    ] = None,
    report_to: Annotated[
        str,
        typer.Option(
            help="Trackers that trainings report to, as TRL calls them: tensorboard, wandb, …"
        ),
    ] = "none",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what it will cost, and compute nothing."),
    ] = False,
    machine: Annotated[
        str,
        typer.Option(
            help="With --dry-run: a processor instead of this machine: a100, h100, h200, l40s, "
            "rtx4090, or several, as 4xh100.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Play challenges with algorithms and write a result for each combination.

    Finished results are not computed again.

    Example: progressgym run --challenge follow --algorithm frozen,lifelong-dpo --seed 0,1 --resume
    """
    from .. import runner
    from ..models.calibration import pin_threads
    from ..training.reporting import check_reporting

    if machine and not dry_run:
        raise UsageError("--machine goes with --dry-run.")
    if gpus is not None and not ray:
        raise UsageError("--gpus goes with --ray; a single process uses what it finds.")
    quiet_libraries()
    settings: dict[str, Any] = {"models": models, "preset": preset}
    if scenarios:
        settings["scenarios"] = scenarios
    if backend:
        settings["backend"] = backend
    cells = runner.grid(
        split(challenge), split(algorithm), _seeds(seed), settings, _changes(changes or [])
    )
    trackers = check_reporting(split(report_to))
    cells = [replace(cell, report_to=trackers) for cell in cells]
    if dry_run:
        if threads:
            pin_threads(threads)
        show_plan(cells, out_folder, resume, machine, as_json)
        return
    outcomes = _play(cells, out_folder, resume, threads, ray, gpus)
    pairs = list(zip(cells, outcomes, strict=True))
    failures = [(cell, end) for cell, end in pairs if isinstance(end, runner.Failure)]
    results = [(cell, end) for cell, end in pairs if not isinstance(end, runner.Failure)]
    if as_json:
        print_json(
            {
                "results": [
                    _entry(result, cell.result_file(out_folder)) for cell, result in results
                ],
                "failures": [
                    {"run": str(cell), "problem": failure.problem} for cell, failure in failures
                ],
            }
        )
    elif results:
        _print_results([result for _, result in results])
        out.print(f"Results: {out_folder}   Next: progressgym report {out_folder}")
    for cell, failure in failures:
        of_many = f"{cell} failed: " if len(cells) > 1 else ""
        print(f"progressgym: {of_many}{failure.problem}", file=sys.stderr)
    if failures:
        raise typer.Exit(2 if any(failure.usage for _, failure in failures) else 1)


def _play(
    cells: Sequence[Cell],
    folder: Path,
    resume: bool,
    threads: int | None,
    ray: str,
    gpus: float | None,
) -> list[Outcome]:
    """Run the grid here or on a cluster, under one bar; an interruption says how to go on."""
    from .. import parallel, runner
    from ..models.calibration import pin_threads

    # Every name and value is checked before the first run starts.
    steps = [runner.prepare(cell)[0].steps for cell in cells]
    finished: dict[int, int] = {}
    with progress(f"{len(cells)} runs", total=sum(steps)) as update:

        def show(number: int, done: int) -> None:
            if finished.get(number) != done:
                finished[number] = done
                era = f"era {min(done + 1, steps[number])} of {steps[number]}"
                update(sum(finished.values()), f"{cells[number]}: {era}")

        try:
            if ray:
                return parallel.run_grid(cells, folder, ray, resume, show, threads or 1, gpus)
            if threads:
                pin_threads(threads)
            return runner.run_grid(cells, folder, resume, show)
        except KeyboardInterrupt:
            kept = f"What is finished is kept in {folder}: continue with --resume."
            print(f"progressgym: interrupted. {kept}", file=sys.stderr)
            raise typer.Exit(interruption.exit_code()) from None


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in split(text)]
    except ValueError:
        raise UsageError(f"--seed {text!r}: expected whole numbers separated by commas.") from None


def _changes(pairs: list[str]) -> dict[str, str | None]:
    """``name=value`` pairs; the value ``none`` means None."""
    changes: dict[str, str | None] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {pair!r}: expected NAME=VALUE.")
        changes[name.strip()] = None if value.strip().lower() == "none" else value.strip()
    return changes


def _entry(result: RunResult, path: Path) -> dict[str, Any]:
    scores = result.scores or result.compute_scores()
    return {
        "challenge": result.spec.challenge,
        "algorithm": result.spec.algorithm,
        "seed": result.spec.seed,
        "cheats": result.cheats,
        "path": str(path),
        "scores": scores.model_dump(mode="json"),
    }


def _print_results(results: list[RunResult]) -> None:
    """A table for each challenge."""
    columns = ["algorithm", "seed", "skill [95 %]", "gain", "upstream", "time"]
    for challenge, group in groupby(results, lambda result: result.spec.challenge):
        played = list(group)
        zero = "never updated" if played[0].coevolution is None else "a human who never changes"
        rows = [_row(result) for result in played]
        table(f"{challenge}: skill 0 = {zero}, 1 = the human of that era", columns, rows)
    if any("(n/a)" in _row(result)[2] for result in results):
        out.print("(n/a): too few scenarios for an interval; --preset standard has more.\n")


def _row(result: RunResult) -> tuple[str, ...]:
    from ..results import format_interval

    scores = result.scores or result.compute_scores()
    return (
        result.spec.algorithm + (" (cheats)" if result.cheats else ""),
        str(result.spec.seed),
        format_interval(scores.skill),
        "n/a" if scores.gain.value is None else f"{scores.gain.value:.2f}",
        f"{scores.upstream:.4f}",
        f"{sum(step.seconds for step in result.steps):.0f} s",
    )
