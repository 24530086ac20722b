"""`supervise recover`: runs whose supervisor and guardian are dead, or which a reboot has cut off."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervise.records import reader
from tests.support.deaths import OTHER_BOOT, checked, kill, kill_both, recover, rewrite, started
from tests.support.harness import Place, Running, child, is_alive, wait_for_file, wait_until
from tests.support.places import lock_file
from tests.support.records import facts, only, records_of

HANG_SECONDS = 60.0


def recovered(place: Place, *words: str) -> list[dict[str, Any]]:
    """What it says that it did."""
    ended = recover(place, "--json", *words)
    assert ended.err == b""
    said = json.loads(ended.out)
    assert ended.code == (1 if said["lost"] else 0)
    return list(said["lost"])


def wait_for_root(place: Place) -> None:
    """Wait until the only record names the command: its file is there a moment before the pid is written into it."""
    wait_until(lambda: records_of(place) and reader.read(f"{only(place).folder}/roots"))


@pytest.fixture
def bystander() -> Iterator[int]:
    """A process that is none of ours."""
    process = subprocess.Popen(["sleep", "100"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def lock() -> Iterator[str]:
    """Of nobody else."""
    name = f"test-{os.getpid()}-{os.urandom(4).hex()}"
    yield name
    lock_file(name).unlink(missing_ok=True)


def test_nothing_was_lost(supervise: Place) -> None:
    supervise.start("--", "true", report=False).wait()
    ended = recover(supervise)
    assert (ended.code, ended.out, ended.err) == (0, b"nothing was lost\n", b"")


def test_without_any_record(supervise: Place) -> None:
    assert recover(supervise).code == 0


def test_a_run_that_goes_on_is_left_alone(supervise: Place) -> None:
    running, pid = started(supervise)
    assert recovered(supervise) == []
    assert is_alive(pid)
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


def test_both_were_killed(supervise: Place) -> None:
    running, pid = started(supervise, options=("--name", "night"))
    kill_both(running)
    record = only(supervise)
    assert reader.state_of(record) == "lost"
    ended = recover(supervise)
    assert ended.code == 1
    lines = ended.out.decode().splitlines()
    assert lines[0].startswith(f"{record.run_id} (night): lost: supervisor died, last seen ")
    assert lines[1].startswith(f"  stopped pid {pid} ")
    assert not supervise.alive()
    end = checked(record)
    assert (end["outcome"], end["reason"], end["survivors"]) == ("lost", "supervisor died", [])
    assert [one["event"] for one in record.events()][-1] == "lost"
    assert recovered(supervise) == []


TREES = {
    "ignores TERM": ["ignore=TERM"],
    "a daemon": ["double_fork", "ignore=TERM", "close_pipes", "stay", "end"],
    "stopped": ["fork", "stop", "stay", "end"],
    "many": ["fork", "setsid", "stay", "end"] * 10,
}


@pytest.mark.parametrize("words", TREES.values(), ids=TREES)
def test_nobody_is_left_of_it(supervise: Place, words: list[str]) -> None:
    running, _ = started(supervise, *words)
    kill_both(running)
    [lost] = recovered(supervise)
    assert not supervise.alive()
    assert len(lost["stopped"]) == (11 if len(words) > 10 else 1 if len(words) == 1 else 2)


def test_processes_without_the_run_id_in_their_environment_are_found_by_the_root_on_record(supervise: Place) -> None:
    """The root is known by its pid and start time, the other process as a descendant and by the session."""
    pid_file = supervise.file("inner")
    words = child("fork", f"mark={pid_file}", "stay", "end", "stay")
    running = supervise.start("-k", "0.3", "--", "env", "-u", "SUPERVISE_RUN_ID", *words, report=False)
    wait_for_file(pid_file)
    wait_for_root(supervise)
    kill_both(running)
    [lost] = recovered(supervise)
    assert len(lost["stopped"]) == 2
    assert not supervise.alive()


def test_they_are_asked_and_given_their_grace(supervise: Place) -> None:
    pid_file, clean = supervise.file("pid"), supervise.file("clean")
    words = (f"mark_on=USR1,{clean}", f"mark={pid_file}", f"wait_for={clean}", "exit=0")
    running = supervise.start("-s", "USR1", "-k", "1h", "--", *child(*words), report=False)
    wait_for_file(pid_file)
    kill_both(running)
    [lost] = recovered(supervise)
    assert clean.exists()
    assert len(lost["stopped"]) == 1


def test_a_guardian_that_lives_is_waited_for(supervise: Place) -> None:
    running, pid = started(supervise, "ignore=TERM", options=("-k", "2"))
    running.send(signal.SIGKILL)
    running.process.wait()
    [lost] = recovered(supervise)
    assert not is_alive(pid)
    assert (lost["reason"], lost["stopped"][0]["pid"]) == ("supervisor died", pid)
    checked(only(supervise))
    assert [one["event"] for one in only(supervise).events()].count("lost") == 1


def test_a_dry_run_does_nothing(supervise: Place) -> None:
    running, pid = started(supervise, options=("--on-interrupt", "rerun"))
    kill_both(running)
    ended = recover(supervise, "--dry-run")
    assert ended.code == 1
    assert f"  would stop pid {pid} " in ended.out.decode()
    assert "  would run it again" in ended.out.decode()
    assert is_alive(pid)
    assert not only(supervise).has_end
    supervise.sweep()


def test_a_reboot(supervise: Place) -> None:
    """Pretended: nobody who lives now can be of that run."""
    running, pid = started(supervise)
    kill_both(running)
    record = only(supervise)
    rewrite(record, "boot_id", f'"{OTHER_BOOT}"')
    [lost] = recovered(supervise)
    assert (lost["reason"], lost["stopped"]) == ("reboot", [])
    assert is_alive(pid)
    assert checked(reader.Record(supervise.state, record.run_id))["reason"] == "reboot"
    supervise.sweep()


def test_a_pid_that_came_again(supervise: Place, bystander: int) -> None:
    """The same pid with another start time is another process."""
    running, pid = started(supervise)
    kill_both(running)
    record = only(supervise)
    Path(record.folder, "roots").write_text(f"{bystander} 1\n")
    rewrite(record, "guardian", str(bystander))
    [lost] = recovered(supervise)
    assert [one["pid"] for one in lost["stopped"]] == [pid]
    assert is_alive(bystander)


def test_one_that_lives_without_its_lock_is_left_alone(supervise: Place) -> None:
    running, pid = started(supervise)
    Path(only(supervise).folder, "lock").unlink()
    assert recovered(supervise) == []
    assert is_alive(pid)
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


def test_who_recovers_is_spared(supervise: Place) -> None:
    """A shell of the lost run itself calls it."""
    running, _ = started(supervise)
    kill_both(running)
    run_id = only(supervise).run_id
    ended = supervise.shell("supervise recover; echo $?", env={"SUPERVISE_RUN_ID": run_id})
    assert ended.out.decode().splitlines()[-1] == "1"


def test_one_who_recovers_is_killed(supervise: Place) -> None:
    """Amid the grace: the next one goes on from there."""
    pid_file, asked = supervise.file("pid"), supervise.file("asked")
    words = child(f"mark_on=TERM,{asked}", f"mark={pid_file}", "stay")
    running = supervise.start("-k", "1.5", "--", *words, report=False)
    wait_for_file(pid_file)
    kill_both(running)
    first = supervise.popen([str(supervise.program), "recover"])
    wait_for_file(asked)
    first.send(signal.SIGKILL)
    first.wait()
    [lost] = recovered(supervise)
    assert [one["pid"] for one in lost["stopped"]] == [wait_for_file(pid_file)]
    assert not supervise.alive()
    checked(only(supervise))


# --- run again


def rerun_words(place: Place, *options: str) -> Running:
    """A run that is to be run again, killed with its guardian; it says where and what it is."""
    pid_file = place.file("pid")
    script = 'printf "%s\\n" "$PWD" "$KEPT" "$OTHER" "$SUPERVISE_RECOVERED_FROM" "$SUPERVISE_PREVIOUS_OUTCOME" "$@" '
    script += f"> {place.file('said')}.$$; mv {place.file('said')}.$$ {place.file('said')}; echo $$ > {pid_file}; "
    script += f"while [ ! -e {place.file('go')} ]; do sleep 0.02; done"
    return place.start(
        *("--on-interrupt", "rerun", "-k", "0.3", *options),
        *("--", "sh", "-c", script, "sh", "one", "a\udcffb"),
        report=False,
        env={"KEPT": "so", "OTHER": "lost"},
    )


def lines_of(path: Path) -> list[bytes]:
    return wait_until(lambda: path.exists() and path.read_bytes()).splitlines()


def test_it_is_run_again_as_it_was(supervise: Place) -> None:
    running = rerun_words(supervise, "--keep-env", "KEPT,NEVER", "--name", "night", "-t", "50")
    wait_for_file(supervise.file("pid"))
    kill_both(running)
    supervise.file("said").unlink()
    [lost] = recovered(supervise)
    assert lines_of(supervise.file("said")) == [
        *(os.fsencode(supervise.folder), b"so", b"", b"", b"lost", b"one", b"a\xffb"),
    ]
    record = reader.Record(supervise.state, lost["rerun"])
    found = facts(record)
    assert (found["recovered_from"], found["recoveries"]) == (lost["run_id"], 1)
    assert (found["name"], found["options"]["timeout"], found["environment"]) == ("night", "50", {"KEPT": "so"})
    assert recovered(supervise) == []
    supervise.file("go").touch()
    wait_until(lambda: reader.state_of(record) == "ended")
    assert checked(record)["outcome"] == "completed"
    wait_until(lambda: not supervise.alive())


def test_options_that_are_no_text(supervise: Place) -> None:
    report = "a\udcffb.json"
    running, _ = started(supervise, options=("--on-interrupt", "rerun", "--report", report))
    kill_both(running)
    [lost] = recovered(supervise)
    again = reader.Record(supervise.state, lost["rerun"])
    assert again.options["report"] == [report]
    supervise.sweep()


def test_of_the_environment_nothing_is_kept_unasked(supervise: Place) -> None:
    running = rerun_words(supervise)
    wait_for_file(supervise.file("pid"))
    kill_both(running)
    assert not any(b"lost" in path.read_bytes() for path in Path(only(supervise).folder).iterdir())
    recover(supervise)
    supervise.sweep()


def test_it_is_run_again_after_its_guardian_had_stopped_it(supervise: Place) -> None:
    running, _ = started(supervise, options=("--on-interrupt", "rerun"))
    kill(supervise, running)
    [lost] = recovered(supervise)
    assert lost["run_again"]
    [again, _] = records_of(supervise)
    assert again.run_id == lost["rerun"]
    supervise.sweep()


def test_at_most_so_often(supervise: Place) -> None:
    running, _ = started(supervise, options=("--on-interrupt", "rerun", "--max-recoveries", "2"))
    kill_both(running)
    for times in (1, 2):
        [lost] = recovered(supervise)
        assert lost["rerun"]
        newest = records_of(supervise)[0]
        assert facts(newest)["recoveries"] == times
        end_by_force(supervise, newest)
    [lost] = recovered(supervise)
    assert (lost["rerun"], lost["trouble"]) == (None, "not run again: --max-recoveries is 2")
    assert recovered(supervise) == []


def end_by_force(place: Place, record: reader.Record) -> None:
    """Supervise and the guardian of that run are killed."""
    found = facts(record)
    os.kill(found["pid"], signal.SIGSTOP)
    os.kill(found["guardian"], signal.SIGKILL)
    os.kill(found["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(found["pid"]) and not is_alive(found["guardian"]))


def test_not_at_all_unless_asked_for(supervise: Place) -> None:
    running, _ = started(supervise)
    kill_both(running)
    [lost] = recovered(supervise)
    assert (lost["run_again"], lost["rerun"]) == (False, None)
    assert len(records_of(supervise)) == 1


def test_its_folder_is_gone_for_now(supervise: Place) -> None:
    """As a disk that is not there yet: the next one who recovers tries again."""
    away, here = supervise.file("away"), supervise.file("here")
    here.mkdir()
    pid_file = supervise.file("pid")
    words = child(f"mark={pid_file}", "stay")
    running = supervise.start("--on-interrupt", "rerun", "--", *words, report=False, cwd=here)
    wait_for_file(pid_file)
    kill_both(running)
    here.rename(away)
    [lost] = recovered(supervise)
    assert lost["trouble"] == f"not run again: there is no folder {str(here)!r} now"
    away.rename(here)
    [lost] = recovered(supervise)
    assert lost["rerun"]
    supervise.sweep()


def test_another_has_its_lock_for_now(supervise: Place, lock: str) -> None:
    """The next one who recovers tries again."""
    running, _ = started(supervise, options=("--on-interrupt", "rerun", "--lock", lock))
    kill_both(running)
    holder = supervise.start("--no-record", "--lock", lock, "--", *child("ready", "stay"), report=False)
    holder.wait_for_out(b"ready")
    [lost] = recovered(supervise)
    assert lost["trouble"].startswith(f"not run again: busy: the lock {lock} is held by run ")
    holder.send(signal.SIGTERM)
    holder.wait()
    [lost] = recovered(supervise)
    assert lost["rerun"]
    supervise.sweep()


def test_one_that_waits_for_its_lock_for_long_is_left_to(supervise: Place, lock: str) -> None:
    options = ("--on-interrupt", "rerun", "--lock", lock, "--lock-wait", "5m")
    mark = supervise.file("marked")
    running = supervise.start(*options, "-k", "0.3", "--", *child("ready", f"mark={mark}", "stay"), report=False)
    wait_for_file(mark)
    kill_both(running)
    mark.unlink()
    holder = supervise.start("--no-record", "--lock", lock, "--", *child("ready", "stay"), report=False)
    holder.wait_for_out(b"ready")
    shorter = "from supervise.records import rerun; rerun.START_WAIT_SECONDS = 1.0; "
    code = f"{shorter}from supervise.__main__ import main; main()"
    ended = supervise.popen([str(supervise.program.parent / "python"), "-c", code, "recover", "--json"]).wait()
    [lost] = json.loads(ended.out)["lost"]
    assert lost["trouble"] == "run again, but it has not begun within 1 s"
    assert not mark.exists()
    holder.send(signal.SIGTERM)
    holder.wait()
    wait_for_file(mark)
    supervise.sweep()


def test_a_command_that_is_gone(supervise: Place) -> None:
    tool = supervise.file("tool")
    tool.write_text("#!/bin/sh\nsleep 100\n")
    tool.chmod(0o755)
    running = supervise.start("--on-interrupt", "rerun", "-k", "0.3", "--", str(tool), report=False)
    wait_for_root(supervise)
    kill_both(running)
    tool.unlink()
    [lost] = recovered(supervise)
    assert lost["rerun"] is None
    assert "not found" in lost["trouble"]
    assert recovered(supervise) == []


def test_from_cron(supervise: Place) -> None:
    """With hardly an environment."""
    running, _ = started(supervise, options=("--on-interrupt", "rerun"))
    kill_both(running)
    home, token = supervise.environ["HOME"], f"E2E_TOKEN={running.token}"
    call = ["env", "-i", f"HOME={home}", token, "PATH=/usr/bin:/bin", str(supervise.program), "recover", "--json"]
    [lost] = json.loads(supervise.popen(call).wait().out)["lost"]
    assert lost["rerun"]
    supervise.sweep()


def test_settings_of_the_one_who_recovers_are_not_those_of_the_run(supervise: Place) -> None:
    running, _ = started(supervise, options=("--on-interrupt", "rerun"))
    kill_both(running)
    [lost] = json.loads(recover(supervise, "--json", env={"SUPERVISE_TIMEOUT": "1"}).out)["lost"]
    assert "timeout" not in facts(reader.Record(supervise.state, lost["rerun"]))["options"]
    supervise.sweep()


def test_two_at_the_same_moment(supervise: Place) -> None:
    """Nothing is done twice."""
    for _ in range(3):
        running, _ = started(supervise, options=("--on-interrupt", "rerun"))
        kill_both(running)
    lost = {record.run_id for record in records_of(supervise)}
    calls = [supervise.popen([str(supervise.program), "recover", "--json"]) for _ in range(4)]
    said = [json.loads(call.wait().out)["lost"] for call in calls]
    done = [one["run_id"] for each in said for one in each if not one["taken"]]
    assert sorted(done) == sorted(lost)
    again = [facts(record).get("recovered_from") for record in records_of(supervise)]
    assert sorted(filter(None, again)) == sorted(lost)
    supervise.sweep()
