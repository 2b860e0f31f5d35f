"""vLLM in this process: reads whole models, and adapters on a base."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .reading import Encoded

CACHE_BYTES = 4 << 30  # of keys and values: texts are short, and a policy needs memory too
RANK = 64  # of the largest adapter


@dataclass(frozen=True)
class Engine:
    """What is loaded: a folder or hub id at a commit, in a precision, with adapters or without."""

    model: str
    revision: str | None
    dtype: str
    trust_remote_code: bool
    adapters: bool


_loaded: dict[Engine, Any] = {}  # at most one: two would have to share a GPU's memory


class VllmReader:
    """Reads a model by ``vllm.LLM``, which is loaded when it is first asked.

    Args:
        engine: the model.
        adapter: folder of a LoRA adapter on it.
    """

    def __init__(self, engine: Engine, adapter: Path | None = None) -> None:
        self.engine = engine
        self.adapter = adapter
        _vllm()  # where it is missing, that is said at once

    def sequences(self, encoded: Sequence[Encoded]) -> list[float]:
        """log π(response | prompt) of each, in nats."""
        rows = [[*prompt, *response] for prompt, response in encoded]
        scores = []
        outputs = self._run(rows, prompt_logprobs=0)
        for (prompt, _), row, output in zip(encoded, rows, outputs, strict=True):
            said = [
                chances[token].logprob
                for token, chances in zip(row, output.prompt_logprobs, strict=True)
                if chances
            ]
            scores.append(sum(said[len(prompt) - 1 :]))  # nothing is said of the first token
        return scores

    def next_tokens(
        self, prompts: Sequence[Sequence[int]], tokens: Sequence[int]
    ) -> list[list[float]]:
        """log π(token | prompt) of each prompt and token, in nats."""
        outputs = self._run(prompts, logprob_token_ids=list(tokens))
        found = [output.outputs[0].logprobs[0] for output in outputs]
        return [[chances[token].logprob for token in tokens] for chances in found]

    def _run(self, rows: Sequence[Sequence[int]], **wanted: Any) -> list[Any]:
        return _load(self.engine).generate(
            [{"prompt_token_ids": list(row)} for row in rows],
            _vllm().SamplingParams(max_tokens=1, temperature=0, **wanted),
            lora_request=self._adapter(),
            use_tqdm=False,
        )

    def _adapter(self) -> Any:
        if self.adapter is None:
            return None
        from vllm.lora.request import LoRARequest

        folder = str(self.adapter)
        number = 1 + zlib.crc32(folder.encode())  # vLLM keeps adapters by number
        return LoRARequest(self.adapter.name, number, folder)


def _load(engine: Engine) -> Any:
    """vLLM with a model loaded; the one before is given up first.

    Raises:
        UsageError: vLLM cannot load it.
    """
    if engine not in _loaded:
        _loaded.clear()
        gc.collect()
        try:
            _loaded[engine] = _vllm().LLM(
                model=engine.model,
                revision=engine.revision,
                dtype=engine.dtype,
                trust_remote_code=engine.trust_remote_code,
                kv_cache_memory_bytes=CACHE_BYTES,
                **({"enable_lora": True, "max_lora_rank": RANK} if engine.adapters else {}),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(f"vLLM cannot load {engine.model!r}: {error}") from error
    return _loaded[engine]


def _vllm() -> Any:
    """The package.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import vllm
    except ImportError as error:
        raise UsageError(
            "--backend vllm needs vLLM: pip install 'progressgym[vllm]', or measure by a server: "
            f"--backend openai:http://HOST:PORT/v1. ({error})"
        ) from error
    return vllm
