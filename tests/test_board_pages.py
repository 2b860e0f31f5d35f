"""The board in a real browser: every page, by mouse, on a phone, in the dark."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from board_fixtures import card, file_of, moved
from progressgym.leaderboard.board import Board
from test_board import CARD, written

from progressgym.results import RunResult

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: the extra [dev]")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a browser: apt install chromium (or another named so)"
)

PATIENCE = 120_000  # milliseconds: a busy machine is slow, not wrong
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def site(
    small_yaml: Path,
    humans_folder: Path,
    runs: dict[str, RunResult],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Board, str]]:
    """Address, board and token of a site with some submissions, served from a thread."""
    import uvicorn
    from progressgym.leaderboard.server import create_app

    folder = tmp_path_factory.mktemp("site")
    (folder / "humans").symlink_to(humans_folder)
    board = Board(folder)
    files = {name: file_of(result)["result.json.gz"] for name, result in runs.items()}
    board.submit(card(), files, "ada")
    for seed in range(1, 61):
        own = card().model_copy(update={"description": f"variant {seed}"})
        board.submit(own, file_of(moved(runs["follow"], seed)), f"user-{seed}")
    evil = card().model_copy(update={"description": HOSTILE, "contact": HOSTILE})
    board.submit(evil, file_of(moved(runs["follow"], 99)), "<b>mallory</b>")
    token = board.store.new_token("browser")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = create_app(board, models=str(small_yaml))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}", board, token
    server.should_exit = True
    thread.join(timeout=20)


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: sync_api.Browser) -> Iterator[sync_api.Page]:
    """A page that fails the test when a script fails in it."""
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE)
    sync_api.expect.set_options(timeout=PATIENCE)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert problems == []


def rows(page: sync_api.Page) -> list[str]:
    """Texts of the table's rows."""
    return page.locator("#listing tbody tr").all_inner_texts()


def search(page: sync_api.Page, words: str) -> None:
    page.wait_for_selector("#listing tbody tr")  # what is typed before is lost
    box = page.get_by_label("Search")
    box.fill("")
    box.press_sequentially(words)
    box.press("Enter")
    page.wait_for_function(f"new URLSearchParams(location.search).get('search') == {words!r}")


def test_the_board_sorts_filters_pages_and_keeps_its_address(
    site: tuple[str, Board, str], page: sync_api.Page
) -> None:
    address, _, _ = site
    page.goto(address)
    page.wait_for_selector("#listing tbody tr")
    assert "Follow · quick" in page.get_by_label("Challenge").input_value()
    assert len(rows(page)) == 50
    assert page.get_by_text("Page 1 of 2, 62 submissions").is_visible()
    page.get_by_role("button", name="Next →").click()
    page.get_by_text("Page 2 of 2").wait_for()
    assert len(rows(page)) == 12
    page.get_by_role("button", name="seeds").click()
    header = page.locator("th[aria-sort=descending]")
    sync_api.expect(header).to_have_text(re.compile("seeds"))
    search(page, "variant 17")
    sync_api.expect(page.locator("#listing tbody tr")).to_have_count(1)
    page.wait_for_function("location.search.includes('search=variant')")
    kept = page.url
    other = page.context.new_page()
    other.goto(kept)
    sync_api.expect(other.locator("#listing tbody tr")).to_have_count(1)
    assert other.get_by_label("Search").input_value() == "variant 17"
    other.close()
    search(page, "no such thing")
    page.get_by_text("No submission fits").wait_for()


def test_downloads_hold_the_view(site: tuple[str, Board, str], page: sync_api.Page) -> None:
    address, board, _ = site
    track = next(t["id"] for t in board.tracks() if t["challenge"] == "follow")
    page.goto(f"{address}/?track={track}&search=user-1")
    page.wait_for_selector("#listing tbody tr")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    lines = Path(waiting.value.path()).read_text().splitlines()
    assert len(lines) == 1 + 11  # user-1, user-10 … user-19
    assert lines[0].startswith("submission,name,submitter")
    found = json.loads(urllib.request.urlopen(f"{address}/board.json?track={track}").read())
    assert len(found) == 62
    for wrong in ("track=nothing", f"track={track}&sort=card"):
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{address}/board.json?{wrong}")


def test_ticked_rows_are_compared(site: tuple[str, Board, str], page: sync_api.Page) -> None:
    page.goto(site[0])
    page.wait_for_selector("#listing tbody tr")
    for index in (0, 1):
        page.locator("#listing tbody input").nth(index).click()
        page.wait_for_function(f"location.search.split('picked=')[1].split('%2C').length > {index}")
    page.locator("#compared").get_by_text("p (Holm)").wait_for()
    assert page.locator("#compared tbody tr").count() == 3


def test_an_algorithms_page_has_card_scores_runs_and_history(
    site: tuple[str, Board, str], page: sync_api.Page
) -> None:
    page.goto(site[0])
    search(page, "ada")
    page.locator("#listing tbody a").first.click()
    page.get_by_role("heading", name="random").wait_for()
    page.get_by_text("received").wait_for()
    assert page.get_by_text("https://example.org/ada/lifelong-dpo", exact=True).count() == 1
    page.wait_for_selector(".pg-plot .main-svg")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="result.json.gz").first.click()
    assert RunResult.load(Path(waiting.value.path()).rename(
        Path(waiting.value.path()).with_suffix(".gz"))).spec.algorithm == "random"  # fmt: skip
    page.goto(f"{site[0]}/algorithm?id=1%20OR%201=1")
    page.get_by_text("Choose an algorithm").wait_for()


def test_script_in_a_card_is_text(site: tuple[str, Board, str], page: sync_api.Page) -> None:
    address, board, _ = site
    number = board.store.read("SELECT max(id) AS n FROM submissions")[0]["n"]
    page.goto(f"{address}/algorithm?id={number}")
    page.get_by_text("onerror").first.wait_for()
    page.goto(address)
    search(page, "mallory")
    sync_api.expect(page.locator("#listing tbody tr")).to_have_count(1)
    assert page.title() != "owned"
    assert page.locator("#listing script, #listing img").count() == 0


def test_trajectories_draw_explain_a_point_and_play(
    site: tuple[str, Board, str], page: sync_api.Page
) -> None:
    page.goto(f"{site[0]}/trajectories")
    page.wait_for_function("document.querySelectorAll('.pg-plot .main-svg').length >= 2")
    page.wait_for_function("document.querySelector('.pg-plot').data.length >= 4")
    page.evaluate(
        """() => {
          const plot = document.querySelector('.pg-plot');
          const trace = plot.data.find(t => t.customdata && t.name !== 'human');
          plot.emit('plotly_click', {points: [{customdata: trace.customdata[1]}]});
        }"""
    )
    page.get_by_text("Largest differences first").wait_for()
    page.get_by_text("▶ Play").click()
    page.get_by_label("value", exact=True).check()
    page.wait_for_function("document.querySelector('.pg-plot .ytick text')")


def test_submitting_good_and_bad_files_by_the_page(
    site: tuple[str, Board, str], page: sync_api.Page, runs: dict[str, RunResult], tmp_path: Path
) -> None:
    address, board, token = site
    good = written(moved(runs["follow"], 500), tmp_path / "good")
    bad = written(moved(runs["follow"], 501), tmp_path / "bad")
    bad.write_text(bad.read_text().replace('"seed":501', '"seed":502'))
    before = board.store.read("SELECT count(*) AS n FROM submissions")[0]["n"]
    page.goto(f"{address}/submit")
    editor = page.locator(".cm-content")
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(CARD)

    def give(path: Path) -> None:
        if page.get_by_label("Remove this file").count():
            page.get_by_label("Clear").click()
        page.locator("input[type=file]").set_input_files(path)
        page.locator(".file-preview").wait_for()

    give(bad)
    page.get_by_role("button", name="Check").click()
    page.get_by_text("The digest does not fit").wait_for()
    page.reload()
    editor.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(CARD)
    give(good)
    page.get_by_role("button", name="Check").click()
    page.get_by_text("Every check passes").wait_for()
    page.get_by_label("Token").fill("pg-wrong")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("not one of this board's").wait_for()
    assert board.store.read("SELECT count(*) AS n FROM submissions")[0]["n"] == before
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Submit").click()
    page.get_by_text(f"On the board as submission {before + 1}").wait_for()
    assert board.submission(before + 1)["submitter"] == "browser"


def test_the_playground_asks_every_era(site: tuple[str, Board, str], page: sync_api.Page) -> None:
    page.goto(f"{site[0]}/playground")
    page.get_by_label("Act or question").fill("to lend money")
    page.get_by_role("button", name="Ask all eras").click()
    sync_api.expect(page.locator("#answers tbody tr")).to_have_count(4)
    page.wait_for_selector(".pg-plot .main-svg")
    page.get_by_label("Ask a question").check()
    page.get_by_label("Act or question").fill("What is good?")
    page.get_by_role("button", name="Ask all eras").click()
    sync_api.expect(page.locator("#answers h2")).to_have_text(["early", "middle", "late"])


def test_pages_without_anything_say_what_to_do(
    site: tuple[str, Board, str], page: sync_api.Page
) -> None:
    page.goto(f"{site[0]}/texts")
    page.get_by_text("This board has no texts").wait_for()
    page.goto(f"{site[0]}/algorithm")
    page.get_by_text("Choose an algorithm on the board").wait_for()
    for unknown in ("nothing", "?page=nothing", "runs/99999/result.json.gz"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{site[0]}/{unknown}")
    page.goto(f"{site[0]}/about")
    page.locator(".katex").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(
    site: tuple[str, Board, str], browser: sync_api.Browser, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    for path in ("", "trajectories", "algorithm?id=1", "playground", "submit", "about"):
        page.goto(f"{site[0]}/{path}")
        page.wait_for_selector(".pg h1, h1")
        page.wait_for_timeout(1500)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 391, f"/{path} is {wide} pixels wide"
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(21, 24, 27)") == (scheme == "dark"), (path, dark)
    context.close()


def test_the_board_can_be_used_by_keyboard(
    site: tuple[str, Board, str], page: sync_api.Page
) -> None:
    page.goto(site[0])
    page.wait_for_selector("#listing tbody tr")
    button = page.get_by_role("button", name=re.compile("^gain"))
    button.focus()
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("gain"))
    assert page.locator("#listing caption").inner_text().startswith("follow")
    unnamed = page.locator("#listing input:not([aria-label]), #listing button:empty")
    assert unnamed.count() == 0
