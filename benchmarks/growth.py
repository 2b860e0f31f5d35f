"""How time grows with eras, scenarios and pairs."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from progressgym.benchmark import Curve, Outcome, Progress, timed
from progressgym.models import base_policy, era_policy
from progressgym.registry import register
from progressgym.timeline import Timeline
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.values.instruments import questions, read_items
from progressgym.values.scenarios import ScenarioBank, shipped_bank

SCENARIOS = (32, 64, 128, 256)
PAIRS = (96, 192, 384, 768)
ERAS_BANK = 160  # scenarios with which eras are counted


@register("benchmark", "growth")
def growth(progress: Progress = lambda text: None) -> Outcome:
    """Slopes of log time against log number of eras, scenarios and pairs.

    Every point is measured on scenarios of its own, so that nothing is known before.
    """
    timeline = Timeline.load("smollm2")
    policies = [era_policy(timeline, era) for era in timeline.eras]
    base = base_policy(timeline)
    shipped = shipped_bank()
    scenarios_known = shipped.split("probe").scenarios
    order = np.random.default_rng(0).permutation(len(scenarios_known))
    probe = [scenarios_known[i] for i in order]
    read_items(base, ScenarioBank(probe[:8]))  # warms up
    probe = probe[8:]

    progress("eras")
    bank, probe = ScenarioBank(probe[:ERAS_BANK]), probe[ERAS_BANK:]
    eras = list(accumulate(timed(lambda p=p: read_items(p, bank)) for p in policies))  # type: ignore[misc]

    scenarios = []
    for size in SCENARIOS:
        progress(f"{size} scenarios")
        bank, probe = ScenarioBank(probe[:size]), probe[size:]
        scenarios.append(timed(lambda b=bank: read_items(policies[0], b)))  # type: ignore[misc]

    asked = [p.answered(1.0) for p in questions(shipped.split("query"))]
    pairs = []
    for size in PAIRS:
        progress(f"{size} pairs")
        chosen, asked = asked[:size], asked[size:]
        pairs.append(
            timed(lambda c=chosen: train_dpo(base.copy(), base, c, DPOSettings()))  # type: ignore[misc]
        )
    numbers = [float(n) for n in range(1, len(eras) + 1)]
    return Outcome(
        figures={
            "eras_exponent": slope(numbers, eras),
            "scenarios_exponent": slope(SCENARIOS, scenarios),
            "pairs_exponent": slope(PAIRS, pairs),
        },
        curves=[
            Curve(
                title="Measuring: time against eras",
                x_title="eras",
                y_title="seconds",
                x=numbers,
                lines={"measured": eras, "each alone": [n * eras[0] for n in numbers]},
            ),
            Curve(
                title="Measuring: time against scenarios",
                x_title="scenarios",
                y_title="seconds",
                x=list(map(float, SCENARIOS)),
                lines={"measured": scenarios},
            ),
            Curve(
                title="DPO: time against pairs",
                x_title="pairs",
                y_title="seconds",
                x=list(map(float, PAIRS)),
                lines={"measured": pairs},
            ),
        ],
    )


def slope(sizes: object, seconds: object) -> float:
    """Exponent of growth: the slope of log time against log size."""
    return float(np.polyfit(np.log(np.array(sizes)), np.log(np.array(seconds)), 1)[0])
