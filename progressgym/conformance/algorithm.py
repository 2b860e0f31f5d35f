"""The rules for algorithms, each one small function."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import registry
from ..algorithm import Algorithm
from ..checkpoint import Checkpoint
from ..models import Policy
from ..results import RunResult, Step
from ..runner import play
from .findings import NO_FAILURE, Check, Fault, described
from .trial import KNOWN, SMALL, Trial

Trace = list[tuple[str, Step]]
"""What a run left: the fingerprint of each step's policy, and its record."""


@dataclass
class Suspect:
    """An algorithm under examination, and the runs that several checks look at.

    Attributes:
        name: under which it is registered.
        kind: its class.
    """

    name: str
    kind: type[Algorithm]

    @cached_property
    def first(self) -> Trace:
        """The run that others are compared with."""
        return trace(self.kind())

    @cached_property
    def veteran(self) -> tuple[Algorithm, Trace]:
        """An equal object after an equal run, and the run."""
        algorithm = self.kind()
        return algorithm, trace(algorithm)

    @cached_property
    def watched(self) -> Trial:
        """A run with guarded humans."""
        return played(self.kind(), Trial(guarded=True))


def played(algorithm: Algorithm, env: Trial, seed: int = 0, state: int = 1, **how: Any) -> Trial:
    """Play with the process's random generators in a certain state, and leave them as they were.

    Args:
        algorithm: who plays.
        env: the challenge.
        seed: of the run.
        state: of the process's random generators.
        how: further arguments of :func:`progressgym.runner.play`.
    """
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            random.seed(state)
            np.random.seed(state)
            torch.manual_seed(state)
            play(env, algorithm, seed, **how)
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
    return env


def trace(algorithm: Algorithm, seed: int = 0, state: int = 1) -> Trace:
    """What a run of an unguarded trial leaves."""
    return _trace(played(algorithm, Trial(), seed, state))


def _trace(env: Trial) -> Trace:
    return list(zip(env.policies, env.result().steps, strict=True))


def _first_difference(one: Trace, other: Trace) -> str:
    """Where two runs part, in words; empty where they do not."""
    for number, (here, there) in enumerate(zip(one, other, strict=True)):
        if here != there:
            what = "policy" if here[0] != there[0] else "record (questions or curves)"
            return f"the {what} of step {number}"
    return ""


# The rules --------------------------------------------------------------------------------------


def plays(suspect: Suspect) -> str:
    """It gets to the end of a run."""
    asked = [step.questions for _, step in suspect.first]
    return f"Asks {asked[0]} of 24 questions an era." if len(set(asked)) == 1 else ""


def parameters(suspect: Suspect) -> str:
    """Parameters have defaults and stay what they were set to, under their own names."""
    for name, parameter in registry.parameters(suspect.kind).items():
        if parameter.default is parameter.empty:
            raise Fault(f"{name} has no default.", "Give every parameter a default.")
        for value in {parameter.default, *_others(parameter.default)}:
            try:
                made = suspect.kind(**{name: value})
            except Exception:
                if value == parameter.default:
                    raise
                continue  # a value that it refuses
            kept = getattr(made, name, parameter.empty)
            if kept != value or type(kept) is not type(value):
                found = "nothing" if kept is parameter.empty else repr(kept)
                raise Fault(
                    f"{name}={value!r} leaves {found} in self.{name}.",
                    f"Store it untouched in __init__: self.{name} = {name}.",
                )
            json.dumps(kept)
    return ""


def _others(default: Any) -> list[Any]:
    """Values like a default, to see whether they are stored."""
    if isinstance(default, bool):
        return [not default]
    if isinstance(default, int):
        return [default + 1]
    return [default / 2] if isinstance(default, float) and default else []


def deterministic(suspect: Suspect) -> str:
    """Two new objects with the same seed end with the same bytes."""
    place = _first_difference(suspect.first, suspect.veteran[1])
    if not place:
        other = trace(suspect.kind(), seed=1)
        return "" if _first_difference(suspect.first, other) else "Other seeds change nothing."
    if not _first_difference(suspect.veteran[1], trace(suspect.kind())):
        raise Fault(
            f"The first run in a process and the second differ: {place}.",
            "Something outlives a run: keep nothing in modules, classes or default arguments, and "
            "set everything anew in reset().",
        )
    raise Fault(
        f"Two runs with seed 0 differ: {place}.",
        "Draw everything random from a generator of your own that starts from self.seed, such as "
        'np.random.default_rng([self.seed, observation["step"]]), and hand a seed to trainings.',
    )


def own_randomness(suspect: Suspect) -> str:
    """What others drew from the process's generators before plays no part."""
    place = _first_difference(suspect.first, trace(suspect.kind(), state=2))
    if place:
        raise Fault(
            f"The same seed gives another result when the process's random state differs: {place}.",
            "Do not draw from random, numpy.random or torch's default generator: make one that "
            "starts from self.seed.",
        )
    return ""


def resets(suspect: Suspect) -> str:
    """A second run of one object equals the first run of another."""
    algorithm, before = suspect.veteran
    place = _first_difference(before, trace(algorithm))
    if place:
        raise Fault(
            f"A second run of the same object differs from its first: {place}.",
            "Set everything that a run changes in reset(), and call super().reset(policy, seed).",
        )
    return ""


def budget(suspect: Suspect) -> str:
    """It never asks more than is left, however little that is."""
    for questions in (24, 5, 0):
        env = suspect.watched if questions == 24 else Trial(questions=questions, guarded=True)
        try:
            if questions < 24:
                played(suspect.kind(), env)
        except Exception as error:
            if not env.overasked:
                raise Fault(
                    f"With {questions} questions an era it fails: {described(error, suspect.kind)}",
                    "An era can answer little or nothing: see human.remaining, and return "
                    "self.policy where there is nothing to learn from.",
                ) from error
        if env.overasked:
            raise Fault(
                f"It asked {env.overasked[0]}.",
                "Ask at most human.remaining. What exceeds the budget is refused as a whole; to "
                "catch the error leaves you without answers.",
            )
    return ""


def answers_only(suspect: Suspect) -> str:
    """With other models behind the same answers, its policies are the same."""
    env = suspect.watched
    looked = any(step.revealed for _, step in _trace(env))
    if suspect.kind.cheats:
        return "Declares that it cheats." + ("" if looked else " It need not: it looks at nothing.")
    if env.peeked:
        raise Fault(
            f"It reads {' and '.join(sorted(set(env.peeked)))}.",
            "Learn from human.prefer() alone. An upper bound that has to see a model calls "
            "human.reveal() and says cheats = True.",
        )
    if looked:
        raise Fault(
            "It calls human.reveal() or human.reveal_target().",
            "Learn from human.prefer() alone, or say cheats = True in the class.",
        )
    here = [policy for policy, _ in suspect.first]
    if env.policies != here:
        raise Fault(
            "Its policies depend on more of a human than the answers: with other models behind "
            "the same answers they differ.",
            "Learn from human.prefer() alone.",
        )
    return ""


def no_future(suspect: Suspect) -> str:
    """With other people in later eras, its earlier policies are the same."""
    if suspect.kind.cheats:
        return "Declares that it cheats."
    env = played(suspect.kind(), Trial(other_future=True))
    for step in range(KNOWN):
        if env.policies[step] != suspect.first[step][0]:
            raise Fault(
                f"With other people in later eras, the policy of step {step} is another.",
                "Use nothing but what the humans up to this step answered in this run.",
            )
    return ""


def state_is_plain(suspect: Suspect) -> str:
    """What it remembers can be written to a file."""
    algorithm, _ = suspect.veteran
    strangers = [n for n, model in algorithm.models.items() if not isinstance(model, Policy)]
    if strangers:
        raise Fault(f"self.models[{strangers[0]!r}] is no Policy.", "Keep it in state() instead.")
    try:
        json.dumps(algorithm.state(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Fault(
            f"state() cannot be written as JSON: {error}.",
            "Return numbers, texts, lists and dictionaries: arrays as array.tolist(). Models "
            "belong into self.models.",
        ) from error
    return ""


def resumes(suspect: Suspect) -> str:
    """Interrupted after any step and continued by a new object in a new process: the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        places = _interrupted(suspect.kind(), Path(folder))
        if suspect.kind.__module__ == "__main__":  # which a new process cannot import
            ends = _continued(suspect.kind, places, torch.get_num_threads())
            note = "Continued in the same process: it is not in a module of its own."
        else:
            with ProcessPoolExecutor(1, _new_processes()) as pool:
                job = pool.submit(_continued, suspect.kind, places, torch.get_num_threads())
                ends, note = job.result(), ""
    for number, end in enumerate(ends, start=1):
        policies = [policy for policy, _ in suspect.first[number:]]
        records = [step for _, step in suspect.first]
        if end != (policies, records):
            raise Fault(
                f"Interrupted after step {number - 1} and continued, it ends with other numbers.",
                "All that a later step needs has to be in self.policy, in self.models or in "
                "state(), and restore() has to bring it back.",
            )
    return note


def _new_processes() -> BaseContext:
    """How to begin a process that has seen no run; libraries are imported once if possible."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["progressgym.conformance", "progressgym.training.dpo"])
    return context


def _interrupted(algorithm: Algorithm, folder: Path) -> list[Path]:
    """What a run's checkpoint is after each of its steps but the last."""
    env = Trial()
    checkpoint = Checkpoint(folder / "now", env.run_spec("suspect", {}, 0))
    places = []

    def keep(done: int, steps: int) -> None:
        if 0 < done < steps:
            places.append(folder / str(done))
            shutil.copytree(checkpoint.folder, places[-1])

    played(algorithm, env, checkpoint=checkpoint, progress=keep)
    return places


def _continued(
    kind: type[Algorithm], places: list[Path], threads: int
) -> list[tuple[list[str], list[Step]]]:
    """Policies and records of runs that go on from checkpoints."""
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    ends = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the process that asks has shown them
        for place in places:
            env = Trial()
            checkpoint = Checkpoint(place, env.run_spec("suspect", {}, 0))
            checkpoint.open(resume=True)
            played(kind(), env, checkpoint=checkpoint)
            ends.append((env.policies, env.result().steps))
    return ends


def sound_policies(suspect: Suspect) -> str:
    """Finite, on the timeline's base, and nobody else's."""
    if suspect.watched.unsound:
        raise Fault(
            f"{suspect.watched.unsound[0]}.",
            "Train a copy: policy.copy(). Change neither what reset() gives you nor what "
            "human.reveal() gives you.",
        )
    return ""


def surroundings(suspect: Suspect) -> str:
    """It leaves threads, default dtype and the like as they were."""
    if suspect.watched.touched:
        raise Fault(
            f"It changes {suspect.watched.touched[0]}.",
            "These belong to whoever runs you: set them back before update() ends.",
        )
    return ""


def every_challenge(suspect: Suspect) -> str:
    """It gets to the end of every installed challenge, with a result that survives a file."""
    for name in registry.names("challenge"):
        env = registry.make(name, **SMALL)
        try:
            result = play(env, suspect.kind()).result(suspect.name)
        except Exception as error:
            raise Fault(f"In {name}: {described(error, suspect.kind)}", NO_FAILURE) from error
        if RunResult.model_validate_json(result.model_dump_json()) != result:
            raise Fault(
                f"In {name} the result changes when it is saved and loaded.",
                "Put finite numbers into self.curves, and nothing else.",
            )
    return f"Plays {', '.join(registry.names('challenge'))}."


_PLAYS, _SAME_SEED, _OWN, _PLAIN = (
    "plays to the end",
    "same seed, same policies",
    "has its own randomness",
    "state can be written",
)
_COMPARABLE = (_PLAYS, _SAME_SEED, _OWN)

CHECKS = (
    Check(_PLAYS, plays),
    Check(_SAME_SEED, deterministic, (_PLAYS,)),
    Check(_OWN, own_randomness, (_PLAYS, _SAME_SEED)),
    Check("reset() starts anew", resets, _COMPARABLE),
    Check("keeps to its budget", budget, (_PLAYS,)),
    Check("learns from answers only", answers_only, _COMPARABLE),
    Check("knows no future", no_future, _COMPARABLE),
    Check("parameters are kept", parameters),
    Check(_PLAIN, state_is_plain, (_PLAYS,)),
    Check("resumes with the same bytes", resumes, (*_COMPARABLE, _PLAIN)),
    Check("policies are sound", sound_policies, (_PLAYS,)),
    Check("leaves its surroundings alone", surroundings, (_PLAYS,)),
    Check("plays every challenge", every_challenge, (_PLAYS,)),
)
