"""Algorithms about time and people: they learn, resume, and keep what theory promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interruptions import whole_and_resumed
from progressgym.algorithms.constitutional import (
    PRINCIPLES,
    clauses,
    constitution,
    induce,
    known_scenarios,
)
from progressgym.algorithms.ewc import distance
from progressgym.algorithms.hindsight import consequences
from progressgym.algorithms.kalman import forecast, most_likely
from progressgym.algorithms.memory import faded
from progressgym.algorithms.social_choice import RULES
from progressgym.algorithms.temporal import answered, extrapolate
from progressgym.algorithms.variational import Explanation, principal_axes

import progressgym as pg
from progressgym import registry, runner
from progressgym.errors import UsageError
from progressgym.human import Human
from progressgym.models import Policy, base_policy, era_policy
from progressgym.pairs import Pair
from progressgym.timeline import Timeline
from progressgym.training.fisher import fisher_diagonal
from progressgym.training.pairs import (
    collate,
    preference_data,
    read_batch,
    state_contrasts,
)
from progressgym.values.instruments import questions
from progressgym.values.scenarios import shipped_bank
from progressgym.values.vector import sigmoid

TIME = [
    "constitutional",
    "ema",
    "ewc",
    "hindsight",
    "kalman",
    "kalman-filter",
    "replay",
    "social-choice",
    "variational",
    "weight-average",
]
SIZE = {"preset": "quick", "items": 2, "questions": 60}
GAMMA = 4.0


@pytest.fixture(scope="module")
def base() -> Policy:
    return base_policy(Timeline.load("tiny"))


@pytest.fixture(scope="module")
def asked() -> list[Pair]:
    """Questions about a few statements of every dimension."""
    return questions(shipped_bank().split("query").first(1))


def play(small_yaml: Path, algorithm: str, seed: int = 0, **parameters: Any) -> pg.RunResult:
    env = pg.make("follow", models=str(small_yaml), **SIZE)
    pg.play(env, pg.make_algorithm(algorithm, **{"learning_rate": 1e-2, **parameters}), seed=seed)
    return env.result(algorithm)


@pytest.mark.parametrize("name", TIME)
def test_an_interrupted_run_ends_with_the_same_numbers(
    small_yaml: Path, tmp_path: Path, name: str
) -> None:
    """So it depends on its seed alone, remembers all it needs, and asks no more than it may."""
    settings = {"models": str(small_yaml), **SIZE}
    changes = {"learning_rate": "0.01", "order": "1"} if name != "kalman" else {}

    cell, other = runner.grid(["follow"], [name], [0, 1], settings, changes)
    whole, resumed = whole_and_resumed(cell, tmp_path, after=2)
    assert resumed.steps == whole.steps
    assert runner.run(other, tmp_path / "whole").steps[-1].policy_items != (
        whole.steps[-1].policy_items
    )
    assert [step.questions for step in whole.steps] == [60] * 3
    assert not whole.cheats
    curves = whole.steps[-1].curves.values()
    assert all(len(curve) > 0 and np.isfinite(curve).all() for curve in curves)


@pytest.mark.parametrize("name", TIME)
def test_who_meets_the_same_human_again_agrees_in_the_end(
    asked: list[Pair], base: Policy, name: str
) -> None:
    timeline = Timeline.load("tiny")
    era = era_policy(timeline, timeline.eras[-1])
    own = {"constitutional": {"sparsity": 0.1}}.get(name, {})
    algorithm = pg.make_algorithm(name, learning_rate=1e-2, epochs=20, batch=4, **own)
    algorithm.reset(base.copy(), seed=0)
    for step in range(3):
        human = Human("late", era, base, asked, 120, "graded", GAMMA)
        algorithm.update({"step": step, "era": step, "questions": 120}, human)
    truth = GAMMA * (era.margins(asked) - base.margins(asked))
    found = GAMMA * (algorithm.policy.margins(asked) - base.margins(asked))
    if name == "constitutional":  # which knows acts by their kind, and no words
        acts = sorted({pair.scenario for pair in asked})
        about = np.array([[pair.scenario == act for pair in asked] for act in acts])
        found, truth = about @ found, about @ truth
    assert np.corrcoef(found, truth)[0, 1] > 0.7


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("ewc", {"strength": 0.0}),
        ("replay", {"decay": 0.0}),
        ("ema", {"rate": 1.0}),
        ("weight-average", {"trainings": 1}),
    ],
)
def test_switched_off_it_is_lifelong_dpo(small_yaml: Path, name: str, off: dict[str, Any]) -> None:
    # Several optimizer steps an era: a penalty around the start has no slope in the first.
    lifelong = play(small_yaml, "lifelong-dpo", batch=4).steps
    assert play(small_yaml, name, batch=4, **off).steps == lifelong
    assert play(small_yaml, name, batch=4).steps[-1].policy_items != lifelong[-1].policy_items


# Memory -----------------------------------------------------------------------------------------


def test_older_answers_are_replayed_less_and_prompts_stay_whole(asked: list[Pair]) -> None:
    eras = [answered(asked, np.full(len(asked), 5.0 * era)) for era in range(3)]
    drawn = faded(eras, 0.5, np.random.default_rng(0))
    prompts = len({pair.prompt for pair in asked})
    for age, era in enumerate(reversed(eras), start=1):
        found = [pair for pair in drawn if pair.preference == era[0].preference]
        assert len({pair.prompt for pair in found}) == round(0.5**age * prompts)
        chosen = {pair.prompt for pair in found}
        assert len(found) == sum(pair.prompt in chosen for pair in asked)
    assert len(set(drawn)) == len(drawn)


def test_the_fisher_diagonal_is_that_of_every_answer_by_itself(
    asked: list[Pair], base: Policy
) -> None:
    """Exact: β²·p(1 − p)·(∂m/∂θ)² of each question; drawn answers give it in the mean."""
    timeline = Timeline.load("tiny")
    policy = era_policy(timeline, timeline.eras[-1]).copy()
    pairs = answered(asked[:12], np.zeros(12))
    draws = [fisher_diagonal(policy, base, GAMMA, pairs, seed) for seed in range(150)]
    exact = {name: torch.zeros_like(tensor) for name, tensor in policy.weights.items()}
    with policy.active() as model:
        for pair in pairs:
            (example,) = preference_data(policy, base, [pair])
            batch = read_batch(model, collate([example]), model.device)
            odds = GAMMA * batch.first.over(batch.second)
            chance = odds.detach().sigmoid()
            parameters = policy.backbone.adapter
            slopes = torch.autograd.grad(odds.sum(), list(parameters.values()))
            for name, slope in zip(parameters, slopes, strict=True):
                exact[name] += chance * (1 - chance) * slope**2 / len(pairs)
    found = torch.cat([torch.stack([d[n] for d in draws]).mean(0).flatten() for n in exact])
    wanted = torch.cat([tensor.flatten() for tensor in exact.values()])
    assert np.corrcoef(found, wanted)[0, 1] > 0.98
    assert float(found.sum() / wanted.sum()) == pytest.approx(1, abs=0.15)


def test_strong_consolidation_holds_what_mattered(asked: list[Pair], base: Policy) -> None:
    timeline = Timeline.load("tiny")
    ends = [era_policy(timeline, era) for era in (timeline.eras[0], timeline.eras[-1])]

    def moved(strength: float) -> float:
        algorithm = pg.make_algorithm("ewc", learning_rate=1e-2, strength=strength, epochs=4)
        algorithm.reset(base.copy())
        for step, era in enumerate(ends):
            before = algorithm.policy
            human = Human(era.name, era, base, asked, 60, "graded", GAMMA)
            algorithm.update({"step": step, "era": step, "questions": 60}, human)
        fisher = fisher_diagonal(before, base, GAMMA, algorithm.past[0], 0)
        return float(distance(algorithm.policy.weights, before.weights, fisher))

    assert moved(100.0) < 0.5 * moved(0.0)


# Kalman -----------------------------------------------------------------------------------------


def foreseen(history: np.ndarray, ahead: int, slope: bool = True) -> np.ndarray:
    return forecast(history, most_likely(history, slope), ahead)


@pytest.mark.parametrize("eras", [3, 5, 9])
@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_a_filter_without_noise_goes_on_in_a_line(eras: int, ahead: int) -> None:
    rng = np.random.default_rng(eras)
    start, speed = rng.normal(size=(2, 50))
    history = start + np.arange(eras)[:, None] * speed
    truth = start + (eras - 1 + ahead) * speed
    assert foreseen(history, ahead) == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("eras", [2, 4, 8])
def test_a_filter_beats_finite_differences_and_the_last_reading_under_noise(eras: int) -> None:
    rng = np.random.default_rng(eras)
    speed = rng.normal(0, 0.5, 500)
    truth = rng.normal(size=500) + np.arange(eras + 1)[:, None] * speed
    history = truth[:-1] + rng.normal(size=(eras, 500))

    def error(found: np.ndarray, wanted: np.ndarray) -> float:
        return float(np.sqrt(np.mean((found - wanted) ** 2)))

    assert error(foreseen(history, 1), truth[-1]) < 0.6 * error(
        extrapolate(history[-2:], 1), truth[-1]
    )
    filtered = error(foreseen(history, 0), truth[-2])
    assert filtered < 0.9 * error(history[-1], truth[-2])


def test_without_a_slope_the_forecast_is_the_level() -> None:
    history = np.random.default_rng(0).normal(size=(6, 200))
    level = foreseen(history, 0, slope=False)
    assert foreseen(history, 3, slope=False) == pytest.approx(level)
    assert np.abs(level - history.mean(0)).mean() < 0.2  # mere noise is averaged


# Social choice ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "chances", "wanted"),
    [
        ("borda", [[0.9], [0.6], [0.3]], 0.6),
        ("borda", [[0.999999], [0.2], [0.2]], 1.399999 / 3),
        ("mean", [[0.8], [0.2]], 0.5),
        ("mean", [[0.8], [0.8], [0.2]], 1 / (1 + 4 ** (-1 / 3))),
        ("maximin", [[0.9], [0.6], [0.7]], 0.6),
        ("maximin", [[0.1], [0.4], [0.3]], 0.4),
        ("maximin", [[0.9], [0.99], [0.4]], 0.5),
    ],
)
def test_voting_rules_on_tables(rule: str, chances: list[list[float]], wanted: float) -> None:
    p = np.array(chances)
    assert sigmoid(RULES[rule](np.log(p / (1 - p)))) == pytest.approx([wanted], abs=1e-6)


def test_maximin_is_best_for_the_worst_off() -> None:
    voters = np.random.default_rng(0).normal(0.5, 1, (3, 40))
    grid = np.linspace(1e-3, 1 - 1e-3, 2001)
    pull = grid * np.log(2 * grid) + (1 - grid) * np.log(2 * (1 - grid))
    worst = ((grid[:, None, None] - 0.5) * voters).min(axis=1) - pull[:, None]
    assert sigmoid(RULES["maximin"](voters)) == pytest.approx(grid[worst.argmax(0)], abs=1e-3)


# Constitution -----------------------------------------------------------------------------------


def test_planted_principles_are_recovered_and_nothing_else() -> None:
    own = questions(shipped_bank().split("query"))
    articles = clauses(own, known_scenarios(None))
    planted = np.zeros(len(PRINCIPLES))
    chosen = ("upholding: Deceive", "violating: Cause death", "everything")
    planted[[PRINCIPLES.index(name) for name in chosen]] = (2.0, -1.5, 0.5)
    rng = np.random.default_rng(0)
    labels = (rng.random(len(own)) < sigmoid(articles @ planted)).astype(float)
    found = induce(articles, [q.answered(float(p)) for q, p in zip(own, labels, strict=True)], 20)
    assert found == pytest.approx(planted, abs=0.5)  # sparsity shrinks
    assert set(np.flatnonzero(np.abs(found) > 0.15)) == set(np.flatnonzero(planted))
    lines = constitution(found).splitlines()
    assert lines[0].startswith("Praise upholding: Deceive (+")
    assert lines[1].startswith("Blame violating: Cause death (−".replace("−", "-"))


def test_a_constitution_needs_the_bank_that_questions_come_from() -> None:
    with pytest.raises(UsageError, match="--set scenarios=FILE"):
        clauses([Pair("It is", " right", " wrong", "elsewhere-1")], known_scenarios(None))


# Latent eras ------------------------------------------------------------------------------------


def test_planted_latents_are_inferred_and_others_vanish() -> None:
    rng = np.random.default_rng(0)
    common, moving = rng.normal(0, 0.6, 10), rng.normal(0, 0.5, 10)
    xs = [rng.normal(size=(400, 10)) for _ in range(6)]
    truth = [x @ (common + moving * z) for x, z in zip(xs, np.linspace(-1.5, 1.5, 6), strict=True)]
    chances = [(rng.random(400) < sigmoid(odds)).astype(float) for odds in truth]
    together = Explanation(xs, chances, 3)
    assert np.diff(together.bounds).min() > -1e-6
    sizes = np.sort(np.linalg.norm(together.weights[:, 1:], axis=0))
    assert sizes[1] < 0.05 < 0.3 < sizes[2]
    places = together.places[:, np.linalg.norm(together.weights[:, 1:], axis=0).argmax()]
    assert abs(np.corrcoef(places, np.arange(6))[0, 1]) > 0.97

    def error(found: Explanation, era: int, row: int) -> float:
        odds = xs[era] @ found.weights @ np.append(1, found.places[row])
        return float(np.mean((odds - truth[era]) ** 2))

    alone = [error(Explanation([xs[t]], [chances[t]], 1), t, 0) for t in range(6)]
    assert np.mean([error(together, t, t) for t in range(6)]) < 0.8 * np.mean(alone)


def test_features_change_sign_with_the_order_of_the_responses(
    asked: list[Pair], base: Policy
) -> None:
    pairs = asked[:20]
    swapped = [Pair(pair.prompt, pair.second, pair.first) for pair in pairs]
    rows = state_contrasts(base, pairs).numpy()
    assert state_contrasts(base, swapped).numpy() == pytest.approx(-rows, abs=1e-5)
    described = rows @ principal_axes(rows, 5)
    assert (described**2).mean(axis=0) == pytest.approx(np.ones(5))


def test_states_are_those_that_the_head_reads(base: Policy) -> None:
    prompts = ["it is right", "to hang a murderer is"]
    rows = base.encode(prompts)
    found = base.encoded_states([(row[:-1], row[-1:]) for row in rows])
    head = base.backbone.model.get_output_embeddings().weight[[5, 9]].detach()
    assert torch.allclose(found @ head.T, base.next_token_logits(prompts, [5, 9]), atol=1e-4)


# Hindsight --------------------------------------------------------------------------------------


@pytest.mark.parametrize("influence", [0.0, 0.3, 0.7])
def test_influence_and_drift_are_told_apart(influence: float) -> None:
    rng = np.random.default_rng(0)
    drift = rng.normal(0, 0.5, 3000)
    humans, advice = [rng.normal(size=3000)], []
    for _ in range(3):
        advice.append(humans[-1] + rng.normal(size=3000))
        alone = (1 - influence) * (humans[-1] + drift)
        humans.append(alone + influence * advice[-1])
    found, way = consequences(np.array(humans), np.array(advice))
    assert found == pytest.approx(influence, abs=0.03)
    assert np.corrcoef(way, drift)[0, 1] > 0.99
    assert np.std(way) == pytest.approx(np.std(drift), rel=0.1)
    holds = humans[-1] + drift  # advice of which the human of tomorrow says the same
    assert (1 - influence) * (humans[-1] + drift) + influence * holds == pytest.approx(holds)


@pytest.mark.parametrize("influence", [0.0, 0.6])
def test_hindsight_does_not_take_its_own_foresight_for_influence(influence: float) -> None:
    """Advice that is ahead of the humans, on the way that they go anyhow, in every question."""
    rng = np.random.default_rng(0)
    drift = rng.normal(size=3000)
    humans, advice = [rng.normal(size=3000)], []
    for step in range(6):
        advice.append(humans[-1] + step / (step + 1) * drift + 0.2 * rng.normal(size=3000))
        alone = (1 - influence) * (humans[-1] + drift)
        humans.append(alone + influence * advice[-1])
        humans[-1] += 0.05 * rng.normal(size=3000)
    found, way = consequences(np.array(humans), np.array(advice))
    assert found == pytest.approx(influence, abs=0.1)
    assert np.std(way) == pytest.approx(1, rel=0.3)
    first, _ = consequences(np.array(humans[:2]), np.array(advice[:1]))
    assert first == 0  # one change could come from either


def test_all_of_them_are_registered_like_a_third_partys() -> None:
    assert set(TIME) <= set(registry.names("algorithm"))
