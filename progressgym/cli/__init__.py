"""The command line: ``progressgym COMMAND``."""

from __future__ import annotations

import atexit
import gc
import importlib.metadata
import re
import sys
import traceback
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import ProgressGymError, ProgressGymWarning, UsageError, trouble
from ..storage import cache_folder, write_text
from . import bench, eras, interruption, plugins, runs, status

_COMMANDS = "progressgym.commands"  # entry-point group: name of a command -> its typer.Typer


class _WithPlugins(TyperGroup):
    """The core's commands and those of other rooms and packages, imported when they are needed."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; one that is interrupted says so."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _complain("interrupted.")
            raise typer.Exit(interruption.exit_code()) from None

    def list_commands(self, ctx: Any) -> list[str]:
        """All names; the core's first."""
        plugins = importlib.metadata.entry_points(group=_COMMANDS).names
        return [*super().list_commands(ctx), *sorted(plugins)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by name; None if there is none, or if it does not load."""
        found = super().get_command(ctx, cmd_name)
        for point in importlib.metadata.entry_points(group=_COMMANDS, name=cmd_name):
            if found is None:
                try:
                    found = typer.main.get_command(point.load())
                except ImportError as error:  # a broken plug-in must not take the others down
                    warnings.warn(f"Command {cmd_name} failed to load: {error}", stacklevel=2)
        return found


app = typer.Typer(
    cls=_WithPlugins,
    name="progressgym",
    help="A gym for progress alignment: algorithms that follow, foresee and co-evolve with "
    "changing human values.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
runs.add_commands(app)
plugins.add_commands(app)
status.add_commands(app)
bench.add_commands(app)
app.add_typer(eras.app, name="eras")

atexit.register(gc.freeze)  # Python searches for garbage as it ends: a second, for nothing


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 wrong usage or input.

    130 and 143: interrupted by Ctrl-C and SIGTERM.
    """
    warnings.showwarning = _show_warning
    try:
        with interruption.stoppable():
            app(args=arguments)
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away, as with `| head`; nothing is left to say
        sys.exit(0)
    except Exception as error:
        _complain(_explained(error))
        sys.exit(2 if isinstance(error, UsageError) else 1)


def _explained(error: Exception) -> str:
    """What went wrong, for people. The traceback of what nobody foresaw is kept in the cache."""
    if isinstance(error, ModuleNotFoundError) and (extra := _extra_of(error.name or "")):
        return f"This needs {error.name}: pip install 'progressgym[{extra}]'."
    if told := trouble(error):
        return str(told)
    if isinstance(error, ProgressGymError | OSError | ValueError):
        return str(error) or type(error).__name__
    problem = f"This is a bug: {traceback.format_exception_only(error)[-1].strip()}"
    log = cache_folder() / "error.txt"
    try:
        write_text(log, traceback.format_exc())
    except (OSError, ValueError, ProgressGymError):
        return f"{problem}\n{traceback.format_exc()}"
    return f"{problem}. Please report it with {log}."


def _extra_of(module: str) -> str | None:
    """The optional part of this package that brings a module; None if no part does."""
    for requirement in importlib.metadata.requires("progressgym") or []:
        found = re.match(r"([\w.-]+).*; *extra == ['\"](\w+)['\"]", requirement)
        if found and found[2] != "dev" and found[1].replace("-", "_") == module.split(".")[0]:
            return found[2]
    return None


def _complain(text: str) -> None:
    print(f"progressgym: {text}", file=sys.stderr)


_show = warnings.showwarning


def _show_warning(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
    if issubclass(category, ProgressGymWarning):
        _complain(f"warning: {message}")
    else:
        _show(message, category, *where, **more)
