"""`--prompt-timeout`: real programs that ask are found, and programs that work or wait for something else are not."""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections import deque
from typing import Any

import pytest

from tests.support.harness import Place, Running, wait_until
from tests.support.programs import missing, needed
from tests.support.ssh_servers import ssh_server
from tests.support.terminals import script
from tests.support.users import Users

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

ASKS = {
    "bash": ("bash", "bash -c 'read -p \"Name: \" x'"),
    "bash in a subshell": ("bash", "bash -c 'echo start; (read -s -p Secret: x); true'"),
    "python": ("bash", f"{sys.executable} -c 'input(\"Name? \")'"),
    "python in a child": ("bash", f"sh -c '{sys.executable} -c \"import getpass; getpass.getpass()\"; true'"),
    "cat": ("cat", "cat"),
    "sudo": ("sudo", "setpriv --reuid=65534 --clear-groups sudo -k true"),
    "npm": ("npm", "npm --no-update-notifier init"),
    "apt-get": ("apt-get", "apt-get -o Debug::NoLocking=1 -o Dir::Bin::dpkg=/bin/false remove {package}"),
    "git": ("vi", "git -c core.editor='vi -u NONE' -c user.name=a -c user.email=a@b commit --allow-empty"),
    "gpg": ("gpg", "gpg --full-generate-key"),
    "pinentry": ("pinentry-curses", "sh -c 'GPG_TTY=$(tty) gpg --symmetric --no-symkey-cache secret.txt'"),
}
"""A program that has to be there, and a command that asks on its terminal."""


IS_NOT_ASKING = {
    "sleep": "sleep 60",
    "silent work": f"{sys.executable} -c 'while True: pass'",
    "server": f"{sys.executable} -m http.server 0",
    "server with keys": f"{sys.executable} {{folder}}/keys.py",
    "tail": "tail -f text",
    "cat of a pipe of the tree": "sh -c 'sleep 60 | cat'",
    "interpreter of the tree": f"sh -c 'sleep 60 | {sys.executable} -i -q'",
    "stalled download": f"{sys.executable} {{folder}}/stall.py",
    "waiting shell": "sh -c 'sleep 60; read x'",
    "loop": "sh -c 'while :; do sleep 0.1; done'",
    "work beside a read": f"sh -c '{sys.executable} -c \"while True: pass\" & read x'",
}
"""Commands that do not ask, on a terminal and without a byte of output."""
KEYS = """
import select, socket, sys
server = socket.create_server(("127.0.0.1", 0))
while True:
    select.select([server, sys.stdin], [], [])
"""
STALL = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
client.recv(1)
"""


def removable() -> str:
    """Return an installed package that apt-get would remove, without any other."""
    words = ["dpkg-query", "-W", "-f", "${Essential} ${db:Status-Status} ${Package}\n"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.split()[-1] for line in lines if line.startswith("no installed ")]
    names.sort(key=lambda name: name.startswith("lib"))
    return next(name for name in names if "essential" not in removal(name) and removal(name).count("\nRemv ") == 1)


def removal(package: str) -> str:
    """Return what apt-get would do to remove the package."""
    words = ["apt-get", "-s", "-o", "Debug::NoLocking=1", "remove", package]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def report_of(place: Place) -> Any:
    """Return the report of the run, once it is there."""
    path = place.file("report.json")
    wait_until(path.exists)
    return json.loads(path.read_text())


def has_diagnosis(report: Any) -> bool:
    """Return whether the snapshot was taken whole; on a busy machine the time for it may be over before."""
    return bool(report["diagnosis"] and report["diagnosis"]["complete"])


def check_found(report: Any, source: str) -> None:
    """Check that the run was stopped for its wait for input, which the diagnosis shows."""
    end = report["outcome"], report["exit_code"], report["reason"], report["limit"], report["limit_seconds"]
    assert end == ("idle_timeout", 123, "waits_for_input", "idle", 1)
    if has_diagnosis(report):
        assert {one["awaits"] for one in report["diagnosis"]["processes"]} - {None} == {source}


@pytest.mark.parametrize("option", ["", "--pty "])
@pytest.mark.parametrize("name", ASKS)
def test_a_program_that_asks_on_the_terminal_is_found(supervise: Place, name: str, option: str) -> None:
    program, command = ASKS[name]
    needed(program)
    if name == "sudo" and os.getuid():
        missing("only root can become a user whom sudo asks")
    if name == "git":
        subprocess.run(["git", "init", "-q", str(supervise.folder)], check=True)
    if name == "apt-get":
        command = command.format(package=removable())
    supervise.file("secret.txt").write_text("x")
    line = f"supervise --report report.json --prompt-timeout 1s -t 60s -k 1s {option}-- {command}"
    with script(supervise, line) as sh:
        sh.wait_for("^code 123$")
    check_found(report_of(supervise), "terminal")


@pytest.mark.needs("sudo")
@pytest.mark.parametrize("option", ["", "--pty "])
def test_a_process_of_another_user_is_found_by_its_silent_terminal(supervise: Place, users: Users, option: str) -> None:
    """The user has an account, since sudo asks no other."""
    folder = users.shared()
    user = f"setpriv --reuid=65534 --regid=65534 --clear-groups env HOME={folder} {users.program}"
    options = f"--no-record --report {folder}/report.json --prompt-timeout 1s -t 60s {option}"
    with script(supervise, f"{user} {options}-- sudo -k true") as sh:
        sh.wait_for("^code 123$")
    report = json.loads((folder / "report.json").read_text())
    assert report["reason"] == "waits_for_input"
    if has_diagnosis(report):
        assert "sudo" in [one["name"] for one in report["diagnosis"]["processes"] if one["awaits"]]


@pytest.mark.parametrize("option", ["", "--pty "])
def test_a_password_prompt_of_ssh_is_found(supervise: Place, option: str) -> None:
    with ssh_server(supervise) as ssh:
        line = f"supervise --report report.json --prompt-timeout 1s -t 60s {option}-- {ssh} -o IdentitiesOnly=yes"
        with script(supervise, f"{line} -o PubkeyAuthentication=no -o PasswordAuthentication=yes true") as sh:
            sh.wait_for("^code 123$")
    check_found(report_of(supervise), "terminal")


@pytest.mark.parametrize(
    "command",
    [
        ("sh", "-c", "printf 'Name: '; read x"),
        (sys.executable, "-c", "input('Name: ')"),
        (sys.executable, "-c", "import select, sys; print(end='Name: ', flush=True); select.select([0], [], [])"),
        (
            sys.executable,
            "-c",
            "import select; p = select.poll(); p.register(0); print(end='Name: ', flush=True); p.poll()",
        ),
        (
            sys.executable,
            "-c",
            "import select; p = select.epoll(); p.register(0); print(end='Name: ', flush=True); p.poll()",
        ),
        ("sh", "-c", "printf 'Name: '; cat >/dev/null"),
    ],
)
def test_a_program_that_asks_on_the_pipe_of_the_caller_is_found(supervise: Place, command: tuple[str, ...]) -> None:
    """The unfinished last line is the question."""
    source, sink = os.pipe()
    try:
        ended = supervise("--prompt-timeout", "1s", "-t", "60s", "--", *command, stdin=source, events=True)
    finally:
        os.close(source)
        os.close(sink)
    check_found(ended.report, "stdin")
    if has_diagnosis(ended.report):
        last = ended.report["diagnosis"]["last_line"]
        assert (last["text"], last["unfinished"]) == ("Name:", True)
    assert re.search(r"has waited [\d.]+s for input from stdin", ended.messages[0])
    assert ended.events_named("verdict")[0]["reason"] == "waits_for_input"


def test_the_diagnosis_of_an_idle_timeout_shows_who_asks_without_the_option(supervise: Place) -> None:
    source, sink = os.pipe()
    try:
        reports = [
            supervise("-i", "1s", "--", "sh", "-c", "printf 'Name: '; read x", stdin=source).report for _ in range(3)
        ]
    finally:
        os.close(source)
        os.close(sink)
    assert {report["reason"] for report in reports} == {None}
    whole = [report["diagnosis"]["processes"] for report in reports if has_diagnosis(report)]
    assert whole
    assert all([one["awaits"] for one in processes] == ["stdin"] for processes in whole)


def test_input_that_comes_now_and_then_begins_the_wait_anew(supervise: Place) -> None:
    """Each wait is shorter than the limit, all of them together are longer."""
    feed = "for n in 1 2 3 4 5; do sleep 0.4; echo $n; done | supervise --prompt-timeout 1s --report report.json -- cat"
    ended = supervise.shell(feed)
    assert (ended.code, ended.out) == (0, b"1\n2\n3\n4\n5\n")


def test_a_pager_with_a_user_who_types_is_not_called_waiting(supervise: Place) -> None:
    needed("less")
    with script(supervise, "supervise --pty --prompt-timeout 1500ms --report report.json -- less text") as sh:
        sh.wait_for("^1$")
        for number in range(2, 12):
            sh.type("\n")
            sh.wait_for(f"^{number + 22}$")
            subprocess.run(["sleep", "0.3"], check=True)
        sh.type("q")
        sh.wait_for("^code 0$")


RUNS_UNDER_LOAD = 500
"""Runs of commands that do not ask, in which none may be called waiting."""
SIDE_BY_SIDE = 60
"""Runs at the same time: the start of each, and the commands that work, are many times what two cores can do."""


def check_none(place: Place, runs: int, side_by_side: int, seconds: int) -> None:
    """Run the commands that do not ask in turn on a terminal, and check that none of them is called waiting.

    `runs` is the number of all runs, of which so many are there at the same time; each takes that many seconds.  Among
    them one asks, which is found.
    """
    place.file("keys.py").write_text(KEYS)
    place.file("stall.py").write_text(STALL)
    place.file("text").write_text("text\n")
    names = itertools.islice(itertools.cycle(IS_NOT_ASKING), runs)
    options = ("--no-record", "--prompt-timeout", "500ms", "-t")
    running: deque[tuple[str, Running]] = deque()
    ended = []

    def end_first() -> None:
        name, first = running.popleft()
        ended.append((name, first.wait().report))

    master, terminal = os.openpty()
    try:
        for name in names:
            if len(running) == side_by_side:
                end_first()
            command = shlex.split(IS_NOT_ASKING[name].replace("{folder}", str(place.folder)))
            running.append((name, place.start(*options, f"{seconds}s", "--", *command, stdin=terminal)))
        asks = place.start(*options, "60s", "--", "cat", stdin=terminal)
        while running:
            end_first()
        assert asks.wait().report["reason"] == "waits_for_input"
    finally:
        os.close(master)
        os.close(terminal)
    assert len(ended) == runs
    wrong = [(name, one["outcome"], one["reason"]) for name, one in ended if one["outcome"] != "completion_timeout"]
    assert wrong == []
    assert {one["reason"] for _, one in ended} == {None}


def test_a_command_that_works_or_waits_for_something_else_is_not_called_waiting(supervise: Place) -> None:
    check_none(supervise, len(IS_NOT_ASKING), len(IS_NOT_ASKING), 4)


@pytest.mark.slow
@pytest.mark.alone
def test_no_command_is_called_waiting_under_load(supervise: Place) -> None:
    """The commands are the load, under which no other test should have to run."""
    check_none(supervise, RUNS_UNDER_LOAD, SIDE_BY_SIDE, 4)
