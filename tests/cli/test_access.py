"""`--access-on` of the installed program: each kind of sign with real servers, files and commands."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.access import free_port, is_access, run
from tests.support.harness import PYTHON, Ended, Place, child, name_of, wait_until
from tests.support.programs import localhost_needed

WAIT_FOR_GO = "until [ -e go ]; do sleep 0.02; done"
"""The beginning of a shell script that waits for the file `go`."""


def is_access_timeout(ended: Ended, *tried: str) -> None:
    """Check that the access limit ended the run, and that report, event and message name what was tried last."""
    assert ended.code == 122
    assert ended.report["outcome"] == "access_timeout"
    assert ended.report["access"] is None
    assert not ended.events_named("access")
    [verdict] = ended.events_named("verdict")
    reason = ended.report["reason"]
    assert verdict["reason"] == reason
    if tried:
        assert reason == "last tried " + "; ".join(tried)
        assert any(
            message.startswith("access timeout: not up after ") and reason in message for message in ended.messages
        )
    else:
        assert reason is None
    assert not ended.left


def run_late(supervise: Place, *words: str) -> Ended:
    """Run `supervise` to its end; the file `go`, which lets the command begin to serve, comes after a failed probe."""
    running = supervise.start(*words, events=True)
    running.wait_for_err(b"not up yet: ")
    supervise.file("go").touch()
    return running.wait()


def is_late_access(ended: Ended, how: str) -> None:
    """Check what `is_access` does, and that a probe had failed before, and none after."""
    is_access(ended, how)
    names = [event["event"] for event in ended.events if event["event"] in ("tried", "access")]
    assert len(names) > 1
    assert names == ["tried"] * (len(names) - 1) + ["access"]


# --- output


def test_output_is_a_sign_where_it_is_named(supervise: Place) -> None:
    is_access(run(supervise, "-a", "20", "--access-on", "output", "--", *child("ready")), "output")


def test_output_is_no_sign_where_others_are_named(supervise: Place) -> None:
    ended = run(supervise, "-a", "1", "--access-on", "manual", "--", *child("ready", "stay"))
    is_access_timeout(ended)
    assert ended.messages[0].startswith("access timeout: not up after 1s; stopping with ")


# --- match


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("^up and running$", ("say=up and running",)),
        ("^up and running$", ("say_err=up and running",)),
        ("^up and running$", ("say=not up and running", "bytes=757020616e", "sleep=0.3", "bytes=642072756e6e696e670a")),
        ("up", ("bytes=75", "bytes_err=70", "sleep=0.2", "bytes=0a", "bytes_err=0a", "sleep=0.2", "say_err=up")),
        ("^up$", ("bytes=75700d0a",)),
        ("^up$", ("bytes=7570", "close_pipes", "sleep=0.3")),
        ("^zürück \\w$", ("say=zürück é",)),
        ("a.b", ("bytes=61ff620a",)),
        ("(?i)UP", ("say=up",)),
    ],
    ids=["stdout", "stderr", "pieces", "not across streams", "carriage return", "no end", "UTF-8", "bytes", "flags"],
)
def test_access_comes_with_a_line_that_matches(supervise: Place, expression: str, words: tuple[str, ...]) -> None:
    ended = run(supervise, "-a", "20", "--access-on", f"match={expression}", "--", *child(*words, "sleep=1"))
    assert ended.code == 0
    is_access(ended, f"match={expression}")


def test_lines_that_do_not_match_are_no_access(supervise: Place) -> None:
    lines = ("say=up", "say_err=and", "say=ready", "bytes=61", "bytes=0a")
    ended = run(supervise, "-a", "1.5", "--access-on", "match=^up and|a$|a\\nb", "--", *child(*lines[:3], "stay"))
    is_access_timeout(ended)


def test_any_of_several_expressions_gives_access(supervise: Place) -> None:
    signs = ("--access-on", "match=never", "--access-on", "match=up", "--access-on", "file=/nowhere")
    is_access(run(supervise, "-a", "20", *signs, "--", *child("say=up", "sleep=1")), "match=up")


def test_a_line_on_the_commands_own_terminal_gives_access(supervise: Place) -> None:
    ended = run(supervise, "--pty", "-a", "20", "--access-on", "match=^up$", "--", *child("say=up", "sleep=1"))
    is_access(ended, "match=^up$")


def test_the_completion_limit_counts_from_the_matching_line(supervise: Place) -> None:
    words = child("ready", "sleep=1.5", "say=up", "stay")
    ended = run(supervise, "-a", "20", "-t", "1", "--access-on", "match=up", "--", *words)
    assert ended.code == 124
    is_access(ended, "match=up", 1.5)
    assert ended.events_named("verdict")[0]["t"] >= ended.events_named("access")[0]["t"] + 0.999


def test_the_end_of_a_line_of_a_hundred_megabytes_is_found_in_little_memory(supervise: Place) -> None:
    """Neither the supervisor nor its matcher keeps the line: the memory limit has no room for two copies."""
    words = ("-a", "60", "--access-on", "match=x{9}up$", "--", *child("say_endless=100000000,up", "sleep=3"))
    bound = 200 << 20
    ended = run(
        supervise,
        *words,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (bound, bound)),
    )
    assert ended.code == 0, ended.err
    is_access(ended, "match=x{9}up$")
    assert ended.report["usage"]["stdout_bytes"] == 100_000_003


def test_a_flood_before_the_line_is_searched_to_the_last_byte(supervise: Place) -> None:
    """Bytes that a matcher has to search are not handed over by splice, which copies nothing.

    The flood is one (FLOOD_READ_BYTES), and it has room in the queue of a matcher that starts late (QUEUE_BYTES).
    """
    script = "yes no | head -c 420000; echo yes; yes no | head -c 420000; sleep 2"
    ended = run(supervise, "-a", "30", "--access-on", "match=^yes$", "--", "sh", "-c", script)
    assert ended.code == 0
    is_access(ended, "match=^yes$")
    assert len(ended.out) == 840_004


def test_an_endless_search_delays_neither_deadline_nor_cancellation(supervise: Place) -> None:
    """The search takes 2**60 steps."""
    words = ("--access-on", "match=^(a+)+$", "--", *child(f"say={'a' * 60}b", "ready", "stay"))
    ended = run(supervise, "-a", "1", *words)
    is_access_timeout(ended)
    assert ended.events_named("verdict")[0]["t"] < 5
    running = supervise.start("-a", "30", *words)
    running.wait_for_err(b"no longer looking for match=^(a+)+$: the search of a line took too long")
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


def test_no_helper_outlives_a_supervisor_that_is_killed(supervise: Place) -> None:
    signs = ("--access-on", "match=up", "--access-on", "command=test -e up || exit 1; sleep 50 & sleep 51")
    running = supervise.start("-v", "-a", "30", *signs, "--", *child("print_signals", "ready", "stay"))
    # The checks are loaded by then.
    running.wait_for_err(b"not up yet")
    supervise.file("up").touch()
    wait_until(lambda: [name_of(pid) for pid in supervise.alive()].count("sleep") == 2)
    # The supervisor hears the news of its threads before it passes a signal on.
    running.send(signal.SIGUSR1)
    wait_until(lambda: running.out.count(b"got USR1"))
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    running.wait()


@pytest.mark.parametrize("expression", ["(", "*", "[a", "(?P<x", "a{2,1}", "(?<=a+)b"])
def test_an_invalid_expression_is_refused_before_the_start(supervise: Place, expression: str) -> None:
    ended = supervise("-a", "5", "--access-on", f"match={expression}", "--", *child(f"mark={supervise.file('x')}"))
    assert ended.code == 125
    [message] = ended.messages
    assert message.startswith(f"--access-on: got 'match={expression}', takes match= and a regular expression: ")
    assert not supervise.file("x").exists()


def test_a_refused_expression_is_named_by_its_variable(supervise: Place) -> None:
    ended = supervise("-a", "5", "--", *child("ready"), env={"SUPERVISE_ACCESS_ON": "output\nmatch=("})
    assert ended.code == 125
    assert ended.messages[0].startswith("SUPERVISE_ACCESS_ON: got 'match=(', takes match= and a regular expression: ")


@pytest.mark.parametrize("words", [("-a", "5", "--access-on", "match=[[a]"), ("--redact", "[[a]")])
def test_python_does_not_warn_of_an_expression(supervise: Place, words: tuple[str, ...]) -> None:
    ended = supervise(*words, "--", *child("ready"))
    assert (ended.code, ended.err) == (0, b"")


# --- port


def test_a_port_gives_access_when_a_late_server_listens(supervise: Place) -> None:
    port = free_port()
    server = f"{WAIT_FOR_GO}; exec {sys.executable} -m http.server {port} --bind 127.0.0.1"
    ended = run_late(supervise, "-v", "-a", "20", "-t", "1", "--access-on", f"port={port}", "--", "sh", "-c", server)
    assert ended.code == 124
    is_late_access(ended, f"port={port}")
    assert f"not up yet: 127.0.0.1:{port}: connection refused" in ended.messages
    assert [(one["how"], one["why"]) for one in ended.events_named("tried")] == [
        (f"port={port}", f"127.0.0.1:{port}: connection refused")
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_port_with_a_host_gives_access(supervise: Place, host: str) -> None:
    if host == "localhost":
        localhost_needed()
    port = free_port()
    sign = f"port={host}:{port}"
    is_access(run(supervise, "-a", "20", "-t", "1", "--access-on", sign, "--", *child(f"listen={port}", "stay")), sign)


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_a_port_of_an_ipv6_server_gives_access(supervise: Place) -> None:
    port = free_port()
    server = f"import socket, time; s = socket.create_server(('::1', {port}), family=socket.AF_INET6); time.sleep(60)"
    for sign in (f"port=[::1]:{port}", f"port={port}"):
        ended = run(supervise, "-a", "20", "-t", "0.5", "--access-on", sign, "--", *PYTHON, "-c", server)
        is_access(ended, sign)


def test_a_port_without_a_listener_is_no_access(supervise: Place) -> None:
    port = free_port()
    ended = run(supervise, "-a", "1", "--access-on", f"port={port}", "--", *child("stay"))
    is_access_timeout(ended, f"127.0.0.1:{port}: connection refused")


def test_an_unknown_host_is_no_access(supervise: Place) -> None:
    ended = run(supervise, "-a", "1", "--access-on", "port=no.such.host.invalid:80", "--", *child("stay"))
    assert ended.code == 122
    assert ended.events_named("verdict")[0]["t"] < 5


# --- file


def test_a_new_file_gives_access(supervise: Place) -> None:
    file = supervise.file("up")
    ended = run(supervise, "-a", "20", "--access-on", "file=up", "--", *child("sleep=1", f"mark={file}", "sleep=1.5"))
    assert ended.code == 0
    is_access(ended, "file=up", 1)


def test_a_missing_file_is_no_access(supervise: Place) -> None:
    ended = run(supervise, "-a", "1", "--access-on", "file=up", "--", *child("stay"))
    is_access_timeout(ended, "up: no such file or directory")


# --- unix

SERVE_UNIX = """
import os, socket, sys, time
while not os.path.exists("go"):
    time.sleep(0.005)
address = sys.argv[1].replace("@", "\\0")
with socket.socket(socket.AF_UNIX, getattr(socket, sys.argv[2])) as server:
    server.bind(address)
    if "DGRAM" not in sys.argv[2]:
        server.listen()
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("address", "kind"),
    [("s", "SOCK_STREAM"), ("./s", "SOCK_SEQPACKET"), ("s", "SOCK_DGRAM"), ("@supervise-{}", "SOCK_STREAM")],
)
def test_a_new_unix_socket_gives_access(supervise: Place, address: str, kind: str) -> None:
    address = address.format(supervise.folder.name)
    sign = f"unix={address}"
    words = ("-v", "-a", "20", "-t", "0.5", "--access-on", sign)
    ended = run_late(supervise, *words, "--", *PYTHON, "-c", SERVE_UNIX, address, kind)
    assert ended.code == 124
    is_late_access(ended, sign)
    why = "connection refused" if address.startswith("@") else "no such file or directory"
    assert f"not up yet: {address}: {why}" in ended.messages


def test_the_socket_file_of_a_dead_server_is_no_access(supervise: Place) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(supervise.file("s")))
    ended = run(supervise, "-a", "1", "--access-on", "unix=s", "--", *child("stay"))
    is_access_timeout(ended, "s: connection refused")


def test_a_full_backlog_delays_no_deadline(supervise: Place) -> None:
    path = str(supervise.file("s"))
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(path)
        server.listen(0)
        first.connect(path)
        ended = run(supervise, "-a", "1", "--access-on", "unix=s", "--", *child("stay"))
    is_access_timeout(ended, "s: its queue of connections is full")
    assert ended.events_named("verdict")[0]["t"] < 5


@pytest.mark.parametrize(
    ("argument", "takes"),
    [
        ("p" * 108, "unix= and an address of at most 107 bytes, the room in a socket address"),
        ("@" + "p" * 108, "unix= and an address of at most 107 bytes, the room in a socket address"),
        ("é" * 54, "unix= and an address of at most 107 bytes, the room in a socket address"),
        ("@", "unix=PATH, or unix=@NAME for an abstract socket of Linux"),
    ],
    ids=["path", "abstract", "UTF-8", "no name"],
)
def test_an_impossible_socket_address_is_refused(supervise: Place, argument: str, takes: str) -> None:
    ended = supervise("-a", "5", "--access-on", f"unix={argument}", "--", *child(f"mark={supervise.file('x')}"))
    assert ended.code == 125
    assert ended.messages == [f"--access-on: got 'unix={argument}', takes {takes}"]
    assert not supervise.file("x").exists()


# --- http


def test_an_http_redirect_gives_access_and_errors_do_not(supervise: Place) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/health?now=1"
    server = child("wait_for=go", f"answer_http={port},503,404,302")
    ended = run_late(supervise, "-v", "-a", "20", "-t", "1", "--access-on", f"http={url}", "--", *server)
    assert ended.code == 124
    is_late_access(ended, f"http={url}")
    assert [message for message in ended.messages if message.startswith("not up yet")] == [
        f"not up yet: {url}: connection refused",
        f"not up yet: {url}: 503 So it is",
        f"not up yet: {url}: 404 So it is",
    ]


def test_a_real_http_server_gives_access(supervise: Place) -> None:
    localhost_needed()
    port = free_port()
    server = f"sleep 0.5; exec {sys.executable} -m http.server {port} --bind 127.0.0.1"
    sign = f"http=http://localhost:{port}/"
    ended = run(supervise, "-a", "20", "-t", "0.5", "--access-on", sign, "--", "sh", "-c", server)
    is_access(ended, sign, 0.5)


def test_a_server_that_does_not_speak_http_is_no_access(supervise: Place) -> None:
    port = free_port()
    server = (
        "import socket\n"
        f"server = socket.create_server(('127.0.0.1', {port}))\n"
        "while True:\n"
        "    link = server.accept()[0]\n"
        "    link.sendall(b'220 mail\\r\\n')\n"
        "    link.close()\n"
    )
    url = f"http://127.0.0.1:{port}/"
    ended = run(supervise, "-a", "1.5", "--access-on", f"http={url}", "--", *PYTHON, "-c", server)
    assert ended.code == 122
    # A server that hangs up before it has read the request resets the connection.
    assert ended.report["reason"] in (
        f"last tried {url}: the answer is not HTTP",
        f"last tried {url}: connection reset by peer",
    )


def test_an_http_server_that_never_answers_delays_no_deadline(supervise: Place) -> None:
    port = free_port()
    ended = run(
        supervise, "-a", "1", "--access-on", f"http=http://127.0.0.1:{port}/", "--", *child(f"listen={port}", "stay")
    )
    assert ended.code == 122
    assert ended.events_named("verdict")[0]["t"] < 5


# --- listen


def test_a_listening_grandchild_gives_access(supervise: Place) -> None:
    words = ("wait_for=go", "double_fork", "close_pipes", f"listen={free_port()}", "stay", "end", "stay")
    ended = run_late(supervise, "-v", "-a", "20", "-t", "1", "--access-on", "listen", "--", *child(*words))
    assert ended.code == 124
    is_late_access(ended, "listen")
    assert "not up yet: no process of the tree listens on a TCP port" in ended.messages


def test_a_listener_outside_of_the_tree_is_no_access(supervise: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        ended = run(supervise, "-a", "1", "--access-on", "listen", "--", *child("tcp_silent", "stay"))
    is_access_timeout(ended, "no process of the tree listens on a TCP port")


# --- command


def test_a_check_command_that_succeeds_gives_access(supervise: Place) -> None:
    sign = "command=test -e up && echo hidden"
    words = child("wait_for=up", "sleep=2")
    running = supervise.start("-v", "-a", "30", "--access-on", sign, "--", *words, events=True)
    running.wait_for_err(b"not up yet: test -e up && echo hidden: exit 1")
    supervise.file("up").touch()
    ended = running.wait()
    is_access(ended, sign, 0)
    assert ended.out == b""


def test_a_check_command_that_is_killed_is_no_access(supervise: Place) -> None:
    ended = run(supervise, "-a", "1", "--access-on", "command=kill -9 $$", "--", *child("stay"))
    is_access_timeout(ended, "kill -9 $$: killed by signal 9")


def test_a_hanging_check_command_is_killed_and_delays_no_deadline(supervise: Place) -> None:
    """Killed are the check itself, its child in a session of its own, and an orphan."""
    hanging = "(setsid sleep 50 &); sleep 51 & sleep 52"
    ended = run(supervise, "-a", "1", "--access-on", f"command={hanging}", "--", *child("stay"))
    assert ended.code == 122
    assert ended.events_named("verdict")[0]["t"] < 5
    assert not ended.left


def test_processes_that_a_check_command_leaves_are_killed(supervise: Place) -> None:
    ended = run(supervise, "-a", "20", "--access-on", "command=(setsid sleep 50 &)", "--", *child("sleep=1"))
    is_access(ended, "command=(setsid sleep 50 &)")


def test_a_check_command_has_the_environment_of_the_command(supervise: Place) -> None:
    sign = 'command=test "$SUPERVISE_RUN_ID" && test ! "$SUPERVISE_QUIET" && test "$MINE" = 1'
    ended = run(
        supervise, "-a", "5", "--access-on", sign, "--", *child("sleep=1"), env={"SUPERVISE_QUIET": "1", "MINE": "1"}
    )
    is_access(ended, sign)


# --- how often signs are probed


def look_times(file: Path) -> list[float]:
    """Return the time of each probe, in seconds since boot (/proc/uptime)."""
    return [float(line) for line in file.read_text().split()] if file.exists() else []


@pytest.mark.slow
def test_probes_become_rare_and_stop_after_access(supervise: Place) -> None:
    """The pauses grow from less than 0.1 second to one second."""
    looks, up, over = (supervise.file(name) for name in ("looks", "up", "over"))
    # A shell may take longer than the first pauses.
    sign = f"command=cut -d' ' -f1 /proc/uptime >> {looks}; false"
    options = ("-a", "1h", "--access-on", sign, "--access-on", f"file={up}")
    running = supervise.start(*options, "--", *child(f"wait_for={over}", "exit=0"), events=True)
    wait_until(lambda: len(look_times(looks)) >= 11)
    found = look_times(looks)[:11]
    pauses = [later - earlier for earlier, later in pairwise(found)]
    # A pause runs from the end of a probe to the begin of the next, so a longer one is no fault.
    # The clock ticks in 0.01 s.
    least = [0.075, 0.11, 0.16, 0.25, 0.37, 0.56, 0.85, 1, 1, 1]
    assert all(pause > one - 0.02 for pause, one in zip(pauses, least, strict=True))
    up.touch()
    wait_until(lambda: b'"access"' in running.events_path.read_bytes())
    known = wait_until(lambda: look_times(looks))
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 2.5)
    # One probe may have been on its way.
    assert len(look_times(looks)) <= len(known) + 1
    over.touch()
    is_access(running.wait(), f"file={up}")


# --- races


def test_a_command_that_ends_before_access_is_no_access_timeout(supervise: Place) -> None:
    ended = run(
        supervise, "-a", "20", "--access-on", "file=up", "--access-on", "match=up", "--", *child("sleep=0.5", "exit=3")
    )
    assert ended.code == 3
    assert ended.report["outcome"] == "failed"
    assert ended.report["access"] is None
    assert ended.messages == []


def test_signs_after_access_are_ignored(supervise: Place) -> None:
    signs = ("--access-on", "output", "--access-on", "file=up", "--access-on", "match=up")
    words = child("ready", "sleep=0.5", f"mark={supervise.file('up')}", "say=up", "sleep=1")
    ended = run(supervise, "-v", "-a", "20", *signs, "--", *words)
    assert ended.code == 0
    is_access(ended, "output")


def test_a_sign_after_the_access_limit_revives_nothing(supervise: Place) -> None:
    words = child("mark_on=TERM," + str(supervise.file("up")), "stay")
    ended = run(supervise, "-a", "1", "-k", "1.5", "--access-on", "file=up", "--", *words)
    assert supervise.file("up").exists()
    is_access_timeout(ended, "up: no such file or directory")


def test_a_short_command_ends_without_access(supervise: Place) -> None:
    ended = run(supervise, "-a", "20", "--access-on", "match=never", "--access-on", "listen", "--", "true")
    assert ended.code == 0
    assert ended.report["access"] is None


def test_access_is_found_after_the_guardian_has_died(supervise: Place) -> None:
    """The children of the guardian become children of the supervisor, beside its helpers."""
    up = supervise.file("up")
    signs = ("--access-on", "command=test -e up", "--access-on", "match=never")
    running = supervise.start(
        "-a", "30", "-t", "1", *signs, "--", *child("ready", f"wait_for={up}", "stay"), events=True
    )
    running.wait_for_out(b"ready")
    os.kill(running.guardian(), signal.SIGKILL)
    up.touch()
    ended = running.wait()
    assert ended.code == 124
    is_access(ended, "command=test -e up")


# --- several attempts


def test_each_attempt_needs_its_own_matching_line(supervise: Place) -> None:
    """The output of the first attempt gives the second one no access.

    The second attempt lasts longer than the access limit, so it completes with a match alone.
    """
    script = 'test "$SUPERVISE_ATTEMPT" = 1 || { echo up; sleep 3; exit 0; }; echo down; sleep 60'
    retries = ("--retries", "1", "--retry-delay", "0.1")
    ended = run(supervise, "-v", "-a", "2", *retries, "--access-on", "match=^up$", "--", "sh", "-c", script)
    assert ended.code == 0, ended.err
    first, second = ended.report["attempts"]
    assert (first["outcome"], first["access"]) == ("access_timeout", None)
    assert second["outcome"] == "completed"
    assert second["access"]["how"] == "match=^up$"


def test_each_attempt_is_probed_by_its_own_helpers(supervise: Place) -> None:
    port = free_port()
    server = f"{sys.executable} -m http.server {port} --bind 127.0.0.1"
    script = f'test "$SUPERVISE_ATTEMPT" = 2 || exec sleep 60; exec {server}'
    signs = ("--access-on", f"port={port}", "--access-on", "command=false")
    retries = ("--retries", "1", "--retry-delay", "0.1", "--retry-on", "access")
    ended = run(supervise, "-a", "2", "-t", "0.5", *retries, *signs, "--", "sh", "-c", script)
    assert ended.code == 124
    first, second = ended.report["attempts"]
    assert (first["outcome"], first["access"]) == ("access_timeout", None)
    assert (second["outcome"], second["access"]["how"]) == ("completion_timeout", f"port={port}")
