"""Commands about runs: list, evaluate, report, export, import."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .console import Backend, Json, Models, out, print_json, progress, quiet_libraries, split, table
from .grid import run

if TYPE_CHECKING:
    from ..results import RunResult


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    app.command("list")(list_names)
    app.command("run")(run)
    app.command("evaluate")(evaluate)
    app.command("report")(report)
    app.command("export")(export)
    app.command("import")(import_)


def list_names(models: Models = "smollm2", as_json: Json = False) -> None:
    """List challenges, algorithms with their parameters, eras and presets.

    Example: progressgym list --json
    """
    from .. import registry
    from ..challenge import PRESETS
    from ..timeline import Timeline

    challenges: list[dict[str, Any]] = [
        _described("challenge", name) for name in registry.names("challenge")
    ]
    algorithms: list[dict[str, Any]] = [
        {
            **_described("algorithm", name),
            "cheats": registry.find("algorithm", name).cheats,  # type: ignore[attr-defined]
        }
        for name in registry.names("algorithm")
    ]
    eras = [
        era.model_dump(include={"name", "first_year", "last_year"})
        for era in Timeline.load(models).eras
    ]
    presets = [{"name": name, **preset} for name, preset in PRESETS.items()]
    if as_json:
        listing = {
            "challenges": challenges, "algorithms": algorithms, "eras": eras, "presets": presets
        }  # fmt: skip
        print_json(listing)
        return
    for heading, entries in (("Challenges", challenges), ("Algorithms", algorithms)):
        table(
            heading,
            ["name", "what it is"],
            [(str(e["name"]), _one_line(e)) for e in entries],
            words=2,
        )
    for entry in algorithms:
        for parameter in entry["parameters"]:
            out.print(
                f"  {entry['name']} --set {parameter['name']}={parameter['default']}"
                f"  ({parameter['type']})",
            )
    out.print(
        "Eras: " + ", ".join(f"{e['name']} {e['first_year']}–{e['last_year']}" for e in eras),
        soft_wrap=False,
    )
    for name, preset in PRESETS.items():
        amounts = ", ".join(f"{'all' if n is None else n} {what}" for what, n in preset.items())
        out.print(f"Preset {name}: {amounts}")


def evaluate(
    models_to_measure: Annotated[
        str,
        typer.Argument(metavar="MODEL[,MODEL…]", help="Eras, 'base', adapter or model folders."),
    ],
    models: Models = "smollm2",
    scenarios: Annotated[
        Path | None, typer.Option(help="Scenario bank: JSONL, or CSV in MoralEvals' columns.")
    ] = None,
    instrument: Annotated[str, typer.Option(help="statement or dilemma.")] = "statement",
    backend: Backend = None,
    as_json: Json = False,
) -> None:
    """Measure the value vectors of models or eras.

    Example: progressgym evaluate C013,C020 --json
    """
    from ..models import open_backend
    from ..timeline import Timeline
    from ..values.dimensions import DIMENSIONS, title
    from ..values.measure import measure
    from ..values.scenarios import read_bank, shipped_bank
    from ..values.scores import value_intervals

    quiet_libraries()
    if instrument not in ("statement", "dilemma"):
        raise UsageError(f"--instrument {instrument!r}: expected statement or dilemma.")
    bank = read_bank(scenarios) if scenarios else shipped_bank(instrument)
    probe, timeline = bank.split("probe"), Timeline.load(models)
    names = split(models_to_measure)
    models_there = open_backend(backend)
    measured = {}
    with progress("Measuring", total=len(names)) as update:
        for number, name in enumerate(names):  # one after the other: they can be large
            update(number, f"Measuring {name}")
            vector = measure(models_there.named(name, timeline), probe)
            intervals = value_intervals(vector.stances, vector.labels)
            measured[name] = {
                d: i.model_dump()
                for d, i in zip(DIMENSIONS, intervals, strict=True)
                if i.value is not None
            }
    if as_json:
        print_json({name: {"values": values} for name, values in measured.items()})
        return
    table(
        "Values: above 0.5 where upholding is approved more than violating",
        ["dimension", *names],
        [
            (title(d), *(f"{measured[n][d]['value']:.3f}".removeprefix("0") for n in names))
            for d in DIMENSIONS
            if d in measured[names[0]]
        ],
    )


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="OUT…", help="Folders with results.")],
    to: Annotated[Path | None, typer.Option("--to", help="HTML file to write.")] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page about results.

    Example: progressgym report results/
    """
    from ..report import Report
    from ..results import format_interval

    results = _load_results(folders)
    found = Report(list(results.values()))
    first = folders[0] if folders[0].is_dir() else folders[0].parent
    page = found.write(to or first / "report.html")
    compared = found.comparisons
    if as_json:
        print_json(
            {
                "report": str(page),
                "results": [str(path) for path in results],
                "comparisons": {name: one.as_json() for name, one in compared.items()},
            }
        )
        return
    for name, one in compared.items():
        rows = [(s.label, format_interval(s.skill), s.rank_range) for s in one.standings]
        table(name, ["algorithm", "skill [95 %]", "rank"], rows)
    out.print(f"Report: {page}")


def export(
    folders: Annotated[list[Path], typer.Argument(metavar="OUT…", help="Folders with results.")],
    to: Annotated[Path, typer.Option("--to", help="JSON file to write.")],
    as_json: Json = False,
) -> None:
    """Write results in the format of the prior system (PKU-Alignment/ProgressGym).

    Example: progressgym export results/ --to upstream.json
    """
    from .. import upstream

    results = _load_results(folders)
    upstream.export(list(results.values()), to)
    if as_json:
        print_json({"file": str(to), "results": len(results)})
        return
    out.print(f"{len(results)} results: {to}")


def import_(
    file: Annotated[Path, typer.Argument(help="Result file of the prior system.")],
    as_json: Json = False,
) -> None:
    """Score a result file of the prior system by its published formula.

    Example: progressgym import upstream.json
    """
    from .. import upstream

    found = [
        (algorithm, challenge, entry.compute_score(), entry.score)
        for algorithm, challenges in upstream.read(file).items()
        for challenge, entry in challenges.items()
    ]
    if as_json:
        names = ("algorithm", "challenge", "score", "claimed")
        print_json({"results": [dict(zip(names, row, strict=True)) for row in found]})
        return
    rows = [
        (algorithm, challenge, f"{score:.4f}", "" if claimed is None else f"{claimed:.4f}")
        for algorithm, challenge, score, claimed in found
    ]
    table(
        "Upstream score: mean cosine of value vectors",
        ["algorithm", "challenge", "score", "claimed"],
        rows,
        words=2,
    )


def _load_results(folders: list[Path]) -> dict[Path, RunResult]:
    """All results below some folders, by their paths.

    Raises:
        UsageError: a folder is missing, or there are none.
    """
    from ..results import RunResult, required_results

    return {path: RunResult.load(path) for path in required_results(folders)}


def _described(kind: Any, name: str) -> dict[str, Any]:
    from .. import registry

    entry = registry.find(kind, name)
    return {
        "name": name,
        "description": (inspect.getdoc(entry) or "").split("\n")[0],
        "parameters": [
            {
                "name": parameter.name,
                "type": getattr(parameter.annotation, "__name__", str(parameter.annotation))
                if isinstance(parameter.annotation, type)
                else str(parameter.annotation).replace("typing.", ""),
                "default": parameter.default,
            }
            for parameter in registry.parameters(entry).values()
        ],
    }


def _one_line(entry: dict[str, Any]) -> str:
    return entry["description"] + (" (cheats)" if entry.get("cheats") else "")
