"""How the time of whole runs grows: with the model, eras, questions and items."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from progressgym import runner
from progressgym.benchmark import Curve, Outcome, Progress
from progressgym.models.calibration import assuming
from progressgym.models.standin import stand_in, without_weights
from progressgym.planning.plan import make_plan
from progressgym.planning.rehearsal import cache_at
from progressgym.registry import register
from progressgym.timeline import Timeline

from .growth import slope

WIDTHS = (128, 256, 512, 1024)  # of a state; six layers
GROWING = {"eras": (3, 5, 7, 9), "questions": (64, 128, 256, 512), "items": (2, 4, 8, 16)}
BASE = {"width": 256, "eras": 3, "questions": 128, "items": 2}
LAYERS = 6


@register("benchmark", "scaling")
def scaling(progress: Progress = lambda text: None) -> Outcome:
    """Slopes of log time of whole runs against log size, and what plans say of the same runs.

    Follow with lifelong-dpo on random models with SmolLM2's tokenizer, nine eras apart only in
    their adapters; each point starts cold. Time is that of the thread that computes, so that other
    work on the machine counts as little as can be.
    """
    figures: dict[str, float] = {}
    curves, ratios = [], []
    for name, sizes in {"width": WIDTHS, **GROWING}.items():
        planned, taken = [], []
        for size in sizes:
            progress(f"{name} {size}")
            foretold, measured = _point({**BASE, name: size})
            planned.append(foretold)
            taken.append(measured)
        grown, x = name, [float(size) for size in sizes]
        if name == "width":
            grown, x = "weights", [9.0 * LAYERS * size**2 for size in sizes]  # in the layers
        ratios += [p / t for p, t in zip(planned, taken, strict=True)]
        figures[f"run_{grown}_exponent"] = slope(x, taken)
        curves.append(
            Curve(
                title=f"A whole run: time against {grown}",
                x_title=grown,
                y_title="seconds",
                x=x,
                lines={"measured": taken, "planned": planned},
            )
        )
    figures |= {"plan_lowest": min(ratios), "plan_highest": max(ratios)}
    return Outcome(figures=figures, curves=curves)


def _point(sizes: dict[str, int]) -> tuple[float, float]:
    """Planned seconds and measured ones."""
    changes: dict[str, Any] = {k: str(v) for k, v in sizes.items() if k != "width"}
    with tempfile.TemporaryDirectory(prefix="progressgym-bench-") as folder:
        timeline = Timeline.load("smollm2")
        tokenizer = without_weights(timeline)[2]
        models = stand_in(timeline, tokenizer, Path(folder), sizes["width"], LAYERS)
        settings = {"models": str(models), "preset": "quick"}
        (cell,) = runner.grid(["follow"], ["lifelong-dpo"], [0], settings, changes)
        plan = make_plan([cell], Path(folder) / "out")
        planned = plan.seconds(plan.cells)
        with cache_at(Path(folder) / "cache"), assuming(plan.speed.pace):
            start = time.thread_time()
            runner.run(cell, Path(folder) / "out")
            return planned, time.thread_time() - start
