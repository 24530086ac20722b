"""Fills the templates: `@NAME@` in a template stands for a part that is made from the tables."""

from importlib.resources import files

from supervise.pages import completions, config_schema, github_action, manual, topic_page

MADE = ("access", "exit-codes")
"""The topics whose texts have a list that is made from a table."""


def pages() -> dict[str, str]:
    """Return the text of every page, by its path in the checkout."""
    return {
        **{f"man/{path}": text for path, text in manual.pages(_template).items()},
        **{f"supervise/commands/topics/{topic}.md": fill(f"{topic}.md", topic_page.lists()) for topic in MADE},
        "supervise/schema/config.schema.json": config_schema.text(),
        ".github/actions/supervise/action.yml": fill("action.yml", github_action.parts()),
        "completions/supervise.bash": fill("supervise.bash", completions.bash_parts()),
        "completions/_supervise": fill("_supervise", completions.zsh_parts()),
        "completions/supervise.fish": fill("supervise.fish", completions.fish_parts()),
    }


def fill(template: str, parts: dict[str, str]) -> str:
    """Return the template of that name with each `@NAME@` replaced by the part of that name."""
    text = _template(template)
    assert text, template
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _template(path: str) -> str:
    """Return the text of the template at that path, or nothing where there is none."""
    file = files("supervise.pages") / "templates" / path
    return file.read_text(encoding="ascii") if file.is_file() else ""
