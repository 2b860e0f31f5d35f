"""Submitting from the command line, through the page's own interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from progressgym.errors import ProgressGymError


def submit(board: str, token: str, card: str, files: Sequence[Path]) -> dict[str, Any]:
    """Send results to a board.

    Args:
        board: its address.
        token: of the submitter.
        card: YAML text.
        files: results.

    Returns:
        ``{"accepted": bool, "submission": number or None, "page": address, "checks": […]}``.

    Raises:
        ProgressGymError: there is no board at the address, or it does not answer.
    """
    from gradio_client import Client, handle_file

    try:
        client = Client(board, verbose=False)
        sent = [handle_file(path) for path in files]
        answer = client.predict(sent, card, token, api_name="/submit")
        return {**answer, "page": answer["page"] and urljoin(f"{board}/", answer["page"])}
    except Exception as error:  # the client raises whatever its transport does
        reason = str(error).strip() or type(error).__name__
        raise ProgressGymError(f"{board} did not take the submission: {reason}") from error
