"""PG-Coevolve: help humans who learn from the help."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from progressgym.challenge import PRESETS, Challenge
from progressgym.errors import UsageError
from progressgym.human import Human
from progressgym.models import Policy, base_policy, era_policy
from progressgym.registry import register
from progressgym.results import Step, manifest
from progressgym.storage import sha256_json
from progressgym.timeline import Era
from progressgym.training.dpo import DPOSettings, train_dpo
from progressgym.values.forms import FORMS
from progressgym.values.instruments import frames, questions
from progressgym.values.measure import measure, remembered
from progressgym.values.vector import ValueVector

ERA_EPOCHS, POLICY_EPOCHS = 1, 2  # what the human learns from an era and from the policy


@register("challenge", "coevolve")
class Coevolve(Challenge):
    """Help a human who drifts with the eras and learns from the help, without locking it in.
    """

    name = "coevolve"
    judged = "human"

    def __init__(
        self,
        influence: float = 1.0,
        human_questions: int | None = None,
        human_learning_rate: float = 5e-4,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if human_questions is None:
            human_questions = PRESETS[self.settings["preset"]]["questions"]
        for name, value, allowed, expected in (
            ("influence", influence, influence >= 0, "0 or more"),
            ("human_questions", human_questions, human_questions > 0, "1 or more"),
            ("human_learning_rate", human_learning_rate, human_learning_rate > 0, "more than 0"),
        ):
            if not (allowed and np.isfinite(value)):
                raise UsageError(f"{name}={value}: expected {expected}.")
        self.influence = influence
        self.settings["influence"] = influence
        self.settings["human_questions"] = human_questions
        self.settings["human_learning_rate"] = human_learning_rate
        self._simulated: Policy

    @property
    def steps(self) -> int:
        """One for each era after the first."""
        return len(self.timeline.eras) - 1

    def asked_era(self, step: int) -> Era:
        """The era in which the simulated human lives."""
        return self.timeline.eras[step]

    def target_era(self, step: int) -> Era:
        """The next era, from which the simulated human has learnt at the end of the step."""
        return self.timeline.eras[step + 1]

    def asked_model(self, step: int) -> Policy:
        """The simulated human as it is now."""
        return self._simulated

    def frozen_model(self) -> Policy:
        """The first era's human, as whom the simulated one starts."""
        return era_policy(self.timeline, self.timeline.eras[0])

    def state(self) -> dict[str, Policy]:
        """The simulated human."""
        return {"human": self._simulated}

    def restore(self, records: list[Step], state: dict[str, Policy]) -> Any:
        """Continue with the simulated human, or with the first era's at the start."""
        self._simulated = state.get("human", self.frozen_model())
        return super().restore(records, state)

    def respond(self, step: int, policy: Policy) -> dict[str, ValueVector]:
        """Let the human learn from the next era, then from the policy."""
        human = self._taught(self._simulated, step)
        if self.influence > 0:
            human = self._learn(human, policy, step, POLICY_EPOCHS, self.influence)
        alone = self._counterfactual()[step]
        self._simulated = human
        return {
            "human": measure(human, self.probe),
            "counterfactual": ValueVector.of(alone, self.probe),
        }

    def _taught(self, human: Policy, step: int) -> Policy:
        """A human after learning from the next era's answers."""
        era = era_policy(self.timeline, self.target_era(step))
        return self._learn(human, era, step, ERA_EPOCHS)

    def _learn(
        self, human: Policy, teacher: Policy, step: int, epochs: int, influence: float = 1.0
    ) -> Policy:
        """A human after learning from a teacher's answers to the questions of a step."""
        # Not the seed of the answers' labels; the same questions and order for every teacher.
        rng = np.random.default_rng([self._seed, step, 1])
        count, decisiveness = self.settings["human_questions"], self.settings["decisiveness"]
        asked = Human(
            teacher.name,
            teacher,
            base_policy(self.timeline),
            questions(self.query),
            count,
            "graded",
            decisiveness,
        )
        answers = asked.prefer(asked.draw(count, rng))
        settings = DPOSettings(
            beta=decisiveness,
            learning_rate=influence * self.settings["human_learning_rate"],
            epochs=epochs,
            seed=int(rng.integers(2**31)),
        )
        learner = human.copy("human")
        train_dpo(learner, learner.base, answers, settings)
        return learner

    def _counterfactual(self) -> np.ndarray:
        """Items of the human of every step without any advice, (steps, scenarios, frames)."""
        shape = (self.steps, len(self.probe), len(frames(self.probe)))
        return remembered(self._key(), shape, self._read_counterfactual)

    def _read_counterfactual(self) -> np.ndarray:
        human, items = self.frozen_model(), []
        for step in range(self.steps):
            human = self._taught(human, step)
            items.append(measure(human, self.probe).items)
        return np.array(items)

    def _key(self) -> str:
        """Hash of everything that decides the counterfactual, to the last bit."""
        names = ("human_questions", "human_learning_rate", "decisiveness")
        return sha256_json(
            [
                manifest(self._hashes()),
                torch.backends.cpu.get_cpu_capability(),
                {name: self.settings[name] for name in names},
                [ERA_EPOCHS, repr(DPOSettings()), repr(FORMS), self.probe.instrument],
                self._seed,
            ]
        )
