"""Algorithms with reward models, reinforcement learning or sampling: what theory says of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interruptions import whole_and_resumed
from progressgym.algorithms import (
    data_smoothing,
    follow_up,
    group_invariant,
    pilaf,
    reward_ensemble,
    robust_rlhf,
    safe_rlhf,
)
from progressgym.algorithms.temporal import Aim

import progressgym as pg
from progressgym import runner
from progressgym.human import Human
from progressgym.models import base_policy, era_policy
from progressgym.pairs import Pair
from progressgym.timeline import Timeline
from progressgym.training.pairs import Batch, Responses, state_contrasts
from progressgym.values.instruments import questions
from progressgym.values.scenarios import shipped_bank
from progressgym.values.vector import sigmoid

NAMES = [
    "data-smoothing",
    "follow-up",
    "group-invariant",
    "pessimistic",
    "pilaf",
    "rest-em",
    "reward-ensemble",
    "robust-rlhf",
    "safe-rlhf",
    "superhf",
]
GAMMA = 4.0
SETTINGS = {"preset": "quick", "items": 4, "questions": 60}
FAST = {"learning_rate": 1e-2, "reward_learning_rate": 1e-2, "batch": 4}


@cache  # some tests compare the same runs
def play(small_yaml: Path, algorithm: str, seed: int = 0, **parameters: Any) -> pg.RunResult:
    own = {k: v for k, v in FAST.items() if algorithm != "pilaf" or k != "reward_learning_rate"}
    env = pg.make("follow", models=str(small_yaml), **SETTINGS)
    pg.play(env, pg.make_algorithm(algorithm, **{**own, **parameters}), seed=seed)
    return env.result(algorithm)


@pytest.fixture(scope="module")
def human() -> Human:
    """The last era's, who answers with probabilities about few statements."""
    timeline = Timeline.load("tiny")
    own = questions(shipped_bank().split("query").first(1))[:120]
    era = era_policy(timeline, timeline.eras[-1])
    return Human("C021", era, base_policy(timeline), own, 10**6, "graded", GAMMA)


def asked(human: Human) -> list[Pair]:
    return human.prefer(human.questions[:60])


def odds(answers: Sequence[Pair]) -> np.ndarray:
    p = np.array([pair.preference for pair in answers], dtype=float)
    return np.log(p) - np.log1p(-p)


# What all have in common ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_matters_and_the_budget_is_kept(small_yaml: Path, name: str) -> None:
    one, other = (play(small_yaml, name, seed) for seed in (0, 6))
    assert one.steps[-1].policy_items != other.steps[-1].policy_items
    assert [step.questions for step in one.steps] == [60] * 3
    assert not one.cheats
    assert all(np.isfinite(curve).all() for curve in one.steps[-1].curves.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_run_and_a_whole_one_of_the_same_seed_give_the_same_numbers(
    small_yaml: Path, tmp_path: Path, name: str
) -> None:
    settings = {"models": str(small_yaml), **SETTINGS}
    cell = runner.grid(["predict"], [name], [0], settings, {"learning_rate": "0.01"})[0]

    whole, resumed = whole_and_resumed(cell, tmp_path, after=1)
    assert resumed.steps == whole.steps


LEARNT = dict.fromkeys(NAMES, 0.8) | {"superhf": 0.7}  # knows signs only
del LEARNT["follow-up"]  # what a random model says next has no meaning


@pytest.mark.parametrize("name", LEARNT)
def test_the_policy_learns_what_it_asked(human: Human, name: str) -> None:
    """From the base it goes where the human differs from the base; correlation over questions."""
    base = base_policy(Timeline.load("tiny"))
    own = {k: v for k, v in FAST.items() if name != "pilaf" or k != "reward_learning_rate"}
    algorithm = pg.make_algorithm(name, epochs=30, **own)
    algorithm.reset(base.copy())
    start = human.asked
    human.budget = start + 60
    policy = algorithm.update({"step": 0, "era": 0, "questions": 60}, human)
    assert human.asked == start + 60
    human.budget = 10**6
    answers = human.prefer(human.questions)
    change = policy.margins(answers) - base.margins(answers)
    assert np.corrcoef(change, odds(answers))[0, 1] > LEARNT[name]


@pytest.mark.parametrize("name", NAMES)
def test_who_may_ask_nothing_stays_as_it_is(small_yaml: Path, name: str) -> None:
    env = pg.make("follow", models=str(small_yaml), **{**SETTINGS, "questions": 0})
    result = pg.play(env, pg.make_algorithm(name)).result(name)
    assert all(step.policy_items == result.initial_items for step in result.steps)


# Where each is the plain algorithm ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("reward-ensemble", {"members": 1, "share": 1.0}),
        ("reward-ensemble", {"members": 1, "share": 1.0, "combine": "uncertainty-weighted"}),
        ("pessimistic", {"pessimism": 0.0}),
        ("data-smoothing", {"passes": 1}),
        ("robust-rlhf", {"price": 1.0}),
        ("group-invariant", {"penalty": 0.0}),
        ("safe-rlhf", {"multiplier": 0.0}),
    ],
)
def test_without_what_it_adds_it_is_lifelong_rlhf(
    small_yaml: Path, name: str, parameters: dict[str, Any]
) -> None:
    plain, found = play(small_yaml, "lifelong-rlhf"), play(small_yaml, name, **parameters)
    assert [s.policy_items for s in found.steps] == [s.policy_items for s in plain.steps]
    with_it = play(small_yaml, name)
    assert with_it.steps[-1].policy_items != plain.steps[-1].policy_items


# Ensembles and pessimism ----------------------------------------------------------------------


def test_cautious_rewards_solve_the_worst_case() -> None:
    """The policy that is best for them is best in the worst case: compared on a grid."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        reference, believed = rng.normal(size=2)
        low, high = np.sort(rng.normal(scale=2, size=2))
        yesterday = sigmoid(reference + believed / GAMMA)
        chance = np.linspace(1e-4, 1 - 1e-4, 200_001)
        gain = np.minimum((chance - yesterday) * low, (chance - yesterday) * high)
        known = sigmoid(np.array(reference))
        kl = chance * np.log(chance / known) + (1 - chance) * np.log((1 - chance) / (1 - known))
        best = chance[np.argmax(gain - GAMMA * kl)]
        rewards = reward_ensemble.cautious(
            torch.zeros(1, 2).double(),
            *(torch.tensor([x], dtype=torch.float64) for x in (believed, low, high)),
        )
        margin = reference + float(rewards[0, 0] - rewards[0, 1]) / GAMMA
        assert sigmoid(margin) == pytest.approx(best, abs=1e-4)


def test_members_learn_from_different_prompts_whole(human: Human) -> None:
    answers = asked(human)
    parts = [
        reward_ensemble.some_prompts(answers, 0.5, np.random.default_rng(seed)) for seed in (0, 1)
    ]
    assert parts[0] != parts[1]
    for part in parts:
        prompts = {pair.prompt for pair in part}
        assert part == [pair for pair in answers if pair.prompt in prompts]
        assert len(prompts) == 5
    assert reward_ensemble.some_prompts(answers, 1.0, np.random.default_rng(0)) == answers


def test_an_ensemble_keeps_its_members_apart_over_the_eras(small_yaml: Path) -> None:
    algorithm = pg.make_algorithm("reward-ensemble", members=3, **FAST)
    pg.play(pg.make("follow", models=str(small_yaml), **SETTINGS), algorithm)
    members = algorithm.models
    assert set(members) == {"reward-0", "reward-1", "reward-2"}
    assert len({model.fingerprint for model in members.values()}) == 3


def test_pessimism_is_greatest_where_nothing_was_asked(human: Human) -> None:
    base = base_policy(Timeline.load("tiny"))
    answers, others = asked(human), list(human.questions[60:])
    algorithm = pg.make_algorithm("pessimistic", ridge=0.01, **FAST)
    algorithm.reset(base.copy())
    aim = Aim(human, base, GAMMA, 0)
    bound = algorithm.reward_model(answers, aim)
    assert bound.error(others).mean() > 1.2 * bound.error(answers).mean()
    nearer = bound.odds(answers).abs()  # the policy was the base: it believed 0
    assert (nearer <= bound.model.odds(answers).abs() + 1e-9).all()
    assert (nearer == 0).any()
    # ‖x‖² in the norm of (XᵀX)⁻¹, summed over X's own rows, is X's rank.
    algorithm.ridge = 1e-9
    leverage = (algorithm.reward_model(answers, aim).error(answers) / 2) ** 2
    rank = torch.linalg.matrix_rank(state_contrasts(base, answers))
    assert float(leverage.sum()) == pytest.approx(float(rank))


# Robustness and smoothing ---------------------------------------------------------------------


def test_corrections_are_the_best_and_explain_only_unlikely_answers() -> None:
    margins = torch.linspace(-6, 6, 25, dtype=torch.float64)
    grid = torch.linspace(0, 12, 120_001, dtype=torch.float64)
    for price in (0.2, 0.5, 0.9):
        cost = -torch.nn.functional.logsigmoid(margins[:, None] + grid) + price * grid
        best = grid[cost.argmin(1)]
        found = robust_rlhf.corrections(margins, price)
        assert found.tolist() == pytest.approx(best.tolist(), abs=1e-3)
        assert (found[torch.sigmoid(margins) > 1 - price] == 0).all()


@pytest.mark.parametrize("price", [0.0, 1.5])
def test_a_price_outside_its_range_is_refused(price: float) -> None:
    with pytest.raises(pg.UsageError, match="above 0 and at most 1"):
        pg.make_algorithm("robust-rlhf", price=price)


def test_no_answer_pulls_harder_than_its_price() -> None:
    margins = torch.linspace(-6, 6, 25, requires_grad=True)
    nothing, one = torch.zeros(25), torch.ones(25)
    batch = Batch(
        Responses(margins, nothing, one), Responses(nothing, nothing, one), one, torch.arange(25)
    )
    loss = pg.make_algorithm("robust-rlhf", price=0.3).loss(batch, GAMMA)
    (pull,) = torch.autograd.grad(25 * loss / GAMMA, margins)
    plain = 1 - torch.sigmoid(GAMMA * margins)
    assert pull.tolist() == pytest.approx((-plain.clamp(max=0.3)).tolist(), abs=1e-6)


def test_smoothing_moves_answers_towards_the_model(human: Human) -> None:
    answers = asked(human)
    view = np.linspace(-2, 2, len(answers))
    for weight in (0.0, 0.3, 1.0):
        moved = data_smoothing.smoothed(answers, view, weight)
        expected = (1 - weight) * sigmoid(odds(answers)) + weight * sigmoid(view)
        assert [pair.preference for pair in moved] == pytest.approx(expected, abs=1e-6)
        assert [pair.answered(0.5) for pair in moved] == [pair.answered(0.5) for pair in answers]


# Groups and constraints -----------------------------------------------------------------------


def penalised(
    odds: np.ndarray, reference: np.ndarray, easy: np.ndarray, kappa: float, margins: np.ndarray
) -> float:
    """The objective of group-invariant learning, from its definition."""
    chance, known = sigmoid(margins), sigmoid(reference)
    gain = odds * (chance - known)
    kl = chance * np.log(chance / known) + (1 - chance) * np.log((1 - chance) / (1 - known))
    share = easy.mean()
    variance = share * (1 - share) * (gain[easy].mean() - gain[~easy].mean()) ** 2
    return float(gain.mean() - kappa * variance - GAMMA * kl.mean())


def test_group_weights_are_the_optimum_of_the_penalised_objective() -> None:
    rng = np.random.default_rng(0)
    odds, reference = rng.normal(scale=3, size=40), rng.normal(size=40)
    pairs = [Pair("x", " a", " b", str(i // 4)) for i in range(40)]
    easy = group_invariant.easier(pairs, group_invariant.gains(odds, reference, GAMMA))
    low, high = group_invariant.weights(odds, reference, GAMMA, easy, 5.0)
    assert low < 1 < high
    best = reference + np.where(easy, low, high) * odds / GAMMA
    value = penalised(odds, reference, easy, 5.0, best)
    for _ in range(200):
        other = best + rng.normal(scale=0.05, size=40)
        assert penalised(odds, reference, easy, 5.0, other) < value


def test_groups_are_whole_scenarios_between_which_gains_differ_most() -> None:
    rng = np.random.default_rng(1)
    pairs = [Pair("x", " a", " b", str(i // 3)) for i in range(24)]
    gained = rng.exponential(size=24)

    def between(easy: np.ndarray) -> float:
        share = easy.mean()
        return float(share * (1 - share) * (gained[easy].mean() - gained[~easy].mean()) ** 2)

    easy = group_invariant.easier(pairs, gained)
    splits = [np.repeat([bool(n >> i & 1) for i in range(8)], 3) for n in range(1, 255)]
    assert between(easy) == pytest.approx(max(between(split) for split in splits))
    assert not group_invariant.easier(pairs[:3], gained[:3]).all()


def test_the_multiplier_rises_until_the_constraint_holds() -> None:
    rng = np.random.default_rng(2)
    reward, safe, reference = (rng.normal(scale=2, size=200) for _ in range(3))

    def forgone(multiplier: float) -> float:
        mixed = (reward + multiplier * safe) / (1 + multiplier)
        most = group_invariant.gains(safe, reference, GAMMA).mean()
        moved = sigmoid(reference + mixed / GAMMA) - sigmoid(reference)
        return float(1 - (safe * moved).mean() / most)

    strict, loose = (
        safe_rlhf.solve(reward, safe, reference, GAMMA, limit, 1.0, 0.5, 2000)
        for limit in (0.1, 0.4)
    )
    assert strict > loose
    assert forgone(1.0) > 0.1
    assert forgone(strict) == pytest.approx(0.1, abs=0.01)
    assert forgone(loose) == pytest.approx(0.4, abs=0.01)
    assert safe_rlhf.solve(reward, safe, reference, GAMMA, 0.1, 0.0, 0.5, 10) == 0
    agreeing = safe_rlhf.solve(safe, safe, reference, GAMMA, 0.1, 1.0, 0.5, 1000)
    assert agreeing < 0.1


def test_constraints_are_value_dimensions_of_shipped_scenarios() -> None:
    with pytest.raises(pg.UsageError, match="cause_death"):
        pg.make_algorithm("safe-rlhf", constraints="cause_deth")
    assert safe_rlhf.touches(Pair("x", "a", "b", "cheat-query-up-01"), frozenset({"cheat"}))
    assert not safe_rlhf.touches(Pair("x", "a", "b", "cheat-query-up-01"), frozenset({"disable"}))
    with pytest.raises(pg.UsageError, match="no-such"):
        safe_rlhf.touches(Pair("x", "a", "b", "no-such"), frozenset({"cheat"}))


# Sampling and imitation -----------------------------------------------------------------------


def test_pilaf_asks_as_often_as_two_drawn_responses_differ() -> None:
    rng = np.random.default_rng(4)
    policy, change = np.array([0.0, 1.0, -2.0]), np.array([0.0, 3.0, 0.5])

    def drawn(margin: np.ndarray) -> np.ndarray:
        return rng.random((100_000, 3)) < sigmoid(margin)

    alike = drawn(policy) != drawn(policy)
    apart = drawn(policy + 0.7 * change) != drawn(policy - 0.7 * change)
    expected = (alike.mean(0) + apart.mean(0)) / 2
    assert pilaf.differing(policy, change, 0.7) == pytest.approx(expected, abs=0.01)


def test_pilaf_prefers_what_is_worth_asking(human: Human) -> None:
    base = base_policy(Timeline.load("tiny"))
    algorithm = pg.make_algorithm("pilaf", pool=100.0)
    algorithm.reset(era_policy(Timeline.load("tiny"), Timeline.load("tiny").eras[0]).copy())
    worth = []
    for seed in range(12):
        human.budget = human.asked + 30
        for chosen in (algorithm.ask(human, np.random.default_rng(seed)), list(human.questions)):
            margins = algorithm.policy.margins(chosen)
            change = margins - base.margins(chosen)
            worth.append(float(pilaf.differing(margins, change, 1.0).mean()))
    human.budget = 10**6
    assert np.mean(worth[0::2]) > np.mean(worth[1::2])


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_superhf_ends_where_only_the_sign_of_the_reward_decides(human: Human, beta: float) -> None:
    answers = asked(human)[:12]  # few, so that a small model can learn each
    base = base_policy(Timeline.load("tiny"))
    algorithm = pg.make_algorithm("superhf", epochs=300, samples=10**6, **FAST)
    algorithm.reset(base.copy())
    first = torch.from_numpy(odds(answers))
    rewards = torch.stack([first, torch.zeros_like(first)], dim=1)
    algorithm.optimise(answers, rewards, Aim(human, base, beta, 0))
    towards = np.sign(odds(answers))
    margin = towards * algorithm.policy.margins(answers)
    moved = margin - towards * base.margins(answers)
    assert moved * sigmoid(margin) == pytest.approx(1 / beta, rel=0.15)


def test_rest_em_accepts_what_was_sampled_and_is_good_enough(human: Human) -> None:
    answers = asked(human)
    base = base_policy(Timeline.load("tiny"))
    rng = np.random.default_rng(0)
    algorithm = pg.make_algorithm("rest-em", samples=10**6, threshold=0.3)
    accepted = algorithm.accept(base, answers, odds(answers), rng)
    good = [p for p in answers if abs(odds([p])[0]) > 0.3]
    assert [p.answered(0.5) for p in accepted] == [p.answered(0.5) for p in good]
    assert [p.preference for p in accepted] == [float(odds([p])[0] > 0) for p in good]
    algorithm.samples = 1
    assert 0 < len(algorithm.accept(base, answers, odds(answers), rng)) < len(good)


def test_rest_em_starts_each_m_step_from_the_initial_policy(human: Human) -> None:
    answers = asked(human)
    base = base_policy(Timeline.load("tiny"))
    algorithm = pg.make_algorithm("rest-em", samples=10**6, rounds=1, **FAST)
    algorithm.reset(base.copy())
    first = torch.from_numpy(odds(answers))
    rewards = torch.stack([first, torch.zeros_like(first)], dim=1)
    aim = Aim(human, base, GAMMA, 0)
    found = []
    for _ in range(2):  # the second from elsewhere: the same comes out
        algorithm.optimise(answers, rewards, aim)
        found.append(algorithm.policy.fingerprint)
    assert found[0] == found[1] != base.fingerprint


def test_the_reference_as_judge_asks_nobody_and_is_the_same_in_all_eras(small_yaml: Path) -> None:
    result = play(small_yaml, "follow-up", judge="reference", iterative=False)
    assert [step.questions for step in result.steps] == [0, 0, 0]
    assert result.steps[0].policy_items != result.initial_items


def test_follow_ups_decide_where_the_policy_goes(human: Human) -> None:
    base = base_policy(Timeline.load("tiny"))
    algorithm = pg.make_algorithm("follow-up", epochs=30, **FAST)
    algorithm.reset(base.copy())
    human.budget = human.asked + 60
    policy = algorithm.update({"step": 0, "era": 0, "questions": 60}, human)
    human.budget = 10**6
    answers = asked(human)
    judged = follow_up.FollowUpReward(algorithm.models["reward"], base, GAMMA).odds(answers)
    change = policy.margins(answers) - base.margins(answers)
    assert np.corrcoef(change, judged)[0, 1] > 0.6


def test_follow_ups_are_scored_as_a_policy_reads_them(human: Human) -> None:
    base = base_policy(Timeline.load("tiny"))
    said = [pair.prompt + pair.first for pair in human.questions[:2]]
    found = follow_up.agreement(base, said)
    for text, value in zip(said, found.tolist(), strict=True):
        scores = {
            f: float(base.logprobs([text], [f])) for f in (*follow_up.POSITIVE, *follow_up.NEGATIVE)
        }
        liked, disliked = (
            np.mean([scores[f] for f in group])
            for group in (follow_up.POSITIVE, follow_up.NEGATIVE)
        )
        assert value == pytest.approx(float(liked - disliked), abs=1e-3)


def test_states_are_those_that_the_head_reads(human: Human) -> None:
    base = base_policy(Timeline.load("tiny"))
    texts = [pair.prompt for pair in human.questions[::20]]
    tokens = [5, 17, 200]
    head = base.backbone.model.get_output_embeddings().weight[tokens].detach().cpu()
    ends = [(row[:-1], row[-1:]) for row in base.encode(texts)]
    found = base.encoded_states(ends) @ head.T
    assert found.numpy() == pytest.approx(base.next_token_logits(texts, tokens).numpy(), abs=1e-4)
