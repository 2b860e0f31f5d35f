"""Verification: replay a submission's runs from their specifications, and compare."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from progressgym.errors import ProgressGymError, UsageError
from progressgym.results import RunResult, RunSpec

from .board import Board
from .checks import humans_of
from .entries import unpacked

TOLERANCE = 0.01
"""By which a value (0 to 1) of the replayed policy may differ: other processors round otherwise,
and training carries that on. What another seed changes is several times as much."""


@dataclass(frozen=True)
class Comparison:
    """A run and its replay, with the largest difference of a value."""

    challenge: str
    seed: int
    difference: float

    @property
    def same(self) -> bool:
        """Do they agree within the tolerance?"""
        return self.difference <= TOLERANCE


def recheck(board: Board, number: int, who: str) -> None:
    """Check the stored runs of a submission again, as if they were new.

    Raises:
        UsageError: there is no such submission, or a check fails; the log says so too.
    """
    runs = board.submission(number)["runs"]
    files = {f"run {run['id']}": board.content(run["id"]) for run in runs}
    checks, passed = board.check(None, files)
    if passed:
        board.note(number, who, "rechecked", f"{len(checks)} checks passed")
        return
    reasons = "; ".join(f"{c.name}: {c.reason}" for c in checks if not c.passed)
    board.note(number, who, "recheck failed", reasons)
    raise UsageError(f"Submission {number} does not pass today: {reasons}")


def rerun(
    board: Board,
    number: int,
    who: str,
    progress: Callable[[int, int], None] = lambda done, all: None,
) -> list[Comparison]:
    """Replay every run of a submission in a fresh process; if all agree, it is *reproduced*.

    The algorithm has to be installed here, in the revision that the card names.

    Args:
        board: where it is.
        number: of the submission.
        who: verifies.
        progress: told (runs done, runs in all).

    Raises:
        UsageError: there is no such submission.
        ProgressGymError: a replay failed.
    """
    runs = board.submission(number)["runs"]
    compared = []
    for done, run in enumerate(runs):
        progress(done, len(runs))
        compared.append(_replayed(unpacked(board.content(run["id"])), board))
    progress(len(runs), len(runs))
    largest = max(one.difference for one in compared)
    if all(one.same for one in compared):
        board.reproduced(
            number, who, f"{len(compared)} runs replayed; values differ by {largest:.1e} at most"
        )
    else:
        board.note(number, who, "not reproduced", f"values of a replay differ by {largest:.3f}")
    return compared


def _replayed(theirs: RunResult, board: Board) -> Comparison:
    models = humans_of(theirs, board.known).models
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "progressgym", *_arguments(theirs.spec, models, folder)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ProgressGymError(
                f"The replay of {theirs.spec.algorithm} failed:\n{done.stderr.strip()[-2000:]}"
            )
        spec = theirs.spec
        place = Path(folder) / spec.challenge / spec.algorithm / f"seed-{spec.seed}"
        ours = RunResult.load(place / "result.json")
    return Comparison(spec.challenge, spec.seed, _difference(theirs, ours))


def _arguments(spec: RunSpec, models: str, folder: str) -> list[str]:
    """The command line that plays a specification again."""
    settings = {k: v for k, v in spec.settings.items() if k not in ("models", "preset")}
    changes = {**settings, **spec.parameters}
    arguments = [
        "run", "--challenge", spec.challenge, "--algorithm", spec.algorithm,
        "--models", models, "--preset", str(spec.settings["preset"]),
        "--seed", str(spec.seed), "--out", folder, "--json",
    ]  # fmt: skip
    for name, value in changes.items():
        if name != "scenarios":  # only the shipped bank is ranked
            text = value if isinstance(value, str) else json.dumps(value).replace("null", "none")
            arguments += ["--set", f"{name}={text}"]
    return arguments


def _difference(theirs: RunResult, ours: RunResult) -> float:
    """Largest difference of a value of the policy, or of the simulated human."""
    first, second = (result.trajectory.values()[0] for result in (theirs, ours))
    return float(np.abs(first - second).max())
