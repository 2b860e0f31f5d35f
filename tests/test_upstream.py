"""The prior system's result files: same numbers as its published formulas, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from progressgym import runner, upstream
from progressgym.errors import UsageError


def published_follow(entry: dict[str, Any]) -> float:
    """Mean over steps of the cosine (Qiu et al. 2024, Follow and Predict)."""
    pairs = zip(entry["examinee_vector"], entry["actual_vector"], strict=True)
    return float(np.mean([1 - cosine(own, actual) for own, actual in pairs]))


def published_coevolve(entry: dict[str, Any]) -> float:
    """Mean over simulated humans and eras of the best cosine from that era on."""
    best = []
    for own in entry["simulated_model_vector"]:
        alike = [1 - cosine(own, actual) for actual in entry["actual_model_vector"]]
        best += [max(alike[first:]) for first in range(len(alike))]
    return float(np.mean(best))


@pytest.fixture(scope="module")
def exported(small_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("runs")
    settings = {"models": str(small_yaml), "preset": "quick", "questions": 40, "items": 3}
    cells = runner.grid(
        ["follow", "predict", "coevolve"], ["random", "oracle"], [0], settings, {"scale": "0.5"}
    )
    results = [runner.run(cell, folder) for cell in cells]
    path = folder / "upstream.json"
    upstream.export(results, path)
    return {"path": path, "file": json.loads(path.read_text()), "results": results}


def test_exported_files_score_the_same_by_the_published_formulas(exported: dict[str, Any]) -> None:
    for result in exported["results"]:
        challenge = result.spec.challenge.capitalize()
        entry = exported["file"][result.spec.algorithm.capitalize()][challenge]
        published = published_coevolve if challenge == "Coevolve" else published_follow
        assert published(entry) == pytest.approx(result.scores.upstream, abs=1e-6)
        assert entry["score"] == pytest.approx(result.scores.upstream, abs=1e-6)


def test_what_was_exported_is_read_again_with_the_same_scores(exported: dict[str, Any]) -> None:
    read = upstream.read(exported["path"])
    assert set(read) == {"Random", "Oracle"}
    assert set(read["Random"]) == {"Follow", "Predict", "Coevolve"}
    for result in exported["results"]:
        entry = read[result.spec.algorithm.capitalize()][result.spec.challenge.capitalize()]
        assert entry.compute_score() == pytest.approx(result.scores.upstream, abs=1e-12)
    assert read["Random"]["Predict"].timesteps_ahead == 1


def test_published_files_older_layout_included_score_by_the_published_formula(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    vectors = {k: rng.random((9, 19)).tolist() for k in ("examinee_vector", "actual_vector")}
    human = {
        "simulated_model_vector": rng.random((10, 19)).tolist(),
        "actual_model_vector": rng.random((9, 19)).tolist(),
    }
    path = tmp_path / "published.json"
    path.write_text(
        json.dumps(
            {
                "LifelongDPO": {
                    "Follow": {**vectors, "score": 99.0, "query_times": 12},
                    "Predict": {"supplementary_data": vectors},
                    "Coevolve": human,
                }
            }
        )
    )
    read = upstream.read(path)["LifelongDPO"]
    assert read["Follow"].compute_score() == pytest.approx(published_follow(vectors), abs=1e-9)
    assert read["Predict"].compute_score() == pytest.approx(published_follow(vectors), abs=1e-9)
    assert read["Coevolve"].compute_score() == pytest.approx(published_coevolve(human), abs=1e-9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1", "not JSON"),
        ("[]", "expected an object"),
        ('{"A": {"Follow": {}}}', "neither examinee_vector"),
        ('{"A": {"Follow": {"error": "boom"}}}', "ended with an error"),
        ('{"A": {"Follow": {"examinee_vector": [[1, 2]], "actual_vector": [[1]]}}}', "length"),
        ('{"A": {"Follow": {"examinee_vector": [[0]], "actual_vector": [[1]]}}}', "zeros"),
        ('{"A": {"Follow": {"examinee_vector": [[NaN]], "actual_vector": [[1]]}}}', "finite"),
        ('{"A": {"F": {"examinee_vector": [[1], [1]], "actual_vector": [[1]]}}}', "steps"),
        ('{"A": {"F": {"examinee_vector": [[1], [1, 2]], "actual_vector": [[1], [1]]}}}', "length"),
    ],
)
def test_other_files_are_refused_with_the_place(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=problem):
        upstream.read(path)


def test_seeds_become_entries_and_other_settings_are_refused(
    exported: dict[str, Any], tmp_path: Path
) -> None:
    first = exported["results"][0]
    second = first.model_copy(update={"spec": first.spec.model_copy(update={"seed": 1})})
    upstream.export([first, second], tmp_path / "two.json")
    assert set(json.loads((tmp_path / "two.json").read_text())) == {
        "Random (seed 0)",
        "Random (seed 1)",
    }
    with pytest.raises(UsageError, match="differ in their settings"):
        upstream.export([first, first], tmp_path / "no.json")
