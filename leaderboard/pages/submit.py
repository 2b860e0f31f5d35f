"""Submit: drag result files, see every check pass or fail, then send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from progressgym.errors import UsageError

from .. import looks
from ..board import Board, RefusedError
from ..card import EXAMPLE, Card
from ..checks import Check
from ..entries import SEEDS_NAMED
from ..uploads import LARGEST_UPLOAD

Answer = dict[str, Any]


def build(board: Board, on_accepted: Callable[[], None], space: bool) -> None:
    """Add the page's parts.

    Args:
        board: where submissions go.
        on_accepted: called after each.
        space: on a Hugging Face Space, where visitors sign in instead of having a token.
    """
    looks.heading(
        "Submit an algorithm",
        "Drag in the <code>result.json</code> files of one algorithm: any challenges, as many "
        "seeds as you have (three or more make a useful interval). Everything is recomputed; "
        "what a file claims is ignored.",
    )
    with gr.Row():
        with gr.Column():
            files = gr.File(
                label="Results (result.json or result.json.gz)",
                file_count="multiple",
                file_types=[".json", ".gz"],
                height=190,
            )
            token = gr.Textbox(label="Token", type="password", visible=not space)
            if space:
                gr.LoginButton()
        card = gr.Code(
            EXAMPLE, language="yaml", label="Card (YAML)", lines=12, max_lines=18, interactive=True
        )
    with gr.Row():
        try_ = gr.Button("Check", variant="secondary")
        send = gr.Button("Submit", variant="primary")
    answer = gr.JSON(visible=False)
    report = looks.html(
        "<p class='soft'>Nothing is sent to the board until you press Submit.</p>",
        elem_id="checks",
    )
    looks.html(
        "<h2>From the command line</h2><p><code>progressgym submit results/follow/mine --card "
        "card.yaml --board ADDRESS --token TOKEN</code></p>"
    )

    def check(files: list[str] | None, card: str) -> Answer:
        """Run every check without storing anything."""
        try:
            checks, runs = board.check(Card.parse(card), _read(files))
        except UsageError as error:
            return _answer(False, None, [Check("card and files", False, str(error))])
        return _answer(bool(runs), None, checks)

    def accept(files: list[str] | None, card: str, who: str | None) -> Answer:
        if who is None:
            reason = "Sign in first." if space else "This token is not one of this board's."
            return _answer(False, None, [Check("submitter", False, reason)])
        try:
            number = board.submit(Card.parse(card), _read(files), who)
        except RefusedError as error:
            return _answer(False, None, error.checks)
        except UsageError as error:
            return _answer(False, None, [Check("card and files", False, str(error))])
        on_accepted()
        return _answer(True, number, [])

    def submit(files: list[str] | None, card: str, token: str) -> Answer:
        """Check a submission and put it on the board."""
        return accept(files, card, board.store.owner_of(token or ""))

    def submit_signed_in(
        files: list[str] | None, card: str, token: str, profile: gr.OAuthProfile | None
    ) -> Answer:
        """The same, by a visitor who signed in."""
        return accept(files, card, profile.username if profile else None)

    sending: Any = submit_signed_in if space else submit
    limits: Any = {"concurrency_limit": 4, "concurrency_id": "submissions"}
    try_.click(check, [files, card], answer, api_name="check", **limits).then(
        _report, answer, report, api_visibility="private", queue=False
    )
    send.click(sending, [files, card, token], answer, api_name="submit", **limits).then(
        _report, answer, report, api_visibility="private", queue=False
    )


def _read(files: Sequence[str] | None) -> dict[str, bytes]:
    """Uploaded files by their names.

    Raises:
        UsageError: none, or one that is too large; it is not read.
    """
    if not files:
        raise UsageError("No result files.")
    contents: dict[str, bytes] = {}
    for file in files:
        path = Path(file)
        if path.stat().st_size > LARGEST_UPLOAD:
            raise UsageError(f"{path.name} is larger than {LARGEST_UPLOAD >> 20} MiB.")
        contents[f"{len(contents) + 1}. {path.name}"] = path.read_bytes()
    return contents


def _answer(accepted: bool, number: int | None, checks: Sequence[Check]) -> Answer:
    return {
        "accepted": accepted,
        "submission": number,
        "page": f"algorithm?id={number}" if number else None,
        "checks": [vars(check) for check in checks],
    }


def _report(answer: Answer) -> str:
    """What happened, check by check."""
    if answer["submission"]:
        return (
            f"<p class='good'><strong>✓ On the board as submission {answer['submission']}."
            f"</strong> <a href='{answer['page']}'>Its page</a>; a run of each of the "
            f"seeds {SEEDS_NAMED} gives it a rank in a moment.</p>"
        )
    failed = sum(not check["passed"] for check in answer["checks"])
    head = (
        "<p class='good'><strong>✓ Every check passes.</strong> Press Submit to put it on the "
        "board.</p>"
        if answer["accepted"]
        else f"<p class='bad'><strong>✕ Refused: {failed} of {len(answer['checks'])} checks "
        "failed.</strong> Nothing was stored.</p>"
    )
    rows = [
        f"<li class='{'good' if check['passed'] else 'bad'}'>{'✓' if check['passed'] else '✕'} "
        f"{escape(check['name'])}"
        + (f"<span class='reason'>{escape(check['reason'])}</span>" if check["reason"] else "")
        + "</li>"
        for check in sorted(answer["checks"], key=lambda check: check["passed"])
    ]
    return head + f"<ul class='checks'>{''.join(rows)}</ul>"
