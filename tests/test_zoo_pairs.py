"""Algorithms that learn from answered pairs as DPO does, by other losses, rounds or judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruptions import whole_and_resumed
from progressgym.algorithms.chain_of_hindsight import chain
from progressgym.algorithms.ranking import ranking_loss
from progressgym.algorithms.temporal import Aim
from torch import Tensor, nn

import progressgym as pg
from progressgym import registry, runner
from progressgym.errors import UsageError
from progressgym.human import Human
from progressgym.models import Policy, base_policy, era_policy
from progressgym.pairs import Pair
from progressgym.timeline import Timeline
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.training.pairs import Batch, Responses, preference_loss
from progressgym.values.instruments import questions
from progressgym.values.scenarios import shipped_bank

FILES = (
    "contrastive hindsight kindred online ranking robust self_rewarding sft slic"
).split()  # of algorithms/
NAMES = [
    name
    for name in registry.names("algorithm")
    if registry.find("algorithm", name).__module__.split(".")[-1] in FILES
]
WITHOUT_REFERENCE = {"orpo", "simpo"}
GAMMA = 4.0
TIMELINE = Timeline.load("tiny")
SMALL = {"preset": "quick", "items": 2, "questions": 60}


def play(small_yaml: Path, algorithm: str, **parameters: Any) -> pg.RunResult:
    env = pg.make("follow", models=str(small_yaml), **SMALL)
    own = {"learning_rate": 1e-2, **parameters}
    return pg.play(env, pg.make_algorithm(algorithm, **own)).result(algorithm)


def test_all_are_registered() -> None:
    assert len(NAMES) == 12
    for name in NAMES:
        known = registry.parameters(registry.find("algorithm", name))
        assert {"beta", "learning_rate", "epochs", "iterative", "order"} <= set(known)


# The run ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_run_however_often_interrupted(
    small_yaml: Path, tmp_path: Path, name: str
) -> None:
    own = {"models": str(small_yaml), **SMALL}
    cell, other = runner.grid(["follow"], [name], [5, 6], own, {"learning_rate": "0.01"})

    whole, resumed = whole_and_resumed(cell, tmp_path, after=2)
    assert resumed.steps == whole.steps
    assert runner.run(other, tmp_path / "whole").steps[-1].policy_items != (
        whole.steps[-1].policy_items
    )
    assert [step.questions for step in whole.steps] == [60] * 3
    for step in whole.steps:
        assert len(step.curves["loss"]) > 0
        assert np.isfinite(step.curves["loss"]).all()


@pytest.mark.parametrize("name", ["chain-of-hindsight", "online-dpo", "self-rewarding", "slic"])
def test_the_switch_makes_it_independent_and_extrapolative(small_yaml: Path, name: str) -> None:
    plain, switched = play(small_yaml, name), play(small_yaml, name, order=1, iterative=False)
    assert switched.steps[0] == plain.steps[0]
    assert switched.steps[1].policy_items != plain.steps[1].policy_items


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [0, 1])
def test_who_answers_hardly_anything_can_still_be_asked(name: str, budget: int) -> None:
    pool = questions(shipped_bank().split("query").first(1))[:40]
    human, algorithm = person(pool, budget), pg.make_algorithm(name)
    algorithm.reset(era(0))
    algorithm.update({"step": 0, "era": 8, "questions": budget}, human)
    assert human.asked == budget


# What is learnt ---------------------------------------------------------------------------------


def era(index: int) -> Policy:
    return era_policy(TIMELINE, TIMELINE.eras[index])


def person(pool: Sequence[Pair], budget: int) -> Human:
    base = base_policy(TIMELINE)
    return Human("C021", era(-1), base, pool, budget, "graded", GAMMA)


def log_odds(answers: Sequence[Pair]) -> np.ndarray:
    p = np.array([pair.preference for pair in answers], dtype=float)
    return np.log(p) - np.log1p(-p)


def implied(name: str, policy: Policy, pairs: Sequence[Pair]) -> np.ndarray:
    """Log-odds that a policy gives the first responses, as its algorithm reads them."""
    margins = policy.margins(pairs)
    return margins if name in WITHOUT_REFERENCE else margins - policy.base.margins(pairs)


@pytest.mark.parametrize("name", NAMES)
def test_the_policy_learns_what_the_human_prefers(name: str) -> None:
    pool = questions(shipped_bank().split("query").first(1))[:120]
    algorithm = pg.make_algorithm(name, learning_rate=5e-3, epochs=30, batch=4)
    algorithm.reset(era(0), seed=1)
    human = person(pool, 60)
    policy = algorithm.update({"step": 0, "era": 8, "questions": 60}, human)
    assert human.asked == 60
    person_odds = log_odds(person(pool, 120).prefer(pool))
    before, after = (
        np.corrcoef(implied(name, model, pool), person_odds)[0, 1] for model in (era(0), policy)
    )
    assert after > 0.5
    assert after > before + 0.1


def trained(loss_of: Any, answers: Sequence[Pair]) -> np.ndarray:
    """Margins over the reference after training to the end."""
    base, policy = base_policy(TIMELINE), base_policy(TIMELINE).copy()
    train_dpo(policy, base, answers, DPOSettings(GAMMA, 2e-2, 100), loss_of.loss)
    return policy.margins(answers) - base.margins(answers)


CHANCES = np.array([0.9, 0.2, 0.5])
ANSWERS = [
    Pair(prompt, " good", " evil", preference=float(chance))
    for prompt, chance in zip(
        ["it is", "to be just is", "we hold that it is"], CHANCES, strict=True
    )
]


def test_ipo_ends_at_the_preference_not_at_its_log_odds() -> None:
    found = trained(pg.make_algorithm("ipo"), ANSWERS)
    assert found == pytest.approx((2 * CHANCES - 1) * 2 / GAMMA, abs=0.03)


@pytest.mark.parametrize("offered", ["reference", "equally"])
def test_sft_adds_the_answers_odds_to_the_reference_or_forgets_it(offered: str) -> None:
    base, policy = base_policy(TIMELINE), base_policy(TIMELINE).copy()
    sft: Any = pg.make_algorithm("sft", offered=offered)
    train_dpo(policy, base, ANSWERS, DPOSettings(GAMMA, 1e-2, 150), sft.loss)
    found = policy.margins(ANSWERS) - (base.margins(ANSWERS) if offered == "reference" else 0)
    assert 1 / (1 + np.exp(-found)) == pytest.approx(CHANCES, abs=0.05)


def test_slic_learns_who_has_the_majority_not_how_large_it_is() -> None:
    answers = [replace(a, preference=p) for a, p in zip(ANSWERS, (0.95, 0.25, 0.7), strict=True)]
    found = GAMMA * trained(pg.make_algorithm("slic", regularizer=0.0), answers)
    assert found == pytest.approx([1, -1, 1], abs=0.15)


# What theory says of the losses -----------------------------------------------------------------


def batch_of(
    first: Sequence[float], second: Sequence[float], preference: Sequence[float], seed: int = 0
) -> Batch:
    """Pairs with these log-ratios, on references of their own."""
    generator = torch.Generator().manual_seed(seed)

    def responses(ratios: Sequence[float]) -> Responses:
        reference = -1 - torch.rand(len(ratios), generator=generator, dtype=torch.float64)
        ratio = torch.tensor(ratios, dtype=torch.float64, requires_grad=True)
        return Responses(reference + ratio, reference, torch.ones(len(ratios)))

    prompt = torch.arange(len(first)) // 2
    return Batch(
        responses(first),
        responses(second),
        torch.tensor(preference, dtype=torch.float64),
        prompt,
    )


def loss_of(name: str, batch: Batch, **parameters: Any) -> float:
    algorithm: Any = pg.make_algorithm(name, **parameters)
    return algorithm.loss(batch, GAMMA).item()


ratios = st.lists(st.floats(-0.9, 0.9), min_size=3, max_size=3)
chances = st.lists(st.floats(0, 1), min_size=3, max_size=3)
noises = st.floats(0, 0.4)
few = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize("name", NAMES)
@few
@given(first=ratios, second=ratios, preference=chances)
def test_a_graded_answer_costs_what_its_labels_cost_on_average(
    name: str, first: list[float], second: list[float], preference: list[float]
) -> None:
    """Never rounded. PRO's is a bound of it; see below."""
    found = loss_of(name, batch_of(first, second, preference))
    expected = 0.0
    for labels in product([0.0, 1.0], repeat=3):
        chance = np.prod([p if y else 1 - p for y, p in zip(labels, preference, strict=True)])
        expected += chance * loss_of(name, batch_of(first, second, labels))
    if name == "pro":
        assert found >= expected - 1e-9
    else:
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
@few
@given(first=ratios, second=ratios, preference=chances)
def test_which_response_is_called_the_first_does_not_matter(
    name: str, first: list[float], second: list[float], preference: list[float]
) -> None:
    batch = batch_of(first, second, preference)
    turned = replace(batch, first=batch.second, second=batch.first, preference=1 - batch.preference)
    assert loss_of(name, turned) == pytest.approx(loss_of(name, batch), abs=1e-9)


@pytest.mark.parametrize("name", sorted(WITHOUT_REFERENCE))
@few
@given(first=ratios, second=ratios, preference=chances)
def test_without_a_reference_means_without(
    name: str, first: list[float], second: list[float], preference: list[float]
) -> None:
    batch = batch_of(first, second, preference)
    other = replace(batch, first=replace(batch.first, reference=batch.second.reference - 3))
    assert loss_of(name, other) == loss_of(name, batch)


@few
@given(first=ratios, second=ratios, preference=chances, noise=noises)
def test_robust_dpo_takes_the_noise_out(
    first: list[float], second: list[float], preference: list[float], noise: float
) -> None:
    noisy = [p * (1 - noise) + (1 - p) * noise for p in preference]
    clean = preference_loss(batch_of(first, second, preference), GAMMA).item()
    assert loss_of("robust-dpo", batch_of(first, second, noisy), noise=noise) == pytest.approx(
        clean, abs=1e-9
    )
    doubted = loss_of(
        "robust-dpo", batch_of(first, second, preference), noise=noise, conservative=True
    )
    assert doubted == pytest.approx(
        preference_loss(batch_of(first, second, noisy), GAMMA).item(), abs=1e-9
    )


@few
@given(first=ratios, second=ratios, preference=chances)
def test_dpo_is_a_case_of_contrastive_preference_and_of_ranking(
    first: list[float], second: list[float], preference: list[float]
) -> None:
    batch = batch_of(first, second, preference)
    dpo = preference_loss(batch, GAMMA).item()
    assert loss_of("contrastive-preference", batch, bias=1.0) == pytest.approx(dpo, abs=1e-9)
    alone = replace(batch, prompt=torch.arange(3))
    assert loss_of("pro", alone) == pytest.approx(dpo, abs=1e-9)
    assert loss_of("pro", batch) >= dpo - 1e-9  # more rivals


@few
@given(
    scores=st.lists(st.floats(-5, 5), min_size=6, max_size=6),
    labels=st.tuples(*[st.booleans()] * 3),
)
def test_labels_are_ranked_in_two_levels(scores: list[float], labels: tuple[bool, ...]) -> None:
    """Written out: each winner against all losers of its prompt, the last pair's being another."""
    table = np.array(scores).reshape(3, 2)
    won = [table[i, 0 if y else 1] for i, y in enumerate(labels)]
    lost = [table[i, 1 if y else 0] for i, y in enumerate(labels)]

    def costs(winner: float, losers: Sequence[float]) -> float:
        return float(np.log(np.exp([winner, *losers]).sum()) - winner)

    expected = [costs(won[0], lost[:2]), costs(won[1], lost[:2]), costs(won[2], lost[2:])]
    chance = torch.tensor([[float(y), float(not y)] for y in labels])
    found = ranking_loss(torch.tensor(table), chance, torch.tensor([0, 0, 1]))
    assert found.item() == pytest.approx(np.mean(expected), abs=1e-5)


def gradients(name: str, batch: Batch, **parameters: Any) -> tuple[Tensor, ...]:
    algorithm: Any = pg.make_algorithm(name, **parameters)
    loss = algorithm.loss(batch, GAMMA)
    return torch.autograd.grad(loss, [batch.first.logprob, batch.second.logprob])


def test_a_hinge_teaches_nothing_to_who_leads_by_enough() -> None:
    batch = batch_of([0.4, 0.1], [0.1, 0.1], [1.0, 1.0])  # γ·0.3 > 1: far enough
    first, second = gradients("slic", batch, regularizer=0.0)
    assert first[0] == second[0] == 0
    assert first[1] == -second[1] == pytest.approx(-GAMMA / 2)


def test_an_ipo_margin_at_the_preference_is_at_rest() -> None:
    at_rest = (2 * CHANCES - 1) * 2 / GAMMA
    batch = batch_of((at_rest / 2).tolist(), (-at_rest / 2).tolist(), CHANCES.tolist())
    for gradient in gradients("ipo", batch):
        assert gradient.abs().max() < 1e-12


def test_kto_judges_against_the_drift_of_all_words() -> None:
    """Where every word has become likelier by the same, nothing has been gained."""
    first, second, p = [0.5, 0.1], [-0.2, 0.3], [1.0, 0.3]
    drifted = batch_of([x + 0.7 for x in first], [x + 0.7 for x in second], p)
    assert loss_of("kto", drifted) == pytest.approx(loss_of("kto", batch_of(first, second, p)))


def test_orpo_adds_the_odds_ratio_to_the_likelihood() -> None:
    batch = batch_of([0.5], [-0.2], [1.0])
    a, b = batch.first.logprob.exp().item(), batch.second.logprob.exp().item()
    ratio = (a / (1 - a)) / (b / (1 - b))
    expected = -np.log(a) - 0.5 * np.log(ratio / (1 + ratio))
    assert loss_of("orpo", batch, weight=0.5) == pytest.approx(expected)


def test_simpo_counts_likelihood_by_the_token() -> None:
    batch = batch_of([0.5], [-0.2], [1.0])
    longer = replace(batch.first, logprob=3 * batch.first.logprob, tokens=torch.tensor([3.0]))
    assert loss_of("simpo", replace(batch, first=longer)) == pytest.approx(loss_of("simpo", batch))
    lead = GAMMA * (batch.first.logprob - batch.second.logprob) - 0.5
    assert loss_of("simpo", batch, margin=0.5) == pytest.approx(
        -nn.functional.logsigmoid(lead).item()
    )


# Equal to lifelong DPO to the last bit ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("robust-dpo", {"noise": 0.0}),
        ("robust-dpo", {"noise": 0.0, "conservative": True}),
        ("online-dpo", {"rounds": 1}),
        ("self-rewarding", {"share": 0.0}),
    ],
)
def test_a_switch_that_is_off_leaves_lifelong_dpo(
    small_yaml: Path, extrapolated: pg.RunResult, name: str, parameters: dict[str, Any]
) -> None:
    assert play(small_yaml, name, order=1, **parameters).steps == extrapolated.steps


@pytest.fixture(scope="module")
def extrapolated(small_yaml: Path) -> pg.RunResult:
    """Lifelong DPO in its first era, extrapolative in the others."""
    return play(small_yaml, "lifelong-dpo", order=1)


# Questions and chains ---------------------------------------------------------------------------


class Asking(Human):
    """A human who remembers what was asked."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.heard: list[list[Pair]] = []

    def prefer(self, pairs: Sequence[Pair]) -> list[Pair]:
        self.heard.append(list(pairs))
        return super().prefer(pairs)


def test_online_dpo_asks_in_rounds_and_nothing_twice() -> None:
    pool = questions(shipped_bank().split("query").first(1))[:120]
    human = Asking("C021", era(-1), base_policy(TIMELINE), pool, 61, "binary", GAMMA)
    algorithm = pg.make_algorithm("online-dpo", rounds=3, learning_rate=1e-2)
    algorithm.reset(era(0))
    algorithm.update({"step": 0, "era": 8, "questions": 61}, human)
    assert [len(round_) for round_ in human.heard] == [21, 20, 20]
    asked = [pair for round_ in human.heard for pair in round_]
    assert len(set(asked)) == 61


def test_who_rewards_itself_answers_what_nobody_asked_where_it_is_sure() -> None:
    pool = questions(shipped_bank().split("query").first(1))[:120]
    algorithm: Any = pg.make_algorithm("self-rewarding", share=0.5, candidates=100)
    algorithm.reset(era(0))
    human = person(pool, 60)
    answers = human.prefer(pool[:60])
    own = algorithm.judged(answers, Aim(human, base_policy(TIMELINE), GAMMA, 0))
    assert human.asked == 60
    assert len(own) == 30
    assert {pair.preference for pair in own} <= {0.0, 1.0}
    bare = [replace(pair, preference=None) for pair in own]
    rest = pool[60:]
    assert set(bare) <= set(rest)
    odds = implied("", era(0), rest)
    sure = sorted(np.abs(odds))[-30]
    for pair, plain in zip(own, bare, strict=True):
        found = odds[rest.index(plain)]
        assert abs(found) >= sure
        assert pair.preference == float(found > 0)


def test_hindsight_puts_answers_into_sentences() -> None:
    answer = Pair("To lie is", " right", " wrong", "s", 0.2)
    assert [part.prompt + part.first for part in chain(answer, False)] == [
        "To lie is wrong",
        "It is false that to lie is right",
        "It is false that to lie is right; rather, it is wrong",
    ]
    assert chain(answer, True) == chain(Pair("To lie is", " wrong", " right", "s"), False)
    assert all(part.preference == 1.0 for part in chain(answer, True))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("robust-dpo", {"noise": 0.5}),
        ("online-dpo", {"rounds": 0}),
        ("self-rewarding", {"share": -0.1}),
    ],
)
def test_impossible_parameters_are_refused(name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(parameters))):
        pg.make_algorithm(name, **parameters)
