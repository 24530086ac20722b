"""The command lines of `supervise help batch`, run as they stand there; those of clusters are in tests of their own."""

from tests.support.batches import TopicLines, collect, words_of
from tests.support.harness import Place, wait_until

CONVERT = """#!/bin/sh
: >up
until [ -e go ]; do sleep 0.05; done
"""


def test_the_lines_do_what_the_text_says(supervise: Place) -> None:
    lines = TopicLines(supervise)
    lines.add_program("convert", CONVERT)
    running = lines.start("submit --name thumbs")
    wait_until(supervise.file("up").exists)
    assert lines.run("collect thumbs").code == 121
    assert lines.run("ps --batches").out.split()[5:8] == [b"thumbs", b"local", b"running"]
    assert lines.run("stop thumbs").code == 0
    assert running.wait().code == 143
    assert words_of(collect(supervise, "thumbs")[1]) == ["cancelled"]
    supervise.file("go").touch()
    assert lines.run("submit --resume thumbs").code == 0
    assert words_of(collect(supervise, "thumbs")[1]) == ["completed"]
    shown = lines.run("submit --dry-run")
    assert [one.split()[-3:] for one in shown.out.splitlines()] == [[b"echo", b"1", b"a"], [b"echo", b"2", b"b"]]
    assert [line for line in lines.left if not {"sim", "mc", "fit"} & {*line.split()}] == []
