"""Shared fixtures: a cache of one's own and a small timeline of tiny models."""

from __future__ import annotations

from pathlib import Path

import pytest

from progressgym.timeline import Timeline

pytest_plugins = ["board_fixtures"]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep test measurements out of the user's cache; `real` tests set it back."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PROGRESSGYM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def small_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A timeline file of three eras on the tiny base."""
    path = tmp_path_factory.mktemp("timeline") / "small.yaml"
    path.write_text(
        "name: small\nbase: tiny\neras:\n"
        "  - {name: early, first_year: 1201, last_year: 1300, adapter: 'tiny:0'}\n"
        "  - {name: middle, first_year: 1301, last_year: 1400, adapter: 'tiny:0.5'}\n"
        "  - {name: late, first_year: 1401, last_year: 1500, adapter: 'tiny:1'}\n"
    )
    return path


@pytest.fixture(scope="session")
def small(small_yaml: Path) -> Timeline:
    """The same, loaded."""
    return Timeline.load(small_yaml)


@pytest.fixture(scope="session")
def small_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of three works in each of three centuries."""
    texts = tmp_path_factory.mktemp("texts")
    rows = [
        "file,source,source_id,title,author,creation_year,original_language,translation_year,genre"
    ]
    sentences = (
        "The king of the land {} that the people of the town had paid their debt to him. ",
        "When it was day the bishop {} how all his books were by now in the hands of thieves. ",
        "A merchant {} to his son of the ships which would come home with salt and silk. ",
    )
    for century, verb in ((1250, "said"), (1350, "knew"), (1450, "wrote")):
        for number, sentence in enumerate(sentences):
            name = f"{century}-{number}.txt"
            body = "\n\n".join(sentence.format(f"{verb} {i} times") * 12 for i in range(12))
            (texts / name).write_text(body)
            rows.append(f"{name},test,{name},Work {name},anonymous,{century},en,,nonfiction")
    (texts / "catalog.csv").write_text("\n".join(rows) + "\n")
    return texts
