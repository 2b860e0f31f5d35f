"""What `run --dry-run` says against what the same command takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from progressgym.benchmark import Outcome, Progress, lend_models
from progressgym.errors import ProgressGymError
from progressgym.registry import register

RUNS = {
    "follow_dpo": ["--challenge", "follow", "--algorithm", "lifelong-dpo"],
    "follow_rlhf": ["--challenge", "follow", "--algorithm", "lifelong-rlhf"],
    "coevolve_dpo": ["--challenge", "coevolve", "--algorithm", "lifelong-dpo"],
    "baselines": ["--challenge", "follow,predict", "--algorithm", "frozen,oracle"],
}


@register("benchmark", "plans")
def plans(progress: Progress = lambda text: None) -> Outcome:
    """Time and memory that `--dry-run` foretells ÷ those that the same runs take.

    Commands as users type them, each in a process of its own, with one thread and an empty cache.
    Time is the processor's, so that other work on the machine counts as little as can be; the plan
    is made before each run.
    """
    figures: dict[str, float] = {}
    details: dict[str, float | int | str] = {}
    for name, run in RUNS.items():
        progress(name)
        with tempfile.TemporaryDirectory(prefix="progressgym-bench-") as folder:
            command = ["run", *run, "--preset", "quick", "--json"]
            planned = json.loads(_play([*command, "--dry-run"], Path(folder))[0])["total"]
            _, seconds, memory = _play(command, Path(folder))
        figures[f"plan_seconds_{name}"] = planned["seconds"] / seconds
        figures[f"plan_memory_{name}"] = planned["memory_bytes"] / memory
        details |= {f"{name}_seconds": seconds, f"{name}_bytes": memory}
    return Outcome(figures=figures, details=details)


def _play(arguments: list[str], work: Path) -> tuple[str, float, float]:
    """What a command prints, the processor's seconds and its largest resident set in bytes."""
    cache = work / "cache"
    if not cache.exists():
        cache.mkdir()
        lend_models(cache)
    with (work / "output").open("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "progressgym", *arguments],
            cwd=work,
            env={**os.environ, "PROGRESSGYM_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
            stdout=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise ProgressGymError(f"progressgym {arguments[0]} failed ({process.returncode}).")
        output.seek(0)
        text = output.read()
    size = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return text, usage.ru_utime + usage.ru_stime, size
