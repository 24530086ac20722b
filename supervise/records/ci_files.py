"""The end of a run for a CI service: the files that GitHub's runner reads after a step, Buildkite's annotation.

Each of the three writers of an end calls this: the runner, the refusal of a start, and the guardian of a lost run.
"""

import os

from supervise.faces import github
from supervise.faces.report_shape import OWN_ENDS
from supervise.files import user_files
from supervise.process.child_end import reap_within
from supervise.text.stderr import reason_of
from supervise.text.writer import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

TEXTS = {"GITHUB_OUTPUT": github.outputs, "GITHUB_STEP_SUMMARY": github.summary}
"""What is appended to the file that each variable names."""

AGENT_SECONDS = 4.0
"""Seconds that Buildkite's agent has for the annotation; then it is killed, within the 5 s of the whole call."""


def append(service: str, report: "Mapping[str, Any]", environ: "Mapping[str, str]") -> str:
    """Append to the files of the service, and annotate Buildkite's build.

    Return which of the files cannot be written and why, or ''.
    """
    if service == "buildkite" and report["exit_code"] != 0 and report["outcome"] not in OWN_ENDS:
        _annotate(report, environ)
    failures = []
    for variable, text in TEXTS.items() if service == "github" else ():
        if not (path := environ.get(variable)):
            continue
        data = text(report).encode("utf-8", "backslashreplace")
        try:
            fd = user_files.open_to_append(path)
            try:
                write_all(fd, data)
            finally:
                os.close(fd)
        except (OSError, ValueError) as error:
            failures.append(f"{variable}: cannot write {path!r}: {reason_of(error)}")
    return "; ".join(failures)


def _annotate(report: "Mapping[str, Any]", environ: "Mapping[str, str]") -> None:
    """Have Buildkite's agent annotate the build; an agent that is missing, fails or hangs is no failure of the run."""
    body = "\n".join(github.table(report))
    words = ["buildkite-agent", "annotate", body, "--style", "error", "--context", f"supervise-{report['run_id']}"]
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
    try:
        pid = os.posix_spawnp(words[0], words, environ, file_actions=null, setpgroup=0, setsigmask=())
    except (OSError, ValueError):
        return
    if not reap_within(pid, AGENT_SECONDS):
        os.killpg(pid, 9)
        os.waitpid(pid, 0)
