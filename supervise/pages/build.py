"""Fills the templates: `@NAME@` in a template stands for a part that is made from the tables."""

from importlib.resources import files

from supervise import __version__
from supervise.commands.topics import PAGES
from supervise.pages import completions, github_action, manual, topic_page

MADE = ("access", "exit-codes")
"""The topics whose texts have a list that is made from a table."""


def pages() -> dict[str, str]:
    """Return the text of every page, by its path in the checkout."""
    return {
        "man/supervise.1": fill("supervise.1", manual.parts() | {"VERSION": __version__}),
        "man/supervise-cron.7": fill("supervise-cron.7", {"VERSION": __version__}),
        **{
            f"man/supervise-{topic}.7": fill("topic.7", topic_page.parts(topic) | {"VERSION": __version__})
            for topic in PAGES
        },
        **{f"supervise/commands/topics/{topic}.md": fill(f"{topic}.md", topic_page.lists()) for topic in MADE},
        ".github/actions/supervise/action.yml": fill("action.yml", github_action.parts()),
        "completions/supervise.bash": fill("supervise.bash", completions.bash_parts()),
        "completions/_supervise": fill("_supervise", completions.zsh_parts()),
        "completions/supervise.fish": fill("supervise.fish", completions.fish_parts()),
    }


def fill(template: str, parts: dict[str, str]) -> str:
    """Return the template of that name with each `@NAME@` replaced by the part of that name."""
    text = (files("supervise.pages") / "templates" / template).read_text(encoding="ascii")
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text
