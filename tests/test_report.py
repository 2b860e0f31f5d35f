"""The report page, of small results with random item matrices."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from progressgym import plots
from progressgym.errors import UsageError
from progressgym.report import Report
from progressgym.results import RunResult, RunSpec, Step
from progressgym.values.dimensions import DIMENSIONS, title

ERAS = ("C013", "C014", "C015")
SCENARIOS = [(f"{d}-{i}", {d: 1 if i % 2 else -1}) for d in DIMENSIONS for i in range(8)]
CONSTANT = 0
"""Index of a dimension in which the human never changes."""


def make_result(
    algorithm: str = "lifelong-dpo", seed: int = 0, cheats: bool = False, **spec: object
) -> RunResult:
    """A human whose stances drift, except in one dimension, and a policy half-way behind."""
    labels = np.array([sum(label.values()) for _, label in SCENARIOS])[:, None]
    drift = np.repeat([i != CONSTANT for i in range(len(DIMENSIONS))], 8)[:, None]
    start = np.random.default_rng(7).normal(size=(len(SCENARIOS), 2))
    noise = np.random.default_rng(seed).normal(scale=0.01, size=start.shape)
    steps = [
        Step(
            era=era,
            target=era,
            policy_items=(start + 0.3 * step * drift * labels + noise).tolist(),
            target_items=(start + 0.6 * step * drift * labels).tolist(),
            reward=0.0,
            questions=100,
            seconds=1.5,
        )
        for step, era in enumerate(ERAS)
    ]
    return RunResult(
        spec=RunSpec(challenge="follow", algorithm=algorithm, seed=seed, **spec),
        cheats=cheats,
        manifest={"packages": {"numpy": "2"}, "base_sha256": "abc"},
        scenarios=SCENARIOS,
        frames=["one", "two"],
        initial_items=start.tolist(),
        steps=steps,
    )


class Page(HTMLParser):
    """What a browser would see: tags with attributes, and the text outside of scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    results = [make_result(), make_result(seed=1), make_result("oracle", cheats=True)]
    return Page(Report(results).write(tmp_path_factory.mktemp("report") / "new" / "page.html"))


def test_page_is_self_contained(page: Page) -> None:
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action"):
            assert name not in attributes
    policies = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policies
    assert policies[0].startswith("default-src 'none'")
    assert sum(len(script) > 1_000_000 for script in page.scripts) == 1
    assert "".join(page.scripts).count(get_plotlyjs()[:80]) == 1


def test_every_dimension_and_era_appears(page: Page) -> None:
    for name in (*map(title, DIMENSIONS), *ERAS):
        assert name in page.texts
    parts = {a["data-part"] for t, a in page.tags if "data-part" in a}
    assert parts >= set(DIMENSIONS)


def test_every_place_for_a_figure_has_one_for_every_run(page: Page) -> None:
    runs = [a["value"] for t, a in page.tags if t == "option"]
    assert len(runs) == 3
    figures = page.scripts[0]
    for _, attributes in page.tags:
        if attributes.get("data-part"):
            for run in runs:
                assert f'"{run}-{attributes["data-part"]}":' in figures


def test_undefined_skills_are_shown_as_such(page: Page) -> None:
    assert make_result().compute_scores().skill_by_dimension[DIMENSIONS[CONSTANT]] is None
    assert plots.INDISTINCT == "cannot tell eras apart"
    assert page.texts.count(plots.INDISTINCT) == 2  # one cell for each of the two algorithms
    assert "undefined" in page.texts  # the first era, in which the human is the frozen policy's


def test_seeds_are_averaged_and_cheats_marked(page: Page) -> None:
    assert "0, 1" in page.texts
    assert "cheats" in page.texts
    hovers = [a["title"] or "" for _, a in page.tags if "title" in a]
    assert any("seed 0:" in hover and "seed 1:" in hover for hover in hovers)


def test_names_are_escaped(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)></script>&"
    result = make_result(evil, parameters={evil: evil}, settings={"models": evil})
    for step in result.steps:
        step.era = step.target = f"{step.era}{evil}"
    result.manifest[evil] = evil
    page = Page(Report([result]).write(tmp_path / "page.html"))
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert sum(tag == "script" for tag, _ in page.tags) == 3
    assert evil in page.text
    assert not re.search(r"<(?!\d)", page.scripts[0])


def test_dimensions_outside_the_bank_are_named(tmp_path: Path) -> None:
    result = make_result()
    result.scenarios = [
        (name, {k: v for k, v in label.items() if k != "deceive"}) for name, label in SCENARIOS
    ]
    page = Page(Report([result]).write(tmp_path / "page.html"))
    assert plots.UNCOVERED in page.texts
    assert "NaN" not in page.scripts[0]


def test_runs_that_cannot_be_compared_are_apart(tmp_path: Path) -> None:
    results = [
        make_result(settings={"preset": "quick"}),
        make_result(settings={"preset": "full"}),
        make_result(settings={"preset": "full"}, parameters={"beta": 0.1}),
        make_result(settings={"preset": "full"}, parameters={"beta": 0.7}),
    ]
    page = Page(Report(results).write(tmp_path / "page.html"))
    assert {"follow (preset=quick)", "follow (preset=full)"} <= set(page.texts)
    assert {"lifelong-dpo (beta=0.1)", "lifelong-dpo (beta=0.7)"} <= set(page.texts)


def test_equal_results_give_equal_pages(tmp_path: Path) -> None:
    first, second = (
        Report([make_result()]).write(tmp_path / name).read_bytes() for name in ("a", "b")
    )
    assert first == second


def test_nothing_to_report_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no results.*result\.json"):
        Report([]).write(tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_panels_share_their_scale() -> None:
    bands = plots.ValueBands.of(make_result())
    low, high = plots.value_ranges([bands]).T
    assert np.allclose(high - low, (high - low)[0])
    for part in (bands.human, bands.policy):
        assert (part >= low).all()
        assert (part <= high).all()
    assert (bands.human[1] <= bands.human[0]).all()
    assert (bands.human[0] <= bands.human[2]).all()


def test_repeated_eras_stay_apart() -> None:
    result = make_result()
    for step in result.steps:
        step.target = "C021"
    assert plots.target_eras(result) == ("C021", "C021 (2)", "C021 (3)")
