"""The command's own terminal (`Pty`), on real terminals: its calls in each state, and its modes."""

import errno
import os
import select
import termios
import threading

import pytest

from supervise.terminal import terminal_modes
from supervise.terminal.pty import Pty
from tests.support.harness import HANG_SECONDS, wait_until


@pytest.fixture
def own():
    before = sorted(os.listdir("/proc/self/fd"))
    one = Pty(None, None, (30, 90), is_utf8=True)
    yield one
    one.hang_up()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_the_terminal_is_open_until_the_command_has_ended(own: Pty) -> None:
    """A process that opens and closes the command's side causes EIO, which is no end while the command runs."""
    os.close(os.open(own.name, os.O_RDWR | os.O_NOCTTY))
    with pytest.raises(BlockingIOError):
        os.read(own.master, 1)
    own.end()
    select.select([own.master], [], [], HANG_SECONDS)
    with pytest.raises(OSError, match="Input/output error") as caught:
        os.read(own.master, 1)
    assert caught.value.errno == errno.EIO
    assert own.check_end()
    assert own.master == own.peer == -1


def test_a_terminal_that_others_have_open_outlives_the_command(own: Pty) -> None:
    other = os.open(own.name, os.O_RDWR | os.O_NOCTTY)
    own.end()
    os.write(other, b"late\n")
    select.select([own.master], [], [], HANG_SECONDS)
    assert os.read(own.master, 100) == b"late\r\n"
    own.hang_up()
    with pytest.raises(OSError, match="Input/output error"):
        os.write(other, b"too late\n")
    os.close(other)


def test_a_closed_terminal_accepts_no_call(own: Pty) -> None:
    own.hang_up()
    assert own.is_closed
    assert own.type(b"keys") == -1
    assert own.end_input()
    assert not own.resize(1, 1)
    assert not own.has_unread()
    assert not own.is_by_line()
    own.end()
    assert own.check_end()


def test_the_end_of_the_input_is_the_key_of_the_terminals_modes(own: Pty) -> None:
    now = termios.tcgetattr(own.peer)
    now[6][termios.VEOF] = b"\x05"
    termios.tcsetattr(own.peer, termios.TCSANOW, now)
    assert own.type(b"line\n") == 5
    assert own.end_input()
    # The kernel passes the key on a moment later.
    wait_until(own.has_unread)
    assert os.read(own.peer, 100) == b"line\n"
    assert os.read(own.peer, 100) == b""
    assert not own.has_unread()


def test_a_disabled_end_of_file_key_is_not_typed(own: Pty) -> None:
    now = termios.tcgetattr(own.peer)
    now[6][termios.VEOF] = b"\0"
    termios.tcsetattr(own.peer, termios.TCSANOW, now)
    assert own.end_input()
    assert not own.has_unread()


def test_keys_beyond_the_terminals_buffer_wait(own: Pty) -> None:
    termios.tcsetattr(own.peer, termios.TCSANOW, terminal_modes.raw(termios.tcgetattr(own.peer)))

    def is_full() -> bool:
        while own.type(b"x" * 4096):
            pass
        # An end of file for which there is no room is to be written again later.
        return not own.end_input()

    # The kernel makes room again when it passes on the first keys.
    wait_until(is_full)


def test_the_terminal_has_its_size_and_its_modes(own: Pty) -> None:
    assert termios.tcgetwinsize(own.peer) == (30, 90)
    assert own.resize(1, 2)
    assert termios.tcgetwinsize(own.peer) == (1, 2)
    assert termios.tcgetattr(own.peer)[0] & terminal_modes.IUTF8
    assert terminal_modes.is_by_line(terminal_modes.get_modes(own.peer))


def test_threads_that_type_during_a_hang_up_meet_no_other_file(own: Pty) -> None:
    """No thread uses a descriptor number that belongs to another file by now."""
    failed: list[BaseException] = []

    def use() -> None:
        try:
            while own.type(b"x") >= 0:
                own.resize(10, 10)
                own.is_by_line()
                own.has_unread()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    own.hang_up()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_descriptor_without_a_terminal_raises_os_error() -> None:
    """The functions never raise termios.error, which `except OSError` would not catch."""
    read, write = os.pipe()
    for call in (
        lambda: terminal_modes.get_modes(read),
        lambda: terminal_modes.get_size(read),
        lambda: terminal_modes.set_size(read, 1, 1),
    ):
        with pytest.raises(OSError, match=os.strerror(errno.ENOTTY)):
            call()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        terminal_modes.get_modes(read)


@pytest.mark.parametrize(("size", "made"), [((0, 0), (24, 80)), ((5, 0), (5, 80)), ((0, 7), (24, 7)), ((1, 1), (1, 1))])
def test_a_size_of_zero_gets_the_default(size: tuple[int, int], made: tuple[int, int]) -> None:
    assert terminal_modes.usable(*size) == made
