"""The rules for challenges, each one small function."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import gymnasium
from gymnasium.utils.env_checker import check_env

from .. import registry
from ..algorithm import Algorithm
from ..challenge import Challenge, Observation
from ..checkpoint import Checkpoint
from ..human import Human
from ..models import Policy
from ..results import RunResult, Step
from ..runner import play
from .findings import Check, Fault
from .trial import SMALL, with_other_future

_WHERE = "backend"  # an argument that decides where humans run, and is recorded where it is given


@dataclass
class Game:
    """A challenge under examination.

    Attributes:
        name: under which it is registered.
        kind: its class.
    """

    name: str
    kind: type[Challenge]

    def make(self) -> Challenge:
        """A new one, small."""
        return registry.make(self.name, **SMALL)

    @cached_property
    def first(self) -> RunResult:
        """The run that others are compared with."""
        env = self.make()
        return play(env, _Wanderer(env)).result("wanderer")


class _Wanderer(Algorithm):
    """Asks one question where it can, and takes a policy at random from the action space."""

    def __init__(self, env: Challenge) -> None:
        self.env = env

    def update(self, observation: Observation, human: Human) -> Policy:
        """A policy that the step's number decides."""
        human.prefer(human.questions[: min(1, human.remaining)])
        self.env.action_space.seed(observation["step"])
        return self.env.action_space.sample()


def gymnasium_accepts(game: Game) -> str:
    """Gymnasium's own checker finds nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of spaces that are no arrays
        try:
            check_env(game.make(), skip_render_check=True)
        except (AssertionError, gymnasium.error.Error) as error:
            raise Fault(
                f"Gymnasium's checker: {' '.join(str(error).split())}",
                "See gymnasium.utils.env_checker.check_env.",
            ) from error
    return ""


def settings(game: Game) -> str:
    """Its arguments are recorded, and make it again."""
    env = game.make()
    for name in registry.parameters(type(env)):
        if name not in env.settings and name != _WHERE:
            raise Fault(
                f"The argument {name} is not recorded in settings.",
                f'Add self.settings["{name}"] = {name} to __init__.',
            )
    if registry.make(game.name, **env.settings).settings != env.settings:
        raise Fault(
            "Made again from its settings it has others.",
            "Record every argument as it was given.",
        )
    if env.name != game.name:
        raise Fault(
            f"It is registered as {game.name!r} and calls itself {env.name!r}.",
            f'Write name = "{game.name}" in the class.',
        )
    return ""


def humans(game: Game) -> str:
    """What an observation says of the human is so; nothing that is measured can be asked."""
    env = game.make()
    observation, _ = env.reset(seed=0)
    probe = {scenario.id for scenario in env.probe}
    while not env.done:
        human, step = env.human, observation["step"]
        if human.budget != observation["questions"]:
            raise Fault(
                f"Step {step}: the human answers {human.budget} questions, the observation says "
                f"{observation['questions']}.",
                "Decide it in budget(step).",
            )
        if probe.intersection(pair.scenario for pair in human.questions):
            raise Fault(
                f"Step {step}: scenarios that are measured can be asked.",
                "Leave env.probe and env.query as the base class made them.",
            )
        observation, *_ = env.step(env.initial_policy())
    return ""


def deterministic(game: Game) -> str:
    """The same seed and the same policies give the same records."""
    env = game.make()
    again = play(env, _Wanderer(env)).result("wanderer").steps
    if again != game.first.steps:
        raise Fault(
            "Two runs with seed 0 and the same policies differ.",
            "Draw everything random from np.random.default_rng([self._seed, step]).",
        )
    return ""


def no_future(game: Game) -> str:
    """What a step shows does not depend on eras after those it asks and is scored against."""
    env = game.make()
    for step in range(env.steps):
        known = 1 + max(
            env.timeline.index(era.name) for era in (env.asked_era(step), env.target_era(step))
        )
        other = game.make()
        if known < len(other.timeline.eras):
            other.timeline = with_other_future(other.timeline, known)
            record = _record(other, step)
            if record != game.first.steps[step]:
                raise Fault(
                    f"With other people in later eras, the record of step {step} is another.",
                    "Compute a step from asked_era(step), target_era(step) and what came before.",
                )
    return ""


def _record(env: Challenge, step: int) -> Step:
    """A step's record in a run."""
    return play(env, _Wanderer(env)).result("wanderer").steps[step]


class _StoppedError(Exception):
    """An interruption."""


def _silent(done: int, steps: int) -> None:
    """Nothing."""


def resumes(game: Game) -> str:
    """Interrupted after any step and continued, it ends with the same records."""
    for stop in range(1, len(game.first.steps)):

        def interrupt(done: int, steps: int, stop: int = stop) -> None:
            if done == stop:
                raise _StoppedError

        with tempfile.TemporaryDirectory() as folder:
            for progress in (interrupt, _silent):
                env = game.make()
                place = Checkpoint(Path(folder), env.run_spec("wanderer", {}, 0))
                place.open(resume=True)
                try:
                    play(env, _Wanderer(env), 0, place, progress)
                except _StoppedError:
                    continue
        if env.result("wanderer").steps != game.first.steps:
            raise Fault(
                f"Interrupted after step {stop - 1} and continued, it ends with other records.",
                "Return the models that it changes from state(), and take them up in restore().",
            )
    return ""


def recomputable(game: Game) -> str:
    """Scores come from the item matrices alone, rewards too."""
    result = RunResult.model_validate_json(game.first.model_dump_json())
    if result.compute_scores() != game.first.scores:
        raise Fault("A saved result has other scores.", "Leave result() as it is.")
    skill = result.compute_scores().skill.value
    return "" if skill is None else f"Skill of policies at random: {skill:.2f}."


CHECKS = (
    Check("Gymnasium accepts it", gymnasium_accepts),
    Check("settings are recorded", settings),
    Check("observations are true", humans),
    Check("same seed, same records", deterministic),
    Check("knows no future", no_future, ("same seed, same records",)),
    Check("resumes with the same records", resumes, ("same seed, same records",)),
    Check("results can be recomputed", recomputable),
)
