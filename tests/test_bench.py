"""Benchmarks: their command, their page, and the parts that need no long measuring."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from progressgym.benchmarks.growth import slope
from progressgym.benchmarks.measure import gemm_peaks

from progressgym import registry
from progressgym.benchmark import Curve, Outcome, lend_models, timed
from progressgym.benchmark_page import write_benchmark_page
from progressgym.cli import main
from progressgym.errors import ProgressGymError
from progressgym.storage import cache_folder


def test_the_built_in_benchmarks_are_registered_as_anyone_could() -> None:
    assert registry.names("benchmark") == [
        "board", "corpora", "dpo", "growth", "measure", "memory", "plans", "scaling",
    ]  # fmt: skip


def test_an_unknown_benchmark_is_named_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "mesure", "--json"])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert "Did you mean 'measure'?" in captured.err
    assert captured.out == ""


def test_one_that_fails_does_not_take_the_figures_of_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str) -> Outcome:
        if name == "dpo":
            raise ProgressGymError("Benchmark dpo failed (exit code 1).")
        return Outcome(figures={f"{name}_figure": 2.5})

    monkeypatch.setattr("progressgym.benchmark.run_apart", run)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "dpo,growth", "--json"])
    assert stop.value.code == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["growth_figure"] == 2.5
    assert "Benchmark dpo failed" in captured.err


def test_page_shows_every_figure_and_curve(tmp_path: Path) -> None:
    curve = Curve(title="Time & eras", x_title="eras", y_title="s", x=[1, 2], lines={"a": [3, 4]})
    outcome = Outcome(figures={"speedup": 5.25}, details={"kind": "<b>"}, curves=[curve])
    text = write_benchmark_page({"one": outcome}, tmp_path / "bench.html").read_text()
    assert "<title>ProgressGym benchmarks</title>" in text
    assert "5.25" in text
    assert "&lt;b&gt;" in text
    assert "Time &amp; eras" in text


def test_slope_is_the_exponent_of_a_power_law() -> None:
    sizes = [1.0, 2.0, 5.0, 9.0]
    assert slope(sizes, [3 * n**0.6 for n in sizes]) == pytest.approx(0.6)


def test_peak_rates_are_positive_and_the_better_library_is_not_slower() -> None:
    own, best = gemm_peaks(0.01)
    assert 0 < own <= best
    assert np.isfinite(best)


def test_a_borrowed_cache_has_models_and_calibration_and_nothing_else(tmp_path: Path) -> None:
    lend_models(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calibration", "models"]
    assert (tmp_path / "models").resolve() == (cache_folder() / "models").resolve()


def test_timed_is_the_wall_clock() -> None:
    assert timed(lambda: None) >= 0
