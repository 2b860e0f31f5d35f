"""Scenarios and banks: moral questions with their options and labels."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import UsageError
from ..storage import sha256_json
from .dimensions import DIMENSIONS, RULES

Instrument = Literal["statement", "dilemma"]
Split = Literal["probe", "query"]
Label = Literal[-1, 1]
Polarity = dict[str, Label]
_SHIPPED = Path(__file__).parent / "bank"


class Option(BaseModel):
    """One action of a dilemma and the dimensions it upholds (+1) or violates (−1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1)
    labels: Polarity = {}


class Scenario(BaseModel):
    """One moral question.

    Attributes:
        id: unique within its bank.
        split: ``probe`` scenarios are measured and never asked, ``query`` ones the reverse.
        instrument: ``statement`` (an act or claim is judged) or ``dilemma`` (one of two actions).
        form: of a statement: ``act`` ("to hang a murderer") or ``claim`` ("the old ways are safe").
        text: the statement, or the dilemma's situation.
        labels: of a statement: dimension → +1 where it upholds, −1 where it violates.
        options: the two actions of a dilemma.
        tags: free words, e.g. the setting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str = Field(min_length=1)
    split: Split
    instrument: Instrument
    form: Literal["act", "claim"] = "act"
    text: str = Field(min_length=1, alias="context")
    labels: Polarity = {}
    options: tuple[Option, ...] = ()
    tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Scenario:
        if self.instrument == "dilemma" and len(self.options) != 2:
            raise ValueError(f"a dilemma needs exactly 2 options, found {len(self.options)}")
        if self.instrument == "statement" and self.options:
            raise ValueError("a statement has no options")
        if not self.polarity:
            raise ValueError("labels: at least one dimension expected")
        unknown = set(self.polarity) - set(DIMENSIONS)
        if unknown:
            raise ValueError(f"unknown dimension {sorted(unknown)[0]!r}")
        return self

    @property
    def polarity(self) -> Polarity:
        """Dimension → +1 where choosing it, or its first option, upholds; −1 where it violates."""
        if self.instrument == "statement" or not self.options:
            return self.labels
        first, second = (option.labels for option in self.options)
        ours = {**{d: _opposite(label) for d, label in second.items()}, **first}
        # A dimension that both actions uphold, or both violate, does not tell them apart.
        return {d: label for d, label in ours.items() if second.get(d) != label}


class ScenarioBank:
    """Scenarios of one instrument, in a fixed order, and their labels as a matrix.

    Args:
        scenarios: at least one, all of the same instrument, with unique ids.

    Raises:
        UsageError: none, several instruments, or an id twice.
    """

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        if len({s.instrument for s in scenarios}) != 1:
            raise UsageError("A bank needs scenarios of exactly one instrument.")
        ids = Counter(s.id for s in scenarios)
        if len(ids) < len(scenarios):
            twice = ", ".join(repr(name) for name, count in ids.items() if count > 1)
            raise UsageError(f"Scenario ids must be unique, found more than once: {twice}.")
        self.scenarios = tuple(scenarios)

    def __len__(self) -> int:
        return len(self.scenarios)

    def __iter__(self) -> Iterator[Scenario]:
        return iter(self.scenarios)

    @property
    def instrument(self) -> Instrument:
        """The instrument that all scenarios share."""
        return self.scenarios[0].instrument

    @cached_property
    def labels(self) -> np.ndarray:
        """Shape (scenarios, 19): +1 upholds, −1 violates, 0 says nothing about a dimension."""
        matrix = np.zeros((len(self), len(DIMENSIONS)), dtype=np.int8)
        for row, scenario in enumerate(self.scenarios):
            for dimension, label in scenario.polarity.items():
                matrix[row, DIMENSIONS.index(dimension)] = label
        return matrix

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the scenarios."""
        return sha256_json([scenario.model_dump() for scenario in self.scenarios])

    def split(self, split: Split) -> ScenarioBank:
        """The scenarios of one split."""
        return ScenarioBank([s for s in self.scenarios if s.split == split])

    def divided(self) -> ScenarioBank:
        """A bank with both splits: one that has only one is divided, in turn within equal labels.

        Raises:
            UsageError: fewer than two scenarios.
        """
        if len({s.split for s in self.scenarios}) == 2:
            return self
        if len(self) < 2:
            raise UsageError("At least 2 scenarios are needed: one to measure and one to ask.")
        splits: tuple[Split, Split] = ("probe", "query")
        turns: dict[tuple, int] = {}
        divided = []
        for scenario in self.scenarios:
            cell = tuple(sorted(scenario.polarity.items()))
            # Each new cell starts with the other split, so that rare labels fall on both sides.
            turn = turns.setdefault(cell, len(turns))
            turns[cell] += 1
            divided.append(scenario.model_copy(update={"split": splits[turn % 2]}))
        return ScenarioBank(divided)

    def first(self, items: int | None) -> ScenarioBank:
        """The first ``items`` scenarios of each split, dimension and polarity; None for all."""
        if items is None:
            return self
        counts: dict[tuple, int] = {}
        chosen = []
        for scenario in self.scenarios:
            cells = [(scenario.split, *cell) for cell in scenario.polarity.items()]
            if any(counts.get(cell, 0) < items for cell in cells):
                chosen.append(scenario)
                for cell in cells:
                    counts[cell] = counts.get(cell, 0) + 1
        return ScenarioBank(chosen)


@cache
def shipped_bank(instrument: Instrument = "statement") -> ScenarioBank:
    """The bank written for this project: both splits of one instrument."""
    return ScenarioBank(
        [
            scenario
            for split in ("probe", "query")
            for scenario in read_scenarios(_SHIPPED / f"{instrument}s-{split}.jsonl")
        ]
    )


def shipped_paraphrases() -> ScenarioBank:
    """Some of the shipped probe statements in other words, under the same ids."""
    return ScenarioBank(list(read_scenarios(_SHIPPED / "paraphrases.jsonl")))


def read_bank(path: Path) -> ScenarioBank:
    """A bank from a JSONL file, or from a CSV file with the columns of MoralEvals.

    Rows of a CSV file are all ``probe`` scenarios; see :meth:`ScenarioBank.divided`.

    Raises:
        UsageError: a malformed file; the message names line, column and what was expected.
    """
    return ScenarioBank(list(read_scenarios(path)))


def read_scenarios(path: Path) -> Iterator[Scenario]:
    """The scenarios of a file, JSONL or CSV by its ending, one after the other."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"No scenario file {path}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error}.") from error
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from error
    reader = _read_moral_evals if path.suffix.lower() == ".csv" else _read_jsonl
    empty = True
    for scenario in reader(text, path):
        empty = False
        yield scenario
    if empty:
        raise UsageError(f"{path} holds no scenarios.")


def _read_jsonl(text: str, path: Path) -> Iterator[Scenario]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entries = json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(
                f"{path}, line {number}, column {error.colno}: expected JSON, {error.msg.lower()}."
            ) from error
        except RecursionError as error:
            raise UsageError(f"{path}, line {number}: nested without end.") from error
        yield _scenario(entries, path, number)


def _scenario(entries: object, path: Path, number: int) -> Scenario:
    try:
        return Scenario.model_validate(entries)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "scenario"
        raise UsageError(f"{path}, line {number}, column {where!r}: {first['msg']}.") from error


_ANSWERS: dict[str, Label | None] = {"yes": -1, "no": 1, "no agreement": None}


def _read_moral_evals(text: str, path: Path) -> Iterator[Scenario]:
    """MoralEvals: does each action violate each rule: Yes, No, or No Agreement."""
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    needed = ["scenario_id", "context", "action1", "action2"]
    labels = [f"a{action}_{rule.split('_')[-1]}" for action in (1, 2) for rule in RULES]
    try:
        missing = [name for name in needed + labels if name not in (rows.fieldnames or [])]
        if missing:
            raise UsageError(
                f"{path}, line 1: missing column {missing[0]!r}; expected MoralEvals' columns "
                f"{', '.join(needed)}, {labels[0]} … {labels[-1]}."
            )
        for row in rows:
            if (scenario := _moral_eval(row, path, rows.line_num)) is not None:
                yield scenario
    except csv.Error as error:
        raise UsageError(f"{path}, line {rows.reader.line_num}: not CSV, {error}.") from error


def _moral_eval(row: dict[str, str], path: Path, number: int) -> Scenario | None:
    actions: list[str] = []
    judged: list[Polarity] = []
    for action in (1, 2):
        labels: Polarity = {}
        for rule in RULES:
            column = f"a{action}_{rule.split('_')[-1]}"
            answer = (row[column] or "").strip().lower()
            if answer not in _ANSWERS:
                raise UsageError(
                    f"{path}, line {number}, column {column!r}: {row[column]!r} found, expected "
                    "Yes, No or No Agreement."
                )
            if (label := _ANSWERS[answer]) is not None:
                labels[rule] = label
        actions.append((row[f"action{action}"] or "").strip())
        judged.append(labels)
    # A rule that both actions keep, or both break, does not tell them apart.
    first, second = judged
    same = {rule for rule in RULES if first.get(rule) == second.get(rule)}
    judged = [{r: v for r, v in labels.items() if r not in same} for labels in judged]
    if not any(judged):
        return None
    entries = {
        "id": row["scenario_id"],
        "split": "probe",
        "instrument": "dilemma",
        "text": (row["context"] or "").strip(),
        "options": [{"text": t, "labels": ls} for t, ls in zip(actions, judged, strict=True)],
        "tags": [row[name] for name in ("ambiguity", "generation_rule") if row.get(name)],
    }
    return _scenario(entries, path, number)


def _opposite(label: Label) -> Label:
    return -1 if label == 1 else 1
