"""The checks for third parties: sound algorithms pass, and each planted fault is found."""

from __future__ import annotations

import json
import sys
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from progressgym.challenges.follow import Follow

import progressgym as pg
from progressgym import registry
from progressgym.cli import main
from progressgym.conformance import Finding, check
from progressgym.conformance.algorithm import CHECKS, Suspect
from progressgym.conformance.findings import described, examined
from progressgym.models import era_policy
from progressgym.training.dpo import DPOSettings, train_dpo


class Sound(pg.Algorithm):
    """Moves its weights as the answers say, fast and without any sense."""

    def __init__(self, stride: float = 0.01, heavy: bool = False) -> None:
        self.stride = stride
        self.heavy = heavy

    def update(self, observation: pg.Observation, human: pg.Human) -> pg.Policy:
        self.policy = self.policy.copy()
        self.move(self.answered(observation, human))
        return self.policy

    def answered(self, observation: pg.Observation, human: pg.Human) -> float:
        rng = np.random.default_rng([self.seed, observation["step"]])
        answers = human.prefer(human.draw(human.remaining, rng))
        return sum((i + 1) * float(a.preference or 0) for i, a in enumerate(answers))

    def move(self, number: float) -> None:
        for weight in self.policy.weights.values():
            weight += self.stride * float(np.sin(number))


class Unseeded(Sound):
    """Draws from a generator without a seed."""

    def move(self, number: float) -> None:
        super().move(np.random.default_rng().normal())


class GloballySeeded(Sound):
    """Draws from torch's default generator."""

    def move(self, number: float) -> None:
        super().move(float(torch.randn(())))


class Peeking(Sound):
    """Reads the human's own log-probabilities besides asking."""

    def answered(self, observation: pg.Observation, human: pg.Human) -> float:
        own = human._model.margins(human.questions[:4]).sum()
        return super().answered(observation, human) + float(own)


class Revealing(Sound):
    """Calls reveal() and does not say that it cheats."""

    def answered(self, observation: pg.Observation, human: pg.Human) -> float:
        return float(human.reveal().margins(human.questions[:4]).sum())


class Greedy(Sound):
    """Asks more than the budget and swallows the error."""

    def answered(self, observation: pg.Observation, human: pg.Human) -> float:
        try:
            return float(len(human.prefer(human.questions[: human.budget + 1])))
        except pg.BudgetExceededError:
            return super().answered(observation, human)


class Forgetful(Sound):
    """Keeps memory that is not in state()."""

    def reset(self, policy: pg.Policy, seed: int = 0) -> None:
        super().reset(policy, seed)
        self.total = 0.0

    def move(self, number: float) -> None:
        self.total += number
        super().move(self.total)


class NeverFresh(Forgetful):
    """Saves its memory, but starts the next run with it."""

    def reset(self, policy: pg.Policy, seed: int = 0) -> None:
        total = getattr(self, "total", 0.0)
        super().reset(policy, seed)
        self.total = total

    def state(self) -> dict[str, Any]:
        return {"total": self.total}

    def restore(self, state: dict[str, Any], policy: pg.Policy) -> None:
        super().restore(state, policy)
        self.total = state["total"]


class InPlace(Sound):
    """Changes the policy that reset() was given, and with it where others start."""

    def update(self, observation: pg.Observation, human: pg.Human) -> pg.Policy:
        self.initial_policy.weights = {n: w.clone() for n, w in self.policy.weights.items()}
        return super().update(observation, human)


class Training(Sound):
    """Trains the human's own model and returns it; says at least that it cheats."""

    cheats: ClassVar[bool] = True

    def update(self, observation: pg.Observation, human: pg.Human) -> pg.Policy:
        self.policy = human.reveal()
        return self.policy


SEEN: dict[int, float] = {}


class Remembering(Sound):
    """Knows from an earlier run, by way of its module, what tomorrow's human answered."""

    def answered(self, observation: pg.Observation, human: pg.Human) -> float:
        SEEN[observation["era"]] = super().answered(observation, human)
        return SEEN.get(observation["era"] + 1, SEEN[observation["era"]])


class Clairvoyant(Sound):
    """Takes the last era's weights from the caller's environment."""

    def move(self, number: float) -> None:
        env = sys._getframe(2).f_locals["env"]
        super().move(float(env.timeline.eras[-1].adapter.removeprefix("tiny:")))


class Restless(Sound):
    """Sets torch's threads and default dtype for everybody."""

    def move(self, number: float) -> None:
        super().move(number)
        torch.set_default_dtype(torch.float64)


class Renaming(Sound):
    """Stores a parameter as something else."""

    def __init__(self, stride: float = 0.01) -> None:
        super().__init__(stride=max(stride, 0.01))


class Unwritable(Sound):
    """Remembers what no file can hold."""

    def state(self) -> dict[str, Any]:
        return {"array": np.zeros(3)}


class Insatiable(Sound):
    """Cannot bear an era that answers nothing."""

    def move(self, number: float) -> None:
        if not number:
            train_dpo(self.policy, self.policy.base, [], DPOSettings())
        super().move(number)


class Broken(Sound):
    """Fails at once."""

    def move(self, number: float) -> None:
        raise KeyError("lost")


PLANTED: list[tuple[type[Sound], str, str]] = [
    (Unseeded, "same seed, same policies", "Two runs with seed 0 differ: the policy of step 0"),
    (GloballySeeded, "has its own randomness", "when the process's random state differs"),
    (Peeking, "learns from answers only", "reads human._model"),
    (Revealing, "learns from answers only", "calls human.reveal()"),
    (Greedy, "keeps to its budget", "25 questions where 24 remained"),
    (Forgetful, "resumes with the same bytes", "Interrupted after step 0"),
    (NeverFresh, "reset() starts anew", "second run of the same object"),
    (InPlace, "policies are sound", "that reset() was given has changed"),
    (Training, "policies are sound", "shares its weights with the human of"),
    (Remembering, "same seed, same policies", "The first run in a process and the second differ"),
    (Clairvoyant, "knows no future", "the policy of step 0 is another"),
    (Restless, "leaves its surroundings alone", "torch's default dtype"),
    (Renaming, "parameters are kept", "stride=0.005 leaves 0.01"),
    (Unwritable, "state can be written", "cannot be written as JSON"),
    (
        Insatiable,
        "keeps to its budget",
        "With 0 questions an era it fails: progressgym.errors.UsageError",
    ),
    (Broken, "plays to the end", "KeyError: 'lost' (move, line "),
]


def examine(kind: type[pg.Algorithm]) -> list[Finding]:
    """All but the last check, which takes long and plants nothing."""
    return list(examined(Suspect("planted", kind), CHECKS[:-1]))


@pytest.mark.parametrize(("kind", "rule", "seen"), PLANTED, ids=[p[0].__name__ for p in PLANTED])
def test_a_planted_fault_is_found_where_it_is_and_nowhere_else(
    kind: type[Sound], rule: str, seen: str
) -> None:
    findings = examine(kind)
    (failed,) = [finding for finding in findings if finding.passed is False]
    assert failed.check == rule
    assert seen in failed.seen
    assert failed.advice


def test_what_keeps_the_rules_passes() -> None:
    findings = examine(Sound)
    assert [finding for finding in findings if not finding.passed] == []


@pytest.mark.parametrize(
    "name", ["frozen", "random", "oracle", "persistence", "lifelong-dpo", "extrapolative-rlhf"]
)
def test_the_built_in_algorithms_keep_the_rules(name: str) -> None:
    findings = check(name)
    assert [finding for finding in findings if not finding.passed] == []
    notes = {finding.check: finding.seen for finding in findings}
    cheats = name in ("oracle", "persistence")
    assert ("Declares that it cheats" in notes["learns from answers only"]) == cheats


class Leaky(Follow):
    """Scores a step with the help of the last era's human."""

    name = "leaky"

    def respond(self, step: int, policy: pg.Policy) -> dict[str, pg.ValueVector]:
        return {"human": pg.measure(era_policy(self.timeline, self.timeline.eras[-1]), self.probe)}


class Untold(Follow):
    """Does not record an argument."""

    name = "untold"

    def __init__(self, loud: bool = False, **settings: Any) -> None:
        super().__init__(**settings)


class Misleading(Follow):
    """Answers fewer questions than it says."""

    name = "misleading"

    def _observation(self) -> pg.Observation:
        return {**super()._observation(), "questions": 3}


class Amnesiac(Follow):
    """Remembers from step to step what no checkpoint has."""

    name = "amnesiac"
    asked = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[pg.Observation, dict[str, Any]]:
        self.asked = 0
        return super().reset(seed=seed, options=options)

    def budget(self, step: int) -> int:
        return self.settings["questions"] if self.asked >= step else 0

    def respond(self, step: int, policy: pg.Policy) -> dict[str, pg.ValueVector]:
        self.asked += self.human.asked
        return {}


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (Leaky, "knows no future"),
        (Untold, "settings are recorded"),
        (Misleading, "observations are true"),
        (Amnesiac, "resumes with the same records"),
    ],
)
def test_a_fault_planted_in_a_challenge_is_found(
    kind: type[Follow], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._entries["challenge"], kind.name, kind)
    (failed,) = [finding for finding in check(kind.name) if finding.passed is False]
    assert failed.check == rule
    assert failed.advice


def test_a_failure_has_its_place_in_a_class_without_a_file() -> None:
    written = "class Mine:\n    def update(self):\n        return [][0]\n"
    there: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(written, "<cell 3>", "exec"), there)  # as in a notebook
    with pytest.raises(IndexError) as failure:
        there["Mine"]().update()
    said = described(failure.value, there["Mine"])
    assert said == "IndexError: list index out of range (update, line 3)"


@pytest.mark.parametrize("name", ["follow", "predict", "coevolve"])
def test_the_built_in_challenges_keep_the_rules(name: str) -> None:
    assert [finding for finding in check(name) if not finding.passed] == []


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_the_command_prints_signs_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._entries["challenge"], "untold", Untold)
    code, out, errors = call(capsys, "check", "untold")
    assert code == 1
    assert "✓   knows no future" in out
    assert "✗   settings are recorded" in out
    assert 'self.settings["loud"] = loud' in errors
    code, out, _ = call(capsys, "check", "untold", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["passed"] is False
    assert {"check", "passed", "seen", "advice"} == set(found["checks"][0])
    assert call(capsys, "check", "follow")[0] == 0
    code, _, errors = call(capsys, "check", "folow")
    assert code == 2
    assert "Did you mean 'follow'" in errors
