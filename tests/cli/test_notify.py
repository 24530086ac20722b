"""Messages of the command by sd_notify(3), sent by libraries and programs in use."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from supervise.control import client
from tests.support.harness import Ended, Place, alive_with, wait_until
from tests.support.programs import needed

NOTIFY = ("--access-on", "notify")


def run(supervise: Place, *words: str, **manner: object) -> Ended:
    """Run supervise with events, to its end, and check that no process and no notify socket is left."""
    ended = supervise.start(*words, events=True, **manner).wait()
    assert not ended.left
    folders = (
        "/run/supervise-notify",
        f"/tmp/supervise-{os.geteuid()}",
        f"/run/lock/supervise-{os.geteuid()}",
        supervise.environ["XDG_RUNTIME_DIR"],
    )
    # The folders are shared: os.walk does not mind when another run removes its own socket meanwhile.
    names = [name for folder in folders for _, inner, files in os.walk(folder) for name in (*inner, *files)]
    assert not [name for name in names if name.startswith(ended.report["run_id"])]
    return ended


def python(script: str) -> tuple[str, ...]:
    """Return a Python program with the library sdnotify: `say` sends a message, `n` is the notifier."""
    return (
        sys.executable,
        "-c",
        f"import sdnotify, time, os, sys\nn = sdnotify.SystemdNotifier(debug=True)\nsay = n.notify\n{script}",
    )


# --- access


def test_ready_of_the_library_sdnotify_gives_access(supervise: Place) -> None:
    script = "print('not yet', flush=True)\ntime.sleep(1)\nsay('STATUS=loaded')\nsay('READY=1')\ntime.sleep(9)"
    ended = run(supervise, "-v", "-a", "20", "-t", "1", *NOTIFY, "--", *python(script))
    assert ended.code == 124
    [access] = ended.events_named("access")
    assert access["how"] == "notify"
    assert access["t"] >= 1
    assert ended.report["access"]["how"] == "notify"
    assert ended.report["status"] == "loaded"
    assert "the command says: status: loaded" in ended.messages
    assert [(one["what"], one["text"]) for one in ended.events_named("said")] == [("status", "loaded")]


def test_ready_of_systemd_notify_gives_access_without_a_wait(supervise: Place) -> None:
    """It asks for an answer (BARRIER), and would wait five seconds for one."""
    needed("systemd-notify")
    script = "systemd-notify --ready --status='all is well' && echo done && sleep 0.7"
    began = time.monotonic()
    ended = run(supervise, "-a", "20", *NOTIFY, "--", "sh", "-c", script)
    assert ended.code == 0
    assert ended.out == b"done\n"
    assert ended.report["access"]["how"] == "notify"
    assert ended.report["status"] == "all is well"
    assert time.monotonic() - began < 4


def test_a_command_that_is_not_ready_in_time_is_stopped(supervise: Place) -> None:
    ended = run(supervise, "-a", "4", *NOTIFY, "--", *python("say('STATUS=loading')\nprint('up')\ntime.sleep(60)"))
    assert ended.code == 122
    assert ended.report["access"] is None
    assert ended.report["status"] == "loading"


def test_ready_is_no_access_without_access_on_notify(supervise: Place) -> None:
    ended = run(supervise, "-a", "1.5", "--notify", "--", *python("say('READY=1')\ntime.sleep(60)"))
    assert ended.code == 122


def test_messages_before_the_libraries_are_loaded_count(supervise: Place) -> None:
    """The messages are more than the kernel keeps in the socket, and the command ends at once."""
    script = "for i in range(50): say(f'STATUS={i}')\nsay('READY=1')"
    ended = run(supervise, "-a", "20", *NOTIFY, "--", *python(script))
    assert ended.code == 0
    assert ended.report["access"]["how"] == "notify"
    assert ended.report["status"] == "49"


def test_a_message_of_a_grandchild_counts(supervise: Place) -> None:
    script = (
        "if not os.fork():\n    os.setsid()\n    if not os.fork():\n        time.sleep(0.3)\n        say('READY=1')\n"
        "        time.sleep(0.3)\n    os._exit(0)\nos.wait()\ntime.sleep(2)"
    )
    ended = run(supervise, "-a", "20", *NOTIFY, "--", *python(script))
    assert ended.code == 0
    assert ended.report["access"]["how"] == "notify"


def test_messages_from_outside_of_the_tree_are_ignored(supervise: Place) -> None:
    running = supervise.start("-a", "2", *NOTIFY, "--", "sh", "-c", "echo $NOTIFY_SOCKET; sleep 60")
    wait_until(lambda: b"\n" in running.out)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.sendto(b"READY=1\nSTATUS=forged", running.out.decode().strip())
        # The sender lives until the supervisor has looked at it.
        ended = running.wait()
    assert ended.code == 122
    assert ended.report["status"] is None


# --- the environment


def test_a_run_without_notify_leaves_an_outer_socket_to_the_command(supervise: Place) -> None:
    script = 'echo "${NOTIFY_SOCKET-unset} ${WATCHDOG_USEC-unset}"'
    assert supervise("--", "sh", "-c", script).out == b"unset unset\n"
    outer = {"NOTIFY_SOCKET": "/run/outer", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "7"}
    assert supervise("--", "sh", "-c", script, env=outer).out == b"/run/outer 5\n"
    ended = supervise("--notify", "--", "sh", "-c", script, env=outer)
    assert ended.out.endswith((b".notify unset\n", b".notify/said unset\n"))


def test_the_idle_limit_is_the_watchdog_interval_of_the_command(supervise: Place) -> None:
    script = 'echo "$WATCHDOG_USEC ${WATCHDOG_PID-unset}"'
    ended = supervise("--notify", "-i", "1.5", "--", "sh", "-c", script, env={"WATCHDOG_PID": "7"})
    assert ended.out == b"1500000 unset\n"


# --- watchdog


def test_watchdog_messages_reset_the_idle_clock(supervise: Place) -> None:
    script = "say('READY=1')\nfor _ in range(10):\n    time.sleep(0.3)\n    say('WATCHDOG=1')\nsys.exit(7)"
    ended = run(supervise, "--notify", "-i", "2", "--", *python(script))
    assert ended.code == 7


def test_the_idle_limit_stops_a_command_without_watchdog_messages(supervise: Place) -> None:
    script = "for _ in range(5):\n    time.sleep(0.3)\n    say('WATCHDOG=1')\ntime.sleep(60)"
    ended = run(supervise, "--notify", "-i", "2", "--", *python(script))
    assert ended.code == 123
    assert ended.events_named("verdict")[0]["t"] >= 3.5


def test_watchdog_trigger_stops_the_command(supervise: Place) -> None:
    ended = run(supervise, "--notify", "--", *python("time.sleep(0.3)\nsay('WATCHDOG=trigger')\ntime.sleep(60)"))
    assert ended.code == 123
    assert ended.report["outcome"] == "idle_timeout"
    assert ended.report["limit_seconds"] is None
    assert ended.report["reason"] == "the command says that it is stuck (WATCHDOG=trigger)"
    assert ended.messages[0].startswith("idle timeout: the command says that it is stuck (WATCHDOG=trigger); stopping ")


# --- extensions


def test_extend_timeout_moves_access_and_completion_deadline_within_one_cap(supervise: Place) -> None:
    script = (
        "say('EXTEND_TIMEOUT_USEC=4000000')\ntime.sleep(2.1)\nsay('READY=1')\n"
        "say('EXTEND_TIMEOUT_USEC=90000000')\ntime.sleep(60)"
    )
    ended = run(supervise, "-a", "2", "-t", "2", "-x", "5", "--extend-on", "output", *NOTIFY, "--", *python(script))
    assert ended.code == 124
    first, second = ended.report["extensions"]
    assert [(one["limit"], one["source"], one["evidence"]) for one in (first, second)] == [
        ("access", "command", None),
        ("completion", "command", None),
    ]
    assert 1.9 < first["by"] <= 4
    assert first["by"] + second["by"] == pytest.approx(5, abs=0.005)
    [verdict] = ended.events_named("verdict")
    [access] = ended.events_named("access")
    assert verdict["t"] == pytest.approx(access["t"] + 2 + second["by"], abs=1)


def test_extend_timeout_without_a_cap_gives_no_time(supervise: Place) -> None:
    script = "for _ in range(3): say('EXTEND_TIMEOUT_USEC=90000000')\ntime.sleep(60)"
    ended = run(supervise, "-t", "4", "--notify", "--", *python(script))
    assert ended.code == 124
    refusals = [message for message in ended.messages if "refused" in message]
    assert refusals == ["more time for the command refused: there is no --max-extension"]


# --- other messages


def test_other_messages_are_shown_with_verbose(supervise: Place) -> None:
    ended = run(
        supervise, "-v", "--notify", "--", *python("say(f'MAINPID={os.getpid()}\\nSTOPPING=1\\nX=1')\ntime.sleep(0.5)")
    )
    assert ended.code == 0
    told = {one["what"]: one["text"] for one in ended.events_named("said")}
    assert told == {"main_pid": str(ended.report["attempts"][0]["pid"]), "stopping": ""}
    assert "the command says: stopping" in ended.messages


def test_status_and_ps_show_the_status_of_the_command(supervise: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", supervise.environ["XDG_RUNTIME_DIR"])
    script = "say('STATUS=up and running\\nMAINPID=4711')\nprint(os.environ['SUPERVISE_RUN_ID'], flush=True)\n"
    script += "time.sleep(60)"
    running = supervise.start("--notify", "--", *python(script))
    wait_until(lambda: b"\n" in running.out)
    run_id = running.out.decode().strip()
    connection = wait_until(lambda: client.connect(run_id, lambda: True))
    answer = client.ask(connection, run_id, "status")
    connection.socket.close()
    assert answer
    assert answer["notify"] == {"status": "up and running", "is_stopping": False, "main_pid": 4711}

    def is_listed() -> bool:
        listed = json.loads(supervise.popen([str(supervise.program), "ps", "--json"]).wait().out)
        assert [one["run_id"] for one in listed] == [run_id]
        return bool(listed[0]["status"] == "up and running")

    # `ps` reads the status from the record, a moment after the run has got it.
    wait_until(is_listed, 5)
    assert b" running: up and running " in supervise.popen([str(supervise.program), "ps"]).wait().out
    running.send(signal.SIGTERM)
    assert running.wait().code == 143
    shown = supervise.popen([str(supervise.program), "show", run_id]).wait().out.decode()
    assert any(line.split() == ["says", "up", "and", "running"] for line in shown.splitlines())


def test_garbage_on_the_notify_socket_changes_nothing(supervise: Place) -> None:
    script = (
        "import socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.connect(os.environ['NOTIFY_SOCKET'])\n"
        "for i in range(300): s.send(os.urandom(i * 40 % 6000))\n"
        "s.send(b'\\n'.join([b'STATUS=\\x1b[31m\\xff', b'READY=1']))\ntime.sleep(0.5)"
    )
    ended = run(supervise, "-v", "-a", "20", *NOTIFY, "--", *python(script))
    assert ended.code == 0
    assert ended.report["access"]["how"] == "notify"
    assert b"\x1b" not in ended.err
    assert ended.report["status"] == "\x1b[31m\\xff"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_server_that_gave_up_root_reaches_the_notify_socket(supervise: Place) -> None:
    script = "os.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\nsay('READY=1')\ntime.sleep(1)"
    ended = run(supervise, "-a", "20", *NOTIFY, "--", *python(script))
    assert ended.code == 0
    assert ended.report["access"]["how"] == "notify"


def test_the_notify_socket_of_a_killed_supervisor_is_removed(supervise: Place) -> None:
    running = supervise.start("-a", "20", *NOTIFY, "--", "sh", "-c", "echo $NOTIFY_SOCKET; sleep 60")
    wait_until(lambda: b"\n" in running.out)
    path = Path(running.out.decode().strip())
    assert path.exists()
    running.process.kill()
    running.process.wait()
    wait_until(lambda: not alive_with(running.token))
    assert not path.exists()
    running.wait()


def test_a_runtime_folder_with_a_long_path_has_a_notify_socket(supervise: Place) -> None:
    """A socket address has room for 107 bytes."""
    folder = supervise.folder / ("x" * 120)
    folder.mkdir(mode=0o700)
    script = "say('READY=1')\ntime.sleep(0.5)"
    ended = run(supervise, "-a", "20", *NOTIFY, "--", *python(script), env={"XDG_RUNTIME_DIR": str(folder)})
    assert ended.report["access"]["how"] == "notify"


def test_status_and_ready_count_for_one_attempt_alone(supervise: Place) -> None:
    script = "say('STATUS=first')\nsay('READY=1')\nsys.exit(75)"
    again = f"if os.environ['SUPERVISE_ATTEMPT'] == '1':\n    {script.replace(chr(10), '; ')}\ntime.sleep(60)"
    retries = ("--retries", "1", "--retry-delay", "0.1")
    ended = run(supervise, "-a", "4", *retries, *NOTIFY, "--", *python(again))
    assert ended.code == 122
    first, second = ended.report["attempts"]
    assert (first["outcome"], first["access"]["how"]) == ("resumable", "notify")
    assert (second["outcome"], second["access"]) == ("access_timeout", None)
    assert ended.report["status"] is None
