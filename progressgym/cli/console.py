"""What all commands share: tables for people, JSON for machines, silent libraries."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..errors import UsageError

# The libraries read these when they are imported, which is later than this.
for _name in ("HF_HUB_DISABLE_TELEMETRY", "TQDM_DISABLE"):
    os.environ.setdefault(_name, "1")

_PADDINGS = ((1, 1), (1, 0), (0, 0))  # right and left of a column, from wide to narrow
_WIDEST = 1000  # characters of a line

# Names and paths are shown as they are: no brackets read, nothing coloured; a terminal
# breaks long lines, so that a path can be copied.
out = Console(markup=False, highlight=False, soft_wrap=True)
err = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Models = Annotated[
    str,
    typer.Option(
        help="Timeline: smollm2, tiny, histllama3-8b, histllama3-70b, or a YAML file.",
        show_default=True,
    ),
]


Backend = Annotated[
    str | None,
    typer.Option(
        metavar="BACKEND",
        help="Where models run that are only read: local, vllm, or openai:URL[,URL…], a server "
        "that gives log-probabilities.",
        show_default="local",
    ),
]


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], words: int = 1
) -> None:
    """A table; the first columns, as many as hold words, are left-aligned, the others right.

    Where it is too wide, columns of numbers move together and words are wrapped.
    """
    grid = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE_HEAD,
    )
    for index, column in enumerate(columns):
        is_words = index < words
        grid.add_column(column, justify="left" if is_words else "right", no_wrap=not is_words)
    for row in rows:
        grid.add_row(*row)
    for right, left in _PADDINGS if words == 1 else ():
        grid.padding = (0, right, 0, left)
        if Measurement.get(out, out.options.update(width=_WIDEST), grid).maximum <= out.width:
            break
    out.print(grid, soft_wrap=False)


def check_page(to: Path | None, example: str) -> None:
    """Can a page be written there? Asked before the work that fills it.

    Raises:
        UsageError: a folder, where a file is wanted.
    """
    if to is not None and to.is_dir():
        raise UsageError(f"--to {to} is a folder; name a file, such as {example}.")


def split(text: str) -> list[str]:
    """The parts of a comma list.

    Raises:
        UsageError: it has none.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise UsageError(f"{text!r} names nothing; expected names separated by commas.")
    return parts


@contextmanager
def progress(description: str, total: int) -> Iterator[Any]:
    """A progress bar on standard error, silent when that is not a terminal.

    Gives a function (done, description) to call.
    """
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
    )
    with bar:
        task = bar.add_task(description, total=total)

        def update(done: float, text: str = description) -> None:
            bar.update(task, completed=done, description=text)

        yield update


def quiet_libraries() -> None:
    """Keep the libraries' own bars and warnings off the terminal."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    transformers.utils.logging.disable_progress_bar()
