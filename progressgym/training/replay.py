"""Instruction replay: the base's own answers, read again between the texts of an era.

Reading nothing but old books makes a model forget how to answer. A few of its own answers to
neutral instructions, mixed in, keep that (self-generated rehearsal, Huang et al. 2024, "Mitigating
catastrophic forgetting in large language models with self-synthesized rehearsal"); they say
nothing about values and are the same for all eras.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..models import Backbone, Policy
from ..storage import cache_folder, sha256_json, write_json
from ..values.neutral import replay_instructions

_NEW_TOKENS = 96


def replay_texts(backbone: Backbone) -> list[str]:
    """The base's greedy answers to the neutral instructions, each as a chat of one turn.

    Generated once and kept in the user's cache.

    Returns:
        Texts in the base's own chat template; plain question and answer where it has none.
    """
    instructions = replay_instructions()
    key = sha256_json([backbone.fingerprint, instructions, _NEW_TOKENS])
    path = cache_folder() / "replay" / f"{key}.json"
    answers = _remembered(path, len(instructions))
    if answers is None:
        drawn = Policy(backbone).generate(instructions, max_new_tokens=_NEW_TOKENS)
        answers = [answer for (answer,) in drawn]
        write_json(path, answers)
    return [
        _chat(backbone, instruction, answer)
        for instruction, answer in zip(instructions, answers, strict=True)
    ]


def _remembered(path: Path, count: int) -> list[str] | None:
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(answers, list) and all(isinstance(answer, str) for answer in answers)
    return answers if whole and len(answers) == count else None


def _chat(backbone: Backbone, instruction: str, answer: str) -> str:
    if not backbone.tokenizer.chat_template:
        return f"{instruction}\n{answer}\n"
    turns = [
        {"role": "user", "content": instruction},
        {"role": "assistant", "content": answer.strip()},
    ]
    return backbone.tokenizer.apply_chat_template(turns, tokenize=False)
