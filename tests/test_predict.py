"""Predict: the future is what a policy is held against, and nothing of it leaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import progressgym as pg
from progressgym.errors import UsageError


def timeline(path: Path, positions: list[float]) -> Path:
    lines = [
        f"  - {{name: e{i}, first_year: {i}01, last_year: {i + 1}00, adapter: 'tiny:{p}'}}"
        for i, p in enumerate(positions, 1)
    ]
    path.write_text("name: some\nbase: tiny\neras:\n" + "\n".join(lines) + "\n")
    return path


def play(models: Path, algorithm: str, **settings: Any) -> pg.RunResult:
    settings = {"items": 20, "questions": 120, "decisiveness": 1.0, **settings}
    env = pg.make("predict", models=str(models), **settings)
    pg.play(env, pg.make_algorithm(algorithm), seed=0)
    return env.result(algorithm)


def test_a_policy_is_scored_against_the_human_some_eras_ahead(tmp_path: Path) -> None:
    path = timeline(tmp_path / "t.yaml", [0, 0.3, 0.6, 1])
    for horizon in (1, 2, 3):
        steps = play(path, "frozen", horizon=horizon).steps
        assert [step.era for step in steps] == ["e1", "e2", "e3", "e4"][: 4 - horizon]
        assert [step.target for step in steps] == ["e1", "e2", "e3", "e4"][horizon:]


def test_todays_human_as_forecast_has_skill_zero_against_persistence(tmp_path: Path) -> None:
    result = play(timeline(tmp_path / "t.yaml", [0, 0.3, 0.6, 1]), "persistence")
    assert result.scores is not None
    assert result.scores.persistence is not None
    assert result.scores.persistence.value == pytest.approx(0, abs=1e-6)
    assert 0 < (result.scores.skill.value or 0) < 1
    for step in result.steps:
        assert step.human_items == step.policy_items


def test_nothing_of_the_future_reaches_the_algorithm(tmp_path: Path) -> None:
    """Two histories that are alike up to the second era and differ after it."""
    first = timeline(tmp_path / "first.yaml", [0, 0.3, 0.6, 1])
    second = timeline(tmp_path / "second.yaml", [0, 0.3, 0.1, -1])
    one, other = (play(path, "lifelong-dpo").steps for path in (first, second))
    assert one[0].policy_items == other[0].policy_items
    assert one[1].policy_items == other[1].policy_items
    assert one[1].target_items != other[1].target_items
    assert one[2].policy_items != other[2].policy_items


def test_what_can_be_asked_is_todays_human(tmp_path: Path) -> None:
    path = timeline(tmp_path / "t.yaml", [0, 0.3, 0.6, 1])
    env = pg.make("predict", models=str(path), items=2, questions=4)
    observation, _ = env.reset(seed=0)
    while not env.done:
        step = observation["step"]
        assert observation["era"] == step
        assert env.human.era == f"e{step + 1}"
        assert env.human.reveal().name == f"e{step + 1}"
        observation, *_ = env.step(env.initial_policy())


@pytest.mark.parametrize("horizon", [0, -1, 3])
def test_a_horizon_beyond_the_timeline_is_refused(small_yaml: Path, horizon: int) -> None:
    with pytest.raises(UsageError, match=rf"horizon={horizon}: .* expected 1 to 2"):
        pg.make("predict", models=str(small_yaml), horizon=horizon)


@pytest.mark.parametrize("name", ["Follow", "Predict", "Coevolve"])
def test_gymnasium_knows_and_accepts_every_challenge(name: str, small_yaml: Path) -> None:
    env = gymnasium.make(
        f"progressgym/{name}-v0", models=str(small_yaml), items=2, questions=4
    ).unwrapped
    check_env(env, skip_render_check=True)
    _, reward, terminated, truncated, _ = env.step(env.initial_policy())
    assert np.isfinite(reward)
    assert not truncated
    assert not terminated
