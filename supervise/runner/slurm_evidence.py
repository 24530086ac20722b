"""Why Slurm has sent this job a signal: what scontrol says of the job and of its node at that moment.

A job that is preempted or whose node is taken away is queued again or ended, and Slurm's signal is the same as that of
scancel(1). scontrol is a helper process; no answer within ANSWER_SECONDS, and a bad one, give no reason.
"""

import os
import select
from time import monotonic

from supervise.process import helper_process
from supervise.process.spawn import SHELL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.process.tree import Stat

SENDER = "slurmstepd"
"""The process by which Slurm signals a job on its node."""
ANSWER_SECONDS = 1.0
"""Seconds for which the stop of the command waits for the reason: Slurm gives a job KillWait, 30 s by default."""
ANSWER_MAX_BYTES = 1 << 18
QUESTION = """
scontrol --oneliner show job "$0"
scontrol --oneliner show node "$1"
scontrol show config | while read -r name is word; do [ "$name" != PreemptMode ] || echo "$name=$word"; done
"""
PREEMPTED, NODE_DRAIN, REQUEUED = "preempted", "node_drain", "requeued"
PHRASES = {
    PREEMPTED: "Slurm preempts the job",
    NODE_DRAIN: "Slurm takes the node away",
    REQUEUED: "Slurm queues the job again",
}
"""What each reason means, for people."""
TAKEN_AWAY = ("DRAIN", "DOWN", "FAIL", "NOT_RESPONDING", "REBOOT", "POWER")
"""Parts of the state of a node that is no more for jobs (sinfo(1), NODE STATE CODES)."""


def is_sender(ancestry: "list[Stat]") -> bool:
    """Return whether a process with this ancestry is that by which Slurm signals a job."""
    return bool(ancestry) and ancestry[0].name == SENDER


def reason(job: str) -> str:
    """Return why Slurm ends this job now, in a word; '' where it says nothing of that."""
    try:
        said = _ask(job, os.environ.get("SLURMD_NODENAME", ""))
    except OSError:
        return ""
    restarts = os.environ.get("SLURM_RESTART_COUNT", "")
    return reason_of(said.decode("utf-8", "replace"), int(restarts) if restarts.isdecimal() else 0)


def reason_of(said: str, restarts: int) -> str:
    """Return the reason by the answers to QUESTION.

    `restarts` is how often the job had been queued again when it was started. A signal by scancel or by the limit of
    the job has no reason here.
    """
    fields: dict[str, str] = {}
    for word in said.split():
        name, is_field, value = word.partition("=")
        if is_field:
            # The first job is this one; a second record would be of another step of it.
            fields.setdefault(name, value)
    state = fields.get("JobState", "")
    again = fields.get("Restarts", "")
    is_requeued = again.isdecimal() and int(again) > restarts
    if state == "PREEMPTED":
        return PREEMPTED
    if state == "NODE_FAIL" or (is_requeued and any(part in fields.get("State", "") for part in TAKEN_AWAY)):
        return NODE_DRAIN
    if not is_requeued:
        return ""
    # Slurm tells a job that is preempted and one that its user queues again apart nowhere else.
    return PREEMPTED if "REQUEUE" in fields.get("PreemptMode", "") else REQUEUED


def _ask(job: str, node: str) -> bytes:
    """Return what scontrol says until ANSWER_SECONDS are over.

    Raises OSError.
    """
    source, sink = os.pipe()
    try:
        try:
            helper = helper_process.HelperProcess([SHELL, "-c", QUESTION, job, node], {1: sink})
        finally:
            os.close(sink)
        poll, until, found = select.poll(), monotonic() + ANSWER_SECONDS, b""
        poll.register(source, select.POLLIN)
        while poll.poll(max(0.0, until - monotonic()) * 1000) and len(found) < ANSWER_MAX_BYTES:
            chunk = os.read(source, 1 << 16)
            if not chunk:
                break
            found += chunk
        helper.kill_tree()
        helper.wait()
        return found
    finally:
        os.close(source)
