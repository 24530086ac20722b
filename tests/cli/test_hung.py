"""A file system that does not answer, under each file that a run touches: limits and cancellations still hold."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from supervise.process import bounded_call
from supervise.records import store
from tests.support.harness import Place, alive_with, child, end_of, name_of, wait_until
from tests.support.hung import Hung, is_possible, mounted

pytestmark = pytest.mark.skipif(
    not is_possible(), reason="only root, with /dev/fuse, can mount a file system that hangs"
)

LATENESS_SECONDS = 0.5
"""Seconds that a limit or a signal may be late."""
LIMIT_SECONDS = 1.0


@dataclass
class Dead:
    """A folder on a file system that does not answer."""

    folder: Path
    is_killable: bool
    """A process that waits for it can be killed."""


@pytest.fixture(params=["unread", "unanswered"])
def dead(request: pytest.FixtureRequest, supervise: Place, tmp_path: Path) -> Iterator[Dead]:
    """Mount a file system that does not answer."""
    with mounted(tmp_path / "dead", request.param) as hung:
        yield Dead(hung.folder, request.param == "unread")
    # Processes that could not be killed die now.
    wait_until(lambda: not supervise.alive())


class Run:
    """A run that may leave processes which cannot be killed: its output goes into a file, which they may hold open."""

    def __init__(self, supervise: Place, words: list[str], env: dict[str, str] | None = None, **manner: object) -> None:
        self._file = supervise.file("said")
        self.began = time.monotonic()
        with self._file.open("wb") as sink:
            self.running = supervise.popen(
                [str(supervise.program), *words], env=env, stdout=sink.fileno(), stderr=sink.fileno(), **manner
            )

    def wait(self) -> tuple[int, str, float]:
        """Wait for the end; return the exit code, the output, and the seconds since the start."""
        code = end_of(self.running.process, 20)
        return code, self._file.read_text(), time.monotonic() - self.began

    def left(self) -> list[int]:
        return alive_with(self.running.token)


def is_in_time(trial: Callable[[], float], bound: float) -> bool:
    """Return whether one of three trials takes less than that many seconds: a trial may have waited for a CPU."""
    return any(trial() < bound for _ in range(3))


def places(dead: Dead) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return words and variables of runs that touch the dead folder before the command has started."""
    path = f"{dead.folder}:{os.environ['PATH']}"
    return {
        "the command": (["--", f"{dead.folder}/cmd"], {}),
        "a relative command": (["--", f"../{dead.folder.name}/cmd"], {}),
        "PATH": (["--", "sleep", "20"], {"PATH": path}),
        "the interpreter": (["--", "./script"], {}),
    }


@pytest.mark.alone
@pytest.mark.parametrize("what", ["the command", "a relative command", "PATH", "the interpreter"])
def test_a_limit_holds_where_the_exec_of_the_command_hangs(supervise: Place, dead: Dead, what: str) -> None:
    script = supervise.file("script")
    script.write_text(f"#!{dead.folder}/sh\n")
    script.chmod(0o755)
    words, env = places(dead)[what]

    def time_taken(limit: str, code: int) -> float:
        report = supervise.file("r.json")
        run = Run(supervise, ["--report", str(report), limit, str(LIMIT_SECONDS), "-k", "20", *words], env)
        got, said, took = run.wait()
        assert got == code, said
        assert took >= LIMIT_SECONDS, said
        survivors = json.loads(report.read_bytes())["survivors"]
        # The processes that are left cannot be killed, and are named.
        assert {one["pid"] for one in survivors} == set(run.left())
        assert bool(survivors) != dead.is_killable, said
        assert ("could not kill" in said) == bool(survivors)
        return took

    for limit, code in (("-t", 124), ("-a", 122), ("--total-timeout", 124)):
        assert is_in_time(partial(time_taken, limit, code), LIMIT_SECONDS + LATENESS_SECONDS)


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", ["the command", "PATH"])
def test_a_cancellation_ends_a_start_that_hangs(supervise: Place, dead: Dead, what: str, number: int) -> None:
    words, env = places(dead)[what]

    def lateness() -> float:
        run = Run(supervise, ["-v", *words], env)
        guardian = run.running.guardian()
        wait_until(lambda: is_waiting(guardian))
        # The libraries are loaded by then, which takes long on a busy machine.
        wait_until(lambda: [*supervise.runtime.rglob("*.sock")])
        sent = time.monotonic()
        run.running.send(number)
        code, said, _ = run.wait()
        late = time.monotonic() - sent
        assert code == (-signal.SIGINT if number == signal.SIGINT else 128 + number)
        assert f"cancelled by signal {signal.Signals(number).name.removeprefix('SIG')}" in said
        return late

    assert is_in_time(lateness, LATENESS_SECONDS)


def is_waiting(pid: int) -> bool:
    """Return whether the process, or a child of it, waits for an answer of the file system."""
    try:
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        return any("request_wait" in Path(f"/proc/{one}/wchan").read_text() for one in pids)
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_closing(pid: int) -> bool:
    """Return whether the process is in close(2), whose wait no signal ends (fuse_flush of fs/fuse/file.c)."""
    try:
        return "fuse_flush" in Path(f"/proc/{pid}/stack").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.alone
def test_a_limit_holds_in_a_folder_that_hangs(supervise: Place, tmp_path: Path) -> None:
    def time_taken() -> float:
        with mounted(tmp_path / "dead", "answers") as hung:
            call = f"exec {supervise.program} -t 1 -- ./cmd"
            start = f"cd {hung.folder} && echo there >{tmp_path}/there && read go && {call}"
            began = run_where(supervise, start, hung, tmp_path)
            took = time.monotonic() - began
        assert took >= LIMIT_SECONDS
        return took

    assert is_in_time(time_taken, LIMIT_SECONDS + LATENESS_SECONDS)


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancellation_holds_in_a_folder_that_hangs(supervise: Place, tmp_path: Path, number: int) -> None:
    there, go = supervise.file("there"), supervise.file("go")

    def lateness() -> float:
        with mounted(tmp_path / "dead", "answers") as hung:
            start = f"cd {hung.folder} && echo there >{there} && until [ -e {go} ]; do sleep 0.01; done"
            running = supervise.popen(["dash", "-c", f"{start}; exec {supervise.program} -- ./cmd"])
            wait_until(there.exists)
            hung.stop("unread")
            go.touch()
            wait_until(lambda: name_of(running.pid) == "supervise" and is_waiting(running.pid))
            sent = time.monotonic()
            running.send(number)
            ended = running.wait()
            late = time.monotonic() - sent
            assert ended.code == (-number if number == signal.SIGINT else 128 + number), ended.err
            assert ended.left == []
        there.unlink()
        go.unlink()
        return late

    assert is_in_time(lateness, LATENESS_SECONDS)


def run_where(supervise: Place, start: str, hung: Hung, tmp_path: Path) -> float:
    """Let the folder of a script hang before it calls supervise; check the timeout, and return when the hang began."""
    reader, writer = os.pipe()
    running = supervise.popen(["dash", "-c", start], stdin=reader)
    os.close(reader)
    wait_until((tmp_path / "there").exists)
    (tmp_path / "there").unlink()
    hung.stop("unread")
    began = time.monotonic()
    os.write(writer, b"\n")
    os.close(writer)
    ended = running.wait()
    assert ended.code == 124, ended.err
    assert ended.left == []
    return began


@pytest.mark.alone
@pytest.mark.parametrize("options", [[], ["-t", "20"], ["-t", "2"], ["--pty", "-t", "2"]])
def test_a_run_goes_on_without_a_record_on_a_hung_disk(supervise: Place, dead: Dead, options: list[str]) -> None:
    def time_taken() -> float:
        run = Run(supervise, [*options, "--", "sh", "-c", "echo here; exit 3"], {"XDG_STATE_HOME": str(dead.folder)})
        code, said, took = run.wait()
        assert (code, said.count("this run is not recorded")) == (3, 1), said
        assert said.splitlines()[-1] == "here"
        assert bool(run.left()) != dead.is_killable
        return took

    assert is_in_time(time_taken, 2 + LATENESS_SECONDS)


@pytest.mark.alone
def test_a_cancellation_does_not_wait_for_a_record_on_a_hung_disk(supervise: Place, dead: Dead) -> None:
    words = ["--", *child("say=here", "stay")]

    def lateness() -> float:
        run = Run(supervise, ["-k", "0.1", *words], {"XDG_STATE_HOME": str(dead.folder)})
        wait_until(lambda: is_waiting(run.running.guardian()))
        sent = time.monotonic()
        run.running.send(signal.SIGINT)
        code, said, _ = run.wait()
        late = time.monotonic() - sent
        assert code == -signal.SIGINT
        assert "cancelled by signal INT" in said
        return late

    assert is_in_time(lateness, LATENESS_SECONDS)


@pytest.mark.alone
def test_a_limit_counts_from_the_call_where_the_record_hangs(supervise: Place, dead: Dead) -> None:
    def time_taken() -> float:
        run = Run(supervise, ["-t", "1", "--", "sleep", "20"], {"XDG_STATE_HOME": str(dead.folder)})
        code, said, took = run.wait()
        assert code == 124, said
        assert took >= LIMIT_SECONDS, said
        return took

    assert is_in_time(time_taken, LIMIT_SECONDS + LATENESS_SECONDS)


def other_places(dead: Dead) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return words and variables of runs that touch the dead folder for another file than the command."""
    return {
        "report": (["--report", f"{dead.folder}/r"], {}),
        "metrics": (["--metrics", f"{dead.folder}/m.prom"], {}),
        "log": (["--log", f"{dead.folder}/l"], {}),
        "events": (["--events", f"{dead.folder}/e"], {}),
        "lock": (["--lock", f"{dead.folder}/k"], {}),
        "ping": (["--ping", f"file:{dead.folder}/p"], {}),
        "config": (["--config", f"{dead.folder}/c"], {}),
        "XDG_CONFIG_HOME": ([], {"XDG_CONFIG_HOME": str(dead.folder)}),
        "HOME": ([], {"HOME": str(dead.folder)}),
        "all of them": (["--report", f"{dead.folder}/r"], {"HOME": str(dead.folder), "PATH": f"{dead.folder}:/bin"}),
    }


@pytest.mark.alone
@pytest.mark.parametrize(
    "what",
    ["report", "metrics", "log", "events", "lock", "ping", "config", "XDG_CONFIG_HOME", "HOME", "all of them"],
)
def test_a_limit_holds_where_a_named_file_or_the_configuration_hangs(supervise: Place, dead: Dead, what: str) -> None:
    words, env = other_places(dead)[what]

    def time_taken() -> float:
        run = Run(supervise, ["-t", str(LIMIT_SECONDS), *words, "--", "sleep", "20"], env)
        code, said, took = run.wait()
        # A named configuration is waited for half of the limit, and then refused.
        assert code == (125 if what == "config" else 124), said
        assert "Traceback" not in said
        if what in ("HOME", "XDG_CONFIG_HOME"):
            assert "is left alone: its file system does not answer" in said
        else:
            assert "does not answer" in said
        return took

    assert is_in_time(time_taken, LIMIT_SECONDS + LATENESS_SECONDS)


@pytest.mark.alone
def test_a_slow_file_system_is_awaited_under_a_short_limit(supervise: Place, tmp_path: Path) -> None:
    """An answer that comes after the limit, but within half a second, is taken: the command starts and has its limit.

    On a busy machine the process that opens the file takes as long.
    """
    events = tmp_path / "slow" / "events.jsonl"

    def has_started() -> bool:
        with mounted(events.parent, "unread") as hung:
            words = ["-t", "0.05", "--events", str(events), "--", "sleep", "20"]
            run = Run(supervise, words)
            wait_until(lambda: any(map(is_waiting, run.running.children())))
            # The limit has run out.
            time.sleep(0.1)
            hung.stop("answers")
            code, said, _ = run.wait()
            assert code == 124, said
            return events.exists() and b'"event": "started"' in events.read_bytes()

    # One of three trials is enough: the machine may be busy with other tests.
    assert any(has_started() for _ in range(3))


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", ["report", "log", "events", "lock", "config", "HOME"])
def test_a_cancellation_holds_where_a_named_file_or_the_configuration_hangs(
    supervise: Place, dead: Dead, what: str, number: int
) -> None:
    words, env = other_places(dead)[what]
    run = Run(supervise, [*words, "--", "sleep", "20"], env)
    child_of = Path(f"/proc/{run.running.pid}/task/{run.running.pid}/children")
    wait_until(lambda: any(is_waiting(int(one)) for one in child_of.read_text().split()))
    sent = time.monotonic()
    run.running.send(number)
    code, said, _ = run.wait()
    assert time.monotonic() - sent < LATENESS_SECONDS, said
    assert code in (-number, 128 + number), said


@pytest.mark.parametrize("what", ["HOME", "XDG_CONFIG_HOME"])
def test_the_command_runs_where_the_home_hangs(supervise: Place, dead: Dead, what: str) -> None:
    words, env = other_places(dead)[what]
    code, said, _ = Run(supervise, [*words, "-t", "10", "--", "sh", "-c", "echo ran; exit 3"], env).wait()
    assert code == 3
    assert said.splitlines()[-1] == "ran"


@pytest.mark.alone
@pytest.mark.parametrize("options", [[], ["--notify"], ["--lock", "LOCK"], ["--pty", "--notify"]])
def test_a_limit_holds_where_the_runtime_folder_hangs(
    supervise: Place, dead: Dead, lock_name: str, options: list[str]
) -> None:
    options = [lock_name if one == "LOCK" else one for one in options]
    env = {"XDG_RUNTIME_DIR": str(dead.folder)}

    def time_taken() -> float:
        run = Run(supervise, ["-t", str(LIMIT_SECONDS), *options, "--", "sleep", "20"], env)
        code, said, took = run.wait()
        assert code == 124, said
        assert "no control socket" not in said
        return took

    assert is_in_time(time_taken, LIMIT_SECONDS + LATENESS_SECONDS)


@pytest.mark.alone
def test_clients_skip_a_runtime_folder_that_hangs(supervise: Place, dead: Dead) -> None:
    env = {"XDG_RUNTIME_DIR": str(dead.folder)}
    run = Run(supervise, ["--name", "one", "--notify", "--", *child("stay")], env)
    [noted] = wait_until(lambda: [*Path(supervise.state).glob("runs/*/socket")])
    assert not noted.read_text().startswith(str(dead.folder))
    for words in (["ps"], ["extend", "one", "1"], ["stop", "one"]):
        client = supervise.popen([str(supervise.program), *words], env=env)
        began = time.monotonic()
        assert client.process.wait(20) == (125 if words[0] == "extend" else 0), client.err
        assert time.monotonic() - began < 3, words
    assert run.wait()[0] == 143


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancellation_holds_where_the_runtime_folder_hangs(supervise: Place, dead: Dead, number: int) -> None:
    def lateness() -> float:
        run = Run(supervise, ["--", *child("say=up", "stay")], {"XDG_RUNTIME_DIR": str(dead.folder)})
        wait_until(lambda: "up" in supervise.file("said").read_text())
        # The libraries are loaded by then, which takes long on a busy machine.
        seen = len([*Path(supervise.state).glob("runs/*/end.json")])
        wait_until(lambda: len([*Path(supervise.state).glob("runs/*/socket")]) > seen)
        sent = time.monotonic()
        run.running.send(number)
        code, said, _ = run.wait()
        assert code in (-number, 128 + number), said
        return time.monotonic() - sent

    assert is_in_time(lateness, LATENESS_SECONDS)


@pytest.mark.alone
@pytest.mark.parametrize("manner", ["unread", "unanswered"])
def test_a_lock_is_taken_where_the_home_of_the_account_hangs(supervise: Place, tmp_path: Path, manner: str) -> None:
    """Where /run/lock cannot be written, the home of the account is tried before /tmp."""
    there, accounts = supervise.file("there"), supervise.file("passwd")
    with mounted(tmp_path / "dead", "answers") as hung:
        # A mount over the real home would hang the interpreter too, where it is installed there (pyenv).
        accounts.write_text(f"root:x:0:0:root:{hung.folder}:/bin/sh\n")
        script = f"""
            mount -t tmpfs -o ro none /run/lock && mount --bind {accounts} /etc/passwd || exit 99
            cd /; echo >{there}; read go
            exec {supervise.program} -t 1 --no-record --lock home-{os.getpid()} -- sleep 20
        """
        reader, writer = os.pipe()
        running = supervise.popen(
            ["unshare", "-m", "sh", "-c", script],
            env={"XDG_RUNTIME_DIR": "/nowhere", "PATH": "/usr/bin:/bin"},
            stdin=reader,
        )
        os.close(reader)
        wait_until(there.exists)
        hung.stop(manner)
        began = time.monotonic()
        os.close(writer)
        assert running.process.wait(20) == 124, running.err
        assert time.monotonic() - began < 3, running.err
        assert b"no control socket" not in running.err
    wait_until(lambda: not supervise.alive())
    Path(f"/tmp/supervise-{os.geteuid()}", f"home-{os.getpid()}.lock").unlink(missing_ok=True)


@pytest.mark.alone
def test_noting_the_pid_of_the_command_does_not_wait_for_a_hung_disk(dead: Dead) -> None:
    record = store.Record(str(dead.folder), "20261124-200139-123456abcd", {}, -1, -1)

    def time_taken() -> float:
        bounded_call.unanswered.clear()
        began = time.monotonic()
        record.note_root(os.getpid())
        return time.monotonic() - began

    assert is_in_time(time_taken, LATENESS_SECONDS)
    began = time.monotonic()
    record.note_root(os.getpid())
    assert time.monotonic() - began < 0.05
    # The process that has asked ends with the file system at the latest.
    bounded_call.unanswered.clear()


@pytest.mark.alone
def test_a_log_on_a_hung_disk_is_refused_without_a_limit(supervise: Place, dead: Dead) -> None:
    def time_taken() -> float:
        code, said, took = Run(supervise, ["--log", f"{dead.folder}/l", "--", "echo", "ran"]).wait()
        assert code == 125
        assert said == f"supervise: --log: '{dead.folder}/l' does not answer\n"
        return took

    assert is_in_time(time_taken, 5 + LATENESS_SECONDS)


def state_of(hung: Hung) -> dict[str, str]:
    """Return the variables that put the records on that file system."""
    return {"XDG_STATE_HOME": str(hung.folder)}


@pytest.mark.alone
@pytest.mark.parametrize("how", ["unread", "unanswered"])
@pytest.mark.parametrize("end", ["limit", "TERM", "INT", "exit"])
def test_a_run_ends_where_its_files_hang_meanwhile(supervise: Place, tmp_path: Path, how: str, end: str) -> None:
    def lateness() -> float:
        with mounted(tmp_path / "dead", "answers") as hung:
            words = ["--report", f"{hung.folder}/r", "--log", f"{hung.folder}/l", "--events", f"{hung.folder}/e"]
            go = supervise.file("go")
            script = f"echo ran; until [ -e {go} ]; do sleep 0.01; done; echo more; "
            script += "exit 3" if end == "exit" else "exec sleep 20"
            limit = ["-t", "2"] if end == "limit" else []
            run = Run(supervise, [*limit, *words, "--", "sh", "-c", script], state_of(hung))
            wait_until(lambda: [*supervise.runtime.rglob("*.sock")])
            wait_until(lambda: b"ran" in (hung.folder / "l").read_bytes())
            wait_until(lambda: [*(hung.folder / "supervise" / "runs").glob("*/roots")])
            due = time.monotonic() + (2 if end == "limit" else 0)
            hung.stop(how)
            go.touch()
            if end in ("TERM", "INT"):
                wait_until(lambda: "more" in supervise.file("said").read_text())
                time.sleep(NOTICE_SECONDS)
                due = time.monotonic()
                run.running.send(signal.Signals[f"SIG{end}"])
            code, said, _ = run.wait()
            late = time.monotonic() - due
            go.unlink()
            assert code == {"limit": 124, "TERM": 143, "INT": -signal.SIGINT, "exit": 3}[end], said
            assert "Traceback" not in said
            for what in ("--report: cannot write", "--log: no more is written", "the record of this run is not"):
                assert said.count(what) == 1, said
            assert said.count("does not answer") == said.count(": its file system does not answer") >= 3, said
            if how == "unread":
                assert [pid for pid in run.left() if not is_closing(pid)] == []
        wait_until(lambda: not supervise.alive())
        return late

    assert is_in_time(lateness, (LATENESS_SECONDS if end != "exit" else SLOW_END_SECONDS))


SLOW_END_SECONDS = 2.0
"""Seconds that the end may take where the command has ended by itself: then a slow file system has more time."""
NOTICE_SECONDS = 0.3
"""Seconds after which the supervisor has noticed that the file system does not answer."""


@pytest.mark.alone
def test_all_files_are_written_where_the_file_system_answers(supervise: Place, tmp_path: Path) -> None:
    with mounted(tmp_path / "alive", "answers") as hung:
        words = ["--report", f"{hung.folder}/r", "--log", f"{hung.folder}/l", "--events", f"{hung.folder}/e"]
        script = "echo ran; sleep 0.3; echo more; exit 3"
        for command in (["echo", "short"], ["sh", "-c", script]):
            code, said, _ = Run(supervise, [*words, "--", *command], state_of(hung)).wait()
            assert said in ("short\n", "ran\nmore\n")
            report = json.loads((hung.folder / "r").read_bytes())
            assert report["exit_code"] == code
            record = hung.folder / "supervise" / "runs" / report["run_id"]
            assert json.loads((record / "end.json").read_bytes()) == report
            events = (record / "events.jsonl").read_bytes()
            assert b'"event": "settled"' in events
            assert (hung.folder / "e").read_bytes().endswith(events)
            assert said.encode().splitlines()[0] in (record / "output").read_bytes()
            assert not (record.parent.parent / "live" / report["run_id"]).exists()
        assert (hung.folder / "l").read_text() == "short\nran\nmore\n"
        # The fast path ends this short run.
        code, said, _ = Run(supervise, ["--", "sh", "-c", "exit 4"], state_of(hung)).wait()
        assert (code, said) == (4, "")
        last = max((hung.folder / "supervise" / "runs").iterdir())
        assert json.loads((last / "end.json").read_bytes())["exit_code"] == 4
        assert supervise.alive() == []
