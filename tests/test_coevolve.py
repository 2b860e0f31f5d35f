"""Coevolve: humans who learn from their time and from the policy's advice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from progressgym.algorithms import lifelong
from progressgym.challenges import coevolve

import progressgym as pg
from progressgym import runner
from progressgym.errors import UsageError
from progressgym.values.instruments import questions
from progressgym.values.scores import Coevolution, diversity, lag, lock_in_index

SETTINGS = {"items": 20, "questions": 240, "human_questions": 960, "human_learning_rate": 1e-2}


def play(small_yaml: Path, algorithm: str, seed: int = 0, **settings: Any) -> pg.RunResult:
    env = pg.make("coevolve", models=str(small_yaml), **{**SETTINGS, **settings})
    pg.play(env, pg.make_algorithm(algorithm), seed=seed)
    return env.result(algorithm)


def test_without_influence_the_human_goes_its_own_way_exactly(small_yaml: Path) -> None:
    result = play(small_yaml, "random", influence=0.0)
    assert all(step.human_items == step.counterfactual_items for step in result.steps)
    assert result.scores is not None
    assert result.scores.diversity is not None
    assert result.scores.diversity.value == pytest.approx(1)
    if result.scores.lock_in and result.scores.lock_in.value is not None:
        assert result.scores.lock_in.value == pytest.approx(0)


def test_the_counterfactual_is_the_same_for_all_algorithms(small_yaml: Path) -> None:
    one, other = (play(small_yaml, name) for name in ("frozen", "random"))
    for mine, theirs in zip(one.steps, other.steps, strict=True):
        assert mine.counterfactual_items == theirs.counterfactual_items
    assert one.steps[-1].human_items != other.steps[-1].human_items


def test_the_more_influence_the_nearer_the_human_stays_to_its_advice(small_yaml: Path) -> None:
    """Advice as in the first era; what the human answers, not its values: tiny has few of them."""
    away = []
    for influence in (0.0, 0.3, 1.0):
        env = pg.make("coevolve", models=str(small_yaml), **{**SETTINGS, "influence": influence})
        pg.play(env, pg.make_algorithm("frozen"), seed=0)
        asked = questions(env.query)[:500]
        now, first = (
            policy.margins(asked) for policy in (env.state()["human"], env.frozen_model())
        )
        away.append(float(np.abs(now - first).mean()))
    assert away[0] > 1.05 * away[1]
    assert away[1] > 1.05 * away[2]


def test_an_interrupted_run_ends_with_the_same_bytes(small_yaml: Path, tmp_path: Path) -> None:
    settings = {"models": str(small_yaml), "preset": "quick", **SETTINGS}
    cell = runner.Cell("coevolve", "lifelong-dpo", 0, settings)

    def stop(done: int, steps: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    runner.run(cell, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        runner.run(cell, tmp_path / "broken", progress=stop)
    runner.run(cell, tmp_path / "broken", resume=True)
    results = [
        json.loads((cell.folder(tmp_path / name) / "result.json").read_text())
        for name in ("whole", "broken")
    ]
    for result in results:
        for step in result["steps"]:
            step.pop("seconds")
    assert results[0] == results[1]


def test_nothing_is_learnt_twice_however_often_it_is_interrupted(
    small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGRESSGYM_CACHE", str(tmp_path / "cache"))
    cell = runner.Cell("coevolve", "lifelong-dpo", 0, {"models": str(small_yaml), **SETTINGS})
    learnt: list[str] = []
    allowed = 0

    def counted(name: str, train: Any) -> Any:
        def once_a_run(*arguments: Any) -> Any:
            nonlocal allowed
            if not allowed:
                raise KeyboardInterrupt
            allowed -= 1
            result = train(*arguments)
            learnt.append(name)
            return result

        return once_a_run

    for module, who in ((coevolve, "human"), (lifelong, "policy")):
        monkeypatch.setattr(module, "train_dpo", counted(who, module.train_dpo))
    for _ in range(7):
        allowed = 1
        with pytest.raises(KeyboardInterrupt):
            runner.run(cell, tmp_path, resume=True)
    allowed = 1
    runner.run(cell, tmp_path, resume=True)
    # The policy; the human of its time, then of advice; in the first step twice without any.
    assert learnt == ["policy", *["human"] * 4, "policy", *["human"] * 2]


@pytest.mark.parametrize(
    "settings",
    [{"influence": -1.0}, {"influence": float("nan")}, {"human_questions": 0}],
)
def test_impossible_arguments_are_refused(small_yaml: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        pg.make("coevolve", models=str(small_yaml), **settings)


def line(share: float, steps: int = 4, scenarios: int = 40) -> np.ndarray:
    """Stances that move from 0 in a straight line, upholding up and violating down."""
    signs = np.repeat([1.0, -1.0], scenarios // 2)
    noise = np.random.default_rng(0).normal(0, 0.05, scenarios)
    return np.outer(np.linspace(0, share, steps), signs) + noise


def walk(human: float, alone: float, real: float = 1.0) -> Coevolution:
    labels = np.zeros((40, 19), dtype=np.int8)
    labels[:20, 0], labels[20:, 0] = 1, -1
    return Coevolution(line(human), line(alone), line(real), labels)


def test_lock_in_is_the_share_of_the_way_that_advice_took_away() -> None:
    assert lock_in_index(walk(0.8, 0.8)).value == pytest.approx(0)
    assert lock_in_index(walk(0.0, 0.8)).value == pytest.approx(1, abs=1e-6)
    assert (lock_in_index(walk(1.0, 0.8)).value or 0) < 0
    assert lock_in_index(walk(0.5, 0.0)).value is None  # alone it goes nowhere


def test_lag_counts_eras_behind() -> None:
    assert lag(walk(1.0, 1.0)).value == pytest.approx(0, abs=1e-6)
    assert lag(walk(0.0, 1.0)).value == pytest.approx(2, abs=1e-6)  # mean of 1, 2 and 3


def test_one_dimension_that_moves_is_as_diverse_as_itself() -> None:
    assert diversity(walk(0.3, 0.9)).value == pytest.approx(1)
    assert diversity(walk(0.3, 0.0)).value is None
