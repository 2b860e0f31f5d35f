"""Benchmarks: figures measured side by side in one run, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from .errors import ProgressGymError
from .storage import cache_folder

Progress = Callable[[str], None]
"""Told what is being measured now."""


class Curve(BaseModel):
    """How a cost grows.

    Attributes:
        title: what is shown.
        x_title: what grows.
        y_title: what it costs, with its unit.
        x: sizes.
        lines: name of a line → its costs, as long as ``x``.
    """

    title: str
    x_title: str
    y_title: str
    x: list[float]
    lines: dict[str, list[float]]


class Outcome(BaseModel):
    """What came out of a benchmark.

    Attributes:
        figures: the numbers that others may rely on, by stable names; ratios where possible.
        details: what they were made of: seconds, sizes, settings.
        curves: growth of costs.
    """

    figures: dict[str, float]
    details: dict[str, float | int | str] = {}
    curves: list[Curve] = []


def timed(task: Callable[[], object]) -> float:
    """Seconds of wall clock that a task takes."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def run_apart(name: str) -> Outcome:
    """Run a registered benchmark in a fresh process, with an empty cache of measurements.

    The user's cache lends its models and its calibration, nothing else: what is timed starts cold.

    Raises:
        ProgressGymError: the benchmark failed; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="progressgym-bench-") as folder:
        lend_models(Path(folder))
        command = [sys.executable, "-m", "progressgym", "bench", name, "--here", "--json"]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PROGRESSGYM_CACHE": folder},
            check=False,
        )
    if done.returncode:
        raise ProgressGymError(f"Benchmark {name} failed (exit code {done.returncode}).")
    return Outcome.model_validate(json.loads(done.stdout)[name])


def lend_models(folder: Path) -> None:
    """Make another cache folder that shares this one's models and calibration."""
    for part in ("models", "calibration"):
        source = cache_folder() / part
        source.mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(source.resolve(), target_is_directory=True)
