"""A run that is stopped and continued, beside one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from progressgym import runner
from progressgym.results import RunResult


class StoppedError(Exception):
    """Stands for any sudden end."""


def whole_and_resumed(cell: runner.Cell, folder: Path, after: int) -> tuple[RunResult, RunResult]:
    """The result of a run at one go, and of the same stopped after some steps and continued."""

    def stop(done: int, steps: int) -> None:
        if done == after:
            raise StoppedError

    whole = runner.run(cell, folder / "whole")
    with pytest.raises(StoppedError):
        runner.run(cell, folder / "broken", progress=stop)
    return whole, runner.run(cell, folder / "broken", resume=True)
