"""Files that another user has planted in the way of a run: the run neither reads nor writes them, and goes on."""

import json
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from supervise.records import reader
from tests.support.harness import wait_until
from tests.support.users import ALICE, BOB, ROOT, ROOTS_HOME, Users, alive

ROOT_AND_ALICE = pytest.mark.parametrize("uid", [ROOT, ALICE], ids=["root", "alice"])
PLANTED = ("link", "dangling", "file", "fifo", "hard link", "folder")


def tree(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return the content of a folder: of each file its kind and mode, owner, group and data."""
    found = {}
    for path in sorted(folder.rglob("*")):
        one = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(folder))] = one.st_mode, one.st_uid, one.st_gid, content
    return found


def plant(users: Users, kind: str, path: Path, secret: Path) -> None:
    """Have another user make a file of that kind at this path."""
    if kind == "hard link":
        # Any user may do so where protected_hardlinks is off (proc(5)).
        os.link(secret, path)
        return
    script = {
        "link": 'ln -s "$2" "$1"',
        "dangling": 'ln -s "$2.new" "$1"',
        "file": 'umask 0; : >"$1"',
        "fifo": 'umask 0; mkfifo "$1"',
        "folder": 'mkdir "$1"',
    }[kind]
    users.shell(BOB, script, str(path), str(secret))


@ROOT_AND_ALICE
@pytest.mark.parametrize("option", ["--report", "--log", "--events"])
@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_path_is_refused_with_one_line(users: Users, uid: int, option: str, kind: str) -> None:
    sticky, home = users.shared(), users.home(uid) if uid else users.folder
    secret = home / "secret"
    secret.write_text("kept")
    os.chown(secret, uid, uid)
    path = sticky / "run"
    plant(users, kind, path, secret)
    before = tree(sticky)
    done = users.supervise(uid, "run", "--no-record", option, str(path), "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith(f"supervise: {option}: cannot write '{path}': ")
    assert done.stderr.count("\n") == 1
    assert tree(sticky) == before
    assert secret.read_text() == "kept"
    assert not (home / "secret.new").exists()


def test_a_new_report_in_a_sticky_folder_belongs_to_the_caller_alone(users: Users) -> None:
    sticky = users.shared()
    script = 'umask 077; exec "$@"'
    report = sticky / "run.json"
    words = (str(users.program), "run", "--no-record", "--report", str(report), "--", "true")
    users.shell(ALICE, script, *words)
    assert json.loads(report.read_text())["outcome"] == "completed"
    assert (report.stat().st_uid, report.stat().st_mode & 0o7777) == (ALICE, 0o600)
    # A report of the caller is replaced.
    users.shell(ALICE, script, *words)
    assert os.listdir(sticky) == ["run.json"]


def test_a_file_planted_while_the_command_runs_is_not_written(users: Users) -> None:
    sticky, secret = users.shared(), users.home(ALICE) / "secret"
    secret.write_text("kept")
    os.chown(secret, ALICE, ALICE)
    report = sticky / "run.json"
    words = ("run", "--no-record", "--report", str(report), "--", "sh", "-c", "echo up; read x; true")
    with users.popen(ALICE, str(users.program), *words, stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"up\n"
        plant(users, "link", report, secret)
        process.stdin.write(b"\n")
        process.stdin.close()
        assert b"cannot write" in process.stderr.read()
        assert process.wait() == 0
    assert secret.read_text() == "kept"
    assert os.listdir(sticky) == ["run.json"]


def test_a_taken_temporary_name_blocks_no_report(users: Users) -> None:
    """The supervisor first writes a temporary file beside the report; another user can foresee and take its name."""
    sticky = users.shared()
    report = sticky / "run.json"
    words = ("run", "--no-record", "--report", str(report), "--", "sh", "-c", "echo $SUPERVISE_RUN_ID; read x; true")
    with users.popen(ALICE, str(users.program), *words, stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        run_id = process.stdout.readline().decode().strip()
        plant(users, "link", sticky / f".supervise-{run_id}", users.home(ALICE))
        process.stdin.close()
        assert process.wait() == 0
    assert json.loads(report.read_text())["run_id"] == run_id
    assert sorted(os.listdir(sticky)) == [f".supervise-{run_id}", "run.json"]


@pytest.mark.parametrize("option", ["--report", "--events"])
def test_the_guardian_of_a_killed_supervisor_writes_to_no_planted_file(users: Users, option: str) -> None:
    sticky, secret = users.shared(), users.home(ALICE) / "secret"
    secret.write_text("kept\n")
    os.chown(secret, ALICE, ALICE)
    path = sticky / "run"
    words = ("run", "--no-record", option, str(path), "--", "sh", "-c", "echo up; sleep 30")
    with users.popen(ALICE, str(users.program), *words) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        path.unlink(missing_ok=True)
        plant(users, "link", path, secret)
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: not alive())
    assert secret.read_text() == "kept\n"


# --- configuration

COMMAND = 'access-timeout = "20s"\naccess-on = ["output", "command=id -u >>{}"]\n'


def write_config(folder: Path, uid: int, text: str, mode: int = 0o644) -> Path:
    """Write a configuration into that folder, give the folder to the user, and return the file."""
    (folder / "supervise").mkdir(parents=True)
    file = folder / "supervise/config.toml"
    file.write_text(text)
    for path in (folder, folder / "supervise", file):
        os.chown(path, uid, uid)
    file.chmod(mode)
    return file


def until_written(path: Path) -> tuple[str, ...]:
    """Return a command that ends when that file is not empty, and fails where it stays empty."""
    script = 'for _ in $(seq 400); do [ -s "$1" ] && exit 0; sleep 0.05; done; exit 1'
    return "sh", "-c", script, "sh", str(path)


@pytest.fixture
def witness(users: Users) -> Path:
    """Return a file to which each command of a planted configuration would write."""
    path = users.folder / "ran"
    path.touch()
    path.chmod(0o666)
    return path


def test_root_with_the_home_of_a_user_warns_and_runs_the_command(
    users: Users, witness: Path, roots_records: None
) -> None:
    home = users.home(BOB)
    write_config(home / ".config", BOB, COMMAND.format(witness))
    before = tree(home)
    done = users.supervise(ROOT, "--", "sh", "-c", "sleep 1; echo ran", env={"HOME": str(home)})
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr == (
        f"supervise: {home}: it belongs to another user (uid {BOB}); its configuration and records are left alone, "
        f"and those in {ROOTS_HOME} are used\n"
    )
    assert tree(home) == before
    assert witness.read_text() == ""
    # The first run of the user, after that of root.
    assert users.supervise(BOB, "--no-record", "--", *until_written(witness)).returncode == 0
    assert {*witness.read_text().split()} == {str(BOB)}


def test_a_quiet_root_with_the_home_of_a_user_does_not_warn(users: Users, roots_records: None) -> None:
    done = users.supervise(ROOT, "-q", "--", "true", env={"HOME": str(users.home(BOB))})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_user_who_asks_for_a_run_of_root_reads_where_it_may_be(users: Users, roots_records: None) -> None:
    """What `sudo -E supervise` leaves on record: the user of the same HOME has no permission to read it."""
    environ = {"HOME": str(users.home(BOB))}
    assert users.supervise(ROOT, "-q", "--name", "of-sudo", "--", "true", env=environ).returncode == 0
    for words in (("show", "of-sudo"), ("wait", "of-sudo"), ("stop", "of-sudo")):
        done = users.supervise(BOB, *words, env=environ)
        why = f"no run 'of-sudo' on record; see supervise ps --all{reader.RUNS_OF_ROOT}"
        assert (done.returncode, done.stderr) == (125, f"supervise: {words[0]}: {why}\n")
        assert "sudo" not in users.supervise(ROOT, words[0], "of-nobody", env=environ).stderr


@pytest.mark.parametrize("variable", ["XDG_CONFIG_HOME", "XDG_STATE_HOME"])
def test_root_with_another_folder_of_a_user_in_its_environment_warns(
    users: Users, witness: Path, roots_records: None, variable: str
) -> None:
    """`sudo -E` keeps these variables."""
    folder = users.home(BOB) / "folder"
    write_config(folder, BOB, COMMAND.format(witness))
    before = tree(folder)
    done = users.supervise(ROOT, "--", "sleep", "1", env={"HOME": str(ROOTS_HOME), variable: str(folder)})
    assert done.returncode == 0
    assert "belongs to another user" in done.stderr
    assert done.stderr.count("\n") == 1
    assert tree(folder) == before
    assert witness.read_text() == ""


def test_a_configuration_of_another_user_in_a_shared_home_is_ignored(users: Users, witness: Path) -> None:
    home = users.shared("tmp")
    write_config(home / ".config", BOB, COMMAND.format(witness))
    done = users.supervise(ALICE, "--no-record", "--", "sleep", "1", env={"HOME": str(home)})
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert f"{home}/.config: it belongs to another user" in done.stderr
    assert witness.read_text() == ""


def test_a_run_without_a_home_of_its_user_is_not_recorded(users: Users) -> None:
    home = users.shared("tmp")
    users.shell(BOB, 'mkdir -p "$1"', str(home / ".local"))
    done = users.supervise(ALICE, "--", "echo", "ran", env={"HOME": str(home)})
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr == (
        f"supervise: {home}/.local: it belongs to another user (uid {BOB}); its records are left alone, "
        "and there are no others\n"
    )
    assert tree(home) == {".local": tree(home)[".local"]}


def test_uid_0_in_a_user_namespace_uses_its_own_home_and_no_other(users: Users) -> None:
    home, theirs = users.home(ALICE), users.home(BOB)
    theirs.chmod(0o777)
    inside = ("/usr/bin/unshare", "-r", str(users.program))
    done = users.run(ALICE, *inside, "--", "id", "-u")
    if "unshare" in done.stderr and "supervise" not in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert len(users.supervise(ALICE, "ps", "--all", "-q").stdout.split()) == 1
    assert {path.lstat().st_uid for path in home.rglob("*")} == {ALICE}
    done = users.run(ALICE, *inside, "--", "echo", "ran", env={"HOME": str(theirs)})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "ran\n", 1)
    assert f"{theirs}: other users may write it" in done.stderr
    assert os.listdir(theirs) == []


@pytest.mark.parametrize("linked", ["config.toml", "supervise", ".config"])
def test_a_link_of_another_user_to_a_file_of_the_caller_is_ignored(users: Users, witness: Path, linked: str) -> None:
    """In a shared home such a link would choose which file of the caller is the configuration."""
    home, own = users.shared("tmp"), users.home(ALICE)
    write_config(own / ".config", ALICE, COMMAND.format(witness))
    if linked == ".config":
        users.shell(BOB, 'ln -s "$1" "$2"', str(own / ".config"), str(home / ".config"))
    else:
        users.shell(BOB, 'mkdir -p "$1"', str(home / ".config/supervise"))
        shutil.rmtree(home / ".config" / "supervise") if linked == "supervise" else None
        target = own / ".config/supervise" / ("config.toml" if linked == "config.toml" else "")
        at = home / ".config/supervise" / ("config.toml" if linked == "config.toml" else "")
        users.shell(BOB, 'ln -s "$1" "$2"', str(target), str(at))
    done = users.supervise(ALICE, "--no-record", "--", "sleep", "1", env={"HOME": str(home)})
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert witness.read_text() == ""


@pytest.mark.parametrize("name", [".config", ".config/supervise", ".config/supervise/config.toml"])
@pytest.mark.parametrize("mode", [0o777, 0o707, 0o770])
def test_a_configuration_that_others_may_write_is_refused(users: Users, witness: Path, name: str, mode: int) -> None:
    home = users.home(ALICE)
    write_config(home / ".config", ALICE, COMMAND.format(witness))
    os.chown(home / name, ALICE, BOB)
    (home / name).chmod(mode)
    done = users.supervise(ALICE, "--no-record", "--", "sleep", "1")
    assert done.returncode == 125
    assert f"is refused: {'' if name.endswith('toml') else f'{home / name}: '}other users may write it" in done.stderr
    assert f"(chmod go-w {home / name})" in done.stderr
    assert done.stderr.count("\n") == 1
    assert witness.read_text() == ""
    (home / name).chmod(0o700)
    assert users.supervise(ALICE, "--no-record", "--", *until_written(witness)).returncode == 0


@ROOT_AND_ALICE
@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_named_configuration_of_another_user_is_refused(users: Users, witness: Path, uid: int, way: str) -> None:
    file = write_config(users.folder / "theirs", BOB, COMMAND.format(witness))
    words, env = (("--config", str(file)), {}) if way == "option" else ((), {"SUPERVISE_CONFIG": str(file)})
    done = users.supervise(uid, "run", *words, "--no-record", "--", "sleep", "1", env=env)
    assert done.returncode == 125
    assert done.stderr == f"supervise: {file}: is refused: it belongs to another user (uid {BOB})\n"
    assert witness.read_text() == ""


def test_a_named_configuration_of_root_is_used_by_all(users: Users, witness: Path) -> None:
    file = write_config(users.folder / "etc", ROOT, COMMAND.format(witness))
    done = users.supervise(ALICE, "run", "--config", str(file), "--no-record", "--", *until_written(witness))
    assert (done.returncode, done.stderr) == (0, "")
    assert str(ALICE) in witness.read_text()


def test_the_warning_of_a_single_folder_is_in_the_singular(users: Users) -> None:
    home = users.home(BOB)
    done = users.supervise(ROOT, "--no-record", "--", "true", env={"XDG_CONFIG_HOME": str(home)})
    assert done.returncode == 0
    assert f"{home}: it belongs to another user (uid {BOB}); its configuration is left alone, and " in done.stderr
    assert done.stderr.count("\n") == 1


def test_config_set_of_root_leaves_the_configuration_of_a_user_alone(users: Users) -> None:
    home = users.home(BOB)
    for words in (("timeout", "1h"), ("--profile", "ci", "timeout", "1h")):
        done = users.supervise(ROOT, "config", "set", *words, env={"HOME": str(home)})
        assert done.returncode == 125
        assert "it belongs to another user" in done.stderr
        assert done.stderr.count("\n") == 1
    assert tree(home) == {}


def test_config_set_makes_a_private_file_under_any_umask(users: Users) -> None:
    home = users.home(ALICE)
    script = 'umask 0; exec "$@"'
    users.shell(ALICE, script, str(users.program), "config", "set", "timeout", "1h")
    modes = {path.name: path.stat().st_mode & 0o777 for path in home.rglob("*")}
    assert modes == {".config": 0o700, "supervise": 0o700, "config.toml": 0o600}
    assert users.supervise(ALICE, "--no-record", "--", "true").stderr == ""


# --- records


@pytest.mark.parametrize("umask", ["0", "022", "077", "0277"])
def test_the_folders_of_the_state_have_their_modes_under_any_umask(users: Users, umask: str) -> None:
    home = users.home(ALICE)
    users.shell(ALICE, f'umask {umask}; exec "$@"', str(users.program), "--", "echo", "x")
    found = {path: path.lstat() for path in home.rglob("*") if not path.is_symlink()}
    assert found
    for path, one in found.items():
        assert (path.name, one.st_mode & 0o077) == (path.name, 0)
        assert not path.is_dir() or one.st_mode & 0o777 == 0o700
    assert users.supervise(ALICE, "ps", "--all", "-q").stdout


@pytest.mark.parametrize("umask", ["0777", "0277", "0022"])
def test_a_user_can_open_the_files_of_a_run_under_any_umask(users: Users, umask: str) -> None:
    script = 'umask "$1"; "$2" --name night --lock night --signal INT -- sh -c "echo out; sleep 0.1"'
    for _ in range(2):
        done = users.run(ALICE, "/bin/sh", "-c", script, "sh", umask, str(users.program))
        assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "")
    state = users.home(ALICE) / ".local/state/supervise"
    files = [path for path in state.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.name for path in files} >= {"run.toml", "end.json", "events.jsonl", "lock", "output"}
    assert {path: stat.S_IMODE(path.stat().st_mode) for path in files} == dict.fromkeys(files, 0o600)
    assert users.supervise(ALICE, "show", "night").stdout.startswith("completed ")
    assert users.supervise(ALICE, "logs", "night").stdout == "out\n"


def test_a_state_folder_that_others_may_write_is_not_used(users: Users) -> None:
    home = users.home(ALICE)
    assert users.supervise(ALICE, "--", "true").stderr == ""
    (home / ".local/state").chmod(0o777)
    done = users.supervise(ALICE, "--", "true")
    where = f"{home}/.local/state"
    assert (done.returncode, done.stderr) == (
        0,
        f"supervise: this run is not recorded: other users may write it: {where}\n",
    )
    for words in (("recover",), ("prune",), ("ps",), ("show", "-"), ("suggest", "x")):
        done = users.supervise(ALICE, *words)
        assert (done.returncode, done.stdout) == (125, "")
        assert f"{where}: other users may write it" in done.stderr


@pytest.mark.parametrize("name", ["runs", "live", "names"])
def test_a_folder_of_another_user_within_the_state_is_not_used(users: Users, name: str) -> None:
    """The owner of the folder could replace a record after it was checked."""
    assert users.supervise(ALICE, "--", "true").stderr == ""
    path = users.home(ALICE) / ".local/state/supervise" / name
    os.chown(path, BOB, ALICE)
    path.chmod(0o770)
    before = tree(users.home(ALICE))
    done = users.supervise(ALICE, "--", "true")
    why = f"it belongs to another user (uid {BOB})"
    assert (done.returncode, done.stderr) == (0, f"supervise: this run is not recorded: {why}: {path}\n")
    for word in ("recover", "prune"):
        done = users.supervise(ALICE, word)
        assert (done.returncode, done.stdout, f"{path}: {why}" in done.stderr) == (125, "", True)
    assert tree(users.home(ALICE)) == before


def test_a_run_of_a_user_is_recorded_after_one_of_root_with_the_same_home(users: Users, roots_records: None) -> None:
    home = users.home(BOB)
    for words in (("--", "true"), ("run", "--name", "x", "--", "true")):
        assert users.supervise(ROOT, *words, env={"HOME": str(home)}).returncode == 0
    assert tree(home) == {}
    done = users.supervise(BOB, "--", "true")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(users.supervise(BOB, "ps", "--all", "-q").stdout.split()) == 1


def lost_record(state: Path, uid: int, facts: dict[str, object], roots: str = "") -> str:
    """Make a record in that folder that looks as if its supervisor had died, give it to the user, and return its id."""
    run_id = "20261124-200139-123456abcd"
    folder = state / "runs" / run_id
    folder.mkdir(parents=True)
    (state / "live").mkdir()
    (state / "names").mkdir()
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"run_id": run_id, **facts}.items()]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    options = '[options]\non-interrupt = "rerun"\nkill-after = "0"\n'
    (folder / "run.toml").write_text("\n".join([*lines, f'boot_id = "{boot}"', options]))
    (folder / "roots").write_text(roots)
    (state / "live" / run_id).touch()
    top = next(path for path in state.parents if path.name == ".local")
    for path in (top, *top.rglob("*")):
        os.lchown(path, uid, uid)
    os.utime(folder / "run.toml", (0, 0))
    return run_id


@pytest.mark.parametrize("where", ["the home of a user", "a home that all share"])
def test_recover_acts_on_no_record_of_another_user(
    users: Users, witness: Path, roots_records: None, where: str
) -> None:
    uid = ROOT if where == "the home of a user" else ALICE
    home = users.home(BOB) if uid == ROOT else users.shared("tmp")
    facts: dict[str, object] = {"command": ["sh", "-c", f"id -u >>{witness}"], "cwd": "/", "host": os.uname().nodename}
    with users.popen(uid, "sleep", "100") as victim:
        started = Path(f"/proc/{victim.pid}/stat").read_text().rpartition(") ")[2].split()[19]
        lost_record(home / ".local/state/supervise", BOB, facts, f"{victim.pid} {started}\n")
        before = tree(home / ".local")
        done = users.supervise(uid, "recover", env={"HOME": str(home)})
        assert "it belongs to another user" in done.stderr
        assert done.stderr.count("\n") == 1
        assert victim.poll() is None
        assert tree(home / ".local") == before
        assert witness.read_text() == ""
        done = users.supervise(uid, "prune", "--keep", "0", env={"HOME": str(home)}) if uid else None
        assert done is None or done.returncode == 125
        assert tree(home / ".local") == before
        victim.kill()


def test_recover_names_and_leaves_a_record_of_root_in_the_state_of_a_user(users: Users, witness: Path) -> None:
    """A restored backup can leave such a record, or an old release of supervise."""
    home = users.home(ALICE)
    facts: dict[str, object] = {"command": ["sh", "-c", f"id -u >>{witness}"], "cwd": "/", "host": os.uname().nodename}
    run_id = lost_record(home / ".local/state/supervise", ALICE, facts)
    path = home / ".local/state/supervise/runs" / run_id / "run.toml"
    os.chown(path, ROOT, ROOT)
    done = users.supervise(ALICE, "recover")
    assert (done.returncode, done.stdout) == (1, f"{run_id}: left alone: {path} belongs to another user (root)\n")
    assert witness.read_text() == ""
    os.chown(path, ALICE, ALICE)
    done = users.supervise(ALICE, "recover")
    assert (done.returncode, "run again" in done.stdout) == (1, True)
    wait_until(lambda: witness.read_text() == f"{ALICE}\n")
    wait_until(lambda: not alive())


def test_root_sees_the_runs_of_a_user_by_the_home(users: Users) -> None:
    home = users.home(ALICE)
    assert users.supervise(ALICE, "run", "--name", "night", "--", "echo", "x").returncode == 0
    before = tree(home)
    run_id = users.supervise(ALICE, "ps", "--all", "-q").stdout.strip()
    assert run_id in users.supervise(ROOT, "ps", "--all", "-q", env={"HOME": str(home)}).stdout.split()
    for word in ("-", "night", run_id, run_id[:15]):
        assert users.supervise(ROOT, "logs", word, env={"HOME": str(home)}).stdout == "x\n"
    assert tree(home) == before
