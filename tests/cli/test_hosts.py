"""Records of several machines in one folder: a run of another machine is left alone; an unknown boot is no reboot."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from supervise.process import identity
from tests.support.deaths import OTHER_BOOT, kill_both, recover, rewrite, started
from tests.support.harness import Place, is_alive, wait_until
from tests.support.records import facts, records_of

OTHER_MACHINE = "0123456789abcdef0123456789abcdef"
HERE = {"boot_id": identity.boot_id(), "machine_id": identity.machine_id(), "host": os.uname().nodename}


THIS_MACHINE = "fedcba9876543210fedcba9876543210"


def set_machine_id(monkeypatch: pytest.MonkeyPatch, path: Path, machine_id: str) -> dict[str, str]:
    """Give this machine that machine id, or none, and return what a record says of it.

    Containers and minimal installations have no /etc/machine-id.
    """
    if machine_id:
        path.write_text(f"{machine_id}\n")
    monkeypatch.setattr(identity, "MACHINE_ID_PATH", str(path))
    assert identity.machine_id() == machine_id
    return {**HERE, "machine_id": machine_id}


@pytest.mark.parametrize(
    ("machine_id", "changed", "is_other"),
    [
        (THIS_MACHINE, {}, False),
        # Renamed since: the boot is the same.
        (THIS_MACHINE, {"host": "before"}, False),
        (THIS_MACHINE, {"host": "before", "machine_id": OTHER_MACHINE}, False),
        # Booted since.
        (THIS_MACHINE, {"boot_id": OTHER_BOOT}, False),
        # Many machines have one name, and many are copies of one image.
        (THIS_MACHINE, {"boot_id": OTHER_BOOT, "machine_id": OTHER_MACHINE}, True),
        (THIS_MACHINE, {"boot_id": OTHER_BOOT, "host": "other"}, True),
        # An unknown value proves nothing.
        (THIS_MACHINE, {"boot_id": ""}, False),
        (THIS_MACHINE, {"boot_id": "", "machine_id": ""}, False),
        (THIS_MACHINE, {"boot_id": "", "machine_id": OTHER_MACHINE}, True),
        (THIS_MACHINE, {"boot_id": "", "machine_id": "", "host": "other"}, True),
        # Records from before there was a machine id, and broken ones.
        (THIS_MACHINE, {"boot_id": OTHER_BOOT, "machine_id": None}, False),
        (THIS_MACHINE, {"boot_id": 7, "machine_id": [], "host": {}}, False),
        # A machine without an id is known by its name alone.
        ("", {}, False),
        ("", {"boot_id": OTHER_BOOT}, False),
        ("", {"boot_id": OTHER_BOOT, "machine_id": OTHER_MACHINE}, False),
        ("", {"boot_id": "", "machine_id": OTHER_MACHINE}, False),
        ("", {"boot_id": OTHER_BOOT, "machine_id": OTHER_MACHINE, "host": "other"}, True),
        ("", {"boot_id": "", "host": "other"}, True),
    ],
)
def test_machine_id_and_host_name_tell_another_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine_id: str, changed: dict[str, object], is_other: bool
) -> None:
    here = set_machine_id(monkeypatch, tmp_path / "machine-id", machine_id)
    assert identity.is_other_host({**here, **changed}) == is_other


def test_a_record_names_its_machine(supervise: Place) -> None:
    assert supervise("--", "true").code == 0
    found = facts(records_of(supervise)[0])
    assert {name: found[name] for name in HERE} == HERE


def lost_elsewhere(supervise: Place, *, machine: bool) -> str:
    """Make the record of a killed run look like one of another machine, and return the id of the run."""
    running, _ = started(supervise, options=("--name", "job", "--on-interrupt", "rerun"))
    kill_both(running)
    [record] = records_of(supervise)
    rewrite(record, "boot_id", f'"{OTHER_BOOT}"')
    rewrite(record, "machine_id" if machine else "host", f'"{OTHER_MACHINE if machine else "other"}"')
    return record.run_id


@pytest.mark.parametrize("machine", [True, False])
def test_a_run_of_another_machine_is_left_alone(supervise: Place, machine: bool) -> None:
    if machine and not HERE["machine_id"]:
        pytest.skip("this machine has no machine id")
    run_id = lost_elsewhere(supervise, machine=machine)
    host = os.uname().nodename if machine else "other"
    ended = recover(supervise)
    assert (ended.code, ended.out.decode()) == (
        0,
        f"{run_id}: left alone: it is a run of the host {host}\nnothing was lost\n",
    )
    said = json.loads(recover(supervise, "--json", "--dry-run").out)
    assert (said["lost"], said["left_alone"]) == (
        [],
        [{"run_id": run_id, "host": host, "why": f"it is a run of the host {host}"}],
    )

    def call(*words: str) -> "tuple[int, str, str]":
        done = supervise.popen([str(supervise.program), *words]).wait()
        return done.code, done.out.decode(), done.err.decode()

    code, out, _ = call("ps")
    assert code == 0
    assert f"unknown (host {host})" in out
    [row] = json.loads(call("ps", "--json")[1])
    assert (row["state"], row["host"]) == ("unknown", host)
    for words in (("wait", run_id), ("stop", run_id), ("extend", run_id, "1m")):
        code, _, err = call(*words)
        assert (code, err) == (
            125,
            f"supervise: {words[0]}: run {run_id} was started on the host {host}, and can be asked there alone\n",
        )
    # The next run of that name does not hear that this one was lost.
    ended_next = supervise("--name", "job", "--", "sh", "-c", "echo ${SUPERVISE_PREVIOUS_OUTCOME-none}")
    assert (ended_next.out, ended_next.messages) == (b"none\n", [])
    # Also an old run may go on there; new times of its files show that.
    folder = Path(supervise.state, "runs", run_id)
    assert call("prune", "--keep", "0", "--older-than", "0")[0] == 0
    assert folder.exists()
    supervise.sweep()


def test_an_old_silent_run_of_another_machine_is_pruned(supervise: Place) -> None:
    run_id = lost_elsewhere(supervise, machine=False)
    supervise.sweep()
    folder = Path(supervise.state, "runs", run_id)
    old = folder.with_name("20200101" + run_id[8:])
    folder.rename(old)
    day = 86400.0

    def prune() -> bool:
        assert supervise.popen([str(supervise.program), "prune"]).wait().code == 0
        return not old.exists()

    assert not prune()
    for path in old.iterdir():
        os.utime(path, (time.time() - 31 * day,) * 2)
    os.utime(old / "lock", (time.time() - 29 * day,) * 2)
    assert not prune()
    os.utime(old / "lock", (time.time() - 31 * day,) * 2)
    assert prune()


def test_recover_host_takes_the_runs_of_a_renamed_machine(supervise: Place) -> None:
    run_id = lost_elsewhere(supervise, machine=False)
    assert recover(supervise, "--host", "another").code == 0
    ended = recover(supervise, "--host", "other")
    assert ended.code == 1
    assert ended.out.decode().startswith(f"{run_id} (job): lost: reboot")
    supervise.sweep()


needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can hide a file of /proc from a program"
)


@needs_namespaces
@pytest.mark.parametrize("content", ["", "masked\n"])
def test_an_unreadable_boot_id_is_no_reboot(supervise: Place, content: str) -> None:
    running, pid = started(supervise, options=("--on-interrupt", "rerun"))
    kill_both(running)
    assert is_alive(pid)
    mask = supervise.file("mask")
    mask.write_text(content)
    script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && exec supervise recover'
    ended = supervise.popen(["unshare", "-m", "sh", "-c", script, "sh", str(mask)]).wait()
    assert ended.code == 1
    assert "lost: supervisor died" in ended.out.decode()
    # The command was found by the run's id in its environment, and stopped before the rerun.
    assert f"stopped pid {pid} " in ended.out.decode()
    assert not is_alive(pid)
    supervise.sweep()


@needs_namespaces
def test_pids_of_an_unknown_boot_are_no_evidence(supervise: Place) -> None:
    """After a boot the same service may have the same pid and start time as before."""
    running, pid = started(supervise)
    kill_both(running)
    [record] = records_of(supervise)
    bystander = subprocess.Popen(["sleep", "100"], start_new_session=True)
    try:
        roots = Path(record.folder, "roots")
        roots.write_text(f"{bystander.pid} {identity.starttime(bystander.pid)}\n")
        rewrite(record, "boot_id", '""')
        ended = recover(supervise)
        assert ended.code == 1
        wait_until(lambda: not is_alive(pid))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    supervise.sweep()


@needs_namespaces
def test_a_machine_that_does_not_see_the_lock_of_a_live_run_leaves_it_alone(supervise: Place) -> None:
    """A copy of the folder stands for a file system that does not carry locks."""
    running, _ = started(supervise, options=("--on-interrupt", "rerun"))
    [record] = records_of(supervise)
    # The supervisor writes this file under another name first, which must not vanish while the folder is copied.
    wait_until(Path(record.folder, "socket").exists)
    copy = supervise.file("copy")
    shutil.copytree(supervise.state, copy / "supervise", symlinks=True)
    boot = supervise.file("boot")
    boot.write_text(OTHER_BOOT + "\n")
    script = 'hostname host-b && mount --bind "$1" /proc/sys/kernel/random/boot_id && exec supervise recover'
    ended = supervise.popen(
        ["unshare", "-m", "-u", "sh", "-c", script, "sh", str(boot)], env={"XDG_STATE_HOME": str(copy)}
    ).wait()
    assert (ended.code, ended.out.decode().splitlines()[-1]) == (0, "nothing was lost")
    assert not (copy / "supervise/runs" / record.run_id / "end.json").exists()
    running.send(15)
    assert running.wait().code == 143
