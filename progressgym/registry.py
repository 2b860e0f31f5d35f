"""One registry for challenges, algorithms, corpora, their sources and benchmarks, ours and others'.

A module that registers is named in an entry point of its package (group
``progressgym.challenges``, ``progressgym.algorithms``, ``progressgym.corpora``,
``progressgym.sources`` or ``progressgym.benchmarks``) and imported when a name is first looked up.
The entry point of a challenge bears the challenge's name, so that Gymnasium can list it unimported.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import inspect
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from .environments import register_environment
from .errors import UsageError, unknown_name

if TYPE_CHECKING:
    from .algorithm import Algorithm
    from .challenge import Challenge

Kind = Literal["challenge", "algorithm", "corpus", "source", "benchmark"]
Registered = TypeVar("Registered", bound=Callable[..., Any])

_GROUPS: dict[Kind, str] = {
    "challenge": "progressgym.challenges",
    "algorithm": "progressgym.algorithms",
    "corpus": "progressgym.corpora",
    "source": "progressgym.sources",
    "benchmark": "progressgym.benchmarks",
}
_entries: dict[Kind, dict[str, Callable[..., Any]]] = {kind: {} for kind in _GROUPS}
_loaded: set[Kind] = set()
_loading = threading.RLock()


def register(kind: Kind, name: str) -> Callable[[Registered], Registered]:
    """Decorator: make a class (or reader function) available under a name.

    Raises:
        ValueError: the name is taken by something else.
    """

    def decorate(entry: Registered) -> Registered:
        known = _entries[kind].setdefault(name, entry)
        if (known.__module__, known.__qualname__) != (entry.__module__, entry.__qualname__):
            raise ValueError(f"{kind} {name!r} is registered already, by {known.__module__}")
        if kind == "challenge":
            register_environment(name)
        return entry

    return decorate


def names(kind: Kind) -> list[str]:
    """All registered names, sorted."""
    _load(kind)
    return sorted(_entries[kind])


def find(kind: Kind, name: str) -> Callable[..., Any]:
    """What is registered under a name.

    Raises:
        UsageError: nothing is; names the nearest.
    """
    _load(kind)
    if name not in _entries[kind]:
        raise unknown_name(kind, name, _entries[kind])
    return _entries[kind][name]


def match(kind: Kind, patterns: Sequence[str]) -> list[str]:
    """The names that patterns stand for, each once: ``lifelong-*``, ``*``, or a name as it is.

    Raises:
        UsageError: nothing fits; names the nearest.
    """
    found: list[str] = []
    for pattern in patterns:
        fitting = fnmatch.filter(names(kind), pattern)
        if not fitting:
            raise unknown_name(kind, pattern, names(kind))
        found += fitting
    return list(dict.fromkeys(found))


def make(name: str, **settings: Any) -> Challenge:
    """A challenge by name, e.g. ``make("follow", models="smollm2", preset="quick")``."""
    return _construct("challenge", name, settings)


def make_algorithm(name: str, **parameters: Any) -> Algorithm:
    """An algorithm by name, e.g. ``make_algorithm("lifelong-dpo", beta=0.5)``."""
    return _construct("algorithm", name, parameters)


def parameters(entry: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword parameters of a registered class, by name, with resolved annotations.

    Where an ``__init__`` takes further keywords (``**settings``), those of the next class in the
    order of inheritance that has one are its too.
    """
    if not inspect.isclass(entry):
        return _keywords(entry)[0]
    found: dict[str, inspect.Parameter] = {}
    for owner in entry.__mro__:
        if "__init__" in vars(owner):
            own, open_ended = _keywords(vars(owner)["__init__"])
            found = {**own, **found}
            if not open_ended:
                break
    return found


def _keywords(function: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], bool]:
    """A function's keyword parameters, and whether it takes others."""
    hints = get_type_hints(function)
    every = inspect.signature(function).parameters.values()
    own = {
        parameter.name: parameter.replace(annotation=hints.get(parameter.name, Any))
        for parameter in every
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.name != "self"
    }
    return own, any(parameter.kind is parameter.VAR_KEYWORD for parameter in every)


def convert(entry_name: str, parameter: inspect.Parameter, value: Any) -> Any:
    """A value in a parameter's type, from text where need be.

    Raises:
        UsageError: it has no such value.
    """
    try:
        return TypeAdapter(parameter.annotation).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise UsageError(
            f"{entry_name}: {parameter.name}={value!r} is not valid: {problem}."
        ) from None


def _construct(kind: Kind, name: str, given: dict[str, Any]) -> Any:
    entry = find(kind, name)
    known = parameters(entry)
    for key in given:
        if key not in known:
            raise unknown_name(f"parameter of {name}", key, known)
    return entry(**{key: convert(name, known[key], value) for key, value in given.items()})


def _load(kind: Kind) -> None:
    with _loading:  # a second thread waits until all are there
        if kind in _loaded:
            return
        _loaded.add(kind)  # at once: a module may look up names while it is imported
        try:
            for point in importlib.metadata.entry_points(group=_GROUPS[kind]):
                _import(point)
        except BaseException:  # an interrupted import, too, is tried again
            _loaded.discard(kind)
            raise


def _import(point: importlib.metadata.EntryPoint) -> None:
    try:
        point.load()
    except Exception as error:  # a broken plug-in must not take the others down
        if point.value.startswith("progressgym."):
            raise
        warnings.warn(f"Plug-in {point.value} failed to load: {error!r}", stacklevel=4)
