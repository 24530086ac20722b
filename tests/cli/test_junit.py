"""The file of --junit after each kind of end."""

import os
import signal
import subprocess

import pytest

from tests.support.clients import report_of
from tests.support.deaths import kill
from tests.support.harness import Place, child, wait_for_file, wait_until
from tests.support.junit_files import cases_of, checked


def cases(place: Place) -> dict[str, str]:
    """Return the test cases in the file, and the kind of each one's end."""
    return cases_of(checked(place.file("x.xml").read_bytes()))


@pytest.mark.parametrize("more", [[], ["--no-record"], ["--pty"]])
def test_three_attempts_are_three_cases(supervise: Place, more: list[str]) -> None:
    retry = ("--retries", "2", "--retry-on", "code=3", "--retry-delay", "0", *more)
    script = "echo x >> runs; [ $(wc -l < runs) = 3 ] || exit 3"
    ended = supervise.start("--junit", "x.xml", *retry, "--", "sh", "-c", script, report=False).wait()
    assert ended.code == 0
    assert cases(supervise) == {"attempt 1": "failure", "attempt 2": "failure", "attempt 3": ""}
    suite = checked(supervise.file("x.xml").read_bytes())
    assert (suite.attrib["name"], suite.attrib["hostname"]) == ("sh", os.uname().nodename)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--", "true"), {"attempt 1": ""}),
        (("-t", "0.3", "--", *child("stay")), {"attempt 1": "failure"}),
        (("--", "/none/command"), {"attempt 1": "error"}),
        (("--log", "none/log", "--", "true"), {"start": "error"}),
    ],
)
def test_each_end_has_its_case(supervise: Place, words: tuple[str, ...], found: dict[str, str]) -> None:
    supervise("--junit", "x.xml", *words)
    assert cases(supervise) == found


def test_the_case_of_a_silent_run_has_the_diagnosis(supervise: Place) -> None:
    """Nothing else reads the diagnosis here.

    With -a the idle limit counts from the output, however late that comes.
    """
    options = ("-q", "--no-record", "--junit", "x.xml", "-a", "30", "-i", "0.3")
    ended = supervise.start(*options, "--", *child("say=last words", "stay"), report=False).wait()
    assert ended.code == 123
    [failure] = checked(supervise.file("x.xml").read_bytes()).iter("failure")
    assert failure.attrib["message"] == "idle timeout after 0.3 s"
    assert "last line: last words" in str(failure.text)


@pytest.mark.parametrize(("more", "code", "kind"), [((), 75, "error"), (("--if-busy", "skip"), 0, "skipped")])
def test_a_run_without_its_lock_has_a_case(
    supervise: Place, lock_name: str, more: tuple[str, ...], code: int, kind: str
) -> None:
    holder = supervise.start("--lock", lock_name, "--", *child(f"mark={supervise.file('up')}", "stay"))
    wait_for_file(supervise.file("up"))
    assert supervise("--junit", "x.xml", "--lock", lock_name, *more, "--", "true").code == code
    assert cases(supervise) == {"start": kind}
    holder.send(signal.SIGTERM)
    holder.wait()


@pytest.mark.parametrize("more", [[], ["--no-record"]])
def test_the_guardian_writes_the_case_of_a_killed_supervisor(supervise: Place, more: list[str]) -> None:
    words = ("--junit", "x.xml", "-k", "0.3", *more, "--", *child(f"mark={supervise.file('up')}", "stay"))
    running = supervise.start(*words)
    wait_for_file(supervise.file("up"))
    kill(supervise, running)
    running.wait()
    wait_until(supervise.file("x.xml").exists)
    # The guardian knows of the attempt only if there is a record, and the supervisor has come to write into it.
    assert [*cases(supervise).values()] == ["error"]


def test_a_detached_run_has_a_case(supervise: Place) -> None:
    assert supervise("--junit", "x.xml", "--detach", "--", "true").code == 0
    report_of(supervise)
    assert cases(supervise) == {"attempt 1": ""}


def test_all_three_files_are_written(supervise: Place) -> None:
    ended = supervise("--junit", "x.xml", "--metrics", "x.prom", "--", "false")
    assert ended.report["outcome"] == "failed"
    assert cases(supervise) == {"attempt 1": "failure"}
    assert 'supervise_outcome{name="false",outcome="failed"} 1' in supervise.file("x.prom").read_text()


def test_a_fifo_takes_the_xml(supervise: Place) -> None:
    os.mkfifo(supervise.file("fifo"))
    reader = subprocess.Popen(["cat", supervise.file("fifo")], stdout=subprocess.PIPE)
    assert supervise("--junit", "fifo", "--", "true").code == 0
    data, _ = reader.communicate(timeout=20)
    assert cases_of(checked(data)) == {"attempt 1": ""}


def test_a_path_that_cannot_be_written_is_refused_before_the_start(supervise: Place) -> None:
    ended = supervise("--junit", "none/x.xml", "--", "touch", "mark")
    assert ended.code == 125
    [message] = ended.messages
    assert message.startswith("--junit: cannot write 'none/x.xml': ")
    assert ended.report["reason"] == message
    assert not supervise.file("mark").exists()


def test_a_secret_of_the_command_is_not_in_the_files(supervise: Place) -> None:
    words = ("--junit", "x.xml", "--metrics", "x.prom", "--", "sh", "-c", "exit 3", "--password=hunter2")
    assert supervise(*words).code == 3
    assert "hunter2" not in supervise.file("x.xml").read_text() + supervise.file("x.prom").read_text()
