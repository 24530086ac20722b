"""Write every page into its folder below the current directory, such as `man` and `completions`."""

import sys
from pathlib import Path

from supervise.pages.build import pages


def main() -> int:
    """Write the pages and return the exit status: 0, or 1 where a page could not be written."""
    try:
        # The topics of the help are pages, and pages of the manual are made from them.
        for _ in range(2):
            for path, text in pages().items():
                Path(path).write_text(text, encoding="ascii")
    except OSError as error:
        print(f"supervise.pages: {error}; run it at the top of the checkout", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
