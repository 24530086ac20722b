"""Finds the manual and the completions that were installed with supervise, wherever that was.

Installers put them into `share` of the prefix, which is a folder above the package: the package is in
`PREFIX/lib/python3.11/site-packages`, the manual in `PREFIX/share/man`. In a checkout they lie beside the package.
"""

import os

COMPLETIONS = {
    "bash": ("completions/supervise.bash", "share/bash-completion/completions/supervise"),
    "zsh": ("completions/_supervise", "share/zsh/site-functions/_supervise"),
    "fish": ("completions/supervise.fish", "share/fish/vendor_completions.d/supervise.fish"),
}
"""The path of each shell's completions in a checkout, and below a prefix."""


def manual_page(path: str) -> "str | None":
    """Return the path of the page with that path in the manual (`man1/supervise-ps.1`), or None."""
    return find(f"man/{path}", f"share/man/{path}")


def find(in_checkout: str, below_prefix: str) -> "str | None":
    """Return the path of the file that the nearest folder above the package has, or None where none has it."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    paths = [os.path.join(folder, in_checkout)]
    while folder != os.path.dirname(folder):
        paths.append(os.path.join(folder, below_prefix))
        folder = os.path.dirname(folder)
    return next((path for path in paths if os.path.isfile(path)), None)
