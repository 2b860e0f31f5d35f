"""Collecting the evidence: every test of the models and of the ruler, in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..models import Policy, base_policy, era_policy
from ..passages import Passage
from ..timeline import Timeline
from ..training.perplexity import cut_blocks, perplexities
from ..values import validity
from ..values.instruments import read_pairs
from ..values.interview import interview
from ..values.measure import measure
from ..values.neutral import neutral_quality, neutral_questions
from ..values.scenarios import ScenarioBank
from .evidence import Answers, Perplexity, Quality, Validation
from .ruler import FACET_SCENARIOS, compare, converge, facets, from_statements, paraphrase

PERPLEXITY_TOKENS = 4096  # of each era

T = TypeVar("T")

Progress = Callable[[float, str], None]
"""Told the share that is done, and what comes next."""


@dataclass(frozen=True)
class Extras:
    """What may be tested besides the statements.

    Attributes:
        dilemmas: a bank of them, to hold against the statements.
        paraphrases: statements of the bank in other words, with the same ids.
        replicas: the same eras, trained a second time from other seeds or texts.
        held_out: era -> texts that none was trained on.
        questions: whether models are asked neutral questions and interviewed.
    """

    dilemmas: ScenarioBank | None = None
    paraphrases: ScenarioBank | None = None
    replicas: Timeline | None = None
    held_out: Mapping[str, Sequence[Passage]] | None = None
    questions: bool = False


def validate(
    timeline: Timeline,
    bank: ScenarioBank,
    extras: Extras | None = None,
    seed: int = 0,
    progress: Progress = lambda share, text: None,
) -> Validation:
    """Measure all eras and test whether they differ.

    Args:
        timeline: at least three eras.
        bank: scenarios to measure them with.
        extras: what else to test.
        seed: of shuffles, splits and resamples.
        progress: told what is being done.

    Raises:
        ValueError: replicas of other eras.
    """
    extras = extras or Extras()
    names = [era.name for era in timeline.eras]
    if extras.replicas is not None and [era.name for era in extras.replicas.eras] != names:
        raise ValueError(f"{extras.replicas.name} has other eras than {timeline.name}.")
    work = _Work(timeline, _stages(bank, extras), progress)
    items = work.items("Measuring", bank)
    stances = items.mean(axis=2)
    found = from_statements(items, bank, timeline.name, names, seed)
    if bank.instrument == "statement":
        few = bank.first(FACET_SCENARIOS)
        found.facets = facets(few, work.pairs(few))
    if extras.dilemmas is not None:
        own = work.items("Dilemmas:", extras.dilemmas).mean(axis=2)
        profiles = (
            validity.profiles(s, b.labels) for s, b in ((stances, bank), (own, extras.dilemmas))
        )
        converge(found, *profiles)
    if extras.paraphrases is not None:
        own = work.items("Paraphrases:", extras.paraphrases).mean(axis=2)
        paraphrase(found, stances, bank, own, extras.paraphrases, seed)
    if extras.replicas is not None:
        twice = work.items("Replica of", bank, extras.replicas)
        found.replicas = compare(stances, twice.mean(axis=2), bank, names)
    if extras.held_out:
        found.perplexity = work.perplexity(extras.held_out)
    if extras.questions:
        found.quality, found.answers = work.questions()
    return found


def measure_perplexity(
    timeline: Timeline,
    texts: Mapping[str, Sequence[Passage]],
    tokens: int,
    progress: Progress = lambda share, text: None,
) -> Perplexity:
    """How well each era's model, and the base, predict each era's texts.

    Args:
        timeline: the models.
        texts: era -> passages, a column each.
        tokens: how many of each era to read, drawn evenly over its works.
        progress: told the era that comes next.

    Raises:
        UsageError: an era whose texts do not fill one block of 256 tokens.
    """
    blocks = cut_blocks(base_policy(timeline), texts, tokens)
    return Perplexity(
        columns=list(texts),
        matrix=_of_each_era(
            timeline, "Perplexity:", lambda era: perplexities(era, blocks), progress
        ),
        base=perplexities(base_policy(timeline), blocks),
        tokens=tokens,
    )


def _of_each_era(
    timeline: Timeline, text: str, read: Callable[[Policy], T], progress: Progress
) -> list[T]:
    """What is read from each era's model; none is kept while the next is loaded."""
    found = []
    for number, era in enumerate(timeline.eras):
        progress(number / len(timeline.eras), f"{text} {era.name}")
        found.append(read(era_policy(timeline, era)))
    return found


def _stages(bank: ScenarioBank, extras: Extras) -> int:
    given = (extras.dilemmas, extras.paraphrases, extras.replicas, extras.held_out)
    return (
        1
        + (bank.instrument == "statement")
        + sum(part is not None for part in given)
        + extras.questions
    )


class _Work:
    """The parts that read models, with one progress over all of them."""

    def __init__(self, timeline: Timeline, stages: int, progress: Progress) -> None:
        self.timeline = timeline
        self.progress = progress
        self.stages = stages
        self.stage = 0

    def _tell(self, share: float, text: str) -> None:
        self.progress((self.stage + share) / self.stages, text)

    def of_each_era(
        self, text: str, read: Callable[[Policy], T], timeline: Timeline | None = None
    ) -> list[T]:
        """What is read from each era's model."""
        found = _of_each_era(timeline or self.timeline, text, read, self._tell)
        self.stage += 1
        return found

    def items(self, text: str, bank: ScenarioBank, timeline: Timeline | None = None) -> np.ndarray:
        """Items of all eras, shape (eras, scenarios, frames)."""
        return np.stack(self.of_each_era(text, lambda era: measure(era, bank).items, timeline))

    def pairs(self, bank: ScenarioBank) -> dict[str, tuple[list[int], np.ndarray]]:
        """Readings by form, shape (eras, scenarios, frames, pairs)."""
        read = self.of_each_era("Words:", lambda era: read_pairs(era, bank))
        return {
            form: (rows, np.stack([found[form][1] for found in read]))
            for form, (rows, _) in read[0].items()
        }

    def perplexity(self, held_out: Mapping[str, Sequence[Passage]]) -> Perplexity:
        """Of held-out texts under every era's model and the base."""
        found = measure_perplexity(self.timeline, held_out, PERPLEXITY_TOKENS, self._tell)
        self.stage += 1
        return found

    def questions(self) -> tuple[Quality, list[Answers]]:
        """Neutral questions and the interview."""
        asked = interview()

        def ask(era: Policy) -> tuple[float, list[str]]:
            said = [answer for (answer,) in era.generate(asked, max_new_tokens=60)]
            return float(neutral_quality(era).mean()), said

        names = [era.name for era in self.timeline.eras]
        found = dict(zip(names, self.of_each_era("Asking", ask), strict=True))
        base = float(neutral_quality(base_policy(self.timeline)).mean())
        shares = {name: share for name, (share, _) in found.items()}
        answers = [
            Answers(question=q, eras={name: said[n].strip() for name, (_, said) in found.items()})
            for n, q in enumerate(asked)
        ]
        return Quality(questions=len(neutral_questions()), base=base, eras=shares), answers
