"""The record of a run: it exists before the command, is true and private, and never delays the command."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervise.records import reader
from supervise.records.bounded_output import Reader
from tests.support.clients import socket_of
from tests.support.harness import Place, child, state_of, validator, wait_for_file, wait_until
from tests.support.records import facts, only, records_of


def test_a_short_run_has_a_record(supervise: Place) -> None:
    ended = supervise.start("--", "sh", "-c", "echo hello; exit 3", report=False).wait()
    assert ended.code == 3
    record = only(supervise)
    assert reader.state_of(record) == "ended"
    report = record.end()
    validator("report").validate(report)
    assert report is not None
    assert (report["outcome"], report["exit_code"]) == ("failed", 3)
    assert report["usage"]["stdout_bytes"] == 6
    assert report["usage"]["max_rss_bytes"] > 0
    events = list(record.events())
    for event in events:
        validator("event").validate(event)
    assert [event["event"] for event in events] == ["started", "exited", "settled"]


def test_record_and_report_are_equal(supervise: Place) -> None:
    ended = supervise("-t", "1", "--", *child("stay"), events=True)
    record = only(supervise)
    assert record.end() == ended.report
    assert list(record.events()) == ended.events


def test_a_record_has_command_options_and_surroundings(supervise: Place) -> None:
    running = supervise.start("-t", "30", "--name", "night", "-q", "--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    record = only(supervise)
    assert reader.state_of(record) == "running"
    found = facts(record)
    assert found["command"] == list(child("ready", "stay"))
    assert (found["name"], found["pid"], found["guardian"]) == ("night", running.pid, running.guardian())
    assert found["cwd"] == str(supervise.folder)
    assert found["options"]["timeout"] == "30"
    assert found["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
    assert found["pid_started"] == int(fields[19])
    running.send(signal.SIGTERM)
    assert running.wait().report["name"] == "night"
    assert reader.state_of(record) == "ended"


def test_a_record_has_any_words_of_the_command(supervise: Place) -> None:
    words = ["echo", "\udcff", "\x7f\x01", "a\nb", "é🙂", '"']
    supervise.start("--", *words, report=False).wait()
    assert only(supervise).command == words
    assert facts(only(supervise))["command"][1] == r"\xff"


def test_a_record_is_private_under_any_umask(supervise: Place) -> None:
    supervise.shell("umask 0; supervise -- echo hello; supervise -- sleep 0.5")
    for path in [Path(supervise.state), *Path(supervise.state).rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_cannot_read_a_record(supervise: Place) -> None:
    """Also where all folders above are open to every user."""
    supervise.start("--", "echo", "secret", report=False).wait()
    folder = only(supervise).folder
    script = """
        import os, sys
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        for path in sys.argv[1:]:
            try:
                print(os.listdir(path) if not os.path.splitext(path)[1] else open(path).read())
            except PermissionError:
                print("refused")
    """
    paths = [supervise.state, folder, f"{folder}/run.toml", f"{folder}/events.jsonl"]
    ended = supervise.popen([sys.executable, "-c", textwrap.dedent(script), *paths]).wait()
    assert ended.out.split() == [b"refused"] * 4


def test_no_record_leaves_no_state_folder(supervise: Place) -> None:
    assert supervise("--no-record", "-t", "30", "--", "sleep", "0.5").code == 0
    assert not os.path.exists(supervise.state)


def test_a_run_that_ended_is_not_listed_as_live(supervise: Place) -> None:
    supervise.start("--", "true", report=False).wait()
    supervise.start("--", "sleep", "0.5", report=False).wait()
    assert os.listdir(f"{supervise.state}/live") == []
    assert len(os.listdir(f"{supervise.state}/runs")) == 2


def test_ids_sort_by_time(supervise: Place) -> None:
    supervise.shell("for i in 1 2 3 4 5 6; do supervise -- echo $i; done")
    assert [one.command[1] for one in reversed(records_of(supervise))] == ["1", "2", "3", "4", "5", "6"]


def test_a_run_is_found_by_its_name(supervise: Place) -> None:
    for word in ("one", "two"):
        supervise.start("--name", "night", "--", "echo", word, report=False).wait()
    assert reader.find("night", supervise.state).command == ["echo", "two"]
    assert reader.find("-", supervise.state).command == ["echo", "two"]


# --- death of the supervisor


def test_a_run_is_lost_as_soon_as_its_supervisor_is_killed(supervise: Place) -> None:
    mark = supervise.file("pid")
    running = supervise.start("-k", "1h", "--", *child("ignore=TERM", f"mark={mark}", "stay"), report=False)
    command = wait_for_file(mark)
    socket_of(supervise)
    record = only(supervise)
    running.send(signal.SIGSTOP)
    wait_until(lambda: state_of(running.pid) == "T")
    assert reader.state_of(record) == "running"
    running.send(signal.SIGKILL)
    running.process.wait()
    # Guardian and command still live, but hold no lock that would show a living supervisor.
    assert supervise.alive()
    assert reader.state_of(record) == "lost"
    assert [one.run_id for one in reader.unfinished(supervise.state)] == [record.run_id]
    # The guardian removes the socket of the dead supervisor once the command has ended.
    os.kill(command, signal.SIGKILL)
    wait_until(lambda: not supervise.alive())


# --- unwritable folders


def one_warning(err: bytes) -> bool:
    """Return whether stderr is just the warning that the run is not recorded."""
    lines = err.decode().splitlines()
    return len(lines) == 1 and lines[0].startswith("supervise: this run is not recorded: ")


def test_a_missing_home_gives_one_warning(supervise: Place) -> None:
    ended = supervise.shell('HOME="$PWD/none" supervise -- sh -c "echo hello; exit 3"')
    assert (ended.code, ended.out) == (3, b"hello\n")
    assert one_warning(ended.err)
    assert not supervise.file("none").exists()


def test_a_file_in_the_place_of_the_state_folder_gives_one_warning(supervise: Place) -> None:
    supervise.file("state").write_text("")
    ended = supervise.shell('XDG_STATE_HOME="$PWD/state" supervise -- sh -c "echo hello; exit 3"')
    assert (ended.code, ended.out) == (3, b"hello\n")
    assert one_warning(ended.err)


def test_a_warning_on_a_full_stderr_delays_no_command(supervise: Place) -> None:
    """The stderr is a pipe without room."""
    script = """
        mkfifo fifo
        exec 3<>fifo
        head -c 65536 /dev/zero >&3
        HOME=/none supervise -- sh -c 'echo hello; exit 3' 2>&3
    """
    ended = supervise.shell(script)
    assert (ended.code, ended.out) == (3, b"hello\n")


@pytest.mark.parametrize("name", ["", "-a", ".", "..", "a/b", "a b", "é", "x" * 65, "20261124-200139", "_\n"])
def test_an_invalid_name_is_refused(supervise: Place, name: str) -> None:
    ended = supervise.start(f"--name={name}", "--", "true", report=False).wait()
    assert ended.code == 125
    assert "--name" in ended.messages[0]
    assert not os.path.exists(supervise.state)


def test_a_failed_start_has_a_record(supervise: Place) -> None:
    assert supervise("--", "./missing").code == 127
    record = only(supervise)
    assert json.loads(Path(record.folder, "end.json").read_text())["outcome"] == "not_found"


# --- output


def printed(record: reader.Record, stream: str = "") -> bytes:
    """Return the output on record, of one stream or of all."""
    return b"".join(chunk.data for chunk in Reader(record.folder).chunks() if stream in ("", chunk.stream))


def test_the_output_on_record_is_separated_by_stream(supervise: Place) -> None:
    supervise.start("--", "sh", "-c", "echo one; echo two >&2; sleep 1; echo three", report=False).wait()
    record = only(supervise)
    assert printed(record, "stdout") == b"one\nthree\n"
    assert printed(record, "stderr") == b"two\n"
    first, *_, last = Reader(record.folder).chunks()
    assert 0.2 < last.at - first.at < 20


def test_the_output_of_a_terminal_is_recorded(supervise: Place) -> None:
    supervise.start("--pty", "--", "echo", "hello", report=False).wait()
    assert printed(only(supervise)) == b"hello\r\n"


@pytest.mark.parametrize(
    "line", ["supervise --log copy -- cat | cksum", "supervise -- cat | cat > copy"], ids=["and logged", "alone"]
)
def test_a_flood_is_recorded_whole(supervise: Place, line: str) -> None:
    """The flood is handed over by splice."""
    ended = supervise.shell(f"seq 3000000 | {line}; cksum < copy; seq 3000000 | cksum")
    assert len(set(ended.out.splitlines())) == 1
    assert printed(only(supervise)) == supervise.file("copy").read_bytes()


def test_a_flood_into_a_file_opened_for_appending_is_recorded_whole(supervise: Place) -> None:
    supervise.shell("seq 1000000 | supervise -- cat >> copy")
    assert printed(only(supervise)) == supervise.file("copy").read_bytes()


def test_log_max_bounds_the_output_on_record(supervise: Place) -> None:
    supervise.start("--log-max", "64KiB", "--", "seq", "200000", report=False).wait()
    record = only(supervise)
    assert sum(path.stat().st_size for path in Path(record.folder).glob("output*")) <= 1 << 16
    chunks = list(Reader(record.folder).chunks())
    assert chunks[0].data.startswith(b"1\n2\n")
    assert chunks[-1].data.endswith(b"200000\n")
    assert sum(len(one.data) + one.left_out for one in chunks) == sum(len(f"{n}\n") for n in range(1, 200001))


def test_log_max_0_keeps_no_output(supervise: Place) -> None:
    supervise.start("--log-max", "0", "--", "echo", "hello", report=False).wait()
    assert printed(only(supervise)) == b""


def test_a_log_is_appended_to(supervise: Place) -> None:
    for word in ("one", "two"):
        command = ("--log", "log", "--no-record", "--", "sh", "-c", f"echo {word}; echo {word} >&2")
        supervise.start(*command, report=False).wait()
    assert sorted(supervise.file("log").read_text().split()) == ["one", "one", "two", "two"]


def test_an_unwritable_log_is_refused(supervise: Place) -> None:
    ended = supervise.start("--log", "none/log", "--", "touch", "mark", report=False).wait()
    assert ended.code == 125
    assert ended.messages == ["--log: cannot write 'none/log': no such file or directory"]
    assert not supervise.file("mark").exists()


def test_a_log_on_a_full_disk_gives_one_warning(supervise: Place) -> None:
    ended = supervise.start("--log", "/dev/full", "--", "sh", "-c", "echo hello; exit 3", report=False).wait()
    assert (ended.code, ended.out) == (3, b"hello\n")
    assert ended.messages == ["--log: no more is written: no space left on device"]
    assert printed(only(supervise)) == b"hello\n"


def test_a_log_without_a_reader_delays_no_output(supervise: Place) -> None:
    """The log is a FIFO that no process reads."""
    os.mkfifo(supervise.file("fifo"))
    ended = supervise.start("--log", "fifo", "--", "sh", "-c", "seq 300000; exit 3", report=False).wait()
    assert (ended.code, ended.out[-7:]) == (3, b"300000\n")
    assert len(ended.messages) == 1
    assert ended.messages[0].startswith("--log: no more is written")
    assert printed(only(supervise)) == ended.out


@pytest.fixture
def small_disk(supervise: Place) -> Iterator[Path]:
    """Mount a file system of 256 KiB, and return its folder."""
    folder = supervise.file("disk")
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True)
    if mount.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_fills_up_gives_one_warning(supervise: Place, small_disk: Path) -> None:
    """Output and exit code are unchanged, and the record has the end of the run."""
    script = "seq 200000; sleep 0.3; seq 200000; exit 3"
    ended = supervise.popen(
        [str(supervise.program), "--", "sh", "-c", script], env={"XDG_STATE_HOME": str(small_disk)}
    ).wait()
    assert (ended.code, ended.out) == (3, b"".join(b"%d\n" % n for n in range(1, 200001)) * 2)
    assert ended.messages == ["the record of this run is not complete: no space left on device"]
    state = str(small_disk / "supervise")
    [run_id] = reader.ids(state)
    record = reader.Record(state, run_id)
    assert reader.state_of(record) == "ended"
    assert reader.unfinished(state) == []
    report = record.end()
    validator("report").validate(report)
    assert report is not None
    assert (report["outcome"], report["exit_code"]) == ("failed", 3)
    assert ended.out.startswith(printed(record))
    assert len(printed(record)) > 100_000


def test_a_full_disk_leaves_output_and_code_unchanged(supervise: Place, small_disk: Path) -> None:
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk}/filler", "bs=4096"], capture_output=True)
    for script in ("echo hello; exit 3", "echo hello; sleep 0.4; exit 3"):
        ended = supervise.popen(
            [str(supervise.program), "--", "sh", "-c", script], env={"XDG_STATE_HOME": str(small_disk)}
        ).wait()
        assert (ended.code, ended.out) == (3, b"hello\n")
        assert one_warning(ended.err)
    assert reader.ids(str(small_disk / "supervise")) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a read-only disk")
def test_a_read_only_state_folder_gives_one_warning(supervise: Place) -> None:
    mount = 'mkdir -p "$HOME/.local" && mount -t tmpfs -o ro none "$HOME/.local"'
    script = mount + ' && exec supervise -- sh -c "echo out; exit 3"'
    ended = supervise.popen(["unshare", "--mount", "sh", "-c", script]).wait()
    assert (ended.code, ended.out) == (3, b"out\n")
    assert len(ended.messages) == 1
    assert "this run is not recorded: read-only file system" in ended.messages[0]
