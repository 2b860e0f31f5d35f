"""Follow and the loop, with the algorithms that come with the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import progressgym as pg
from progressgym import registry
from progressgym.challenge import PRESETS


def play(small_yaml: Path, algorithm: str, seed: int = 0, **settings: Any) -> pg.RunResult:
    parameters = settings.pop("parameters", {})
    settings = {"items": 20, "questions": 240, "decisiveness": 1.0, **settings}
    env = pg.make("follow", models=str(small_yaml), preset="quick", **settings)
    pg.play(env, pg.make_algorithm(algorithm, **parameters), seed=seed)
    return env.result(algorithm, parameters)


def scores(result: pg.RunResult) -> Any:
    assert result.scores is not None
    return result.scores


def test_frozen_scores_zero_and_oracle_one(small_yaml: Path) -> None:
    frozen, oracle = play(small_yaml, "frozen"), play(small_yaml, "oracle")
    assert scores(frozen).skill.value == 0
    assert scores(frozen).gain.value == 0
    assert scores(oracle).skill.value == pytest.approx(1)
    assert scores(oracle).gain.value == pytest.approx(1)
    assert scores(oracle).upstream == pytest.approx(1)


def test_lifelong_dpo_learns_from_graded_answers_what_it_was_never_asked(small_yaml: Path) -> None:
    learnt = play(
        small_yaml,
        "lifelong-dpo",
        answers="graded",
        items=20,
        questions=2000,
        parameters={"learning_rate": 1e-2, "epochs": 2},
    )
    assert scores(learnt).skill.value > 0.5
    assert 0.5 < scores(learnt).gain.value < 1.5


def test_independent_starts_each_era_from_the_initial_policy(small_yaml: Path) -> None:
    first, second = (
        play(small_yaml, name, parameters={"learning_rate": 1e-2}).steps
        for name in ("lifelong-dpo", "lifelong-dpo-independent")
    )
    assert first[0].policy_items == second[0].policy_items
    assert first[2].policy_items != second[2].policy_items


def test_same_seed_same_numbers_and_other_seed_other_numbers(small_yaml: Path) -> None:
    parameters = {"learning_rate": 1e-2}
    one, two, other = (
        play(small_yaml, "lifelong-dpo", seed, parameters=parameters) for seed in (5, 5, 6)
    )
    assert [s.policy_items for s in one.steps] == [s.policy_items for s in two.steps]
    assert [s.policy_items for s in one.steps] != [s.policy_items for s in other.steps]


def test_rewards_add_up_to_the_skill_before_noise_is_subtracted(small_yaml: Path) -> None:
    from progressgym.values.scores import squared_errors

    result = play(small_yaml, "random", parameters={"scale": 1.0})
    policy, frozen = squared_errors(result.trajectory)[0].sum(axis=(1, 2))
    assert sum(step.reward for step in result.steps) == pytest.approx(frozen - policy)


def test_scores_are_recomputed_from_items_alone(small_yaml: Path) -> None:
    result = play(small_yaml, "random", parameters={"scale": 1.0})
    claimed = scores(result).model_copy(update={"upstream": 2.0})
    forged = result.model_copy(update={"scores": claimed})
    assert forged.compute_scores() == result.scores


def test_initial_base_starts_from_the_base_model(small_yaml: Path) -> None:
    env = pg.make("follow", models=str(small_yaml), initial="base")
    assert env.initial_policy().fingerprint == env.initial_policy().base.fingerprint


def test_humans_offer_only_query_scenarios_and_the_probe_is_never_asked(small_yaml: Path) -> None:
    env = pg.make("follow", models=str(small_yaml))
    env.reset(seed=0)
    asked = {pair.scenario for pair in env.human.questions}
    assert asked == {scenario.id for scenario in env.query}
    assert not asked & {scenario.id for scenario in env.probe}
    assert env.human.budget == PRESETS["standard"]["questions"]


def test_dilemmas_play_too(small_yaml: Path) -> None:
    result = play(small_yaml, "oracle", instrument="dilemma")
    assert scores(result).skill.value == pytest.approx(1)
    assert result.frames == ["likelihood"]


def test_step_refuses_what_is_no_policy_and_result_an_unfinished_episode(small_yaml: Path) -> None:
    env = pg.make("follow", models=str(small_yaml), items=2)
    with pytest.raises(pg.UsageError, match="reset"):
        _ = env.human
    env.reset(seed=0)
    with pytest.raises(pg.UsageError, match="Policy"):
        env.step("not a policy")  # type: ignore[arg-type]
    with pytest.raises(pg.UsageError, match="step 0 of 3"):
        env.result()


def test_observation_is_in_its_space_and_sampled_actions_are_policies(small_yaml: Path) -> None:
    env = pg.make("follow", models=str(small_yaml), items=2)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    action = env.action_space.sample()
    assert env.action_space.contains(action)
    observation, _, terminated, truncated, _ = env.step(action)
    assert env.observation_space.contains(observation)
    assert not terminated
    assert not truncated


def test_a_third_party_registers_as_the_built_in_algorithms_do(small_yaml: Path) -> None:
    @pg.register("algorithm", "test-copycat")
    class Copycat(pg.Algorithm):
        """Returns its policy as it is.

        Args:
            loud: unused.
        """

        def __init__(self, loud: bool = False) -> None:
            self.loud = loud

        def update(self, observation: pg.Observation, human: pg.Human) -> pg.Policy:
            """Ask one question and change nothing."""
            human.prefer(human.questions[:1])
            return self.policy

    result = play(small_yaml, "test-copycat")
    assert scores(result).skill.value == 0
    assert [step.questions for step in result.steps] == [1, 1, 1]
    assert "test-copycat" in registry.names("algorithm")
    with pytest.raises(pg.UsageError, match="Did you mean 'loud'"):
        pg.make_algorithm("test-copycat", lood=True)
    with pytest.raises(ValueError, match="registered already"):
        pg.register("algorithm", "test-copycat")(pg.Human)
