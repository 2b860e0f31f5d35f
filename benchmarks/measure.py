"""Nine eras' value vectors against lm-evaluation-harness, and against the machine's GEMM peak."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from progressgym.benchmark import Outcome, Progress, timed
from progressgym.cli.console import quiet_libraries
from progressgym.errors import UsageError
from progressgym.models import Policy, era_policy
from progressgym.models.fetch import fetch_smollm2
from progressgym.models.packing import can_pack, packed, product
from progressgym.registry import register
from progressgym.timeline import Timeline
from progressgym.values.forms import FORMS
from progressgym.values.instruments import read_items, sentence
from progressgym.values.scenarios import ScenarioBank, shipped_bank

ITEMS = 10  # acts a dimension and polarity: the preset `quick`
BATCH_SIZES = (8, 16, 32, 64)  # the harness gets the best of these
TURN = 3  # eras that each side measures before the other has its turn
COMPARED = 24  # sentences whose log-probabilities are compared word by word


@register("benchmark", "measure")
def measure(progress: Progress = lambda text: None) -> Outcome:
    """Nine-era value vectors against lm-evaluation-harness on the same items.

    The harness is its own ``hf`` model with ``logits_cache``, on nine checkpoints merged
    beforehand, at its best batch size, in a process of its own: neither side works in a memory
    that the other has stirred up. Loading and merging are timed on neither side; the two take
    turns of three eras, so that a drift of the machine's speed meets both.
    """
    timeline = Timeline.load("smollm2")
    policies = [era_policy(timeline, era) for era in timeline.eras]
    bank = shipped_bank().split("probe").first(ITEMS)
    asked = _questions(bank)
    flops = _useful_flops(policies[0], sorted({text for text, _ in asked}))
    ours = harness = used = error = 0.0
    possible = np.zeros(2)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _quiet) as apart:
        progress("choosing the harness's batch size")
        batch = apart.submit(_best_batch, timeline, asked[: len(asked) // 8]).result()
        for turn in range(0, len(policies), TURN):
            numbers = range(turn, min(turn + TURN, len(policies)))
            scores = {}
            for number in numbers:
                progress(f"{policies[number].name}: the harness")
                seconds, answers = apart.submit(_ask_era, timeline, number, batch, asked).result()
                scores[number] = answers
                harness += seconds
            for number in numbers:
                progress(f"{policies[number].name}: ours")
                peaks = gemm_peaks()
                start = time.perf_counter()
                items = read_items(policies[number], bank)
                seconds = time.perf_counter() - start
                ours += seconds
                possible = possible + seconds * (peaks + gemm_peaks()) / 2
                used += flops["era"] + (flops["once"] if number == 0 else 0)
                error = max(error, _error(policies[number], bank, items, asked, scores[number]))
    return Outcome(
        figures={
            "measure_speedup": harness / ours,
            "measure_max_logprob_error": error,
            "gemm_share": used / possible[0],
            "gemm_share_onednn": used / possible[1],
        },
        details={
            "measure_seconds": ours,
            "harness_seconds": harness,
            "harness_batch_size": batch,
            "eras": len(policies),
            "scenarios": len(bank),
            "prompts": len({text for text, _ in asked}),
            "gemm_gflops": possible[0] / ours / 1e9,
            "onednn_gflops": possible[1] / ours / 1e9,
            "useful_gflop": used / 1e9,
        },
    )


def _questions(bank: ScenarioBank) -> list[tuple[str, str]]:
    """Every sentence with every word that is read after it."""
    asked: dict[tuple[str, str], None] = {}
    for scenario in bank:
        form = FORMS[scenario.form]
        texts = [sentence(f, scenario.text) for f in form.frames] + [sentence(b) for b in form.bare]
        asked |= {(t, f" {word}"): None for t in texts for words in form.words for word in words}
    return sorted(asked)


def _merged(timeline: Timeline, number: int) -> Any:
    """An era's checkpoint as a stock model, its adapter merged into the weights."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(fetch_smollm2(), dtype=torch.float32)
    adapter = timeline.folder / str(timeline.eras[number].adapter)
    return PeftModel.from_pretrained(base, str(adapter)).merge_and_unload().eval()


def _harness(model: Any, batch: int) -> Any:
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise UsageError(
            "This benchmark compares with lm-evaluation-harness: pip install 'progressgym[bench]'."
        ) from error
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(fetch_smollm2())
    return HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=batch, max_length=256,
        device=str(model.device), logits_cache=True,
    )  # fmt: skip


def _ask(model: Any, asked: Sequence[tuple[str, str]]) -> list[float]:
    from lm_eval.api.instance import Instance

    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(asked)]
    return [score for score, _ in model.loglikelihood(requests, disable_tqdm=True)]


def _quiet() -> None:
    """In the harness's process: the output of this one is for figures alone."""
    sys.stdout = sys.stderr
    quiet_libraries()


def _ask_era(
    timeline: Timeline, number: int, batch: int, asked: Sequence[tuple[str, str]]
) -> tuple[float, list[float]]:
    """Seconds that the harness takes for an era, and its answers."""
    model = _harness(_merged(timeline, number), batch)
    start = time.perf_counter()
    scores = _ask(model, asked)
    return time.perf_counter() - start, scores


def _best_batch(timeline: Timeline, asked: Sequence[tuple[str, str]]) -> int:
    """The harness's fastest batch size."""
    model = _merged(timeline, 0)
    seconds = {
        size: min(timed(partial(_ask, _harness(model, size), asked)) for _ in range(2))
        for size in BATCH_SIZES
    }
    return min(seconds, key=lambda size: seconds[size])


def _error(
    policy: Policy,
    bank: ScenarioBank,
    items: np.ndarray,
    asked: Sequence[tuple[str, str]],
    scores: Sequence[float],
) -> float:
    """Largest difference from the harness: of an item's log-odds, or of a log-probability."""
    known = dict(zip(asked, scores, strict=True))

    def stance(text: str, words: Sequence[tuple[str, str]]) -> float:
        odds = [known[text, f" {praise}"] - known[text, f" {blame}"] for praise, blame in words]
        return float(np.mean(odds))

    expected = np.array(
        [
            [
                stance(sentence(frame, s.text), form.words) - stance(sentence(bare), form.words)
                for frame, bare in zip(form.frames, form.bare, strict=True)
            ]
            for s in bank
            for form in [FORMS[s.form]]
        ]
    )
    texts = sorted({text for text, _ in asked})
    chosen = set(texts[:: len(texts) // COMPARED + 1])
    pairs = [pair for pair in asked if pair[0] in chosen]
    ours = policy.logprobs([text for text, _ in pairs], [word for _, word in pairs]).numpy()
    theirs = np.array([known[pair] for pair in pairs])
    return float(max(np.abs(items - expected).max(), np.abs(ours - theirs).max()))


def gemm_peaks(seconds: float = 0.15) -> np.ndarray:
    """The best sustained rates of fp32 matrix products on this machine now, in FLOP/s.

    Returns:
        PyTorch's own product, and the better of it and oneDNN's; in the model's shapes or in
        large squares, whichever is faster.
    """
    own, best = 0.0, 0.0
    for rows, inner, columns in ((1024, 576, 1536), (1024, 1536, 576), (2048, 2048, 2048)):
        first, second = torch.randn(rows, inner), torch.randn(columns, inner)
        flops = 2 * rows * inner * columns
        own = max(own, flops / _sustained(nn.functional.linear, first, second, seconds))
        if can_pack(second):
            best = max(best, flops / _sustained(product, first, packed(second), seconds))
    return np.array([own, max(own, best)])


def _sustained(task: Callable[..., object], first: object, second: object, seconds: float) -> float:
    """Median seconds of a product that is repeated for a while."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        times.append(timed(lambda: task(first, second)))
    return float(np.median(times))


def _useful_flops(policy: Policy, texts: Sequence[str]) -> dict[str, float]:
    """What has to be computed at the least, counted from the prompts alone.

    Each distinct beginning of a prompt once; in the last layer keys and values everywhere, the
    rest after whole prompts; of the head only the words that are read.

    Returns:
        ``once``: in the layers that all eras share; ``era``: for each era.
    """
    rows = policy.encode(list(texts))
    depths = [
        len(beginning) for beginning in {tuple(r[: i + 1]) for r in rows for i in range(len(r))}
    ]
    tokens, ends = len(depths), len(rows)
    config = policy.backbone.model.config
    size, wide, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    narrow = size * config.num_key_value_heads // config.num_attention_heads
    keys, rest = 2 * size * narrow, 2 * size * size + 3 * size * wide
    attention = 4 * size * sum(depths)
    layer = 2 * tokens * (keys + rest) + attention
    words = len({w for form in FORMS.values() for pair in form.words for w in pair})
    last = 2 * tokens * keys + 2 * ends * rest + attention * ends / tokens
    upper = policy.backbone.shape.top_layers
    return {
        "once": layer * (layers - upper),
        "era": layer * (upper - 1) + last + 2 * ends * size * words,
    }
