"""`--timestamps` and `--prefix`: marks on each line of the command's output, in what is shown and in `--log`."""

import re

from tests.support.harness import Place

STAMP = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d "


def test_both_streams_are_marked_and_stay_apart_and_the_record_has_no_marks(supervise: Place) -> None:
    log = supervise.file("log")
    script = "echo a; echo b >&2; printf 'c\\rd'"
    ended = supervise("--timestamps", "--prefix", "x: ", "--log", str(log), "--", "sh", "-c", script)
    assert re.fullmatch(STAMP + rb"x: a\n" + STAMP + rb"x: c\r" + STAMP + rb"x: d", ended.out)
    assert re.fullmatch(STAMP + rb"x: b\n", ended.err)
    assert sorted(re.sub(STAMP, b"", log.read_bytes()).split(b"x: ")) == [b"", b"a\n", b"b\n", b"c\r", b"d"]
    recorded = supervise.popen([str(supervise.program), "logs", "--stdout", "-"]).wait()
    assert recorded.out == b"a\nc\rd"


def test_streams_that_are_one_file_are_marked_line_by_line(supervise: Place) -> None:
    """Each line is printed once the one before it has been shown: the order of two pipes is one of time alone."""
    pause = "until [ -e {} ]; do sleep 0.02; done"
    script = f"echo 1; {pause.format('second')}; echo 2 >&2; {pause.format('third')}; echo 3"
    running = supervise.popen(["sh", "-c", f"supervise --prefix '> ' -- sh -c '{script}' 2>&1"])
    running.wait_for_out(b"> 1\n")
    supervise.file("second").touch()
    running.wait_for_out(b"> 2\n")
    supervise.file("third").touch()
    assert running.wait().out == b"> 1\n> 2\n> 3\n"


def test_messages_of_supervise_have_no_mark(supervise: Place) -> None:
    ended = supervise("--prefix", "> ", "-t", "1s", "--", "sh", "-c", "echo x >&2; sleep 60")
    assert ended.code == 124
    lines = ended.err.decode().splitlines()
    assert lines[0] == "> x"
    assert all(line.startswith("supervise: ") for line in lines[1:])


def test_each_attempt_and_what_follows_a_message_begin_with_a_mark(supervise: Place) -> None:
    """The first attempt ends in the middle of a line."""
    script = "[ $SUPERVISE_ATTEMPT = 2 ] && echo ok && exit; printf abc; exit 3"
    words = ("--prefix", "> ", "--retries", "1", "--retry-on", "any", "--retry-delay", "0.1s")
    shown = supervise(*words, "--retry-output", "last", "--", "sh", "-c", script)
    assert (shown.code, shown.out) == (0, b"> ok\n")
    ended = supervise.shell(f"supervise {' '.join(words).replace('> ', repr('> '))} -- sh -c '{script}' 2>&1")
    lines = ended.out.decode().splitlines()
    assert (lines[0], lines[-1]) == ("> abc", "> ok")


def test_much_output_is_whole_under_its_marks(supervise: Place) -> None:
    ended = supervise("--prefix", "é ", "--", "sh", "-c", "seq 300000; head -c 3000000 /dev/zero")
    numbers = "".join(f"é {number}\n" for number in range(1, 300_001)).encode()
    assert ended.out == numbers + "é ".encode() + bytes(3_000_000)


def test_a_terminal_of_its_own_has_marked_lines(supervise: Place) -> None:
    ended = supervise("--pty", "--prefix", "> ", "--", "sh", "-c", "echo 1; printf '10%%\\r20%%\\n'; echo 2 >&2")
    assert ended.out == b"> 1\r\n> 10%\r> 20%\r\n> 2\r\n"


def test_the_log_of_a_detached_run_is_marked(supervise: Place) -> None:
    log = supervise.file("log")
    words = ("run", "--detach", "--timestamps", "--prefix", "> ", "--log", str(log), "--", "sh", "-c", "echo 1; echo 2")
    started = supervise.start(*words, report=False).wait()
    assert started.code == 0
    assert supervise.start("wait", started.out.decode().strip(), report=False).wait().code == 0
    assert re.fullmatch(STAMP + rb"> 1\n" + STAMP + rb"> 2\n", log.read_bytes())


def test_a_letter_that_comes_in_two_pieces_is_whole(supervise: Place) -> None:
    script = r"printf '\303'; sleep 0.3; printf '\251\n\303'; sleep 0.3; printf '\251'"
    assert supervise("--prefix", "> ", "--", "sh", "-c", script).out.decode() == "> é\n> é"


def test_held_output_and_elapsed_times_go_together(supervise: Place) -> None:
    ended = supervise(
        "--quiet-unless-failed", "--timestamps=elapsed", "--", "sh", "-c", "echo a; sleep 2; echo b; exit 1"
    )
    times = [float(line.split()[0]) for line in ended.out.splitlines()]
    assert [line.split()[1] for line in ended.out.splitlines()] == [b"a", b"b"]
    assert times[1] - times[0] >= 1


def test_bad_words_are_refused_with_one_line(supervise: Place) -> None:
    for words in (("--timestamps=x",), ("--prefix", "a\nb")):
        ended = supervise.popen([str(supervise.program), *words, "--", "true"]).wait()
        assert (ended.code, len(ended.err.splitlines())) == (125, 1)
