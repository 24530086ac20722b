"""`user_files`: paths that the user names, in folders where another user has planted files; with real users."""

import errno
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from supervise.files import user_files
from supervise.files.ownership import UntrustedError
from tests.support.users import ALICE, BOB, ROOT, as_user

LINK, FILE, NAMES = "link", "file", "another name"


def append(path, data=b"x"):
    """Append to the file; return '' or the reason why that is refused."""
    try:
        fd = user_files.open_to_append(str(path))
    except OSError as error:
        return error.strerror
    os.write(fd, data)
    os.close(fd)
    return ""


def make_link(target, path):
    os.symlink(target, path)


def make_file(path, mode=0o666):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.chmod(path, mode)


@pytest.fixture
def sticky(users):
    return users.shared()


@pytest.fixture
def secret(users):
    path = users.home(ALICE) / "secret"
    as_user(ALICE, make_file, path)
    return path


def test_a_new_file_is_made(users, sticky):
    assert as_user(ALICE, append, sticky / "log") == ""
    found = (sticky / "log").stat()
    assert (found.st_uid, found.st_size) == (ALICE, 1)


def test_a_file_of_the_caller_is_used(users, sticky):
    assert [as_user(ALICE, append, sticky / "log") for _ in range(2)] == ["", ""]
    assert (sticky / "log").read_bytes() == b"xx"


@pytest.mark.parametrize("uid", [ROOT, ALICE], ids=["root", "alice"])
@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o1775, 0o2775])
def test_a_link_of_another_user_is_not_followed(users, secret, mode, uid):
    folder = users.shared("other", mode)
    os.chown(folder, ROOT, BOB)
    folder.chmod(mode)
    as_user(BOB, make_link, secret, folder / "log")
    why = as_user(uid, append, folder / "log")
    assert LINK in why
    assert secret.read_bytes() == b""


def test_a_dangling_link_of_another_user_makes_no_file(users, sticky):
    there = users.home(ALICE) / "fresh"
    as_user(BOB, make_link, there, sticky / "log")
    assert LINK in as_user(ALICE, append, sticky / "log")
    assert not there.exists()


def test_a_link_of_another_user_in_the_middle_of_the_path_is_not_followed(users, sticky, secret):
    as_user(BOB, make_link, users.home(ALICE), sticky / "folder")
    assert LINK in as_user(ALICE, append, sticky / "folder/secret")
    assert LINK in as_user(ALICE, append, sticky / "folder/../new")
    assert secret.read_bytes() == b""


def test_a_link_of_another_user_at_the_end_of_an_own_link_is_not_followed(users, sticky, secret):
    as_user(BOB, make_link, secret, sticky / "theirs")
    as_user(ALICE, make_link, "theirs", sticky / "mine")
    assert LINK in as_user(ALICE, append, sticky / "mine")
    assert secret.read_bytes() == b""


def test_a_link_of_the_caller_or_root_is_followed(users, sticky, secret):
    as_user(ALICE, make_link, secret, sticky / "mine")
    make_link(secret, sticky / "roots")
    assert as_user(ALICE, append, sticky / "mine") == ""
    assert as_user(ALICE, append, sticky / "roots") == ""
    assert secret.read_bytes() == b"xx"


def test_a_link_that_the_owner_of_the_folder_made_is_followed(users, secret):
    """As with the kernel's protected_symlinks: the owner of a folder may replace each file in it anyway."""
    os.chown(users.home(BOB).parent, ROOT, ROOT)
    users.home(BOB).chmod(0o1777)
    as_user(BOB, make_link, secret, users.home(BOB) / "log")
    assert as_user(ALICE, append, users.home(BOB) / "log") == ""


@pytest.mark.parametrize("mode", [0o755, 0o1777])
@pytest.mark.parametrize("uid", [ROOT, ALICE], ids=["root", "alice"])
def test_a_link_in_a_planted_folder_is_not_followed(users, sticky, secret, mode, uid):
    folder = sticky / "out"
    as_user(BOB, os.mkdir, folder)
    as_user(BOB, os.chmod, folder, mode)
    as_user(BOB, make_link, secret, folder / "log")
    as_user(BOB, os.mkdir, folder / "deeper")
    as_user(BOB, make_link, secret, folder / "deeper/log")
    for path in ("log", "deeper/log"):
        assert LINK in as_user(uid, append, folder / path)
    assert secret.read_bytes() == b""


def test_a_relative_path_within_a_planted_folder_is_refused(users, sticky, secret):
    folder = sticky / "out"
    as_user(BOB, os.mkdir, folder)
    as_user(BOB, make_link, secret, folder / "log")

    def append_here():
        os.chdir(folder)
        return append("log")

    assert LINK in as_user(ALICE, append_here)
    assert secret.read_bytes() == b""


@pytest.mark.parametrize("mode", [0o1777, 0o777])
@pytest.mark.parametrize("uid", [ROOT, ALICE], ids=["root", "alice"])
def test_a_file_of_another_user_is_not_written(users, mode, uid):
    folder = users.shared("other", mode)
    as_user(BOB, make_file, folder / "log")
    assert FILE in as_user(uid, append, folder / "log")
    assert (folder / "log").read_bytes() == b""


def test_a_file_in_a_group_folder_without_the_sticky_bit_is_used(users):
    """The kernel's protected_regular allows it too: a team shares such a folder on purpose."""
    folder = users.shared("team", 0o2770)
    os.chown(folder, ROOT, BOB)
    folder.chmod(0o2770)
    as_user(BOB, make_file, folder / "events")
    assert as_user(ALICE, append, folder / "events", groups=(BOB,)) == ""
    assert (folder / "events").read_bytes() == b"x"


def test_a_fifo_of_another_user_is_neither_opened_nor_written(users, sticky):
    as_user(BOB, os.mkfifo, sticky / "log", 0o666)
    os.chmod(sticky / "log", 0o666)
    reader = os.open(sticky / "log", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert "FIFO" in as_user(ALICE, append, sticky / "log")
        # A writer that opened and closed the FIFO would leave POLLHUP.
        import select

        poll = select.poll()
        poll.register(reader, select.POLLIN)
        assert poll.poll(0) == []
    finally:
        os.close(reader)


def test_a_second_name_of_the_callers_file_is_not_written(users, sticky, secret):
    """Where protected_hardlinks is off, any user can give a file of the caller a second name in a shared folder."""
    os.link(secret, sticky / "log")
    assert NAMES in as_user(ALICE, append, sticky / "log")
    assert secret.read_bytes() == b""


def test_a_second_name_of_the_callers_link_is_not_followed(users, sticky, secret):
    link = users.home(ALICE) / "link"
    as_user(ALICE, make_link, secret, link)
    os.link(link, sticky / "log", follow_symlinks=False)
    assert NAMES in as_user(ALICE, append, sticky / "log")
    assert secret.read_bytes() == b""


def test_in_a_folder_of_the_caller_all_links_are_followed(users, secret):
    home = users.home(ALICE)
    as_user(ALICE, make_link, secret, home / "link")
    os.lchown(home / "link", BOB, BOB)
    os.link(secret, home / "second")
    assert as_user(ALICE, append, home / "link") == ""
    assert as_user(ALICE, append, home / "second") == ""
    assert secret.read_bytes() == b"xx"


def test_a_folder_and_a_loop_of_links_are_reported(users, sticky):
    as_user(ALICE, make_link, "b", sticky / "a")
    as_user(ALICE, make_link, "a", sticky / "b")
    assert as_user(ALICE, append, sticky / "a") == "Too many levels of symbolic links"
    assert as_user(ALICE, append, sticky) == "Is a directory"
    assert as_user(ALICE, append, f"{sticky}/") == "Is a directory"
    assert as_user(ALICE, append, sticky / "none/log") == "No such file or directory"


def test_an_open_descriptor_is_found_by_each_of_its_names(tmp_path):
    file = tmp_path / "file"
    with file.open("wb") as opened:
        for path in (f"/dev/fd/{opened.fileno()}", f"/proc/self/fd/{opened.fileno()}"):
            entry = user_files.find(path)
            assert entry.is_descriptor
            assert entry.name == str(opened.fileno())
            entry.close()


def test_a_file_that_is_swapped_before_the_open_is_refused(users, sticky, secret):
    make_file(sticky / "log")

    def look_and_open():
        entry = user_files.find(str(sticky / "log"))
        swap()
        try:
            os.close(user_files.open_at(entry, os.O_WRONLY))
        except OSError as error:
            return error.strerror
        finally:
            entry.close()
        return ""

    def swap():
        os.unlink(sticky / "log")
        if os.fork() == 0:
            os.setresuid(BOB, BOB, BOB)
            make_file(sticky / "log")
            os._exit(0)
        os.wait()

    assert FILE in look_and_open()


def test_no_descriptor_is_left_for_any_kind_of_path(users, sticky, secret):
    as_user(BOB, make_link, secret, sticky / "link")
    as_user(BOB, make_file, sticky / "file")
    before = os.listdir("/proc/self/fd")
    for path in ("link", "file", "new", "link/x", "none/x", "..", ".", "new/x"):
        append(f"{sticky}/{path}")
    for path in ("/", "", "/dev/null", "/dev/fd/0", "/proc/self/cwd/x/y", "/proc/self/fd/77777"):
        append(path)
    assert os.listdir("/proc/self/fd") == before


def test_an_untrusted_error_names_the_reason_and_the_path(users, sticky):
    as_user(BOB, make_file, sticky / "log")
    with pytest.raises(UntrustedError, match=rf"another user \(uid {BOB}\): '{sticky}/log'"):
        user_files.find(str(sticky / "log"))
    assert stat.S_ISREG((sticky / "log").stat().st_mode)


def test_a_missing_file_in_proc_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        user_files.open_to_append("/proc/no-such-file")


@pytest.mark.parametrize("path", ["/proc/self/fd/999", "/dev/fd/999"])
def test_a_closed_descriptor_is_named_in_the_error(path: str) -> None:
    with pytest.raises(OSError, match="Is not an open descriptor") as error:
        user_files.open_to_append(path)
    assert error.value.errno == errno.EBADF


@pytest.mark.parametrize("is_whole", [True, False])
def test_an_entry_is_the_whole_old_file_or_the_whole_new_one(tmp_path: Path, is_whole: bool) -> None:
    (tmp_path / "old").write_text("old")
    entry = user_files.find(str(tmp_path / "old"))
    fd = os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT)
    before = len(os.listdir("/proc/self/fd"))

    def fill(fd: int) -> None:
        os.write(fd, b"new")
        assert (tmp_path / "old").read_text() == "old"
        if not is_whole:
            raise OSError(errno.ENOSPC, "No space left on device")

    try:
        with nullcontext() if is_whole else pytest.raises(OSError, match="No space left on device"):
            user_files.replace(entry, "new", fd, fill)
    finally:
        entry.close()
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == ("new" if is_whole else "old")
    assert len(os.listdir("/proc/self/fd")) == before - 2
