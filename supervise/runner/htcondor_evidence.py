"""Why HTCondor has sent this job a signal: what the queue says of the job, and its machine of the slot, at that moment.

condor_starter signals a job that is removed or held, and one that has to leave its machine, alike. The queue has the
new state of a job that is removed or held before the signal; a job that leaves its machine is still running there. The
slot of a job that the machine itself sends away is `Preempting`, and `Draining` after condor_drain(1).

VacateReason and VacateReasonCode are no evidence: HTCondor sets them when the job has ended, and a job that was vacated
before has those of that time.
"""

import os

from supervise.launch import allocation
from supervise.runner.engine_question import NODE_DRAIN, PREEMPTED

QUESTION = r"""
value() { LC_ALL=C sed -n "s/^$1 = \"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" "$2"; }
job=$0 machine=$1
echo "mine $(value Name "$machine")"
{
    schedd=$(value GlobalJobId "$job")
    condor_q -name "${schedd%%#*}" "$(value ClusterId "$job").$(value ProcId "$job")" -af JobStatus |
        LC_ALL=C sed 's/^/job /'
} &
condor_status -direct "$(value MyAddress "$machine")" -af Name State Draining | LC_ALL=C sed 's/^/slot /'
wait
"""
"""Asks both at once, so that one that does not answer leaves the other its time."""
IDLE, RUNNING = "1", "2"
"""The JobStatus of a job that goes on, here or on another machine (condor-manual, "Job ClassAd Attributes")."""
SENT_AWAY = "Preempting"
"""The state of a slot whose job has to leave it (condor-manual, "condor_startd Policy Configuration")."""


def words() -> "list[str] | None":
    """Return the paths of the ads of the job and of its machine; None outside of a job."""
    job, machine = os.environ.get(allocation.HTCONDOR), os.environ.get(allocation.HTCONDOR_MACHINE)
    return [job, machine] if job and machine else None


def reason_of(said: str) -> str:
    """Return the reason by the answers to QUESTION.  A job that is removed or held has no reason here."""
    mine = status = ""
    slots: dict[str, tuple[str, str]] = {}
    for line in said.splitlines():
        match line.split():
            case ["mine", name]:
                mine = name
            case ["job", word]:
                status = word
            case ["slot", name, state, is_draining]:
                slots[name] = state, is_draining
    if status not in ("", IDLE, RUNNING):
        return ""
    state, is_draining = slots.get(mine, ("", ""))
    if state == SENT_AWAY:
        return NODE_DRAIN if is_draining == "true" else PREEMPTED
    # Without a word of the queue the job may be one that is removed.
    return PREEMPTED if status else ""
