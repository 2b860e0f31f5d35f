"""The board as a Hugging Face Space: visitors sign in there; data lie in a persistent folder."""

from __future__ import annotations

import os
from pathlib import Path

import uvicorn
from progressgym.leaderboard.board import Board
from progressgym.leaderboard.commands import FOLDER
from progressgym.leaderboard.reference import add_reference_meanwhile
from progressgym.leaderboard.server import create_app

from progressgym.cli.console import quiet_libraries

if __name__ == "__main__":
    quiet_libraries()
    board = Board(Path(os.environ.get(FOLDER, "/data/board")))
    add_reference_meanwhile(board)
    on_space = "SPACE_ID" in os.environ
    uvicorn.run(
        create_app(board, space=on_space),
        host="0.0.0.0",
        port=int(os.environ.get("PORT", "7860")),
        log_level="warning",
    )
