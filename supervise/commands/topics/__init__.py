"""The topics of `supervise help TOPIC`: each is a text beside this module, and a man page made of the text.

The texts are Markdown of a small kind, which `pages/topic_page.py` turns into man(7): headings, paragraphs, lists of
one level, and code that is indented by four spaces.
"""

import os

TOPICS = {
    "agents": "how a coding agent or a bot runs commands under supervise",
    "batch": "one command for many items, and what has become of each",
}
"""What each topic is about, by its word: the NAME line of its man page."""


def text_of(topic: str) -> str:
    """Return the text of the topic.

    Raises OSError.
    """
    with open(os.path.join(os.path.dirname(__file__), topic + ".md"), encoding="ascii") as file:
        return file.read()
