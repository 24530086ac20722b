"""Inside a job of an engine a run ends before the job does."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervise.launch import allocation
from supervise.runner import allocation_watch
from tests.support import slurm
from tests.support.harness import Ended, Place, child, wait_until

AD = 'JobCurrentStartDate = {start}\n{name} = {seconds}\nCmd = "a = b"\nRequirements = (Memory >= 5)\n'


def slurm_job(left: float) -> dict[str, str]:
    return {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(time.time() + left))}


def condor_job(place: Place, left: float, name: str = "AllowedExecuteDuration") -> dict[str, str]:
    path = place.file("job.ad")
    path.write_text(AD.format(start=int(time.time()) - 100, name=name, seconds=int(left) + 100))
    return {"_CONDOR_JOB_AD": str(path)}


def is_allocation_end(ended: Ended) -> bool:
    report = ended.report
    assert report["timeout_cause"] is None
    return (ended.code, report["outcome"], report["reason"], report["limit"]) == (
        75, "resumable", "allocation_end", "allocation",
    )  # fmt: skip


def seconds_given(place: Place, *options: str, env: dict[str, str]) -> tuple[float, list[str]]:
    """Return the seconds that the command has, by its own SUPERVISE_DEADLINE, and the messages."""
    ended = place(*options, "--", *child("env=SUPERVISE_DEADLINE"), env=env)
    assert ended.code == 0
    word = ended.out.decode().strip().partition("=")[2].strip("'")
    return (float("inf") if word == "None" else float(word) - time.time()), ended.messages


def test_a_run_ends_before_its_slurm_job(supervise: Place) -> None:
    ended = supervise("-v", "-k", "0.5", "--retries", "2", "--", *child("ready", "stay"), env=slurm_job(8))
    assert is_allocation_end(ended)
    assert len(ended.report["attempts"]) == 1
    assert ended.report["duration"] < 6
    assert any("the allocation leaves this run" in message for message in ended.messages)


@pytest.mark.parametrize("name", ["AllowedExecuteDuration", "allowedjobduration"])
def test_the_ad_of_an_htcondor_job_has_its_end(supervise: Place, name: str) -> None:
    left, messages = seconds_given(supervise, "-k", "1", env=condor_job(supervise, 60, name))
    assert (40 < left <= 54, messages) == (True, [])


@pytest.mark.parametrize("machine", ["GLIDEIN_ToDie = {end}", "MyCurrentTime = {before}\nTimeToLive = 160"])
def test_a_machine_that_retires_before_is_the_end(supervise: Place, machine: str) -> None:
    now = int(time.time())
    supervise.file("machine.ad").write_text(machine.format(end=now + 60, before=now - 100))
    env = {**condor_job(supervise, 600), "_CONDOR_MACHINE_AD": str(supervise.file("machine.ad"))}
    left, messages = seconds_given(supervise, "-k", "1", env=env)
    assert (40 < left <= 54, messages) == (True, [])
    left, messages = seconds_given(supervise, "-k", "1", env={**env, "_CONDOR_MACHINE_AD": "/nowhere"})
    assert (500 < left <= 594, [line.startswith("_CONDOR_MACHINE_AD=") for line in messages]) == (True, [True])
    # One whose end has passed has started the job all the same.
    supervise.file("machine.ad").write_text(machine.format(end=now - 60, before=now - 200))
    assert 500 < seconds_given(supervise, "-k", "1", env=env)[0] <= 594


def test_a_lease_is_no_end(supervise: Place) -> None:
    assert seconds_given(supervise, env=condor_job(supervise, 60, "JobLeaseDuration")) == (float("inf"), [])


def test_the_deadline_of_a_pod_counts_from_its_first_process(supervise: Place) -> None:
    began = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    age = int(float(Path("/proc/uptime").read_text().split()[0]) - began)
    env = {"SUPERVISE_ACTIVE_DEADLINE": str(age + 60)}
    left, messages = seconds_given(supervise, "-k", "1", env=env)
    assert (0 < left <= 60, messages) == (True, [])


def test_the_option_turns_it_off(supervise: Place) -> None:
    env = {**slurm_job(4), **condor_job(supervise, 4), "SUPERVISE_ACTIVE_DEADLINE": "999999999"}
    assert seconds_given(supervise, "--no-engine", env=env) == (float("inf"), [])
    assert seconds_given(supervise, env={**env, "SUPERVISE_NO_ENGINE": "1"}) == (float("inf"), [])


def test_a_margin_of_the_user_counts(supervise: Place) -> None:
    assert 20 < seconds_given(supervise, "--runner-margin", "30s", env=slurm_job(60))[0] <= 30
    ended = supervise("--runner-margin", "60s", "--", "touch", "started", env=slurm_job(50))
    assert is_allocation_end(ended)
    assert not supervise.file("started").exists()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"SLURM_JOB_ID": "x\n\x1b[2J$(id)"}, "SLURM_JOB_ID="),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "-1e999"}, "SLURM_JOB_END_TIME="),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "9" * 5000}, "SLURM_JOB_END_TIME="),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "12"}, ""),
        ({"SLURM_JOB_ID": ""}, ""),
        ({"_CONDOR_JOB_AD": "/nowhere/\n.ad"}, "_CONDOR_JOB_AD="),
        ({"_CONDOR_JOB_AD": "/dev/zero"}, "_CONDOR_JOB_AD="),
        ({"SUPERVISE_ACTIVE_DEADLINE": "soon"}, "SUPERVISE_ACTIVE_DEADLINE="),
        ({"SUPERVISE_ACTIVE_DEADLINE": "0"}, ""),
    ],
)  # fmt: skip
def test_a_damaged_value_costs_one_line(supervise: Place, env: dict[str, str], said: str) -> None:
    left, messages = seconds_given(supervise, env=env)
    assert left == float("inf")
    assert len(messages) == bool(said)
    assert not said or (messages[0].startswith(said) and len(messages[0]) < 300)


def test_a_fifo_is_no_ad(supervise: Place) -> None:
    os.mkfifo(supervise.file("job.ad"))
    left, messages = seconds_given(supervise, env={"_CONDOR_JOB_AD": str(supervise.file("job.ad"))})
    assert (left, len(messages)) == (float("inf"), 1)


NO_ADS = ("", "\0" * 100, "JobCurrentStartDate = 5", "AllowedJobDuration = 5", "= = =", AD.replace("{start}", "x"))


@pytest.mark.parametrize("text", NO_ADS)
def test_an_ad_without_an_end(text: str) -> None:
    assert allocation.end_of_ad(text) is None


NO_RETIREMENTS = (
    "MyCurrentTime = 5\nTimeToLive = 2147483647",
    "MyCurrentTime = 5\nTimeToLive = 0",
    "TimeToLive = 5",
    "DaemonShutdown = time() > 5\nMaxJobRetirementTime = 60\nMyCurrentTime = 5",
    "GLIDEIN_ToDie = undefined",
)


@pytest.mark.parametrize("text", [*NO_ADS, *NO_RETIREMENTS])
def test_a_machine_that_does_not_retire(text: str) -> None:
    assert allocation.end_of_machine(text) is None


def test_the_start_of_an_earlier_execution_does_not_count() -> None:
    ad = "JobCurrentStartDate = 1000\nJobCurrentStartExecutingDate = {}\nAllowedExecuteDuration = 50"
    assert allocation.end_of_ad(ad.format(500)) == 1050
    assert allocation.end_of_ad(ad.format(1010)) == 1060


@pytest.mark.parametrize(("said", "end"), [(b"1796000000   \n", 1796000000.0), (b"N/A\n", float("inf"))])
def test_the_answer_of_squeue(said: bytes, end: float) -> None:
    assert allocation_watch.end_of(said, 0) == end


@pytest.mark.parametrize("said", [b"", b"12 13\n", b"\x1b[2J\xff\n", b"2026-11-28T12:00:00\n", b"9" * 4096])
def test_a_bad_answer_of_squeue(said: bytes) -> None:
    with pytest.raises(allocation_watch.NoEndError):
        allocation_watch.end_of(said, 256)


@pytest.fixture
def squeue(supervise: Place) -> Path:
    """The path of a stand-in for a squeue that hangs or lies; the real one does neither on demand."""
    folder = supervise.file("bin")
    folder.mkdir()
    supervise.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    supervise.environ["SLURM_JOB_ID"] = "7"
    return folder / "squeue"


def write_script(path: Path, lines: str) -> None:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)


def test_a_squeue_that_hangs_outlives_no_run(supervise: Place, squeue: Path) -> None:
    write_script(squeue, "trap '' TERM; touch asked; sleep 500 & sleep 500")
    ended = supervise("--", "sh", "-c", "until [ -e asked ]; do sleep 0.05; done; exit 3")
    assert (ended.code, ended.messages, ended.left) == (3, [], [])


def test_an_end_that_comes_nearer_is_kept_and_a_liar_costs_one_line(supervise: Place, squeue: Path) -> None:
    write_script(squeue, "echo $(($(date +%s) + 5))")
    ended = supervise("-k", "0.5", "--", *child("ready", "stay"))
    assert is_allocation_end(ended)
    write_script(squeue, "printf 'no\\033[2J'")
    go = supervise.file("go")
    running = supervise.start("--", *child(f"wait_for={go}"))
    running.wait_for_err(b"is not known")
    go.touch()
    ended = running.wait()
    assert ended.code == 0
    assert len(ended.messages) == 1
    assert "\x1b" not in ended.messages[0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Cluster]:
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.mark.slow
def test_the_deadline_follows_the_end_of_a_real_job(supervise: Place, cluster: slurm.Cluster) -> None:
    """Two jobs that an operator gives little time; he gives one of them more, while it runs.

    The environment of the command stays as it is, and `supervise left` has the new end.
    """
    place = supervise
    place.environ.update(cluster.environ)
    script = (
        # The variable of Slurm 24 has the end as it was when the job began.
        "#!/bin/sh\ncd {folder}\nunset SLURM_JOB_END_TIME\n"
        "scontrol update JobId=$SLURM_JOB_ID EndTime=$(date -d +{left}sec +%FT%T)\n"
        "touch {name}.limited\n"
        "supervise -k 0.5 --no-record --report {name}.json -- sh -c '"
        "sleep 12; supervise left >{name}.left; echo $SUPERVISE_DEADLINE >>{name}.left; sleep 2' 2>{name}.err\n"
        "echo $? >{name}.code\n"
    )
    jobs = {}
    for name, left in (("short", 13), ("moved", 16)):
        place.file(f"{name}.sh").write_text(script.format(folder=place.file("."), left=left, name=name))
        ended = place.popen(["sbatch", "--parsable", "-t", "5", "-o", "/dev/null", str(place.file(f"{name}.sh"))]).wait(
            30
        )
        jobs[name] = ended.out.decode().strip()
    wait_until(place.file("moved.limited").exists)
    # The run asks for the end a second after its start.
    time.sleep(3)
    cluster.ask("scontrol", "update", f"JobId={jobs['moved']}", "TimeLimit=20")
    wait_until(lambda: place.file("short.code").exists() and place.file("moved.code").exists(), 60)
    assert place.file("short.code").read_text() == "75\n", place.file("short.err").read_text()
    assert '"reason": "allocation_end"' in place.file("short.json").read_text()
    assert place.file("moved.code").read_text() == "0\n", place.file("moved.err").read_text()
    deadline, latest, *before = place.file("moved.left").read_text().split()
    assert (int(deadline) > 900, int(latest) > 900) == (True, True)
    # On Slurm before version 23 no end was known when the command was started.
    assert all(float(one) < time.time() + 60 for one in before)
