"""`private_files`: supervise's own folders and files, and files of other users in their place; with real users."""

import os

import pytest

from supervise.files import ownership, private_files
from supervise.files.ownership import UntrustedError
from tests.support.users import ALICE, BOB, ROOT, as_user


def open_folder(path, make_below=None, umask=0o022):
    """Open the folder; return '' or the reason why it is refused."""
    os.umask(umask)
    try:
        os.close(private_files.open_folder(str(path), None if make_below is None else str(make_below)))
    except UntrustedError as error:
        return f"{error.filename}: {error.strerror}{' (ours)' * error.is_ours}"
    except OSError as error:
        return f"{error.filename}: {os.strerror(error.errno)}"
    return ""


def read(path):
    try:
        fd = private_files.open_to_read(str(path))
    except OSError as error:
        return error.strerror
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def write(path, data=b"mine", mode=0o600):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, data)
    os.fchmod(fd, mode)
    os.close(fd)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777])
def test_folders_are_made_with_their_mode_whatever_the_umask(users, umask):
    home = users.home(ALICE)
    assert as_user(ALICE, open_folder, home / "a/b/c", home, umask) == ""
    for name in ("a", "a/b", "a/b/c"):
        found = (home / name).stat()
        assert (found.st_mode & 0o7777, found.st_uid) == (0o700, ALICE)


def test_a_missing_home_is_not_made(users):
    missing = users.home(ALICE) / "missing"
    assert as_user(ALICE, open_folder, missing / "a", missing) == f"{missing}: No such file or directory"
    assert not missing.exists()


@pytest.mark.parametrize("uid", [ROOT, ALICE], ids=["root", "alice"])
def test_a_folder_of_another_user_is_refused_and_unchanged(users, uid):
    home = users.home(BOB)
    home.chmod(0o777)
    assert as_user(uid, open_folder, home / "a", home) == f"{home}: It belongs to another user (uid {BOB})"
    assert os.listdir(home) == []


def test_a_folder_made_first_by_another_user_in_a_sticky_folder_is_refused(users):
    sticky = users.shared()
    as_user(BOB, os.mkdir, sticky / "a")
    os.chmod(sticky / "a", 0o777)
    assert "another user" in as_user(ALICE, open_folder, sticky / "a/b", sticky)
    assert os.listdir(sticky / "a") == []
    assert as_user(ALICE, open_folder, sticky / "own/b", sticky) == ""


def test_a_link_of_another_user_in_a_sticky_folder_is_not_followed(users):
    sticky, home = users.shared(), users.home(ALICE)
    as_user(BOB, os.symlink, home, sticky / "a")
    assert "The link belongs to another user" in as_user(ALICE, open_folder, sticky / "a")
    as_user(ALICE, os.symlink, home, sticky / "mine")
    assert as_user(ALICE, open_folder, sticky / "mine") == ""


@pytest.mark.parametrize(("mode", "is_open"), [(0o700, False), (0o755, False), (0o775, True), (0o757, True)])
def test_a_folder_that_others_may_write_is_refused(users, mode, is_open):
    home = users.home(ALICE)
    (home / "a").mkdir()
    (home / "a/b").mkdir()
    for path in (home / "a", home / "a/b"):
        os.chown(path, ALICE, BOB)
    (home / "a").chmod(mode)
    (home / "a/b").chmod(0o700)
    for path in ("a", "a/b"):
        why = as_user(ALICE, open_folder, home / path)
        assert why == (f"{home}/a: Other users may write it (ours)" if is_open else "")


def test_the_private_group_of_the_user_counts_as_the_user(users):
    """Systems with a group for each user have the umask 002."""
    import grp
    import pwd

    user = next(one for one in pwd.getpwall() if one.pw_uid and grp.getgrgid(one.pw_gid).gr_name == one.pw_name)
    path = users.folder / "home"
    path.mkdir()
    os.chown(path, user.pw_uid, user.pw_gid)
    path.chmod(0o770)

    def look(uid, gid):
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        return open_folder(path)

    assert as_user(ROOT, look, user.pw_uid, user.pw_gid) == ""
    os.chown(path, user.pw_uid, BOB)
    assert "Other users may write it" in as_user(ROOT, look, user.pw_uid, user.pw_gid)


def test_a_folder_that_an_acl_opens_to_another_user_is_refused(users):
    """The group bits of the mode show the rights that an ACL gives to any user (acl(5))."""
    path = users.folder / "roots"
    path.mkdir(0o700)
    assert open_folder(path) == ""
    path.chmod(0o770)
    assert open_folder(path) == ""
    # Version 2; user: rwx, user BOB: rwx, group: ---, mask: rwx, others: ---.
    entries = [(1, 7, -1), (2, 7, BOB), (4, 0, -1), (16, 7, -1), (32, 0, -1)]
    acl = b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + mode.to_bytes(2, "little") + (uid & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, mode, uid in entries
    )
    try:
        os.setxattr(path, ownership.ACL, acl)
    except OSError as error:
        pytest.skip(f"this file system has no ACLs: {error}")
    assert as_user(BOB, os.access, path, os.W_OK)
    assert open_folder(path) == f"{path}: Other users may write it (ours)"


def test_a_folder_that_is_replaced_while_it_is_made_is_never_used(users):
    """Another user keeps making and removing the name: each answer is right, and no file is made in that folder."""
    sticky, home = users.shared(), users.home(ALICE)
    pid = os.fork()
    if pid == 0:
        os.setresuid(BOB, BOB, BOB)
        while True:
            for make in (lambda: os.mkdir(sticky / "a", 0o777), lambda: os.symlink(home, sticky / "a")):
                try:
                    make()
                    os.rmdir(sticky / "a") if os.path.isdir(sticky / "a") else os.unlink(sticky / "a")
                except OSError:
                    pass

    def race():
        answers = set()
        for _ in range(500):
            why = open_folder(sticky / "a/b", sticky)
            answers.add(why.partition(": ")[2])
            if not why:
                assert os.stat(sticky / "a").st_uid == ALICE
                os.rmdir(sticky / "a/b")
                os.rmdir(sticky / "a")
        return answers

    try:
        answers = as_user(ALICE, race)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    reasons = {"", "It belongs to another user", "The link belongs to another user", "No such file or directory"}
    assert {answer.partition(" (")[0] for answer in answers} <= reasons
    assert os.listdir(users.home(ALICE)) == []


@pytest.mark.parametrize(
    ("owner", "mode", "expected"),
    [
        (ALICE, 0o600, b"mine"),
        (ALICE, 0o644, b"mine"),
        (ROOT, 0o644, b"mine"),
        (ALICE, 0o666, "Other users may write it"),
        (ALICE, 0o620, "Other users may write it"),
        (BOB, 0o644, f"It belongs to another user (uid {BOB})"),
    ],
    ids=["own", "own, readable", "root's", "open to all", "open to a group", "another's"],
)
def test_a_file_of_the_caller_or_root_closed_to_others_is_read(users, owner, mode, expected):
    path = users.home(ALICE) / "config"
    write(path, mode=mode)
    os.chown(path, owner, BOB)
    path.chmod(mode)
    assert as_user(ALICE, read, path) == expected


def test_a_link_to_a_file_of_the_caller_is_followed_and_its_path_checked(users):
    home, sticky = users.home(ALICE), users.shared()
    as_user(ALICE, write, home / "dotfile")
    as_user(ALICE, os.symlink, "dotfile", home / "config")
    assert as_user(ALICE, read, home / "config") == b"mine"
    as_user(ALICE, os.symlink, sticky / "planted", home / "other")
    as_user(BOB, os.symlink, home / "dotfile", sticky / "planted")
    assert "The link belongs to another user" in as_user(ALICE, read, home / "other")


def test_a_second_name_of_the_callers_file_in_an_open_folder_is_not_read(users):
    home, sticky = users.home(ALICE), users.shared()
    as_user(ALICE, write, home / "notes")
    os.link(home / "notes", sticky / "config")
    os.link(home / "notes", home / "config")
    assert "another name" in as_user(ALICE, read, sticky / "config")
    assert as_user(ALICE, read, home / "config") == b"mine"


def test_a_fifo_in_the_place_of_a_file_does_not_block(users):
    path = users.home(ALICE) / "config"
    as_user(ALICE, os.mkfifo, path, 0o600)
    assert as_user(ALICE, read, path) == b""


def test_in_a_user_namespace_root_outside_is_trusted_and_is_not_the_caller(users):
    """There `/` belongs to the overflow uid, which stands for all unmapped uids (user_namespaces(7))."""
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from supervise.files import ownership, private_files\n"
        "os.close(private_files.open_folder(sys.argv[2], sys.argv[2]))\n"
        "assert os.stat('/').st_uid == 65534\n"
        "assert ownership.is_trusted(65534) and not ownership.is_us(65534)\n"
        "print(private_files.obstacle('/'), private_files.obstacle(sys.argv[2]))"
    )
    package = os.path.dirname(os.path.dirname(os.path.dirname(private_files.__file__)))
    home = users.home(ALICE)
    done = users.run(ALICE, "/usr/bin/unshare", "-r", str(users.python), "-c", script, package, str(home))
    if "unshare" in done.stderr and "supervise" not in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr}")
    assert done.stdout == "None None\n", done.stderr
