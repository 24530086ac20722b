"""The links of README, the other Markdown pages and the manual lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
FOLDERS = (".github", "supervise", "tests")
PAGES = [ROOT / "README.md", *sorted(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
MANUAL = sorted((ROOT / "man").rglob("*.[1-9]"))
HOSTS = {
    *("example.com", "example.org", "127.0.0.1", "localhost"),  # for examples: RFC 2606, RFC 6761
    *("docs.github.com", "github.com", "hc-ping.com", "keepachangelog.com", "semver.org"),
}
"""The hosts that a page may name: the reserved ones for examples, and those that were looked at by a person."""
URL = re.compile(r"https?://[^\s<>\"'`)\\]+")


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a Markdown page, those within lines included."""
    for token in MarkdownIt().enable("table").parse(text):
        yield token
        yield from token.children or ()


def links(page: Path) -> list[str]:
    """Return where the links and the pictures of a page lead."""
    found = []
    for token in tokens(page.read_text(encoding="utf-8")):
        target = token.attrGet("href" if token.type == "link_open" else "src")
        if token.type in ("link_open", "image") and isinstance(target, str):
            found.append(target)
    return found


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found, is_heading = set(), False
    for token in tokens(page.read_text(encoding="utf-8")):
        if token.type == "inline" and is_heading:
            text = "".join(child.content for child in token.children or ())
            found.add(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
        is_heading = token.type == "heading_open"
    return found


RELATIVE = [(page, link) for page in PAGES for link in links(page) if not urlsplit(link).scheme]


@pytest.mark.parametrize(
    ("page", "link"), RELATIVE, ids=[f"{page.relative_to(ROOT)}:{link}" for page, link in RELATIVE]
)
def test_a_link_to_a_file_finds_it_and_its_heading(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    assert target.is_relative_to(ROOT), "outside of the repository"
    assert target.exists()
    if anchor:
        assert anchor in anchors(target)


def test_the_readme_leads_to_the_pages_for_contributors() -> None:
    there = {link for page, link in RELATIVE if page.name == "README.md" and page.parent == ROOT}
    assert {".github/CHANGELOG.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md", "supervise/README.md"} <= there


@pytest.mark.parametrize("page", [*PAGES, *MANUAL], ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_no_invented_host(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\-", "-").replace("\\&", "")
    hosts = {urlsplit(url).hostname or "" for url in URL.findall(text)}
    unknown = {host for host in hosts if host not in HOSTS and not host.endswith(".example") and "." in host}
    assert not unknown


def pages_named(text: str) -> set[str]:
    """Return the manual pages of supervise that a text names: `supervise-ps(1)`, `man supervise-cron`."""
    plain = re.sub(r"\\f[BIR]|\\&", "", text).replace("\\-", "-")
    found = {f"{name}.{section}" for name, section in re.findall(r"\b(supervise[a-z.-]*)\((\d)\)", plain)}
    return found | set(re.findall(r"\bman (supervise[a-z-]*)", plain))


@pytest.mark.parametrize("page", [*PAGES, *MANUAL], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_pages_of_the_manual_that_a_page_names_exist(page: Path) -> None:
    there = {path.name for path in MANUAL}
    there |= {path.stem for path in MANUAL}
    assert pages_named(page.read_text(encoding="utf-8")) <= there
