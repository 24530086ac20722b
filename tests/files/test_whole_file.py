import json
import os
import select
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervise.files import whole_file

REPORT: dict[str, object] = {"run_id": "a", "outcome": "completed"}
WRITTEN = b'{"run_id": "a", "outcome": "completed"}\n'
LARGE: dict[str, object] = {"run_id": "a", "command": ["x" * 1000] * 1000}
"""A report that is larger than the buffer of a pipe."""

is_root = os.geteuid() == 0
no_root = pytest.mark.skipif(not is_root, reason="needs root: it mounts a small file system")


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the wait for a reader that does not come."""
    monkeypatch.setattr(whole_file, "READER_WAIT_SECONDS", 0.1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def bounded_write(path: Path, obj: dict[str, object]) -> str | None:
    """Call `whole_file.write` in a thread, so that a hang fails the test instead of stopping it."""
    answers: list[str | None] = []
    thread = threading.Thread(target=lambda: answers.append(whole_file.write(str(path), obj)), daemon=True)
    thread.start()
    thread.join(30)
    assert answers, "it hangs"
    return answers[0]


def as_nobody(call: str, path: Path) -> str:
    """Return what the call of `whole_file` returns for that path to the user `nobody`."""
    program = (
        # All modules are imported as root: their folder may be closed to other users.
        "import json, os, select, sys\n"
        "from supervise.files import whole_file\n"
        "if os.geteuid() == 0:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"print(whole_file.{call})\n"
    )
    root = Path(whole_file.__file__).parents[2]
    environ = {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, check=True, text=True, env=environ
    )
    return done.stdout.strip()


CHECK = "check(sys.argv[1])"
WRITE = "write(sys.argv[1], {'run_id': 'a', 'outcome': 'completed'})"


@pytest.fixture
def open_to_all(tmp_path: Path) -> Path:
    """Make a folder whose path an ordinary user can walk; each test sets the folder's own mode."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and folder != folder.parent and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    inner = tmp_path / "inner"
    inner.mkdir()
    return inner


# --- what can be written


def test_a_missing_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert whole_file.check(str(path)) is None
    assert names(tmp_path) == []
    before = os.umask(0o027)
    try:
        assert whole_file.write(str(path), REPORT) is None
    finally:
        os.umask(before)
    assert path.read_bytes() == WRITTEN
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(tmp_path) == ["r.json"]


def test_a_file_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert whole_file.check("r.json") is None
    assert whole_file.write("r.json", REPORT) is None
    assert (tmp_path / "r.json").read_bytes() == WRITTEN


def test_an_existing_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("an old and longer one, of which nothing may remain behind the new one\n")
    path.chmod(0o604)
    if is_root:
        os.chown(path, 1234, 1235)
    with path.open() as reader:
        assert whole_file.check(str(path)) is None
        assert path.read_text().startswith("an old")
        assert whole_file.write(str(path), REPORT) is None
        assert reader.read().startswith("an old"), "a reader of the old report reads it to its end"
    assert path.read_bytes() == WRITTEN
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    if is_root:
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)
    assert names(tmp_path) == ["r.json"]


@pytest.mark.parametrize("is_there", [True, False])
def test_links_are_followed(tmp_path: Path, is_there: bool) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "r.json"
    if is_there:
        target.write_text("old")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("far/r.json")
    assert whole_file.check(str(tmp_path / "one")) is None
    assert whole_file.write(str(tmp_path / "one"), REPORT) is None
    assert target.read_bytes() == WRITTEN
    assert (tmp_path / "one").is_symlink()
    assert (tmp_path / "two").is_symlink()
    assert names(tmp_path / "far") == ["r.json"]


def test_the_leftover_of_a_killed_writer_is_replaced(tmp_path: Path) -> None:
    """The guardian writes the report of the killed run; a leftover of another run stays."""
    (tmp_path / ".supervise-a").write_text("half a repo")
    (tmp_path / ".supervise-b").write_text("another's")
    assert whole_file.write(str(tmp_path / "r.json"), REPORT) is None
    assert (tmp_path / "r.json").read_bytes() == WRITTEN
    assert names(tmp_path) == [".supervise-b", "r.json"]


def test_the_longest_possible_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("r" * 255)
    assert whole_file.check(str(path)) is None
    assert whole_file.write(str(path), REPORT) is None
    assert path.read_bytes() == WRITTEN


def test_a_device_is_written_in_place() -> None:
    assert whole_file.check(os.devnull) is None
    assert whole_file.write(os.devnull, REPORT) is None
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_fifo_with_a_reader_is_written(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    # The check must not open the FIFO: its close would be the end of the input for this reader.
    assert whole_file.check(str(path)) is None
    assert whole_file.write(str(path), LARGE) is None
    reader.join(10)
    assert json.loads(read[0]) == LARGE
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_fifo_whose_reader_comes_late_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    readers: list[int] = []

    def come(seconds: float) -> None:
        readers.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))

    monkeypatch.setattr(whole_file, "sleep", come)
    assert bounded_write(path, REPORT) is None
    assert os.read(readers[0], 1000) == WRITTEN
    os.close(readers[0])


@pytest.mark.usefixtures("impatient")
def test_a_fifo_without_a_reader_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert whole_file.check(str(path)) is None, "a reader may still come"
    assert bounded_write(path, REPORT) == f"cannot write '{path}': no process reads from it"


@pytest.mark.usefixtures("impatient")
def test_a_fifo_whose_reader_does_not_read_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert bounded_write(path, LARGE) == f"cannot write '{path}': its reader does not read"
    finally:
        os.close(reader)


def test_a_fifo_whose_reader_leaves_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def leave() -> None:
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.poll(10_000)
        os.close(reader)

    thread = threading.Thread(target=leave)
    thread.start()
    assert bounded_write(path, LARGE) == f"cannot write '{path}': broken pipe"
    thread.join(10)


# --- descriptors


def test_a_descriptor_of_a_file_is_written_at_its_position(tmp_path: Path) -> None:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.write(fd, b"output of the command\n")
        assert whole_file.check(f"/dev/fd/{fd}") is None
        assert whole_file.write(f"/dev/fd/{fd}", REPORT) is None
        os.write(fd, b"output of the next\n")
    finally:
        os.close(fd)
    assert path.read_bytes() == b"output of the command\n" + WRITTEN + b"output of the next\n"


def test_a_descriptor_of_a_pipe_is_written() -> None:
    reader, writer = os.pipe()
    try:
        assert whole_file.check(f"/proc/self/fd/{writer}") is None
        assert whole_file.write(f"/proc/self/fd/{writer}", REPORT) is None
        assert os.get_blocking(writer), "others share it"
        assert os.read(reader, 1000) == WRITTEN
    finally:
        os.close(reader)
        os.close(writer)


def test_a_descriptor_of_a_socket_is_written() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert whole_file.check(f"/dev/fd/{here.fileno()}") is None
        assert whole_file.write(f"/dev/fd/{here.fileno()}", REPORT) is None
        assert there.recv(1000) == WRITTEN


def test_a_link_to_a_descriptor_is_written(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    try:
        (tmp_path / "link").symlink_to(f"/dev/fd/{fd}")
        assert whole_file.write(str(tmp_path / "link"), REPORT) is None
    finally:
        os.close(fd)
    assert (tmp_path / "log").read_bytes() == WRITTEN
    assert (tmp_path / "link").is_symlink()


def test_a_closed_descriptor_is_refused() -> None:
    fd = os.dup(0)
    os.close(fd)
    path = f"/proc/self/fd/{fd}"
    assert whole_file.check(path) == f"cannot write '{path}': no such file or directory"
    assert whole_file.write(path, REPORT) == f"cannot write '{path}': no such file or directory"


def test_a_descriptor_open_for_reading_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old")
    fd = os.open(tmp_path / "log", os.O_RDONLY)
    try:
        assert whole_file.check(f"/proc/self/fd/{fd}") == f"cannot write '/proc/self/fd/{fd}': bad file descriptor"
        assert (
            whole_file.write(f"/proc/self/fd/{fd}", REPORT) == f"cannot write '/proc/self/fd/{fd}': bad file descriptor"
        )
    finally:
        os.close(fd)
    assert (tmp_path / "log").read_text() == "old"


# --- what cannot be written, and what the folder forbids


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "is a directory"),
        (".", "is a directory"),
        ("/", "is a directory"),
        ("nowhere/r.json", "no such file or directory"),
        ("file/r.json", "not a directory"),
        ("new/", "is a directory"),
        ("loop", "too many levels of symbolic links"),
        ("to-nowhere", "no such file or directory"),
        ("x" * 256, "file name too long"),
        ("/proc/r.json", "no such file or directory"),
        ("nul\0", "embedded null byte"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_with_the_reason(
    path: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("loop").symlink_to("loop")
    Path("to-nowhere").symlink_to("nowhere/r.json")
    before = names(tmp_path)
    assert whole_file.write(path, REPORT) == f"cannot write {path!r}: {why}"
    if path != "/proc/r.json":
        # A file system that takes no files reports that only on an attempt.
        assert whole_file.check(path) == f"cannot write {path!r}: {why}"
    assert names(tmp_path) == before


def test_the_message_for_any_path_is_one_line() -> None:
    message = whole_file.check("no\nwhere\x1b[2J\udcff/r.json")
    assert message == r"cannot write 'no\nwhere\x1b[2J\udcff/r.json': no such file or directory"


def test_a_file_in_a_folder_that_takes_no_new_file_is_written_in_place(open_to_all: Path) -> None:
    path = open_to_all / "r.json"
    path.write_text("an old and longer one, of which nothing may remain behind the new one\n")
    path.chmod(0o666)
    open_to_all.chmod(0o555)
    inode = path.stat().st_ino
    try:
        assert as_nobody(CHECK, path) == "None"
        assert as_nobody(WRITE, path) == "None"
        assert path.read_bytes() == WRITTEN
        assert path.stat().st_ino == inode
        denied = f"cannot write '{open_to_all}/new': permission denied"
        assert as_nobody(CHECK, open_to_all / "new") == denied
        assert as_nobody(WRITE, open_to_all / "new") == denied
        assert names(open_to_all) == ["r.json"]
    finally:
        open_to_all.chmod(0o755)


def test_what_may_not_be_written_in_place_needs_a_folder_that_takes_new_files(open_to_all: Path) -> None:
    path = open_to_all / "m.prom"
    check = "check(sys.argv[1], may_write_in_place=False)"
    write = "write_bytes(sys.argv[1], '.x', b'x', may_write_in_place=False)"
    path.write_text("old")
    path.chmod(0o666)
    open_to_all.chmod(0o777)
    assert as_nobody(check, path) == "None"
    open_to_all.chmod(0o555)
    try:
        assert as_nobody(check, path) == f"cannot write '{path}': permission denied"
        assert as_nobody(write, path) == f"cannot write '{path}': it cannot be replaced by a new file"
    finally:
        open_to_all.chmod(0o777)
    path.chmod(0o444)
    assert as_nobody(check, path) == f"cannot write '{path}': permission denied"
    assert path.read_text() == "old"
    path.chmod(0o666)
    assert as_nobody(write, path) == "None"
    assert path.read_text() == "x"
    assert names(open_to_all) == ["m.prom"]


def test_what_may_not_be_written_in_place_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("old")
    with (tmp_path / "file").open("a") as file:
        for path in (tmp_path / "fifo", Path(f"/dev/fd/{file.fileno()}")):
            why = f"cannot write '{path}': it cannot be replaced by a new file"
            assert whole_file.check(str(path), may_write_in_place=False) == why
            assert whole_file.write_bytes(str(path), ".x", b"x", may_write_in_place=False) is not None
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["fifo", "file"]


def test_a_file_without_write_permission_is_refused(open_to_all: Path) -> None:
    path = open_to_all / "r.json"
    path.write_text("old")
    path.chmod(0o444)
    assert as_nobody(CHECK, path) == f"cannot write '{path}': permission denied"
    assert path.read_text() == "old"


@no_root
def test_a_full_disk_leaves_the_old_report(small_disk: Path) -> None:
    path = small_disk / "r.json"
    path.write_text("old")
    assert whole_file.check(str(path)) is None
    assert whole_file.write(str(path), LARGE) == f"cannot write '{path}': no space left on device"
    assert path.read_text() == "old"
    assert names(small_disk) == ["r.json"]


@no_root
def test_a_full_disk_leaves_no_half_report_in_place(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_disk / "r.json"
    path.write_text("old")

    def refuse(source: str, target: str, **folders: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "rename", refuse)
    assert whole_file.write(str(path), {"run_id": "a", "x": "y" * 40_000}) is None, "there is room for it once"
    assert whole_file.write(str(path), {"run_id": "a", "x": "y" * 20_000}) is None, (
        "there is no rename, and the old one is cut off"
    )
    assert json.loads(path.read_bytes()) == {"run_id": "a", "x": "y" * 20_000}
    monkeypatch.setattr(whole_file, "_replace", lambda target, name, data: False)
    assert whole_file.write(str(path), LARGE) == f"cannot write '{path}': no space left on device"
    assert path.read_bytes() == b""
    assert names(small_disk) == ["r.json"]


@no_root
def test_a_file_mounted_over_another_is_written_in_place(small_disk: Path, tmp_path: Path) -> None:
    source, path = small_disk / "source", tmp_path / "r.json"
    source.write_text("old")
    path.touch()
    subprocess.run(["mount", "--bind", str(source), str(path)], check=True)
    try:
        assert whole_file.check(str(path)) is None
        assert whole_file.write(str(path), REPORT) is None
        assert source.read_bytes() == WRITTEN
        assert names(tmp_path) == ["disk", "r.json"]
    finally:
        subprocess.run(["umount", str(path)], check=True)


@no_root
def test_a_read_only_file_system_is_named(small_disk: Path) -> None:
    (small_disk / "r.json").touch()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for name in ("r.json", "new.json"):
        path = small_disk / name
        assert whole_file.check(str(path)) == f"cannot write '{path}': read-only file system"
        assert whole_file.write(str(path), REPORT) == f"cannot write '{path}': read-only file system"


def test_a_reader_never_sees_a_part_of_a_report(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    is_over = threading.Event()
    torn: list[bytes] = []

    def watch() -> None:
        while not is_over.is_set():
            seen = path.read_bytes()
            if not seen.endswith(b"}\n"):
                torn.append(seen[-20:])

    assert whole_file.write(str(path), LARGE) is None
    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(50):
        assert whole_file.write(str(path), LARGE) is None
    is_over.set()
    watcher.join(10)
    assert torn == []


def test_the_check_loads_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        "from supervise.files import whole_file\n"
        "whole_file.check('r.json')\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    environ = {"PYTHONPATH": str(Path(whole_file.__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, env=environ)
    loaded = set(done.stdout.split())
    ours = {"supervise", "supervise.faces", "supervise.files.whole_file", "supervise.files"}
    assert loaded <= {
        "errno",
        "time",
        *ours,
        *(f"supervise.files.{one}" for one in ("ownership", "path_walk", "user_files")),
    }
