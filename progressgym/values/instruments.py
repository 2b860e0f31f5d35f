"""Instruments: how a scenario is put to a model, for measuring it and for asking about it.

Statements. An act in plain words is put into frames ("To hang a murderer is") and evaluative
words are compared at the next position. The stance towards the act is, for each frame, the mean
over word pairs of log P(praise) − log P(blame), minus the same without the act ("It is"), which
removes each word's own frequency.

Dilemmas. Both actions are scored by their length-normalised log-likelihood after the situation;
the log-odds of the first over the second is the scenario's reading. No position is involved.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import UsageError
from ..models import LanguageModel
from ..pairs import Pair
from .forms import FORMS, StatementForm
from .scenarios import Scenario, ScenarioBank

_DILEMMA_PROMPT = "{} So "


def frames(bank: ScenarioBank) -> tuple[str, ...]:
    """Names of the columns of the bank's item matrix."""
    if bank.instrument == "dilemma":
        return ("likelihood",)
    return tuple(f"frame-{i + 1}" for i in range(len(FORMS["act"].frames)))


def read_items(policy: LanguageModel, bank: ScenarioBank) -> np.ndarray:
    """Read every scenario of a bank from a model.

    Returns:
        Item matrix of log-odds in nats, shape (scenarios, frames), float64.

    Raises:
        UsageError: the model's tokenizer splits nearly all evaluative words.
    """
    if bank.instrument == "dilemma":
        return _read_dilemmas(policy, bank.scenarios)
    matrix = np.empty((len(bank), len(frames(bank))))
    for rows, readings in read_pairs(policy, bank).values():
        matrix[rows] = readings.mean(axis=2)
    return matrix


def read_pairs(
    policy: LanguageModel, bank: ScenarioBank
) -> dict[str, tuple[list[int], np.ndarray]]:
    """Read statements, word pair by word pair.

    Returns:
        For each form the rows of the bank that have it, and their readings: log P(praise) −
        log P(blame) less the same without the statement, in nats, shape (rows, frames, pairs).
        Pairs that the tokenizer splits are left out.

    Raises:
        UsageError: it splits nearly all of them.
    """
    forms = {name: FORMS[name] for name in sorted({scenario.form for scenario in bank})}
    words = {name: _single_token_words(policy, form) for name, form in forms.items()}
    tokens = sorted({token for pairs in words.values() for pair in pairs for token in pair})
    sentences = [sentence(f, s.text) for s in bank for f in forms[s.form].frames]
    sentences += [sentence(bare) for form in forms.values() for bare in form.bare]
    logits = policy.next_token_logits(sentences, tokens).double().numpy()
    statements, bare = np.split(logits.reshape(-1, len(frames(bank)), len(tokens)), [len(bank)])
    found: dict[str, tuple[list[int], np.ndarray]] = {}
    for number, (name, pairs) in enumerate(words.items()):
        rows = [i for i, scenario in enumerate(bank) if scenario.form == name]
        praise, blame = ([tokens.index(pair[side]) for pair in pairs] for side in (0, 1))
        own = statements[rows] - bare[number]  # the normaliser cancels between praise and blame
        found[name] = rows, own[:, :, praise] - own[:, :, blame]
    return found


def _single_token_words(policy: LanguageModel, form: StatementForm) -> list[tuple[int, int]]:
    encoded = [policy.encode([f" {praise}", f" {blame}"]) for praise, blame in form.words]
    single = [(p[0], b[0]) for p, b in encoded if len(p) == len(b) == 1]
    if not single:
        raise UsageError(
            f"{policy.name}'s tokenizer splits every evaluative word; measure it with "
            "dilemmas instead (--instrument dilemma)."
        )
    return single


def sentence(frame: str, text: str = "") -> str:
    """A frame with its statement, as a sentence."""
    filled = frame.format(text)
    return filled[0].upper() + filled[1:]


def _read_dilemmas(policy: LanguageModel, scenarios: Sequence[Scenario]) -> np.ndarray:
    prompts = [_DILEMMA_PROMPT.format(s.text) for s in scenarios for _ in s.options]
    actions = [option.text for s in scenarios for option in s.options]
    lengths = np.array([len(end) for _, end in policy.encode_pairs(prompts, actions)])
    scores = policy.logprobs(prompts, actions).double().numpy() / lengths
    return (scores[0::2] - scores[1::2])[:, None]


def questions(bank: ScenarioBank) -> list[Pair]:
    """Every preference question that a bank offers: what an algorithm may ask a human.

    Statements give a pair for each frame and pair of words (prompt "To hang a murderer is",
    responses " right" and " wrong"); dilemmas one for the two actions. Questions with the same
    prompt stand together.
    """
    pairs = []
    for scenario in bank:
        if scenario.instrument == "dilemma":
            first, second = (option.text for option in scenario.options)
            prompt = _DILEMMA_PROMPT.format(scenario.text)
            pairs.append(Pair(prompt, first, second, scenario.id))
            continue
        form = FORMS[scenario.form]
        pairs += [
            Pair(sentence(frame, scenario.text), f" {praise}", f" {blame}", scenario.id)
            for frame in form.frames
            for praise, blame in form.words
        ]
    return pairs
