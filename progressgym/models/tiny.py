"""A random two-layer Llama with its own tokenizer: every part real, small enough for tests."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ..values.forms import evaluative_words
from .backbone import AdapterShape, Backbone, Weights, fitting_device

TINY_FINGERPRINT = "tiny-v1"
SHAPE = AdapterShape(rank=4, alpha=8, top_layers=1)
_ADAPTER_SCALE = 0.6


def tiny_backbone() -> Backbone:
    """The base of the ``tiny`` timeline. Deterministic; built in a fraction of a second."""
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            # Initial weights are so small that every model would answer alike; make them speak.
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    parameter.mul_(6.0)
    model.to(fitting_device())
    return Backbone(model, tokenizer, "tiny", TINY_FINGERPRINT, SHAPE)


def tiny_era_weights(backbone: Backbone, position: float) -> Weights:
    """Adapter of the era at ``position`` in 0 … 1: eras lie along one smooth random path."""
    start, end = backbone.fresh_weights(seed=1), backbone.fresh_weights(seed=1)
    generator = torch.Generator().manual_seed(2)
    for name in start:
        if "lora_B" in name:
            ends = torch.randn(2, *start[name].shape, generator=generator) * _ADAPTER_SCALE
            start[name], end[name] = (ends[i].to(start[name]) for i in (0, 1))
    return {name: (1 - position) * start[name] + position * end[name] for name in start}


def _tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE that keeps the evaluative words whole, as large tokenizers do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = [f"it is {word} to be {word}" for word in evaluative_words()] * 4
    tokenizer.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
