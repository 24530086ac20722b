"""`supervise man`: show a page of the manual, wherever supervise was installed.

A terminal gets the page through man(1), or as text through a pager; a pipe or a file gets it as text.
"""

import os
from typing import Any

from supervise.commands import formats, help_layout, man_text, manual_pages, shared_files
from supervise.commands.manual_pages import Page
from supervise.options.table import BadValueError

PAGERS = ("less", "more")
"""What shows text a screen at a time where PAGER names nothing."""
SCRIPT = b"#!"


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Show the page; return 0.

    Raises BadValueError where there is no such page or it was not installed, and OSError where stdout fails.
    """
    page = _page(operands[0] if operands else manual_pages.PROGRAM)
    path = shared_files.manual_page(page.path)
    if path is None:
        raise BadValueError(f"{page.name}({page.section}) was not installed with supervise; see supervise help")
    is_terminal = _is_terminal()
    if is_terminal and (program := _man()) and _run([program, "-l", path]):
        return 0
    text = man_text.rendered(formats.read_file(path).decode("ascii"), help_layout.columns()).encode()
    if not (is_terminal and _paged(text)):
        formats.write(text)
    return 0


def _page(word: str) -> Page:
    """Return the page of that name: `ps`, `supervise-ps`, `supervise-ps.1`, `ps(1)`, `toml`.

    Raises BadValueError.
    """
    pages = manual_pages.pages()
    for page in pages:
        names = (page.word, page.name, page.name.removeprefix(manual_pages.PROGRAM + "."))
        if word in (form for name in names for form in (name, f"{name}({page.section})", f"{name}.{page.section}")):
            return page
    from supervise.text.nearest import nearest

    words = [page.word for page in pages]
    near = nearest(word.removeprefix("supervise-"), words)
    raise BadValueError(f"no page {word!r}; " + (f"did you mean {near}?" if near else f"there are {', '.join(words)}"))


def _is_terminal() -> bool:
    try:
        return os.isatty(1)
    except OSError:
        return False


def _man() -> str:
    """Return the path of man(1), or nothing where there is none.

    Small images have a script of this name, which says that the manual is left out there.
    """
    from shutil import which

    path = which("man")
    try:
        with open(path or "", "rb") as file:
            return "" if file.read(len(SCRIPT)) == SCRIPT else path or ""
    except OSError:
        return ""


def _run(words: list[str], text: bytes | None = None) -> bool:
    """Run the program on the terminal, with the text on its stdin if there is one; return whether it has succeeded.

    Ctrl-C is meant for the program, which lives on: a pager takes it for the end of a search.
    """
    import signal
    import subprocess

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # The pager gets the default action again.
        program = subprocess.Popen(
            words, stdin=None if text is None else subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, before) and None,
        )  # fmt: skip
        # A pager that ends before the end of the text closes the pipe; that is no error.
        program.communicate(text)
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
    # A signal that ends the program ends the reading, too.
    return program.returncode <= 0


def _paged(text: bytes) -> bool:
    """Show the text through the pager of the user; return False where there is none."""
    from shutil import which

    chosen = os.environ.get("MANPAGER") or os.environ.get("PAGER")
    if chosen:
        return _run(["/bin/sh", "-c", chosen], text)
    return any(_run([path], text) for path in filter(None, map(which, PAGERS)))
