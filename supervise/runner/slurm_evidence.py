"""Why Slurm has sent this job a signal: what scontrol says of the job and of its node at that moment.

A job that is preempted or whose node is taken away is queued again or ended, and Slurm's signal is the same as that of
scancel(1).
"""

import os

from supervise.launch import allocation
from supervise.runner.engine_question import NODE_DRAIN, PREEMPTED, REQUEUED

QUESTION = """
scontrol --oneliner show job "$0"
scontrol --oneliner show node "$1"
scontrol show config | while read -r name is word; do [ "$name" != PreemptMode ] || echo "$name=$word"; done
"""
TAKEN_AWAY = ("DRAIN", "DOWN", "FAIL", "NOT_RESPONDING", "REBOOT", "POWER")
"""Parts of the state of a node that is no more for jobs (sinfo(1), NODE STATE CODES)."""


def words() -> "list[str] | None":
    """Return the job and its node; None outside of a job."""
    job = allocation.slurm_job()
    return [job, os.environ.get("SLURMD_NODENAME", "")] if job else None


def reason_of(said: str) -> str:
    """Return the reason by the answers to QUESTION.  A signal by scancel or by the limit of the job has none here."""
    told = os.environ.get("SLURM_RESTART_COUNT", "")
    restarts = int(told) if told.isdecimal() else 0
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
