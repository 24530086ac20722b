"""The files that GitHub's runner reads after a step: the outputs and the summary of the run.

Each of the three writers of an end calls this: the runner, the refusal of a start, and the guardian of a lost run.
"""

import os

from supervise.faces import github
from supervise.files import user_files
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

TEXTS = {"GITHUB_OUTPUT": github.outputs, "GITHUB_STEP_SUMMARY": github.summary}
"""What is appended to the file that each variable names."""


def append(service: str, report: "Mapping[str, Any]", environ: "Mapping[str, str]") -> str:
    """Append to the files of the service; return which of them cannot be written and why, or ''."""
    failures = []
    for variable, text in TEXTS.items() if service == "github" else ():
        if not (path := environ.get(variable)):
            continue
        data = text(report).encode("utf-8", "backslashreplace")
        try:
            fd = user_files.open_to_append(path)
            try:
                if os.write(fd, data) < len(data):
                    failures.append(f"{variable}: written in part: {path!r}")
            finally:
                os.close(fd)
        except (OSError, ValueError) as error:
            failures.append(f"{variable}: cannot write {path!r}: {reason_of(error)}")
    return "; ".join(failures)
