"""Stand-ins: timelines whose models are minute and random, but read the real tokens."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from transformers import (
    AutoConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from ..errors import UsageError
from ..timeline import Timeline
from .backbone import AdapterShape
from .load import base_source, tokenizer_of
from .tiny import SHAPE, tiny_backbone

WIDTH, LAYERS = 32, 2


def without_weights(
    timeline: Timeline,
) -> tuple[PretrainedConfig, AdapterShape, PreTrainedTokenizerBase]:
    """Configuration, adapters' shape and tokenizer of a timeline's base; no weights are loaded.

    Raises:
        UsageError: transformers finds none, or knows no such model.
    """
    source, loading = base_source(timeline), timeline.loading
    if source.place == "tiny":
        tiny = tiny_backbone()
        return tiny.model.config, SHAPE, tiny.tokenizer
    place = source.path
    try:
        config = AutoConfig.from_pretrained(
            place, revision=source.revision, trust_remote_code=loading.trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot load the configuration of {place!r}: {error}") from error
    return config, AdapterShape.of(config.num_hidden_layers), tokenizer_of(source, loading)


def stand_in(
    timeline: Timeline,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    width: int = WIDTH,
    layers: int = LAYERS,
) -> Path:
    """Write a timeline with the same eras and tokens, whose models cost next to nothing.

    What has a model of its own in the timeline has one here, and what has an adapter an adapter.

    Args:
        timeline: that it stands for.
        tokenizer: of its base.
        folder: to write into.
        width: of the models' states.
        layers: of the models.

    Returns:
        Its YAML file, in ``folder``.
    """
    names = dict.fromkeys([timeline.base, *(era.model for era in timeline.eras if era.model)])
    folders = {name: f"model-{number}" for number, name in enumerate(names)}
    for number, name in enumerate(folders.values()):
        _model(len(tokenizer), width, layers, number).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    last = len(timeline.eras) - 1
    eras = [
        {
            **era.model_dump(include={"name", "first_year", "last_year"}),
            **({"model": folders[era.model]} if era.model else {"adapter": f"tiny:{n / last}"}),
        }
        for n, era in enumerate(timeline.eras)
    ]
    path = folder / "timeline.yaml"
    entries = {"name": timeline.name, "base": folders[timeline.base], "eras": eras}
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    return path


def _model(vocabulary: int, width: int, layers: int, seed: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        max_position_embeddings=8192,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
