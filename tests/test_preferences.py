"""Preferences: what humans answer, and where training on their answers ends."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from progressgym.errors import BudgetExceededError, UsageError
from progressgym.human import Human
from progressgym.models import Policy, base_policy, era_policy
from progressgym.pairs import Pair
from progressgym.timeline import Timeline
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.values.instruments import questions
from progressgym.values.scenarios import shipped_bank

TIMELINE = Timeline.load("tiny")
RESPONSES = 5


def era(index: int) -> Policy:
    return era_policy(TIMELINE, TIMELINE.eras[index])


def asked(count: int = 24) -> list[Pair]:
    return questions(shipped_bank("statement").split("query").first(1))[:count]


def human(index: int = 6, pairs: Sequence[Pair] | None = None, **changes: Any) -> Human:
    settings: dict[str, Any] = {"budget": 1000, "answers": "graded", **changes}
    own = asked() if pairs is None else pairs
    return Human("C019", era(index), base_policy(TIMELINE), own, **settings)


def answered(pairs: Sequence[Pair]) -> np.ndarray:
    return np.array([pair.preference for pair in pairs], dtype=float)


def margins_directly(policy: Policy, pairs: Sequence[Pair]) -> np.ndarray:
    """log π(first) − log π(second), one sequence at a time with a full softmax, no trunk."""

    def logprob(prompt: str, response: str) -> float:
        start, whole = policy.encode([prompt, prompt + response])
        with policy.active() as model, torch.no_grad():
            scores = model(input_ids=torch.tensor([whole]), use_cache=True).logits[0]
        chosen = scores.double().log_softmax(-1)[range(len(whole) - 1), whole[1:]]
        return float(chosen[len(start) - 1 :].sum())

    return np.array([logprob(p.prompt, p.first) - logprob(p.prompt, p.second) for p in pairs])


# Where DPO ends: a table of probabilities instead of a model ----------------------------------


def all_margins(logits: Tensor) -> Tensor:
    """Log-odds of every pair of responses, shape (responses, responses)."""
    return logits[:, None] - logits[None, :]


def dpo_optimum(preference: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Minimise DPO's loss, expected over the answers, over all softmax policies."""
    policy = torch.zeros_like(reference, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [policy], lr=1.0, max_iter=2000, tolerance_grad=1e-13, tolerance_change=1e-16,
        history_size=20, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        chances = policy.log_softmax(0)
        margin = beta * (all_margins(chances) - all_margins(reference.log_softmax(0)))
        log_sigmoid = torch.nn.functional.logsigmoid
        value = -(preference * log_sigmoid(margin) + (1 - preference) * log_sigmoid(-margin))
        total = value.sum()
        total.backward()
        return total

    optimizer.step(loss)
    return policy.detach().log_softmax(0)


def tables(seed: int, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(RESPONSES, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_dpo_on_implicit_rewards_with_the_base_as_reference_ends_at_the_human(
    seed: int, strength: float
) -> None:
    base, person = tables(seed, 2)
    preference = torch.sigmoid(strength * (all_margins(person) - all_margins(base)))
    optimum = dpo_optimum(preference, base, beta=strength)
    torch.testing.assert_close(all_margins(optimum), all_margins(person), atol=1e-6, rtol=0)
    torch.testing.assert_close(optimum.exp(), person.softmax(0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_dpo_on_raw_likelihoods_overshoots_by_what_the_reference_already_believes(
    seed: int, beta: float
) -> None:
    base, person = tables(seed, 2)
    optimum = dpo_optimum(torch.sigmoid(all_margins(person)), base, beta)
    expected = all_margins(base) + all_margins(person) / beta
    torch.testing.assert_close(all_margins(optimum), expected, atol=1e-6, rtol=0)
    assert (all_margins(optimum) - all_margins(person)).abs().max() > 0.3


def follow(
    people: Sequence[Tensor], base: Tensor, answer: Callable[[Tensor], Tensor], previous: bool
) -> list[Tensor]:
    """The optimum of each era when yesterday's policy, or the base, is the reference."""
    policies, reference = [], base
    for person in people:
        policies.append(dpo_optimum(answer(person), reference, beta=1.0))
        reference = policies[-1] if previous else base
    return policies


def test_raw_likelihoods_with_yesterdays_policy_as_reference_grow_era_after_era() -> None:
    (base, person) = tables(0, 2)
    people = [person] * 4
    policies = follow(people, base, lambda p: torch.sigmoid(all_margins(p)), previous=True)
    for count, policy in enumerate(policies, start=1):
        expected = all_margins(base) + count * all_margins(person)
        torch.testing.assert_close(all_margins(policy), expected, atol=1e-5, rtol=0)
    entropies = [-float((p.exp() * p).sum()) for p in policies]
    assert entropies == sorted(entropies, reverse=True)


def test_implicit_rewards_with_the_base_as_reference_stay_with_the_human_era_after_era() -> None:
    base, *people = tables(1, 5)
    implicit = lambda p: torch.sigmoid(all_margins(p) - all_margins(base))  # noqa: E731
    for person, policy in zip(people, follow(people, base, implicit, previous=False), strict=True):
        torch.testing.assert_close(all_margins(policy), all_margins(person), atol=1e-6, rtol=0)
    amplified = follow([people[0]] * 3, base, implicit, previous=True)[-1]
    expected = all_margins(base) + 3 * (all_margins(people[0]) - all_margins(base))
    torch.testing.assert_close(all_margins(amplified), expected, atol=1e-5, rtol=0)


def test_sampled_answers_have_the_same_optimum_in_expectation() -> None:
    """Labels drawn from the probability lead near it; rounded ones run to the extreme."""
    base, person = tables(2, 2)
    chance = torch.sigmoid(all_margins(person) - all_margins(base))
    draws = torch.rand(4000, *chance.shape, generator=torch.Generator().manual_seed(0))
    upper = (draws < chance).double().mean(0).triu(1)
    sampled = upper + (1 - upper.T).tril(-1) + 0.5 * torch.eye(RESPONSES)
    near = dpo_optimum(sampled, base, beta=1.0)
    torch.testing.assert_close(all_margins(near), all_margins(person), atol=0.15, rtol=0)
    rounded = dpo_optimum(chance.round(), base, beta=1.0)
    assert (all_margins(rounded) - all_margins(person)).abs().max() > 2


# Humans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("decisiveness", [0.5, 1.0, 3.0])
def test_graded_answer_is_the_sigmoid_of_the_implicit_reward(decisiveness: float) -> None:
    pairs = [*asked(6), Pair("it is", " so very just, and", " not lawful at all")]
    answers = human(decisiveness=decisiveness).prefer(pairs)
    reward = margins_directly(era(6), pairs) - margins_directly(base_policy(TIMELINE), pairs)
    expected = 1 / (1 + np.exp(-decisiveness * reward))
    np.testing.assert_allclose(answered(answers), expected, atol=1e-4)
    assert np.ptp(answered(answers)) > 0.1
    assert [(a.prompt, a.first, a.second, a.scenario) for a in answers] == [
        (p.prompt, p.first, p.second, p.scenario) for p in pairs
    ]


def test_likelihood_answer_leaves_the_base_out() -> None:
    pairs = asked(6)
    answers = human(preference="likelihood", decisiveness=0.5).prefer(pairs)
    expected = 1 / (1 + np.exp(-0.5 * margins_directly(era(6), pairs)))
    np.testing.assert_allclose(answered(answers), expected, atol=1e-4)
    assert np.abs(expected - answered(human(decisiveness=0.5).prefer(pairs))).max() > 0.05


def test_swapping_the_responses_gives_the_complement() -> None:
    pairs = asked()
    swapped = [Pair(p.prompt, p.second, p.first) for p in pairs]
    total = answered(human().prefer(pairs)) + answered(human().prefer(swapped))
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


def test_the_base_itself_is_undecided_about_everything() -> None:
    base = base_policy(TIMELINE)
    person = Human("base", base, base, asked(), budget=100, answers="graded")
    np.testing.assert_array_equal(answered(person.prefer(asked())), 0.5)


def test_binary_answers_average_to_the_graded_probability() -> None:
    graded = human().prefer(asked())
    pair = min(graded, key=lambda p: abs((p.preference or 0) - 0.7))
    chance = answered([pair])[0]
    count = 1500
    person = human(answers="binary", budget=count, rng=np.random.default_rng(5))
    labels = answered(person.prefer([pair] * count))
    assert set(labels) == {0.0, 1.0}
    assert abs(labels.mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / count)


def test_equal_seeds_give_equal_answers() -> None:
    def labels(seed: int) -> list[float]:
        person = human(answers="binary", rng=np.random.default_rng(seed))
        return [*answered(person.prefer(asked())), *answered(person.prefer(asked()))]

    assert labels(3) == labels(3)
    assert labels(3) != labels(4)
    assert labels(3)[:24] != labels(3)[24:]


def test_budget_is_counted_and_exceeding_it_asks_nothing() -> None:
    pairs = asked(6)
    person = human(answers="binary", budget=10, rng=np.random.default_rng(0))
    person.prefer(pairs)
    assert (person.asked, person.remaining) == (6, 4)
    with pytest.raises(BudgetExceededError, match=r"Asked 5 .*C019 answers only 4 more \(10 a"):
        person.prefer(pairs[:5])
    assert (person.asked, person.remaining) == (6, 4)
    rest = answered(person.prefer(pairs[:4]))
    again = human(answers="binary", budget=10, rng=np.random.default_rng(0))
    again.prefer(pairs)
    np.testing.assert_array_equal(rest, answered(again.prefer(pairs[:4])))
    assert person.prefer([]) == []
    with pytest.raises(BudgetExceededError):
        person.prefer(pairs[:1])


def test_who_quotes_a_scenario_that_measures_is_refused_and_asks_nothing() -> None:
    measured = [scenario.text for scenario in shipped_bank("statement").split("probe")]
    person = human(measured=measured)
    own = Pair("To walk the dog is", " right", " wrong")
    for quoting in (
        Pair(f"{measured[3].capitalize()} is", " right", " wrong"),
        Pair("It is better", f" {measured[7]}.", " not to."),
    ):
        with pytest.raises(UsageError, match="one of the scenarios that measure"):
            person.prefer([own, quoting])
    assert person.asked == 0
    assert len(person.prefer([own, *asked(4)])) == 5


def test_asking_leaves_the_pairs_given_unanswered() -> None:
    pairs = asked(4)
    human().prefer(pairs)
    assert [pair.preference for pair in pairs] == [None] * 4


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 80), seed=st.integers(0, 2**32 - 1))
def test_draw_keeps_prompts_together_and_repeats_nothing(count: int, seed: int) -> None:
    pairs = asked(60)
    drawn = human(pairs=pairs).draw(count, np.random.default_rng(seed))
    assert len(drawn) == min(count, len(pairs))
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(pairs)
    prompts = [pair.prompt for pair in drawn]
    changes = sum(a != b for a, b in pairwise(prompts))
    assert changes == max(0, len(set(prompts)) - 1)
    for prompt in set(prompts[:-1]) - set(prompts[-1:]):
        assert prompts.count(prompt) == sum(pair.prompt == prompt for pair in pairs)
    assert drawn == human(pairs=pairs).draw(count, np.random.default_rng(seed))


def test_draw_reaches_every_question() -> None:
    pairs = asked(60)
    seen = {
        pair
        for seed in range(40)
        for pair in human(pairs=pairs).draw(12, np.random.default_rng(seed))
    }
    assert seen == set(pairs)


# Training -------------------------------------------------------------------------------------

QUICK = DPOSettings(beta=1.0, learning_rate=5e-3, epochs=3, batch=8)


def implied(policy: Policy, reference: Policy, pairs: Sequence[Pair], beta: float) -> np.ndarray:
    """P(first preferred) that a policy implies relative to a reference."""
    margin = margins_directly(policy, pairs) - margins_directly(reference, pairs)
    return 1 / (1 + np.exp(-beta * margin))


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_training_moves_margins_to_the_graded_answers(beta: float) -> None:
    base = base_policy(TIMELINE)
    chances = [0.9, 0.2, 0.5]
    prompts = ["it is", "to be just is", "we hold that it is"]
    pairs = [
        Pair(prompt, " good", " evil", preference=chance)
        for prompt, chance in zip(prompts, chances, strict=True)
    ]
    policy = base.copy("policy")
    before = implied(policy, base, pairs, beta)
    np.testing.assert_allclose(before, 0.5, atol=1e-4)
    train_dpo(policy, base, pairs, DPOSettings(beta=beta, learning_rate=2e-2, epochs=80))
    np.testing.assert_allclose(implied(policy, base, pairs, beta), chances, atol=0.05)


def test_training_learns_responses_of_several_tokens() -> None:
    base = base_policy(TIMELINE)
    pair = Pair("it is", " so very just, and", " not lawful at all", preference=0.9)
    policy = base.copy()
    train_dpo(policy, base, [pair], DPOSettings(learning_rate=2e-2, epochs=60))
    np.testing.assert_allclose(implied(policy, base, [pair], 1.0), 0.9, atol=0.05)


def test_training_on_the_humans_answers_brings_the_policy_to_the_human() -> None:
    base, pairs = base_policy(TIMELINE), asked()
    policy = era(0).copy("policy")
    answers = human().prefer(pairs)
    person = margins_directly(era(6), pairs)
    before = np.square(margins_directly(policy, pairs) - person).sum()
    losses = train_dpo(policy, base, answers, DPOSettings(learning_rate=1e-2, epochs=40, batch=8))
    after = np.square(margins_directly(policy, pairs) - person).sum()
    assert after < 0.1 * before
    chance = answered(answers)
    entropy = -(chance * np.log(chance) + (1 - chance) * np.log(1 - chance)).mean()
    assert np.mean(losses) > entropy


def test_loss_of_the_first_pass_is_the_expected_dpo_loss() -> None:
    base, pairs = base_policy(TIMELINE), human().prefer(asked())
    policy = era(2).copy()
    settings = DPOSettings(beta=0.7, learning_rate=0.0, epochs=1, batch=100)
    (loss,) = train_dpo(policy, base, pairs, settings)
    chance, answer = implied(policy, base, pairs, 0.7), answered(pairs)
    expected = -(answer * np.log(chance) + (1 - answer) * np.log(1 - chance)).mean()
    assert loss == pytest.approx(expected, abs=1e-4)
    assert policy.fingerprint == era(2).fingerprint


def test_training_a_copy_leaves_start_reference_and_other_eras_untouched() -> None:
    start, base, other = era(1), base_policy(TIMELINE), era(8)
    models = (start, base, other)
    before = [policy.fingerprint for policy in models]
    margins = [policy.logprobs(["it is"], [" good"]) for policy in models]
    policy = start.copy("policy")
    train_dpo(policy, base, human().prefer(asked()), QUICK)
    assert policy.fingerprint not in before
    assert [policy.fingerprint for policy in models] == before
    for model, margin in zip(models, margins, strict=True):
        assert torch.equal(model.logprobs(["it is"], [" good"]), margin)


def test_equal_seeds_give_bit_equal_weights() -> None:
    answers = human().prefer(asked())

    def trained(seed: int) -> Policy:
        policy = era(1).copy()
        settings = DPOSettings(learning_rate=5e-3, epochs=2, batch=1, seed=seed)
        train_dpo(policy, base_policy(TIMELINE), answers, settings)
        return policy

    first, again, other = trained(7), trained(7), trained(8)
    assert all(torch.equal(first.weights[name], again.weights[name]) for name in first.weights)
    assert first.fingerprint != other.fingerprint


def test_global_random_state_does_not_change_training() -> None:
    answers = human().prefer(asked())
    prints = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        policy = era(1).copy()
        train_dpo(policy, base_policy(TIMELINE), answers, QUICK)
        prints.add(policy.fingerprint)
    assert len(prints) == 1


@pytest.mark.parametrize("pairs", [[], [Pair("it is", " good", " evil")]], ids=["none", "unasked"])
def test_training_without_answers_is_refused(pairs: list[Pair]) -> None:
    with pytest.raises(UsageError, match=r"human\.prefer"):
        train_dpo(era(1).copy(), base_policy(TIMELINE), pairs, QUICK)
