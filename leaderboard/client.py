"""Submitting from the command line, through the page's own interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from progressgym.errors import ProgressGymError


class Session:
    """A connection to a board.

    Args:
        board: its address.

    Raises:
        ProgressGymError: there is no board at the address, or it does not answer.
    """

    def __init__(self, board: str) -> None:
        from gradio_client import Client

        self.board = board
        with _explained(board):
            self._client = Client(board, verbose=False)

    def submit(self, token: str, card: str, files: Sequence[Path]) -> dict[str, Any]:
        """Send results of one algorithm.

        Args:
            token: of the submitter.
            card: YAML text.
            files: results.

        Returns:
            ``{"accepted": bool, "submission": number or None, "page": address, "checks": […]}``.

        Raises:
            ProgressGymError: the board does not answer.
        """
        from gradio_client import handle_file

        with _explained(self.board):
            sent = [handle_file(path) for path in files]
            answer = self._client.predict(sent, card, token, api_name="/submit")
        return {**answer, "page": answer["page"] and urljoin(f"{self.board}/", answer["page"])}


@contextmanager
def _explained(board: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the client raises whatever its transport does
        reason = str(error).strip() or type(error).__name__
        raise ProgressGymError(f"{board} did not take the submission: {reason}") from error
