"""Backends: where the models run that are only read, the humans and what they are relative to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UsageError, unknown_name
from ..timeline import Era, Timeline
from .language import LanguageModel
from .load import (
    Source,
    base_policy,
    base_source,
    era_fingerprint,
    era_policy,
    era_source,
    load_model,
    tokenizer_of,
)
from .served import Reader, ServedModel, ServerReader
from .server import Server
from .vllm_engine import Engine, VllmReader


class Backend:
    """This process: humans are policies, on the base that they share where they are adapters."""

    name = "local"

    def base(self, timeline: Timeline) -> LanguageModel:
        """The base of a timeline."""
        return base_policy(timeline)

    def era(self, timeline: Timeline, era: Era) -> LanguageModel:
        """The model that stands for the people of an era."""
        return era_policy(timeline, era)

    def named(self, reference: str, timeline: Timeline) -> LanguageModel:
        """A model as people name it; here also an adapter folder, a model folder or a hub id."""
        return load_model(reference, timeline)

    def manifest(self, timeline: Timeline) -> dict[str, Any]:
        """Hashes of the models of a timeline, and the commits of those from a hub.

        ``base_sha256`` is that of the base here, which the policy is trained on wherever the
        humans run.
        """
        sources = {"base": base_source(timeline)}
        sources |= {era.name: s for era in timeline.eras if (s := era_source(timeline, era))}
        revisions = {name: str(source) for name, source in sources.items() if source.revision}
        return {
            "base_sha256": sources["base"].fingerprint,
            "humans_sha256": {e.name: self.fingerprint(timeline, e) for e in timeline.eras},
            **({"revisions": revisions} if revisions else {}),
        }

    def fingerprint(self, timeline: Timeline, era: Era) -> str:
        """sha256 that stands for an era's model."""
        return era_fingerprint(timeline, era)


class Elsewhere(Backend):
    """Models that run in a server or in another engine."""

    def __init__(self) -> None:
        self._known: dict[tuple[Timeline, str], ServedModel] = {}

    def base(self, timeline: Timeline) -> ServedModel:
        """The base of a timeline."""
        return self._model(timeline, None)

    def era(self, timeline: Timeline, era: Era) -> ServedModel:
        """The model that stands for the people of an era."""
        return self._model(timeline, era)

    def named(self, reference: str, timeline: Timeline) -> ServedModel:
        """An era or the base."""
        if reference == "base":
            return self.base(timeline)
        return self.era(timeline, timeline.eras[timeline.index(reference)])

    def fingerprint(self, timeline: Timeline, era: Era) -> str:
        """sha256 of what an era's model says."""
        return self.era(timeline, era).fingerprint

    def manifest(self, timeline: Timeline) -> dict[str, Any]:
        """The same, and how the models are called there."""
        models = {era.name: self.called(timeline, era) for era in timeline.eras}
        named = {"name": self.name, "models": {"base": self.called(timeline, None), **models}}
        return {**super().manifest(timeline), "backend": named}

    def called(self, timeline: Timeline, era: Era | None) -> str:
        """The name of an era's model there, or of the base's."""
        raise NotImplementedError

    def reader(self, timeline: Timeline, era: Era | None) -> Reader:
        """How an era's model is read, or the base."""
        raise NotImplementedError

    def _model(self, timeline: Timeline, era: Era | None) -> ServedModel:
        key = timeline, era.name if era else "base"
        if key not in self._known:
            source = era and era_source(timeline, era)
            self._known[key] = ServedModel(
                key[1],
                tokenizer_of(source or base_source(timeline), timeline.loading),
                self.reader(timeline, era),
                (lambda: self.base(timeline)) if era else None,
            )
        return self._known[key]


class OpenAIServers(Elsewhere):
    """OpenAI-compatible servers, each of which says which models it has.

    An era's model is called there as the era, or as the model or adapter in the timeline's file;
    the base as in that file, or ``base``.
    """

    name = "openai"

    def __init__(self, urls: str) -> None:
        super().__init__()
        self.servers = [Server(url.strip()) for url in urls.split(",")]

    def called(self, timeline: Timeline, era: Era | None) -> str:
        """The first of its names that a server knows."""
        return self._find(timeline, era)[1]

    def reader(self, timeline: Timeline, era: Era | None) -> ServerReader:
        """The server that has it."""
        return ServerReader(*self._find(timeline, era))

    def _find(self, timeline: Timeline, era: Era | None) -> tuple[Server, str]:
        names = (era.name, era.model) if era else (timeline.base, "base")
        for server in self.servers:
            for name in names:
                if name in server.models:
                    return server, name
        known = "; ".join(f"{s.url}: {', '.join(s.models) or 'none'}" for s in self.servers)
        raise UsageError(
            f"No server has a model called {' or '.join(filter(None, names))} ({known}). Start it "
            f"with vllm serve … --served-model-name {names[0]}, or an adapter with --lora-modules."
        )


class Vllm(Elsewhere):
    """vLLM in this process, one engine at a time; adapters of one base share theirs."""

    name = "vllm"

    def called(self, timeline: Timeline, era: Era | None) -> str:
        """What is loaded."""
        source, adapter = self._parts(timeline, era)
        return f"{source} + {adapter.name}" if adapter else str(source)

    def reader(self, timeline: Timeline, era: Era | None) -> VllmReader:
        """An engine that is not loaded yet."""
        source, adapter = self._parts(timeline, era)
        place = source.path
        loading = timeline.loading
        adapters = any(other.adapter for other in timeline.eras) and not (era and era.model)
        dtype = loading.dtype if place == source.place else "float32"
        engine = Engine(place, source.revision, dtype, loading.trust_remote_code, adapters)
        return VllmReader(engine, adapter)

    def _parts(self, timeline: Timeline, era: Era | None) -> tuple[Source, Path | None]:
        source = (era and era_source(timeline, era)) or base_source(timeline)
        if source.place == "tiny":
            raise UsageError("--backend vllm reads models from folders or a hub; tiny has neither.")
        if era is None or era.model:
            return source, None
        return source, (timeline.folder / (era.adapter or "")).resolve()


def open_backend(name: str | None) -> Backend:
    """A backend by name: ``local`` (or None), ``vllm``, or ``openai:URL[,URL…]``.

    Raises:
        UsageError: there is no such backend, no address, or no vLLM.
    """
    kind, _, urls = (name or "local").partition(":")
    if kind == "openai":
        if not urls:
            raise UsageError("--backend openai needs an address: openai:http://HOST:PORT/v1.")
        return OpenAIServers(urls)
    known = {"local": Backend, "vllm": Vllm}
    if kind not in known or urls:
        raise unknown_name("backend", name or "", [*known, "openai:URL"])
    return known[kind]()
