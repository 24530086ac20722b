"""`supervise doctor`: on a plain system, and on systems where something is missing or broken."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supervise.commands.system_checks import CHECKS
from tests.support.clients import command
from tests.support.harness import HANG_SECONDS, Ended, Place, wait_until
from tests.support.programs import needed
from tests.support.users import ALICE, Users

NAMES = [check.name for check in CHECKS]
ESSENTIAL = {check.name for check in CHECKS if check.is_essential}


def checks_of(printed: bytes | str) -> dict[str, dict[str, str]]:
    """Return the rows of the JSON by their names, after a check of its form."""
    found: dict[str, Any] = json.loads(printed)
    assert set(found) == {"schema", "version", "system", "user", "is_fit", "checks"}
    rows = found["checks"]
    assert [row["name"] for row in rows] == NAMES
    for row in rows:
        assert set(row) == {"name", "state", "found", "instead"}
        assert row["state"] in (("ok", "broken") if row["name"] in ESSENTIAL else ("ok", "missing"))
        assert row["found"] != ""
        if row["state"] == "missing":
            assert row["instead"] != ""
    assert found["is_fit"] == all(row["state"] != "broken" for row in rows)
    return {row["name"]: row for row in rows}


def doctor(supervise: Place, *before: str) -> tuple[Ended, dict[str, dict[str, str]]]:
    """Return the end of `supervise doctor --json`, and its rows."""
    ended = supervise.popen([*before, str(supervise.program), "doctor", "--json"]).wait()
    assert ended.err == b""
    return ended, checks_of(ended.out)


def test_a_plain_system_is_fit(supervise: Place) -> None:
    ended, rows = doctor(supervise)
    assert (ended.code, ended.left) == (0, [])
    for name in ("Python", "libraries", "a run", "configuration", "state folder", "runtime folder", "/proc", "pidfd"):
        assert rows[name]["state"] == "ok", rows[name]
    assert rows["terminal"]["state"] == "missing"
    assert f"{sys.version_info[0]}.{sys.version_info[1]}." in rows["Python"]["found"]
    assert rows["runtime folder"]["found"] == str(supervise.runtime / "supervise")


def test_the_text_has_a_line_for_each_check(supervise: Place) -> None:
    printed = command(supervise, "doctor")
    first, *lines = printed.out.decode().splitlines()
    assert (printed.code, printed.err) == (0, b"")
    assert first.startswith("supervise ")
    assert [line.split("  ")[0].split()[0] for line in lines] != []
    assert len(lines) == len(NAMES)
    for line, name in zip(lines, NAMES, strict=True):
        state, rest = line.split(None, 1)
        assert state in ("ok", "missing")
        assert rest.startswith(name)
        assert ("; instead: " in line) == (state == "missing")


def test_nothing_is_left_behind(supervise: Place) -> None:
    """Neither a cgroup nor a record; the folders of sockets and locks are those that a run makes, too."""
    before = cgroups()
    assert doctor(supervise)[0].code == 0
    # Other tests run beside this one: their new cgroups have processes, or are gone soon.
    new = cgroups() - before
    wait_until(lambda: not any(is_empty(one) for one in new))
    assert not Path(supervise.state).exists()


def is_empty(cgroup: str) -> bool:
    """Return whether the cgroup is there, without a process."""
    try:
        return Path(cgroup, "cgroup.procs").read_text() == ""
    except OSError:
        return False


def cgroups() -> set[str]:
    """Return the cgroups that a doctor of this process could have made."""
    own = {line.split(":", 2)[2].strip() for line in Path("/proc/self/cgroup").read_text().splitlines()}
    roots = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")]
    folders = [root / path.lstrip("/") for root in roots for path in own]
    return {str(one) for folder in folders if folder.is_dir() for one in folder.glob("supervise-*-*")}


def test_a_configuration_with_an_error_is_broken(supervise: Place) -> None:
    """Each run is refused then (125)."""
    supervise.file("it.toml").write_text('idle-timeout = "soon"\n')
    supervise.environ["SUPERVISE_CONFIG"] = str(supervise.file("it.toml"))
    ended, rows = doctor(supervise)
    assert ended.code == 1
    assert rows["configuration"]["state"] == "broken"
    assert "it.toml:1: idle-timeout: got 'soon'" in rows["configuration"]["found"]
    assert rows["a run"]["state"] == "ok"
    printed = command(supervise, "doctor")
    assert printed.code == 1
    assert printed.out.decode().splitlines()[-1] == "something that each run needs is broken"


@pytest.mark.parametrize("library", ["trio", "click"])
def test_a_library_that_is_missing_is_named(library: str, tmp_path: Path) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; from supervise.__main__ import main; main()"
    ended = subprocess.run(
        [sys.executable, "-I", "-c", code, "doctor", "--json"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}, capture_output=True, timeout=HANG_SECONDS, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, b"")
    row = checks_of(ended.stdout)["libraries"]
    assert (row["state"], row["found"]) == ("broken", f"missing: {library}")


def test_a_home_that_does_not_exist_costs_the_records(supervise: Place) -> None:
    supervise.environ["HOME"] = "/proc/nonexistent"
    ended, rows = doctor(supervise)
    assert ended.code == 0
    assert rows["state folder"]["state"] == "missing"
    assert "no record" in rows["state folder"]["instead"]


def test_without_home_the_account_says_where_it_is(supervise: Place) -> None:
    del supervise.environ["HOME"]
    ended, rows = doctor(supervise)
    assert ended.code == 0
    assert rows["state folder"]["found"] != ""


def unshared(supervise: Place, options: str, script: str) -> tuple[Ended, dict[str, dict[str, str]]]:
    """Call the doctor in namespaces of its own, after the script; skip where the system allows no such namespace."""
    before = [needed("unshare"), *options.split(), "sh", "-c", f'{script} && exec "$@"', "sh"]
    tried = supervise.popen([*before, "true"]).wait()
    if tried.code:
        pytest.skip(tried.err.decode())
    return doctor(supervise, *before)


def test_without_proc_the_tree_is_not_seen(supervise: Place) -> None:
    ended, rows = unshared(supervise, "--mount", "mount -t tmpfs none /proc")
    assert ended.code == 0
    assert (rows["/proc"]["state"], rows["/proc"]["found"]) == ("missing", "not mounted")
    assert rows["children file"]["state"] == "missing"
    assert rows["namespaces"]["state"] == "missing"
    assert rows["a run"]["state"] == "ok"


def test_a_proc_of_another_namespace_is_told_from_none(supervise: Place) -> None:
    ended, rows = unshared(supervise, "--pid --fork", "true")
    assert ended.code == 0
    assert (rows["/proc"]["state"], rows["/proc"]["found"]) == ("missing", "it is of another pid namespace")


def test_a_user_namespace_is_named(supervise: Place) -> None:
    ended, rows = unshared(supervise, "--user --map-root-user", "true")
    assert ended.code == 0
    assert "user of its own" in rows["namespaces"]["found"]


def test_a_root_of_its_own_is_enough(supervise: Place) -> None:
    """In a chroot that has nothing but bind mounts of the system's folders: no /proc, no /sys, no /run, no /tmp."""
    root = supervise.file("root")
    root.mkdir()
    home = Path(supervise.environ["HOME"]).parents[0]
    places = [
        "/usr",
        "/bin",
        "/lib",
        "/lib64",
        "/etc",
        "/dev",
        str(Path(sys.base_prefix)),
        str(Path(sys.prefix)),
        str(home),
    ]
    places = [place for place in places if Path(place).is_dir()]
    package = Path(__file__).parents[2]
    places.append(str(package))
    mounts = " && ".join(f"mkdir -p {root}{place} && mount --rbind {place} {root}{place}" for place in places)
    script = f"mount -t tmpfs none {root} && {mounts}"
    before = [needed("unshare"), "--mount", "sh", "-c", f'{script} && exec "$@"', "sh", "chroot", str(root)]
    tried = supervise.popen([*before, "true"]).wait()
    if tried.code:
        pytest.skip(tried.err.decode())
    ended, rows = doctor(supervise, *before)
    assert ended.code == 0
    assert rows["/proc"]["state"] == "missing"
    assert rows["cgroup"]["state"] == "missing"
    assert rows["a run"]["state"] == "ok"


def test_another_user_has_a_doctor_too(users: Users) -> None:
    ended = users.supervise(ALICE, "doctor", "--json")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    rows = checks_of(ended.stdout)
    assert str(users.home(ALICE)) in rows["state folder"]["found"]
    assert rows["kernel log"]["state"] == "missing" or "kmsg" in rows["kernel log"]["found"]
    assert json.loads(ended.stdout)["user"] == ALICE
