"""Imports point inward: leaderboard → progressgym ← challenges, algorithms, corpora."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from progressgym import registry

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("challenges", "algorithms", "benchmarks", "corpora", "leaderboard")


def imported(source: str, package: str) -> set[str]:
    """Absolute dotted names that a module's source may import, wherever the statement stands.

    Args:
        source: the module's text.
        package: dotted name of the package that holds the module.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            origin = ".".join([*(base if node.level else []), *filter(None, [node.module])])
            found |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
    return found


def rooms_of(names: set[str]) -> set[str]:
    """The rooms that some dotted names lie in, whether installed or by their bare folder."""
    parts = [name.removeprefix("progressgym.").split(".")[0] for name in names]
    return set(parts) & set(ROOMS)


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def rooms_imported_by(path: Path) -> set[str]:
    relative = path.relative_to(ROOT).parent.parts
    package = ".".join(relative if relative[0] == "progressgym" else ("progressgym", *relative))
    return rooms_of(imported(path.read_text(encoding="utf-8"), package))


@pytest.mark.parametrize(
    ("source", "package", "rooms"),
    [
        ("import progressgym.challenges.follow", "progressgym", {"challenges"}),
        ("from progressgym.challenges import follow", "progressgym", {"challenges"}),
        ("from progressgym import algorithms", "progressgym", {"algorithms"}),
        ("from . import corpora", "progressgym", {"corpora"}),
        ("from .leaderboard.app import main", "progressgym", {"leaderboard"}),
        ("from ..challenges import follow", "progressgym.values", {"challenges"}),
        ("from .. import challenges", "progressgym.values", {"challenges"}),
        ("def f():\n    import algorithms.lifelong as a", "progressgym", {"algorithms"}),
        ("from .challenge import Challenge", "progressgym", set()),
        ("from .algorithm import Algorithm", "progressgym", set()),
        ("from . import challenges", "progressgym.values", set()),
        ("from ..passages import Passage", "progressgym.training", set()),
    ],
)
def test_the_reader_of_imports_sees_every_way_to_write_one(
    source: str, package: str, rooms: set[str]
) -> None:
    found = imported(source, package)
    inside = {name for name in found if not name.startswith("progressgym.values.challenges")}
    assert rooms_of(inside) == rooms


@pytest.mark.parametrize("path", modules("progressgym"), ids=lambda p: str(p.relative_to(ROOT)))
def test_core_imports_no_room(path: Path) -> None:
    assert rooms_imported_by(path) == set()


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_the_core_and_themselves_only(room: str) -> None:
    paths = modules(room)
    assert paths
    for path in paths:
        assert rooms_imported_by(path) <= {room}, path


def test_only_the_models_know_that_there_is_a_trunk() -> None:
    paths = [path for folder in ("progressgym", *ROOMS) for path in modules(folder)]
    above = [p for p in paths if p.relative_to(ROOT).parts[:2] != ("progressgym", "models")]
    assert len(above) > 30
    assert [p for p in above if "trunk" in p.read_text(encoding="utf-8").lower()] == []


def test_importing_the_core_loads_no_room_before_something_is_looked_up() -> None:
    code = f"""
import sys
import progressgym as pg

def loaded():
    rooms = {ROOMS!r}
    return [m for m in sys.modules if m.removeprefix("progressgym.").split(".")[0] in rooms]

assert not loaded(), loaded()
pg.make_algorithm("frozen")
assert "progressgym.algorithms.baselines" in sys.modules, loaded()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_two_threads_that_look_something_up_first_both_find_it() -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
import progressgym as pg

with ThreadPoolExecutor(8) as pool:
    made = list(pool.map(lambda _: pg.make("follow", models="tiny").name, range(8)))
assert made == ["follow"] * 8
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_interrupted_first_look_up_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        value, loads = "progressgym.somewhere", 0

        def load(self) -> None:
            self.loads += 1
            if self.loads == 1:
                raise KeyboardInterrupt

    point = Point()
    monkeypatch.setattr(registry, "_loaded", set())
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: [point])
    with pytest.raises(KeyboardInterrupt):
        registry.names("corpus")
    registry.names("corpus")
    registry.names("corpus")
    assert point.loads == 2
