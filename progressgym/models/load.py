"""From names to models: the one place where a base, an era or an adapter is loaded."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ..errors import UsageError
from ..storage import sha256_file, sha256_json
from ..timeline import Era, Timeline
from .backbone import AdapterShape, Backbone
from .fetch import GGUF_SHA256, fetch_smollm2
from .policy import Policy
from .tiny import tiny_backbone, tiny_era_weights


@lru_cache(maxsize=4)
def load_backbone(name: str) -> Backbone:
    """A base by name (``smollm2``, ``tiny``), model folder or hub id; loaded once a process.

    Raises:
        UsageError: a folder or hub id that transformers cannot load as a causal language model.
    """
    if name == "tiny":
        return tiny_backbone()
    if name == "smollm2":
        return _load(str(fetch_smollm2()), "smollm2", GGUF_SHA256)
    return _load(name, name, _folder_fingerprint(Path(name)))


def base_policy(timeline: Timeline) -> Policy:
    """The base model that all eras of a timeline share."""
    return Policy(load_backbone(_resolve(timeline, timeline.base)))


def tokenizer_json(timeline: Timeline) -> str:
    """The tokenizer of a timeline's base, in the format of ``tokenizers``; loads no weights.

    Raises:
        UsageError: transformers finds none, or a slow one.
    """
    name = _resolve(timeline, timeline.base)
    if name == "tiny":
        return tiny_backbone().tokenizer.backend_tokenizer.to_str()
    source = str(fetch_smollm2()) if name == "smollm2" else name
    try:
        return AutoTokenizer.from_pretrained(source).backend_tokenizer.to_str()
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"Cannot load a fast tokenizer from {source!r}: {error}") from error


@lru_cache(maxsize=64)
def era_policy(timeline: Timeline, era: Era) -> Policy:
    """The model that stands for the people of an era; shared, so copy it before training it.

    Raises:
        UsageError: its adapter or model is missing or does not fit.
    """
    base = base_policy(timeline)
    if era.model:
        return Policy(load_backbone(_resolve(timeline, era.model)), None, era.name, base)
    if era.adapter is None:
        raise UsageError(f"Era {era.name} of {timeline.name} names neither model nor adapter.")
    if era.adapter.startswith("tiny:"):
        position = float(era.adapter.removeprefix("tiny:"))
        return Policy(base.backbone, tiny_era_weights(base.backbone, position), era.name)
    folder = timeline.folder / era.adapter
    return Policy(base.backbone, base.backbone.load_weights(folder), era.name)


def load_model(reference: str, timeline: Timeline) -> Policy:
    """A model as people name it: an era, ``base``, an adapter folder, a model folder or hub id."""
    if reference in {era.name for era in timeline.eras}:
        return era_policy(timeline, timeline.eras[timeline.index(reference)])
    if reference == "base":
        return base_policy(timeline)
    folder = Path(reference)
    if (folder / "adapter_model.safetensors").is_file():
        backbone = base_policy(timeline).backbone
        return Policy(backbone, backbone.load_weights(folder), folder.name)
    if folder.is_dir() or "/" in reference:
        return Policy(load_backbone(reference), None, folder.name)
    timeline.index(reference)  # raises, naming the nearest era
    raise AssertionError("unreachable")


def _resolve(timeline: Timeline, model: str) -> str:
    """A built-in base, or a path relative to the timeline's file if it exists, or a hub id."""
    if model in ("smollm2", "tiny"):
        return model
    local = timeline.folder / model
    return str(local) if local.exists() else model


def _load(source: str, name: str, fingerprint: str) -> Backbone:
    cuda = torch.cuda.is_available()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=torch.bfloat16 if cuda else torch.float32,
            attn_implementation="sdpa",
        ).to("cuda" if cuda else "cpu")
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot load a language model from {source!r}: {error}") from error
    layers = model.config.num_hidden_layers
    return Backbone(
        model, tokenizer, name, fingerprint, AdapterShape(top_layers=max(1, layers // 3))
    )


def _folder_fingerprint(folder: Path) -> str:
    """sha256 over the weight files of a model folder; a hub id stands for itself."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    return sha256_json([sha256_file(path) for path in files] or str(folder))
