"""What gets installed and run: all of it locked, all of it free, nothing from a model's folder."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_models import random_llama

from progressgym.errors import UsageError
from progressgym.models import load_model
from progressgym.timeline import Timeline

ROOT = Path(__file__).parents[1]
SOURCES = (
    "progressgym",
    "challenges",
    "algorithms",
    "corpora",
    "docs",
    "leaderboard",
    "benchmarks",
)
EXTRAS = ("dev", "bench", "corpora", "docs", "leaderboard", "quantization", "ray")

FREE = (
    "0BSD", "Apache", "BSD", "BSL-1.0", "CC0-1.0", "CNRI-Python", "HPND", "ISC", "LLVM-exception",
    "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "Mozilla Public License 2.0", "PSF-2.0",
    "Python Software Foundation", "Unlicense", "Zlib",
)  # fmt: skip
"""Licences that ask for no more than notices, or for changes to their own files (MPL)."""

EXCEPTIONS: dict[str, str] = {}
"""A distribution with another licence → why it can be used all the same."""


def locked() -> dict[str, str]:
    """Distribution → version, from the constraints."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def required() -> dict[str, importlib.metadata.Distribution | None]:
    """All that `pip install progressgym[…]` brings; None for what is not installed here."""
    found: dict[str, importlib.metadata.Distribution | None] = {}
    seen = set()
    waiting = [("progressgym", EXTRAS)]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
            continue
        for line in distribution.requires or []:
            wanted = Requirement(line)
            marker = wanted.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
                waiting.append((canonicalize_name(wanted.name), tuple(sorted(wanted.extras))))
    del found["progressgym"]
    return found


def test_everything_that_gets_installed_is_locked() -> None:
    needed, versions = required(), locked()
    assert len(needed) > 80
    assert sorted(set(needed) - set(versions)) == []
    other = {
        name: (found.version, versions[name])
        for name, found in needed.items()
        if found is not None and found.version.split("+")[0] != versions[name]
    }
    assert other == {}  # the tests speak for the locked versions only


def licence(distribution: importlib.metadata.Distribution) -> str:
    """What a distribution says of its licence, in the newest way that it says it."""
    about = distribution.metadata
    if expression := about.get("License-Expression"):
        return expression
    named = [c.split(" :: ")[-1] for c in about.get_all("Classifier", []) if "License ::" in c]
    return " OR ".join(named) or (about.get("License") or "unknown").split("\n")[0]


def test_every_licence_is_free() -> None:
    installed = {name: found for name, found in required().items() if found is not None}
    known = {name: licence(found) for name, found in installed.items()}
    strange = {name: text for name, text in known.items() if not is_free(text)}
    assert strange.keys() == EXCEPTIONS.keys() & known.keys(), strange


def is_free(text: str) -> bool:
    """Is every part of a licence's name, or one of its alternatives, among the free ones?"""
    plain = text.replace("(", " ").replace(")", " ")
    return any(
        all(any(name in part for name in FREE) for part in re.split(r"\bAND\b|\bWITH\b", choice))
        for choice in re.split(r"\bOR\b", plain)
    )


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("MIT", True),
        ("GPL-3.0-or-later", False),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-only OR MIT", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("unknown", False),
    ],
)
def test_licences_are_told_apart(text: str, free: bool) -> None:
    assert is_free(text) == free


def calls() -> Iterator[tuple[str, ast.Call]]:
    """All calls in our code, with their places."""
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_no_call_runs_what_a_file_says_unless_a_timeline_allows_it() -> None:
    asked = {"loading.trust_remote_code", "engine.trust_remote_code"}  # what a timeline says
    forbidden = {"eval", "exec", "pickle.load", "pickle.loads", "torch.load", "yaml.load"}
    places = [place for place, node in calls() if ast.unparse(node.func) in forbidden]
    for place, node in calls():
        for keyword in node.keywords:
            value = ast.unparse(keyword.value)
            allowed = {"False", *(asked if keyword.arg == "trust_remote_code" else ())}
            if keyword.arg in ("trust_remote_code", "allow_pickle", "shell"):
                places += [place] if value not in allowed else []
    assert places == []


def test_code_in_a_models_folder_is_not_run(small: Timeline, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    random_llama(folder, seed=0)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    config = folder / "config.json"
    kinds = '"auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}'
    text = config.read_text().replace('"model_type": "llama"', '"model_type": "evil"')
    config.write_text(text.replace("{", "{" + kinds + ",", 1))
    with pytest.raises(UsageError, match="not run unless"):
        load_model(str(folder), small)
    assert not (tmp_path / "ran").exists()
