"""A challenge on tiny models that watches whoever plays it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..challenge import Challenge
from ..human import Human
from ..models import LanguageModel, Policy, base_policy, era_policy
from ..pairs import Pair
from ..timeline import Era, Timeline

SMALL = {"models": "tiny", "preset": "quick", "eras": 3, "items": 2, "questions": 8}
"""Settings of the challenges that are played as they are."""
ERAS = 4
"""Of a trial."""
KNOWN = 2
"""Eras that stay as they are where the future is replaced: the steps of as many have to, too."""

_SURROUNDINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "whether torch keeps gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "whether torch is deterministic": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "the working folder": (os.getcwd, os.chdir),
}
"""What belongs to the whole process: how it is read and how it is set. The states of random
generators are not among it: many a training library seeds them anew."""


def with_other_future(timeline: Timeline, known: int) -> Timeline:
    """The same eras by name, but from number ``known`` on other people live in them."""
    eras = [
        era if number < known else era.model_copy(update={"adapter": f"tiny:-{number}"})
        for number, era in enumerate(timeline.eras)
    ]
    return timeline.model_copy(update={"eras": tuple(eras)})


class Trial(Challenge):
    """Asks human t, scores against human t + 1, and notes what an algorithm should not do.

    Args:
        questions: an era.
        guarded: show the algorithm humans whose answers are real and whose models are others.
        other_future: replace all eras that are not known in the first ``KNOWN`` steps.

    Attributes:
        policies: fingerprint of each step's policy.
        unsound: what is wrong with policies.
        touched: what was changed of the process; it is set back at once.
        peeked: which models of a guarded human were looked at.
        overasked: budgets that a guarded human refused to exceed.
    """

    name = "trial"

    def __init__(
        self, questions: int = 24, guarded: bool = False, other_future: bool = False
    ) -> None:
        super().__init__(models="tiny", preset="quick", eras=ERAS, items=2, questions=questions)
        self.query = self.query.first(2)  # enough to draw from, and quickly read
        if other_future:
            self.timeline = with_other_future(self.timeline, KNOWN)
        self.guarded = guarded
        self.policies: list[str] = []
        self.unsound: list[str] = []
        self.touched: list[str] = []
        self.peeked: list[str] = []
        self.overasked: list[str] = []
        self._guard: Guard | None = None
        self._given: tuple[Policy, str] | None = None
        self._before: dict[str, Any] = {}
        self._people: dict[str, str] = {}

    @property
    def steps(self) -> int:
        """One for each era that has a next one."""
        return len(self.timeline.eras) - 1

    def asked_era(self, step: int) -> Era:
        """Human t."""
        return self.timeline.eras[step]

    def target_era(self, step: int) -> Era:
        """Human t + 1."""
        return self.timeline.eras[step + 1]

    @property
    def human(self) -> Human:
        """The human of the step, or its guard."""
        human = super().human
        if not self.guarded:
            return human
        if self._guard is None or self._guard.answering is not human:
            # Neither today's nor tomorrow's: who copies it, ends elsewhere.
            number = (self.timeline.index(human.era) + 2) % ERAS
            decoy = era_policy(self.timeline, self.timeline.eras[number])
            self._guard = Guard(human, decoy, base_policy(self.timeline), self)
        return self._guard

    def initial_policy(self) -> Policy:
        """A fresh copy; the first of an episode is the algorithm's, and watched."""
        policy = super().initial_policy()
        self._given = self._given or (policy, policy.fingerprint)
        return policy

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode."""
        self._given = None
        begun = super().reset(seed=seed, options=options)
        self._before = {name: read() for name, (read, _) in _SURROUNDINGS.items()}
        self._people = {name: human.fingerprint for name, human in self._humans().items()}
        return begun

    def step(self, action: Policy) -> Any:
        """Look at what an update left, then score it."""
        step = self.steps if self.done else self.timeline.index(self.human.era)
        for name, (read, write) in _SURROUNDINGS.items():
            if (now := read()) != self._before[name]:
                self.touched.append(f"{name}: {self._before[name]} before, {now} after")
                write(self._before[name])
        if self.action_space.contains(action):
            self.unsound += [f"step {step}: {problem}" for problem in self._problems(action)]
            self.policies.append(action.fingerprint)
        return super().step(action)

    def _problems(self, policy: Policy) -> list[str]:
        """What is wrong with a policy, and with those that it should have left alone."""
        given, fingerprint = self._given or (policy, "")
        expected, found = (
            {name: tensor.shape for name, tensor in weights.items()}
            for weights in (given.weights, policy.weights)
        )
        problems = {
            "the policy is on another base": policy.backbone is not given.backbone,
            "the policy's weights have other names or shapes": expected != found,
            "the policy has weights that are not finite": not all(
                tensor.isfinite().all() for tensor in policy.weights.values()
            ),
            "the policy that reset() was given has changed": given.fingerprint != fingerprint,
        }
        for name, human in self._humans().items():
            shared, changed = _share(policy, human), human.fingerprint != self._people[name]
            problems[f"the policy shares its weights with the human of {name}"] = shared
            problems[f"the human of {name} has itself been changed"] = changed
        return [problem for problem, is_so in problems.items() if is_so]

    def _humans(self) -> dict[str, Policy]:
        """The models of all eras, which all runs of the process share."""
        return {era.name: era_policy(self.timeline, era) for era in self.timeline.eras}


def _share(one: Policy, other: Policy) -> bool:
    """Would a change of one change the other?"""
    places = {tensor.untyped_storage().data_ptr() for tensor in other.weights.values()}
    return any(tensor.untyped_storage().data_ptr() in places for tensor in one.weights.values())


class Guard(Human):
    """A human whose answers are real and whose models are another's, and are watched.

    An algorithm that learns from answers alone cannot tell it from the human.
    """

    def __init__(self, human: Human, decoy: Policy, base: Policy, trial: Trial) -> None:
        self._trial = trial
        self._decoy = decoy
        super().__init__(
            human.era, decoy, base, human.questions, human.budget, human.answers,
            human.decisiveness, human.preference, target=lambda: decoy,
        )  # fmt: skip
        self.answering = human

    def prefer(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The human's own answers."""
        if len(pairs) > self.answering.remaining:
            self._trial.overasked.append(
                f"{len(pairs)} questions where {self.answering.remaining} remained"
            )
        answers = self.answering.prefer(pairs)
        self.asked = self.answering.asked
        return answers

    def reveal(self) -> Policy:
        """A decoy; recorded."""
        self.revealed = True
        return self._decoy

    def reveal_target(self) -> Policy:
        """A decoy; recorded."""
        return self.reveal()

    def _watched(self, name: str) -> Policy:
        self._trial.peeked.append(name)
        return self._decoy

    @property
    def _model(self) -> LanguageModel:
        return self._watched("human._model")

    @_model.setter
    def _model(self, model: LanguageModel) -> None: ...

    @property
    def _target(self) -> Callable[[], LanguageModel]:
        decoy = self._watched("human._target")
        return lambda: decoy

    @_target.setter
    def _target(self, target: Callable[[], LanguageModel]) -> None: ...
