"""The README's recipes, each run from the README's own text, with shorter limits and with programs that misbehave."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ci_schemas
from tests.support.access import free_port
from tests.support.clients import command, newest
from tests.support.github_runner import Runner, outputs, step
from tests.support.harness import Ended, Place, Running, wait_for_file, wait_until
from tests.support.programs import localhost_needed, missing, needed
from tests.support.readme import recipe, recipes
from tests.support.screens import tmux
from tests.support.ssh_servers import ssh_server

NAMES = {
    *("ci", "cron", "agent", "ssh", "migration", "download", "tests", "container", "systemd", "attach"),
    *("lines", "completions"),
}
SERVER = """#!/usr/bin/env python3
import os, socket, time
open("server.pid", "w").write(str(os.getpid()))
server = socket.create_server(("", int(os.environ["PORT"])))
time.sleep(float(os.environ["SERVE"]))
"""
HANG = "echo began; echo $$ >pid; exec sleep 600"
"""A script that prints a line, and then is silent."""


def script(place: Place, name: str, text: str, head: str = "#!/bin/sh\n") -> None:
    """Write a program of the recipe into the folder of the test, where `PATH` finds it, too."""
    path = place.file(name)
    path.write_text(head + text + "\n" if not text.startswith("#!") else text)
    path.chmod(0o755)


def start(place: Place, line: str, **env: str) -> Running:
    """Start a line of a recipe, with the folder of the test on PATH."""
    return place.popen(["sh", "-c", line], env={"PATH": f"{place.folder}:{place.environ['PATH']}", **env})


def run(place: Place, line: str, **env: str) -> Ended:
    return start(place, line, **env).wait()


def test_each_recipe_of_the_readme_has_a_test_here() -> None:
    assert {*recipes()} == NAMES


# --- a step of a CI job


def ci_step(place: Place, make: str) -> Ended:
    steps = ci_schemas.read_yaml(recipe("ci", {"-i 5m": "-i 3"}))
    script(place, "make", make)
    path = f"{place.folder}:{place.environ['PATH']}"
    return place.popen(["bash", "-e", "-c", steps[0]["run"]], env=step(place, PATH=path)).wait()


def test_the_steps_are_valid_and_ask_for_an_output_of_supervise(supervise: Place) -> None:
    steps = ci_schemas.read_yaml(recipe("ci", {}))
    ci_schemas.check("github-workflows", {"on": "push", "jobs": {"test": {"runs-on": "ubuntu-24.04", "steps": steps}}})
    assert ci_step(supervise, "true").code == 0
    asked = [word for word in f"{steps[1]['if']} {steps[1]['run']}".split() if word.startswith("steps.tests.outputs.")]
    assert asked
    assert {word.rpartition(".")[2] for word in asked} <= {*outputs(supervise.file("out"))}


def test_a_step_that_goes_silent_is_an_annotation_with_its_cause(supervise: Place) -> None:
    ended = ci_step(supervise, HANG)
    assert (ended.code, ended.left) == (123, [])
    assert [name for name, _ in Runner().read(ended.out).annotations] == ["error"]
    assert outputs(supervise.file("out"))["timeout_cause"] == "idle"
    assert "mermaid" in supervise.file("sum").read_text()
    assert "idle_timeout" in supervise.file("run.xml").read_text()


# --- a line of a crontab; `tests/cli/test_cron.py` gives it to a real cron daemon


def test_the_line_of_the_crontab_mails_on_failure_alone_and_runs_once_at_a_time(supervise: Place) -> None:
    path, entry = recipe("cron", {}).strip().splitlines()
    assert path.startswith("PATH=")
    line = entry.split(" ", 5)[5]
    script(supervise, "nightly.sh", "echo began; until [ -e go ]; do sleep 0.02; done; exit $(cat go)")
    first = start(supervise, line)
    wait_until(lambda: b"nightly" in command(supervise, "ps").out)
    second = run(supervise, line)
    assert (second.code, second.out, second.err) == (0, b"", b"")
    supervise.file("go").write_text("0")
    ended = first.wait()
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")
    supervise.file("go").write_text("3")
    failed = run(supervise, line)
    assert (failed.code, failed.out) == (3, b"began\n")
    assert failed.messages[0].startswith("the command failed after ")
    assert b"failed (3)" in command(supervise, "show", "nightly").out
    assert command(supervise, "logs", "nightly").out == b"began\n"


# --- a coding agent


def test_the_agent_gets_control_back_and_then_the_code_of_the_build(supervise: Place) -> None:
    first, second = recipe("agent", {"--detach-after 100s": "--detach-after 3s"}).splitlines()
    script(supervise, "make", "echo compiled; until [ -e go ]; do sleep 0.02; done; echo linked; exit 3")
    began = run(supervise, first)
    assert (began.code, began.out) == (121, b"compiled\n")
    waiting = start(supervise, second)
    supervise.file("go").touch()
    ended = waiting.wait()
    assert (ended.code, ended.out) == (3, b"compiled\nlinked\n")


def test_a_build_that_asks_is_stopped_and_its_question_is_named(supervise: Place) -> None:
    first, _ = recipe("agent", {"--prompt-timeout 30s": "--prompt-timeout 1s"}).splitlines()
    script(supervise, "make", "printf 'Overwrite? [y/N] '; read answer")
    held, other = os.pipe()
    running = supervise.popen(
        shlex.split(first), env={"PATH": f"{supervise.folder}:{supervise.environ['PATH']}"}, stdin=held
    )
    os.close(held)
    ended = running.wait()
    os.close(other)
    assert ended.code == 123
    assert "Overwrite? [y/N]" in "".join(ended.messages)


# --- a command on another machine


@pytest.mark.needs("ssh", "sshd")
def test_the_job_of_the_far_end_ends_with_the_connection(supervise: Place) -> None:
    pid = supervise.file("pid")
    script(supervise, "job", f"echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 600")
    with ssh_server(supervise) as ssh:
        line = recipe("ssh", {"ssh host": f"exec {ssh}", "./job": str(supervise.file("job"))})
        running = supervise.popen(["sh", "-c", line], stdin=subprocess.PIPE)
        job = wait_for_file(pid)
        running.send(signal.SIGKILL)
        running.process.wait()
        wait_until(lambda: not Path(f"/proc/{job}").exists())
        shown = wait_until(lambda: ended_run(supervise))
        assert running.process.stdin
        running.process.stdin.close()
    assert shown["outcome"] == "cancelled"
    (verdict,) = [one for one in shown["events"] if one["event"] == "verdict"]
    assert "stdin" in verdict["source"]


def ended_run(place: Place) -> "dict[str, Any] | None":
    """Return the newest run as `show --json` has it once it has ended; None before."""
    shown = json.loads(command(place, "show", newest(place), "--json").out)
    return shown if shown.get("outcome") else None


# --- a migration of a database


@pytest.mark.needs("sqlite3")
def test_a_migration_that_runs_too_long_leaves_the_database_as_it_was(supervise: Place) -> None:
    line = recipe("migration", {"-t 15m": "-t 2", "-x 1h": "-x 1s"})
    fill = "INSERT INTO two WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c {}) SELECT n FROM c;"
    migration = "BEGIN;\nCREATE TABLE two(x);\n{}\nCOMMIT;\n"
    supervise.file("migrate.sql").write_text(migration.format(fill.format("")))
    subprocess.run(["sqlite3", supervise.file("app.db"), "CREATE TABLE one(x);"], check=True)
    ended = run(supervise, line)
    assert (ended.code, ended.left) == (124, [])
    assert any("extended by 1s" in message and "sqlite3" in message for message in ended.messages)
    assert b"interrupted" in ended.err
    assert tables(supervise) == ["one"]
    supervise.file("migrate.sql").write_text(migration.format(fill.format("LIMIT 1000")))
    assert run(supervise, line).code == 0
    assert tables(supervise) == ["one", "two"]


def tables(place: Place) -> list[str]:
    words = ["sqlite3", str(place.file("app.db")), "PRAGMA integrity_check; SELECT name FROM sqlite_master;"]
    first, *rest = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    assert first == "ok"
    return rest


# --- a download

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{ access_log {folder}/access.log; client_body_temp_path {folder}; proxy_temp_path {folder};
 fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
 server {{ listen 127.0.0.1:{port}; root {folder}/files; limit_rate 200k; output_buffers 1 8k; }} }}
"""


@pytest.mark.needs("nginx", "curl")
def test_a_download_that_stalls_goes_on_where_it_was(supervise: Place) -> None:
    """The slow download is silent for longer than the limit, and is left alone while its bytes arrive."""
    port, folder = free_port(), supervise.file("nginx")
    (folder / "files").mkdir(parents=True)
    there = os.urandom(1_000_000)
    (folder / "files/big.iso").write_bytes(there)
    (folder / "conf").write_text(NGINX.format(folder=folder, port=port))
    server = supervise.popen([needed("nginx"), "-e", str(folder / "error.log"), "-c", str(folder / "conf")])
    wait_until(lambda: (folder / "nginx.pid").exists())
    url = f"http://127.0.0.1:{port}"
    line = recipe("download", {"-i 30s": "-i 2s", "https://example.com": url})
    running = start(supervise, line)
    got = supervise.file("big.iso")
    wait_until(lambda: got.exists() and got.stat().st_size > 600_000)
    assert b"attempt" not in running.err
    server.send(signal.SIGSTOP)
    running.wait_for_err(b"attempt 2 of 6")
    server.send(signal.SIGCONT)
    ended = running.wait()
    assert ended.code == 0, ended.err
    assert got.read_bytes() == there
    assert " 206 " in (folder / "access.log").read_text()
    server.send(signal.SIGTERM)
    server.wait()


# --- a test suite that hangs


def test_a_test_suite_that_hangs_prints_its_stack(supervise: Place) -> None:
    supervise.file("test_it.py").write_text("import time\n\n\ndef test_that_hangs():\n    time.sleep(600)\n")
    line = recipe("tests", {"-i 5m": "-i 6", "python3": sys.executable})
    ended = run(supervise, f"{line.strip()} -p no:cacheprovider -o addopts= -c /dev/null --rootdir .")
    assert (ended.code, ended.left) == (123, [])
    assert b'test_it.py", line 5 in test_that_hangs' in ended.err


# --- the entry point of a container


def as_pid_1(place: Place, changes: dict[str, str], **env: str) -> Running:
    """Start the words of ENTRYPOINT and CMD in a pid namespace of their own, as a container does."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no pid namespace can be made here")
    script(place, "server", SERVER)
    lines = recipe("container", changes).splitlines()
    words = [word for line in lines for word in json.loads(line.partition(" ")[2])]
    assert [line.partition(" ")[0] for line in lines] == ["ENTRYPOINT", "CMD"]
    return place.popen([*unshare, *words], env=env)


def test_a_container_whose_server_is_up_ends_by_its_signal(supervise: Place) -> None:
    port = str(free_port())
    running = as_pid_1(supervise, {"port=8080": f"port={port}"}, PORT=port, SERVE="600")
    wait_until(lambda: b"access" in command(supervise, "show", newest(supervise), "--json").out)
    (first,) = running.children()
    os.kill(first, signal.SIGTERM)
    ended = running.wait()
    assert (ended.code, ended.left) == (143, [])


def test_a_container_whose_server_does_not_come_up_ends_with_122(supervise: Place) -> None:
    port = str(free_port())
    ended = as_pid_1(
        supervise, {"port=8080": f"port={port}", '"30s"': '"1s"'}, PORT=str(free_port()), SERVE="600"
    ).wait()
    assert (ended.code, ended.left) == (122, [])


# --- a systemd unit


def test_systemd_takes_the_unit_and_its_command_runs(supervise: Place) -> None:
    analyze = needed("systemd-analyze")
    script(supervise, "nightly", "echo done")
    changes = {
        "/usr/local/bin/supervise": str(supervise.program),
        "/usr/local/bin/nightly": str(supervise.file("nightly")),
    }
    unit = recipe("systemd", changes)
    supervise.file("nightly.service").write_text(unit)
    checked = supervise.popen([analyze, "verify", "--man=no", str(supervise.file("nightly.service"))]).wait()
    if b"Failed to initialize" in checked.err or b"Failed to setup" in checked.err:
        missing(f"systemd-analyze does not work here: {checked.err!r}")
    assert (checked.code, checked.out, checked.err) == (0, b"", b"")
    (line,) = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart=")]
    ended = supervise.popen(shlex.split(line)).wait()
    assert (ended.code, ended.out) == (0, b"done\n")


# --- a hand-over to a person


@pytest.mark.needs("tmux")
def test_a_person_attaches_in_a_terminal_and_answers(supervise: Place) -> None:
    detach, attach = recipe("attach", {}).splitlines()
    script(supervise, "deploy.sh", "printf 'Deploy to production? '; read answer; echo \"answer: $answer\"")
    assert run(supervise, detach).code == 0
    with tmux(supervise) as person:
        person.wait_for_prompt(1)
        person.enter(attach)
        person.wait_for(r"Deploy to production\?")
        person.enter("yes")
        person.wait_for("^answer: yes")
        person.wait_for_prompt(2)
    shown = json.loads(command(supervise, "show", "deploy", "--json").out)
    assert shown["outcome"] == "completed"
    assert [one["how"] for one in shown["events"] if one["event"] == "access"] == ["attach"]


# --- the lines


@pytest.mark.needs("bash")
def test_the_completions_are_installed_where_bash_looks(supervise: Place) -> None:
    assert supervise.shell(f"set -e\n{recipe('completions', {})}").code == 0
    home = Path(supervise.environ["HOME"])
    installed = home / ".local/share/bash-completion/completions/supervise"
    asked = f". {installed}; COMP_WORDS=(supervise sho); COMP_CWORD=1; _supervise; echo ${{COMPREPLY[*]}}"
    assert supervise.shell(asked).out.split() == [b"show"]
    assert (home / ".zfunc/_supervise").read_text().startswith("#compdef supervise")
    assert "complete" in (home / ".config/fish/completions/supervise.fish").read_text()


def test_the_lines_do_what_the_words_beside_them_say(supervise: Place) -> None:
    localhost_needed()
    port = str(free_port())
    text = recipe("lines", {"8080": port, "-i 5m": "-i 2", "*.png": "a.png b.png"})
    server, dry, extend, fetch, submit, page, suggest = (line.split("  #")[0] for line in text.splitlines())
    script(supervise, "server", SERVER)
    assert run(supervise, server, PORT=port, SERVE="0.5").code == 0
    script(supervise, "fetch", "touch ran")
    assert b"timeout         30m  from the command line" in run(supervise, dry).out
    assert not supervise.file("ran").exists()
    assert run(supervise, "supervise run --detach --name build -t 1m -- sleep 600").code == 0
    extended = run(supervise, extend)
    assert extended.code == 0
    assert run(supervise, "supervise stop build").code == 0
    script(supervise, "fetch", 'echo x; [ "$SUPERVISE_ATTEMPT" = 3 ] || exec sleep 600')
    fetched = run(supervise, fetch)
    assert (fetched.code, fetched.out) == (0, b"x\n" * 3)
    script(supervise, "convert", 'cp "$1" "$2"')
    for name in ("a.png", "b.png"):
        supervise.file(name).write_text(name)
    assert run(supervise, submit).code == 0
    assert supervise.file("b.png.jpg").read_text() == "b.png"
    for _ in range(3):
        assert run(supervise, "supervise --name nightly -- true").code == 0
    assert run(supervise, page).code == 0
    assert supervise.file("run.html").read_text().startswith("<!doctype html>")
    assert b"3 good" in run(supervise, suggest).out
