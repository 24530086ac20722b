"""`supervise recover`: runs whose supervisor and guardian are dead, or which a reboot has ended."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervise.records import reader
from tests.support.clients import socket_of
from tests.support.deaths import OTHER_BOOT, checked, kill, kill_both, recover, rewrite, started
from tests.support.harness import Place, Running, child, is_alive, wait_for_file, wait_until
from tests.support.lock_paths import lock_file
from tests.support.records import facts, only, records_of

HANG_SECONDS = 60.0


def recover_losses(place: Place, *words: str) -> list[dict[str, Any]]:
    """Run `supervise recover --json`, check its exit code, and return the lost runs that it reports."""
    ended = recover(place, "--json", *words)
    assert ended.err == b""
    said = json.loads(ended.out)
    assert ended.code == (1 if said["lost"] else 0)
    return list(said["lost"])


def wait_for_root(place: Place) -> None:
    """Wait until the only record names the command; the file exists a moment before the pid is written into it."""
    wait_until(lambda: records_of(place) and reader.read(f"{only(place).folder}/roots"))


@pytest.fixture
def bystander() -> Iterator[int]:
    """Start a process that belongs to no run, and yield its pid."""
    process = subprocess.Popen(["sleep", "100"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


@pytest.fixture
def lock() -> Iterator[str]:
    """Return the name of a lock that no other run uses."""
    name = f"test-{os.getpid()}-{os.urandom(4).hex()}"
    yield name
    lock_file(name).unlink(missing_ok=True)


def test_recover_without_a_lost_run_says_so(supervise: Place) -> None:
    supervise.start("--", "true", report=False).wait()
    ended = recover(supervise)
    assert (ended.code, ended.out, ended.err) == (0, b"nothing was lost\n", b"")


def test_recover_removes_the_dead_socket_of_a_run_that_has_ended(supervise: Place) -> None:
    """Both processes of a run can be killed between the end on record and the removal of the socket."""
    ended_id = str(supervise.start("--", "true").wait().report["run_id"])
    running = supervise.start("--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    alive = socket_of(supervise)
    dead = alive.with_name(f"{ended_id}.sock")
    folder = os.open(dead.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as one:
        # The path itself may be too long for the address of a socket (unix(7)).
        one.bind(f"/proc/self/fd/{folder}/{dead.name}")
        one.listen()
    os.close(folder)
    assert recover(supervise).out == b"nothing was lost\n"
    assert (dead.exists(), alive.exists()) == (False, True)
    running.send(signal.SIGTERM)
    running.wait()


def test_recover_without_any_record_succeeds(supervise: Place) -> None:
    assert recover(supervise).code == 0


def test_recover_leaves_a_running_run_alone(supervise: Place) -> None:
    running, pid = started(supervise)
    assert recover_losses(supervise) == []
    assert is_alive(pid)
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


def test_recover_stops_and_records_a_run_whose_both_processes_were_killed(supervise: Place) -> None:
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
    assert recover_losses(supervise) == []


TREES = {
    "ignores TERM": ["ignore=TERM"],
    "a daemon": ["double_fork", "ignore=TERM", "close_pipes", "stay", "end"],
    "stopped": ["fork", "stop", "stay", "end"],
    "many": ["fork", "setsid", "stay", "end"] * 10,
}


@pytest.mark.parametrize("words", TREES.values(), ids=TREES)
def test_recover_leaves_no_process_of_a_lost_run(supervise: Place, words: list[str]) -> None:
    running, _ = started(supervise, *words)
    kill_both(running)
    [lost] = recover_losses(supervise)
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
    [lost] = recover_losses(supervise)
    assert len(lost["stopped"]) == 2
    assert not supervise.alive()


def test_recover_sends_the_signal_and_waits_for_the_grace(supervise: Place) -> None:
    pid_file, clean = supervise.file("pid"), supervise.file("clean")
    words = (f"mark_on=USR1,{clean}", f"mark={pid_file}", f"wait_for={clean}", "exit=0")
    running = supervise.start("-s", "USR1", "-k", "1h", "--", *child(*words), report=False)
    wait_for_file(pid_file)
    kill_both(running)
    [lost] = recover_losses(supervise)
    assert clean.exists()
    assert len(lost["stopped"]) == 1


def test_recover_waits_for_a_living_guardian(supervise: Place) -> None:
    running, pid = started(supervise, "ignore=TERM", options=("-k", "2"))
    running.send(signal.SIGKILL)
    running.process.wait()
    [lost] = recover_losses(supervise)
    assert not is_alive(pid)
    assert (lost["reason"], lost["stopped"][0]["pid"]) == ("supervisor died", pid)
    checked(only(supervise))
    assert [one["event"] for one in only(supervise).events()].count("lost") == 1


def test_recover_dry_run_does_nothing(supervise: Place) -> None:
    running, pid = started(supervise, options=("--on-interrupt", "rerun"))
    kill_both(running)
    ended = recover(supervise, "--dry-run")
    assert ended.code == 1
    assert f"  would stop pid {pid} " in ended.out.decode()
    assert "  would run it again" in ended.out.decode()
    assert is_alive(pid)
    assert not only(supervise).has_end
    supervise.sweep()


def test_recover_after_a_reboot_stops_no_process(supervise: Place) -> None:
    """The boot id on record is changed: no living process can belong to that run."""
    running, pid = started(supervise)
    kill_both(running)
    record = only(supervise)
    rewrite(record, "boot_id", f'"{OTHER_BOOT}"')
    [lost] = recover_losses(supervise)
    assert (lost["reason"], lost["stopped"]) == ("reboot", [])
    assert is_alive(pid)
    assert checked(reader.Record(supervise.state, record.run_id))["reason"] == "reboot"
    supervise.sweep()


def test_recover_leaves_a_process_with_a_reused_pid_alone(supervise: Place, bystander: int) -> None:
    """The same pid with another start time is another process."""
    running, pid = started(supervise)
    kill_both(running)
    record = only(supervise)
    Path(record.folder, "roots").write_text(f"{bystander} 1\n")
    rewrite(record, "guardian", str(bystander))
    [lost] = recover_losses(supervise)
    assert [one["pid"] for one in lost["stopped"]] == [pid]
    assert is_alive(bystander)


def test_recover_leaves_a_living_run_without_its_lock_file_alone(supervise: Place) -> None:
    running, pid = started(supervise)
    Path(only(supervise).folder, "lock").unlink()
    assert recover_losses(supervise) == []
    assert is_alive(pid)
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


def test_recover_spares_its_own_caller(supervise: Place) -> None:
    """The caller is a shell of the lost run."""
    running, _ = started(supervise)
    kill_both(running)
    run_id = only(supervise).run_id
    ended = supervise.shell("supervise recover; echo $?", env={"SUPERVISE_RUN_ID": run_id})
    assert ended.out.decode().splitlines()[-1] == "1"


def test_a_second_recover_finishes_the_work_of_a_killed_one(supervise: Place) -> None:
    """The first recover is killed during the grace."""
    pid_file, asked = supervise.file("pid"), supervise.file("asked")
    words = child(f"mark_on=TERM,{asked}", f"mark={pid_file}", "stay")
    running = supervise.start("-k", "1.5", "--", *words, report=False)
    wait_for_file(pid_file)
    kill_both(running)
    first = supervise.popen([str(supervise.program), "recover"])
    wait_for_file(asked)
    first.send(signal.SIGKILL)
    first.wait()
    [lost] = recover_losses(supervise)
    assert [one["pid"] for one in lost["stopped"]] == [wait_for_file(pid_file)]
    assert not supervise.alive()
    checked(only(supervise))


# --- reruns


def start_rerunnable(place: Place, *options: str) -> Running:
    """Start a run with a rerun on interrupt, whose command writes its folder, variables and words into a file."""
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


def wait_for_lines(path: Path) -> list[bytes]:
    """Wait until the file is not empty, and return its lines."""
    return wait_until(lambda: path.exists() and path.read_bytes()).splitlines()


def test_a_rerun_has_words_folder_options_and_kept_variables(supervise: Place) -> None:
    running = start_rerunnable(supervise, "--keep-env", "KEPT,NEVER", "--name", "night", "-t", "50")
    wait_for_file(supervise.file("pid"))
    kill_both(running)
    supervise.file("said").unlink()
    [lost] = recover_losses(supervise)
    assert wait_for_lines(supervise.file("said")) == [
        *(os.fsencode(supervise.folder), b"so", b"", b"", b"lost", b"one", b"a\xffb"),
    ]
    record = reader.Record(supervise.state, lost["rerun"])
    found = facts(record)
    assert (found["recovered_from"], found["recoveries"]) == (lost["run_id"], 1)
    assert (found["name"], found["options"]["timeout"], found["environment"]) == ("night", "50", {"KEPT": "so"})
    assert recover_losses(supervise) == []
    supervise.file("go").touch()
    wait_until(lambda: reader.state_of(record) == "ended")
    assert checked(record)["outcome"] == "completed"
    wait_until(lambda: not supervise.alive())


def test_a_rerun_has_options_with_any_bytes(supervise: Place) -> None:
    report = "a\udcffb.json"
    running, _ = started(supervise, options=("--on-interrupt", "rerun", "--report", report))
    kill_both(running)
    [lost] = recover_losses(supervise)
    again = reader.Record(supervise.state, lost["rerun"])
    assert again.options["report"] == [report]
    supervise.sweep()


def test_a_record_keeps_no_variable_without_keep_env(supervise: Place) -> None:
    running = start_rerunnable(supervise)
    wait_for_file(supervise.file("pid"))
    kill_both(running)
    assert not any(b"lost" in path.read_bytes() for path in Path(only(supervise).folder).iterdir())
    recover(supervise)
    supervise.sweep()


def test_a_run_that_its_guardian_has_stopped_is_rerun(supervise: Place) -> None:
    running, _ = started(supervise, options=("--on-interrupt", "rerun"))
    kill(supervise, running)
    [lost] = recover_losses(supervise)
    assert lost["run_again"]
    [again, _] = records_of(supervise)
    assert again.run_id == lost["rerun"]
    supervise.sweep()


def test_max_recoveries_bounds_the_reruns(supervise: Place) -> None:
    running, _ = started(supervise, options=("--on-interrupt", "rerun", "--max-recoveries", "2"))
    kill_both(running)
    for times in (1, 2):
        [lost] = recover_losses(supervise)
        assert lost["rerun"]
        newest = records_of(supervise)[0]
        assert facts(newest)["recoveries"] == times
        kill_both_of(supervise, newest)
    [lost] = recover_losses(supervise)
    assert (lost["rerun"], lost["trouble"]) == (None, "not run again: --max-recoveries is 2")
    assert recover_losses(supervise) == []


def kill_both_of(place: Place, record: reader.Record) -> None:
    """Kill supervisor and guardian of that run."""
    found = facts(record)
    os.kill(found["pid"], signal.SIGSTOP)
    os.kill(found["guardian"], signal.SIGKILL)
    os.kill(found["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(found["pid"]) and not is_alive(found["guardian"]))


def test_a_run_without_on_interrupt_rerun_is_not_rerun(supervise: Place) -> None:
    running, _ = started(supervise)
    kill_both(running)
    [lost] = recover_losses(supervise)
    assert (lost["run_again"], lost["rerun"]) == (False, None)
    assert len(records_of(supervise)) == 1


def test_a_run_whose_folder_is_missing_is_rerun_later(supervise: Place) -> None:
    """The next recover tries again, as with a disk that is not mounted yet."""
    away, here = supervise.file("away"), supervise.file("here")
    here.mkdir()
    pid_file = supervise.file("pid")
    words = child(f"mark={pid_file}", "stay")
    running = supervise.start("--on-interrupt", "rerun", "--", *words, report=False, cwd=here)
    wait_for_file(pid_file)
    kill_both(running)
    here.rename(away)
    [lost] = recover_losses(supervise)
    assert lost["trouble"] == f"not run again: there is no folder {str(here)!r} now"
    away.rename(here)
    [lost] = recover_losses(supervise)
    assert lost["rerun"]
    supervise.sweep()


def test_a_run_whose_lock_is_held_is_rerun_later(supervise: Place, lock: str) -> None:
    """The next recover tries again."""
    running, _ = started(supervise, options=("--on-interrupt", "rerun", "--lock", lock))
    kill_both(running)
    holder = supervise.start("--no-record", "--lock", lock, "--", *child("ready", "stay"), report=False)
    holder.wait_for_out(b"ready")
    [lost] = recover_losses(supervise)
    assert lost["trouble"].startswith(f"not run again: busy: the lock {lock} is held by run ")
    holder.send(signal.SIGTERM)
    holder.wait()
    [lost] = recover_losses(supervise)
    assert lost["rerun"]
    supervise.sweep()


def test_recover_does_not_wait_for_a_rerun_that_waits_for_its_lock(supervise: Place, lock: str) -> None:
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
    assert lost["trouble"] == "run again, but its command has not started within 1 s"
    assert not mark.exists()
    holder.send(signal.SIGTERM)
    holder.wait()
    wait_for_file(mark)
    supervise.sweep()


def test_a_run_whose_command_is_missing_is_not_rerun(supervise: Place) -> None:
    tool = supervise.file("tool")
    tool.write_text("#!/bin/sh\nsleep 100\n")
    tool.chmod(0o755)
    running = supervise.start("--on-interrupt", "rerun", "-k", "0.3", "--", str(tool), report=False)
    wait_for_root(supervise)
    kill_both(running)
    tool.unlink()
    [lost] = recover_losses(supervise)
    assert lost["rerun"] is None
    assert "not found" in lost["trouble"]
    assert recover_losses(supervise) == []


def test_recover_works_with_an_almost_empty_environment(supervise: Place) -> None:
    """Cron gives such an environment."""
    running, _ = started(supervise, options=("--on-interrupt", "rerun"))
    path = socket_of(supervise)
    wait_until(Path(only(supervise).folder, "socket").exists)
    kill_both(running)
    home, token = supervise.environ["HOME"], f"E2E_TOKEN={running.token}"
    call = ["env", "-i", f"HOME={home}", token, "PATH=/usr/bin:/bin", str(supervise.program), "recover", "--json"]
    [lost] = json.loads(supervise.popen(call).wait().out)["lost"]
    assert lost["rerun"]
    # The record names the folder of the socket, which this environment does not.
    assert not path.exists()
    supervise.sweep()


def test_a_rerun_ignores_the_settings_of_recover(supervise: Place) -> None:
    running, _ = started(supervise, options=("--on-interrupt", "rerun"))
    kill_both(running)
    [lost] = json.loads(recover(supervise, "--json", env={"SUPERVISE_TIMEOUT": "1"}).out)["lost"]
    assert "timeout" not in facts(reader.Record(supervise.state, lost["rerun"]))["options"]
    supervise.sweep()


def test_simultaneous_recovers_do_nothing_twice(supervise: Place) -> None:
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
