"""Online DPO: what is asked next depends on what was learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from progressgym.errors import UsageError
from progressgym.human import Human
from progressgym.models import Policy
from progressgym.pairs import Pair
from progressgym.registry import register

from .lifelong import LifelongDPO
from .temporal import Aim


@register("algorithm", "online-dpo")
class OnlineDPO(LifelongDPO):
    """Iterative DPO: an era's budget is spent in rounds, each where two policies disagree most.

    After a round the policy is fitted anew, from the era's start, to all answers so far. The
    enhancer, whom the paper asks to be as uncertain as the answers allow, is a second policy that
    was fitted to half of them: where the two disagree, the answers do not decide yet. Random
    questions come first; with one round it is lifelong DPO.

    Args:
        rounds: an era's.
        candidates: questions that are looked at for each that is asked.
        settings: see :class:`~.temporal.Temporal`.

    Raises:
        UsageError: less than one round or candidate.

    References: Dong et al., "RLHF Workflow: From Reward Modeling to Online RLHF", 2024,
    algorithm 1.
    """

    def __init__(self, rounds: int = 3, candidates: int = 4, **settings: Any) -> None:
        if rounds < 1 or candidates < 1:
            raise UsageError(f"rounds={rounds}, candidates={candidates}: expected at least 1.")
        super().__init__(**settings)
        self.rounds = rounds
        self.candidates = candidates

    def ask(self, human: Human, rng: np.random.Generator) -> list[Pair]:
        """The first round's share of the budget, at random."""
        return human.prefer(human.draw(-(-human.remaining // self.rounds), rng))

    def align(self, answers: Sequence[Pair], aim: Aim) -> None:
        """Ask the other rounds, then learn from all of them."""
        start, human, rng = self.policy, aim.human, np.random.default_rng(aim.seed)
        for left in range(self.rounds - 1, 0, -1):
            if not human.remaining:
                break
            policy = self.fitted(start, answers, aim)
            enhancer = self.fitted(start, every_other(answers), aim)
            count = -(-human.remaining // left)
            candidates = unasked(human, answers, rng)[: count * self.candidates]
            chosen = most_disputed(policy, enhancer, candidates)[:count]
            answers = [*answers, *human.prefer(chosen)]
        self.policy = start.copy("policy")
        super().align(answers, aim)

    def fitted(self, start: Policy, answers: Sequence[Pair], aim: Aim) -> Policy:
        """A policy trained from the era's start."""
        self.policy = start.copy("policy")
        self.learn(answers, aim)
        return self.policy


def unasked(human: Human, answers: Sequence[Pair], rng: np.random.Generator) -> list[Pair]:
    """All questions besides those answered, in random order, those of one prompt together."""
    known = {(answer.prompt, answer.first, answer.second) for answer in answers}
    drawn = human.draw(len(human.questions), rng)
    return [q for q in drawn if (q.prompt, q.first, q.second) not in known]


def every_other(answers: Sequence[Pair]) -> list[Pair]:
    """The answers about half of the prompts."""
    prompts = list(dict.fromkeys(answer.prompt for answer in answers))
    kept = set(prompts[::2])
    return [answer for answer in answers if answer.prompt in kept]


def most_disputed(one: Policy, other: Policy, questions: Sequence[Pair]) -> list[Pair]:
    """Questions in the order of two policies' disagreement, those of one prompt together."""
    prompts: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        prompts.setdefault(question.prompt, []).append(index)
    apart = np.abs(one.margins(questions) - other.margins(questions))
    ranked = sorted(prompts.values(), key=lambda members: -apart[members].mean())
    return [questions[index] for members in ranked for index in members]
