"""The notebooks run from end to end, on tiny models."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[1] / "docs/notebooks"


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: NotebookNode) -> str:
    return "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")


def drawn(cell: NotebookNode) -> list[dict]:
    """The traces of a cell's figures."""
    kind = "application/vnd.plotly.v1+json"
    return [
        trace for o in cell.outputs for trace in o.get("data", {}).get(kind, {}).get("data", [])
    ]


@pytest.fixture
def played(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[NotebookNode]:
    """The code cells of a notebook, with what they gave."""
    monkeypatch.setenv("MODELS", "tiny")
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(FOLDER / request.param, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=540, kernel_name="python3", resources=resources).execute()
    return code(notebook)


@pytest.mark.parametrize("played", ["trajectories.ipynb"], indirect=True)
def test_trajectories(played: list[NotebookNode]) -> None:
    figures = [drawn(cell) for cell in played if drawn(cell)]
    assert [len(traces) for traces in figures] == [12, 1, 1, 1]  # a band and a line a dimension
    assert figures[0][1]["y"][0] == 0  # the change since the first era
    assert figures[3][0]["text"] == [f"C0{century}" for century in range(13, 22)]
    last = printed(played[-1])
    assert "of 19 dimensions tell the eras apart" in last
    farthest = last.splitlines()[-1].split()
    assert farthest[-1] == "C021."  # the tiny eras drift steadily
    assert farthest[-3] in ("C013", "C014")


@pytest.mark.parametrize("played", ["algorithm.ipynb"], indirect=True)
def test_algorithm(played: list[NotebookNode], tmp_path: Path) -> None:
    compared = next(text for cell in played if "frozen" in (text := printed(cell)))
    follow, predict = compared.split("predict\n")
    skills = {
        words[0]: float(words[words.index("skill") + 1])
        for line in follow.splitlines()
        if "skill" in (words := line.split())
    }
    assert skills["frozen"] == 0
    assert min(skills["plain-dpo"], skills["focal-dpo"], skills["lifelong-dpo"]) > 0
    assert predict.count("skill") == 4
    assert (tmp_path / "notebook-results/report.html").is_file()
    rules = printed(played[-1]).splitlines()
    assert rules == ["by-hand: 13 of 13 rules kept", "focal-dpo: 13 of 13 rules kept"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_kept_small_and_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) < 20
    assert all(not cell.outputs and cell.execution_count is None for cell in code(notebook))
