"""Where trainings report to: TRL's own ``report_to``, for all trainings of a run.

Only what is watched changes, never what comes out: a result does not know of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from ..errors import UsageError, unknown_name

_TENSORBOARD = "TENSORBOARD_LOGGING_DIR"  # where transformers looks for its folder
_PACKAGES = {"azure_ml": "azureml-core", "comet_ml": "comet-ml"}  # named unlike the integration


@dataclass(frozen=True)
class _Reporting:
    names: list[str]
    folder: Path
    run: str


_current: list[_Reporting] = []


def check_reporting(names: Sequence[str]) -> tuple[str, ...]:
    """The names of integrations, ``all`` and ``none`` resolved.

    Raises:
        UsageError: transformers knows no such integration, or its package is not installed.
    """
    here = get_available_reporting_integrations()
    chosen = [n for name in names for n in (here if name == "all" else [name]) if n != "none"]
    for name in chosen:
        if name not in INTEGRATION_TO_CALLBACK:
            raise unknown_name("--report-to", name, [*INTEGRATION_TO_CALLBACK, "all", "none"])
        if name not in here:
            package = _PACKAGES.get(name, name)
            raise UsageError(f"--report-to {name} needs a package: pip install {package}.")
    return tuple(dict.fromkeys(chosen))


@contextmanager
def reporting(names: Sequence[str], folder: Path, run: str) -> Iterator[None]:
    """Within the block trainings report every optimizer step.

    Args:
        names: integrations, as TRL calls them; none for no reports.
        folder: of the run; TensorBoard's files lie in ``tensorboard/``, a folder for each training.
        run: what trackers call the run.
    """
    if not names:
        yield
        return
    before = {name: os.environ.get(name) for name in (_TENSORBOARD, "WANDB_PROJECT")}
    os.environ.setdefault("WANDB_PROJECT", "progressgym")
    _current.append(_Reporting(list(names), folder, run))
    try:
        yield
    finally:
        _current.pop()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if (wandb := sys.modules.get("wandb")) and wandb.run:
            wandb.run.finish()  # the next run is one of its own


def report_arguments() -> dict[str, Any]:
    """transformers' arguments of the next training."""
    if not _current:
        return {"report_to": "none", "logging_strategy": "no"}
    now = _current[-1]
    boards = now.folder / "tensorboard"
    number = len(list(boards.glob("*"))) if boards.is_dir() else 0
    os.environ[_TENSORBOARD] = str(boards / f"training-{number + 1:03d}")
    return {
        "report_to": now.names,
        "run_name": now.run,
        "logging_strategy": "steps",
        "logging_steps": 1,
    }
