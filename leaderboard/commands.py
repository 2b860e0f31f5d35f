"""``progressgym leaderboard`` and ``progressgym submit``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from progressgym.cli.console import (
    Json,
    Models,
    err,
    out,
    print_json,
    progress,
    quiet_libraries,
    table,
)
from progressgym.errors import UsageError

if TYPE_CHECKING:
    from .board import Board

FOLDER = "PROGRESSGYM_BOARD"
"""Environment variable: the folder of the board."""

app = typer.Typer(
    help="Serve a leaderboard, and keep it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
submission = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Folder = Annotated[
    Path, typer.Option("--folder", envvar=FOLDER, help="Folder of the board's file.")
]
Number = Annotated[int, typer.Argument(metavar="ID", help="Number of the submission.")]
DEFAULT = Path("board")


def _board(folder: Path, must_exist: bool = True) -> Board:
    from .board import Board

    if must_exist and not (folder / "board.sqlite").is_file():
        raise UsageError(f"No board in {folder}: start one with `progressgym leaderboard serve`.")
    return Board(folder)


def _maintainer() -> str:
    return os.environ.get("USER") or "maintainer"


@app.command()
def serve(
    folder: Folder = DEFAULT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 7860,
    corpus: Annotated[
        Path | None, typer.Option(help="A built corpus, for the page of texts.")
    ] = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Do not start with the reference results.")
    ] = False,
) -> None:
    """Serve the board as a web page, with the reference results to begin with.

    Example: progressgym leaderboard serve --folder board
    """
    from .reference import add_reference_meanwhile
    from .server import serve as run_server

    quiet_libraries()
    board = _board(folder, must_exist=False)
    if not empty:
        add_reference_meanwhile(board)
        out.print("The reference results appear within minutes, if they are not there yet.")
    if not board.store.one("SELECT 1 FROM tokens"):
        token = board.store.new_token(_maintainer())
        out.print(f"Your token for submitting, shown only now: {token}")
    out.print(f"http://{host}:{port}")
    run_server(board, host, port, corpus)


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Whose it is; shown with the submissions.")],
    folder: Folder = DEFAULT,
    revoke: Annotated[bool, typer.Option("--revoke", help="Make it invalid instead.")] = False,
) -> None:
    """Make a submitter's token, or revoke it. It is shown once; the board keeps its hash.

    Example: progressgym leaderboard token ada
    """
    board = _board(folder, must_exist=False)
    if revoke:
        board.store.revoke_token(name)
        out.print(f"The token of {name} is no longer valid.")
    else:
        print(board.store.new_token(name))


@app.command("list")
def list_(folder: Folder = DEFAULT, as_json: Json = False) -> None:
    """List what is on the board, track by track.

    Example: progressgym leaderboard list --json
    """
    from progressgym.results import format_interval
    from progressgym.values.scores import Interval

    board = _board(folder)
    board.rank()
    tracks = board.tracks()
    rows = {track["id"]: board.rows(track["id"], size=None)[0] for track in tracks}
    if as_json:
        print_json({"tracks": [{**track, "rows": rows[track["id"]]} for track in tracks]})
        return
    for track in tracks:
        shown = [
            (
                str(row["submission"]),
                row["name"] + (" (cheats)" if row["cheats"] else ""),
                row["status"],
                format_interval(Interval(value=row["skill"], low=row["low"], high=row["high"])),
                "–" if row["rank"] is None
                else f"{row['rank']} ({row['best_rank']} to {row['worst_rank']})",
            )
            for row in rows[track["id"]]
        ]  # fmt: skip
        title = f"{track['challenge']} · {track['models']} · {track['preset']}"
        table(title, ["id", "algorithm", "status", "skill [95 %]", "rank"], shown, words=3)


@app.command()
def add(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT…", help="Results or folders.")],
    card: Annotated[Path, typer.Option(help="The card, YAML.")],
    who: Annotated[str | None, typer.Option(help="Submitter; you, if left out.")] = None,
    folder: Folder = DEFAULT,
) -> None:
    """Put a submission on the board that reached you by another way, with the same checks.

    Example: progressgym leaderboard add results/follow/mine --card card.yaml --who ada
    """
    from progressgym.results import required_results

    from .card import Card

    board = _board(folder, must_exist=False)
    files = {str(path): path.read_bytes() for path in required_results(results)}
    number = board.submit(Card.load(card), files, who or _maintainer())
    out.print(f"Submission {number} is on the board.")


@app.command()
def verify(
    number: Number,
    folder: Folder = DEFAULT,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Replay its runs in fresh processes.")
    ] = False,
) -> None:
    """Check a submission again; with --rerun, replay its runs and compare.

    Example: progressgym leaderboard verify 12 --rerun
    """
    from . import verify as verification

    quiet_libraries()
    board = _board(folder)
    verification.recheck(board, number, _maintainer())
    out.print(f"Submission {number} passes all checks.")
    if not rerun:
        return
    with progress("Replaying", total=1) as update:
        compared = verification.rerun(
            board, number, _maintainer(), lambda done, total: update(done / total)
        )
    rows = [
        (one.challenge, str(one.seed), f"{one.difference:.1e}", "yes" if one.same else "NO")
        for one in compared
    ]
    table("Replays", ["challenge", "seed", "largest difference of a value", "same"], rows)
    if not all(one.same for one in compared):
        raise typer.Exit(1)
    out.print(f"Submission {number} is reproduced.")


@app.command()
def withdraw(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why; it is shown.")],
    folder: Folder = DEFAULT,
) -> None:
    """Take a submission off the board.

    Example: progressgym leaderboard withdraw 12 --reason "trained on the probe split"
    """
    _board(folder).withdraw(number, _maintainer(), reason)
    out.print(f"Submission {number} is withdrawn.")


@app.command()
def backup(
    to: Annotated[Path, typer.Argument(help="File to write.")], folder: Folder = DEFAULT
) -> None:
    """Copy the board into one file, while it may be in use.

    Example: progressgym leaderboard backup monday.sqlite
    """
    if to.is_dir():
        raise UsageError(f"{to} is a folder; name a file.")
    _board(folder).store.backup(to)
    out.print(f"Backup: {to}")


@app.command()
def measure(
    models: Models = "smollm2",
    instrument: Annotated[str, typer.Option(help="statement or dilemma.")] = "statement",
    folder: Folder = DEFAULT,
) -> None:
    """Measure a timeline's humans, so that the board can take results of it.

    Example: progressgym leaderboard measure --models decades.yaml
    """
    from .humans import measure_humans

    if instrument not in ("statement", "dilemma"):
        raise UsageError(f"--instrument {instrument!r}: expected statement or dilemma.")
    quiet_libraries()
    with progress("Measuring", total=1) as update:
        humans = measure_humans(
            models,
            instrument,  # type: ignore[arg-type]
            lambda done, total: update(done / total),
        )
    path = humans.save(folder / "humans")
    out.print(f"Measured: {path}. A board that is being served has to be started anew.")


@app.command()
def pack(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT…", help="Results or folders.")],
    to: Annotated[Path, typer.Option(help="Folder of reference results.")],
) -> None:
    """Keep results as the reference results that boards begin with.

    Example: progressgym leaderboard pack results --to leaderboard/reference
    """
    from progressgym.results import required_results

    from .reference import pack_reference

    changed = pack_reference(required_results(results), to)
    out.print(f"{changed} new or changed in {to}")


@submission.command()
def submit(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT…", help="Results or folders.")],
    card: Annotated[Path, typer.Option(help="The card, YAML.")],
    board: Annotated[str, typer.Option(help="Address of the board.")],
    token: Annotated[str, typer.Option(envvar="PROGRESSGYM_TOKEN", help="Your token.")] = "",
    as_json: Json = False,
) -> None:
    """Submit the results of one algorithm to a board.

    Example: progressgym submit results/follow/mine --card card.yaml --board http://127.0.0.1:7860
    """
    from progressgym.results import required_results

    from .card import Card
    from .client import Session

    read = Card.load(card)
    answer = Session(board).submit(token, read.model_dump_json(), required_results(results))
    if as_json:
        print_json(answer)
    else:
        _print_answer(answer)
    if not answer["accepted"]:
        raise typer.Exit(2)


def _print_answer(answer: dict[str, Any]) -> None:
    failed = [check for check in answer["checks"] if not check["passed"]]
    if answer["accepted"]:
        out.print(f"Accepted as submission {answer['submission']}: {answer['page']}")
        return
    err.print("Refused; nothing was stored.")
    for check in failed:
        err.print(f"  {check['name']}: {check['reason']}")
