"""The web application: pages, downloads, and a thread that ranks."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response
from plotly.offline import get_plotlyjs

from progressgym.errors import UsageError

from . import looks
from .board import SORTABLE, Board, View
from .pages import about, algorithm, listing, playground, submit, texts, trajectories
from .uploads import LARGEST_UPLOAD, MOST_FILES

_DAY = "public, max-age=86400"
_FLAT = ("card",)  # columns that a CSV file has no place for


def create_app(
    board: Board, corpus: Path | None = None, models: str = "smollm2", space: bool = False
) -> FastAPI:
    """The whole application.

    Args:
        board: what it shows and takes in.
        corpus: a built corpus for the page of texts.
        models: timeline that answers in the playground.
        space: on a Hugging Face Space, where visitors sign in by OAuth.
    """
    ranker = Ranker(board)
    app = FastAPI(title="ProgressGym leaderboard", docs_url=None, redoc_url=None)
    _add_files(app, board)
    blocks = _blocks(board, ranker, corpus, models, space)
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=looks.THEME,
        head=f"<style>{looks.STYLES.read_text()}</style>",  # gradio would prefix its selectors
        max_file_size=LARGEST_UPLOAD,
        footer_links=["api"],
        show_error=True,
        ssr_mode=False,
        pwa=False,
    )
    ranker.wake()
    return app


def serve(board: Board, host: str, port: int, corpus: Path | None = None) -> None:
    """Serve until interrupted.

    Raises:
        UsageError: the port is taken.
    """
    config = uvicorn.Config(create_app(board, corpus), host=host, port=port, log_level="warning")
    try:
        uvicorn.Server(config).run()
    except SystemExit:
        raise UsageError(f"Cannot listen on {host}:{port}: is it in use? Try --port.") from None


class Ranker:
    """Ranks changed tracks in a thread of its own; many changes at once make one ranking."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._changed = threading.Event()
        threading.Thread(target=self._work, name="ranker", daemon=True).start()

    def wake(self) -> None:
        """Something changed."""
        self._changed.set()

    def _work(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            self._board.rank()


def _blocks(
    board: Board, ranker: Ranker, corpus: Path | None, models: str, space: bool
) -> gr.Blocks:
    with gr.Blocks(title="ProgressGym leaderboard", analytics_enabled=False) as blocks:
        _navigation()
        listing.build(board, blocks)
    with blocks.route("Trajectories", "trajectories") as page:
        _navigation()
        trajectories.build(board, page)
    with blocks.route("Algorithm", "algorithm") as page:
        _navigation()
        algorithm.build(board, page)
    with blocks.route("Playground", "playground"):
        _navigation()
        playground.build(models)
    with blocks.route("Texts", "texts"):
        _navigation()
        texts.build(corpus)
    with blocks.route("Submit", "submit"):
        _navigation()
        submit.build(board, ranker.wake, space)
    with blocks.route("About", "about"):
        _navigation()
        about.build()
    return blocks.queue(max_size=512)


def _navigation() -> None:
    """Every page calls the first one by the same name."""
    gr.Navbar(main_page_name="Board")


def _add_files(app: FastAPI, board: Board) -> None:
    """What is fetched by address: the drawing library, tables and results."""

    @app.get(looks.PLOTLY)
    def plotly() -> Response:
        return Response(get_plotlyjs(), media_type="text/javascript", headers={
            "Cache-Control": _DAY})  # fmt: skip

    @app.get("/board.json")
    def board_json(request: Request) -> Response:
        rows = _rows(board, request.query_params)
        text = json.dumps(rows, ensure_ascii=False, indent=1)
        return Response(text, media_type="application/json")

    @app.get("/board.csv")
    def board_csv(request: Request) -> Response:
        rows = [
            {k: _plain_cell(v) for k, v in row.items() if k not in _FLAT}
            for row in _rows(board, request.query_params)
        ]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["submission"])
        writer.writeheader()
        writer.writerows(rows)
        return Response(text.getvalue(), media_type="text/csv; charset=utf-8")

    @app.get("/runs/{number}/result.json.gz")
    def result(number: int) -> Response:
        try:
            content = board.content(number)
        except UsageError as error:
            raise HTTPException(404, str(error)) from None
        return Response(content, media_type="application/gzip")

    @app.middleware("http")
    async def guard(request: Request, forward: Any) -> Response:
        """Refuse uploads by their announced size, before a byte is read; and unknown pages."""
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > LARGEST_UPLOAD * MOST_FILES // 4:
            return Response("Too large.", status_code=413)
        if request.url.path == "/" and "page" in request.query_params:
            return Response("No such page.", status_code=404)  # gradio would fail to look it up
        answer = await forward(request)
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer


def _plain_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    dangerous = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if dangerous else value


def _rows(board: Board, asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """All rows of a view, as the page's own address describes it.

    Raises:
        HTTPException: there is no such track, or nothing to sort by.
    """
    known = [track["id"] for track in board.tracks()]
    track = asked.get("track", known[0] if known else "")
    if track not in known:
        raise HTTPException(404, f"No such track. Known: {', '.join(known) or 'none'}.")
    flags = asked.get("show", "bounds").split(",")
    view = View(
        search=asked.get("search", "")[:200],
        status="reproduced" if "reproduced" in flags else "all",
        bounds="bounds" in flags,
        sort=asked.get("sort", "skill"),
        descending=asked.get("descending", "1") == "1",
    )
    if view.sort not in SORTABLE:
        raise HTTPException(400, f"Rows can be sorted by {', '.join(SORTABLE)}.")
    return board.rows(track, view, size=None)[0]
