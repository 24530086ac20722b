"""What the clients of HTCondor print, without a pool."""

import pytest

from supervise.batch import htcondor


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
