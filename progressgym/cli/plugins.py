"""Commands for those who write algorithms and challenges: new, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .console import Json, err, out, print_json, progress, quiet_libraries, table

new = typer.Typer(
    help="Begin a package with an algorithm or a challenge of your own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(help="Small letters, digits and hyphens: patient-dpo.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to make.", show_default="the name")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    app.add_typer(new, name="new")
    app.command("check")(check)


@new.command()
def algorithm(name: Name, out_folder: Out = None) -> None:
    """Write a package with an algorithm that works, and its test.

    Example: progressgym new algorithm patient-dpo
    """
    _write("algorithm", name, out_folder)


@new.command()
def challenge(name: Name, out_folder: Out = None) -> None:
    """Write a package with a challenge that works, and its test.

    Example: progressgym new challenge recall
    """
    _write("challenge", name, out_folder)


def _write(kind: Literal["algorithm", "challenge"], name: str, folder: Path | None) -> None:
    from ..scaffold import write_package

    made = write_package(kind, name, folder or Path(name))
    for path in sorted(made.rglob("*")):
        if path.is_file():
            out.print(f"  {path}")
    out.print(f"Next: pip install -e {made} && progressgym check {name}")


def check(
    name: Annotated[str, typer.Argument(help="Of an algorithm or a challenge.")],
    as_json: Json = False,
) -> None:
    """Check that an algorithm or a challenge keeps the rules, on tiny models, in half a minute.

    Example: progressgym check lifelong-dpo
    """
    from .. import conformance

    quiet_libraries()
    with progress("Checking", total=1) as update:
        findings = conformance.check(
            name, lambda done, total, rule: update(done / total, f"Checking: {rule}")
        )
    passed = all(finding.passed for finding in findings)
    if as_json:
        print_json({"name": name, "passed": passed, "checks": [vars(f) for f in findings]})
    else:
        signs = {True: "✓", False: "✗", None: "–"}
        rows = [(signs[f.passed], f.check, f.seen if f.passed else "") for f in findings]
        table(f"{name}: {'keeps the rules' if passed else 'breaks rules'}", ["", "", ""], rows, 3)
        for finding in findings:
            if not finding.passed:
                err.print(f"{signs[finding.passed]} {finding.check}", style="bold")
                for text in filter(None, (finding.seen, finding.advice)):
                    err.print(f"  {text}")
    if not passed:
        raise typer.Exit(1)
