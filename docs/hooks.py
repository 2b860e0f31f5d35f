"""What the pages need besides Markdown: the help of the commands, links that stay inside."""

from __future__ import annotations

import html
import posixpath
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from progressgym.cli import app

ROOT = Path(__file__).parents[1]
_NO_SOURCE = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.jsonl", "*.gz")


def on_startup(**_: Any) -> None:
    """Lay the rooms of the package into one folder, where mkdocstrings looks for sources."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    package = ROOT / "build/package"
    shutil.rmtree(package, ignore_errors=True)
    for name, folder in settings["package-dir"].items():
        where = package.joinpath(*name.split("."))
        shutil.copytree(ROOT / folder, where, ignore=_NO_SOURCE, dirs_exist_ok=True)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for every page before it becomes HTML."""
    if page.file.src_uri == "reference/cli.md":
        markdown += "\n".join(command_line())
    return re.sub(r"\[([^\]]*)\]\((?!https?:)([^)#\s]+)\)", lambda m: _within(m, page), markdown)


def _within(link: re.Match[str], page: Any) -> str:
    """A link to a file of the repository that is no page: its name, as code."""
    folder = posixpath.dirname(page.file.src_uri)
    target = posixpath.normpath(posixpath.join("docs", folder, link[2]))
    if target.startswith("docs/"):
        return link[0]
    return f"{link[1]} (`{target}`)" if link[1] != target else f"`{target}`"


def command_line() -> Iterator[str]:
    """A section for each command, from its own help."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    yield from _commands(group, typer.Context(group, info_name="progressgym"))


def _commands(group: TyperGroup, context: typer.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, parent=context, info_name=name)
        if isinstance(command, TyperGroup):
            yield from _commands(command, inner)
        elif command and not command.hidden:
            yield from _command(command, inner)


def _command(command: TyperCommand, context: typer.Context) -> Iterator[str]:
    yield f"\n## {context.command_path}\n"
    about, _, example = (command.help or "").replace("\b", "").partition("Example: ")
    yield " ".join(about.split())
    if example:
        yield f"\n```\n{' '.join(example.split())}\n```"
    yield "\n| | what for |\n|---|---|"
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None and parameter.name != "help":
            names, about = (" ".join(text.split()).replace("|", "\\|") for text in record)
            yield f"| `{names}` | {html.escape(about, quote=False)} |"
