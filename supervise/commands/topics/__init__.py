"""The topics of `supervise help TOPIC`: each is a text beside this module.

Each text but that of cron also begins the manual page of the topic (`commands/manual_pages.py`). Those with a list from
a table are made of a template in `pages/templates`.

The texts are Markdown of a small kind, which `pages/topic_page.py` turns into man(7): headings, paragraphs, lists of
one level, and code that is indented by four spaces.
"""

import os

TOPICS = {
    "exit-codes": "what each exit code of supervise means",
    "limits": "which limits there are, and how they stop a command",
    "access": "when the command counts as up",
    "environment": "which variables supervise reads, and which the command gets",
    "configuration": "defaults for the options in a file, and profiles",
    "ci": "supervise in the jobs of GitHub, GitLab and Buildkite",
    "cron": "supervise in front of cron jobs",
    "agents": "how a coding agent or a bot runs commands under supervise",
    "batch": "one command for many items, and what has become of each",
}
"""What each topic is about, by its word."""


def text_of(topic: str) -> str:
    """Return the text of the topic.

    Raises OSError.
    """
    with open(os.path.join(os.path.dirname(__file__), topic + ".md"), encoding="ascii") as file:
        return file.read()
