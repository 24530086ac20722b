"""What the clients of Slurm print, without a cluster."""

from collections.abc import Callable

import pytest

from supervise.batch import slurm
from supervise.runner import slurm_evidence
from supervise.runner.engine_question import PHRASES


@pytest.mark.parametrize(
    ("word", "code", "found"),
    [
        ("PENDING", "0:0", ("pending", None, None)),
        ("COMPLETING", "0:0", ("running", None, None)),
        ("COMPLETED", "0:0", ("ended", 0, None)),
        ("FAILED", "3:0", ("ended", 3, None)),
        ("FAILED", "0:9", ("ended", -9, None)),
        ("TIMEOUT", "0:15", ("ended", -15, "timeout")),
        ("CANCELLED by 0", "0:15", ("cancelled", None, None)),
        ("CANCELLED+", "0:0", ("cancelled", None, None)),
        ("NODE_FAIL", "1:0", ("node_fail", None, "node_fail")),
        ("PREEMPTED", "0:0", ("evicted", None, "preempted")),
        ("", "", ("ended", None, None)),
    ],
)
def test_a_state_of_slurm_is_one_of_ours(word: str, code: str, found: tuple[str, int | None, str | None]) -> None:
    state = slurm._state(word, code)
    assert (state.word, state.code, state.reason) == found


PREEMPTS, NO_PREEMPTION = "PreemptMode=REQUEUE", "PreemptMode=OFF"


@pytest.mark.parametrize(
    ("said", "restarts", "reason"),
    [
        ("JobState=COMPLETING Restarts=1\nNodeName=n State=IDLE+COMPLETING\n" + PREEMPTS, 0, "preempted"),
        ("JobState=COMPLETING Restarts=1\nNodeName=n State=IDLE+COMPLETING\n" + NO_PREEMPTION, 0, "requeued"),
        ("JobState=PREEMPTED Restarts=0\nNodeName=n State=IDLE\n" + PREEMPTS, 0, "preempted"),
        ("JobState=PENDING Restarts=3\nNodeName=n State=DOWN+DRAIN\n" + PREEMPTS, 2, "node_drain"),
        ("JobState=NODE_FAIL Restarts=0\nNodeName=n State=DOWN*\n" + PREEMPTS, 0, "node_drain"),
        # Of scancel, also on a node that gets no more jobs, and of the limit of the job.
        ("JobState=CANCELLED Restarts=2\nNodeName=n State=IDLE+DRAIN\n" + PREEMPTS, 2, ""),
        ("JobState=TIMEOUT Restarts=0\nNodeName=n State=IDLE\n" + PREEMPTS, 0, ""),
        ("JobState=RUNNING Restarts=0\n", 0, ""),
        ("slurm_load_jobs error: Unable to contact slurm controller Restarts=x =", 0, ""),
        ("", 0, ""),
    ],
)
def test_a_signal_of_slurm_has_the_reason_that_scontrol_tells(
    said: str, restarts: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
    assert slurm_evidence.reason_of(said) == reason
    assert reason in ("", *PHRASES)


def test_a_list_of_indices_is_read() -> None:
    assert slurm._indices("1-3,7%2") == [1, 2, 3, 7]
    assert slurm._indices("5") == [5]
    assert slurm._indices("1-3,...") == [1, 2, 3]
    assert slurm._indices("4294967294") == [slurm.REST_OF_ARRAY]
    assert slurm._indices("") == []
    assert slurm._ranges([1, 2, 3, 7, 9, 10]) == "1-3,7,9-10"


@pytest.mark.parametrize(
    ("numbers", "largest"), [([*range(1, 11)], 6), ([1], 2), ([3, 4, 9, 40], 6), ([*range(1, 100_001)], 1001)]
)
def test_arrays_have_each_task_once_and_no_index_that_the_cluster_refuses(numbers: list[int], largest: int) -> None:
    parts = [*slurm._arrays(numbers, largest)]
    assert [number for _, part in parts for number in part] == numbers
    assert all(1 <= number - offset < largest for offset, part in parts for number in part)


def test_the_accounting_is_asked_for_what_the_controller_has_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(said: bytes) -> Callable[[list[str]], bytes]:
        return lambda words: said

    monkeypatch.setattr(slurm, "_call", answer(b"7_1|COMPLETED|0:0\n7_2|CANCELLED by 0|0:15\n7_[3-4]|PENDING|0:0\n"))
    found = slurm._accounted("7", {1, 2, 3})
    assert {index: state.word for index, state in found.items()} == {1: "ended", 2: "cancelled"}
