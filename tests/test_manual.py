"""What the manual shows works as shown; what it links to is there; it builds without a warning."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from environments import Environment

from progressgym.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MANUAL = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
ELSEWHERE = {"README.md"}
"""Played with `smollm2` as printed; tests/test_documents.py plays it with tiny models."""


class Fence(NamedTuple):
    """A block of a page between lines of three backticks."""

    language: str
    text: str


def fences(page: Path) -> list[Fence]:
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", page.read_text(), re.S | re.M)
    return [Fence(*groups) for groups in found]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def executable(page: Path) -> list[Fence]:
    return [fence for fence in fences(page) if fence.language in ("python", "bash")]


def snippets() -> Iterator[Path]:
    return (page for page in MANUAL if executable(page) and page.name not in ELSEWHERE)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With commands `progressgym` and `pip`, as after `source .venv/bin/activate`."""
    environment = Environment(tmp_path_factory.mktemp("reader"))
    bin = Path(environment.python).parent
    offline = f"{sys.executable} -m pip --python {environment.python} --quiet"
    for command, does in {
        "progressgym": f"{environment.python} -m progressgym",
        "pip": f"PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0 {offline}",
    }.items():
        (bin / command).write_text(f'#!/bin/sh\n{does} "$@"\n')
        (bin / command).chmod(0o755)
    return environment


@pytest.mark.parametrize("page", snippets(), ids=name)
def test_the_snippets_of_a_page_run_one_after_the_other(
    page: Path, environment: Environment, tmp_path: Path
) -> None:
    bin = str(Path(environment.python).parent)
    variables = {**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"}
    for language, text in executable(page):
        command = [environment.python] if language == "python" else ["bash", "-euo", "pipefail"]
        done = subprocess.run(
            [*command, "-c", text], capture_output=True, text=True, cwd=tmp_path, env=variables
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def commands(text: str) -> Iterator[list[str]]:
    """The calls of `progressgym` in a block of shell lines, without what is said beside them."""
    for line in text.replace("\\\n", " ").splitlines():
        line = re.split(r"\s+#|\s{2,}(?=\w)|\s+&?>|\s+\|", line.strip())[0]
        if line.startswith("progressgym "):
            yield shlex.split(line)[1:]


def known(arguments: list[str]) -> tuple[typer.core.TyperCommand, list[str]]:
    """The command that arguments name, and what is left of them.

    Raises:
        KeyError: no such command.
    """
    command = typer.main.get_command(app)
    context = typer.Context(command)
    while hasattr(command, "get_command"):
        found = command.get_command(context, arguments[0])
        if found is None:
            raise KeyError(arguments[0])
        command, arguments = found, arguments[1:]
        context = typer.Context(command, parent=context)
    return command, arguments


@pytest.mark.parametrize("page", MANUAL, ids=name)
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    for language, text in fences(page):
        for arguments in commands(text) if language in ("", "bash", "console") else ():
            command, rest = known(arguments)
            options = {option for parameter in command.params for option in parameter.opts}
            used = {argument.split("=")[0] for argument in rest if argument.startswith("--")}
            assert used <= options | {"--help"}, arguments


def test_a_command_that_does_not_exist_is_found() -> None:
    assert list(commands("progressgym eras dance --fast   says so\n")) == [
        ["eras", "dance", "--fast"]
    ]
    with pytest.raises(KeyError, match="dance"):
        known(["eras", "dance"])


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", MANUAL, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve()
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_manual_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert "train_dpo" in (site / "reference/training/index.html").read_text()
    assert "--influence" not in (site / "reference/cli/index.html").read_text()
    assert "eras validate" in (site / "reference/cli/index.html").read_text()
    assert (site / "notebooks/algorithm.ipynb").is_file()
