"""Each page is a template beside this file with `@NAME@` where the table has something to say."""

from importlib.resources import files

from supervise import __version__
from supervise.pages import completions, manual


def pages() -> dict[str, str]:
    """The text of every page, by its path in the checkout."""
    return {
        "man/supervise.1": fill("supervise.1", manual.parts() | {"VERSION": __version__}),
        "completions/supervise.bash": fill("supervise.bash", completions.bash_parts()),
        "completions/_supervise": fill("_supervise", completions.zsh_parts()),
        "completions/supervise.fish": fill("supervise.fish", completions.fish_parts()),
    }


def fill(template: str, parts: dict[str, str]) -> str:
    """The template with its parts in place."""
    text = (files("supervise.pages") / "templates" / template).read_text(encoding="ascii")
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text
