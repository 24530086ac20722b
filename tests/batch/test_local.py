"""Batches on this machine: `submit --on local` and `collect`."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support import batches, mounts
from tests.support.batches import collect, outcomes, submit, words_of
from tests.support.clients import RUNS_OF_ROOT, command
from tests.support.harness import Place, Running, child, wait_until
from tests.support.records import only


def begun(place: Place, *words: str, name: str = "b") -> Running:
    """Start a batch, and wait until its name is printed."""
    running = place.popen([str(place.program), "submit", "--name", name, *words])
    running.wait_for_out(name.encode())
    return running


def starts(place: Place, name: str = "b") -> list[str]:
    """The numbers of the tasks that were started, in their order."""
    journal = Path(place.state, "batches", name, "journal").read_text()
    return [line.split()[1] for line in journal.splitlines() if line.startswith("start")]


def gate(place: Place, *others: str) -> list[str]:
    """A command that appends its item to the file `ran`, and waits for the file `go` if the item begins with `w`."""
    ran, go = place.file("ran"), place.file("go")
    script = f'echo "$1" >>{ran}; case $1 in w*) until [ -e {go} ]; do sleep 0.05; done ;; f*) exit 3 ;; esac'
    return ["--", "sh", "-c", script, "sh", ":::", *others]


def ran(place: Place) -> list[str]:
    """The items that have begun."""
    file = place.file("ran")
    return file.read_text().split() if file.exists() else []


def test_the_ten_tasks_have_their_outcomes(supervise: Place) -> None:
    words = ("--name", "ten", "-j", "10", "--results", "r", *batches.OPTIONS, *batches.command())
    ended = submit(supervise, *words, ":::", *batches.ITEMS)
    assert (ended.code, ended.out, ended.left) == (1, b"ten\n", [])
    code, found = collect(supervise, "ten")
    assert (code, found["exit_code"], found["state"]) == (1, 1, "ended")
    assert outcomes(found) == [*batches.OUTCOMES]
    assert [task["attempts"] for task in found["tasks"]] == [1, 1, 2, 1, 1, 1, 1, 1, 1, 1]
    assert batches.output(found, 8) == bytes(batches.MEGABYTES * 1_000_000)
    assert batches.output(found, 9) == os.fsencode(batches.ODD)
    assert {path.name for path in supervise.file("r").iterdir()} == {
        f"{number}.{kind}" for number in range(1, 11) for kind in ("json", "out")
    }


def test_the_same_from_a_file_and_from_stdin(supervise: Place) -> None:
    supervise.file("items").write_bytes(b"a b\n\n\xff\n")
    for name, words, manner in (("f", ("--tasks", "items"), {}), ("s", ("--tasks", "-"), {"stdin": b"a b\n\n\xff\n"})):
        ended = submit(supervise, "--name", name, *words, "--no-record", "--", "printf", "%s", "{#}:{}", **manner)
        code, found = collect(supervise, name)
        assert (ended.code, code) == (0, 0)
        assert [batches.output(found, number) for number in (1, 2, 3)] == [b"1:a b", b"2:", b"3:\xff"]


def test_collect_shows_what_did_not_succeed(supervise: Place) -> None:
    submit(supervise, "--name", "b", *gate(supervise, "a", "f\x1b[31m"))
    ended = command(supervise, "collect", "b")
    title, row, end = ended.out.decode().splitlines()
    assert (ended.code, title.split()) == (1, ["TASK", "OUTCOME", "EXIT", "TOOK", "REASON", "ITEM"])
    assert (row.split()[:3], row.split()[-1]) == (["2", "failed", "3"], "f\\x1b[31m")
    assert end == f"batch b: 2 tasks: 1 completed, 1 failed; results in {supervise.folder}/b.results"


def test_show_of_a_batch_leads_to_collect(supervise: Place) -> None:
    assert supervise("--", "true").code == 0
    run_id = only(supervise).run_id
    # The id of the run ends with this name.
    for name in ("lot", run_id[-2:]):
        submit(supervise, "--name", name, "--", "true", ":::", "x")
        shown = command(supervise, "show", name)
        said = f"show: {name} is a batch; see supervise collect {name}, or supervise show {name}.1"
        assert (shown.code, shown.messages) == (125, [said])
        assert command(supervise, "show", f"{name}.1").code == 0
    assert command(supervise, "show", run_id).code == 0
    assert command(supervise, "show", run_id[-5:]).code == 0
    unknown = command(supervise, "show", "z")
    assert unknown.messages == [f"show: no run 'z' on record; see supervise ps --all{RUNS_OF_ROOT}"]
    missing = command(supervise, "collect", "z")
    assert missing.messages == ["collect: no batch 'z' on record; see supervise ps --batches"]


def test_while_a_batch_goes_on_collect_says_so_and_waits(supervise: Place) -> None:
    running = begun(supervise, "-j", "1", *gate(supervise, "a", "w", "b"))
    wait_until(lambda: ran(supervise) == ["a", "w"])
    code, found = collect(supervise, "b")
    assert (code, found["state"], words_of(found)) == (121, "running", ["completed", "running", "pending"])
    waiting = supervise.popen([str(supervise.program), "collect", "--wait", "b"])
    refused = submit(supervise, "--resume", "b")
    assert (refused.code, refused.messages) == (125, ["submit: the batch b is being run"])
    supervise.file("go").touch()
    assert running.wait().code == 0
    assert waiting.wait().code == 0


def test_n_tasks_run_at_once_and_in_order(supervise: Place) -> None:
    running = begun(supervise, "-j", "2", *gate(supervise, "w1", "w2", "w3", "w4"))
    wait_until(lambda: sorted(ran(supervise)) == ["w1", "w2"])
    supervise.file("go").touch()
    assert running.wait().code == 0
    assert sorted(ran(supervise)) == ["w1", "w2", "w3", "w4"]
    # Each of two tasks that are started together notes its start itself.
    begun_in_pairs = starts(supervise)
    assert (sorted(begun_in_pairs[:2]), sorted(begun_in_pairs[2:])) == (["1", "2"], ["3", "4"])


def test_one_task_at_once_is_run_in_order(supervise: Place) -> None:
    assert begun(supervise, "-j", "1", *gate(supervise, "d", "c", "b", "a")).wait().code == 0
    assert ran(supervise) == ["d", "c", "b", "a"]
    assert starts(supervise) == ["1", "2", "3", "4"]


def test_after_a_kill_collect_tells_the_truth_and_resume_runs_what_is_left_once(supervise: Place) -> None:
    running = begun(supervise, "-j", "2", "-k", "1", *gate(supervise, "a", "f", "w1", "w2", "b"))
    wait_until(lambda: sorted(ran(supervise)) == ["a", "f", "w1", "w2"])
    running.send(signal.SIGKILL)
    running.wait()
    wait_until(lambda: not supervise.alive())
    code, found = collect(supervise, "b")
    assert (code, found["state"]) == (1, "ended")
    assert words_of(found) == ["completed", "failed", "cancelled", "cancelled", "pending"]
    supervise.file("go").touch()
    assert submit(supervise, "--resume", "b").code == 1
    code, found = collect(supervise, "b")
    assert words_of(found) == ["completed", "failed", "completed", "completed", "completed"]
    assert sorted(ran(supervise)) == ["a", "b", "f", "w1", "w1", "w2", "w2"]
    again = submit(supervise, "--resume", "b")
    assert again.messages[0].startswith("batch b: 0 of 5 tasks left")
    assert len(ran(supervise)) == 7


def test_a_task_that_ends_by_itself_after_the_kill_is_not_run_again(supervise: Place) -> None:
    """It takes no notice of the signal, and has its report when the batch is resumed."""
    script = 'trap "" TERM; echo "$1" >>ran; until [ -e go ]; do sleep 0.05; done'
    running = begun(supervise, "-j", "1", "-k", "30", "--", "sh", "-c", script, "sh", ":::", "a", "b")
    wait_until(lambda: ran(supervise) == ["a"])
    report = supervise.file("b.results") / "1.json"
    running.send(signal.SIGKILL)
    running.wait()
    supervise.file("go").touch()
    wait_until(report.exists)
    # As a run that had ended by itself just before the signal.
    report.write_text(json.dumps({**json.loads(report.read_bytes()), "outcome": "completed", "exit_code": 0}))
    assert submit(supervise, "--resume", "b").code == 0
    assert ran(supervise) == ["a", "b"]
    assert words_of(collect(supervise, "b")[1]) == ["completed", "completed"]


def test_resume_waits_for_the_tasks_of_the_killed_one(supervise: Place) -> None:
    """A task may take a while to stop, and must not run twice at once."""
    script = 'trap "" TERM; echo one >>ran; until [ -e go ]; do sleep 0.05; done; echo end >>ran'
    running = begun(supervise, "-k", "2", "--", "sh", "-c", script, "sh", ":::", "x")
    wait_until(lambda: ran(supervise) == ["one"])
    running.send(signal.SIGKILL)
    running.wait()
    opener = supervise.popen(["sh", "-c", "until [ $(grep -c one ran) = 2 ]; do sleep 0.05; done; : >go"])
    assert submit(supervise, "--resume", "b").code == 0
    assert opener.wait().code == 0
    assert ran(supervise) == ["one", "one", "end"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -2)])
def test_a_signal_cancels_the_batch(supervise: Place, number: int, code: int) -> None:
    running = begun(supervise, "-j", "1", *gate(supervise, "a", "w", "b"))
    wait_until(lambda: ran(supervise) == ["a", "w"])
    running.send(number)
    ended = running.wait()
    assert (ended.code, ended.left) == (code, [])
    assert words_of(collect(supervise, "b")[1]) == ["completed", "cancelled", "pending"]


@pytest.mark.parametrize(
    ("halt", "found"),
    [
        ("never", ["failed", "completed", "completed"]),
        ("soon", ["failed", "completed", "pending"]),
        ("now", ["failed", "cancelled", "pending"]),
    ],
)
def test_a_task_that_fails_halts_the_others(supervise: Place, halt: str, found: list[str]) -> None:
    go = supervise.file("go")
    first, second = "until [ -e up ]; do sleep 0.05; done; exit 3", f": >up; until [ -e {go} ]; do sleep 0.05; done"
    script = f"case $1 in 1) {first} ;; 2) {second} ;; esac"
    running = begun(supervise, "-j", "2", "--halt", halt, "--", "sh", "-c", script, "sh", ":::", "1", "2", "3")
    if halt != "now":
        wait_until(lambda: Path(supervise.folder, "b.results", "1.json").exists())
        # The first task has its report before its end, which alone halts the others.
        journal = Path(supervise.state, "batches", "b", "journal")
        wait_until(lambda: "\nend 1 " in journal.read_text())
        go.touch()
    assert running.wait().code == 1
    assert words_of(collect(supervise, "b")[1]) == found


def test_a_task_whose_supervise_is_killed_is_lost(supervise: Place) -> None:
    running = begun(supervise, "-j", "2", *gate(supervise, "w", "a"))
    wait_until(lambda: sorted(ran(supervise)) == ["a", "w"])
    journal = Path(supervise.state, "batches", "b", "journal").read_text().splitlines()
    (pid,) = [int(line.split()[2]) for line in journal if line.startswith("start 1 ")]
    os.kill(pid, signal.SIGKILL)
    assert running.wait().code == 1
    wait_until(lambda: not supervise.alive())
    assert words_of(collect(supervise, "b")[1]) == ["lost", "completed"]
    supervise.file("go").touch()
    assert submit(supervise, "--resume", "b").code == 0


def test_results_that_cannot_be_written_are_named(supervise: Place) -> None:
    ended = submit(supervise, "--name", "b", "-j", "1", "--", "sh", "-c", "rm -rf b.results", "sh", ":::", "1", "2")
    assert ended.code == 1
    assert words_of(collect(supervise, "b")[1]) == ["unreported", "unreported"]
    assert any("task 2 of the batch b cannot be started" in line for line in ended.messages)


def test_a_command_line_that_is_too_long_is_the_end_of_its_task_alone(supervise: Place) -> None:
    supervise.file("items").write_bytes(b"x" * 200_000 + b"\na\n")
    assert submit(supervise, "--name", "b", "--tasks", "items", "--", "true").code == 1
    found = collect(supervise, "b")[1]
    assert words_of(found) == ["unreported", "completed"]
    assert b"argument list too long" in batches.output(found, 1)


def test_dry_run_prints_what_would_be_run_and_makes_nothing(supervise: Place) -> None:
    words = ("--name", "b", "-t", "1h", "--dry-run", "--", "printf", "%s|", "{#}", "{}", ":::", batches.ODD, "")
    ended = submit(supervise, *words)
    lines = ended.out.splitlines()
    assert (ended.code, len(lines), ended.err) == (0, 2, b"")
    assert not os.listdir(supervise.folder)
    assert not Path(supervise.state).exists()
    # The lines are those of a shell.
    supervise.file("b.results").mkdir()
    shown = supervise.popen(["bash", "-c", os.fsdecode(lines[0])]).wait()
    assert shown.out == b"1|" + os.fsencode(batches.ODD) + b"|"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--", "true"], "there are no tasks; give ::: ITEM... after the command, or --tasks FILE"),
        (["--", "true", ":::"], "there are no tasks; give ::: ITEM... after the command, or --tasks FILE"),
        (["--tasks", "/dev/null", "true"], "there are no tasks; give ::: ITEM... after the command, or --tasks FILE"),
        (["--tasks", "none", "true"], "--tasks: cannot read 'none': no such file or directory"),
        (["--tasks", "x", "true", ":::", "a"], "--tasks: the items stand after ::: already"),
        (["--", ":::", "a"], "there is no COMMAND to run"),
        (["--report", "x", "true", ":::", "a"], "--report: not for a batch: each task has its report in the folder of"),
        (["--detach", "true", ":::", "a"], "--detach: not for a batch: the engine waits for its tasks"),
        (["--resume", "none"], "no batch 'none' on record; see supervise ps --batches"),
        (["--resume", "x", "true"], "--resume: the command, the items and the options are those of the batch"),
        (["--results", "full", "true", ":::", "a"], "--results: 'full' is not empty"),
        (["--results", "full/file", "true", ":::", "a"], "--results: cannot use "),
        (["--name", "x" * 63, "true", ":::", "a"], f"--name: {'x' * 63} is too long for the names of 1 tasks"),
    ],
)
def test_bad_input_is_one_line_and_submits_nothing(supervise: Place, words: list[str], message: str) -> None:
    supervise.file("full").mkdir()
    supervise.file("full").joinpath("file").touch()
    ended = submit(supervise, *words)
    (line,) = ended.messages
    assert ended.code == 125
    assert line.replace(f"{supervise.folder}/", "").startswith(f"submit: {message}")
    assert not [*Path(supervise.state).glob("batches/*")]


def test_an_unknown_option_or_engine_is_refused(supervise: Place) -> None:
    refused = submit(supervise, "--on", "sun", "true", ":::", "a")
    assert refused.messages == ["--on: got 'sun', takes local, slurm, htcondor or kubernetes"]
    assert submit(supervise, "--idle-timout", "1", "true").messages == [
        "no such option --idle-timout; did you mean --idle-timeout?"
    ]
    assert submit(supervise, "-i", "x", "true", ":::", "a").messages[0].startswith("submit: --idle-timeout: got 'x'")


def test_a_name_twice_is_refused(supervise: Place) -> None:
    assert submit(supervise, "--name", "b", "true", ":::", "a").code == 0
    ended = submit(supervise, "--name", "b", "--results", "other", "true", ":::", "a")
    assert ended.code == 125
    assert ended.messages == ["submit: there is a batch b already; take another name, or see supervise collect b"]
    assert not supervise.file("other").exists()


def test_options_from_the_environment_hold_for_each_task(supervise: Place) -> None:
    variables = {"SUPERVISE_SUCCESS_CODES": "3"}
    assert submit(supervise, "--name", "b", *gate(supervise, "f", "a"), env=variables).code == 0
    shown = submit(supervise, "--name", "e", "--", "env", ":::", "a=b", env=variables)
    assert shown.code == 0
    assert b"SUPERVISE_SUCCESS_CODES" not in batches.output(collect(supervise, "e")[1], 1)


def test_a_damaged_record_is_refused(supervise: Place) -> None:
    submit(supervise, "--name", "b", "true", ":::", "a")
    Path(supervise.state, "batches", "b", "batch.json").write_text("{}")
    ended = command(supervise, "collect", "b")
    assert (ended.code, ended.messages) == (125, ["collect: the record of the batch b is damaged"])


def test_a_secret_item_is_masked_where_it_is_shown(supervise: Place) -> None:
    submit(supervise, "--name", "b", "--", "sh", "-c", "exit 3", "sh", ":::", "--token=abcdefgh")
    assert b"abcdefgh" not in command(supervise, "collect", "b").out
    assert "abcdefgh" not in json.dumps(collect(supervise, "b")[1])


def test_many_tasks_are_collected_by_their_count(supervise: Place) -> None:
    """A name of a run is a word in the file of its record; no task is left out, and none is there twice."""
    items = [str(number) for number in range(40)]
    ended = submit(supervise, "--name", "b", "-j", "4", "--no-record", "--", "echo", "{#}:{}", ":::", *items)
    assert ended.code == 0
    found = collect(supervise, "b")[1]
    assert found["counts"] == {"completed": 40}
    assert [batches.output(found, number) for number in (1, 40)] == [b"1:0\n", b"40:39\n"]


def test_a_killed_submit_leaves_no_task_at_any_moment(supervise: Place) -> None:
    """The kill comes at many moments of many starts; each task then ends, and what is left runs once more."""
    items = [str(number) for number in range(30)]
    line = ["--no-record", "-j", "3", "-k", "0", "--", "sh", "-c", 'echo "$1" >>ran', "sh", ":::", *items]
    for turn in range(8):
        name = f"b{turn}"
        supervise.file("ran").unlink(missing_ok=True)
        running = begun(supervise, *line, name=name)
        wait_until(lambda turn=turn: len(ran(supervise)) >= turn)  # type: ignore[misc]
        running.send(signal.SIGKILL)
        running.wait()
        assert submit(supervise, "--resume", name).code == 0
        code, found = collect(supervise, name)
        assert (code, found["counts"]) == (0, {"completed": 30})
        reports = {Path(task["report"]).read_bytes() for task in found["tasks"]}
        assert len(reports) == 30
        # A task that had begun may have run to its end, or run again; none was left out.
        assert {*ran(supervise)} == {*items}
        assert len(ran(supervise)) <= 33
        shutil.rmtree(supervise.file(f"{name}.results"))


def test_a_batch_in_a_bounded_run_ends_with_it(supervise: Place) -> None:
    words = [str(supervise.program), "submit", "--name", "b", "-j", "2", "-k", "1", *gate(supervise, "w", "a")]
    ended = supervise("-t", "4", "-k", "1", "--", *words)
    assert (ended.code, ended.left) == (1, [])
    code, found = collect(supervise, "b")
    assert (code, words_of(found), found["tasks"][0]["reason"]) == (1, ["resumable", "completed"], "outer_deadline")


def test_the_table_of_engines_has_the_engines_that_submit_offers() -> None:
    from supervise.batch import engines
    from supervise.commands.subcommands import find

    row = find(["submit"])
    assert row
    assert [option.choices for option in row.options if option.name == "on"] == [tuple(engines.RESTARTING)]
    for name in engines.RESTARTING:
        engine = engines.load(name)
        assert all(callable(getattr(engine, function)) for function in ("render", "hand_over", "states", "cancel"))


@pytest.mark.parametrize(
    ("engine", "client", "name"), [("slurm", "scontrol", "Slurm"), ("htcondor", "condor_config_val", "HTCondor")]
)
def test_an_engine_that_is_not_there_is_named(supervise: Place, engine: str, client: str, name: str) -> None:
    """No client of an engine is on this PATH."""
    ended = submit(supervise, "--on", engine, "true", ":::", "a", env={"PATH": "/nowhere"})
    assert ended.code == 125
    assert ended.messages == [f"submit: there is no {client} on this machine, which {name} needs"]
    assert not os.listdir(supervise.folder)


def test_an_engine_tells_a_task_how_often_it_was_started(supervise: Place) -> None:
    words = child("env=SUPERVISE_ATTEMPT", "env=SUPERVISE_PREVIOUS_OUTCOME", "env=SUPERVISE_RESTARTED")
    ended = supervise("--", *words, env={"SUPERVISE_RESTARTED": "2 lost"})
    assert ended.out.split() == [
        b"SUPERVISE_ATTEMPT='3'",
        b"SUPERVISE_PREVIOUS_OUTCOME='lost'",
        b"SUPERVISE_RESTARTED=None",
    ]
    ended = supervise("--", *words, env={"SUPERVISE_RESTARTED": "2 unknown"})
    assert ended.out.split()[:2] == [b"SUPERVISE_ATTEMPT='3'", b"SUPERVISE_PREVIOUS_OUTCOME=None"]
    for word in ("x lost", "2 \x1b", "-1 lost", "99999999999 lost", "2"):
        ended = supervise("--", *words, env={"SUPERVISE_RESTARTED": word})
        assert ended.out.split()[:2] == [b"SUPERVISE_ATTEMPT='1'", b"SUPERVISE_PREVIOUS_OUTCOME=None"]


def test_stop_cancels_a_batch(supervise: Place) -> None:
    running = begun(supervise, "-j", "1", *gate(supervise, "w", "a"))
    wait_until(lambda: ran(supervise) == ["w"])
    assert command(supervise, "stop", "b").code == 0
    assert running.wait().code == 143
    assert words_of(collect(supervise, "b")[1]) == ["cancelled", "pending"]
    again = command(supervise, "stop", "b")
    assert (again.code, again.messages) == (125, ["stop: the batch b has ended"])
    assert command(supervise, "stop", "c").code == 125


def test_the_name_of_a_batch_goes_before_the_end_of_the_id_of_a_run(supervise: Place) -> None:
    run_id = command(supervise, "run", "-d", "--", "sleep", "60").out.decode().strip()
    running = begun(supervise, *gate(supervise, "w"), name=run_id[-4:])
    wait_until(lambda: ran(supervise) == ["w"])
    assert command(supervise, "stop", run_id[-4:]).code == 0
    assert running.wait().code == 143
    assert command(supervise, "stop", run_id).code == 0


def test_ps_lists_the_batches(supervise: Place) -> None:
    assert command(supervise, "ps", "--batches").out.split() == [b"BATCH", b"ENGINE", b"STATE", b"SUBMITTED", b"TASKS"]
    running = begun(supervise, "-j", "1", *gate(supervise, "w", "a"))
    wait_until(lambda: ran(supervise) == ["w"])
    submit(supervise, "--name", "c", "true", ":::", "a")
    (one, other) = json.loads(command(supervise, "ps", "--batches", "--json").out)
    assert (one["batch"], one["state"], one["counts"]) == ("c", "ended", {"completed": 1})
    assert (other["batch"], other["state"], other["counts"]) == ("b", "running", {"running": 1, "pending": 1})
    assert command(supervise, "ps", "--batches", "--quiet").out == b"c\nb\n"
    supervise.file("go").touch()
    running.wait()
    Path(supervise.state, "batches", "c", "items").unlink()
    listed = command(supervise, "ps", "--batches")
    assert [line.split()[:3] for line in listed.out.decode().splitlines()[1:]] == [["b", "local", "ended"]]
    assert listed.messages == ["batch c: the record of the batch c cannot be read: no such file or directory"]


def test_a_report_that_a_task_has_made_up_does_no_harm(supervise: Place) -> None:
    submit(supervise, "--name", "b", "true", ":::", "1", "2", "3", "4")
    made_up = {
        "outcome": "failed",
        "exit_code": True,
        "run_id": {},
        "host": [],
        "reason": 3,
        "duration": -1,
        "attempts": 7,
    }
    texts = ("[" * 100_000, json.dumps(made_up), '{"outcome": "x\\u001b"}', "7")
    for number, text in enumerate(texts, 1):
        supervise.file("b.results").joinpath(f"{number}.json").write_text(text)
    assert words_of(collect(supervise, "b")[1]) == ["unreported", "failed", "unreported", "unreported"]
    assert command(supervise, "collect", "b").code == 1


def test_old_records_are_removed_and_results_stay(supervise: Place) -> None:
    for name in ("old", "new"):
        submit(supervise, "--name", name, "true", ":::", "1")
    for file in Path(supervise.state, "batches", "old").iterdir():
        os.utime(file, (1, 1))
    submit(supervise, "--name", "newest", "true", ":::", "1")
    assert command(supervise, "ps", "--batches", "--quiet").out == b"newest\nnew\n"
    assert supervise.file("old.results").joinpath("1.json").exists()


def test_a_terminal_shows_the_progress_of_a_wait(supervise: Place) -> None:
    """The bar is on stderr, and stdout has the answer alone."""
    running = begun(supervise, "-j", "1", *gate(supervise, "a", "w"))
    wait_until(lambda: ran(supervise) == ["a", "w"])
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as shown:
        waiting = supervise.popen([str(supervise.program), "collect", "--wait", "--json", "b"], stderr=theirs)
        os.close(theirs)
        seen = b""

        def is_shown() -> bool:
            nonlocal seen
            seen += os.read(ours, 4096)
            return b"1 running" in seen and b"1/2" in seen

        wait_until(is_shown)
        supervise.file("go").touch()
        assert running.wait().code == 0
        ended = waiting.wait()
        assert (ended.code, json.loads(ended.out)["counts"]) == (0, {"completed": 2})
        assert shown


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.parametrize("seconds", ["0", "0.4"])
def test_an_engine_asks_for_a_code_that_says_why_no_report_came(supervise: Place, seconds: str) -> None:
    """The code is all that comes from another machine where the disk of the results is full."""
    disk = supervise.file("disk")
    disk.mkdir()
    words = ("--report", "disk/r.json", "--", "sh", "-c", f"sleep {seconds}; exit 3")
    ends = []
    with mounts.small_disk(disk):
        mounts.fill(disk)
        for value in ("93 94", "93", "93 x", "93 256"):
            ended = supervise.start(*words, report=False, env={"SUPERVISE_UNREPORTED": value}).wait()
            assert ended.messages[-1].startswith("--report: cannot write 'disk/r.json': no space left"), ended.err
            ends.append(ended.code)
    assert ends == [94, 3, 3, 3]
    ended = supervise("--", *child("env=SUPERVISE_UNREPORTED"), env={"SUPERVISE_UNREPORTED": "93 94"})
    assert (ended.code, ended.out) == (0, b"SUPERVISE_UNREPORTED=None\n")
