"""What the clients of HTCondor print, without a pool."""

import pytest

from supervise.batch import htcondor
from supervise.runner import htcondor_evidence


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("1", "undefined", "undefined"), ("pending", None, None)),
        (("1", "75", "undefined"), ("pending", None, None)),
        (("2", "undefined", "undefined"), ("running", None, None)),
        (("3", "undefined", "undefined"), ("cancelled", None, None)),
        (("4", "3", "undefined"), ("ended", 3, None)),
        (("4", "undefined", "9"), ("ended", -9, None)),
        (("4", "92", "undefined"), ("ended", 92, "results_missing")),
        (("5", "undefined", "undefined"), ("pending", None, "held")),
        (("7", "undefined", "undefined"), ("running", None, "suspended")),
        (("x", "undefined", "undefined"), ("lost", None, None)),
    ],
)
def test_a_state_of_htcondor_is_one_of_ours(words: tuple[str, str, str], found: tuple[str, int | None, str]) -> None:
    state = htcondor._state(*words)
    assert (state.word, state.code, state.reason) == found


def test_the_newest_job_of_a_task_counts() -> None:
    said = b"1 7 3 undefined undefined\n1 9 4 0 undefined\n1 8 2 undefined undefined\nbroken\nundefined 7 1 0 0\n"
    assert {number: (cluster, state.word) for number, (cluster, state) in htcondor._read(said).items()} == {
        1: (9, "ended")
    }


def test_a_cluster_has_no_more_jobs_than_allowed() -> None:
    assert [*htcondor._clusters([1, 2, 3, 5, 9], 2)] == [[1, 2], [3, 5], [9]]


SLOTS = "mine slot1_1@m\nslot slot1@m {0} {1}\nslot slot1_1@m {0} {1}\n"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        # By condor_vacate_job, condor_vacate, condor_drain.
        (SLOTS.format("Claimed", "undefined") + "job 2\n", "preempted"),
        (SLOTS.format("Preempting", "undefined") + "job 2\n", "preempted"),
        (SLOTS.format("Preempting", "true") + "job 2\n", "node_drain"),
        # The queue does not answer.
        (SLOTS.format("Preempting", "true"), "node_drain"),
        (SLOTS.format("Claimed", "undefined"), ""),
        # The machine does not answer.
        ("mine slot1_1@m\njob 2\n", "preempted"),
        ("mine \njob 1\n", "preempted"),
        # By condor_rm and condor_hold, also on a machine that is drained while its jobs may end.
        (SLOTS.format("Claimed", "true") + "job 3\n", ""),
        (SLOTS.format("Preempting", "true") + "job 3\n", ""),
        (SLOTS.format("Claimed", "undefined") + "job 5\n", ""),
        ("slot\njob\nmine\nslot a b c d\n\x1b[2J\n", ""),
        ("", ""),
    ],
)
def test_a_signal_of_htcondor_has_the_reason_that_queue_and_machine_tell(said: str, reason: str) -> None:
    assert htcondor_evidence.reason_of(said) == reason
