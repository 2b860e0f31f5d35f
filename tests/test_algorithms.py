"""The built-in algorithms: RLHF ends where DPO does, extrapolation finds where values are going."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interruptions import whole_and_resumed
from progressgym.algorithms.extrapolative import ExtrapolativeDPO
from progressgym.algorithms.lifelong import unasked
from progressgym.algorithms.temporal import Aim, extrapolate

import progressgym as pg
from progressgym import registry, runner
from progressgym.errors import UsageError
from progressgym.human import Human
from progressgym.models import Policy, base_policy, era_policy
from progressgym.pairs import Pair
from progressgym.timeline import Timeline
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.training.reward import RewardSettings, train_reward
from progressgym.training.rloo import RLOOSettings, train_rloo
from progressgym.values.instruments import questions
from progressgym.values.scenarios import shipped_bank

EIGHT = [
    f"{kind}-{method}{start}"
    for kind in ("lifelong", "extrapolative")
    for method in ("dpo", "rlhf")
    for start in ("", "-independent")
]
GAMMA = 4.0


def play(small_yaml: Path, algorithm: str, seed: int = 0, **parameters: Any) -> pg.RunResult:
    env = pg.make("follow", models=str(small_yaml), preset="quick", items=4, questions=120)
    own = {"learning_rate": 1e-2, **parameters}
    pg.play(env, pg.make_algorithm(algorithm, **own), seed=seed)
    return env.result(algorithm)


@pytest.fixture(scope="module")
def asked() -> list[Pair]:
    """Graded answers of the last era to questions about few statements."""
    timeline = Timeline.load("tiny")
    own = questions(shipped_bank().split("query").first(1))[:60]
    era = era_policy(timeline, timeline.eras[-1])
    human = Human("C021", era, base_policy(timeline), own, 1000, "graded", GAMMA)
    return human.prefer(own)


def odds(answers: Sequence[Pair]) -> np.ndarray:
    p = np.array([pair.preference for pair in answers], dtype=float)
    return np.log(p) - np.log1p(-p)


def implied(policy: Policy, answers: Sequence[Pair]) -> np.ndarray:
    return GAMMA * (policy.margins(answers) - policy.base.margins(answers))


def test_all_eight_settings_are_registered_like_a_third_partys() -> None:
    assert set(EIGHT) <= set(registry.names("algorithm"))
    known = registry.parameters(registry.find("algorithm", "extrapolative-rlhf-independent"))
    assert {"order", "ahead", "clip", "samples", "reward_learning_rate", "beta", "epochs"} <= set(
        known
    )


@pytest.mark.parametrize("name", EIGHT)
def test_same_seed_same_numbers_and_curves_in_the_result(small_yaml: Path, name: str) -> None:
    one, two, other = (play(small_yaml, name, seed) for seed in (5, 5, 6))
    assert one.steps == two.steps
    assert one.steps[-1].policy_items != other.steps[-1].policy_items
    curves = one.steps[-1].curves
    assert set(curves) == ({"loss"} if "dpo" in name else {"reward", "kl", "agreement"})
    assert all(len(curve) > 0 and np.isfinite(curve).all() for curve in curves.values())


# Reward models and RLOO -----------------------------------------------------------------------


def test_a_reward_model_learns_the_log_odds_of_the_answers(asked: list[Pair]) -> None:
    base = base_policy(Timeline.load("tiny"))
    settings = RewardSettings(learning_rate=1e-2, epochs=60, batch=4)
    found = train_reward(base, base, GAMMA, asked, settings).odds(asked).numpy()
    assert found.shape == (len(asked),)
    assert np.corrcoef(found, odds(asked))[0, 1] > 0.9


def test_rloo_and_dpo_have_the_same_optimum(asked: list[Pair]) -> None:
    """With the human's own log-odds as reward and β = γ both end at the human."""
    base = base_policy(Timeline.load("tiny"))
    by_dpo, by_rloo = base.copy(), base.copy()
    train_dpo(by_dpo, base, asked, DPOSettings(GAMMA, 1e-2, 60, 4))
    first = torch.from_numpy(odds(asked))
    rewards = torch.stack([first, torch.zeros_like(first)], dim=1)
    train_rloo(by_rloo, base, asked, rewards, RLOOSettings(GAMMA, 1e-2, 60, 4, 16))
    human = odds(asked)
    for policy in (by_dpo, by_rloo):
        found = implied(policy, asked)
        assert np.corrcoef(found, human)[0, 1] > 0.97
        assert (found @ human) / (human @ human) == pytest.approx(1, abs=0.1)


def test_reward_rises_with_distance_where_the_pull_is_weak(asked: list[Pair]) -> None:
    base = base_policy(Timeline.load("tiny"))
    first = torch.from_numpy(odds(asked))
    rewards = torch.stack([first, torch.zeros_like(first)], dim=1)

    def last(beta: float) -> dict[str, float]:
        settings = RLOOSettings(beta, 1e-2, 20, 4, 16)
        curves = train_rloo(base.copy(), base, asked, rewards, settings, asked)
        return {name: float(np.mean(curve[-5:])) for name, curve in curves.items()}

    weak, strong = last(0.2), last(20.0)
    assert weak["reward"] > strong["reward"]
    assert weak["kl"] > 2 * strong["kl"]
    assert 0.5 < weak["agreement"] <= 1


@pytest.mark.parametrize("answers", [[], [Pair("It is", " right", " wrong")]])
def test_trainings_refuse_what_nobody_answered(answers: list[Pair]) -> None:
    base = base_policy(Timeline.load("tiny"))
    with pytest.raises(UsageError, match="answered"):
        train_reward(base, base, GAMMA, answers, RewardSettings())
    rewards = torch.zeros(len(answers), 2)
    with pytest.raises(UsageError, match=r"answered|questions"):
        train_rloo(base.copy(), base, answers, rewards, RLOOSettings(), answers)


def test_rlhf_optimises_on_prompts_that_were_not_asked() -> None:
    own = questions(shipped_bank().split("query").first(1))
    base = base_policy(Timeline.load("tiny"))
    human = Human("C021", base, base, own, 100)
    answers = human.prefer(human.draw(100, np.random.default_rng(0)))
    aim = Aim(human, base, GAMMA, 5, answers)
    others = unasked(aim)
    assert len(others) == 100
    assert not {q.prompt for q in others} & {a.prompt for a in answers}
    assert others == unasked(aim)
    whole = Human("C021", base, base, own, len(own)).prefer(own)
    assert unasked(Aim(human, base, GAMMA, 5, whole)) == whole  # nothing else is left


# Extrapolation --------------------------------------------------------------------------------


@given(
    st.integers(0, 3),
    st.integers(1, 4),
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
)
def test_values_that_move_as_a_polynomial_are_foreseen(
    order: int, ahead: int, coefficients: list[float]
) -> None:
    """Synthetic humans whose log-odds move linearly (order 1), quadratically (order 2) …"""
    polynomial = np.polynomial.Polynomial(coefficients[: order + 1])
    eras = np.arange(order + 1)
    history = np.stack([polynomial(eras), -2 * polynomial(eras)], axis=1)
    future = polynomial(order + ahead)
    assert extrapolate(history, ahead) == pytest.approx([future, -2 * future], abs=1e-6)


@pytest.mark.parametrize(("order", "ahead"), [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_an_algorithm_foresees_synthetic_humans(order: int, ahead: int) -> None:
    own = questions(shipped_bank().split("query").first(1))[:40]
    base = base_policy(Timeline.load("tiny"))
    algorithm = ExtrapolativeDPO(order=order, ahead=ahead, clip=1e9)
    algorithm.reset(base.copy(), seed=3)
    speed = np.linspace(-1, 1, len(own))

    def truth(era: int) -> np.ndarray:
        return 0.3 + speed * era + (0.2 * speed * era**2 if order == 2 else 0)

    def drawn(pairs: Sequence[Pair]) -> list[int]:
        return [own.index(replace(pair, preference=None)) for pair in pairs]

    found = None
    for era in range(order + 3):
        human = Human(str(era), base, base, own, len(own))
        found = algorithm.foresee(human, lambda pairs, era=era: truth(era)[drawn(pairs)])
        assert (found is None) == (era == 0)
    assert found is not None
    answers, future = found
    assert future == pytest.approx(truth(order + 2 + ahead)[drawn(answers)], abs=1e-6)
    assert [a.preference for a in answers] == pytest.approx(1 / (1 + np.exp(-future)))
    assert human.asked == 0


def test_foreseen_log_odds_are_clipped() -> None:
    own = questions(shipped_bank().split("query").first(1))[:10]
    base = base_policy(Timeline.load("tiny"))
    algorithm = ExtrapolativeDPO(clip=2.0)
    algorithm.reset(base.copy())
    for era in (0, 1):
        human = Human(str(era), base, base, own, len(own))
        found = algorithm.foresee(human, lambda pairs, era=era: np.full(len(pairs), 9.0 * era))
    assert found is not None
    assert (found[1] == 2.0).all()


@pytest.mark.parametrize("method", ["dpo", "rlhf"])
@pytest.mark.parametrize("start", ["", "-independent"])
def test_order_zero_is_the_lifelong_algorithm(small_yaml: Path, method: str, start: str) -> None:
    lifelong = play(small_yaml, f"lifelong-{method}{start}")
    zero = play(small_yaml, f"extrapolative-{method}{start}", order=0)
    one = play(small_yaml, f"extrapolative-{method}{start}")
    switched = play(small_yaml, f"lifelong-{method}", order=1, iterative=not start)
    assert zero.steps == lifelong.steps
    assert switched.steps == one.steps
    assert one.steps[0] == lifelong.steps[0]
    assert one.steps[1].policy_items != lifelong.steps[1].policy_items


@pytest.mark.parametrize("name", ["extrapolative-dpo", "extrapolative-rlhf"])
def test_history_survives_an_interruption(small_yaml: Path, tmp_path: Path, name: str) -> None:
    settings = {"models": str(small_yaml), "preset": "quick", "items": 4, "questions": 120}
    cell = runner.grid(["follow"], [name], [0], settings, {"learning_rate": "0.01"})[0]

    whole, resumed = whole_and_resumed(cell, tmp_path, after=2)
    assert resumed.steps == whole.steps


def test_who_looks_at_a_model_is_marked_as_cheating(small_yaml: Path) -> None:
    class Peeping(pg.Algorithm):
        def update(self, observation: pg.Observation, human: pg.Human) -> Policy:
            if observation["step"] == 1:
                human.reveal_target()
            return self.policy

    env = pg.make("predict", models=str(small_yaml), preset="quick", items=4)
    result = pg.play(env, Peeping(), seed=0).result("peeping")
    assert result.cheats
    assert [step.revealed for step in result.steps] == [False, True]
