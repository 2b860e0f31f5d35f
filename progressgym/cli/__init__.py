"""The command line: ``progressgym COMMAND``."""

from __future__ import annotations

import importlib.metadata
import re
import signal
import sys
import warnings
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import ProgressGymError, UsageError
from . import bench, eras, runs

_COMMANDS = "progressgym.commands"  # entry-point group: name of a command -> its typer.Typer


class _WithPlugins(TyperGroup):
    """The core's commands and those of other rooms and packages, imported when they are needed."""

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
bench.add_commands(app)
app.add_typer(eras.app, name="eras")


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(args=arguments)
    except UsageError as error:
        sys.exit(_complain(str(error), 2))
    except ModuleNotFoundError as error:
        if (extra := _extra_of(error.name or "")) is None:
            raise
        needed = f"This needs {error.name}: pip install 'progressgym[{extra}]'."
        sys.exit(_complain(needed, 1))
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away, as with `| head`; nothing is left to say
        sys.exit(0)
    except (ProgressGymError, OSError, ValueError) as error:
        sys.exit(_complain(str(error), 1))


def _extra_of(module: str) -> str | None:
    """The optional part of this package that brings a module; None if no part does."""
    for requirement in importlib.metadata.requires("progressgym") or []:
        found = re.match(r"([\w.-]+).*; *extra == ['\"](\w+)['\"]", requirement)
        if found and found[2] != "dev" and found[1].replace("-", "_") == module.split(".")[0]:
            return found[2]
    return None


def _complain(text: str, code: int) -> int:
    print(f"progressgym: {text}", file=sys.stderr)
    return code


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
