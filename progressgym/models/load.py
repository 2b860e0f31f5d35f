"""From names to models: the one place where a base, an era or an adapter is loaded."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from ..errors import UsageError
from ..storage import sha256_file, sha256_json
from ..timeline import Era, Loading, Timeline
from .backbone import AdapterShape, Backbone
from .fetch import GGUF_SHA256, fetch_smollm2
from .policy import Policy
from .tiny import tiny_backbone, tiny_era_weights


@lru_cache(maxsize=4)
def load_backbone(name: str, loading: Loading = Loading()) -> Backbone:  # noqa: B008, frozen
    """A base by name (``smollm2``, ``tiny``), model folder or hub id; loaded once a process.

    Args:
        name: of the base.
        loading: precision and placement of a folder or hub id.

    Raises:
        UsageError: a folder or hub id that transformers cannot load as a causal language model.
    """
    if name == "tiny":
        return tiny_backbone()
    if name == "smollm2":
        return _load(str(fetch_smollm2()), "smollm2", GGUF_SHA256, Loading())
    return _load(name, name, _fingerprint(Path(name), loading), loading)


def base_policy(timeline: Timeline) -> Policy:
    """The base model that all eras of a timeline share."""
    return Policy(load_backbone(_resolve(timeline, timeline.base), timeline.loading))


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
        backbone = load_backbone(_resolve(timeline, era.model), timeline.loading)
        return Policy(backbone, None, era.name, base)
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
        return Policy(load_backbone(reference, timeline.loading), None, folder.name)
    timeline.index(reference)  # raises, naming the nearest era
    raise AssertionError("unreachable")


def _resolve(timeline: Timeline, model: str) -> str:
    """A built-in base, or a path relative to the timeline's file if it exists, or a hub id."""
    if model in ("smollm2", "tiny"):
        return model
    local = timeline.folder / model
    return str(local) if local.exists() else model


def _load(source: str, name: str, fingerprint: str, loading: Loading) -> Backbone:
    revision = None if Path(source).is_dir() else loading.revision
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        model = AutoModelForCausalLM.from_pretrained(
            source, revision=revision, attn_implementation="sdpa", **_placement(loading)
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot load a language model from {source!r}: {error}") from error
    layers = model.config.num_hidden_layers
    return Backbone(
        model, tokenizer, name, fingerprint, AdapterShape(top_layers=max(1, layers // 3))
    )


def _placement(loading: Loading) -> dict[str, Any]:
    """transformers' arguments: precision, devices, quantisation.

    Raises:
        UsageError: quantisation without bitsandbytes.
    """
    cuda = torch.cuda.is_available()
    dtype = ("bfloat16" if cuda else "float32") if loading.dtype == "auto" else loading.dtype
    placed: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    placed["device_map"] = loading.device_map or ("cuda" if cuda else "cpu")
    if loading.quantization is None:
        return placed
    if find_spec("bitsandbytes") is None:
        raise UsageError(
            "quantization needs bitsandbytes: pip install 'progressgym[quantization]', or leave it "
            "out of the timeline's file."
        )
    four = loading.quantization == "4bit"
    placed["quantization_config"] = BitsAndBytesConfig(
        load_in_4bit=four, load_in_8bit=not four, bnb_4bit_compute_dtype=placed["dtype"]
    )
    return placed


def _fingerprint(folder: Path, loading: Loading) -> str:
    """sha256 over a model folder's weights and how they are loaded; a hub id stands for itself."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    origin: list[str] = [sha256_file(path) for path in files] or [str(folder)]
    if loading != Loading():
        origin.append(loading.model_dump_json())
    return sha256_json(origin)
