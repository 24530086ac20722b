"""`supervise show`: the course of a run."""

import json
import math
import os
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pexpect
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import html

from supervise.commands import html_page, show, timeline
from supervise.records import reader
from tests.support.clients import command, newest
from tests.support.harness import HANG_SECONDS, Ended, Place, child, state_of, wait_until
from tests.support.native_start import script_of


def show_text(place: Place, *words: str, **environ: str) -> str:
    """Return the text of `supervise show`."""
    ended = place.popen([str(place.program), "show", *words], env=environ).wait()
    assert (ended.code, ended.err) == (0, b"")
    return ended.out.decode()


def shown_facts(place: Place, word: str = "-") -> dict[str, Any]:
    """Return the facts of `supervise show --json`."""
    found: dict[str, Any] = json.loads(show_text(place, word, "--json"))
    return found


def test_show_tells_the_course_of_a_timeout(supervise: Place) -> None:
    options = ("-a", "20", "-t", "3", "-x", "1", "--warn-at", "0.5s", "-k", "0.3", "--cpu-threshold", "2")
    ended = supervise(*options, "--name", "night", "--", *child("ignore=TERM", "ready", "burn_cpu=60"))
    assert ended.code == 124
    text = show_text(supervise, "night")
    first, *lines = text.splitlines()
    assert first.startswith("completion_timeout (124): it ran longer than 4")
    assert "(night)" in first
    marks = next(line for line in lines if line.strip().startswith("A"))
    assert marks.index("A") < marks.index("x") < marks.index("V") < marks.index("K")
    bar = next(line for line in lines if line.startswith("time "))
    assert bar.index("█") < bar.index("▓")
    assert any(line.startswith("limits ") and "completion limit of 3s" in line for line in lines)
    assert any(line.startswith("cpu ") and "█" in line for line in lines)
    assert "completion limit extended by" in text
    assert "  ready\n" in text
    again = shown_facts(supervise)
    assert [one["name"] for one in again["phases"]][:1] == ["starting"]
    assert "--timeout=3" in again["again"]
    assert again["report"] == ended.report


def test_the_command_line_of_show_runs_the_same_again(supervise: Place) -> None:
    """From any folder, and with each byte of the words."""
    words = ["-t", "9", "-q", "--access-on", "output", "-a", "5", "--access-on=match=a b"]
    command = [
        "sh",
        "-c",
        'pwd > "$1"; printf "%s|" "$@" >> "$1"',
        "x",
        str(supervise.file("said")),
        "it's",
        "a\nb",
        "é",
    ]
    assert supervise.start("run", *words, "--", *command, report=False).wait().code == 0
    first = supervise.file("said").read_bytes()
    line = show_text(supervise, "-").splitlines()[-1]
    supervise.file("said").unlink()
    assert supervise.shell(f"cd /; {line.strip()}").code == 0
    assert supervise.file("said").read_bytes() == first
    assert supervise.shell("supervise ps --all --json").out.count(b'"run_id"') == 2
    assert shown_facts(supervise)["again"] == shlex.split(line.partition("&&")[2].replace("$'a\\nb'", "'a\nb'"))


def test_show_has_a_running_run(supervise: Place) -> None:
    running = supervise.start("-t", "59m", "-i", "45m", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    assert show_text(supervise, "-").startswith("running   ")
    # The limits are far away, so the time line does not reach them.
    limits = r"\nlimits   idle in 44m\d+s, completion in 58m\d+s \(at [-\d]+ [:\d]+\)\n"
    # The run opens its control socket when its libraries are loaded.
    wait_until(lambda: re.search(limits, show_text(supervise, "-")))
    assert command(supervise, "extend", "-", "1h").code == 0
    assert re.search(r"\nlimits   idle in 44m\d+s, completion in 1h58m ", show_text(supervise, "-"))
    wait_until(lambda: shown_facts(supervise)["samples"])
    text = show_text(supervise, "-")
    assert "\ncpu " in text
    assert "\noutput " in text
    running.send(signal.SIGTERM)
    running.wait()
    text = show_text(supervise, "-")
    assert text.startswith("cancelled (143): signal TERM")
    assert "\nlimits   " not in text


def test_show_has_the_access_limit_of_a_run_that_is_not_up(supervise: Place) -> None:
    """The completion and the idle limit do not count yet."""
    running = supervise.start("-a", "59m", "-t", "9", "-i", "9", "--", *child("stay"), report=False)
    limits = r"\nlimits   access in 58m\d+s \(at [-\d]+ [:\d]+\)\n"
    newest(supervise)
    wait_until(lambda: re.search(limits, show_text(supervise, "-")))
    running.send(signal.SIGTERM)
    running.wait()


def test_show_asks_a_supervisor_that_stands_still_in_vain(supervise: Place) -> None:
    running = supervise.start("-t", "60", "--", *child("stay"), report=False)
    newest(supervise)
    wait_until(lambda: "\nlimits   " in show_text(supervise, "-"))
    running.send(signal.SIGSTOP)
    wait_until(lambda: state_of(running.pid) == "T")
    text = show_text(supervise, "-")
    assert text.startswith("running   ")
    assert "\nlimits   " not in text
    running.send(signal.SIGCONT)
    running.send(signal.SIGTERM)
    running.wait()


def test_show_leaves_out_the_diagnosis_of_an_attempt_before(supervise: Place) -> None:
    script = "[ -e again ] && exit 0; touch again; sleep 60"
    ended = supervise("-i", "2", "--retries", "1", "--retry-delay", "0.1s", "--", "sh", "-c", script)
    assert ended.code == 0
    text = show_text(supervise, "-")
    assert "a look at 2 processes" not in text
    assert "what the processes were doing" not in text
    assert "diagnosis" in [event["event"] for event in shown_facts(supervise)["events"]]


def test_show_says_what_the_processes_were_doing(supervise: Place) -> None:
    """In the words of the message at the end."""

    def stopped() -> Ended | None:
        """Return a run whose processes could be read in time, which a busy machine may not allow."""
        ended = supervise("-i", "2", "--", "sh", "-c", "echo here; flock /dev/null -c 'sleep 60'; :")
        assert ended.code == 123
        diagnosis = ended.report["diagnosis"]
        return ended if diagnosis and len(diagnosis["processes"]) > 1 else None

    ended = wait_until(stopped)
    _, _, text = show_text(supervise, "-").partition("\nwhat the processes were doing")
    found = text.partition("\n\n")[0].splitlines()[1:]
    assert [re.sub(r"\d+", "N", one) for one in found] == [
        re.sub(r"\d+", "N", one) for one in ended.messages if one.startswith("  ")
    ]
    assert len(found) >= 2
    assert "    pid " in text
    assert " sleep: sleeping in " in text


def test_show_has_a_run_between_two_attempts(supervise: Place) -> None:
    options = ("--retries", "1", "--retry-on", "failed", "--retry-delay", "60s", "-t", "90", "--total-timeout", "90")
    running = supervise.start(*options, "--", "sh", "-c", "echo once; sleep 0.3; exit 3", report=False)
    running.wait_for_err(b"attempt 2 of 2 in ")
    wait_until(lambda: shown_facts(supervise)["phases"][-1]["name"] == "waiting")
    first, *lines = show_text(supervise, "-").splitlines()
    assert first.startswith("running: between two attempts   ")
    assert any(line.startswith("started ") and line.endswith(" ago") for line in lines)
    bar = next(line for line in lines if line.startswith("time "))
    assert bar.index("█") < bar.index("┄")
    assert any(line.startswith("  R ") and "attempt 2 of 2 in " in line and "after failed" in line for line in lines)
    assert {one["text"] for one in shown_facts(supervise)["deadlines"]} == {
        "completion limit of 1m30s",
        "total limit of 1m30s",
    }
    running.send(signal.SIGTERM)
    running.wait()


def test_show_has_the_deadline_of_each_attempt(supervise: Place) -> None:
    options = ("--retries", "1", "--retry-on", "failed", "--retry-delay", "0", "-t", "90")
    supervise.start(*options, "--", "false", report=False).wait()
    found = shown_facts(supervise)
    starts = [event["t"] for event in found["events"] if event["event"] == "started"]
    assert len(starts) == 2
    assert [one["t"] for one in found["deadlines"]] == [start + 90 for start in starts]


def test_show_draws_no_limit_that_was_over_before_it_came(supervise: Place) -> None:
    """An access limit is over once the command is up, and each limit with its attempt."""
    script = "echo up; [ $SUPERVISE_ATTEMPT = 1 ] && exit 75; sleep 60"
    options = ("-a", "2", "-t", "3", "--retries", "1", "--retry-delay", "0", "--diagnose", "off")
    supervise.start(*options, "--", "sh", "-c", script, report=False).wait()
    deadlines = shown_facts(supervise)["deadlines"]
    assert len(deadlines) == 4
    text = show_text(supervise, "-")
    (limits,) = [line for line in text.splitlines() if line.startswith("limits ")]
    assert limits.count("|") == 1
    assert limits.endswith("|  completion limit of 3s")
    page = supervise.shell("supervise show --html - -").out.decode()
    assert page.count("limit of") == 1
    (at,) = re.findall(r"completion limit of 3s, at (\d+(?:\.\d)?)s<", page)
    # The page has one decimal.
    assert abs(float(at) - deadlines[-1]["t"]) < 0.051


def test_show_has_a_run_in_a_removed_folder(supervise: Place) -> None:
    gone = supervise.file("gone")
    gone.mkdir()
    assert supervise.shell(f"cd {gone} && rmdir {gone} && supervise -- true").code == 0
    assert "\nin       a removed folder on " in show_text(supervise, "-")


def test_show_cuts_a_long_line_on_a_terminal_alone(supervise: Place) -> None:
    supervise.start("--", "printf", "%0999d", "0", report=False).wait()
    line = "  " + "0" * 999
    assert line in show_text(supervise, "-").splitlines()
    environ = {**supervise.environ, "TERM": "xterm"}
    shower = pexpect.spawn(
        str(supervise.program), ["show", "-"], cwd=str(supervise.folder), env=environ, dimensions=(24, 60)
    )
    shower.expect(pexpect.EOF, timeout=HANG_SECONDS)
    shower.close()
    shown = shower.before
    assert [line for line in shown.decode().splitlines() if line.startswith("  00")] == ["  " + "0" * 57 + "…"]


def test_show_is_ascii_where_the_locale_is(supervise: Place) -> None:
    supervise.start("--", "echo", "é", report=False).wait()
    # The native start does not obey the last two variables, and the C locale alone means UTF-8 to Python (PEP 540).
    words = [str(script_of(supervise.program)), "show", "-"]
    ended = supervise.popen(words, env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}).wait()
    assert (ended.code, ended.err) == (0, b"")
    assert ended.out.isascii()


def test_show_escapes_control_characters_of_the_output(supervise: Place) -> None:
    supervise.start("--", "printf", r"\033[31mred\007\n[bold]x[/bold]\n\377\n", report=False).wait()
    lines = show_text(supervise, "-").splitlines()
    at = lines.index("last lines")
    assert lines[at + 1 : at + 4] == [r"  \x1b[31mred\x07", "  [bold]x[/bold]", r"  \xff"]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
SOCKETS = st.dictionaries(st.sampled_from(["local", "peer", "state", "sent_bytes", "received_bytes"]), JSON)
PROCESSES = st.fixed_dictionaries(
    {"pid": st.one_of(st.integers(), JSON)},
    optional={
        "sockets": st.one_of(st.lists(SOCKETS, max_size=5), JSON),
        **dict.fromkeys(("depth", "name", "state", "waits_in", "awaits", "cpu_percent", "threads"), JSON),
    },
)
EVENTS = st.fixed_dictionaries(
    {"event": st.sampled_from([*timeline.MARKS, "started", "exited", "settled", "diagnosis"])},
    optional={
        "processes": st.one_of(st.lists(PROCESSES, max_size=3), JSON),
        "t": st.one_of(st.floats(), st.floats(0, 100), JSON),
        **dict.fromkeys(
            ("deadline", "evidence", "limit", "by", "used", "cap", "left", "cause", "source", "how", "more", "hint"),
            JSON,
        ),
    },
)
ENDS = st.dictionaries(
    st.sampled_from(
        [
            "outcome",
            "exit_code",
            "duration",
            "limit",
            "limit_seconds",
            "reason",
            "started_at",
            "ended_at",
            "usage",
            "command_exit",
            "attempts",
        ]
    ),
    st.one_of(JSON, st.sampled_from(["completion_timeout", "signaled", "2026-11-24T20:01:39.123Z"])),
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=200
)
@given(
    events=st.lists(st.one_of(EVENTS, JSON), max_size=8),
    end=st.one_of(ENDS, JSON),
    run=st.one_of(st.binary(max_size=100), st.just(b'command = 1\n[options]\ntimeout = ["x"]\nquiet = 3\n')),
    samples=st.binary(max_size=60),
)
@example(events=[], end={"duration": math.nan}, run=b"", samples=b"")
@example(events=[], end={"duration": math.inf}, run=b"", samples=b"")
def test_show_prints_any_record_without_a_traceback(
    tmp_path: Path, events: list[Any], end: Any, run: bytes, samples: bytes
) -> None:
    record = reader.Record(str(tmp_path), f"20261124-200139-{os.urandom(5).hex()}")
    folder = Path(record.folder)
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (folder / "end.json").write_text(json.dumps(end))
    (folder / "run.toml").write_bytes(run)
    (folder / "samples").write_bytes(b"1 0.5 10 0\n3 nan 1 1\n2 1 -5 0\n" + samples)
    found = timeline.read_timeline(record)
    show._draw(found)
    assert len(html.fromstring(html_page.page(found)).xpath("//h1")) == 1
    json.dumps(show._fields(found))
