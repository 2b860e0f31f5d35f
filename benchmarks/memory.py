"""Peak memory of a whole Follow run against that of measuring one model."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from progressgym.benchmark import Outcome, Progress, lend_models
from progressgym.errors import ProgressGymError
from progressgym.registry import register


@register("benchmark", "memory")
def memory(progress: Progress = lambda text: None) -> Outcome:
    """Peak memory of a Follow run against that of loading one model and measuring it.

    Two commands as users type them, each in a process of its own with an empty cache.
    """
    progress("evaluate one model")
    one = _peak(["evaluate", "C013", "--json"])
    progress("run Follow, nine eras")
    run = _peak(["run", "--algorithm", "lifelong-dpo", "--preset", "quick", "--json"])
    return Outcome(
        figures={"memory_ratio": run / one},
        details={"evaluate_mib": round(one / 2**20), "run_mib": round(run / 2**20)},
    )


def _peak(arguments: list[str]) -> float:
    """Largest resident set of a command, in bytes."""
    with tempfile.TemporaryDirectory(prefix="progressgym-bench-") as folder:
        work = Path(folder)
        (work / "cache").mkdir()
        lend_models(work / "cache")
        process = subprocess.Popen(
            [sys.executable, "-m", "progressgym", *arguments],
            cwd=work,
            env={**os.environ, "PROGRESSGYM_CACHE": str(work / "cache")},
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ProgressGymError(f"progressgym {arguments[0]} failed ({process.returncode}).")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
