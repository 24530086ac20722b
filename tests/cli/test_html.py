"""`supervise show --html`: the page of a run, as Chromium shows it and as axe-core judges it."""

import json
import os
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from tests.support.chromium import SECONDS, Browser, browser
from tests.support.harness import Place, child, wait_until
from tests.support.listed_runs import ask, make
from tests.support.programs import missing, needed

AXE = "axe-core@4.10.3"
HOSTILE = "<script>document.title='owned'</script><img src=http://192.0.2.1/x.png>\"'&"
WIDTHS = (400, 1400)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the script of axe-core; skip the test where npm cannot get it."""
    folder = tmp_path_factory.mktemp("axe")
    words = [needed("npm"), "pack", "--silent", AXE]
    if subprocess.run(words, cwd=folder, capture_output=True, timeout=SECONDS, check=False).returncode:
        missing(f"npm cannot get {AXE}")
    with tarfile.open(next(folder.glob("*.tgz"))) as files:
        found = files.extractfile("package/axe.min.js")
        assert found
        return found.read().decode()


def page_of(place: Place, name: str, word: str = "-") -> Path:
    """Write the page of the run and return its path."""
    path = place.file(f"{name}.html")
    ended = ask(place, "show", word, "--html", str(path))
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")
    return path


def words_of(path: Path) -> str:
    return re.sub(r"\s+", " ", html.fromstring(path.read_text()).text_content())


def judged(browser: Browser, axe: str) -> list[str]:
    """Return the serious faults that axe-core finds in the page."""
    browser.evaluate(axe)
    found = json.loads(browser.evaluate("axe.run().then(found => JSON.stringify(found.violations))"))
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def check(browser: Browser, axe: str, path: Path) -> dict[str, Any]:
    """Check the page in each width and colour scheme; return its title and its text."""
    papers = set()
    for width in WIDTHS:
        for scheme in SCHEMES:
            browser.set_look(width, scheme)
            browser.open(f"file://{path}")
            assert [one["request"]["url"] for one in browser.reported("Network.requestWillBeSent")] == [
                f"file://{path}"
            ]
            assert browser.reported("Runtime.exceptionThrown") == browser.reported("Log.entryAdded") == []
            assert browser.evaluate("document.documentElement.scrollWidth") == width
            assert judged(browser, axe) == []
            papers.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == len(SCHEMES)
    found: dict[str, Any] = {
        "title": browser.evaluate("document.title"),
        "text": browser.evaluate("document.body.innerText"),
        "scripts": browser.evaluate("document.querySelectorAll('script, img, link').length"),
    }
    return found


@pytest.mark.needs("chromium", "npm")
def test_a_browser_shows_a_stopped_run(supervise: Place, chromium: Browser, axe: str) -> None:
    options = ("-a", "20", "-t", "3", "-x", "1", "--warn-at", "1.5s", "-k", "0.3", "--cpu-threshold", "2")
    ended = supervise(*options, "--name", "night", "--", *child("ignore=TERM", "ready", "burn_cpu=60"))
    assert ended.code == 124
    path = page_of(supervise, "stopped")
    found = check(chromium, axe, path)
    assert re.match(r"night was stopped after \d.*: it ran longer than 4", found["title"])
    for lane in ("phases", "up", "warnings", "extensions", "stop", "limits", "CPU", "output"):
        assert re.search(f"^{lane}$", found["text"], re.MULTILINE), lane
    assert "What the processes were doing" in found["text"]
    # The shapes stand where the events were: access before the extension, and both before the stop.
    places = chromium.evaluate(
        "['access', 'extension', 'stop', 'kill'].map(kind => document.querySelector('.mark.' + kind)"
        ".getBoundingClientRect().x)"
    )
    assert places == sorted(places)
    assert chromium.evaluate("document.querySelector('.curve.cpu').getBBox().height") > 0


@pytest.mark.needs("chromium", "npm")
def test_a_browser_runs_nothing_of_a_hostile_run(supervise: Place, chromium: Browser, axe: str) -> None:
    """Its words and its output are text, and control characters in them escapes."""
    printed = HOSTILE + "\n\x1b[31mred\x07\u202e end"
    options = ("--retries", "2", "--retry-on", "failed", "--retry-delay", "0.1", "-t", "60")
    supervise.start(
        *options, "--", "sh", "-c", "printf '%s\\n' \"$1\"; exit 3", HOSTILE, printed, report=False
    ).wait()  # fmt: skip
    found = check(chromium, axe, page_of(supervise, "hostile"))
    assert found["title"].startswith("sh failed after ")
    assert found["scripts"] == 0
    assert "3 in all" in found["text"]
    assert HOSTILE in found["text"]
    assert r"\x1b[31mred\x07\u202e end" in found["text"]


@pytest.mark.needs("chromium", "npm")
def test_a_browser_shows_a_run_that_goes_on_and_an_empty_one(supervise: Place, chromium: Browser, axe: str) -> None:
    running = supervise.start("-t", "60", "--name", "day", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    found = check(chromium, axe, page_of(supervise, "running"))
    assert found["title"].startswith("day has been running for ")
    running.send(signal.SIGTERM)
    running.wait()
    supervise.start("--", "true", report=False).wait()
    found = check(chromium, axe, page_of(supervise, "empty"))
    assert found["title"].startswith("true completed after ")
    assert "There is no output on record." in found["text"]


def test_a_lost_run_has_a_page(supervise: Place) -> None:
    run_id = make(supervise.state, time.time() - 60)
    assert "true is lost: its supervise was killed." in words_of(page_of(supervise, "lost", run_id))


def test_a_long_output_makes_no_large_page(supervise: Place) -> None:
    supervise.start("--", "sh", "-c", "yes 'line & <b>' | head -c 10000000; echo; echo the end", report=False).wait()
    path = page_of(supervise, "long")
    assert path.stat().st_size < 200_000
    assert "the end" in words_of(path)
    assert 'class="curve output"' in path.read_text()


def test_many_attempts_make_no_large_page(supervise: Place) -> None:
    options = ("--retries", "100", "--retry-on", "failed", "--retry-delay", "0")
    assert supervise.start(*options, "--", "false", report=False).wait().code == 1
    path = page_of(supervise, "many")
    assert path.stat().st_size < 200_000
    assert "101 in all" in words_of(path)


def test_the_page_goes_to_stdout_or_replaces_the_file_whole(supervise: Place) -> None:
    supervise.start("--", "echo", "hello", report=False).wait()
    path = page_of(supervise, "one")
    before = os.stat(path).st_ino
    shown = ask(supervise, "show", "-", "--html", "-")
    assert (shown.code, shown.err) == (0, b"")
    page_of(supervise, "one")
    assert os.stat(path).st_ino != before
    assert sorted(one.name for one in supervise.folder.glob("*.html*")) == ["one.html"]
    footer = re.compile(r"<footer>.*")
    assert footer.sub("", shown.out.decode()) == footer.sub("", path.read_text())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--html", "/nowhere/a.html"], "--html: cannot write '/nowhere/a.html': no such file or directory"),
        (["--html", "/"], "--html: cannot write '/': is a directory"),
        (["--html", "a.html", "--json"], "--html: not with --json"),
    ],
    ids=["missing", "folder", "json"],
)
def test_a_page_that_cannot_be_written_is_refused(supervise: Place, words: list[str], why: str) -> None:
    supervise.start("--", "true", report=False).wait()
    ended = ask(supervise, "show", "-", *words)
    assert (ended.code, ended.out) == (125, b"")
    assert ended.err.decode().startswith(f"supervise: show: {why}")
    assert ended.err.count(b"\n") == 1


def test_a_file_that_another_user_has_planted_is_refused(supervise: Place) -> None:
    if os.geteuid():
        pytest.skip("only root can make a file of another user")
    supervise.start("--", "true", report=False).wait()
    folder = supervise.file("shared")
    folder.mkdir()
    folder.chmod(0o1777)
    planted = folder / "page.html"
    planted.write_text("theirs")
    os.chown(planted, 65534, 65534)
    ended = ask(supervise, "show", "-", "--html", str(planted))
    assert ended.code == 125
    assert b"was made by another user" in ended.err
    assert planted.read_text() == "theirs"


def test_the_page_of_a_run_in_progress_can_be_made_at_any_moment(supervise: Place) -> None:
    running = supervise.start("-t", "60", "--", *child("ready", "stay"), report=False)
    wait_until(lambda: ask(supervise, "show", "-", "--html", "-").code == 0)
    running.send(signal.SIGTERM)
    running.wait()
