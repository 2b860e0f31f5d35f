"""Challenges: Gymnasium environments over a timeline, whose actions are policies."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, SupportsFloat, TypedDict

import gymnasium
import numpy as np
from gymnasium import spaces

from .errors import UsageError
from .human import Answers, Human, Preference
from .models import LanguageModel, Policy, base_policy, era_policy, open_backend
from .results import RunResult, RunSpec, Step, manifest
from .storage import sha256_json
from .timeline import Era, Timeline
from .values.instruments import frames, questions
from .values.measure import measure
from .values.scenarios import Instrument, ScenarioBank, read_bank, shipped_bank
from .values.scores import step_reward
from .values.vector import ValueVector

Initial = Literal["first", "base"]

Keep = Callable[[str, Policy, Callable[[], Policy]], Policy]
"""Called with a name, a model on the same base, and a function that makes the model."""


class Preset(TypedDict):
    """What a preset decides: the size of a run, nothing else."""

    eras: int | None
    items: int | None
    questions: int


PRESETS: dict[str, Preset] = {
    "quick": {"eras": 5, "items": 10, "questions": 512},
    "standard": {"eras": None, "items": 20, "questions": 2048},
    "full": {"eras": None, "items": None, "questions": 8192},
}
"""Eras, probe scenarios a dimension and polarity, questions an era; None is all of them. One dial
for the user."""


class Observation(TypedDict):
    """What an algorithm is told besides its human.

    Attributes:
        step: number of the step, from 0.
        era: index of the era whose human can be asked.
        questions: how many questions that human answers.
    """

    step: int
    era: int
    questions: int


class PolicySpace(spaces.Space[Policy]):
    """The action space: every policy. ``sample`` gives the initial policy, slightly disturbed."""

    def __init__(self, environment: Challenge) -> None:
        super().__init__(shape=None, dtype=None)
        self._environment = environment

    def sample(self, mask: Any = None, probability: Any = None) -> Policy:
        """A policy at random."""
        policy = self._environment.initial_policy()
        for name, tensor in policy.weights.items():
            if "lora_B" in name:
                tensor += tensor.new_tensor(self.np_random.normal(0, 1e-3, tensor.shape))
        return policy

    def contains(self, x: Any) -> bool:
        """Is it a policy?"""
        return isinstance(x, Policy)

    @property
    def is_np_flattenable(self) -> bool:
        """Policies are no arrays."""
        return False


class Challenge(gymnasium.Env[Observation, Policy]):
    """Base of all challenges. A subclass says which era is asked and which one scores.

    A subclass with arguments of its own passes the others on as ``**settings`` and adds its own to
    ``settings`` of the challenge, so that results record them.

    Args:
        models: name of a shipped timeline, or a YAML file of one.
        preset: ``quick``, ``standard`` or ``full``: how many scenarios and questions.
        scenarios: a bank file (JSONL, or CSV in MoralEvals' columns) instead of the shipped one.
        instrument: which shipped bank: ``statement`` or ``dilemma``.
        initial: the first policy: the ``first`` era's model, so that never updating it is value
            lock-in itself, or the ``base`` model.
        answers: ``binary`` (one sampled label a question) or ``graded`` (the probability).
        decisiveness: γ of the humans.
        preference: ``implicit`` reward relative to the base, or raw ``likelihood``.
        eras: how many eras are played, evenly spaced from the first to the last; None leaves it
            to the preset.
        items: probe scenarios a dimension and polarity; None leaves it to the preset.
        questions: questions an era; None leaves it to the preset.
        backend: where the humans run, who are only read: ``vllm`` or ``openai:URL[,URL…]``; None
            for this process. The policy is trained here in any case. Results record the kind, not
            the address.

    Attributes:
        name: under which it is registered.
        judged: whose values are compared with the target's: the algorithm's policy, or a simulated
            human.
        settings: every argument, as results record it.
        keep: makes a model within a step, or finds it where it was made before an interruption:
            a step that takes hours should make its models through it.

    Raises:
        UsageError: an unknown timeline or preset, or a malformed file.
    """

    name: ClassVar[str]
    judged: ClassVar[Literal["policy", "human"]] = "policy"
    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012, Gymnasium's own type

    def __init__(
        self,
        models: str = "smollm2",
        preset: Literal["quick", "standard", "full"] = "standard",
        scenarios: str | None = None,
        instrument: Instrument = "statement",
        initial: Initial = "first",
        answers: Answers = "binary",
        decisiveness: float = 4.0,
        preference: Preference = "implicit",
        eras: int | None = None,
        items: int | None = None,
        questions: int | None = None,
        backend: str | None = None,
    ) -> None:
        if eras is not None and eras < 2:
            raise UsageError(f"eras={eras}: nothing changes in fewer than 2.")
        if items is not None and items < 2:
            raise UsageError(f"items={items}: at least 2 a dimension and polarity are needed.")
        if questions is not None and questions < 0:
            raise UsageError(f"questions={questions}: expected 0 or more.")
        self.settings: dict[str, Any] = {
            "models": models,
            "preset": preset,
            "scenarios": scenarios,
            "instrument": instrument,
            "initial": initial,
            "answers": answers,
            "decisiveness": decisiveness,
            "preference": preference,
            "eras": PRESETS[preset]["eras"] if eras is None else eras,
            "items": PRESETS[preset]["items"] if items is None else items,
            "questions": PRESETS[preset]["questions"] if questions is None else questions,
        }
        self.timeline = Timeline.load(models).spaced(self.settings["eras"])
        self.backend = open_backend(backend)
        if backend:
            self.settings["backend"] = self.backend.name
        bank = read_bank(Path(scenarios)).divided() if scenarios else shipped_bank(instrument)
        probe = bank.split("probe")
        self.probe: ScenarioBank = probe.first(self.settings["items"])
        self.query: ScenarioBank = bank.split("query")
        self._measured = [scenario.text for scenario in probe]
        self.action_space = PolicySpace(self)
        self._seed = 0
        self._records: list[Step] = []
        self._human: Human | None = None
        self._clock = 0.0
        self.keep: Keep = lambda name, like, make: make()

    # What a subclass decides ----------------------------------------------------------------

    @property
    def steps(self) -> int:
        """Number of steps of an episode."""
        return len(self.timeline.eras)

    def asked_era(self, step: int) -> Era:
        """Era whose human can be asked at a step."""
        raise NotImplementedError

    def target_era(self, step: int) -> Era:
        """Era whose human a step is scored against."""
        raise NotImplementedError

    def asked_model(self, step: int) -> LanguageModel:
        """Model of the human who can be asked at a step."""
        return self.human_of(self.asked_era(step))

    def budget(self, step: int) -> int:
        """How many questions the human of a step answers; never more than ``questions``."""
        return self.settings["questions"]

    def frozen_model(self) -> Policy:
        """The model that has skill 0: who is judged, before the first step."""
        return self.initial_policy()

    def respond(self, step: int, policy: Policy) -> dict[str, ValueVector]:
        """Let the challenge's world answer to the policy of a step, before it is scored.

        Returns:
            What to record besides policy and target: ``human``, ``counterfactual``, or nothing.
        """
        return {}

    def state(self) -> dict[str, Policy]:
        """Models to remember besides the records, by name, so that a run can be resumed."""
        return {}

    def restore(self, records: list[Step], state: dict[str, Policy]) -> Observation:
        """Continue an episode from its finished steps and the :meth:`state` after the last."""
        self._records = list(records)
        self._next_human()
        return self._observation()

    def continue_step(self, asked: int, revealed: bool, seconds: float) -> None:
        """Continue a step after its update: what its human was asked, and how long it took."""
        self.human.asked, self.human.revealed = asked, revealed
        self._clock -= seconds

    @property
    def seconds(self) -> float:
        """How long the step has taken so far."""
        return round(time.monotonic() - self._clock, 3)

    # The episode ----------------------------------------------------------------------------

    @cached_property
    def observation_space(self) -> spaces.Dict:  # type: ignore[override]
        """Step, era and questions; see :class:`Observation`."""
        return spaces.Dict(
            {
                "step": spaces.Discrete(self.steps + 1),
                "era": spaces.Discrete(len(self.timeline.eras)),
                "questions": spaces.Discrete(self.settings["questions"] + 1),
            }
        )

    @property
    def done(self) -> bool:
        """Is the episode over?"""
        return len(self._records) >= self.steps

    @property
    def human(self) -> Human:
        """The human of the current step.

        Raises:
            UsageError: before ``reset`` or after the end.
        """
        if self._human is None:
            raise UsageError("No human to ask: call reset() first, and stop when done.")
        return self._human

    def human_of(self, era: Era) -> LanguageModel:
        """The model that stands for the people of an era, wherever it runs."""
        return self.backend.era(self.timeline, era)

    def initial_policy(self) -> Policy:
        """A fresh copy of the policy that every algorithm starts from."""
        if self.settings["initial"] == "base":
            return base_policy(self.timeline).copy("initial")
        return era_policy(self.timeline, self.timeline.eras[0]).copy("initial")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: of the humans' sampled answers; None keeps the last one.
            options: unused.
        """
        super().reset(seed=seed)
        self._seed = self._seed if seed is None else seed
        return self.restore([], {}), {}

    def step(self, action: Policy) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Score the policy of this step and move on to the next.

        Returns:
            Observation, reward, terminated, truncated (never), info with the step's record.

        Raises:
            UsageError: the action is no policy, or the episode is over.
        """
        if not self.action_space.contains(action):
            raise UsageError(f"step() takes a Policy, found {type(action).__name__}.")
        human, step = self.human, len(self._records)
        target = self.target_era(step)
        read = {
            "policy": measure(action, self.probe),
            "target": measure(self.human_of(target), self.probe),
            **self.respond(step, action),
        }
        frozen = measure(self.frozen_model(), self.probe)
        record = Step.model_validate(
            {
                "era": human.era,
                "target": target.name,
                **{f"{name}_items": vector.items.tolist() for name, vector in read.items()},
                "reward": step_reward(
                    frozen.values, read[self.judged].values, read["target"].values
                ),
                "questions": human.asked,
                "revealed": human.revealed,
                "seconds": self.seconds,
            }
        )
        self._records.append(record)
        self._next_human()
        return self._observation(), record.reward, self.done, False, {"record": record}

    def result(
        self,
        algorithm: str = "custom",
        parameters: dict[str, Any] | None = None,
        cheats: bool = False,
    ) -> RunResult:
        """Everything that came out of the finished episode, scored.

        Raises:
            UsageError: the episode is not over.
        """
        if not self.done:
            raise UsageError(f"The episode is at step {len(self._records)} of {self.steps}.")
        result = RunResult(
            spec=self.run_spec(algorithm, parameters, self._seed),
            cheats=cheats or any(step.revealed for step in self._records),
            manifest=manifest(self._hashes()),
            scenarios=[(s.id, dict(s.polarity)) for s in self.probe],
            frames=list(frames(self.probe)),
            initial_items=measure(self.frozen_model(), self.probe).items.tolist(),
            steps=self._records,
        )
        result.scores, result.digest = result.compute_scores(), result.compute_digest()
        return result

    def run_spec(self, algorithm: str, parameters: dict[str, Any] | None, seed: int) -> RunSpec:
        """The specification of a run of this challenge."""
        return RunSpec(
            challenge=self.name,
            settings=self.settings,
            algorithm=algorithm,
            parameters=parameters or {},
            seed=seed,
        )

    def _observation(self) -> Observation:
        step = len(self._records)
        era = self.asked_era(min(step, self.steps - 1))
        return {
            "step": step,
            "era": self.timeline.index(era.name),
            "questions": 0 if self.done else self.budget(step),
        }

    def _next_human(self) -> None:
        self._clock = time.monotonic()
        if self.done:
            self._human = None
            return
        step = len(self._records)
        era = self.asked_era(step)
        self._human = None  # a large model makes room for the next
        model = self.asked_model(step)
        self._human = Human(
            era.name,
            model,
            model.base,
            questions(self.query),
            self.budget(step),
            self.settings["answers"],
            self.settings["decisiveness"],
            self.settings["preference"],
            np.random.default_rng([self._seed, step]),
            lambda: self.human_of(self.target_era(step)),
            self._measured,
        )

    def _hashes(self) -> dict[str, Any]:
        return {
            "timeline_sha256": sha256_json(self.timeline.model_dump(mode="json")),
            **self.backend.manifest(self.timeline),
            "probe_sha256": self.probe.fingerprint,
            "query_sha256": self.query.fingerprint,
        }
