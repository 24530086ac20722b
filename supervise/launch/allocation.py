"""The end of the job of an engine around this run, as the engine's variables tell it.

Slurm (sbatch(1), OUTPUT ENVIRONMENT VARIABLES) gives the end as SLURM_JOB_END_TIME from version 23.02 on; before that,
`runner/allocation_watch.py` asks squeue for it.  HTCondor (condor-manual, "Services for Running Jobs" and "Job ClassAd
Attributes") names a file with the ad of the job: AllowedExecuteDuration and AllowedJobDuration, counted from the start
that the ad has.  JobLeaseDuration is no end, since HTCondor renews the lease.  A second file has the ad of the machine,
which may retire before: GLIDEIN_ToDie, the end of a pilot of GlideinWMS, and TimeToLive, counted from MyCurrentTime.
DaemonShutdown is an expression, and MaxJobRetirementTime what a job gets at least: neither is an end.  Kubernetes tells
a pod nothing of its activeDeadlineSeconds: the manifest hands it on in SUPERVISE_ACTIVE_DEADLINE, and it counts from
the first process of the pod or the container.
"""

import os
from time import time

from supervise.launch import run_record
from supervise.launch.state import ENGINE_VARIABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.launch.state import Launched

SLURM, HTCONDOR, KUBERNETES = ENGINE_VARIABLES
HTCONDOR_MACHINE = "_CONDOR_MACHINE_AD"
SLURM_END = "SLURM_JOB_END_TIME"
NO_RETIREMENT_SECONDS = (1 << 31) - 1
"""TimeToLive of a machine that does not retire."""
AD_SECONDS = 1.0
"""Seconds that the file system of the ad may take."""
AD_MAX_BYTES = 1 << 20
SHOWN_CHARACTERS = 80
"""Characters of a value that a message shows."""
UNKNOWN = float("inf")


def end(launched: "Launched") -> "float | None":
    """Return when the job around this run ends, in epoch seconds; infinity where Slurm has to be asked for it.

    None where no end is told.  A value that is no number is said, and ignored.
    """
    ends = [_slurm_end(), _condor_end(launched), _pod_end()]
    known = [one for one in ends if one is not None]
    # An end that has passed is that of another job, whose variables have come here.
    future = [one for one in known if one > time()]
    return min(future or known, default=None)


def slurm_job() -> str:
    """Return the id of the Slurm job, `N_M` for a task of an array; '' where there is none, or no valid one."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID", ""), os.environ.get("SLURM_ARRAY_TASK_ID", "")
    if _count(array) is not None and _count(task) is not None:
        # The SLURM_JOB_ID of one task is the id of the whole array.
        return f"{array}_{task}"
    job = os.environ.get(SLURM, "")
    return job if _count(job) is not None else ""


def _slurm_end() -> "float | None":
    if not os.environ.get(SLURM):
        return None
    if not slurm_job():
        _ignore(SLURM, os.environ[SLURM], "no id of a job")
        return None
    told = _number_of(SLURM_END)
    # The variable stays as it is where an operator gives the job more time.
    return float(told) if told and told > time() else UNKNOWN


def _condor_end(launched: "Launched") -> "float | None":
    if not os.environ.get(HTCONDOR):
        return None
    retirement = end_of_machine(_ad(launched, HTCONDOR_MACHINE))
    # A machine whose end has passed has started this job all the same.
    is_ahead = retirement is not None and retirement > time()
    ends = [end_of_ad(_ad(launched, HTCONDOR)), retirement if is_ahead else None]
    return min((one for one in ends if one is not None), default=None)


def _ad(launched: "Launched", variable: str) -> str:
    """Return the text of the ad whose path that variable has; '' where it cannot be read, which is said."""
    path = os.environ.get(variable)
    if not path:
        return ""
    from supervise.process import bounded_call

    try:
        text: str = bounded_call.run(lambda: (read_ad(path), ()), AD_SECONDS)[0]
    except bounded_call.NoAnswerError as late:
        launched.child.give_up(late.pid)
        _ignore(variable, path, "its file system does not answer")
    except OSError as error:
        _ignore(variable, path, error.strerror or "it cannot be read")
    else:
        return text
    return ""


def read_ad(path: str) -> str:
    """Return the text of the ad; a file that is no regular one, or too large, is no ad: OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # S_IFMT and S_IFREG of inode(7): the module stat would cost a run time.
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:
            raise OSError(22, "it is no regular file")
        found = b""
        while chunk := os.read(fd, AD_MAX_BYTES):
            found += chunk
            if len(found) > AD_MAX_BYTES:
                raise OSError(27, "it is too large")
        return found.decode("utf-8", "replace")
    finally:
        os.close(fd)


def end_of_ad(text: str) -> "float | None":
    """Return the end of a job by its ad, in epoch seconds; None where the ad bounds the job not at all."""
    ad = _numbers(text)
    began = ad.get("jobcurrentstartdate")
    if began is None:
        return None
    # The ad of a job that runs again may still have the start of its execution before.
    executed = max(began, ad.get("jobcurrentstartexecutingdate", 0))
    ends = [
        start + ad[name]
        for name, start in (("allowedjobduration", began), ("allowedexecuteduration", executed))
        if name in ad
    ]
    return float(min(ends)) if ends else None


def end_of_machine(text: str) -> "float | None":
    """Return when a machine of HTCondor retires by its ad, in epoch seconds; None where the ad tells no such time."""
    ad = _numbers(text)
    ends = [ad["glidein_todie"]] if "glidein_todie" in ad else []
    if "mycurrenttime" in ad and 0 < ad.get("timetolive", 0) < NO_RETIREMENT_SECONDS:
        ends.append(ad["mycurrenttime"] + ad["timetolive"])
    return float(min(ends)) if ends else None


def _numbers(text: str) -> "dict[str, int]":
    """Return the whole numbers of an ad above 0, by their names in lower case.

    An ad has lines `Name = value`, whose names have no case.  A value that is an expression counts as absent.
    """
    ad: dict[str, int] = {}
    for line in text.split("\n"):
        name, _, word = line.partition("=")
        number = _count(word.strip())
        if number:
            ad[name.strip().lower()] = number
    return ad


def _pod_end() -> "float | None":
    seconds = _number_of(KUBERNETES)
    if not seconds:
        return None
    from supervise.process import tree

    first = tree.stat(1)
    if first is None:
        return time() + seconds
    age = tree.since_boot() - first.starttime / os.sysconf("SC_CLK_TCK")
    return time() - max(age, 0.0) + seconds


def _number_of(name: str) -> "int | None":
    """Return the number in that variable; None where it has none, which is said of a value that is no number."""
    value = os.environ.get(name)
    if not value:
        return None
    number = _count(value)
    if number is None:
        _ignore(name, value, "no number of seconds")
    return number


def _count(text: str) -> "int | None":
    """Return a whole number of up to ten digits; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _ignore(name: str, value: str, why: str) -> None:
    shown = repr(value[:SHOWN_CHARACTERS])
    run_record.warn(f"{name}={shown}: {why}; the end of the job is not known")
