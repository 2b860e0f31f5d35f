"""Commands about era models: list, train, perplexity."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from ..errors import ProgressGymError, UsageError
from .console import (
    Json,
    Models,
    check_page,
    err,
    out,
    print_json,
    progress,
    quiet_libraries,
    split,
    table,
)  # fmt: skip

if TYPE_CHECKING:
    from ..passages import Passage
    from ..timeline import Timeline
    from ..validation import Validation

app = typer.Typer(help="Era models: list, train, and compare them.", no_args_is_help=True)

Texts = Annotated[
    Path,
    typer.Argument(
        metavar="TEXTS", help="Corpus that `corpora build` made, or a folder of raw texts."
    ),
]


@app.command("list")
def list_eras(models: Models = "smollm2", as_json: Json = False) -> None:
    """List the eras of a timeline.

    Example: progressgym eras list --models smollm2
    """
    from ..timeline import Timeline

    timeline = Timeline.load(models)
    if as_json:
        print_json(timeline.model_dump(mode="json"))
        return
    table(
        f"{timeline.name} on {timeline.base}",
        ["era", "years", "model"],
        [
            (e.name, f"{e.first_year}–{e.last_year}", e.model or e.adapter or "")
            for e in timeline.eras
        ],
    )


@app.command()
def train(
    texts: Texts,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the adapters.")],
    models: Models = "smollm2",
    eras: Annotated[str | None, typer.Option(help="Only these eras, with commas.")] = None,
    tokens: Annotated[int, typer.Option(min=256, help="Training tokens an era.")] = 200_000,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 5e-4,
    seed: Annotated[int, typer.Option(help="Order and first weights.")] = 0,
    dense: Annotated[
        float,
        typer.Option(min=0.01, max=1, help="Share of passages to read, richest in words of value."),
    ] = 1.0,
    bf16: Annotated[bool, typer.Option(help="Mixed precision, where the machine has it.")] = False,
    as_json: Json = False,
) -> None:
    """Train an adapter for each era on its texts; run again to continue after an interruption.

    About a tenth of each era, in whole works, is held out for `eras perplexity`. Under `accelerate
    launch` several processes train one adapter (see docs/models.md).

    Example: progressgym eras train ../shared/corpora --out adapters --eras C013,C014
    """
    from ..models import base_policy
    from ..timeline import Timeline
    from ..training.distributed import train_era_together
    from ..training.eras import EraRecipe, train_era
    from ..training.trainers import launched

    quiet_libraries()
    timeline = Timeline.load(models)
    chosen = split(eras) if eras else [era.name for era in timeline.eras]
    for name in chosen:
        timeline.index(name)
    passages, _ = _read_texts(texts, timeline)
    missing = [name for name in chosen if not any(p.era == name for p in passages)]
    if missing:
        raise UsageError(f"{texts} holds no texts for {', '.join(missing)}.")
    recipe = EraRecipe(
        tokens=tokens, learning_rate=learning_rate, seed=seed, dense=dense, bf16=bf16
    )
    together = launched() > 1
    backbone = None if together else base_policy(timeline).backbone
    with progress("Training", total=len(chosen)) as update:
        for number, name in enumerate(chosen):

            def show(share: float, number: int = number, name: str = name) -> None:
                update(number + share, f"Training {name}")

            own = [p for p in passages if p.era == name]
            if backbone is None:
                train_era_together(timeline, name, own, recipe, out_folder / name, show)
            else:
                train_era(backbone, name, own, recipe, out_folder / name, show)
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        print_json({"adapters": {name: str(out_folder / name) for name in chosen}})
    else:
        out.print(f"Adapters of {', '.join(chosen)} in {out_folder}.")


@app.command()
def perplexity(
    texts: Texts,
    models: Models = "smollm2",
    part: Annotated[
        str, typer.Option(help="held-out (kept out of training), train, or all.")
    ] = "held-out",
    tokens: Annotated[int, typer.Option(min=256, help="Tokens read of each era.")] = 4096,
    as_json: Json = False,
) -> None:
    """Perplexity of every era's model on every era's texts: the lowest should be its own.

    Example: progressgym eras perplexity ../shared/corpora --json
    """
    from ..timeline import Timeline
    from ..validation import measure_perplexity

    quiet_libraries()
    if part not in ("held-out", "train", "all"):
        raise UsageError(f"--part {part!r}: expected held-out, train or all.")
    timeline = Timeline.load(models)
    trained, held_out = _read_texts(texts, timeline)
    passages = {"held-out": held_out, "train": trained, "all": trained + held_out}[part]
    columns = _columns(timeline, passages)
    if not columns:
        raise UsageError(f"{texts} holds no {part} texts for the eras of {timeline.name}.")
    with progress("Perplexity", total=1) as update:
        found = measure_perplexity(timeline, columns, tokens, update)
    names = [era.name for era in timeline.eras]
    if as_json:
        print_json({"eras": names, **found.model_dump(include={"columns", "matrix", "base"})})
        return
    best = found.best(names)
    rows: list[list[str | Text]] = [
        [
            name,
            *(
                Text(f"{value:.1f}", "bold green" if best[column] == name else "")
                for column, value in enumerate(row)
            ),
        ]
        for name, row in zip([*names, "base"], [*found.matrix, found.base], strict=True)
    ]
    table("Perplexity of models (rows) on texts (columns)", ["model", *columns], rows)
    own = len(found.own(names))
    out.print(f"The era's own model is best in {own} of {len(columns)} columns.")


@app.command()
def validate(
    models: Models = "smollm2",
    replicas: Annotated[
        str | None, typer.Option(help="A timeline of the same eras, trained a second time.")
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=2, help="Scenarios a dimension and polarity; default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of shuffles and resamples.")] = 0,
    texts: Annotated[
        Path | None, typer.Option(help="Corpus whose held-out works the eras are to predict.")
    ] = None,
    ask: Annotated[bool, typer.Option(help="Ask neutral questions, and ten open ones.")] = True,
    to: Annotated[Path | None, typer.Option("--to", help="HTML page to write.")] = None,
    as_json: Json = False,
) -> None:
    """Test whether eras differ in values by more than the choice of scenarios.

    Example: progressgym eras validate --models smollm2 --to validation.html
    """
    from ..timeline import Timeline
    from ..validation import Extras, write_validation_page
    from ..validation import validate as validated
    from ..values.scenarios import shipped_bank, shipped_paraphrases

    check_page(to, "validation.html")
    quiet_libraries()
    timeline = Timeline.load(models)
    extras = Extras(
        dilemmas=shipped_bank("dilemma").split("probe"),
        paraphrases=shipped_paraphrases(),
        replicas=Timeline.load(replicas) if replicas else None,
        held_out=_columns(timeline, _read_texts(texts, timeline)[1]) if texts else None,
        questions=ask,
    )
    with progress("Measuring", total=1) as update:
        bank = shipped_bank().split("probe").first(items)
        found = validated(timeline, bank, extras, seed, update)
    if to is not None:
        write_validation_page(found, to)
    if as_json:
        print_json(found.model_dump(mode="json") | {"telling": found.telling})
        return
    _print_validation(found)
    if to is not None:
        out.print(f"Page: {to}")


def _print_validation(found: Validation) -> None:
    names = {name: name.replace("_", " ") for name in found.dimensions}
    values = [
        (names[name], *(_short(known.values[era].value) for era in found.eras))
        for name, known in found.dimensions.items()
    ]
    evidence = [
        (
            names[name],
            *map(_short, (known.signal_to_noise, known.shape, known.without_general)),
            _short(known.reliability),
            _short(known.p, 3),
            _short(known.dilemmas),
        )
        for name, known in found.dimensions.items()
    ]
    title = f"Values of {found.timeline}, {found.scenarios} scenarios"
    table(title, ["dimension", *found.eras], values)
    columns = ["dimension", "S/N", "shape", "alone", "r", "p", "dilemmas"]
    table("Can it tell the eras apart?", columns, evidence)
    for line in _conclusions(found):
        out.print(line)


def _conclusions(found: Validation) -> Iterator[str]:
    """What a user of this timeline must know, a sentence a line."""
    from ..validation import KEPT, RELIABLE, SIGNAL

    yield (
        f"Signal over noise above {SIGNAL:g}: {len(found.telling)} of {len(found.dimensions)} "
        f"dimensions ({len(found.telling_in_shape)} whatever an era's sharpness)."
    )
    yield (
        f"Reliability of differences between eras: {found.reliability:.2f} "
        f"({found.shape_reliability:.2f} whatever the sharpness; {RELIABLE:g} is enough). All eras "
        f"equal: p {found.p:.3f}. Independent directions in which they move: {found.directions}."
    )
    if found.facets is not None:
        yield f"Dependability over scenarios, frames and words: {found.facets.dependability:.2f}."
    if found.paraphrase is not None:
        yield (
            f"Agreement with the same statements in other words: {found.paraphrase:.2f} "
            f"(as many others: {_short(found.other_statements)}); with dilemmas: "
            f"{_short(found.dilemmas)}."
        )
    if found.replicas is not None:
        own = len(found.replicas.recognised)
        yield f"Nearest to its own replica: {own} of {len(found.eras)} eras."
    if found.perplexity is not None:
        own = len(found.perplexity.own(found.eras))
        yield f"Best on its own held-out texts: {own} of {len(found.perplexity.columns)} eras."
    if found.quality is not None:
        worst = min(found.eras, key=found.quality.eras.__getitem__)
        kept = found.quality.kept(worst)
        least = "n/a" if kept is None else f"{kept:.0%}"
        yield (
            f"Neutral questions: the base answers {found.quality.base:.0%} rightly; eras keep at "
            f"least {least} of that ({worst}; {KEPT:.0%} is enough)."
        )
    if found.dull:
        dull = ", ".join(name.replace("_", " ") for name in found.dull)
        yield f"These do not tell the eras apart: {dull}."


def _columns(timeline: Timeline, passages: list[Passage]) -> dict[str, list[Passage]]:
    """Passages of each era that has any."""
    columns = {e.name: [p for p in passages if p.era == e.name] for e in timeline.eras}
    return {name: found for name, found in columns.items() if found}


def _short(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:z.{digits}f}"


def _read_texts(folder: Path, timeline: Timeline) -> tuple[list[Passage], list[Passage]]:
    """Training and held-out passages, through the registered corpus reader."""
    from .. import registry

    if not folder.is_dir():
        raise UsageError(f"No such folder: {folder}.")
    err.print(f"Reading the texts in {folder} …")
    try:
        return registry.find("corpus", "passages")(folder, timeline)
    except ValueError as error:
        raise ProgressGymError(str(error)) from error
