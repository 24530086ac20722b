"""The engines of batch jobs that signal a run, by the process that sends the signal on the machine of the job."""

from supervise.runner import htcondor_evidence, slurm_evidence
from supervise.runner.engine_question import Engine

BY_SENDER: dict[str, Engine] = {
    "slurmstepd": Engine("Slurm", slurm_evidence.QUESTION, slurm_evidence.words, slurm_evidence.reason_of),
    "condor_starter": Engine(
        "HTCondor", htcondor_evidence.QUESTION, htcondor_evidence.words, htcondor_evidence.reason_of
    ),
}
"""The engine by the name of the process (proc_pid_comm(5)) that signals its jobs."""
