"""The command line: ``progressgym COMMAND``."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import typer

from ..errors import ProgressGymError, UsageError
from . import bench, eras, runs

app = typer.Typer(
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
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away, as with `| head`; nothing is left to say
        sys.exit(0)
    except (ProgressGymError, OSError, ValueError) as error:
        sys.exit(_complain(str(error), 1))


def _complain(text: str, code: int) -> int:
    print(f"progressgym: {text}", file=sys.stderr)
    return code


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
